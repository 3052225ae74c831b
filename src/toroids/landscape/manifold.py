"""On which manifold a landscape is, for the measures that move there."""

from collections.abc import Sequence

from toroids.arguments import check_several
from toroids.errors import ParamsError, ToroidsError
from toroids.evaluation.landscape import Landscape
from toroids.evaluation.running import check_params
from toroids.geometry.hypercube import Hypercube
from toroids.geometry.toroid import Toroid
from toroids.params import Params, check_placed_alike

NAMES = ("a", "b", "c")  # of the networks of a section


def toroid_of(landscape: Landscape) -> Toroid:
    """Finds the toroid on which a landscape is.

    Args:
        landscape: made with on=td.Toroid(group).

    Returns:
        The toroid.

    Raises:
        ToroidsError: it is on none.
    """
    if not isinstance(landscape.on, Toroid):
        raise ToroidsError(
            f"the landscape is on {_kind(landscape)}, not on a toroid; pass "
            "td.Landscape(model, data, on=td.Toroid(group))."
        )
    return landscape.on


def cube_of(landscape: Landscape) -> Hypercube:
    """Finds the hypercube on which a landscape is.

    Args:
        landscape: made with on=td.Hypercube(group).

    Returns:
        The hypercube.

    Raises:
        ToroidsError: it is on none.
    """
    if not isinstance(landscape.on, Hypercube):
        raise ToroidsError(
            f"the landscape is on {_kind(landscape)}, not on a hypercube; pass "
            "td.Landscape(model, data, on=td.Hypercube(group))."
        )
    return landscape.on


def check_three(landscape: Landscape, networks: Sequence[Params]) -> None:
    """Raises unless there are three networks through which a section goes.

    Args:
        landscape: of their model; where it is on a manifold, they lie on that.
        networks: a, b and c.

    Raises:
        ParamsError: there are not three, or one is not of the model's architecture, not finite, not
            canonical on the manifold, or placed elsewhere than the first.
    """
    check_several(networks, 3)
    if len(networks) > 3:
        raise ParamsError(f"there are {len(networks)} networks; a section goes through three.")
    for name, network in zip(NAMES, networks, strict=True):
        check_params(landscape.model, network, f"network {name}")
        if landscape.on is not None:
            landscape.on.check(network, f"network {name}")
        check_placed_alike(networks[0], network)


def _kind(landscape: Landscape) -> str:
    return "no manifold" if landscape.on is None else f"a {type(landscape.on).__name__}"
