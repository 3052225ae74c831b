"""Single units that lie alike, as those of a norm over an image that is taken apart: one space.

What tells units apart keeps them in place, each in a space of its own. Where the same acts on the
same axes of the same tensors, they are the units of one space that nothing permutes: a table of
one line, and one step where there were as many as there are units.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import TypeAlias

from toroids.symmetry.space import Leg, Space, WeightNorm

Shapes: TypeAlias = Mapping[str, tuple[int, ...]]
Place: TypeAlias = tuple[str, int, int]  # a tensor, an axis of it, and how many are meant


def joined(spaces: Sequence[Space], shapes: Shapes) -> list[Space]:
    """Puts single units that lie alike into one space.

    Args:
        spaces: of a group.
        shapes: of its tensors.

    Returns:
        The spaces, those of several units in place of the first of these.
    """
    carriers = {name for space in spaces for name in space.within}
    singles = {space.name: _likeness(space) for space in spaces if space.name not in carriers}
    wanted = {_place(x) for space in spaces if singles.get(space.name) for x in space.legs}
    held = Counter(
        (_place(leg), place)
        for space in spaces
        for leg in space.legs
        if _place(leg) in wanted
        for place in leg.places(shapes[leg.tensor])
    )
    alike: dict[object, list[Space]] = {}
    for space in spaces:
        apart = all(held[_place(x), at] == 1 for x in space.legs for at in x.positions or ())
        key = singles.get(space.name) if apart else None
        alike.setdefault(space.name if key is None else key, []).append(space)
    return [_one(own, shapes) for own in alike.values()]


def _place(leg: Leg) -> Place:
    return leg.tensor, leg.axis, leg.span


def _likeness(space: Space) -> object:
    """What single units of one space have in common; None for others."""
    if not space.is_single or any(leg.positions is None for leg in space.legs):
        return None
    legs = tuple((replace(leg, positions=None), len(leg.positions or ())) for leg in space.legs)
    followed = tuple((replace(norm, told=()), _told(space, norm)) for norm in space.weight_norms)
    return legs, space.generators, space.within, space.norms, followed


def _told(space: Space, norm: WeightNorm) -> tuple[tuple[int, int], ...]:
    """The pairs of legs with scales of whole norms, by number."""
    return tuple((space.legs.index(x), space.legs.index(y)) for x, y in norm.told)


def _one(spaces: Sequence[Space], shapes: Shapes) -> Space:
    """The space of the units of several."""
    first = spaces[0]
    if len(spaces) == 1:
        return first
    legs: list[Leg] = []
    for number, leg in enumerate(first.legs):
        own = [space.legs[number].positions or () for space in spaces]
        positions = tuple(chain.from_iterable(own))
        # where units are the positions of the axis, nothing is said of them
        axis = replace(leg, positions=None).places(shapes[leg.tensor])
        whole = len(axis) == len(spaces) and positions == (*axis,)
        legs.append(replace(leg, positions=None if whole else positions))
    followed = tuple(
        replace(norm, told=tuple((legs[i], legs[j]) for i, j in _told(first, norm)))
        for norm in first.weight_norms
    )
    return replace(first, size=len(spaces), legs=tuple(legs), weight_norms=followed)
