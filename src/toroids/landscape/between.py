"""Every way between two networks: for the study, the explorer and whoever else shows them all."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from toroids.align.alignment import Alignment
from toroids.evaluation.landscape import Landscape
from toroids.geometry.hypercube import Hypercube
from toroids.geometry.paths import Path
from toroids.landscape.greedy_order import Greedy
from toroids.landscape.joined import WAYS, joined
from toroids.landscape.manifold import toroid_of
from toroids.landscape.orders import FlipProfile, flip_profile
from toroids.landscape.parts import joined_by_parts
from toroids.landscape.profile import Profile, profile
from toroids.params import Params
from toroids.progress import Progress

# Orders of flips: random ones before and after alignment, and a greedy one.
FLIPS = ("flips_raw", "flips", "flips_greedy")


@dataclass(frozen=True)
class Between:
    """Two networks, and the profiles in every way of joining them.

    Attributes:
        landscape: on the manifold of the two.
        alignment: of b to a.
        a: the network that stays, as it came.
        b: the other one, as it came.
        points: of a profile.
        orders: how many random orders of flips.
        blocks: of a greedy order; its profile has two points for each, as within a block the error
            rises and falls.
        parts: whether real networks are also aligned within parts of their group, and by the loss.
    """

    landscape: Landscape
    alignment: Alignment
    a: Params
    b: Params
    points: int
    orders: int = 8
    blocks: int = 100
    parts: bool = False

    @property
    def ways(self) -> tuple[str, ...]:
        """The names of all ways on this manifold."""
        if isinstance(self.landscape.on, Hypercube):
            return FLIPS
        return (*WAYS, *self._by_parts) if self.parts else WAYS

    @cached_property
    def _by_parts(self) -> dict[str, Callable[[], Path]]:
        group, method = toroid_of(self.landscape).group, self.alignment.method
        return joined_by_parts(group, self.a, self.b, self.landscape, method)

    def profile(self, way: str, progress: Progress | None = None) -> Profile | FlipProfile:
        """Measures error and loss in one way.

        Args:
            way: one of `ways`.
            progress: told what is done.

        Returns:
            The profile; of binary networks over several orders of flips.

        Raises:
            ParamsError: there is no such path, as a geodesic between antipodal units.
        """
        alignment = self.alignment
        if way not in FLIPS:
            if way in WAYS:
                group = toroid_of(self.landscape).group
                path = joined(group, alignment, self.a, self.b, [way])[way]
            else:
                path = self._by_parts[way]()
            return profile(self.landscape, path, self.points, progress=progress)
        end = alignment.start if way == "flips_raw" else alignment.params
        greedy = way == "flips_greedy"
        orders = Greedy(1, self.blocks) if greedy else self.orders
        points = 2 * self.blocks + 1 if greedy else self.points
        start = alignment.reference
        return flip_profile(self.landscape, start, end, orders, points, progress=progress)
