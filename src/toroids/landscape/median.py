"""What a plane through three networks becomes on a hypercube: three squares around their median.

The median m of three corners a, b, c has of every weight the majority. Where a differs from it, b
and c agree with it: the three go from m by flipping disjoint sets of weights, A, B and C. Face
(i, j) holds the corners with a fraction s of i's flips and a fraction t of j's made, every leg in
one random order, and

    d((s, t), (s', t')) = |s - s'| |I| / n + |t - t'| |J| / n

is the exact Hamming distance, also between points of two faces, where the fractions of the leg that
a face lacks are zero: the three faces are those of a box that meet in one of its corners.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from toroids.arguments.checked import checked
from toroids.errors import NotFiniteError, ToroidsError
from toroids.evaluation.landscape import Landscape
from toroids.geometry.hypercube import Hypercube
from toroids.landscape.manifold import NAMES, check_networks, cube_of
from toroids.landscape.recalibrate import between
from toroids.params import Params
from toroids.progress import Progress
from toroids.result import Result

PAIRS = ((0, 1), (0, 2), (1, 2))


@dataclass(frozen=True, repr=False)
class MedianSection(Result):
    """Error and loss on three faces around the median; float64 tensors on the CPU.

    Attributes:
        fractions: of the flips of a leg, ascending from 0 at the median to 1 at the network, of
            shape (r,).
        distances: Hamming distance to the median of the points of every leg, in fractions of all
            weights, of shape (3, r); at `fractions` up to the rounding of flips.
        error: mean error, of shape (3, r, r); entry (f, p, q) has a fraction p of the flips of the
            first and q of those of the second network of face f made. NaN where outputs are not
            finite.
        loss: mean loss, like `error`.
        error_stderr: standard error of `error` over the examples, like `error`.
        median: the majority of the three; what is not binary is their mean on the toroid.
        faces: numbers of the two networks of every face, a = 0, b = 1 and c = 2.
        notes: empty legs, and a sentence for every point whose outputs are not finite.

    See `median_section` for an example.
    """

    fractions: Tensor
    distances: Tensor
    error: Tensor
    loss: Tensor
    error_stderr: Tensor
    median: Params
    faces: tuple[tuple[int, int], ...] = PAIRS
    notes: tuple[str, ...] = ()

    also = ("median_error",)

    @property
    def legs(self) -> Tensor:
        """Distances of a, b and c from the median, of shape (3,); two add up to that of a pair."""
        return self.distances[:, -1]

    @property
    def errors(self) -> Tensor:
        """Errors of a, b and c, of shape (3,)."""
        return torch.stack([self.error[0, -1, 0], self.error[0, 0, -1], self.error[1, 0, -1]])

    @property
    def median_error(self) -> float:
        """The error of the median."""
        return float(self.error[0, 0, 0])


@checked
def median_section(
    landscape: Landscape,
    networks: Sequence[Params],
    resolution: int = 11,
    *,
    generator: torch.Generator | None = None,
    progress: Progress | None = None,
) -> MedianSection:
    """Measures error and loss on three squares of the hypercube that hold three networks.

    A picture of face (i, j) has the median at (0, 0), network i at (1, 0) and network j at (0, 1).
    Every staircase from i to j that goes only towards the median in i's flips and away from it in
    j's is a geodesic between the two: along the legs through the median, across the middle, or over
    the far corner (1, 1), where both have made all their flips. Low errors along one of them mean
    that i and j are joined; low errors at the median, that one point sees all three.

    Costs 3 (r - 1)^2 + 3 (r - 1) + 1 evaluations at resolution r.

    Args:
        landscape: model, data and metric, on the hypercube of the networks. Statistics of batch
            norms are estimated anew everywhere but at the three networks, unless it keeps them.
        networks: a, b and c: three canonical networks, the others aligned to the first.
        resolution: points of every leg, both ends included, at least 2.
        generator: source of the orders of flips, on the CPU; seeded with 0 when None.
        progress: called with a text, the number of points done, and of all points.

    Returns:
        The three faces. Real parameters are at a point what the toroid's geodesic between those of
        its two projections on the legs gives, at t / (s + t).

    Raises:
        ToroidsError: a resolution below 2, or a landscape that is not on a hypercube.
        ParamsError: there are not three networks, or one is not of the model's architecture, not
            finite or not canonical.
        DataError: as in `evaluate`.

    Example:
        >>> import torch, toroids as td
        >>> make = td.models.binary_fully_connected
        >>> data = (torch.randn(8, 5), torch.zeros(8, dtype=torch.long))
        >>> cube = td.geometry.Hypercube(td.discover(make([5, 3, 2]), torch.ones(1, 5)))
        >>> networks = [
        ...     td.canonicalize(cube.group, make([5, 3, 2], seed=seed).state_dict())
        ...     for seed in range(3)
        ... ]
        >>> landscape = td.Landscape(make([5, 3, 2]), data, on=cube)
        >>> found = td.median_section(landscape, networks, resolution=5)
        >>> found.error.shape
        torch.Size([3, 5, 5])
        >>> abs(float(found.legs[0] + found.legs[1]) - cube.distance(*networks[:2])) < 1e-12
        True

    Reference:
        H.-J. Bandelt, V. Chepoi, Metric graph theory and geometry: a survey, 2008, for medians.
    """
    if resolution < 2:
        raise ToroidsError(f"the resolution is {resolution}; pass at least 2, the ends of a leg.")
    cube = cube_of(landscape)
    check_networks(landscape, networks)
    legs = _Legs(cube, tuple(networks), generator or torch.Generator().manual_seed(0))
    return _Measured(landscape, legs, resolution, progress).section()


class _Legs:
    """The flips from the median to three networks, and the corners that some of them make."""

    def __init__(
        self, cube: Hypercube, networks: tuple[Params, ...], generator: torch.Generator
    ) -> None:
        self._cube, self._networks = cube, networks
        self.weights = cube.weights
        self._row = self.weights.flat(cube.majority(networks))
        self.orders = [
            self._shuffled((self.weights.flat(network) != self._row).nonzero().flatten(), generator)
            for network in networks
        ]
        binary = {*self.weights.names, *self.weights.tied}
        self._has_rest = any(name not in binary for name in networks[0])

    @staticmethod
    def _shuffled(positions: Tensor, generator: torch.Generator) -> Tensor:
        return positions[torch.randperm(len(positions), generator=generator).to(positions.device)]

    @cached_property
    def median(self) -> dict[str, Tensor]:
        """The majority of the weights, and the mean of everything else."""
        first = self._networks[0]
        others = self._cube.toroid.mean(self._networks) if self._has_rest else first
        return {**others, **self.weights.tensors(self._row, first)}

    def flips(self, leg: int, fraction: float) -> Tensor:
        """The first flips of a leg."""
        order = self.orders[leg]
        return order[: round(fraction * len(order))]

    def at(self, face: tuple[int, int], s: float, t: float) -> Params:
        """The corner with fractions s and t of the flips of a face's two legs; networks exact."""
        for leg, fraction, other in ((0, s, t), (1, t, s)):
            if fraction == 1 and other == 0:
                return self._networks[face[leg]]
        i, j = face
        row = self._row.clone()
        flipped = torch.cat([self.flips(i, s), self.flips(j, t)])
        row[flipped] = -row[flipped]
        others = self._rest(face, s, t) if self._has_rest else self.median
        return {**others, **self.weights.tensors(row, self.median)}

    def _rest(self, face: tuple[int, int], s: float, t: float) -> Params:
        """What is not binary; the binary weights are the median's."""
        on_legs = [self._on_leg(i, x) for i, x in zip(face, (s, t), strict=True)]
        if s == 0 or t == 0:
            return on_legs[s == 0]
        return self._cube.toroid.geodesic(*on_legs)(t / (s + t))

    def _on_leg(self, leg: int, fraction: float) -> Params:
        weights = self.weights.tensors(self._row, self.median)
        end = {**self._networks[leg], **weights}
        return {**self._cube.toroid.geodesic(self.median, end)(fraction), **weights}


