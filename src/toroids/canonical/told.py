"""Which scales and signs of all spaces together some weights tell.

Where all rows of a matrix shrink and all columns grow as much, it stays: weights of norm one along
its rows say nothing of that. So pivots must be independent over all spaces, not only over their
own, or no network has norm one on all of them. By symmetry one unit stands for all of a space.
"""

from collections.abc import Sequence

from toroids.symmetry.group import SymmetryGroup
from toroids.symmetry.space import Kind, Leg, Space, overlap

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

    def add(self, row: Row, own: str) -> bool:
        """Adds a row unless it is a combination of those before.

        Args:
            row: the exponents of weights.
            own: the space that is to set them. Scales of its own must be left in the row, for it
                moves no others.

        Returns:
            Whether it was added.
        """
        rest = self._clean(row)
        while known := [name for name in rest if name in self._solved]:
            name = min(known, key=lambda known_name: self._solved[known_name][0])
            factor = rest[name]
            for key, value in self._solved[name][1].items():
                rest[key] = rest.get(key, 0.0) - factor * value
            rest = self._clean(rest)
        if not rest:
            return False
        may = rest if self._modulo_two else [name for name in rest if name[0] == own]
        if not may:
            return False
        first = max(may, key=lambda name: abs(rest[name]))
        scaled = {name: value / rest[first] for name, value in rest.items()}
        self._solved[first] = len(self._solved), scaled
        return True

    def _clean(self, row: Row) -> Row:
        if self._modulo_two:
            row = {name: value % 2 for name, value in row.items()}
        return {name: value for name, value in row.items() if abs(value) > ZERO}


class Rows:
    """What the legs of one group tell.

    Attributes:
        action: "rescale", "flip" or "shift".
    """

    def __init__(self, group: SymmetryGroup, action: Kind) -> None:
        """Looks up which spaces move which tensors."""
        self.action = action
        self._shapes = group.shapes
        self._movers: dict[str, list[tuple[Space, int]]] = {}
        for space in group.spaces:
            for number, leg in enumerate(space.legs if space.of(action) else ()):
                self._movers.setdefault(leg.tensor, []).append((space, number))

    def of(self, own: Leg) -> Row:
        """The exponents of a leg's entries in the generators of all spaces."""
        row: Row = {}
        meeting: dict[tuple[str, int, int, tuple[float, ...]], list[Leg]] = {}
        for space, number in self._movers.get(own.tensor, ()):
            leg = space.legs[number]
            powers = tuple(generator.exponents[number] for generator in space.of(self.action))
            if any(powers) and overlap(leg, own, self._shapes):
                meeting.setdefault((space.name, leg.axis, leg.span, powers), []).append(leg)
        for (space_name, _, _, powers), legs in meeting.items():
            name = space_name if _carry(legs, own) else (space_name, own.tensor, own.axis)
            for place, power in enumerate(powers):
                if power:
                    row[name, place] = row.get((name, place), 0.0) + power
        return row


def _carry(legs: Sequence[Leg], own: Leg) -> bool:
    """Whether legs on one axis together move all entries of another that they meet."""
    if any(leg.positions is None for leg in legs):
        return True
    if (legs[0].axis, legs[0].span) != (own.axis, own.span) or own.positions is None:
        return False
    return set(own.positions) <= {place for leg in legs for place in leg.positions or ()}
