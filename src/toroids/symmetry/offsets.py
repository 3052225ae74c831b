"""Tensors to which the network adds a number, as gains 1 + w: what it reads, and what is stored.

On what the network reads every action is linear; that is where norms, inner products and relative
noise are measured.
"""

from collections.abc import Iterable
from dataclasses import replace

import torch
from torch import Tensor

from toroids.params import Params
from toroids.symmetry.group import SymmetryGroup
from toroids.symmetry.space import Leg
from toroids.symmetry.units import along


def offset_legs(legs: Iterable[Leg]) -> dict[str, list[Leg]]:
    """The legs to which a network adds a number that is not zero, by tensor."""
    found: dict[str, list[Leg]] = {}
    for leg in legs:
        if leg.offset:
            found.setdefault(leg.tensor, []).append(leg)
    return found


def added(legs: Iterable[Leg], tensor: Tensor) -> Tensor | float:
    """What a network adds to a tensor.

    Args:
        legs: of the tensor, to which numbers are added.
        tensor: it.

    Returns:
        A number, or one for every entry, to broadcast.
    """
    total: Tensor | float = 0.0
    for leg in legs:
        if leg.positions is None:
            return leg.offset
        offset = torch.full((1,), leg.offset, dtype=tensor.dtype, device=tensor.device)
        part = along(offset, tensor, leg, 0.0)
        total = torch.where(part != 0, part, total)  # several spaces may move the same entries
    return total


def offsets_of(group: SymmetryGroup) -> dict[str, list[Leg]]:
    """The legs to which the network adds numbers, by tensor."""
    return offset_legs(leg for space in group.spaces for leg in space.legs)


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


def _plus(params: Params, offsets: dict[str, list[Leg]], sign: int) -> Params:
    own = {name: legs for name, legs in offsets.items() if name in params}
    if not own:
        return params
    moved: dict[str, Tensor] = {
        name: params[name] + sign * added(legs, params[name]) for name, legs in own.items()
    }
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
