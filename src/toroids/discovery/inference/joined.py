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
    alike: dict[object, list[Space]] = {}
    for space in spaces:
        key = _likeness(space) if space.name not in carriers else None
        alike.setdefault(space.name if key is None else key, []).append(space)
    parted = chain.from_iterable(
        [own] if len(own) == 1 or _are_apart(own, shapes) else [[space] for space in own]
        for own in alike.values()
    )
    held = Counter(place for space in spaces for place in {*map(_place, space.legs)})
    return [_one(own, shapes, held) for own in parted]


def _place(leg: Leg) -> Place:
    return leg.tensor, leg.axis, leg.span


def _are_apart(spaces: Sequence[Space], shapes: Shapes) -> bool:
    """Whether no entry of an axis lies on two of some spaces, or twice on one."""
    held: set[tuple[Place, int]] = set()
    for leg in (leg for space in spaces for leg in space.legs):
        own = {(_place(leg), at) for at in leg.places(shapes[leg.tensor])}
        if own & held:
            return False
        held |= own
    return True


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


def _one(spaces: Sequence[Space], shapes: Shapes, held: Mapping[Place, int]) -> Space:
    """The space of the units of several; `held` says how many spaces lie on an axis."""
    first = spaces[0]
    if len(spaces) == 1:
        return first
    legs: list[Leg] = []
    for number, leg in enumerate(first.legs):
        own = [space.legs[number].positions or () for space in spaces]
        positions = tuple(chain.from_iterable(own))
        # where units are the positions of an axis of their own, nothing is said of them
        axis = replace(leg, positions=None).places(shapes[leg.tensor])
        alone = held[_place(leg)] == len(spaces)
        whole = alone and len(axis) == len(spaces) and positions == (*axis,)
        legs.append(replace(leg, positions=None if whole else positions))
    followed = tuple(
        replace(norm, told=tuple((legs[i], legs[j]) for i, j in _told(first, norm)))
        for norm in first.weight_norms
    )
    return replace(first, size=len(spaces), legs=tuple(legs), weight_norms=followed)
