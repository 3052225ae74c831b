"""The scales at which the norm of a network's weights is least.

Not every norm has a least value: a filter before a norm shrinks freely, because nothing grows in
turn. By symmetry one unit stands for all of a space, so that a small linear program over the
exponents finds the weights that shrink to nothing along some direction. They do not count.
"""

import itertools
from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.optimize import linprog
from torch import Tensor

from toroids.canonical.degenerate import listed
from toroids.canonical.exponents import Matrix
from toroids.canonical.fixing import element
from toroids.canonical.mix import only_side, seen
from toroids.canonical.newton import minimise
from toroids.canonical.squares import LogScales, Mover, Squares, SumOfSquares
from toroids.discovery.inference.exponents import fraction, null_space
from toroids.params import Params, precise
from toroids.symmetry.action import move_space
from toroids.symmetry.group import SymmetryGroup
from toroids.symmetry.offsets import added
from toroids.symmetry.space import Generator, Output, Space, carried_twice
from toroids.symmetry.units import along, sum_per_unit


@dataclass(frozen=True)
class Stuck:
    """Units of which zeros leave no weights that would grow.

    Attributes:
        space: its number.
        where: which units.
        rows: the exponents, in every generator, of the weights that are there.
    """

    space: int
    where: Tensor
    rows: Matrix


