"""Whether a network can be compared, and how much of one of another architecture fits."""

from toroids.canonical.form import moved_weights
from toroids.errors import ParamsError
from toroids.params import Params, check_finite, check_floating
from toroids.symmetry.group import SymmetryGroup


def check_network(group: SymmetryGroup, params: Params, what: str, whole: bool = True) -> None:
    """Raises unless a network is one of an architecture that can be compared.

    Args:
        group: the architecture's symmetry group.
        params: parameters and buffers by name.
        what: how the message calls them.
        whole: whether all of it must have the architecture's shapes.

    Raises:
        ParamsError: it is of another architecture, not finite, or quantised.
    """
    check_floating(params, moved_weights(group), what)
    if whole:
        _check_fits(group, params, what)
    check_finite(params, what)


def _check_fits(group: SymmetryGroup, params: Params, what: str) -> None:
    """Raises where a network is of another architecture, and says how much of it fits."""
    shapes = {name: tuple(tensor.shape) for name, tensor in params.items()}
    wrong = [name for name, shape in group.shapes.items() if shapes.get(name) != tuple(shape)]
    if not wrong:
        return group.check(params, what)
    name = wrong[0]
    has = f"has shape {shapes[name]}" if name in shapes else "is not there"
    fit = [known for known in group.shapes if known not in wrong]
    parts = sorted({known.partition(".")[0] for known in fit})
    advice = "pass networks of one architecture"
    if fit:
        advice += f", or compare what fits with only=, as only={parts[:3]}"
    raise ParamsError(
        f"{what} is of another architecture: {len(fit)} of {len(group.shapes)} tensors fit, but "
        f"`{name}` {has}, expected {tuple(group.shapes[name])}; {advice}."
    )
