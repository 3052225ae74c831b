"""Null spaces and ranks of large matrices, by triangular factors.

Singular values of large matrices are slow. A QR decomposition is not, and the null space of its
triangular factor R follows by inverse iteration: with rows eps I below R, every step

    X <- (R^T R + eps^2 I)^-1 X

lets what R does not see grow by (sigma / eps)^2 against a direction of singular value sigma.
"""

import torch
from torch import Tensor

# Singular values below this share of the largest count as zero: float64 leaves about 1e-13 of
# rounding, and the weakest directions of small networks were seen at 1e-7.
RANK_TOLERANCE = 1e-10
# The shift of inverse iteration, as a share of the largest singular value: above the rounding,
# and so far below RANK_TOLERANCE that one step tells 1e-10 from zero by 1e4.
SHIFT = 1e-12
STEPS = 3
# Directions of a null space are known less exactly: to the rounding over the weakest direction.
ANGLE_TOLERANCE = 1e-8


def unit_rows(matrix: Tensor) -> Tensor:
    """The rows of a matrix that are not zero, all of length one."""
    lengths = matrix.norm(dim=1)
    found: Tensor = matrix[lengths > 0] / lengths[lengths > 0, None]
    return found


def triangle(matrix: Tensor) -> Tensor:
    """A matrix of at most as many rows as columns that sees what a larger one sees."""
    found: Tensor = torch.linalg.qr(matrix, mode="r")[1] if len(matrix) else matrix
    return found


def null_space(
    matrix: Tensor, whole: Tensor | None = None, tolerance: float = RANK_TOLERANCE
) -> Tensor:
    """Directions that a matrix takes to zero.

    Args:
        matrix: (rows, columns).
        whole: a matrix of which it holds some columns; what is small against this one is zero.
        tolerance: singular values below this share of the largest count as zero.

    Returns:
        Orthonormal rows, (dimension, columns).
    """
    columns = matrix.shape[1]
    largest = _largest(matrix if whole is None else whole)
    if largest == 0:
        return torch.eye(columns, dtype=torch.float64)
    factor = triangle(torch.cat([matrix, SHIFT * largest * torch.eye(columns).double()]))
    generator = torch.Generator().manual_seed(0)
    size = min(columns, max(64, columns - len(matrix) + 1))
    while True:
        block = torch.randn(columns, size, dtype=torch.float64, generator=generator)
        for _ in range(STEPS):
            block = torch.linalg.solve_triangular(factor.T, block, upper=False)
            block = torch.linalg.solve_triangular(factor, block, upper=True)
            block = torch.linalg.qr(block)[0]
        _, values, right = torch.linalg.svd(triangle(factor @ block))
        null = int((values <= tolerance * largest).sum())
        if null < size or size == columns:
            found: Tensor = right[size - null :] @ block.T
            return found
        size = min(columns, 2 * size)


def _largest(matrix: Tensor) -> float:
    """The largest singular value, by power iteration: to a few per cent."""
    vector = torch.ones(matrix.shape[1], dtype=torch.float64)
    for _ in range(20):
        vector = matrix.T @ (matrix @ (vector / vector.norm().clamp_min(1e-300)))
    return float(vector.norm().sqrt())


def complement(directions: Tensor) -> Tensor:
    """Orthonormal rows across all rows of a matrix, whatever their lengths."""
    return null_space(triangle(unit_rows(directions)), tolerance=ANGLE_TOLERANCE)


def rank_of(directions: Tensor) -> int:
    """How many of some rows are independent, whatever their lengths."""
    rows = unit_rows(directions)
    flat = triangle(rows.T if len(rows) < rows.shape[1] else rows)
    return flat.shape[1] - len(null_space(flat, tolerance=ANGLE_TOLERANCE))