class _Measured:
    """Evaluates the points of three faces, each once though legs are shared."""

    def __init__(
        self, landscape: Landscape, legs: _Legs, resolution: int, progress: Progress | None
    ) -> None:
        self._landscape, self._legs, self._progress = landscape, legs, progress
        self._ready = between(landscape)
        self._fractions = torch.linspace(0, 1, resolution, dtype=torch.float64)
        self._known: dict[tuple[tuple[int, int], ...], tuple[float, float, float]] = {}
        self._notes = [
            f"network {NAMES[leg]} is the median of the three; its leg has no flips"
            for leg, order in enumerate(legs.orders)
            if not len(order)
        ]

    def section(self) -> MedianSection:
        """Evaluates all points."""
        size = range(len(self._fractions))
        values = torch.tensor(
            [[[self._value(face, p, q) for q in size] for p in size] for face in PAIRS],
            dtype=torch.float64,
        )
        counts = [
            [len(self._legs.flips(leg, x)) for x in self._fractions.tolist()] for leg in range(3)
        ]
        error, loss, stderr = values.unbind(dim=-1)
        return MedianSection(
            fractions=self._fractions,
            distances=torch.tensor(counts, dtype=torch.float64) / self._legs.weights.entries,
            error=error,
            loss=loss,
            error_stderr=stderr,
            median=self._legs.median,
            notes=tuple(self._notes),
        )

    def _value(self, face: tuple[int, int], p: int, q: int) -> tuple[float, float, float]:
        place = tuple((leg, step) for leg, step in zip(face, (p, q), strict=True) if step)
        if place not in self._known:
            self._known[place] = self._evaluated(face, p, q)
            if self._progress is not None:
                steps = len(self._fractions) - 1
                total = 3 * steps * steps + 3 * steps + 1
                self._progress("evaluating the faces", len(self._known), total)
        return self._known[place]

    def _evaluated(self, face: tuple[int, int], p: int, q: int) -> tuple[float, float, float]:
        s, t = float(self._fractions[p]), float(self._fractions[q])
        params = self._legs.at(face, s, t)
        try:
            network = {s, t} == {0.0, 1.0}
            found = self._landscape.measure(params if network else self._ready(params))
        except NotFiniteError as error:
            i, j = (NAMES[leg] for leg in face)
            self._notes.append(f"on face ({i}, {j}) at s = {s:.6g}, t = {t:.6g} {error}")
            return (torch.nan, torch.nan, torch.nan)
        return found.error, found.loss, found.error_stderr