class LeastNorm:
    """The scales of one group at which the norm of one network is least.

    Attributes:
        spaces: on which scales act.
        free: 1 for every log-scale that may move, 0 for the others.
        rest: the group with only those scales that move nothing but what has no least norm.
        notes: on units that have no least norm.
    """

    def __init__(self, group: SymmetryGroup, params: Params) -> None:
        """Finds which weights of the network count."""
        self.notes: list[str] = []
        # the gains of a space that rotates stay one, or its matrices would not be orthogonal
        self.spaces = [s for s in group.spaces if s.of("rescale") and not s.of("rotate")]
        self._movers: dict[str, list[Mover]] = {}
        # which matrices do not look at, though they move them
        twice = {n for s in group.spaces if s.of("mix") for n in carried_twice(s, group.shapes)}
        for number, space in enumerate(self.spaces):
            powers = zip(*(g.exponents for g in space.of("rescale")), strict=True)
            for leg, row in zip(space.legs, powers, strict=True):
                if any(row) and leg.tensor in group.parameters and leg.tensor not in twice:
                    mover = Mover(number, leg, row)
                    self._movers.setdefault(leg.tensor, []).append(mover)
        self._counted: dict[str, set[int]] = {}
        self._loose: set[tuple[int, int]] = set()  # spaces and generators that others may undo
        mixing = [s for s in group.spaces if s.of("mix") and not only_side(s, params)]
        self._mixes = [seen(space, params) for space in mixing]
        squares = self._squares(params)
        self._kinds = {name: _kinds(square) for name, square in squares.items()}
        self._count(squares, params)
        self.rest = replace(
            group, spaces=tuple(self._rest(space) for space in group.spaces), output=Output()
        )
        self._stuck: list[Stuck] = []
        self.free = self._units_with_a_minimum(self._only_counted(squares))
        for number, generator in self._loose:
            self.free[number][generator] = 0

    def settle(self, params: MutableMapping[str, Tensor]) -> float | None:
        """Brings the scales to the least norm, and units without one to norm one.

        Returns:
            The largest change of a weight that counts, relative to it; None if Newton's method did
            not converge.
        """
        least = minimise(self.function(params))
        if least is None:
            return None
        before = {name: params[name].detach() for name in self._counted}
        scale(self.spaces, least.scales, params)
        stuck = self._to_norm_one(self._only_counted(self._squares(params)))
        scale(self.spaces, stuck, params)
        # not of the log-scales: families that are not independent have some that do nothing
        return max((_change(old, params[name]) for name, old in before.items()), default=0.0)

    def function(self, params: Params) -> SumOfSquares:
        """The norm of what counts, as a function of the scales."""
        squares = self._only_counted(self._squares(params))
        return SumOfSquares(squares, self.free, [torch.zeros_like(part) for part in self.free])

    def shares(self, params: Params) -> dict[str, Tensor]:
        """Ones for weights that count, zeros for others, to broadcast over what scales move."""
        squares = self._squares(params)
        return {name: self._mask(name).to(torch.float64) for name, square in squares.items()}

    def _squares(self, params: Params) -> dict[str, Squares]:
        found = {}
        for name, movers in self._movers.items():
            tensor = params[name].detach()
            held = {a for m in movers for a in range(m.leg.axis, m.leg.axis + m.leg.span)}
            others = [axis for axis in range(tensor.ndim) if axis not in held]
            own = (mover.leg for mover in movers if mover.leg.offset)
            squares = (precise(tensor) + added(own, precise(tensor))).square()
            if others:
                squares = squares.sum(dim=others, keepdim=True)
            found[name] = Squares(squares, tuple(movers))
        return found

    def _count(self, squares: dict[str, Squares], params: Params) -> None:
        """Finds the classes of entries, those that the same legs move, that have a least norm.

        The scale of every matrix is one more way to fall, together with what only matrices move.
        """
        sizes = [len(space.of("rescale")) for space in self.spaces]
        starts = [0, *itertools.accumulate(sizes)]
        mixed = self._mixed(params)
        classes: list[tuple[str, int]] = []
        rows: list[Matrix] = []
        for name, square in squares.items():
            kinds, codes = self._kinds[name]
            for kind, code in enumerate(codes):
                if not bool((square.values * (kinds == kind)).any()):
                    continue
                row = np.zeros(starts[-1] + len(self._mixes))
                for number, mover in enumerate(square.movers):
                    if code >> number & 1:
                        first = starts[mover.space]
                        row[first : first + len(mover.exponents)] += mover.exponents
                row[starts[-1] :] = mixed.get(name, 0.0)
                classes.append((name, code))
                rows.append(row)
        for name, powers in mixed.items():
            if name not in squares:
                rows.append(np.concatenate([np.zeros(starts[-1]), powers]))
        bounded = _bounded(np.array(rows)) if classes else []
        for (name, code), counts in zip(classes, bounded[: len(classes)], strict=True):
            if counts:
                self._counted.setdefault(name, set()).add(code)
        kept = [row for row, counts in zip(rows, bounded, strict=False) if counts]
        places = [(n, at) for n, size in enumerate(sizes) for at in range(size)]
        self._loose = {places[i] for i in _undone(kept, starts[-1], len(self._mixes))}

    def _mixed(self, params: Params) -> dict[str, Matrix]:
        """The exponents of what is not zero in the scales of the matrices that look at it."""
        found: dict[str, Matrix] = {}
        for number, space in enumerate(self._mixes):
            for leg, power in zip(space.legs, space.of("mix")[0].exponents, strict=True):
                if leg.offset or bool(params[leg.tensor].any()):
                    found.setdefault(leg.tensor, np.zeros(len(self._mixes)))[number] = power
        return found

    def _only_counted(self, squares: dict[str, Squares]) -> list[Squares]:
        kept = []
        for name in self._counted:
            square, mask = squares[name], self._mask(name)
            kept.append(
                square if bool(mask.all()) else replace(square, values=square.values * mask)
            )
        return kept

    def _mask(self, name: str) -> Tensor:
        """Which entries of a tensor count."""
        kinds, codes = self._kinds[name]
        counted = self._counted.get(name, ())
        return torch.tensor([code in counted for code in codes], device=kinds.device)[kinds]

    def _rows(self, space: Space) -> list[tuple[float, ...]]:
        """The exponents, in the generators of one space, of its legs whose norm counts."""
        return [
            mover.exponents
            for name, codes in self._counted.items()
            for number, mover in enumerate(self._movers[name])
            if self.spaces[mover.space].name == space.name
            and any(code >> number & 1 for code in codes)
        ]

    def _rest(self, space: Space) -> Space:
        """The space with those rescalings that leave all that counts as it is."""
        generators = space.of("rescale")
        loose = {at for n, at in self._loose if self.spaces[n].name == space.name}
        rows = [
            {number: fraction(e) for number, e in enumerate(row) if e and number not in loose}
            for row in dict.fromkeys(self._rows(space))
        ]
        kept = [generators[number] for number in sorted(loose)]
        others = [number for number in range(len(generators)) if number not in loose]
        for vector in null_space(rows, others, modulo_two=False):
            powers = sum(
                float(factor) * np.array(generators[number].exponents)
                for number, factor in vector.items()
            )
            kept.append(Generator("rescale", tuple(np.round(powers, 12).tolist())))
        rest = [g for g in space.generators if g.action != "rescale"]
        actions = {g.action for g in (*kept, *rest)} | (space.actions & {"permute"})
        return replace(space, generators=(*kept, *rest), actions=frozenset(actions))

    def _to_norm_one(self, squares: Sequence[Squares]) -> LogScales:
        """Scales at which what units without a least norm hold has norm one."""
        scales = [torch.zeros_like(part) for part in self.free]
        for stuck in self._stuck:
            total = scales[stuck.space]
            sums = [
                torch.stack(
                    [
                        sum_per_unit(square.values, mover.leg, total.shape[1])
                        for square in squares
                        for mover in square.movers
                        if mover.space == stuck.space and mover.exponents == tuple(row)
                    ]
                ).sum(dim=0)
                for row in stuck.rows
            ]
            where = stuck.where.to(total.device)
            logs = torch.where(where, torch.stack(sums), 1.0).log() / -2
            total += torch.from_numpy(np.linalg.pinv(stuck.rows)).to(total) @ logs
        return scales

    def _units_with_a_minimum(self, squares: Sequence[Squares]) -> LogScales:
        """Marks units that zeros leave with a least norm."""
        free = []
        for number, space in enumerate(self.spaces):
            units = space.copies * space.size
            found = [
                (mover.exponents, sum_per_unit(square.values, mover.leg, units) > 0)
                for square in squares
                for mover in square.movers
                if mover.space == number
            ]
            mark = torch.ones(len(space.of("rescale")), units, dtype=torch.float64)
            if found:
                rows = np.array([row for row, _ in found])
                present = torch.stack([there for _, there in found], dim=1).cpu()
                for pattern in map(torch.tensor, sorted({tuple(row) for row in present.tolist()})):
                    left = rows[pattern.numpy()]
                    if len(left) and not all(_bounded(left)):
                        where = (present == pattern).all(dim=1)
                        mark[:, where] = 0
                        self._stuck.append(Stuck(number, where, np.unique(left, axis=0)))
                mark = mark.to(squares[0].values)
            stuck = (mark[0] == 0).nonzero().flatten().tolist()
            if stuck:
                self.notes.append(
                    f"space `{space.name}`: units {listed(stuck)} have no least norm, because all "
                    "weights that would grow are zero; what is there gets norm one"
                )
            free.append(mark)
        return free


