"""Generators of spaces that say what another space says already."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import product

import numpy as np

from toroids.discovery.inference.exponents import Vector, complement
from toroids.symmetry.space import Action, Generator, Leg, Space

Axes = dict[str, tuple[int, int]]  # for tensors the first axis, and how many, of a leg
Entry = tuple[str, int, int, int]  # a tensor, its axes, and where along them


# For generators of one action what may say them already.
SAYING: Mapping[Action, tuple[Action, ...]] = {"rescale": ("rescale",), "flip": ("flip", "phase")}


def without_redundant(
    spaces: Sequence[Space], by: Space, shapes: Mapping[str, tuple[int, ...]],
    actions: Sequence[Action] = tuple(SAYING),
) -> list[Space]:  # fmt: skip
    """Leaves out the scales and flips that are combinations of those of another space.

    Args:
        spaces: of a group.
        by: another space, of which one unit may be part of a unit of theirs.
        shapes: of the tensors.
        actions: which of the two.

    Returns:
        The spaces; those that nothing is left to, and that carry none, are left out.
    """
    axes = {leg.tensor: (leg.axis, leg.span) for leg in by.legs}
    held = [_entries(by, unit, axes, shapes) for unit in range(by.copies * by.size)]
    names = {name for space in (*spaces, by) for name in space.within}
    result = []
    for space in spaces:
        kept = _kept(space, by, held, axes, shapes, actions)
        left = {g.action for g in kept} | (space.actions & {"permute"})
        if left or space.name in names:
            result.append(replace(space, generators=kept, actions=frozenset(left)))
    return result


def _kept(
    space: Space, by: Space, held: Sequence[Sequence[set[Entry]]], axes: Axes,
    shapes: Mapping[str, tuple[int, ...]], actions: Sequence[Action],
) -> tuple[Generator, ...]:  # fmt: skip
    """The generators that are independent of those of another space."""
    if not {leg.tensor for leg in space.legs} & axes.keys():
        return space.generators
    own = _entries(space, 0, axes, shapes)
    every = set().union(*own)
    near = [unit for unit in held if any(not every.isdisjoint(entries) for entries in unit)]
    number = {
        entry: i for i, entry in enumerate(sorted(every.union(*(e for u in near for e in u))))
    }

    def vector(generator: Generator, unit: Sequence[set[Entry]], even: bool) -> Vector:
        found: Vector = {}
        for entries, power in zip(unit, generator.exponents, strict=True):
            for entry in entries if power else ():
                value = found.get(number[entry], Fraction(0)) + Fraction(power)
                found[number[entry]] = value % 2 if even else value
        return {at: value for at, value in found.items() if value}

    dropped: set[Generator] = set()
    for action in actions:
        even = action == "flip"
        known = [vector(g, u, even) for kind in SAYING[action] for g in by.of(kind) for u in near]
        # those that move few weights stay
        mine = sorted(space.of(action), key=lambda g: np.count_nonzero(g.exponents))
        free = complement([vector(g, own, even) for g in mine], known, modulo_two=even)
        dropped |= {g for i, g in enumerate(mine) if i not in free}
    return tuple(g for g in space.generators if g not in dropped)


def _entries(
    space: Space, unit: int, axes: Axes, shapes: Mapping[str, tuple[int, ...]]
) -> list[set[Entry]]:
    """For every leg what one unit holds, told by axes of another space where these are more."""
    return [set(_of_leg(leg, space, unit, axes, shapes[leg.tensor])) for leg in space.legs]


def _of_leg(leg: Leg, space: Space, unit: int, axes: Axes, shape: tuple[int, ...]) -> list[Entry]:
    own = range(leg.axis, leg.axis + leg.span)
    length = math.prod(shape[axis] for axis in own)
    positions = leg.positions or range(length)
    each = len(positions) // (space.copies * space.size)
    places = positions[unit * each : (unit + 1) * each]
    first, span = axes.get(leg.tensor, (leg.axis, leg.span))
    if not set(own) <= set(range(first, first + span)):
        return [(leg.tensor, leg.axis, leg.span, place) for place in places]
    before = math.prod(shape[first : leg.axis])
    behind = math.prod(shape[own[-1] + 1 : first + span])
    return [
        (leg.tensor, first, span, (x * length + place) * behind + y)
        for x, place, y in product(range(before), places, range(behind))
    ]
