"""Picking and putting by number: rows of tables, edges of graphs.

An axis whose positions are looked up by numbers that are inputs stays in place; axes along which
the numbers are the same everywhere are free.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from toroids.discovery import axes
from toroids.discovery.axes import SHIFT, Value
from toroids.discovery.constraints import Constraints
from toroids.discovery.rules.pointwise import ALIKE, NONE, ODD, as_value, pointwise
from toroids.discovery.rules.registry import rule


@rule("aten::index_select")
def index_select(c: Constraints, x: Value, dim: int, index: Value) -> Any:
    """Positions of an axis, in the order of a tensor."""
    if not x.axes:
        return x
    numbers = axes.numbers_of(c, index)
    if numbers is not None:
        return axes.take(c, x, dim, numbers.cpu().numpy().reshape(-1))
    axes.pin(c, index)
    return replace(axes.in_order(c, x, dim, c.shape[dim]), name=None)


@rule("aten::index", "aten::_unsafe_index")
def index(c: Constraints, x: Value, indices: Sequence[Value | None]) -> Any:
    """Positions of axes, in the shape of tensors; picked by unknown numbers: pinned."""
    used = [axis for axis, i in enumerate(indices) if i is not None]
    by = [indices[axis] for axis in used]
    if any(i.mask for i in by if i is not None):
        return NotImplemented
    known = [axes.numbers_of(c, i) for i in by if i is not None]
    for i, numbers in zip(by, known, strict=True):
        if numbers is None and i is not None:
            axes.pin(c, i)
    together = used == list(range(used[0], used[0] + len(used)))
    if len(used) == 1 and known[0] is not None:
        positions = known[0].cpu().numpy().reshape(-1) % x.shape[used[0]]
        return axes.reshape(c, axes.take(c, x, used[0], positions), c.shape)
    shape = np.broadcast_shapes(*(i.shape for i in by if i is not None))
    x = axes.set_aside(c, x, used)
    return replace(axes.with_fixed_axes(c, x, used[0] if together else 0, shape), name=None)


@rule("aten::embedding")
def embedding(c: Constraints, weight: Value, indices: Value, *_: Any, **__: Any) -> Value:
    """Rows of a table, picked by number: the rows stay in their places."""
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
    axes.pin(c, index)
    for axis in range(len(x.axes)):  # of others than `dim` only the first are read
        if axis != dim % len(x.axes) and x.shape[axis] > index.shape[axis]:
            x = axes.take(c, x, axis, np.arange(index.shape[axis]))
    for axis in _ordered_axes(x, dim, index):
        x = axes.in_order(c, x, axis, index.shape[axis])
    return replace(x, name=None)


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
) -> Value:
    """Entries put, or added, along an axis, by a number for every entry of the source."""
    how = named.get("reduce", how)
    if not x.axes:
        return _put(c, x, as_value(source), _way(c, how))
    axes.pin(c, index)
    return _scattered(c, x, dim % len(x.axes), index, as_value(source), _way(c, how))


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


@rule("aten::index_add", "aten::index_copy", "aten::index_fill", "aten::index_reduce")
def index_put_along(
    c: Constraints, x: Value, dim: int, index: Value, source: Any, how: str = "", **named: Any
) -> Value:
    """Slices of an axis put, or added, by number."""
    source, alpha = as_value(source), named.get("alpha", 1)
    if alpha != 1:
        source = axes.scaled(c, source, alpha)
    if not x.axes:
        source = axes.reshape(c, source, ()) if source.axes else source
        return _put(c, x, source, _way(c, how))
    axes.pin(c, index)
    if source.axes:
        source = axes.in_order(c, source, dim, x.shape[dim])
    return _put(c, axes.in_order(c, x, dim, x.shape[dim]), source, _way(c, how))


@rule("aten::index_put", "aten::_index_put_impl", "aten::_unsafe_index_put")
def index_put(
    c: Constraints, x: Value, indices: Sequence[Value | None], source: Value,
    accumulate: bool = False, *_: Any,
) -> Any:  # fmt: skip
    """Entries put, or added, at positions of several axes."""
    used = [axis for axis, i in enumerate(indices) if i is not None]
    by = [i for i in indices if i is not None]
    if any(i.mask for i in by) or used != list(range(used[0], used[0] + len(used))):
        return NotImplemented
    shape = np.broadcast_shapes(*(i.shape for i in by))
    for i in by:
        axes.pin(c, i)
    before, after = used[0], len(x.axes) - used[-1] - 1
    while len(source.axes) < before + len(shape) + after:
        source = axes.insert_axis(source, 0)
    source = axes.set_aside(c, source, range(before, before + len(shape)))
    sizes = [x.shape[axis] for axis in used]
    for axis in used:
        x = axes.in_order(c, x, axis, x.shape[axis])
    source = axes.with_fixed_axes(c, source, before, sizes)
    return _put(c, x, source, "sum" if accumulate else "")


@rule("aten::grid_sampler", "aten::grid_sampler_2d", "aten::grid_sampler_3d")
def grid_sampler(c: Constraints, x: Value, grid: Value, *_: Any) -> Value:
    """Every channel read at the same points; what lies outside may be zero."""
    points = axes.insert_axis(pointwise(c, [axes.set_aside(c, grid, [-1])], NONE), 1)
    space = range(2, len(x.axes))
    rows = axes.set_aside(c, x, space)
    for axis in space:
        rows = axes.insert_axis(rows, axis)
    return axes.beside(c, rows, [points])


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
