"""Operators that only arrange entries anew: views, slices, concatenation, padding, copies."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from toroids.discovery import axes
from toroids.discovery.axes import Names, Value
from toroids.discovery.axes.constraints import Constraints
from toroids.discovery.rules.pointwise import ODD, pointwise
from toroids.discovery.rules.registry import rule


@rule(
    "aten::clone", "aten::contiguous", "aten::detach", "aten::alias", "aten::to",
    "aten::_to_copy", "aten::type_as", "aten::dropout", "aten::feature_dropout",
    "aten::alpha_dropout", "aten::float", "aten::feature_alpha_dropout", "aten::lift_fresh_copy",
    "aten::lift_fresh", "aten::positive", "aten::double", "aten::half", "aten::requires_grad_",
    "aten::resolve_conj", "aten::conj_physical", "aten::_to_sparse", "aten::to_sparse",
    "aten::_to_dense", "aten::to_dense",
)  # fmt: skip
def copy(c: Constraints, x: Value, *given: Any, **named: Any) -> Value:
    """The same numbers (dropout does nothing in evaluation), unless they are made integers."""
    if x.names is not None and not _counts_to(c.kind, len(x.names.places)):
        x = axes.unnamed(c, x)
    if c.narrows:
        return pointwise(c, [x], ODD)
    if c.kind.is_floating_point or c.kind.is_complex:
        return replace(x, tensor=None)
    return axes.elementwise(c, x, sign=c.kind.is_signed and c.kind != torch.bool)


def _counts_to(kind: torch.dtype, size: int) -> bool:
    """Whether a type holds all integers below a number."""
    if kind == torch.bool or kind.is_complex:
        return False
    most = 2 / torch.finfo(kind).eps if kind.is_floating_point else torch.iinfo(kind).max
    return size <= most


@rule("aten::neg")
def neg(c: Constraints, x: Value) -> Value:
    """Minus one times the value."""
    return axes.scaled(c, x, -1)


@rule(
    "aten::view", "aten::reshape", "aten::_unsafe_view", "aten::flatten", "aten::unflatten",
    "aten::view_as", "aten::reshape_as", "aten::ravel", "aten::_reshape_alias",
    "aten::resize", "aten::resize_as",
)  # fmt: skip
def view(c: Constraints, x: Value, *given: Any, **_: Any) -> Any:
    """The same entries in the same order in another shape, not the same bits in another type."""
    changed = any(isinstance(kind, torch.dtype) for kind in given)
    if changed or int(np.prod(x.shape)) != int(np.prod(c.shape)):
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


@rule("aten::numpy_T")
def reversed_axes(c: Constraints, x: Value) -> Value:
    """All axes in reverse order."""
    return axes.permute(x, range(len(x.axes))[::-1])


@rule("aten::t", "aten::mT", "aten::adjoint")
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
    return broadcast(c, x, c.shape)


def broadcast(c: Constraints, x: Value, shape: Sequence[int]) -> Value:
    """Axes of size one repeated, and added in front, to give a value a shape."""
    while len(x.axes) < len(shape):
        x = axes.insert_axis(x, 0)
    for axis, size in enumerate(shape):
        if x.shape[axis] != size:
            x = axes.insert_axis(axes.drop_axis(c, x, axis), axis)
            x = axes.uniform(x, axis, size)
    return x


@rule("aten::slice")
def slice_(
    c: Constraints, x: Value, dim: int = 0, start: int | None = None, end: int | None = None,
    step: int = 1,
) -> Value:  # fmt: skip
    """Positions start, start + step, ... of an axis."""
    taken = np.arange(x.shape[dim])[slice(start, end, step)]
    # all that there is, however long it is, or up to a length that may be a smaller one elsewhere
    as_long_as_given = c.open[0] == c.arguments_open[0] and c.open[0][dim]
    if len(taken) < x.shape[dim] or not as_long_as_given:
        axes.cut_open(c, x, dim, start, end, step)
    return axes.take(c, x, dim, taken)


@rule("aten::narrow")
def narrow(c: Constraints, x: Value, dim: int, start: int, length: int) -> Value:
    """Neighbouring positions of an axis."""
    axes.cut_open(c, x, dim, start, length)
    return axes.take(c, x, dim, np.arange(x.shape[dim])[start:][:length])


@rule("aten::select")
def select(c: Constraints, x: Value, dim: int, index: int) -> Value:
    """One position of an axis."""
    axes.cut_open(c, x, dim, index)
    return axes.select(c, x, dim, index)


@rule("aten::unbind")
def unbind(c: Constraints, x: Value, dim: int = 0) -> list[Value]:
    """Every position of an axis."""
    return [axes.select(c, x, dim, index) for index in range(x.shape[dim])]


@rule(
    "aten::split", "aten::split_with_sizes", "aten::chunk", "aten::tensor_split",
    "aten::unsafe_split", "aten::unsafe_chunk",
)  # fmt: skip
def split(c: Constraints, x: Value, sizes: Any, dim: int = 0) -> list[Value]:
    """An axis cut into pieces."""
    axes.cut_open(c, x, dim, *(sizes if isinstance(sizes, list | tuple) else [sizes]))
    lengths = [shape[dim] for shape in c.shapes]
    starts = np.cumsum([0, *lengths])
    if starts[-1] != x.shape[dim]:  # the data decide how long the pieces are
        rest = axes.set_aside(c, x, [dim])
        return [axes.with_fixed_axes(c, rest, dim % len(x.axes), [length]) for length in lengths]
    return [
        axes.take(c, x, dim, np.arange(start, start + length))
        for start, length in zip(starts, lengths, strict=False)
    ]


@rule("aten::cat", "aten::concat", "aten::concatenate", "prims::cat")
def cat(c: Constraints, values: Sequence[Value], dim: int = 0) -> Value:
    """Values one after another."""
    rank = len(c.shape)
    values, names = _joint_names(c, [v for v in values if len(v.axes) == rank])
    return replace(axes.concatenate(c, values, dim), names=names)


def _joint_names(c: Constraints, values: Sequence[Value]) -> tuple[list[Value], Names | None]:
    """Values as plain entries, and what they name where all name the same places."""
    first = values[0].names
    alike = first is not None and all(
        v.names is not None and v.names.kind == "index"
        and np.array_equal(v.names.places, first.places)
        for v in values
    )  # fmt: skip
    if first is None or not alike:
        return [axes.unnamed(c, v) for v in values], None
    return [replace(v, names=None) for v in values], Names(first.places)


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
        axes.cut_open(c, flat, 0, shifts[0])
        flat = axes.take(c, flat, 0, np.roll(np.arange(flat.shape[0]), shifts[0]))
        return axes.reshape(c, flat, x.shape)
    for shift, dim in zip(shifts, dims, strict=True):
        axes.cut_open(c, x, dim, shift)
        x = axes.take(c, x, dim, np.roll(np.arange(x.shape[dim]), shift))
    return x


@rule("aten::repeat", "aten::tile")
def repeat(c: Constraints, x: Value, repeats: Sequence[int]) -> Value:
    """Axes repeated as a whole: the value is uniform from one copy to the next."""
    while len(x.axes) < len(c.shape):
        x = axes.insert_axis(x, 0)
    for axis, size in enumerate(c.shape):
        if x.shape[axis] not in (0, size):
            x = _copied(c, x, axis, size // x.shape[axis], axis)
    return x


def _copied(c: Constraints, x: Value, axis: int, times: int, at: int) -> Value:
    """An axis several times, number of the copy outside (`at` the axis) or inside (behind it)."""
    shape = [size * times if d == axis else size for d, size in enumerate(x.shape)]
    return axes.reshape(c, axes.uniform(axes.insert_axis(x, at), at, times), shape)


@rule("aten::repeat_interleave")
def repeat_interleave(
    c: Constraints, x: Value, repeats: Any, dim: int | None = None, **_: Any
) -> Any:
    """Every position of an axis repeated."""
    if not isinstance(repeats, int) or axes.is_open(repeats):
        return NotImplemented
    if dim is None:
        x, dim = axes.reshape(c, x, [-1]), 0
    axis = dim % len(x.axes)
    return _copied(c, x, axis, repeats, axis + 1)


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
        axes.cut_open(c, x, axis, before, after)
        if before < 0 or after < 0:
            kept = np.arange(x.shape[axis])[max(-before, 0) : x.shape[axis] - max(-after, 0)]
            x, before, after = axes.take(c, x, axis, kept), max(before, 0), max(after, 0)
        if not (before or after):
            continue
        length = x.shape[axis]
        if mode != "constant":
            order = np.pad(np.arange(length), (before, after), mode=NUMPY_MODES[mode])
            x = axes.take(c, x, axis, order)
            continue
        sizes = [(s,) if s != 1 else () for s in x.shape]
        sizes[axis] = (before + after,)
        # what is filled in is of one kind, before and after
        zero = not value and not axes.is_open(value)
        x = axes.concatenate(c, [x, Value(tuple(sizes), zero=zero)], axis)
        order = np.roll(np.arange(length + before + after), before + after)
        order = np.concatenate([order[:before], np.arange(length), order[before : before + after]])
        x = axes.take(c, x, axis, order)
    return x


NUMPY_MODES: dict[str, Any] = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}


def _padded(mode: str) -> Any:
    def rule_of_mode(c: Constraints, x: Value, pads: Sequence[int]) -> Any:
        return pad(c, x, pads, mode)

    return rule_of_mode


for _mode, _names in {
    "reflect": "reflection_pad", "replicate": "replication_pad", "circular": "_pad_circular",
}.items():  # fmt: skip
    for _rank in ("1d", "2d", "3d", ""):
        rule(f"aten::{_names}{_rank}")(_padded(_mode))
del _mode, _names, _rank


@rule("aten::pixel_shuffle")
def pixel_shuffle(c: Constraints, x: Value, factor: int) -> Value:
    """Channels to pixels."""
    *batch, channels, height, width = x.shape
    x = axes.reshape(c, x, [*batch, channels // factor**2, factor, factor, height, width])
    n = len(batch)
    x = axes.permute(x, [*range(n), n, n + 3, n + 1, n + 4, n + 2])
    return axes.reshape(c, x, c.shape)


@rule("aten::pixel_unshuffle")
def pixel_unshuffle(c: Constraints, x: Value, factor: int) -> Value:
    """Pixels to channels."""
    *batch, channels, height, width = x.shape
    sizes = [channels, height // factor, factor, width // factor, factor]
    x = axes.reshape(c, x, [*batch, *sizes])
    n = len(batch)
    x = axes.permute(x, [*range(n), n, n + 2, n + 4, n + 1, n + 3])
    return axes.reshape(c, x, c.shape)


@rule("aten::channel_shuffle")
def channel_shuffle(c: Constraints, x: Value, groups: int) -> Value:
    """Channels of all groups interleaved."""
    batch, channels, *space = x.shape
    x = axes.reshape(c, x, [batch, groups, channels // groups, *space])
    return axes.reshape(c, axes.permute(x, [0, 2, 1, *range(3, len(x.axes))]), c.shape)


@rule(
    "aten::zeros_like", "aten::new_zeros", "aten::zeros", "aten::empty_like", "aten::new_empty",
    "aten::empty",
)  # fmt: skip
def zeros(c: Constraints, *_: Any, **__: Any) -> Value:
    """Zeros, or memory that nobody may read before it is written."""
    return Value(tuple((s,) if s != 1 else () for s in c.shape), zero=True)


@rule(
    "aten::ones_like", "aten::full_like", "aten::new_ones", "aten::new_full", "aten::ones",
    "aten::full", "aten::scalar_tensor",
)  # fmt: skip
def full(c: Constraints, *_: Any, **__: Any) -> Value:
    """The same number everywhere."""
    return Value(tuple((s,) if s != 1 else () for s in c.shape))


@rule("aten::arange")
def arange(c: Constraints, *given: Any, **_: Any) -> Value:
    """Numbers that count up: from zero by one, they name positions."""
    value = axes.fixed_value(c.shape)
    start, step = (given[0] if len(given) > 1 else 0), (given[2] if len(given) > 2 else 1)
    if (start, step) != (0, 1) or any(map(axes.is_open, (start, step))):
        return value
    return replace(value, names=Names(axes.fixed(c.shape[0])[0], kind="order"))


@rule("aten::slice_scatter")
def slice_scatter(c: Constraints, x: Value, source: Value, dim: int = 0, start: int | None = None,
                  end: int | None = None, step: int = 1) -> Value:  # fmt: skip
    """A part of an axis replaced: what stays, then what comes, back in order."""
    for value in (x, source):
        axes.cut_open(c, value, dim, start, end, step)
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
    return copy(c, expand(c, source))


@rule("aten::select_scatter")
def select_scatter(c: Constraints, x: Value, source: Value, dim: int, index: int) -> Value:
    """One position of an axis replaced."""
    axes.cut_open(c, x, dim, index)
    dim, index = dim % len(x.axes), index % x.shape[dim]
    return slice_scatter(c, x, axes.insert_axis(source, dim), dim, index, index + 1)


@rule("aten::hsplit", "aten::vsplit", "aten::dsplit")
def split_along(c: Constraints, x: Value, *_: Any) -> list[Value]:
    """Pieces along the second, first or third axis."""
    dim = {"hsplit": 1 if len(x.axes) > 1 else 0, "vsplit": 0, "dsplit": 2}[c.name]
    return split(c, x, [], dim)


@rule("aten::atleast_1d", "aten::atleast_2d", "aten::atleast_3d")
def atleast(c: Constraints, x: Any) -> Any:
    """Axes of size one added."""
    if isinstance(x, Value):
        return axes.reshape(c, x, c.shape)
    return [axes.reshape(c, v, shape) for v, shape in zip(x, c.shapes, strict=True)]
