"""Scales and signs that whole tensors have, or slices of them, and no unit of a space by itself.

A single number times a layer may move into the layer. Of y = B x + D u, where nothing scales x and
u, whatever reads y takes back a scale that B and D have in common, though no unit of y has one. So
there is one number for all entries that move: a space of a single unit.

The equations are those of all spaces at once, and of what every value takes as a whole. Solutions
in which all units of some space scale alike say nothing new, and are left out.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import product

import numpy as np

from toroids.discovery.axes import SCALE, SIGN
from toroids.discovery.axes.constraints import Ids
from toroids.discovery.inference.assemble import Assembly, laid_out, operator_of, unlike
from toroids.discovery.inference.closed import keeps_shifts
from toroids.discovery.inference.exponents import WHOLE, Exact, Vector, complement
from toroids.discovery.inference.followed import followed, rescaled_norms
from toroids.symmetry.space import Generator, Kind, Leg, Space

# A tensor, one of its bundles, and a part of that; (tensor, -1, 0) is all of it. The power of a
# part is what its entries take beyond those of the first part.
Key = tuple[str, int, int]
Powers = dict[Key, Exact]
ACTIONS: dict[Kind, int] = {"rescale": SCALE, "flip": SIGN}


class Wholes:
    """Looks for spaces of a single unit."""

    def __init__(self, assembly: Assembly) -> None:
        """Looks up where unknowns stand; the spaces of `assembly` are known."""
        self.assembly = assembly
        self.number: dict[Key, int] = {}
        self.masks: dict[tuple[str, int], list[Ids]] = {}  # of the parts of a bundle
        self.read: dict[tuple[str, int], list[bool]] = {}  # whether something reads them
        self.parts: dict[str, dict[int, list[int]]] = {}  # those that something reads
        self.holds: dict[int, dict[int, list[Key]]] = {SCALE: {}, SIGN: {}}
        for name, value in assembly.inference.parameters.items():
            self._hold((name, -1, 0), [(int(i),) for i in value.scalar])
            for number, parts in enumerate(assembly.cut[name]):
                rest = np.ones(value.bundles[number].places.shape, bool)
                for part in parts:
                    rest &= ~part.mask
                first = int(rest.any())  # what takes no power comes first
                self.masks[name, number] = [rest] * first + [part.mask for part in parts]
                unread = np.isin(
                    value.bundles[number].places, assembly.inference.constraints.unread
                )
                self.read[name, number] = [
                    bool((mask & ~unread).any()) for mask in self.masks[name, number]
                ]
                for at, part in enumerate(parts, start=first):
                    self._hold((name, number, at), part.exponents)

    def _numbered(self, key: Key) -> int:
        return self.number.setdefault(key, len(self.number))

    def _hold(self, key: Key, exponents: Sequence[Sequence[int]]) -> None:
        self._numbered(key)
        for channel, places in self.holds.items():
            for i in exponents[channel]:
                if i:
                    places.setdefault(i, []).append(key)

    def spaces(self, known: Sequence[Space]) -> list[Space]:
        """What no unit of the known spaces has by itself.

        Args:
            known: the spaces of the assembly; what would not leave their shifts is left out.

        Returns:
            Spaces of one unit; a scale and a sign of the same entries share theirs.
        """
        found: dict[tuple[Leg, ...], list[Generator]] = {}
        for action, channel in ACTIONS.items():
            for powers in self._solutions(channel):
                moved = dict(self._legs(powers, channel == SIGN))
                if not moved:  # what nothing reads stays in place
                    continue
                found.setdefault(tuple(moved), []).append(Generator(action, (*moved.values(),)))
        names, result = {space.name for space in known}, list[Space]()
        for legs, generators in found.items():
            space = self._space(legs, generators, names)
            if keeps_shifts(space, known, self.assembly.program.shapes):
                names.add(space.name)
                result.append(space)
        return result

    def _space(
        self, legs: Sequence[Leg], generators: Sequence[Generator], names: set[str]
    ) -> Space:
        powers = generators[0].exponents
        legs = tuple(
            replace(leg, role="write" if power * powers[0] > 0 else "read")
            for leg, power in zip(legs, powers, strict=True)
        )
        c, program = self.assembly.inference.constraints, self.assembly.program
        acting, norms = followed(c, program, legs, generators, single=True)
        return Space(
            name=unlike(f"{legs[0].operator}:whole", names),
            size=1,
            copies=1,
            actions=frozenset(generator.action for generator in generators),
            legs=legs,
            generators=acting,
            norms=rescaled_norms(c, program, legs, generators),
            weight_norms=norms,
        )

    def _solutions(self, channel: int) -> list[Powers]:
        """What tensors may take that they do not take where all units of a space do."""
        assembly, even = self.assembly, channel == SIGN
        solved = assembly.exponents.generators(WHOLE, channel, self.holds[channel])
        known = [vector for own in assembly.found.values() for vector in own[channel]]
        ways, old = ([self._powers(v, channel) for v in vectors] for vectors in (solved, known))
        ways = [*self._hidden(ways, channel), *ways]
        moved = [self._moved(powers, even) for powers in old]
        new = complement([self._moved(w, even) for w in ways], moved, modulo_two=even)
        found = [self._shortened(ways[at], old, even) for at in new]
        for at, way in enumerate(found):  # and of those that are new, one by the others
            others = [*old, *found[:at], *found[at + 1 :]]
            found[at] = self._shortened(way, others, even)
        return found

    def _hidden(self, ways: Sequence[Powers], channel: int) -> list[Powers]:
        """Of all solutions those that only change the size of a weight, which its norm hides."""
        norms = self.assembly.inference.constraints.weight_norms if channel == SCALE else {}
        known = [self._moved(way, even=False) for way in ways]
        found: list[Powers] = [
            {(weight, -1, 0): Fraction(1), (gain, -1, 0): Fraction(-1)}
            for gain, (weight, _) in norms.items()
        ]
        moved = [[self._moved(way, even=False)] for way in found]
        return [x for x, own in zip(found, moved, strict=True) if not complement(own, known, False)]

    def _moved(self, powers: Powers, even: bool) -> Vector:
        """What says which powers all entries take that something reads."""
        # the power of an entry is that of the tensor and of one part of each of its bundles: those
        # of the entries in the first parts say all, with what each other part has beyond the first
        moved: Vector = {}
        told: dict[tuple[str, int], list[int]] = {}
        for name, number, at in powers:
            told.setdefault((name, number), []).append(at)
        for name in dict.fromkeys(name for name, _ in told):
            parts = self._read_parts(name)
            if not all(parts.values()):
                continue
            whole = powers.get((name, -1, 0), 0)
            for number, read in parts.items():
                usual = powers.get((name, number, read[0]), 0)
                whole += usual
                # there may be as many parts as units, of which a solution tells of one
                others = read if usual else {*told.get((name, number), ())}.intersection(read)
                for at in sorted(others):
                    key = (name, number, at)
                    if at != read[0]:
                        moved[self._numbered(key)] = powers.get(key, 0) - usual
            moved[self._numbered((name, -1, 0))] = whole
        return {key: x for key, power in moved.items() if (x := _taken(power, even))}

    def _read_parts(self, name: str) -> dict[int, list[int]]:
        """The parts of every bundle of a tensor that hold something that is read."""
        if name not in self.parts:
            self.parts[name] = {
                number: [at for at, is_read in enumerate(self.read[name, number]) if is_read]
                for number in range(len(self.assembly.cut[name]))
            }
        return self.parts[name]

    def _kinds(self, a: Powers, b: Powers, even: bool) -> Counter[tuple[Exact, Exact]]:
        """How many kinds of entries that something reads take which powers of two solutions."""
        total = Counter[tuple[Exact, Exact]]()
        for name in dict.fromkeys(name for name, _, _ in (*a, *b)):
            kinds = Counter([(a.get((name, -1, 0), 0), b.get((name, -1, 0), 0))])
            for number, parts in self._read_parts(name).items():
                keys = [(name, number, at) for at in parts]
                own = Counter((a.get(key, 0), b.get(key, 0)) for key in keys)
                both = Counter[tuple[Exact, Exact]]()
                for (one, many), (other, times) in product(kinds.items(), own.items()):
                    both[one[0] + other[0], one[1] + other[1]] += many * times
                kinds = both
            for (x, y), many in kinds.items():
                total[_taken(x, even), _taken(y, even)] += many
        return total

    def _shortened(self, powers: Powers, known: Sequence[Powers], even: bool) -> Powers:
        """The same but for known solutions, where it moves fewer kinds of entries then."""
        for other in known:
            kinds = self._kinds(powers, other, even)
            own = sum(many for (x, _), many in kinds.items() if x)
            for factor in {Fraction(x) / y for x, y in kinds if x and y}:
                left = [many for (x, y), many in kinds.items() if _taken(x - factor * y, even)]
                if sum(left) > own:
                    continue
                keys = {**powers, **other}
                rest = _left({k: powers.get(k, 0) - factor * other.get(k, 0) for k in keys}, even)
                # of as many it moves later tensors: those that come first tell the scales of units
                if sum(left) < own or self._first(rest) > self._first(powers):
                    return self._shortened(rest, known, even)
        return powers

    def _first(self, powers: Powers) -> int:
        """The number of the first tensor that moves."""
        return min((self.number[name, -1, 0] for name, _, _ in powers), default=-1)

    def _powers(self, vector: Vector, channel: int) -> Powers:
        """What a solution says of tensors."""
        powers: Powers = {}
        for i, value in vector.items():
            for key in self.holds[channel].get(i, ()):
                powers[key] = powers.get(key, 0) + value
        for name, number in {(name, number) for name, number, _ in powers if number >= 0}:
            first = powers.get((name, number, 0), 0)
            powers[name, -1, 0] = powers.get((name, -1, 0), 0) + first
            for at in range(len(self.masks[name, number])) if first else ():
                powers[name, number, at] = powers.get((name, number, at), 0) - first
        return _left(powers, channel == SIGN)

    def _legs(self, powers: Powers, even: bool) -> Iterator[tuple[Leg, float]]:
        """The entries that move, tensor by tensor, with the powers that they take."""
        for name in sorted({name for name, _, _ in powers}, key=lambda n: self.number[n, -1, 0]):
            whole, along = powers.get((name, -1, 0), 0), dict[int, list[Exact]]()
            for number in sorted({n for key, n, _ in powers if key == name and n >= 0}):
                masks = self.masks[name, number]
                own = [powers.get((name, number, at), 0) for at in range(len(masks))]
                usual = own[int(np.argmax([mask.sum() for mask in masks]))]
                along[number] = [power - usual for power in own]
                whole += usual
            says_all = [n for n in along if len(along) == 1 or self._spans(name, n)]
            for number in says_all[:1]:
                along[number] = [power + whole for power in along[number]]
                whole = 0
            whole = _taken(whole, even)
            along = {n: [_taken(x, even) for x in own] for n, own in along.items()}
            if whole:
                yield from self._whole(name, float(whole))
            for number, own in along.items():
                yield from self._slices(name, number, own)

    def _spans(self, name: str, number: int) -> bool:
        """Whether a bundle lies along all axes of its tensor."""
        value = self.assembly.inference.parameters[name]
        bundle = value.bundles[number]
        axes, _ = laid_out(value, bundle, np.ones(bundle.places.shape, bool))
        return len(axes) == len(self.assembly.program.shapes[name])

    def _whole(self, name: str, power: float) -> Iterator[tuple[Leg, float]]:
        """A whole tensor."""
        shape = self.assembly.program.shapes[name]
        yield from self._leg(name, range(len(shape)), None, power)

    def _slices(self, name: str, number: int, own: Sequence[Exact]) -> Iterator[tuple[Leg, float]]:
        """Slices of a tensor along the axes of one of its bundles."""
        value = self.assembly.inference.parameters[name]
        masks = self.masks[name, number]
        unread = self.assembly.inference.constraints.unread
        for power in dict.fromkeys(power for power in own if power):
            mask = np.any([m for m, p in zip(masks, own, strict=True) if p == power], axis=0)
            if np.isin(value.bundles[number].places[mask], unread).all():
                continue
            axes, inside = laid_out(value, value.bundles[number], mask)
            yield from self._leg(name, axes, tuple(np.flatnonzero(inside).tolist()), float(power))

    def _leg(
        self, name: str, axes: range, positions: tuple[int, ...] | None, power: float
    ) -> Iterator[tuple[Leg, float]]:
        first = axes[0] if axes else 0
        for offset, places in self._offsets(name, positions):
            for alias in self.assembly.program.aliases.get(name, (name,)):
                leg = Leg(alias, first, "write", operator_of(alias), len(axes), places, offset)
                yield leg, power

    def _offsets(
        self, name: str, positions: tuple[int, ...] | None
    ) -> Iterator[tuple[float, tuple[int, ...] | None]]:
        """What is added to entries of a tensor, and to which of them."""
        numbers = self.assembly.inference.constraints.offsets.get(name, np.zeros(1))
        if (numbers == numbers[0]).all():
            yield float(numbers[0]), positions
            return
        held = np.arange(len(numbers)) if positions is None else np.array(positions)
        for number in np.unique(numbers[held]).tolist():
            yield number, tuple(held[numbers[held] == number].tolist())


def _taken(power: Exact, even: bool) -> Exact:
    """What a power says: of signs only whether it is odd."""
    return power % 2 if even else power


def _left(powers: Mapping[Key, Exact], even: bool) -> Powers:
    return {key: x for key, power in powers.items() if (x := _taken(power, even))}
