"""Which scales and signs of all spaces together some weights tell.

Where all rows of a matrix shrink and all columns grow as much, it stays: weights of norm one along
its rows say nothing of that. So pivots must be independent over all spaces, not only over their
own, or no network has norm one on all of them. By symmetry one unit stands for all of a space.
"""

import math
from collections.abc import Mapping, Sequence

from toroids.symmetry.following import following
from toroids.symmetry.group import SymmetryGroup
from toroids.symmetry.space import Generator, Kind, Leg, Space, carried_twice, overlap

# Exponents in a generator, named by its space and number; what only some entries carry has a name
# of its own, for they need not move in step with the others.
Row = dict[tuple[object, int], float]
ZERO = 1e-9


class Told:
    """Rows of exponents, none of which is a combination of the others."""

    def __init__(self, action: Kind) -> None:
        """Begins without a row; those of flips count modulo two."""
        self._modulo_two = action == "flip"
        # by a name that no later row holds; in the order in which they came
        self._solved: dict[tuple[object, int], tuple[int, Row]] = {}

    def is_new(self, row: Row, own: str) -> bool:
        """Whether a row is no combination of those before.

        Args:
            row: the exponents of weights.
            own: the space that is to set them. Scales of its own must be left in the row, for it
                moves no others.

        Returns:
            Whether it may be added.
        """
        return bool(self._own(self._rest(row), own))

    def add(self, row: Row, own: str) -> None:
        """Adds a row if it is new."""
        rest = self._rest(row)
        may = self._own(rest, own)
        if may:
            first = max(may, key=lambda name: abs(rest[name]))
            scaled = {name: value / rest[first] for name, value in rest.items()}
            self._solved[first] = len(self._solved), scaled

    def _own(self, rest: Row, own: str) -> list[tuple[object, int]]:
        return [name for name in rest if self._modulo_two or name[0] == own]

    def _rest(self, row: Row) -> Row:
        """What is left of a row beside those that were added."""
        rest = self._clean(row)
        while known := [name for name in rest if name in self._solved]:
            name = min(known, key=lambda known_name: self._solved[known_name][0])
            factor = rest[name]
            for key, value in self._solved[name][1].items():
                rest[key] = rest.get(key, 0.0) - factor * value
            rest = self._clean(rest)
        return rest

    def _clean(self, row: Row) -> Row:
        if self._modulo_two:
            row = {name: value % 2 for name, value in row.items()}
        return {name: value for name, value in row.items() if abs(value) > ZERO}


class Rows:
    """What the legs of one group tell.

    Attributes:
        action: "rescale", "flip" or "shift".
        mixed: whether the scales that matrices hold count, too.
    """

    def __init__(self, group: SymmetryGroup, action: Kind, mixed: bool = False) -> None:
        """Looks up which spaces move which tensors."""
        self.action, self.mixed = action, mixed
        self._shapes = group.shapes
        self._movers: dict[str, list[tuple[Space, int]]] = {}
        self._following: dict[str, list[Space]] = {}
        for space in group.spaces if action == "rescale" else ():
            for gain in dict.fromkeys(norm.gain for norm in space.weight_norms):
                self._following.setdefault(gain, []).append(space)
        for space in group.spaces:
            for number, leg in enumerate(space.legs if self._generators(space) else ()):
                self._movers.setdefault(leg.tensor, []).append((space, number))

    def of(self, own: Leg) -> Row:
        """The exponents of a leg's entries in the generators of all spaces."""
        row: Row = {}
        meeting: dict[tuple[str, int, int, tuple[float, ...]], list[Leg]] = {}
        for space, number in self._movers.get(own.tensor, ()):
            leg = space.legs[number]
            powers = tuple(generator.exponents[number] for generator in self._generators(space))
            if any(powers) and overlap(leg, own, self._shapes):
                meeting.setdefault((space.name, leg.axis, leg.span, powers), []).append(leg)
        for (space_name, _, _, powers), legs in meeting.items():
            name = (
                space_name
                if _carry(legs, own, self._shapes[own.tensor])
                else (space_name, own.tensor, own.axis)
            )
            for place, power in enumerate(powers):
                if power:
                    row[name, place] = row.get((name, place), 0.0) + power
        for space in self._following.get(own.tensor, ()):
            for place, generator in enumerate(self._generators(space)):
                power = follows(space, own, generator.exponents, self._shapes)
                if power:
                    row[space.name, place] = row.get((space.name, place), 0.0) + power
        return row

    def balance(self, space: Space) -> Row:
        """What matrices on a space tell when they bring both of its sides, or one, to their goal.

        Args:
            space: one on which matrices act.

        Returns:
            The exponents of what writes it over what reads it; of several weights on a side one
            stands for all.
        """
        twice = carried_twice(space, self._shapes)
        powers = zip(space.legs, space.of("mix")[0].exponents, strict=True)
        firsts: dict[float, Row] = {}
        for leg, power in powers:
            if leg.tensor not in twice and power not in firsts:
                firsts[power] = self.of(leg)
        names = dict.fromkeys(name for row in firsts.values() for name in row)
        return {
            name: sum(power * row.get(name, 0.0) for power, row in firsts.items()) for name in names
        }

    def _generators(self, space: Space) -> tuple[Generator, ...]:
        return (*space.of(self.action), *(space.of("mix") if self.mixed else ()))


def follows(
    space: Space, own: Leg, exponents: Sequence[float], shapes: Mapping[str, Sequence[int]]
) -> float:
    """The power in which a gain follows a weight that is normed, where all units scale alike.

    Args:
        space: that rescales the weight.
        own: a leg of the gain, or of any other tensor.
        exponents: of every leg of the space.
        shapes: of all tensors.

    Returns:
        Zero for what is no gain of such a weight.
    """
    if all(norm.gain != own.tensor for norm in space.weight_norms):
        return 0.0
    gains = following(space, exponents, shapes)
    return sum(power for leg, power in gains if overlap(leg, own, shapes))


class Known:
    """What the weights tell that were chosen so far.

    Of scales twice: as if no matrix were there, and with the scale that every matrix holds, of
    which it makes what balances its sides.
    """

    def __init__(self, group: SymmetryGroup, action: Kind) -> None:
        """Begins with what matrices tell by themselves."""
        self._kinds = [(Rows(group, action), Told(action))]
        mixing = [space for space in group.spaces if action == "rescale" and space.of("mix")]
        if mixing:
            rows, told = Rows(group, action, mixed=True), Told(action)
            for space in mixing:
                told.add(rows.balance(space), space.name)
            self._kinds.append((rows, told))

    def add(self, leg: Leg, own: str) -> bool:
        """Adds what a leg tells of the space that is to set it; says whether that is new."""
        found = [(told, rows.of(leg)) for rows, told in self._kinds]
        if not all(told.is_new(row, own) for told, row in found):
            return False
        for told, row in found:
            told.add(row, own)
        return True


def _carry(legs: Sequence[Leg], own: Leg, shape: Sequence[int]) -> bool:
    """Whether legs on one axis together move all entries of another that they meet."""
    if any(leg.positions is None for leg in legs):
        return True
    carried = {place for leg in legs for place in leg.places(shape)}
    if len(carried) == math.prod(shape[legs[0].axis : legs[0].axis + legs[0].span]):
        return True
    if (legs[0].axis, legs[0].span) != (own.axis, own.span) or own.positions is None:
        return False
    return set(own.positions) <= carried
