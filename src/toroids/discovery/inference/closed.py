"""Shifts that stay shifts, whatever else acts.

A shift is the same along all other axes of a tensor, and inside a unit, which permutations keep;
where scales, signs or matrices act on another axis, as on the columns of w in w + w^T, or on parts
of a unit, as on the entries of a head, it does not stay so.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

import numpy as np

from toroids.discovery.axes.constraints import Ids
from toroids.symmetry.space import Leg, Space

Shapes: TypeAlias = Mapping[str, tuple[int, ...]]


def closed(spaces: Sequence[Space], shapes: Shapes) -> list[Space]:
    """Leaves out shifts that other actions would turn into something else.

    Returns:
        The spaces with what is left to them.
    """
    acting = _acting(spaces)
    result = []
    for space in spaces:
        kept = tuple(
            g
            for g in space.generators
            if g.action != "shift"
            or all(
                _stays(leg, space, acting, shapes)
                for leg, e in zip(space.legs, g.exponents, strict=True)
                if e
            )
        )
        actions = {g.action for g in kept} | (space.actions & {"permute"})
        result.append(replace(space, generators=kept, actions=frozenset(actions)))
    carriers = {name for space in result for name in space.within}
    return [space for space in result if space.actions or space.name in carriers]


def keeps_shifts(by: Space, spaces: Sequence[Space], shapes: Shapes) -> bool:
    """Whether what acts on one space makes shifts of all shifts of others."""
    acting = _acting([by])
    return all(
        _stays(leg, space, acting, shapes)
        for space in spaces
        for shift in space.of("shift")
        for leg, e in zip(space.legs, shift.exponents, strict=True)
        if e
    )


def _acting(spaces: Sequence[Space]) -> list[tuple[Leg, Space]]:
    """The legs that something else than permutations and shifts acts on."""
    return [
        (leg, space)
        for space in spaces
        for i, leg in enumerate(space.legs)
        if any(g.exponents[i] for g in space.generators if g.action != "shift")
    ]


def _stays(
    leg: Leg, space: Space, acting: Sequence[tuple[Leg, Space]], shapes: Shapes
) -> bool:  # fmt: skip
    """Whether a shift stays one where others act."""
    for other, by in acting:
        if other.tensor != leg.tensor:
            continue
        if not (other.axis <= leg.axis and leg.axis + leg.span <= other.axis + other.span):
            return False
        if (other.axis, other.span) == (leg.axis, leg.span):
            own, others = _units(leg, space, shapes), _units(other, by, shapes)
            pairs = np.unique(np.stack([own, others])[:, own >= 0], axis=1)
            if len(np.unique(pairs[0])) < pairs.shape[1]:  # one acts on parts of a unit
                return False
    return True


def _units(leg: Leg, space: Space, shapes: Shapes) -> Ids:
    """The unit of every position along a leg; -1 for none."""
    length = math.prod(shapes[leg.tensor][leg.axis : leg.axis + leg.span])
    held = np.array(leg.places(shapes[leg.tensor]))
    labels = np.full(length, -1)
    count = space.copies * space.size
    labels[held] = np.repeat(np.arange(count), len(held) // count)
    return labels
