"""What spaces do to tensors where all their units scale alike, or flip.

Matrices and phases hold such scales and signs as well: -1 is a phase, and c times the unit matrix a
matrix. So what a single unit for whole tensors says is compared with the finished spaces. Of the
signs that say the same beside those, the ones are taken that leave the gains of streams that rotate
as they are: their canonical form, in which matrices are known, has gains of one.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from toroids.discovery.inference.exponents import Vector, complement, fraction
from toroids.symmetry.following import following
from toroids.symmetry.space import Action, Generator, Leg, Space

Shapes = Mapping[str, tuple[int, ...]]
# By tensor, axis and number of axes, the positions along these.
Places = dict[tuple[str, int, int], frozenset[int]]
HOLDING: Mapping[Action, tuple[Action, ...]] = {
    "rescale": ("rescale", "mix"), "flip": ("flip", "mix", "rotate", "phase"),
}  # fmt: skip


def without_uniform(
    wholes: Sequence[Space], spaces: Sequence[Space], shapes: Shapes
) -> list[Space]:
    """Leaves out scales and signs of single units that the units of other spaces have all alike.

    Args:
        wholes: spaces of one unit, with scales and signs only.
        spaces: all others.
        shapes: of the tensors.

    Returns:
        What is independent of the others, and of each other; spaces without any are left out.
    """
    if not wholes:
        return []
    entries = _Entries([*spaces, *wholes], shapes)
    kept: dict[str, list[Generator]] = {space.name: [] for space in wholes}
    # where -1 is no rotation, as it moves the mean, a sign beside rotations has no gauge
    turned = {
        leg.tensor
        for space in spaces
        for rotate in space.of("rotate")
        for leg, e in zip(space.legs, rotate.exponents, strict=True)
        if e and rotate.fixes_mean
    }
    for action, holding in HOLDING.items():
        even = action == "flip"
        known = [
            entries.moved(s, g, even)
            for s in spaces
            for g in s.generators
            if g.action in holding and not g.fixes_mean
        ]
        own = [
            (s.name, g, entries.moved(s, g, even))
            for s in wholes
            for g in s.of(action)
            if not (even and turned & {x.tensor for x in s.legs})
        ]
        for at in complement([vector for _, _, vector in own], known, modulo_two=even):
            kept[own[at][0]].append(own[at][1])
    left = [
        replace(s, generators=tuple(held), actions=frozenset(g.action for g in held))
        for s in wholes
        if (held := kept[s.name])
    ]
    return [part for space in left for part in _off_gains(space, spaces, shapes)]


def _off_gains(whole: Space, spaces: Sequence[Space], shapes: Shapes) -> list[Space]:
    """The same, with a sign that leaves the gains of streams that rotate as they are."""
    moved = before = _flipped(whole, whole.of("flip"), shapes)
    for space in spaces:
        for gain in dict.fromkeys(gain for gain in space.gains if gain is not None):
            name = space.legs[gain].tensor
            flip = next((g for g in space.of("flip") if g.exponents[gain]), None)
            if flip is not None and any(tensor == name for tensor, _, _ in moved):
                moved = _both(moved, _flipped(space, (flip,), shapes))
    if moved == before:
        return [whole]
    known = {leg.tensor: leg for space in (whole, *spaces) for leg in space.legs}
    legs = []
    for (name, axis, span), places in moved.items():
        length = math.prod(shapes[name][axis : axis + span])
        positions = tuple(sorted(places)) if len(places) < length else None
        legs.append(replace(known[name], axis=axis, role="write", span=span, positions=positions))
    sign = Generator("flip", (1.0,) * len(legs))
    turning = replace(
        whole, name=f"{whole.name}:sign", legs=tuple(legs), generators=(sign,),
        actions=frozenset({"flip"}), norms=(), weight_norms=(),
    )  # fmt: skip
    scales = whole.of("rescale")
    if not scales:
        return [replace(turning, name=whole.name)]
    return [replace(whole, generators=scales, actions=frozenset({"rescale"})), turning]


def _flipped(space: Space, flips: Sequence[Generator], shapes: Shapes) -> Places:
    """Where the signs of tensors change when all units of a space flip."""
    found: Places = {}
    for flip in flips:
        for leg, power in zip(space.legs, flip.exponents, strict=True):
            if power:
                shape = shapes[leg.tensor]
                places = frozenset(leg.places(shape))
                place = (leg.tensor, leg.axis, leg.span)
                if len(places) == math.prod(shape[leg.axis : leg.axis + leg.span]):
                    place, places = (leg.tensor, 0, len(shape)), frozenset(range(math.prod(shape)))
                found = _both(found, {place: places})
    return found


def _both(one: Places, other: Places) -> Places:
    """Where signs change when two change theirs."""
    places = {**one, **other}
    both = {at: one.get(at, frozenset()) ^ other.get(at, frozenset()) for at in places}
    return {at: left for at, left in both.items() if left}


class _Entries:
    """Entries of all tensors, each of which stands for those that the same legs hold."""

    def __init__(self, spaces: Sequence[Space], shapes: Shapes) -> None:
        self._shapes = shapes
        legs: dict[str, dict[Leg, None]] = {}
        for space in spaces:
            moves = (own for generator in space.generators for own in self._moves(space, generator))
            for leg in (*space.legs, *(leg for leg, _ in moves)):
                legs.setdefault(leg.tensor, {})[leg] = None
        self._held: dict[Leg, list[int]] = {}
        count = 0
        for name, own in legs.items():
            held = _held(list(own), shapes[name])
            self._held |= {
                x: (count + np.flatnonzero(h)).tolist() for x, h in zip(own, held, strict=True)
            }
            count += held.shape[1]

    def moved(self, space: Space, generator: Generator, even: bool) -> Vector:
        """The power that every entry takes where all units of a space move alike."""
        powers: Vector = {}
        for leg, power in self._moves(space, generator):
            for entry in self._held[leg]:
                powers[entry] = powers.get(entry, 0) + fraction(power)
        return {at: left for at, x in powers.items() if (left := x % 2 if even else x)}

    def _moves(self, space: Space, generator: Generator) -> list[tuple[Leg, float]]:
        """The legs that a generator moves, with gains that follow what it rescales."""
        moved = [x for x in zip(space.legs, generator.exponents, strict=True) if x[1]]
        if generator.action != "rescale":
            return moved
        return [*moved, *following(space, generator.exponents, self._shapes)]


def _held(legs: Sequence[Leg], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Which legs hold which entries of a tensor: (legs, entries that are unlike)."""
    partial = [leg for leg in legs if leg.positions is not None]
    groups: list[range] = []  # axes that legs take together
    for leg in sorted(partial, key=lambda leg: leg.axis):
        axes = range(leg.axis, leg.axis + leg.span)
        if groups and axes.start < groups[-1].stop:
            last = groups.pop()
            axes = range(last.start, max(last.stop, axes.stop))
        groups.append(axes)
    found = np.ones((len(legs), 1), bool)
    for axes in groups:
        own = np.stack([_along(leg, shape, axes) for leg in legs])
        kinds = _unlike_columns(own)
        found = (found[:, :, None] & kinds[:, None]).reshape(len(legs), -1)
    return found


def _unlike_columns(table: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Every column of a table once, in any order."""
    # as single numbers, which are sorted much quicker than columns
    number = np.zeros(table.shape[1], np.int64)
    for row in table:
        number = np.unique(2 * number + row, return_inverse=True)[1]
    return table[:, np.unique(number, return_index=True)[1]]


def _along(leg: Leg, shape: tuple[int, ...], axes: range) -> NDArray[np.bool_]:
    """Whether a leg holds what lies at every position of some axes, flattened."""
    length = math.prod(shape[axes.start : axes.stop])
    if leg.positions is None or leg.axis not in axes:
        return np.ones(length, bool)
    behind = math.prod(shape[leg.axis + leg.span : axes.stop])
    inside = np.zeros(math.prod(shape[leg.axis : leg.axis + leg.span]), bool)
    inside[list(leg.positions)] = True
    inside = np.repeat(inside, behind)
    return np.tile(inside, length // len(inside))
