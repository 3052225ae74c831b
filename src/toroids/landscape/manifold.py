"""On which manifold a landscape is, for the measures that move there."""

from collections.abc import Sequence

from toroids.arguments.networks import check_several
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
        landscape: made with on=td.geometry.Hypercube(group).

    Returns:
        The hypercube.

    Raises:
        ToroidsError: it is on none.
    """
    if not isinstance(landscape.on, Hypercube):
        raise ToroidsError(
            f"the landscape is on {_kind(landscape)}, not on a hypercube; pass "
            "td.Landscape(model, data, on=td.geometry.Hypercube(group))."
        )
    return landscape.on


def check_networks(landscape: Landscape, networks: Sequence[Params], most: int | None = 3) -> None:
    """Raises unless there are networks through which a section goes.

    Args:
        landscape: of their model; where it is on a manifold, they lie on that.
        networks: a, b and c, or any number from three on.
        most: how many there may be at most; None for any number.

    Raises:
        ParamsError: there are not as many, or one is not of the model's architecture, not finite,
            not canonical on the manifold, or placed elsewhere than the first.
    """
    check_several(networks, 3)
    if most is not None and len(networks) > most:
        of_many = "" if isinstance(landscape.on, Hypercube) else ', or of many axes="principal"'
        raise ParamsError(
            f"there are {len(networks)} networks; a section goes through three{of_many}."
        )
    for number, network in enumerate(networks):
        name = f"network {NAMES[number] if most else number}"
        check_params(landscape.model, network, name)
        if landscape.on is not None:
            landscape.on.check(network, name)
        check_placed_alike(networks[0], network)


def _kind(landscape: Landscape) -> str:
    return "no manifold" if landscape.on is None else f"a {type(landscape.on).__name__}"
