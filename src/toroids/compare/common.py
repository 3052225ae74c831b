"""What two networks have in common where only parts of them are compared."""

from collections.abc import Collection
from dataclasses import replace

from torch import Tensor

from toroids.align.trunk import compared
from toroids.checkpoint.matching import listed
from toroids.compare.surrogate import moved_axes
from toroids.errors import ParamsError
from toroids.params import Params
from toroids.symmetry.group import SymmetryGroup

Part = tuple[SymmetryGroup, dict[str, Tensor], dict[str, Tensor], tuple[str, ...]]


def common_part(group: SymmetryGroup, a: Params, b: Params, shared: Collection[str]) -> Part:
    """Cuts two networks, and their group, to the parts that are compared.

    Where an axis that no symmetry moves has other lengths, as a vocabulary that grew, the first
    entries are compared, as many as both have.

    Args:
        group: the architecture's.
        a: a network, parameters and buffers by name; others than those compared may be missing.
        b: another one.
        shared: names of the tensors that are compared.

    Returns:
        The group of these tensors, the tensors of both networks, and notes on what was cut.

    Raises:
        ParamsError: one of them is missing, or has other units than the group says.
    """
    axes, shapes, short = moved_axes(group), dict(group.shapes), []
    for name in (name for name in group.shapes if name in shared):
        for params, what in ((a, "the first network"), (b, "the second network")):
            _check(params, what, name, group.shapes[name], axes.get(name, set()))
        pair = (tuple(a[name].shape), tuple(b[name].shape))
        shapes[name] = tuple(map(min, *pair))
        short += [name] * (pair[0] != pair[1])
    part = compared(replace(group, shapes=shapes), shared)
    left, right = (
        {name: x[name][tuple(map(slice, shape))] for name, shape in part.shapes.items()}
        for x in (a, b)
    )
    note = f"of {listed(short)} the first entries are compared, as many as both networks have"
    return part, left, right, (note,) if short else ()


def _check(
    params: Params, what: str, name: str, expected: tuple[int, ...], moved: Collection[int]
) -> None:
    if name not in params:
        raise ParamsError(f"{what} has no `{name}`; leave it out of `only`, or pass all of it.")
    shape = tuple(params[name].shape)
    if len(shape) != len(expected) or any(shape[axis] != expected[axis] for axis in moved):
        raise ParamsError(
            f"`{name}` in {what} has the shape {shape}, expected {tuple(expected)}, and symmetries "
            f"move axes {sorted(moved)}; leave it out of `only`, or td.widen the narrower network."
        )
