"""Known maps along an axis: positions that they do not tell apart may be exchanged.

A map from n positions to m is a table of m rows of n numbers; equal numbers say that two positions
enter alike, zero that one does not enter. A mean over windows, a resampling, a Fourier transform
have one. Two positions are alike if exchanging their columns only permutes the rows; those that
are alike form classes, whose members may be permuted in any way, and rows go where their columns
do. Constants are maps from one position.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from toroids.discovery.axes.arrange import insert_axis, uniform, whole
from toroids.discovery.axes.constraints import Constraints, Ids
from toroids.discovery.axes.meet import average_out, in_order
from toroids.discovery.axes.values import Bundle, Value, constant, project

# Comparisons of a pair of columns, row by row, that are worth their time: larger maps are taken for
# ones that tell all positions apart.
MOST = 20_000_000


@dataclass(frozen=True)
class Alike:
    """What a map does not tell apart.

    Attributes:
        classes: (n,) which positions may be exchanged: those of one number.
        orbits: (m,) which rows become each other, or are equal: those of one number.
        followed: arrays (m,), each the position that a row follows when it moves; -1 for none.
    """

    classes: Ids
    orbits: Ids
    followed: tuple[Ids, ...]

    @property
    def trivial(self) -> bool:
        """Whether all is told apart, before and after."""
        return all(len(np.unique(x)) == len(x) for x in (self.classes, self.orbits))


def alike(table: ArrayLike) -> Alike:
    """Finds the classes of columns that may be exchanged, and what then becomes of the rows.

    Args:
        table: (m, n) of any numbers that are equal or not.

    Returns:
        The classes; those that the rows follow in a more complex way are broken up.
    """
    _, inverse = np.unique(np.asarray(table), return_inverse=True)
    kinds = inverse.reshape(np.shape(table)).astype(np.int64)
    classes = _classes(kinds)
    followed = []
    for number in np.unique(classes):
        members = np.flatnonzero(classes == number)
        rows = _follows(kinds[:, members]) if len(members) > 1 else None
        if rows is None:
            classes[members] = classes.max() + 1 + np.arange(len(members))
        elif (rows >= 0).any():
            followed.append(np.where(rows >= 0, members[rows], -1))
    canonical = kinds.copy()
    for number in np.unique(classes):
        members = np.flatnonzero(classes == number)
        canonical[:, members] = np.sort(kinds[:, members], axis=1)
    return Alike(np.unique(classes, return_inverse=True)[1], _numbered(canonical), tuple(followed))


def _numbered(rows: Ids) -> Ids:
    """A number for every row, the same for equal ones."""
    return np.asarray(np.unique(rows, axis=0, return_inverse=True)[1]).reshape(-1)


def _classes(kinds: Ids) -> Ids:
    """Columns whose exchange permutes the rows: an equivalence, so that one of a class decides."""
    rows, count = kinds.shape
    sums = _numbered(np.sort(kinds, axis=0).T)
    classes = np.arange(count)
    pairs = int((np.bincount(sums).astype(np.float64) ** 2).sum()) if count else 0
    if pairs * rows > MOST:
        return classes
    # a row is known by a sum of random numbers, of which only two terms change
    generator = np.random.default_rng(0)
    digits = generator.integers(2**62, size=int(kinds.max(initial=0)) + 1, dtype=np.uint64)
    weights = np.asarray(generator.integers(2**62, size=count, dtype=np.uint64))
    with np.errstate(over="ignore"):
        known = digits[kinds]
        hashes = (known * weights).sum(axis=1)
        settled = np.sort(hashes)
        for first in range(count):
            if classes[first] != first:
                continue
            for other in range(first + 1, count):
                if classes[other] != other or sums[other] != sums[first]:
                    continue
                change = (known[:, other] - known[:, first]) * (weights[first] - weights[other])
                if np.array_equal(np.sort(hashes + change), settled):
                    classes[other] = first
    return classes


def _follows(kinds: Ids) -> Ids | None:
    """For every row the column of a class that it follows, -1 for none; None where it is no one."""
    least, most = kinds.min(axis=1, keepdims=True), kinds.max(axis=1, keepdims=True)
    lone = np.where((kinds == least).sum(axis=1) == 1, kinds.argmin(axis=1), -1)
    lone = np.where((kinds == most).sum(axis=1) == 1, kinds.argmax(axis=1), lone)
    two = ((kinds == least) | (kinds == most)).all(axis=1)
    even = (least == most)[:, 0]
    if not bool((even | (two & (lone >= 0))).all()):
        return None
    return np.where(even, -1, lone)


def may_move(c: Constraints, x: Value, axis: int) -> bool:
    """Whether positions of an axis may move: no length that varies counts them, and they can."""
    fixed = all(bundle.fixed for bundle in x.bundles_on(x.dims(axis)))
    return not fixed and not c.opened(axis)


def through(c: Constraints, x: Value, axis: int, table: NDArray[np.generic]) -> Value:
    """What a known map makes of an axis: a linear one, or one that is homogeneous.

    Args:
        c: takes the statements.
        x: the argument, along all other axes of which the map is the same.
        axis: the axis.
        table: (m, n), one row for every position of the result; it holds for inputs of any length.

    Returns:
        The result, which the symmetries that are the same all along the axis pass.
    """
    axis %= len(x.axes)
    before, dim = whole(c, x, axis)
    bundles = before.bundles_on([dim])
    known = alike(table)
    if known.trivial or not may_move(c, x, axis):
        return in_order(c, x, axis, len(table))
    rows = [b.places if len(b.dims) == 1 else project(c, b, [dim]) for b in bundles]
    for other in rows[1:]:
        c.same(rows[0], other)
    _keep(c, rows[0], known.classes)
    unread = np.flatnonzero((table == 0).all(axis=0))
    c.same(rows[0][unread], -1 - unread)
    ids = _within(c, known.orbits)
    for followed in known.followed:
        moves = followed >= 0
        c.under(ids[0][moves], rows[0][followed[moves]])
    return _with_axis(average_out(c, before, axis), axis, ids)


def known(c: Constraints, tensor: Tensor) -> Value:
    """Known numbers, of which equal slices of an axis may be exchanged.

    Args:
        c: takes the statements.
        tensor: the same numbers on inputs of any length.

    Returns:
        The numbers as a value.
    """
    value = constant(tensor)
    bundles = []
    for bundle in value.bundles:
        axis = value.axis_of(bundle.dims[0])
        classes = _equal_slices(tensor, axis)
        apart = len(np.unique(classes)) == len(classes)
        bundles.append(bundle if apart else Bundle(bundle.dims, _within(c, classes)))
    return replace(value, bundles=tuple(bundles))


def _equal_slices(tensor: Tensor, axis: int) -> Ids:
    """A number for every slice of an axis, the same for equal ones."""
    slices = tensor.detach().cpu().movedim(axis, 0).reshape(tensor.shape[axis], -1)
    rows = (slices.double() if slices.is_floating_point() else slices).numpy()
    first: dict[bytes, int] = {}
    return np.array([first.setdefault(row.tobytes(), i) for i, row in enumerate(rows)])


def _within(c: Constraints, classes: Ids) -> Ids:
    """New places along an axis, without exponents, that move within their classes: (4, size)."""
    ids = c.fresh(classes.shape)
    ids[1:] = 0
    _keep(c, ids[0], classes)
    return ids


def _keep(c: Constraints, places: Ids, classes: Ids) -> None:
    """States that places stay within their classes, and that no matrix mixes them."""
    c.under(places, -1 - classes)
    c.mark_nonlinear(places)
    c.see(places)


def _with_axis(x: Value, axis: int, ids: Ids) -> Value:
    size = ids.shape[1]
    x = insert_axis(x, axis)
    if size == 1:
        return x
    x = uniform(x, axis, size)
    return replace(x, bundles=(*x.bundles, Bundle(x.dims(axis), ids)))