def scale(spaces: Sequence[Space], scales: LogScales, params: MutableMapping[str, Tensor]) -> None:
    """Moves a network by log-scales, one tensor for every space."""
    for space, logs in zip(spaces, scales, strict=True):
        choice = replace(element(space), log_scales=logs.view(-1, space.copies, space.size))
        move_space(space, choice, params)


def _change(old: Tensor, new: Tensor) -> float:
    """The largest change of an entry, relative to it."""
    size = torch.where(old == 0, 1.0, old.abs())
    return float(((new.detach() - old).abs() / size).max()) if old.numel() else 0.0


def _kinds(square: Squares) -> tuple[Tensor, list[int]]:
    """Numbers the kinds of entries, those that the same legs move.

    Returns:
        The kinds, to broadcast over the entries, and for each by one bit per leg which move it.
    """
    values = square.values
    kinds = torch.zeros((1,) * values.ndim, dtype=torch.long, device=values.device)
    codes = [0]
    for number, mover in enumerate(square.movers):
        if mover.leg.positions is None:
            codes = [code | 1 << number for code in codes]
            continue
        ones = torch.ones(len(mover.leg.positions), dtype=torch.long, device=values.device)
        moved = along(ones, values, mover.leg, 0)
        found, kinds = torch.unique(2 * kinds + moved, return_inverse=True)
        codes = [codes[kind // 2] | kind % 2 << number for kind in found.tolist()]
    return kinds, codes


def _bounded(rows: Matrix) -> list[bool]:
    """Which rows r stay at r d >= 0 for every d at which no row is positive."""
    count, size = rows.shape
    # the largest sum of t, 0 <= t <= 1, with r d + t <= 0: where t is not zero, r d can fall
    found = linprog(
        np.concatenate([np.zeros(size), -np.ones(count)]),
        A_ub=np.concatenate([rows, np.eye(count)], axis=1),
        b_ub=np.zeros(count),
        bounds=[(None, None)] * size + [(0, 1)] * count,
    )
    return [bool(t < 0.5) for t in found.x[size:]]


def _undone(rows: Sequence[Matrix], scales: int, mixes: int) -> list[int]:
    """Scales, the last ones, without which what scales do no matrices undo.

    Args:
        rows: exponents of all that counts in scales and in the scales of matrices.
        scales: the number of the former, which come first.
        mixes: the number of the latter.

    Returns:
        Numbers of scales.
    """
    if not rows or not mixes:
        return []
    table = np.unique(np.array(rows), axis=0)
    found, free, by_scales = list[int](), _free(table), _free(table[:, :scales])
    for scale in reversed(range(scales)):
        if free[scale] and not by_scales[scale]:
            found.append(scale)
            table[:, scale] = 0
            free = _free(table)
    return found


def _free(table: Matrix) -> Matrix:
    """Which columns some combination of columns that gives nothing contains."""
    _, values, directions = np.linalg.svd(table)
    rank = int((values > 1e-9 * values[0]).sum()) if len(values) else 0
    return np.asarray(np.abs(directions[rank:]).max(axis=0, initial=0.0) > 1e-9)
