"""Tensors to which the network adds a number, as gains 1 + w: what it reads, and what is stored.

On what the network reads every action is linear; that is where norms, inner products and relative
noise are measured.
"""

from dataclasses import replace

from torch import Tensor

from toroids.params import Params
from toroids.symmetry.group import SymmetryGroup


def offsets_of(group: SymmetryGroup) -> dict[str, float]:
    """The numbers that a network adds to its tensors, by tensor, where they are not zero."""
    return {leg.tensor: leg.offset for s in group.spaces for leg in s.legs if leg.offset}


def as_read(group: SymmetryGroup, params: Params) -> Params:
    """The numbers that a network reads: its tensors with what is added to them.

    Args:
        group: of the parameters as they are stored.
        params: parameters by name; those that are missing are left out.

    Returns:
        `params` itself where nothing is added.
    """
    return _plus(params, offsets_of(group), 1)


def as_stored(group: SymmetryGroup, params: Params) -> Params:
    """Undoes `as_read`."""
    return _plus(params, offsets_of(group), -1)


def _plus(params: Params, offsets: dict[str, float], sign: int) -> Params:
    own = {name: x for name, x in offsets.items() if name in params}
    if not own:
        return params
    moved: dict[str, Tensor] = {name: params[name] + sign * x for name, x in own.items()}
    return {**params, **moved}


def group_as_read(group: SymmetryGroup) -> SymmetryGroup:
    """The group that acts on what `as_read` gives: the same, with nothing added to its legs."""
    if not offsets_of(group):
        return group
    spaces = []
    for space in group.spaces:
        plain = {leg: replace(leg, offset=0.0) for leg in space.legs}
        generators = tuple(
            replace(g, absorbed=tuple(replace(a, reader=plain[a.reader]) for a in g.absorbed))
            for g in space.generators
        )
        spaces.append(replace(space, legs=tuple(plain.values()), generators=generators))
    return replace(group, spaces=tuple(spaces))
