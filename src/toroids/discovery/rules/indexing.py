"""Picking and putting by number: rows of tables, edges of graphs.

An axis whose positions are looked up by numbers that are inputs stays in place; axes along which
the numbers are the same everywhere are free.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from toroids.discovery import axes
from toroids.discovery.axes import SHIFT, Names, Value
from toroids.discovery.axes.constraints import Constraints
from toroids.discovery.rules.elementwise import where
from toroids.discovery.rules.pointwise import ALIKE, EQUAL, NONE, ODD, as_value, pointwise
from toroids.discovery.rules.registry import rule
from toroids.discovery.rules.structure import broadcast


@rule("aten::index_select")
def index_select(c: Constraints, x: Value, dim: int, index: Value) -> Any:
    """Positions of an axis, in the order of a tensor."""
    if not x.axes:
        return x
    numbers = axes.numbers_of(c, index)
    if numbers is not None:
        axes.cut_open(c, x, dim)
        return axes.take(c, x, dim, numbers.cpu().numpy().reshape(-1))
    return _picked(c, x, [dim % len(x.axes)], [index], dim % len(x.axes))


@rule("aten::index", "aten::_unsafe_index")
def index(c: Constraints, x: Value, indices: Sequence[Value | None]) -> Any:
    """Positions of axes, in the shape of tensors; what unknown numbers pick stays in order."""
    used = [axis for axis, i in enumerate(indices) if i is not None]
    by = [i for i in indices if i is not None]
    if any(i.mask for i in by):
        return _masked(c, x, used[0], by[0]) if len(by) == 1 else NotImplemented
    known = [axes.numbers_of(c, i) for i in by]
    together = used == list(range(used[0], used[0] + len(used)))
    if len(used) == 1 and known[0] is not None:
        axes.cut_open(c, x, used[0])
        positions = known[0].cpu().numpy().reshape(-1) % x.shape[used[0]]
        return axes.reshape(c, axes.take(c, x, used[0], positions), c.shape)
    return _picked(c, x, used, by, used[0] if together else 0)


def _picked(
    c: Constraints, x: Value, used: Sequence[int], by: Sequence[Value], at: int
) -> Value:  # fmt: skip
    """What numbers pick along some axes; their own axes come in the place of those."""
    names = _names_in(c, x)
    for axis, i in sorted(zip(used, by, strict=True), key=lambda pair: -pair[0]):
        x = axes.picked(c, x, axis, i)
    rank = max(len(i.axes) for i in by)
    for _ in range(rank):
        x = axes.insert_axis(x, at)
    if len(by) == 1:
        x = axes.chosen_rows(x, by[0], at)
    return replace(axes.indexed(c, x, [_of_rank(i, rank) for i in by], at), names=names)


def _names_in(c: Constraints, x: Value) -> Names | None:
    """The names of which some entries are taken."""
    if x.names is None or x.names.kind == "ends":
        axes.unnamed(c, x)
        return None
    return Names(x.names.places)


def _of_rank(x: Value, rank: int) -> Value:
    """A value with axes of size one in front."""
    while len(x.axes) < rank:
        x = axes.insert_axis(x, 0)
    return x


def _masked(c: Constraints, x: Value, at: int, mask: Value) -> Value:
    """Entries where a mask is true, one after the other."""
    axes.pin(c, mask)
    x = axes.set_aside(c, axes.unnamed(c, x), range(at, at + len(mask.axes)))
    return replace(axes.with_fixed_axes(c, x, at, [c.shape[at]]), name=None)


@rule("aten::nonzero", "aten::nonzero_numpy", "aten::argwhere", "aten::masked_select")
def nonzero(c: Constraints, x: Value, *masks: Value) -> Any:
    """As many entries as numbers decide, in order."""
    for value in (x, *masks):
        axes.set_aside(c, value, range(len(value.axes)))  # says why its places stay
        axes.pin(c, value)
    found = [axes.fixed_value(shape) for shape in c.shapes]
    return found if c.name == "nonzero_numpy" else found[0]


@rule("aten::embedding")
def embedding(c: Constraints, weight: Value, indices: Value, *_: Any, **__: Any) -> Value:
    """Rows of a table, picked by number: those stay in their places that no number names."""
    if indices.names is not None:
        return _picked(c, weight, [0], [indices], 0)
    if indices.held is not None:
        c.conditions |= indices.held.buffers
    row = axes.set_aside(c, weight, [0])
    return replace(axes.with_fixed_axes(c, row, 0, indices.shape), name=None)


@rule("aten::_embedding_bag", "aten::_embedding_bag_forward_only", "aten::embedding_bag")
def embedding_bag(
    c: Constraints, weight: Value, indices: Value, offsets: Value, scale_grad: bool = False,
    mode: int = 0, sparse: bool = False, weights: Value | None = None, *_: Any,
) -> list[Value]:  # fmt: skip
    """Sums, means or maxima of rows of a table."""
    for x in (indices, offsets, *([weights] if weights is not None else [])):
        axes.pin(c, x)
    row = axes.set_aside(c, weight, [0])
    if mode == 2:
        row = pointwise(c, [row], replace(ALIKE, scale=((1, 1),), shift=()))
    axes.zero(c, row, channels=(SHIFT,))
    bags = axes.with_fixed_axes(c, axes.without(row, (SHIFT,)), 0, c.shape[:1])
    return [replace(bags, name=None), *(axes.fixed_value(shape) for shape in c.shapes[1:])]


@rule("aten::gather", "aten::take_along_dim")
def gather(c: Constraints, x: Value, dim: Any, index: Any, **_: Any) -> Any:
    """Entries along an axis, by a number for every entry of the result."""
    dim, index = (index, dim) if isinstance(dim, Value) else (dim, index)
    if dim is None:
        return NotImplemented
    if not x.axes:
        return x
    dim %= len(x.axes)
    if c.name == "take_along_dim":  # the others are broadcast
        index = broadcast(c, index, c.shape)
        sizes = list(c.shape)
        sizes[dim] = x.shape[dim]
        x = broadcast(c, x, sizes)
    for axis in range(len(x.axes)):  # of others than `dim` only the first are read
        if axis != dim and x.shape[axis] > index.shape[axis]:
            x = axes.take(c, x, axis, np.arange(index.shape[axis]))
    rest = axes.insert_axis(axes.picked(c, x, dim, index), dim)
    return replace(axes.indexed(c, rest, [index]), names=_names_in(c, x))


def _ordered_axes(x: Value, dim: int, index: Value) -> list[int]:
    """Axes of a value along which numbers say what is picked, or how much."""
    return [
        axis
        for axis in range(len(x.axes))
        if axis == dim % len(x.axes) or index.bundles_on(index.dims(axis))
    ]


@rule("aten::scatter", "aten::scatter_add", "aten::scatter_reduce")
def scatter(
    c: Constraints,
    x: Value,
    dim: int,
    index: Value,
    source: Any,
    how: str | None = "",
    **named: Any,
) -> Any:
    """Entries put, or added, along an axis, by a number for every entry of the source."""
    how, source = named.get("reduce", how), as_value(source)
    if not x.axes:
        return _put(c, axes.unnamed(c, x), axes.unnamed(c, source), _way(c, how))
    dim %= len(x.axes)
    if index.names is not None and _inverts(x, index, source):
        return axes.inverted(c, index, index.names)
    x, source = axes.unnamed(c, x), axes.unnamed(c, source)
    if index.names is not None:
        return _named(c, x, dim, index, index.names, source, _way(c, how))
    way = _way(c, how)
    others = [axis for axis in range(len(x.axes)) if axis != dim]
    if way and source.axes and all(x.shape[axis] == index.shape[axis] for axis in others):
        return _gathered(c, x, dim, index, source, way)
    axes.pin(c, index)
    return _scattered(c, x, dim, index, source, way)


def _gathered(c: Constraints, x: Value, dim: int, index: Value, source: Value, way: str) -> Value:
    """Entries that add up, in whatever order they and their numbers come."""
    for axis, read in enumerate(index.shape):
        if source.shape[axis] > read:
            source = axes.take(c, source, axis, np.arange(read))
    source = axes.average_out(c, axes.indexed(c, source, [index]), dim)
    source = axes.with_fixed_axes(c, source, dim, [x.shape[dim]])
    rows = replace(axes.average_out(c, index, dim), zero=True)
    x = axes.indexed(c, axes.in_order(c, x, dim, x.shape[dim]), [axes.insert_axis(rows, dim)])
    return _put(c, x, source, way)


def _scattered(c: Constraints, x: Value, dim: int, index: Value, source: Value, way: str) -> Value:
    for axis, (size, read) in enumerate(zip(x.shape, index.shape, strict=True)):
        if source.axes and source.shape[axis] > read:
            source = axes.take(c, source, axis, np.arange(read))
        if axis != dim and size > read:  # the others stay as they are
            first, rest = (axes.take(c, x, axis, n) for n in np.split(np.arange(size), [read]))
            y = _scattered(c, first, dim, index, source, way)
            return replace(axes.concatenate(c, [y, rest], axis), name=None)
    for axis in _ordered_axes(x, dim, index):
        x = axes.in_order(c, x, axis, x.shape[axis])
        if source.axes:
            source = axes.in_order(c, source, axis, x.shape[axis])
    return _put(c, x, source, way)


def _named(
    c: Constraints, x: Value, dim: int, index: Value, names: Names, source: Value, way: str
) -> Any:  # fmt: skip
    """Entries put along an axis where numbers name its places."""
    others = [axis for axis in range(len(x.axes)) if axis != dim]
    if any(x.shape[axis] != index.shape[axis] for axis in others):
        return NotImplemented  # a part of the others stays as it is
    for axis in others if source.axes else ():
        if source.shape[axis] > index.shape[axis]:
            source = axes.take(c, source, axis, np.arange(index.shape[axis]))
    if source.axes:
        source = axes.take(c, source, dim, np.arange(index.shape[dim]))
        source = axes.indexed(c, source, [index])
        source = axes.insert_axis(axes.average_out(c, source, dim), dim)
    rows = replace(axes.average_out(c, replace(index, names=None), dim), zero=True)
    place = axes.named_axis(names, len(x.axes), dim)
    x = axes.indexed(c, axes.named(c, x, dim, names), [place, axes.insert_axis(rows, dim)])
    return _put(c, x, source, way)


def _inverts(x: Value, index: Value, source: Value) -> bool:
    """Whether 0, 1, ... are put in the places of a vector, each of which is named once."""
    once = index.names is not None and index.names.kind == "order"
    return once and len(x.axes) == 1 and x.shape == index.shape and _counts_up(source, x.shape[0])


def _counts_up(x: Value, size: int) -> bool:
    """Whether a vector is 0, 1, ..., each at its place."""
    if x.tensor is not None:
        return x.tensor.ndim == 1 and x.tensor.tolist() == list(range(size))
    if x.names is None or x.shape != (size,) or x.names.kind != "order":
        return False
    return bool((x.names.places < 0).all()) and all(bundle.fixed for bundle in x.bundles)


def _way(c: Constraints, how: str | None) -> str:
    if "add" in c.name:
        return "sum"
    return {"add": "sum", "multiply": "prod"}.get(how or "", how or "")


def _put(c: Constraints, x: Value, source: Value, way: str) -> Value:
    """Values of which one replaces the other in places, is added to it, or meets it otherwise."""
    if way in ("sum", "mean"):
        axes.zero(c, source, channels=(SHIFT,))
        if way == "mean":
            axes.zero(c, x, channels=(SHIFT,))
        y = axes.add(c, (x, axes.without(source, (SHIFT,))))
    elif way in ("amax", "amin"):
        y = pointwise(c, (x, source), ALIKE)
    elif way == "prod":
        y = pointwise(c, (x, source), NONE)
    else:
        y = axes.either(c, (x, source))
    return replace(y, name=None)


@rule("aten::one_hot")
def one_hot(c: Constraints, x: Value, size: int = -1) -> Any:
    """One where a position is named."""
    if x.names is None or size < len(x.names.places):
        return NotImplemented
    ids = axes.fixed(size)  # positions beyond those that may be named stay
    ids[0, : len(x.names.places)] = x.names.places
    base = Value((*((),) * len(x.axes), (size,)), (axes.Bundle((0,), ids),))
    return axes.indexed(c, base, [axes.insert_axis(x, len(x.axes))])


@rule("aten::eq")
def equal(c: Constraints, a: Value, b: Any, *_: Any) -> Any:
    """Whether two numbers are equal, or a number names a place."""
    for x, y in ((a, b), (b, a)):
        if isinstance(x, Value) and x.names is not None:
            found = _is_named(c, x, as_value(y))
            if found is not None:
                return found
    plain = [axes.unnamed(c, as_value(x)) for x in (a, b)]
    return pointwise(c, plain, EQUAL)


def _is_named(c: Constraints, x: Value, numbers: Value) -> Value | None:
    """Which of known numbers along an axis a value names; None where they are of another form."""
    varies = [axis for axis in range(len(numbers.axes)) if numbers.shape[axis] > 1]
    rank = max(len(x.axes), len(numbers.axes))
    if numbers.tensor is None or len(varies) != 1 or x.names is None:
        return None
    axis = varies[0] - len(numbers.axes)
    own = numbers.tensor.reshape(-1).long()
    size = len(x.names.places)
    alone = -axis > len(x.axes) or x.shape[axis] == 1
    fits = bool((own == numbers.tensor.reshape(-1)).all() and (own >= 0).all())
    if not alone or not fits or bool((own >= size).any()) or len(set(own.tolist())) < len(own):
        return None
    names = replace(x.names, places=x.names.places[own.numpy()])
    return axes.indexed(
        c, replace(axes.named_axis(names, rank, axis), zero=False), [_of_rank(x, rank)]
    )


@rule("aten::index_add", "aten::index_copy", "aten::index_fill", "aten::index_reduce")
def index_put_along(
    c: Constraints, x: Value, dim: int, index: Value, source: Any, how: str = "", **named: Any
) -> Value:
    """Slices of an axis put, or added, by number."""
    x, source, alpha = axes.unnamed(c, x), as_value(source), named.get("alpha", 1)
    source = axes.unnamed(c, source)
    if alpha != 1 or axes.is_open(alpha):
        source = axes.scaled(c, source, alpha)
    if not x.axes:
        source = axes.reshape(c, source, ()) if source.axes else source
        return _put(c, x, source, _way(c, how))
    dim %= len(x.axes)
    if source.axes:
        if index.axes and source.shape[dim] not in (1, index.shape[0]):
            # as many rows as the data decide, which are as many as are named
            rest = axes.set_aside(c, source, [dim])
            source = axes.with_fixed_axes(c, rest, dim, [index.shape[0]])
        source = axes.indexed(c, source, [index], dim)
        source = _placed(c, axes.average_out(c, source, dim), dim, x.shape[dim], index)
    else:
        axes.pin(c, replace(index, names=None))
    return _put(c, _open(c, x, dim, index), source, _way(c, how))


def _open(c: Constraints, x: Value, axis: int, index: Value) -> Value:
    """A value of which entries along an axis are about to be replaced, by number."""
    if index.names is None:
        return axes.in_order(c, x, axis, x.shape[axis])
    return axes.named(c, x, axis, index.names)


def _placed(c: Constraints, x: Value, axis: int, size: int, index: Value) -> Value:
    """Adds the axis along which entries are put, by number."""
    if index.names is None:
        return axes.with_fixed_axes(c, x, axis, [size])
    x = axes.insert_axis(x, axis)
    return axes.indexed(c, x, [axes.named_axis(index.names, len(x.axes), axis)])


@rule("aten::index_put", "aten::_index_put_impl", "aten::_unsafe_index_put")
def index_put(
    c: Constraints, x: Value, indices: Sequence[Value | None], source: Value,
    accumulate: bool = False, *_: Any,
) -> Any:  # fmt: skip
    """Entries put, or added, at positions of several axes."""
    used = [axis for axis, i in enumerate(indices) if i is not None]
    by = [i for i in indices if i is not None]
    if any(i.mask for i in by):
        x, source = axes.unnamed(c, x), axes.unnamed(c, source)
        entrywise = len(by) == 1 and len(by[0].axes) == len(x.axes) and not accumulate
        if entrywise and all(n == 1 for n in source.shape):
            return where(c, by[0], axes.reshape(c, source, ()) if source.axes else source, x)
        return _put_masked(c, x, used[0], by[0], source) if len(by) == 1 else NotImplemented
    if used != list(range(used[0], used[0] + len(used))):
        return NotImplemented
    if not accumulate and by[0].names is not None and _inverts(x, by[0], source):
        return axes.inverted(c, by[0], by[0].names)
    x, source = axes.unnamed(c, x), axes.unnamed(c, source)
    rank = max(len(i.axes) for i in by)
    before = used[0]
    source = _of_rank(source, before + rank + len(x.axes) - used[-1] - 1)
    source = axes.indexed(c, source, [_of_rank(i, rank) for i in by], before)
    for _axis in range(rank):
        source = axes.average_out(c, source, before)
    for axis, i in zip(used, by, strict=True):
        source = _placed(c, source, axis, x.shape[axis], i)
        x = _open(c, x, axis, i)
    return _put(c, x, source, "sum" if accumulate else "")


def _put_masked(c: Constraints, x: Value, at: int, mask: Value, source: Value) -> Value:
    """Entries put where a mask is true, one after the other, or the same at all of them."""
    axes.pin(c, mask)
    covered = range(at, at + len(mask.axes))
    sizes = [x.shape[axis] for axis in covered]
    source = _of_rank(source, len(x.axes) - len(sizes) + 1)
    source = axes.with_fixed_axes(c, axes.set_aside(c, source, [at]), at, sizes)
    for axis in covered:
        x = axes.in_order(c, x, axis, x.shape[axis])
    return _put(c, x, source, "")


@rule("aten::grid_sampler", "aten::grid_sampler_2d", "aten::grid_sampler_3d")
def grid_sampler(c: Constraints, x: Value, grid: Value, *_: Any) -> Value:
    """Every channel read at the same points; what lies outside may be zero."""
    points = axes.insert_axis(pointwise(c, [axes.set_aside(c, grid, [-1])], NONE), 1)
    space = range(2, len(x.axes))
    rows = axes.set_aside(c, x, space)
    for axis in space:
        rows = axes.insert_axis(rows, axis)
    return axes.beside(c, rows, [points])


@rule("aten::masked_scatter")
def masked_scatter(c: Constraints, x: Value, mask: Value, source: Value) -> Any:
    """Entries replaced in order; all or none of them where there is one truth value."""
    if mask.axes or x.shape != source.shape:
        return NotImplemented
    return where(c, mask, source, x)


@rule("aten::embedding_renorm")
def embedding_renorm(c: Constraints, weight: Value, indices: Value, *_: Any) -> Value:
    """Rows of a table made shorter, by norms over their entries."""
    axes.pin(c, indices)
    axes.pin(c, weight, [0])
    axes.couple(c, weight, [1])
    axes.couple(c, weight, [0])
    return pointwise(c, [weight], ODD)


@rule("aten::max_unpool2d", "aten::max_unpool3d")
def max_unpool(c: Constraints, x: Value, indices: Value, *_: Any) -> Value:
    """Entries put where they were; every channel has its own places."""
    rank = int(c.name[-2])
    rows, places = (axes.set_aside(c, value, range(-rank, 0)) for value in (x, indices))
    y = axes.beside(c, rows, [places])
    return axes.with_fixed_axes(c, y, len(y.axes), c.shape[-rank:])
