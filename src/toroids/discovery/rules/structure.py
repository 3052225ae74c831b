"""Operators that only arrange entries anew: views, slices, concatenation, padding, copies."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from toroids.discovery import axes
from toroids.discovery.axes import Value
from toroids.discovery.constraints import Constraints
from toroids.discovery.rules.registry import rule


@rule(
    "aten::clone", "aten::contiguous", "aten::detach", "aten::alias", "aten::to",
    "aten::_to_copy", "aten::type_as", "aten::dropout", "aten::feature_dropout",
    "aten::alpha_dropout", "aten::float", "aten::feature_alpha_dropout", "aten::lift_fresh_copy",
    "aten::lift_fresh", "aten::positive", "aten::double", "aten::half", "aten::requires_grad_",
    "aten::resolve_conj", "aten::conj_physical",
)  # fmt: skip
def copy(c: Constraints, x: Value, *given: Any, **named: Any) -> Value:
    """The same numbers (dropout does nothing in evaluation), unless they are made integers."""
    kind = next((k for k in (*given, *named.values()) if isinstance(k, torch.dtype)), None)
    if kind is None or kind.is_floating_point or kind.is_complex:
        return replace(x, tensor=None)
    return axes.elementwise(c, x, sign=kind.is_signed and kind != torch.bool)


@rule("aten::neg")
def neg(c: Constraints, x: Value) -> Value:
    """Minus one times the value."""
    return axes.scaled(c, x, -1)


@rule(
    "aten::view", "aten::reshape", "aten::_unsafe_view", "aten::flatten", "aten::unflatten",
    "aten::view_as", "aten::reshape_as", "aten::ravel",
)  # fmt: skip
def view(c: Constraints, x: Value, *given: Any, **_: Any) -> Any:
    """The same entries in the same order in another shape, not the same bits in another type."""
    if any(isinstance(kind, torch.dtype) for kind in given):
        return NotImplemented
    return axes.reshape(c, x, c.shape)


@rule("aten::permute")
def permute(c: Constraints, x: Value, dims: Sequence[int]) -> Value:
    """Axes in another order."""
    return axes.permute(x, [dim % len(x.axes) for dim in dims])


@rule("aten::transpose", "aten::swapaxes", "aten::swapdims")
def transpose(c: Constraints, x: Value, first: int, second: int) -> Value:
    """Two axes exchanged."""
    order = list(range(len(x.axes)))
    if order:
        order[first], order[second] = order[second], order[first]
    return axes.permute(x, order)


@rule("aten::t", "aten::numpy_T", "aten::mT", "aten::adjoint")
def t(c: Constraints, x: Value) -> Value:
    """The last two axes exchanged."""
    return transpose(c, x, -2, -1) if len(x.axes) > 1 else x


@rule("aten::movedim", "aten::moveaxis")
def movedim(c: Constraints, x: Value, source: Any, target: Any) -> Value:
    """Axes moved to other positions."""
    rank = len(x.axes)
    sources = [s % rank for s in ([source] if isinstance(source, int) else source)]
    targets = [s % rank for s in ([target] if isinstance(target, int) else target)]
    rest = iter([axis for axis in range(rank) if axis not in sources])
    order = [
        sources[targets.index(axis)] if axis in targets else next(rest) for axis in range(rank)
    ]
    return axes.permute(x, order)


@rule("aten::unsqueeze")
def unsqueeze(c: Constraints, x: Value, dim: int) -> Value:
    """A new axis of size one."""
    return axes.insert_axis(x, dim)


@rule("aten::squeeze")
def squeeze(c: Constraints, x: Value, dim: Any = None) -> Value:
    """Axes of size one dropped."""
    rank = len(x.axes)
    dims = range(rank) if dim is None else [dim] if isinstance(dim, int) else dim
    for axis in sorted((d % rank for d in dims), reverse=True):
        if x.shape[axis] == 1:
            x = axes.drop_axis(c, x, axis)
    return x


@rule("aten::expand", "aten::expand_as", "aten::broadcast_to")
def expand(c: Constraints, x: Value, *_: Any, **__: Any) -> Value:
    """Axes of size one repeated: the value is uniform along them."""
    while len(x.axes) < len(c.shape):
        x = axes.insert_axis(x, 0)
    for axis, size in enumerate(c.shape):
        if x.shape[axis] != size:
            x = axes.insert_axis(axes.drop_axis(c, x, axis), axis)
            x = _uniform(x, axis, size)
    return x


def _uniform(x: Value, axis: int, size: int) -> Value:
    ones = Value((*x.axes[:axis], (size,), *x.axes[axis + 1 :]))
    start = sum(len(sizes) for sizes in x.axes[:axis])
    bundles = tuple(axes.Bundle(tuple(d + (d >= start) for d in b.dims), b.ids) for b in x.bundles)
    return replace(x, axes=ones.axes, bundles=bundles, tensor=None)


@rule("aten::slice")
def slice_(
    c: Constraints, x: Value, dim: int = 0, start: int | None = None, end: int | None = None,
    step: int = 1,
) -> Value:  # fmt: skip
    """Positions start, start + step, ... of an axis."""
    return axes.take(c, x, dim, np.arange(x.shape[dim])[slice(start, end, step)])


@rule("aten::narrow")
def narrow(c: Constraints, x: Value, dim: int, start: int, length: int) -> Value:
    """Neighbouring positions of an axis."""
    return axes.take(c, x, dim, np.arange(x.shape[dim])[start:][:length])


@rule("aten::select")
def select(c: Constraints, x: Value, dim: int, index: int) -> Value:
    """One position of an axis."""
    return axes.select(c, x, dim, index)


@rule("aten::unbind")
def unbind(c: Constraints, x: Value, dim: int = 0) -> list[Value]:
    """Every position of an axis."""
    return [axes.select(c, x, dim, index) for index in range(x.shape[dim])]


@rule(
    "aten::split", "aten::split_with_sizes", "aten::chunk", "aten::tensor_split",
    "aten::unsafe_split", "aten::unsafe_chunk",
)  # fmt: skip
def split(c: Constraints, x: Value, _: Any, dim: int = 0) -> list[Value]:
    """An axis cut into pieces."""
    lengths = [shape[dim] for shape in c.shapes]
    starts = np.cumsum([0, *lengths])
    return [
        axes.take(c, x, dim, np.arange(start, start + length))
        for start, length in zip(starts, lengths, strict=False)
    ]


@rule("aten::cat", "aten::concat", "aten::concatenate")
def cat(c: Constraints, values: Sequence[Value], dim: int = 0) -> Value:
    """Values one after another."""
    rank = len(c.shape)
    return axes.concatenate(c, [v for v in values if len(v.axes) == rank], dim)


@rule("aten::stack")
def stack(c: Constraints, values: Sequence[Value], dim: int = 0) -> Value:
    """Values along a new axis, whose positions are known by place."""
    dim %= len(values[0].axes) + 1
    return axes.concatenate(c, [axes.insert_axis(value, dim) for value in values], dim)


@rule("aten::flip")
def flip(c: Constraints, x: Value, dims: Sequence[int]) -> Value:
    """Axes read backwards."""
    for dim in dims:
        x = axes.take(c, x, dim, np.arange(x.shape[dim])[::-1])
    return x


@rule("aten::roll")
def roll(c: Constraints, x: Value, shifts: Any, dims: Any = ()) -> Value:
    """Axes rotated."""
    shifts = [shifts] if isinstance(shifts, int) else shifts
    dims = [dims] if isinstance(dims, int) else dims
    if not dims:
        flat = axes.reshape(c, x, [-1])
        flat = axes.take(c, flat, 0, np.roll(np.arange(flat.shape[0]), shifts[0]))
        return axes.reshape(c, flat, x.shape)
    for shift, dim in zip(shifts, dims, strict=True):
        x = axes.take(c, x, dim, np.roll(np.arange(x.shape[dim]), shift))
    return x


@rule("aten::repeat", "aten::tile")
def repeat(c: Constraints, x: Value, repeats: Sequence[int]) -> Value:
    """Axes repeated as a whole."""
    while len(x.axes) < len(c.shape):
        x = axes.insert_axis(x, 0)
    for axis, size in enumerate(c.shape):
        if x.shape[axis] == 1 and size > 1:
            x = _uniform(axes.insert_axis(axes.drop_axis(c, x, axis), axis), axis, size)
        elif x.shape[axis] != size:
            x = axes.take(c, x, axis, np.arange(size) % x.shape[axis])
    return x


@rule("aten::repeat_interleave")
def repeat_interleave(
    c: Constraints, x: Value, repeats: Any, dim: int | None = None, **_: Any
) -> Any:
    """Every position of an axis repeated."""
    if not isinstance(repeats, int):
        return NotImplemented
    if dim is None:
        x, dim = axes.reshape(c, x, [-1]), 0
    return axes.take(c, x, dim, np.repeat(np.arange(x.shape[dim]), repeats))


@rule("aten::index_select")
def index_select(c: Constraints, x: Value, dim: int, index: Value) -> Any:
    """Positions of an axis, in the order of a tensor."""
    if index.tensor is None:
        return NotImplemented
    return axes.take(c, x, dim, index.tensor.cpu().numpy().reshape(-1))


@rule("aten::index")
def index(c: Constraints, x: Value, indices: Sequence[Value | None]) -> Any:
    """Positions of an axis, in the shape of a tensor; picked by unknown numbers: pinned."""
    used = [axis for axis, i in enumerate(indices) if i is not None]
    for unknown in [i for i in indices if i is not None and i.tensor is None]:
        axes.pin(c, unknown)
    if used == list(range(used[0], used[0] + len(used))):
        shape = np.broadcast_shapes(*(indices[axis].shape for axis in used))  # type: ignore[union-attr]
        axes.pin(c, x, used) if len(used) > 1 else None
        by = indices[used[0]]
        assert by is not None
        if (
            len(used) == 1
            and by.tensor is not None
            and not by.tensor.dtype.is_floating_point
            and by.tensor.dtype.itemsize > 1
        ):
            taken = axes.take(c, x, used[0], by.tensor.cpu().numpy().reshape(-1) % x.shape[used[0]])
            return axes.reshape(c, taken, c.shape)
        if len(c.shape) != len(x.axes) - len(used) + len(shape):
            return NotImplemented
        axes.pin(c, x, used)
        rows = x
        for axis in reversed(used):
            rows = axes.average_out(c, rows, axis)
        return _with_fixed_axes(c, rows, used[0], shape)
    return NotImplemented


def _with_fixed_axes(c: Constraints, x: Value, axis: int, shape: Sequence[int]) -> Value:
    for size in reversed(shape):
        x = axes.insert_axis(x, axis)
        if size != 1:
            x = _uniform(x, axis, size)
            dim = x.dims(axis)[0]
            x = replace(x, bundles=(*x.bundles, axes.Bundle((dim,), axes.fixed(size))))
    return x


with_fixed_axes = _with_fixed_axes


@rule("aten::embedding")
def embedding(c: Constraints, weight: Value, indices: Value, *_: Any, **__: Any) -> Value:
    """Rows of a table, picked by number: the rows stay in their places."""
    axes.pin(c, weight, [0])
    row = axes.average_out(c, weight, 0)
    return replace(_with_fixed_axes(c, row, 0, indices.shape), name=None)


@rule("aten::constant_pad_nd", "aten::pad")
def pad(
    c: Constraints, x: Value, pad: Sequence[int], mode: Any = "constant", value: float | None = None
) -> Any:
    """Numbers put around the entries; zeros have every scale."""
    if not isinstance(mode, str):
        mode, value = "constant", mode
    for i in range(0, len(pad), 2):
        axis = len(x.axes) - 1 - i // 2
        before, after = pad[i], pad[i + 1]
        if before < 0 or after < 0:
            return NotImplemented
        if not (before or after):
            continue
        if mode != "constant":
            axes.pin(c, x, [axis])
            x = _spatial(c, x, axis, x.shape[axis] + before + after)
            continue
        sizes = [(s,) if s != 1 else () for s in x.shape]
        sizes[axis] = (before + after,)
        length = x.shape[axis]
        # what is filled in is of one kind, before and after
        x = axes.concatenate(c, [x, Value(tuple(sizes), zero=not value)], axis)
        order = np.roll(np.arange(length + before + after), before + after)
        order = np.concatenate([order[:before], np.arange(length), order[before : before + after]])
        x = axes.take(c, x, axis, order)
    return x


def _spatial(c: Constraints, x: Value, axis: int, size: int) -> Value:
    """Replaces a pinned axis by one of another size."""
    x = axes.average_out(c, x, axis)
    return _with_fixed_axes(c, x, axis, [size])


spatial = _spatial


@rule("aten::pixel_shuffle")
def pixel_shuffle(c: Constraints, x: Value, factor: int) -> Value:
    """Channels to pixels."""
    *batch, channels, height, width = x.shape
    x = axes.reshape(c, x, [*batch, channels // factor**2, factor, factor, height, width])
    n = len(batch)
    x = axes.permute(x, [*range(n), n, n + 3, n + 1, n + 4, n + 2])
    return axes.reshape(c, x, c.shape)


@rule("aten::channel_shuffle")
def channel_shuffle(c: Constraints, x: Value, groups: int) -> Value:
    """Channels of all groups interleaved."""
    batch, channels, *space = x.shape
    x = axes.reshape(c, x, [batch, groups, channels // groups, *space])
    return axes.reshape(c, axes.permute(x, [0, 2, 1, *range(3, len(x.axes))]), c.shape)


@rule("aten::zeros_like", "aten::new_zeros")
def zeros_like(c: Constraints, x: Value, *_: Any, **__: Any) -> Value:
    """Zeros."""
    return Value(tuple((s,) if s != 1 else () for s in c.shape), zero=True)


@rule("aten::ones_like", "aten::full_like", "aten::new_ones", "aten::new_full")
def full_like(c: Constraints, x: Value, *_: Any, **__: Any) -> Value:
    """The same number everywhere."""
    return Value(tuple((s,) if s != 1 else () for s in c.shape))


@rule("aten::slice_scatter")
def slice_scatter(c: Constraints, x: Value, source: Value, dim: int = 0, start: int | None = None,
                  end: int | None = None, step: int = 1) -> Value:  # fmt: skip
    """A part of an axis replaced: what stays, then what comes, back in order."""
    size = x.shape[dim]
    inside = np.arange(size)[slice(start, end, step)]
    if len(inside) == size:
        return source
    outside = np.setdiff1d(np.arange(size), inside)
    joined = axes.concatenate(c, [axes.take(c, x, dim, outside), source], dim)
    return axes.take(c, joined, dim, np.argsort(np.concatenate([outside, inside])))


@rule("aten::copy")
def copy_over(c: Constraints, x: Value, source: Value, *_: Any) -> Value:
    """The numbers of the source, broadcast."""
    return expand(c, source)
