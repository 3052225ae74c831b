"""Linear algebra on tables of exponents: over the reals for scales, modulo two for signs."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]


def basis(rows: Sequence[tuple[float, ...]], modulo_two: bool) -> list[tuple[float, ...]]:
    """The first rows of which none is a combination of the ones before."""
    kept: list[tuple[float, ...]] = []
    for row in rows:
        if independent([np.array(r) for r in (*kept, row)], modulo_two):
            kept.append(row)
    return kept


def independent(rows: Sequence[Matrix], modulo_two: bool) -> bool:
    """Whether no row is a combination of the others."""
    if modulo_two:
        return _rank_modulo_two(np.array(rows)) == len(rows)
    return bool(np.linalg.matrix_rank(np.array(rows)) == len(rows))


def _rank_modulo_two(rows: Matrix) -> int:
    left = [sum(1 << i for i, x in enumerate(row) if x % 2) for row in rows]
    rank = 0
    while left:
        pivot = left.pop()
        if pivot:
            rank += 1
            low = pivot & -pivot
            left = [x ^ pivot if x & low else x for x in left]
    return rank


def right_inverse(rows: Matrix, modulo_two: bool) -> Matrix:
    """Columns that each meet one row in one and the others in zero."""
    if not modulo_two:
        return np.asarray(np.linalg.pinv(rows))
    count, size = rows.shape
    work = np.concatenate([rows % 2, np.eye(count)], axis=1)
    places = []
    for i in range(count):
        column = int(np.flatnonzero(work[i, :size])[0])
        places.append(column)
        for j in range(count):
            if j != i and work[j, column]:
                work[j] = (work[j] + work[i]) % 2
    inverse = np.zeros((size, count))
    inverse[places] = work[:, size:]
    return inverse
