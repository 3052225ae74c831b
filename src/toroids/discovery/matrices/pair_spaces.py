"""Pairs that turn together as spaces, in line with the spaces that permute their heads."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product

import numpy as np

from toroids.discovery.inference.assemble import operator_of
from toroids.discovery.matrices.maps import Holder
from toroids.discovery.matrices.pairs import Pair, Unit
from toroids.discovery.matrices.redundant import without_redundant
from toroids.discovery.tracing.program import Program
from toroids.symmetry.space import Generator, Leg, Space

# How many pairs of every holder and power, and whether these scale.
Kind = tuple[frozenset[tuple[tuple[Holder, int], int]], bool]
Entry = tuple[int, ...]  # which of the entries of a unit
Places = dict[int, tuple[int, Entry]]  # for features the unit of a space, and the entry, they are


class PairSpaces:
    """Makes spaces of units, those alike together.

    Attributes:
        spaces: what else acts, without what the pairs say already.
        found: the spaces of pairs.
        notes: what was left in place.
    """

    def __init__(self, program: Program, spaces: Sequence[Space]) -> None:
        """Takes the spaces that act on the same tensors."""
        self.program, self.spaces = program, list(spaces)
        self.found: list[Space] = []
        self.notes: list[str] = []

    def all(self) -> list[Space]:
        """All spaces."""
        return [*self.spaces, *self.found]

    def add(self, units: Sequence[Unit]) -> None:
        """Adds spaces of units."""
        alike: dict[Kind, list[Unit]] = {}
        for unit in units:
            counts = Counter((pair.holder, pair.power) for pair in unit)
            alike.setdefault((frozenset(counts.items()), unit[0].scales), []).append(unit)
        for (kind, _), members in alike.items():
            numbers = dict(kind)
            # keys are shared by several queries; a bias comes after its weight
            keys = [holder for holder, power in numbers if power < 0]
            self._add(members, min(keys, key=lambda h: (numbers[h, -1], h.single, h.name)))

    def _add(self, units: Sequence[Unit], key: Holder) -> None:
        anchors = [next(p for p in unit if (p.holder, p.power) == (key, -1)) for unit in units]
        around = self._around(key, anchors)
        places: Places = {f: (0, (f,)) for p in anchors for f in (p.real, p.imaginary)}
        if around:
            places = places_of(around[-1], key)
        by_space = [(space, places_of(space, key)) for space in around]
        copy_of = [_copy(by_space, anchor.real) for anchor in anchors]

        def order(number: int) -> tuple[int, Entry]:
            both = (anchors[number].real, anchors[number].imaginary)
            return copy_of[number], min(places[f][1] for f in both)

        ordered = [
            # heads that are exchanged turn the same way round
            units[i]
            if places[anchors[i].real][1] < places[anchors[i].imaginary][1]
            else _reversed(units[i])
            for i in sorted(range(len(units)), key=order)
        ]
        held = Counter(copy_of)
        if len(held) < math.prod(s.size for s in around) or len(set(held.values())) > 1:
            around = []
        space = self._space(ordered, key, around)
        for other in self.spaces if "flip" in space.actions else ():
            # signs that the gains tell alone stay where these have them
            [space] = without_redundant([space], other, self.program.shapes, ["flip"])
        others = without_redundant(self.spaces, space, self.program.shapes)
        blocking = next(
            (s.name for s in others if not takes_pairs(s, ordered, space, around)), None
        )
        if blocking is None:
            self.spaces = others
            self.found.append(space)
        else:
            self.notes.append(
                f"the pairs of `{space.name}` stay in place, for `{blocking[0]}` moves what they "
                "hold otherwise"
            )

    def _around(self, key: Holder, anchors: Sequence[Pair]) -> list[Space]:
        """The spaces whose units hold both entries of all pairs, the innermost last."""
        names: set[str] = set()
        for space in self.spaces:
            places = places_of(space, key)
            both = [(places.get(p.real), places.get(p.imaginary)) for p in anchors]
            if space.copies * space.size > 1 and all(x and y and x[0] == y[0] for x, y in both):
                names |= {space.name, *space.within}
        inside = [space for space in self.spaces if space.name in names]
        return sorted(inside, key=lambda space: len(space.within))

    def _space(self, units: Sequence[Unit], key: Holder, around: Sequence[Space]) -> Space:
        copies = math.prod(space.size for space in around)
        legs: list[Leg] = []
        powers: list[float] = []
        kinds = dict.fromkeys((p.holder, p.power) for p in sorted(units[0], key=lambda p: -p.power))
        for holder, power in kinds:
            axis, span = holder.dims[0], holder.dims[-1] - holder.dims[0] + 1
            positions = tuple(
                at
                for unit in units
                for pair in sorted(unit, key=lambda p: min(p.real, p.imaginary))
                if (pair.holder, pair.power) == (holder, power)
                for at in _two_by_two(pair)
            )  # fmt: skip
            for name in self.program.aliases.get(holder.name, (holder.name,)):
                operator = operator_of(name)
                legs.append(Leg(name, axis, "write", operator, span, positions, holder.offset))
                powers.append(float(power))
        turns = all(pair.holder.turns for pair in units[0])
        generators = [Generator("phase" if turns else "flip", (1.0,) * len(legs))]
        if units[0][0].scales:
            generators.insert(0, Generator("rescale", tuple(powers)))
        base = f"{operator_of(key.name)}:pairs"
        taken = {space.name for space in (*self.spaces, *self.found)}
        names = [base, *(f"{base}:{n}" for n in range(2, len(taken) + 3))]
        return Space(
            name=next(name for name in names if name not in taken),
            size=len(units) // copies,
            copies=copies,
            actions=frozenset(generator.action for generator in generators),
            legs=tuple(legs),
            generators=tuple(generators),
            within=tuple(space.name for space in around),
        )


def _copy(around: Sequence[tuple[Space, Places]], feature: int) -> int:
    """The number of the copy in which a feature is, by the spaces around and their places."""
    digits: dict[str, int] = {}
    sizes = {space.name: space.size for space, _ in around}
    for space, places in around:
        place = places.get(feature)
        if place is not None:
            chain = (*space.within, space.name)
            at = np.unravel_index(place[0], [sizes[name] for name in chain])
            digits.update(zip(chain, map(int, at), strict=True))
    return int(np.ravel_multi_index([digits[n] for n in sizes], list(sizes.values())))


def takes_pairs(other: Space, units: Sequence[Unit], space: Space, around: Sequence[Space]) -> bool:
    """Whether a space takes pairs to pairs: of the same unit, or of the same one in other copies.

    Args:
        other: what acts on the same tensors.
        units: the pairs.
        space: theirs.
        around: the spaces whose units are its copies.

    Returns:
        Whether it does.
    """
    sizes = [s.size for s in around]
    free = [i for i, s in enumerate(around) if s.name != other.name]
    holders = {pair.holder for unit in units for pair in unit}
    places = {holder: places_of(other, holder) for holder in holders}
    kinds: dict[tuple[Holder, int, Entry], set[tuple[int, ...]]] = {}
    for number, unit in enumerate(units):
        copy, place = divmod(number, space.size)
        digits = [int(d) for d in np.unravel_index(copy, sizes)] if sizes else []
        own = (place, *(digits[i] for i in free))
        for pair in unit:
            real, imaginary = (places[pair.holder].get(f) for f in (pair.real, pair.imaginary))
            if real is None and imaginary is None:
                continue
            if real is None or imaginary is None or real[0] != imaginary[0]:
                return False
            if other.actions & {"mix", "rotate", "shift"}:
                return False
            for part, (unit_of, entry) in enumerate((real, imaginary)):
                kinds.setdefault((pair.holder, unit_of // other.size, entry), set()).add(
                    (*own, part)
                )
    return "permute" not in other.actions or all(len(kind) == 1 for kind in kinds.values())


def places_of(space: Space, holder: Holder) -> Places:
    """Which units of a space hold features of a holder, for those that it moves."""
    found: Places = {}
    for number, leg in enumerate(space.legs):
        axes = tuple(range(leg.axis, leg.axis + leg.span))
        if leg.tensor != holder.name or not set(axes) <= set(holder.dims):
            continue
        length = math.prod(holder.shape[axis] for axis in axes)
        positions = range(length) if leg.positions is None else leg.positions
        each = len(positions) // (space.copies * space.size)
        digits = np.unravel_index(np.arange(math.prod(holder.sizes)), holder.sizes)
        by_axis = dict(zip(holder.dims, digits, strict=True))
        at = np.ravel_multi_index(
            tuple(by_axis[axis] for axis in axes), [holder.shape[axis] for axis in axes]
        )
        rest = np.zeros(len(at), int)
        for axis in holder.dims:
            if axis not in axes:
                rest = rest * holder.shape[axis] + by_axis[axis]
        unit = np.full(length, -1)
        unit[list(positions)] = np.arange(len(positions))
        for feature, (place, others) in enumerate(
            zip(unit[at].tolist(), rest.tolist(), strict=True)
        ):
            if place >= 0:
                found[feature] = (place // each, (number, place % each, others))
    return found


def _two_by_two(pair: Pair) -> Iterator[int]:
    """Where the entries of a pair lie: real, imaginary, real, and so on."""
    real, imaginary = _spread(pair.holder, pair.real), _spread(pair.holder, pair.imaginary)
    for both in zip(real, imaginary, strict=True):
        yield from both


def _spread(holder: Holder, feature: int) -> Iterator[int]:
    """Where a feature lies along the axes from its first to its last, flattened."""
    digits = dict(zip(holder.dims, np.unravel_index(feature, holder.sizes), strict=True))
    axes = range(holder.dims[0], holder.dims[-1] + 1)
    choices = [[int(digits[a])] if a in digits else range(holder.shape[a]) for a in axes]
    lengths = [holder.shape[a] for a in axes]
    for choice in product(*choices):
        yield int(np.ravel_multi_index(choice, lengths))


def _reversed(unit: Unit) -> Unit:
    """The same pairs, which turn the other way round."""
    return tuple(replace(p, real=p.imaginary, imaginary=p.real) for p in unit)
