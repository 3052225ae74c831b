"""What is measured of networks on the toroid and on the hypercube, by the names in rows."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Manifold:
    """The names of the same measures on one of the two manifolds.

    Attributes:
        name: of the manifold.
        distance: the measure that compares networks of all sizes.
        unit: of that.
        direct: the path between aligned networks on which nothing is left to remove.
        lowest: of all such paths the one by which it goes whether there is a low one.
        bend: the path over a trained bend by which claims go.
        bend_beside: those that are stated beside it.
        disturbance: what weights undergo at a strength, for str.format; 100 times it comes second.
    """

    name: str
    distance: str
    unit: Literal["radians", "fraction"]
    direct: str
    lowest: str
    bend: str
    bend_beside: tuple[str, ...]
    disturbance: str


TOROID = Manifold(
    name="toroid",
    distance="mean_angle",
    unit="radians",
    direct="geodesic",
    lowest="geodesic",
    bend="bend",
    bend_beside=(),
    disturbance="sigma {0:g}",
)
HYPERCUBE = Manifold(
    name="hypercube",
    distance="hamming",
    unit="fraction",
    direct="flips",  # in random orders, of which every one is a geodesic
    lowest="flips_greedy",  # half of the differing weights flipped at random is no low point
    bend="bend_greedy",  # the claim is that such a path exists
    bend_beside=("bend",),
    disturbance="{1:g} % of the weights flipped",
)


def manifold_of(binary: bool) -> Manifold:
    """The manifold of networks with weights of -1 and +1, or of real ones."""
    return HYPERCUBE if binary else TOROID
