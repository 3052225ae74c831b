"""Biases that later biases absorb: b + t, and what linear readers make of t taken back elsewhere.

A value bias is absorbed by the output bias, since attention weights add up to one; the bias of a
norm by those of all linear maps that read it, a class token by its row of a table of positions.
With t added to one bias, and -g W t or -g t to others, all its equations must hold for every
t: linear equations for the numbers g.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from toroids.discovery.inference.absorption.equations import equations_of
from toroids.discovery.inference.absorption.tables import Rows, row_equations, tables_of
from toroids.discovery.inference.absorption.terms import Equation, Part, Reader, is_bias_like
from toroids.discovery.inference.exponents import fraction
from toroids.discovery.tracing.program import Program
from toroids.symmetry.space import Absorbed, Generator, Leg, Space

# Numbers g are quotients of numbers in the network, relative to which this is zero.
SMALL = 1e-9
# What sums and quotients of such numbers leave where nothing should be.
ROUNDING = 1e-12


@dataclass(frozen=True)
class _Taken:
    """That a bias takes back g W t; g t where there is no reader."""

    bias: str
    reader: Reader | None
    share: float


# A bias, and the matrix through which it may take back a shift.
Pair = tuple[str, Reader | None]


def absorbed(
    programs: Sequence[Program], spaces: Sequence[Space], conditions: Iterable[str] = ()
) -> tuple[list[Space], list[str]]:
    """Finds shifts of biases that later biases, or rows of tables, absorb.

    Args:
        programs: the traced module, at all sizes.
        spaces: as they are known so far.
        conditions: buffers that hold what they held when the module was traced.

    Returns:
        The spaces with these shifts, and notes on biases that lie on no space.
    """
    tables = tables_of(programs, whole=True)
    found = [equations_of(program, whole=frozenset(tables)) for program in programs]
    if any(own is None for own in found):
        return list(spaces), []
    facts = _Facts([e for own in found for e in own or ()], programs, tables=tables)
    result, notes = _granted(facts, list(spaces))
    equations, rows = row_equations(programs, conditions)
    if rows:  # these come apart: what stands beside rows is not followed through means
        result, _ = _granted(_Facts(equations, programs, rows=rows), result)
    return result, notes


def _granted(facts: "_Facts", result: list[Space]) -> tuple[list[Space], list[str]]:
    """Adds the shifts of all biases that others, or rows, absorb."""
    left: dict[str, int] = {}
    # two shifts of which one moves what the other is read by do not commute: one is granted
    moved = {
        leg.tensor for space in result for shift in space.of("shift")
        for leg, e in zip(space.legs, shift.exponents, strict=True) if e
    }  # fmt: skip
    crossed: dict[str, str] = {}
    for bias in facts.shifted:
        reached = np.zeros(facts.biases[bias], bool)
        for position, space in enumerate(result):
            for leg in space.legs:
                entries = _entries(space, leg, len(reached)) if leg.tensor == bias else None
                if entries is None:
                    continue
                if bias in facts.tables and not _lies_along(facts, leg, bias, result):
                    continue  # along its rows, of which all shift alike
                if reached[entries].any():
                    continue
                reached[entries] = True
                generator = _generator(facts, space, leg, entries, result)
                taken = generator.absorbed if generator else ()
                readers = {x.reader.tensor for x in taken if x.rows is None}
                if readers & moved:
                    crossed[bias] = min(readers & moved)
                elif generator is not None:
                    space = result[position] = _with_shift(facts, space, generator)
        if not reached.all() and facts.takers(bias, np.flatnonzero(~reached)):
            left[bias] = int((~reached).sum())
    notes = [
        f"later biases absorb what is added to `{bias}`, but {count} of its entries lie on no "
        "space, and stay in place"
        for bias, count in left.items()
    ]
    notes += [
        f"later biases absorb what is added to `{bias}`, but by way of `{weight}`, which shifts on "
        "its own; the bias stays in place"
        for bias, weight in crossed.items()
    ]
    return result, notes


class _Facts:
    """The equations, by the biases that they are about.

    Attributes:
        biases: the lengths of the parameters that may take a shift, by first name; of rows too.
        shifted: those of which shifts are looked for.
        tables: those of them that are tables, to all rows of which the same is added.
        rows: what the names of rows of tables stand for; where there are any, only shifts that
            they absorb count.
    """

    def __init__(
        self,
        equations: Iterable[Equation],
        programs: Sequence[Program],
        tables: Mapping[str, int] | None = None,
        rows: Mapping[str, Rows] | None = None,
    ) -> None:
        self._about: dict[str, list[Equation]] = {}
        for equation in equations:
            for name in {part.source for part in equation}:
                self._about.setdefault(name, []).append(equation)
        self.aliases = programs[0].aliases
        self.first = {name: names[0] for names in self.aliases.values() for name in names}
        sources = [s for p in programs for s in p.sources.values() if s.kind == "parameter"]
        self.shapes = {s.name: tuple(s.value.shape) for s in sources}
        self.rows = rows or {}
        self.biases = {s.name: s.value.numel() for s in sources if is_bias_like(s.value)}
        self.tables = tables or {}
        self.biases |= self.tables
        self.shifted = tuple(self.biases)
        self.biases |= {name: self.shapes[own.table][-1] for name, own in self.rows.items()}

    def takers(self, bias: str, entries: NDArray[np.int64]) -> list[_Taken]:
        """The biases that absorb what is added to some entries of one; none where nothing may be.

        Args:
            bias: the bias.
            entries: of it.

        Returns:
            What each takes back.
        """
        pairs = list(dict.fromkeys(self._pairs(bias, entries)))
        pairs.sort(key=lambda pair: pair[1] is None)  # what a later matrix can do comes first
        equations = set(self._linear(bias, entries, pairs))
        shares = _solved(pairs, equations)
        if shares is None:
            return []
        found = [_Taken(*pair, share) for pair, share in zip(pairs, shares, strict=True)]
        found = [taken for taken in found if taken.share]
        return found if not self.rows or any(x.bias in self.rows for x in found) else []

    def _pairs(self, bias: str, entries: NDArray[np.int64]) -> Iterable[Pair]:
        """Biases that stand beside the shift, or beside what a single matrix makes of it."""
        for equation in self._about.get(bias, ()):
            made: dict[tuple[int, tuple[Reader, ...]], list[Reader | None]] = {}
            for part in equation:
                if part.source == bias and _meets(part, entries):
                    made.setdefault((part.label, part.word), []).append(None)
                    if part.word:
                        made.setdefault((part.label, part.word[1:]), []).append(part.word[0])
            for part in equation:
                for reader in made.get((part.label, part.word), ()):
                    if part.source != bias and self._fits(part.source, bias, reader):
                        yield part.source, reader

    def _fits(self, name: str, bias: str, reader: Reader | None) -> bool:
        if reader is not None and (name in self.rows or name in self.tables):
            return False
        other = self.biases[bias] if reader is None else self.shapes[reader.tensor][reader.out]
        return bool(self.biases[name] == other)

    def _linear(
        self, bias: str, entries: NDArray[np.int64], pairs: Sequence[Pair]
    ) -> Iterable[tuple[float, tuple[tuple[int, float], ...]]]:
        """What the shares must fulfil: a constant plus a sum over pairs is zero."""
        by_bias: dict[str, list[int]] = {}
        for number, (name, _) in enumerate(pairs):
            by_bias.setdefault(name, []).append(number)
        about = {
            id(equation): equation
            for name in (bias, *by_bias)
            for equation in self._about.get(name, ())
        }
        for equation in about.values():
            # by where they are seen: pairs by number, and what is constant as -1
            terms: dict[tuple[int, tuple[Reader, ...]], list[tuple[int, float]]] = {}
            for part in equation:
                if part.source == bias and _meets(part, entries):
                    terms.setdefault((part.label, part.word), []).append((-1, part.factor))
                for number in by_bias.get(part.source, ()):
                    reader = pairs[number][1]
                    word = part.word if reader is None else (reader, *part.word)
                    terms.setdefault((part.label, word), []).append((number, -part.factor))
            for own in terms.values():  # of terms of any size, what is left of them counts
                size = max(abs(factor) for _, factor in own)
                sums: dict[int, float] = {}
                for number, factor in own:
                    sums[number] = sums.get(number, 0.0) + factor / size
                yield sums.pop(-1, 0.0), tuple(sorted(sums.items()))


def _meets(part: Part, entries: NDArray[np.int64]) -> bool:
    """Whether a term is about some entries of its bias."""
    read = np.array(part.word[0].routing) if part.word else part.entries
    return bool(np.isin(read, entries).any())


def _solved(
    pairs: Sequence[Pair],
    equations: set[tuple[float, tuple[tuple[int, float], ...]]],
) -> list[float] | None:
    """Solves linear equations; what is free is zero. None where they contradict each other."""
    table = np.zeros((len(equations), len(pairs) + 1))
    for row, (constant, shares) in zip(table, equations, strict=True):
        row[-1] = -constant
        for number, factor in shares:
            row[number] += factor
    solution = np.zeros(len(pairs))
    pivots: list[tuple[int, int]] = []
    for column in range(len(pairs)):
        rest = [r for r in range(len(table)) if all(r != used for used, _ in pivots)]
        best = max(rest, key=lambda r: abs(table[r, column]), default=None)
        if best is None or abs(table[best, column]) < SMALL:
            continue
        table[best] /= table[best, column]
        for other in range(len(table)):
            if other != best:
                table[other] -= table[other, column] * table[best]
        pivots.append((best, column))
    settled = {best for best, _ in pivots}
    if any(abs(table[r, -1]) > SMALL for r in range(len(table)) if r not in settled):
        return None
    for best, column in pivots:
        solution[column] = table[best, -1]
    return [float(fraction(x)) if abs(x) > ROUNDING else 0.0 for x in solution.tolist()]


def _entries(space: Space, leg: Leg, length: int) -> NDArray[np.int64] | None:
    """Which entries of a bias the units of a space are, one each; None where they hold more."""
    units = space.copies * space.size
    entries = np.arange(length) if leg.positions is None else np.array(leg.positions)
    return entries if len(entries) == units else None


def _generator(
    facts: _Facts, space: Space, leg: Leg, entries: NDArray[np.int64], spaces: Sequence[Space]
) -> Generator | None:
    """The shift of the entries of a bias, one per unit, if later biases absorb it."""
    takers = facts.takers(leg.tensor, entries)
    if not takers:
        return None
    shifted = np.array([float(x.tensor == leg.tensor and _alike(x, leg)) for x in space.legs])
    absorbed: list[Absorbed] = []
    for taken in takers:
        if taken.bias in facts.rows:
            rows = _on_rows(facts, space, leg, facts.rows[taken.bias], taken.share, spaces)
            if not rows:
                return None
            absorbed += rows
        elif taken.bias in facts.tables and not _lies_along(facts, leg, taken.bias, spaces):
            return None
        elif taken.reader is None:
            own = np.array([float(x.tensor == taken.bias and _alike(x, leg)) for x in space.legs])
            if not own.any():
                return None
            shifted -= taken.share * own
        else:
            legs = _legs_of(facts, space, taken.reader, entries)
            if legs is None:
                return None
            absorbed += (
                Absorbed(x, name, taken.reader.out, taken.share)
                for x in legs
                for name in facts.aliases.get(taken.bias, (taken.bias,))
            )
    first = facts.first
    at = {x.tensor: e for x, e in zip(space.legs, shifted.tolist(), strict=True) if e}
    exponents = tuple(
        at.get(first.get(x.tensor, x.tensor), 0.0) if _alike(x, leg) else 0.0 for x in space.legs
    )
    return Generator("shift", exponents, tuple(absorbed))


def _lies_along(facts: _Facts, leg: Leg, table: str, spaces: Sequence[Space]) -> bool:
    """Whether nothing but the space of a leg moves a table, along its rows as along the leg."""
    names, axis = facts.aliases.get(table, (table,)), len(facts.shapes[table]) - 1
    own = [space for space in spaces if leg in space.legs]
    return all(
        (x.axis, x.span) == (axis, 1) and _alike(x, leg) and (space in own or not space.actions)
        for space in spaces
        for x in space.legs
        if x.tensor in names
    )


def _on_rows(
    facts: _Facts, space: Space, leg: Leg, own: Rows, share: float, spaces: Sequence[Space]
) -> list[Absorbed]:
    """What rows of a table take back, where the units lie along it as along the bias."""
    names = facts.aliases.get(own.table, (own.table,))
    axis = len(facts.shapes[own.table]) - 1
    number = space.legs.index(leg)
    found = []
    for other in (s for s in spaces if s.actions and s.name not in space.within):
        for at, x in enumerate(other.legs):
            if x.tensor not in names:
                continue
            if other is not space or (x.axis, x.span) != (axis, 1) or not _alike(x, leg):
                return []  # something else moves the table, or its rows
            generators = [g.exponents for g in space.generators if g.action != "shift"]
            if any(powers[at] != powers[number] for powers in generators):
                return []
            found.append(Absorbed(x, x.tensor, axis, share, own.rows))
    return found


def _alike(one: Leg, other: Leg) -> bool:
    return one.positions == other.positions


def _legs_of(
    facts: _Facts, space: Space, reader: Reader, entries: NDArray[np.int64]
) -> list[Leg] | None:
    """The legs of a space on which a matrix reads its units; None where it reads something else."""
    unit_of = np.full(max(int(entries.max()), max(reader.routing)) + 1, -1)
    unit_of[entries] = np.arange(len(entries))
    routing = np.array(reader.routing)
    wanted = np.where(routing >= 0, unit_of[routing], -1)  # the unit at every position
    left = {int(p) for p in np.flatnonzero(wanted >= 0)}
    found = []
    for leg in space.legs:
        if (leg.tensor, leg.axis, leg.span) != (reader.tensor, reader.axis, 1):
            continue
        positions = np.array(leg.places(facts.shapes[reader.tensor]))
        units = np.repeat(np.arange(len(entries)), len(positions) // len(entries))
        inside = positions < len(wanted)
        if not inside.all() or (wanted[positions] != units).any():
            return None
        left -= set(positions.tolist())
        found.append(leg)
    return None if left else found


def _with_shift(facts: _Facts, space: Space, generator: Generator) -> Space:
    """The space with one shift more, unless others make it up."""
    rows = [_row(facts, space, g) for g in (*space.of("shift"), generator)]
    keys = sorted({key for row in rows for key in row}, key=repr)
    table = np.array([[row.get(key, 0.0) for key in keys] for row in rows])
    table /= np.linalg.norm(table, axis=1, keepdims=True)
    if np.linalg.matrix_rank(table, tol=SMALL) < len(rows):
        return space
    return replace(
        space,
        generators=(*space.generators, generator),
        actions=space.actions | {"shift"},
    )


def _row(facts: _Facts, space: Space, generator: Generator) -> Mapping[object, float]:
    """What a shift moves: legs, of tables every kind of rows apart, and what is taken back."""
    tables: dict[str, list[Rows]] = {}
    for own in facts.rows.values():
        for name in facts.aliases.get(own.table, (own.table,)):
            tables.setdefault(name, []).append(own)
    row: dict[object, float] = {}
    for i, (leg, e) in enumerate(zip(space.legs, generator.exponents, strict=True)):
        # rows of no kind are read nowhere
        kinds = [own.rows for own in tables.get(leg.tensor, ())] or [()]
        row |= {(i, own): e for own in kinds if e}
    for taken in generator.absorbed:
        leg = taken.reader
        key: object = (taken.bias, leg.tensor, leg.axis, leg.positions)
        if taken.rows is not None:
            key = (space.legs.index(leg), taken.rows)
        row[key] = row.get(key, 0.0) + taken.factor * (1 if taken.rows is None else -1)
    return row
