"""Values on a grid of points, all evaluated or only where they change.

The adaptive grid evaluates every fourth line first and then halves the cells whose corners differ
by more than a tolerance in their errors; in what is left, values are linear in x and in y.
"""

import math
from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import TypeAlias

import torch
from torch import Tensor

from toroids.errors import NotFiniteError
from toroids.evaluation.summary import Evaluation
from toroids.progress import Progress

# With a tolerance, every so many lines are evaluated at first.
COARSE = 4

# First and last row, first and last column.
Cell: TypeAlias = tuple[int, int, int, int]


class Grid:
    """What a function of (x, y) gives at the crossings of columns x and rows y."""

    def __init__(
        self,
        x: Tensor,
        y: Tensor,
        evaluate: Callable[[float, float], Evaluation],
        progress: Progress | None = None,
    ) -> None:
        """Prepares an empty grid.

        Args:
            x: positions of the n columns, increasing.
            y: positions of the m rows, increasing.
            evaluate: measures one point; NotFiniteError leaves it NaN, with a note.
            progress: called with a text, the number of points done, and of all points (0: unknown).
        """
        self._x, self._y = x, y
        self._evaluate, self._progress = evaluate, progress
        shape = (len(y), len(x))
        names = ("error", "loss", "error_stderr")
        self.values = {name: torch.full(shape, math.nan, dtype=torch.float64) for name in names}
        self.evaluated = torch.zeros(shape, dtype=torch.bool)
        self.notes: list[str] = []

    def fill(self) -> None:
        """Evaluates every point."""
        for row in range(len(self._y)):
            for column in range(len(self._x)):
                self._take(row, column, self.evaluated.numel())

    def refine(self, tolerance: float, rows: Iterable[int], columns: Iterable[int]) -> None:
        """Evaluates only where errors change.

        Args:
            tolerance: cells whose corners differ by more in their errors are halved both ways.
            rows: further rows of the first, coarse grid.
            columns: further columns of the first, coarse grid.
        """
        coarse_rows = sorted({*range(0, len(self._y), COARSE), len(self._y) - 1, *rows})
        coarse_columns = sorted({*range(0, len(self._x), COARSE), len(self._x) - 1, *columns})
        cells = [
            (*between_rows, *between_columns)
            for between_rows in pairwise(coarse_rows)
            for between_columns in pairwise(coarse_columns)
        ]
        kept: list[Cell] = []
        while cells:
            parts: list[Cell] = []
            for cell in cells:
                smaller = _split(cell) if not self._spread(cell) <= tolerance else []
                parts += smaller
                kept += [] if smaller else [cell]
            cells = parts
        # The smallest come last: on an edge they have evaluated more than their larger neighbour.
        for cell in kept:
            self._interpolate(cell)

    def _take(self, row: int, column: int, total: int) -> None:
        x, y = float(self._x[column]), float(self._y[row])
        self.evaluated[row, column] = True
        try:
            found = self._evaluate(x, y)
            for name, values in self.values.items():
                values[row, column] = getattr(found, name)
        except NotFiniteError as error:
            self.notes.append(f"at x = {x:.6g}, y = {y:.6g} {error}")
        if self._progress is not None:
            self._progress("evaluating the plane", int(self.evaluated.sum()), total)

    def _spread(self, cell: Cell) -> float:
        """By how much the errors at the corners differ; NaN where one is."""
        top, bottom, left, right = cell
        for row in (top, bottom):
            for column in (left, right):
                if not self.evaluated[row, column]:
                    self._take(row, column, 0)
        corners = self.values["error"][[top, top, bottom, bottom], [left, right, left, right]]
        return float(corners.max() - corners.min())

    def _interpolate(self, cell: Cell) -> None:
        """Fills what was not evaluated within a cell."""
        top, bottom, left, right = cell
        place = slice(top, bottom + 1), slice(left, right + 1)
        down, along = (
            (axis - axis[0]) / (axis[-1] - axis[0])
            for axis in (self._y[place[0]], self._x[place[1]])
        )
        for values in self.values.values():
            upper, lower = (
                torch.lerp(values[row, left], values[row, right], along) for row in (top, bottom)
            )
            filled = torch.lerp(upper, lower, down[:, None])
            values[place] = torch.where(self.evaluated[place], values[place], filled)


def _split(cell: Cell) -> list[Cell]:
    """Halves a cell both ways, or one way where it is one line wide; the least has no parts."""
    top, bottom, left, right = cell
    rows = sorted({top, (top + bottom) // 2, bottom})
    columns = sorted({left, (left + right) // 2, right})
    parts = [(*r, *c) for r in pairwise(rows) for c in pairwise(columns)]
    return parts if len(parts) > 1 else []
