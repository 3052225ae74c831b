"""From the facts about places to spaces: what forms a unit, and which units may be exchanged.

Places that move alike form a unit. Units that no fact tells apart form a cell (colour refinement:
two units differ if they lie in different sets, or carry, or are carried by, units that differ).
A cell whose units are carried by those of another one, as the entries of heads by the heads, is
permuted within each of them. Every unit gets one digit for its own cell and for every cell that
carries it; a space acts on one digit and leaves the others as they are.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from toroids.discovery.axes.constraints import Constraints, Ids
from toroids.discovery.inference.still import still_units

Hash = NDArray[np.uint64]


@dataclass(frozen=True)
class Orbits:
    """Units, cells and digits.

    Attributes:
        unit: (places,) the unit of every place.
        role: (places,) the rank of a place within its unit.
        cell: (units,) the cell of every unit; -1 where it never moves, and nothing scales it.
        chain: for every cell, the cells whose digits its units have; its own comes last, and is
            missing where the others determine the unit.
        digits: for every cell, (units of the cell, digits); units ascend.
        size: number of values of a cell's own digit.
        pinned: cells that were fixed because their structure is no product, with the reason.
        members: the units of every cell.
        still: cells of a single unit that never moves.
    """

    unit: Ids
    role: Ids
    cell: Ids
    chain: dict[int, tuple[int, ...]]
    digits: dict[int, Ids]
    size: dict[int, int]
    pinned: tuple[str, ...] = ()
    members: dict[int, Ids] = field(default_factory=dict)
    still: frozenset[int] = frozenset()

    def spaces(self) -> list[int]:
        """Cells with a digit of their own, carriers first, then in order of appearance."""
        own = [cell for cell, chain in self.chain.items() if chain and chain[-1] == cell]
        return sorted(own, key=lambda cell: self.members[cell][0])


def _mix(*parts: NDArray[np.generic] | int) -> Hash:
    """A hash of tuples of integers, as independent of their order as random numbers are."""
    with np.errstate(over="ignore"):
        state: Hash = np.asarray(np.uint64(0x9E3779B97F4A7C15))
        for part in parts:
            x = np.asarray(part).astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15) + state
            x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            state = np.asarray(x ^ (x >> np.uint64(31)))
        return state


def _add_at(total: Hash, where: Ids, what: Hash) -> None:
    with np.errstate(over="ignore"):
        np.add.at(total, where, what)


def _flattened(pairs: Sequence[tuple[Ids, Ids]]) -> tuple[Ids, Ids, Ids]:
    if not pairs:
        empty = np.zeros(0, np.int64)
        return empty, empty, empty
    kinds = np.repeat(np.arange(len(pairs)), [len(a) for a, _ in pairs])
    return kinds, np.concatenate([a for a, _ in pairs]), np.concatenate([b for _, b in pairs])


def orbits(c: Constraints) -> Orbits:
    """Solves the facts for units, cells and digits.

    Returns:
        The structure. Cells whose units are carried by several others in a way that is no product
        are fixed, with a reason, until the rest is one.
    """
    solver = _Solver(c)
    while True:
        solver.refine()
        if solver.merge_bijections():
            continue
        found = solver.assign_digits()
        if found is not None:
            return found


class _Solver:
    def __init__(self, c: Constraints) -> None:
        self.facts = c
        self.places = c.places
        self.same_kind, self.same_a, self.same_b = _flattened(c.sames)
        self.under_kind, self.child, self.parent = _flattened(c.unders)
        self.extra_same: list[tuple[Ids, Ids]] = []
        self.extra_under: list[tuple[Ids, Ids]] = []
        self.member_kind, self.member_place, _ = _flattened([(m, m) for m in c.members])
        inside = self.member_place >= 0
        self.member_kind, self.member_place = self.member_kind[inside], self.member_place[inside]
        self.fixed = np.zeros(self.places, bool)
        for mine, other in ((self.same_a, self.same_b), (self.same_b, self.same_a)):
            self.fixed[mine[(mine >= 0) & (other < 0)]] = True
        free = (self.same_a >= 0) & (self.same_b >= 0)
        self.same_kind, self.same_a, self.same_b = (
            x[free] for x in (self.same_kind, self.same_a, self.same_b)
        )
        inside = self.child >= 0
        held = self.parent[~inside]  # what never moves keeps what it lies in
        self.fixed[held[held >= 0]] = True
        self.under_kind, self.child, self.parent = (
            x[inside] for x in (self.under_kind, self.child, self.parent)
        )
        self.pinned: list[str] = []

    def refine(self) -> None:
        """Units, roles, and the coarsest partition that every fact respects."""
        _, a, b = _flattened([(self.same_a, self.same_b), *self.extra_same])
        n = self.places
        links = coo_matrix((np.ones(len(a), np.int8), (a, b)), shape=(n, n))
        count, unit = connected_components(links, directed=False) if n else (0, np.zeros(0, int))
        # units are numbered by their first place
        first = np.full(count, n)
        np.minimum.at(first, unit, np.arange(n))
        self.first = np.sort(first)
        renumber = np.empty(count, np.int64)
        renumber[np.argsort(first)] = np.arange(count)
        self.unit = renumber[unit]
        order = np.lexsort((np.arange(n), self._kinds(n), self.unit))
        starts = np.searchsorted(self.unit[order], np.arange(count))
        self.role = np.empty(n, np.int64)
        self.role[order] = np.arange(n) - starts[self.unit[order]]
        self.unit_fixed = np.zeros(count, bool)
        self.unit_fixed[self.unit[self.fixed]] = True
        colour = self._base_colours(count)
        self._edges()
        previous, moving = 0, ~self.unit_fixed
        while True:
            distinct = len(np.unique(colour[moving]))  # all others are different anyway
            if distinct == previous:
                break
            previous = distinct
            colour = self._refined(colour)
        self.cell = np.full(count, -1)
        _, self.cell[moving] = np.unique(colour[moving], return_inverse=True)

    def _kinds(self, count: int) -> Hash:
        """What tells the places of one unit from each other: which facts name them, beside what."""
        kinds = np.zeros(count, np.uint64)
        for _ in range(2):  # the facts themselves, then what is said of the places beside
            before = kinds.copy()
            _add_at(kinds, self.same_a, _mix(self.same_kind, before[self.same_b], 1))
            _add_at(kinds, self.same_b, _mix(self.same_kind, before[self.same_a], 2))
        return kinds

    def _base_colours(self, count: int) -> Hash:
        colour = np.zeros(count, np.uint64)
        unit, role = self.unit, self.role
        _add_at(colour, unit[self.member_place], _mix(self.member_kind, role[self.member_place], 1))
        _add_at(
            colour, unit[self.same_a], _mix(self.same_kind, role[self.same_a], role[self.same_b], 2)
        )
        onto = self.parent < 0
        child = self.child[onto]
        _add_at(colour, unit[child], _mix(self.under_kind[onto], role[child], self.parent[onto], 3))
        # places that never move are all different
        colour = np.where(self.unit_fixed, _mix(np.arange(count), 4), colour)
        return np.asarray(colour)

    def _edges(self) -> None:
        kinds, child, parent = _flattened([(self.child, self.parent), *self.extra_under])
        kinds = np.concatenate([self.under_kind, (1 << 40) + kinds[len(self.under_kind) :]])
        up = parent >= 0
        kinds, child, parent = kinds[up], child[up], parent[up]
        key = _mix(kinds, self.role[child], self.role[parent])
        edges = np.stack([self.unit[child], self.unit[parent], key.astype(np.int64)])
        edges = np.unique(edges, axis=1)  # a statement may repeat a place
        self.e_child, self.e_parent, self.e_key = edges[0], edges[1], edges[2].astype(np.uint64)

    def _refined(self, colour: Hash) -> Hash:
        new = _mix(colour)
        _add_at(new, self.e_child, _mix(self.e_key, colour[self.e_parent], 5))
        _add_at(new, self.e_parent, _mix(self.e_key, colour[self.e_child], 6))
        return np.where(self.unit_fixed, colour, new)

    def _columns(self) -> dict[int, list[tuple[Ids, Ids]]]:
        """For every cell, how other moving cells carry its units: (units, parents)."""
        child, parent = self.e_child, self.e_parent
        moving = (self.cell[child] >= 0) & (self.cell[parent] >= 0) & (child != parent)
        child, parent, key = child[moving], parent[moving], self.e_key[moving]
        cells = self.cell[child]
        order = np.lexsort((child, key, cells))
        child, parent, key, cells = child[order], parent[order], key[order], cells[order]
        cuts = np.flatnonzero((np.diff(cells) != 0) | (np.diff(key.astype(np.int64)) != 0)) + 1
        columns: dict[int, list[tuple[Ids, Ids]]] = {}
        seen: set[bytes] = set()
        for units, above in zip(np.split(child, cuts), np.split(parent, cuts), strict=True):
            signature = units[:1].tobytes() + above.tobytes()
            if len(units) and signature not in seen:
                seen.add(signature)
                columns.setdefault(int(self.cell[units[0]]), []).append((units, above))
        return columns

    def merge_bijections(self) -> bool:
        """Unites units that determine each other; states which carriers carry which."""
        columns = self._columns()
        changed = False
        for cell, ways in columns.items():
            for units, above in ways:
                if cell != self.cell[above[0]] and len(np.unique(above)) == len(units):
                    self.extra_same.append((self._first(units), self._first(above)))
                    changed = True
        if changed:
            return True
        for ways in columns.values():
            for i, (_, above) in enumerate(ways):
                for _, other in ways[i + 1 :]:
                    changed |= self._relate(above, other, columns)
        return changed

    def _relate(self, a: Ids, b: Ids, columns: dict[int, list[tuple[Ids, Ids]]]) -> bool:
        if len(a) != len(b):
            return False
        count = len(self.cell)
        # as single numbers, which are sorted much quicker than columns
        pairs = np.stack(np.divmod(np.unique(a.astype(np.int64) * count + b), count))
        counts = len(np.unique(a)), len(np.unique(b))
        if pairs.shape[1] == counts[0] == counts[1]:
            if (pairs[0] == pairs[1]).all():
                return False
            self.extra_same.append((self._first(pairs[0]), self._first(pairs[1])))
            return True
        for low, high, rows in ((0, 1, counts[0]), (1, 0, counts[1])):
            if pairs.shape[1] == rows:
                known = columns.get(int(self.cell[pairs[low][0]]), [])
                if any(self.cell[up[0]] == self.cell[pairs[high][0]] for _, up in known):
                    return False
                self.extra_under.append((self._first(pairs[low]), self._first(pairs[high])))
                return True
        return False

    def _first(self, units: Ids) -> Ids:
        """A place of every unit."""
        return np.asarray(self.first[units])

    def assign_digits(self) -> Orbits | None:
        columns = self._columns()
        count = len(self.cell)
        moving = np.flatnonzero(self.cell >= 0)
        order = np.lexsort((moving, self.cell[moving]))
        grouped = np.split(moving[order], np.flatnonzero(np.diff(self.cell[moving][order])) + 1)
        members = {int(self.cell[units[0]]): units for units in grouped if len(units)}
        index = np.zeros(count, np.int64)
        for units in members.values():
            index[units] = np.arange(len(units))
        chain: dict[int, tuple[int, ...]] = {}
        digits: dict[int, Ids] = {}
        size: dict[int, int] = {}
        busy: set[int] = set()

        def visit(cell: int) -> int | None:
            """Returns a cell to pin, or None."""
            if cell in chain:
                return None
            if cell in busy:
                return cell
            busy.add(cell)
            units = members[cell]
            known: dict[int, Ids] = {}
            for own, above in columns.get(cell, []):
                up = int(self.cell[above[0]])
                bad = visit(up)
                if bad is not None:
                    return bad
                if up == cell or len(own) != len(units):
                    return cell
                for position, digit in enumerate(chain[up]):
                    values = digits[up][index[above], position]
                    if digit in known and not (known[digit] == values).all():
                        return up
                    known[digit] = values
            cells = sorted(known, key=lambda k: members[k][0])
            table = (
                np.stack([known[k] for k in cells], 1) if cells else np.zeros((len(units), 0), int)
            )
            extent = int(np.prod([size[k] for k in cells], dtype=np.int64))
            _, which, copies = (
                np.unique(table, axis=0, return_inverse=True, return_counts=True)
                if cells
                else (0, np.zeros(len(units), int), np.array([len(units)]))
            )
            if len(copies) != extent or len(set(copies.tolist())) > 1:
                return cells[0] if len(cells) > 1 else cell
            which = np.asarray(which).reshape(-1)
            by = np.lexsort((units, which))
            own_digit = np.empty(len(units), np.int64)
            own_digit[by] = np.arange(len(units)) % copies[0]
            size[cell] = int(copies[0])
            # where rows cross columns, scales may be told of every crossing
            if copies[0] > 1 or not cells or (len(cells) > 1 and self.facts.crossings):
                chain[cell] = (*cells, cell)
                digits[cell] = np.concatenate([table, own_digit[:, None]], 1)
            else:
                chain[cell] = tuple(cells)
                digits[cell] = table
            return None

        for cell in sorted(members, key=lambda k: members[k][0]):
            bad = visit(cell)
            if bad is not None:
                self.fixed[self._first(members[bad])] = True
                self.pinned.append(
                    f"{len(members[bad])} coordinates are kept in place: others depend on them in "
                    "a way that is no product of spaces"
                )
                return None
        still = still_units(self.facts, self.unit, self.unit_fixed)
        own = len(self.cell) + np.arange(len(still))
        for cell, unit in zip(own.tolist(), still, strict=True):
            self.cell[unit] = cell
            members[cell], chain[cell] = np.array([unit]), (cell,)
            digits[cell], size[cell] = np.zeros((1, 1), np.int64), 1
        pinned = tuple(self.pinned)
        return Orbits(
            self.unit, self.role, self.cell, chain, digits, size, pinned, members,
            frozenset(own.tolist()),
        )  # fmt: skip
