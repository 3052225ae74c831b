"""Linear algebra, Fourier transforms and complex numbers: batch axes are free."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toroids.discovery import axes
from toroids.discovery.axes import SCALE, SHIFT, SIGN, Value
from toroids.discovery.axes.constraints import Constraints
from toroids.discovery.rules.linear import matmul
from toroids.discovery.rules.pointwise import NONE, Law, pointwise
from toroids.discovery.rules.reductions import dims_of, norm_over
from toroids.discovery.rules.registry import rule

# Functions of the last axes, in order; what they have in front are batches.
OF_MATRICES = (
    "_linalg_eigh linalg_eig linalg_eigvals linalg_qr linalg_lu_factor_ex linalg_lu "
    "linalg_lu_factor _linalg_det _linalg_slogdet linalg_det linalg_slogdet linalg_cholesky_ex "
    "linalg_cholesky cholesky cholesky_inverse linalg_ldl_factor_ex linalg_ldl_factor geqrf "
    "lu_unpack qr logdet linalg_householder_product orgqr linalg_lstsq linalg_matrix_exp "
    "linalg_matrix_power"
)
# Whose second argument has one vector for every matrix.
# Entries of a table of factors; where there are more, all positions stay in place.
LARGEST = 2**16
WITH_VECTORS = ("linalg_householder_product", "orgqr", "lu_unpack")


@rule(*(f"aten::{name}" for name in OF_MATRICES.split()))
def of_matrices(c: Constraints, *given: Any, **_: Any) -> Any:
    """Whatever is computed of whole matrices, in order."""
    values = [x for x in given if isinstance(x, Value)]
    vectors = c.name in WITH_VECTORS
    return ordered(c, values, [1 if n and vectors else 2 for n in range(len(values))], NONE)


def ordered(c: Constraints, values: Sequence[Value], lasts: Sequence[int], law: Law) -> Any:
    """A function of the last axes of its arguments as wholes, each of which stays in place.

    Args:
        c: takes the statements.
        values: the arguments; their other axes broadcast.
        lasts: how many axes of every argument are looked at.
        law: of the arguments as wholes.

    Returns:
        The results, whose axes behind those of the batches stay in place.
    """
    rows = []
    for value, last in zip(values, lasts, strict=True):
        axes.unmixed(c, value)
        rows.append(axes.set_aside(c, value, range(-last, 0)))
    batch = pointwise(c, rows, law)
    rank = len(batch.axes)
    found = [axes.with_fixed_axes(c, batch, rank, shape[rank:]) for shape in c.shapes]
    return found[0] if len(found) == 1 else found


@rule("aten::linalg_inv_ex", "aten::linalg_inv", "aten::inverse")
def inverse(c: Constraints, x: Value, *_: Any, **__: Any) -> Any:
    """Rows become columns, columns rows, with opposite exponents."""
    return _with_checks(c, x, _inverse(c, x))


def _inverse(c: Constraints, x: Value) -> Value:
    x = axes.separate(c, x, -2, -1)
    rank = len(x.axes)
    flipped = axes.permute(x, [*range(rank - 2), rank - 1, rank - 2])
    return replace(axes.multiply(c, (flipped,), (-1,)), loose=())


def _with_checks(c: Constraints, x: Value, y: Value) -> Any:
    """Adds what else is returned of a matrix, in place where anybody reads it."""
    if len(c.shapes) == 1:
        return y
    if any(c.used[1:]):  # of a matrix without an inverse, the place of a pivot that is zero
        batch = axes.set_aside(c, x, (-2, -1))
        axes.zero(c, x)
        rank = len(batch.axes)
        checks = [axes.with_fixed_axes(c, batch, rank, shape[rank:]) for shape in c.shapes[1:]]
        return [y, *(axes.without(check, (SCALE, SIGN, SHIFT)) for check in checks)]
    return [y, *(axes.fixed_value(shape) for shape in c.shapes[1:])]


@rule("aten::linalg_pinv")
def pseudo_inverse(
    c: Constraints, x: Value, _: Any = None, hermitian: bool = False, **__: Any
) -> Any:
    """As an inverse, of what is orthogonal; of one half of a symmetric matrix alone: in order."""
    if hermitian:
        return ordered(c, [x], [2], NONE)
    axes.zero(c, x, channels=(SCALE, SHIFT))
    return _inverse(c, axes.without(x, (SCALE, SHIFT)))


@rule("aten::_linalg_svd", "aten::linalg_svd")
def singular_values(c: Constraints, x: Value, *_: Any, **__: Any) -> Any:
    """Singular values know neither the order of the rows nor that of the columns."""
    if c.used[0] or c.used[2]:
        return ordered(c, [x], [2], NONE)
    batch = pointwise(c, [axes.separate(c, x, -2, -1)], NONE)
    for _axis in range(2):
        batch = axes.average_out(c, batch, -1)
    rank = len(batch.axes)
    return [axes.with_fixed_axes(c, batch, rank, shape[rank:]) for shape in c.shapes]


@rule("aten::_linalg_solve_ex", "aten::linalg_solve", "aten::linalg_solve_ex")
def solve(c: Constraints, a: Value, b: Value, *_: Any, left: bool = True, **__: Any) -> Any:
    """The inverse of a matrix times another."""
    inverted, vectors = _inverse(c, a), len(b.axes) < len(a.axes)
    b_here = axes.insert_axis(b, len(b.axes)) if vectors else b
    y = matmul(c, inverted, b_here) if left else matmul(c, b_here, inverted)
    return _with_checks(c, a, axes.drop_axis(c, y, -1) if vectors else y)


# Which argument of a product or solution is the matrix whose columns are free; the others are
# factors, looked at in order.
RIGHT_SIDES = {
    "triangular_solve": 0, "linalg_solve_triangular": 1, "cholesky_solve": 0, "lu_solve": 0,
    "linalg_lu_solve": 2, "linalg_ldl_solve": 2, "ormqr": 2,
}  # fmt: skip


@rule(*(f"aten::{name}" for name in RIGHT_SIDES))
def solve_factored(c: Constraints, *given: Any, **named: Any) -> Any:
    """Solutions, columns by column, from factors of a matrix."""
    position = RIGHT_SIDES[c.name]
    values = [x for x in given if isinstance(x, Value)]
    right, factors = values[position], [x for n, x in enumerate(values) if n != position]
    left = named.get("left", given[3] if c.name == "ormqr" and len(given) > 3 else True)
    in_order = -2 if left else -1
    batches = []
    for factor in factors:
        last = min(len(factor.axes), 2 if len(factor.axes) >= len(right.axes) else 1)
        factor = axes.set_aside(c, factor, range(-last, 0))
        batches.append(axes.insert_axis(factor, len(factor.axes)))
    y = axes.beside(c, axes.set_aside(c, right, [in_order]), batches)
    y = axes.with_fixed_axes(c, y, len(c.shape) + in_order, [c.shape[in_order]])
    return y if len(c.shapes) == 1 else [y, values[1]]  # the factor is handed on


@rule("aten::cdist", "aten::_cdist_forward", "aten::_euclidean_dist")
def distances(c: Constraints, a: Value, b: Value, p: float = 2, *_: Any, **__: Any) -> Value:
    """Norms of all differences of rows."""
    a, b = axes.separate(c, a, -2, -1), axes.separate(c, b, -2, -1)
    rows = axes.insert_axis(a, len(a.axes) - 1), axes.insert_axis(b, len(b.axes) - 2)
    return norm_over(c, axes.add(c, (rows[0], axes.scaled(c, rows[1], -1))), -1, power=p)


@rule("aten::_pdist_forward", "aten::pdist")
def own_distances(c: Constraints, x: Value, p: float = 2) -> Value:
    """Norms of the differences of all pairs of rows, whose order stays."""
    row = axes.set_aside(c, x, [0])
    return axes.with_fixed_axes(c, norm_over(c, row, 0, power=p), 0, c.shape)


@rule("aten::complex")
def complex_of(c: Constraints, real: Value, imaginary: Value) -> Value:
    """The sum of one number and i times another: what acts on both acts on it."""
    return axes.add(c, [_unshifted(c, x) for x in (real, imaginary)])


@rule("aten::view_as_complex")
def view_as_complex(c: Constraints, x: Value) -> Value:
    """Pairs of numbers along the last axis as one: what acts on both acts on it."""
    return replace(_unshifted(c, axes.set_aside(c, x, [-1])), name=None)


@rule("aten::view_as_real")
def view_as_real(c: Constraints, x: Value) -> Value:
    """Complex numbers as pairs."""
    return axes.with_fixed_axes(c, _unshifted(c, x), len(x.axes), [2])


@rule("aten::real", "aten::imag", "aten::_conj", "aten::_conj_physical", "aten::conj",
      "aten::resolve_neg", "aten::_neg_view", "prims::conj_physical", "prims::conj",
      "prims::real", "prims::imag")  # fmt: skip
def real(c: Constraints, x: Value) -> Value:
    """Parts of complex numbers: what is real passes."""
    return _unshifted(c, x)


def _unshifted(c: Constraints, x: Value) -> Value:
    axes.zero(c, x, channels=(SHIFT,))
    return axes.without(x, (SHIFT,))


@rule(
    "aten::_fft_r2c", "aten::_fft_c2c", "aten::_fft_c2r", "prims::fft_r2c", "prims::fft_c2c",
    "prims::fft_c2r",
)  # fmt: skip
def fourier(c: Constraints, x: Value, dim: Sequence[int], *_: Any, **__: Any) -> Value:
    """A linear map of the positions, the same for all else."""
    dims = dims_of(x, dim)
    for axis in dims:
        whole = "c2c" in c.name or axis != dims[-1]
        if axes.may_move(c, x, axis) and x.shape[axis] * c.shape[axis] <= LARGEST:
            x = axes.through(c, x, axis, _frequencies(c, x.shape[axis], c.shape[axis], whole))
        else:
            x = axes.in_order(c, x, axis, c.shape[axis])
    return replace(_unshifted(c, x), name=None)


def _frequencies(c: Constraints, before: int, after: int, whole: bool) -> NDArray[np.int64]:
    """Equal numbers for equal factors of a Fourier transform along an axis."""
    length = before if whole or "r2c" in c.name else after
    table = 1 + np.outer(np.arange(after), np.arange(before)) % length
    if not whole and "c2r" in c.name:  # of pairs of frequencies one is given, and counts twice
        single = np.arange(before) * 2 % length == 0
        table += np.where(single, 0, length)
    return table
