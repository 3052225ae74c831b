"""The exponents that a space may carry: the null space of the operators' equations.

On one unit of a space every entry of every value takes some power of the unit's scale, a sign, a
shift; operators equate, add or forbid those. By symmetry one unit stands for all. The equations
are solved exactly: over the rationals for scales and shifts, over GF(2) for signs.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from fractions import Fraction
from functools import cache
from heapq import heapify, heappop, heappush

import numpy as np

from toroids.discovery.axes.constraints import SCALAR, Constraints, Ids
from toroids.discovery.inference.orbits import Orbits

Exact = int | Fraction  # whole numbers, as most are, are added ten times as fast
Row = dict[int, Exact]
Vector = dict[int, Exact]
SIGN = 1
WHOLE = -1  # in the place of a space: all of them at once, with what values take as a whole
# Relative, of a few operations on floats: an exponent that is off by so little shows nowhere.
ROUNDING = 2.0**-50


def first_units(orbits: Orbits) -> Ids:
    """Marks the units that stand for their cells: those whose digits are all zero."""
    mark = np.zeros(len(orbits.cell), bool)
    for cell, units in orbits.members.items():
        mark[units[(orbits.digits[cell] == 0).all(axis=1)]] = True
    return mark


@cache
def fraction(factor: float) -> Exact:
    """The number that a float is, or of which it is the rounding, as a third or a tenth."""
    exact = Fraction(factor)
    short = exact.limit_denominator(10**6)
    return _short(short if abs(short - exact) <= abs(exact) * ROUNDING else exact)


def _short(number: Exact) -> Exact:
    return number.numerator if number.denominator == 1 else number


class Exponents:
    """The equations of all spaces, and their solutions one space at a time."""

    def __init__(self, c: Constraints, orbits: Orbits) -> None:
        """Keeps the equations between the units that stand for all."""
        self.orbits = orbits
        place = np.concatenate(c.place_of)
        on_axis, self.scalar = place >= 0, place == SCALAR
        unit = orbits.unit[place[on_axis]]
        del place  # of a deep network each of these takes a good part of the memory
        cell, stands = np.full(len(on_axis), -1, np.int32), np.zeros(len(on_axis), bool)
        cell[on_axis] = orbits.cell[unit]
        stands[on_axis] = first_units(orbits)[unit]
        del unit
        # 0: zero, or never moves; 1: stands for its cell; 2: another unit, said already
        status = np.where(cell < 0, 0, np.where(stands, 1, 2)).astype(np.int8)
        cell[status != 1] = -1
        self.cell = cell
        self.channel = np.concatenate(c.channel_of)
        self.rows: dict[int, list[tuple[int, Row]]] = {}
        for channel, factors, ids in c.equations:
            held = (self.cell[ids] >= 0) | self.scalar[ids]
            # all that is zero is one, as entries of a vocabulary that stay in place
            kept = np.where(held, ids, 0)[:, (status[ids] < 2).all(axis=0) & held.any(axis=0)]
            if kept.size:
                kept = np.hstack([kept[:, :1], kept[:, 1:][:, np.diff(kept).any(axis=0)]])
                # equations are many and short, for which NumPy's own `unique` is slow
                for column in sorted(set(map(tuple, kept.T.tolist()))):
                    self._state(channel, factors, column)

    def _state(self, channel: int, factors: Sequence[float], ids: Sequence[int]) -> None:
        chains = [self._chain(i) for i in ids]
        for space in set().union(*chains):
            row: Row = {}
            for factor, i, chain in zip(factors, ids, chains, strict=True):
                if space in chain:
                    row[i] = row.get(i, 0) + fraction(factor)
            self.rows.setdefault(space, []).append((channel, row))

    def _chain(self, i: int) -> tuple[int, ...]:
        """The spaces that may give an exponent."""
        if self.cell[i] >= 0:
            return (*self.orbits.chain[int(self.cell[i])], WHOLE)
        return (WHOLE,) if self.scalar[i] else ()

    def generators(self, space: int, channel: int, wanted: Iterable[int]) -> list[Vector]:
        """A basis of what one space may carry in one channel, on the exponents `wanted`."""
        rows = [row for ch, row in self.rows.get(space, []) if ch == channel]
        return null_space(rows, sorted(set(wanted)), modulo_two=channel == SIGN)


def null_space(rows: list[Row], wanted: Sequence[int], modulo_two: bool) -> list[Vector]:
    """Basis vectors restricted to `wanted`; those that vanish there are left out."""
    solved: dict[int, Row] = {}  # an exponent in terms of earlier ones that are free

    def reduced(row: Row) -> Row:
        result: Row = {}
        pending = list(row.items())
        while pending:
            name, factor = pending.pop()
            if name in solved:
                pending += [(other, factor * f) for other, f in solved[name].items()]
                continue
            total = result.get(name, 0) + factor
            result[name] = total % 2 if modulo_two else total
        return {name: factor for name, factor in result.items() if factor}

    for row in sorted(rows, key=len):
        if modulo_two:
            row = {name: factor % 2 for name, factor in row.items() if factor.denominator == 1}
        rest = reduced(row)
        if not rest:
            continue
        latest = max(rest)  # what is written first stays free
        factor = rest.pop(latest)
        solved[latest] = {name: _short(Fraction(-f) / factor) for name, f in rest.items()}
    values = {name: reduced({name: 1}) for name in wanted}
    basis: dict[int, Vector] = {}
    for name, value in values.items():
        for root, factor in value.items():
            basis.setdefault(root, {})[name] = factor
    return [basis[root] for root in sorted(basis)]


def sparse(basis: list[Vector], shown: list[Vector]) -> tuple[list[Vector], list[Vector]]:
    """Adds vectors of a basis modulo two to others wherever these then show less.

    A method that tries one generator of signs at a time finds more where each moves few weights.

    Args:
        basis: vectors modulo two.
        shown: what each of them does.

    Returns:
        The new basis, and what its vectors do.
    """
    own, found = [set(vector) for vector in basis], [set(vector) for vector in shown]
    holders: dict[int, set[int]] = {}
    for number, vector in enumerate(found):
        for name in vector:
            holders.setdefault(name, set()).add(number)
    for i, vector in enumerate(found):
        common = Counter(j for name in vector for j in holders[name] if j != i)
        for j, count in common.items():
            if 2 * count > len(vector):
                for name in vector:
                    holders[name] ^= {j}
                found[j] ^= vector
                own[j] ^= own[i]
    return [dict.fromkeys(sorted(x), 1) for x in own], [dict.fromkeys(x, 1) for x in found]


def complement(vectors: list[Vector], known: list[Vector], modulo_two: bool) -> list[int]:
    """Positions of those `vectors` that are independent of `known` and of each other."""
    rows: dict[int, Vector] = {}  # by their last name, on which they are pivots

    def rest(vector: Vector) -> Vector:
        left = dict(vector)
        ahead = [-name for name in left]
        heapify(ahead)
        while ahead:
            pivot = -heappop(ahead)
            row = rows.get(pivot)
            if row is None or not left.get(pivot):
                continue
            factor = _short(Fraction(left[pivot]) / row[pivot])
            for name, value in row.items():
                if name not in left:
                    heappush(ahead, -name)
                left[name] = left.get(name, 0) - factor * value
                if modulo_two:
                    left[name] %= 2
        return {name: value for name, value in left.items() if value}

    result = []
    for position, vector in enumerate([*known, *vectors]):
        left = rest(vector)
        if left:
            rows[max(left)] = left
            if position >= len(known):
                result.append(position - len(known))
    return result
