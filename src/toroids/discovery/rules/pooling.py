"""Pooling, reductions, resampling."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from toroids.discovery import axes
from toroids.discovery.axes import SHIFT, Value
from toroids.discovery.constraints import Constraints
from toroids.discovery.rules.elementwise import relu
from toroids.discovery.rules.registry import rule
from toroids.discovery.rules.structure import spatial


def _resampled(c: Constraints, x: Value, rank: int) -> Value:
    for axis in range(len(x.axes) - rank, len(x.axes)):
        axes.pin(c, x, [axis])
        x = spatial(c, x, axis, c.shape[axis])
    return replace(x, name=None)


@rule("aten::adaptive_avg_pool1d", "aten::upsample_nearest1d",
      "aten::upsample_linear1d")  # fmt: skip
def linear_pool1d(c: Constraints, x: Value, *_: Any, **__: Any) -> Value:
    """A linear map of the positions, the same for every channel."""
    return _resampled(c, x, 1)


@rule("aten::adaptive_avg_pool2d", "aten::upsample_nearest2d",
      "aten::upsample_bilinear2d", "aten::upsample_bicubic2d", "aten::_upsample_bilinear2d_aa",
      "aten::_upsample_bicubic2d_aa")  # fmt: skip
def linear_pool2d(c: Constraints, x: Value, *_: Any, **__: Any) -> Value:
    """A linear map of the pixels, the same for every channel."""
    return _resampled(c, x, 2)


@rule("aten::adaptive_avg_pool3d", "aten::upsample_nearest3d",
      "aten::upsample_trilinear3d")  # fmt: skip
def linear_pool3d(c: Constraints, x: Value, *_: Any, **__: Any) -> Value:
    """A linear map of the voxels, the same for every channel."""
    return _resampled(c, x, 3)


@rule("aten::avg_pool1d", "aten::avg_pool2d", "aten::avg_pool3d")
def average_pool(c: Constraints, x: Value, kernel: Sequence[int], *_: Any, **__: Any) -> Value:
    """A linear map of the pixels; what is padded shows a shift."""
    axes.zero(c, x, channels=(SHIFT,))
    return _resampled(c, x, len(kernel))


@rule("aten::max_pool1d", "aten::adaptive_max_pool1d", "aten::max_pool1d_with_indices")
def max_pool1d(c: Constraints, x: Value, *_: Any, **__: Any) -> Any:
    """The largest of neighbouring positions: homogeneous, not odd."""
    return _with_indices(c, _resampled(c, relu(c, x), 1))


@rule("aten::max_pool2d", "aten::adaptive_max_pool2d", "aten::max_pool2d_with_indices")
def max_pool2d(c: Constraints, x: Value, *_: Any, **__: Any) -> Any:
    """The largest of neighbouring pixels: homogeneous, not odd."""
    return _with_indices(c, _resampled(c, relu(c, x), 2))


@rule("aten::max_pool3d", "aten::adaptive_max_pool3d", "aten::max_pool3d_with_indices")
def max_pool3d(c: Constraints, x: Value, *_: Any, **__: Any) -> Any:
    """The largest of neighbouring voxels: homogeneous, not odd."""
    return _with_indices(c, _resampled(c, relu(c, x), 3))


def _with_indices(c: Constraints, y: Value) -> Any:
    """Where each maximum was is told too, by some of the operators: numbers without exponents."""
    return y if len(c.shapes) == 1 else [y, axes.without(y, (0, 1, 2))]


def _dims(x: Value, dim: Any) -> list[int]:
    if dim is None or (not isinstance(dim, int) and not len(dim)):
        return list(range(len(x.axes)))
    return [d % len(x.axes) for d in ([dim] if isinstance(dim, int) else dim)]


def _reduced(c: Constraints, x: Value, over: Sequence[int], keepdim: bool, mean: bool) -> Value:
    dims = [d for axis in over for d in x.dims(axis)]
    y = axes.reduce(c, x, dims, mean=mean)
    for axis in sorted(over, reverse=True):
        y = axes.drop_axis(c, y, axis)
    for axis in sorted(over) if keepdim else ():
        y = axes.insert_axis(y, axis)
    return replace(y, name=None)


@rule("aten::mean")
def mean(c: Constraints, x: Value, dim: Any = None, keepdim: bool = False, **_: Any) -> Value:
    """Linear; nothing may act on what is averaged but a permutation."""
    return _reduced(c, x, _dims(x, dim), keepdim, mean=True)


@rule("aten::sum")
def sum_(c: Constraints, x: Value, dim: Any = None, keepdim: bool = False, **_: Any) -> Value:
    """Linear; nothing may act on what is summed but a permutation."""
    return _reduced(c, x, _dims(x, dim), keepdim, mean=False)


@rule("aten::amax", "aten::amin")
def amax(c: Constraints, x: Value, dim: Any = (), keepdim: bool = False) -> Value:
    """The largest entry: homogeneous, not odd."""
    return _reduced(c, relu(c, x), _dims(x, dim), keepdim, mean=True)


@rule("aten::max", "aten::min")
def max_(c: Constraints, x: Value, dim: Any = None, keepdim: bool = False) -> Any:
    """The largest entry, and where it was: its place is not permuted."""
    if isinstance(dim, Value):
        a, b = (v if v.zero else relu(c, v) for v in (x, dim))
        return axes.add(c, (a, b))
    if dim is None:
        return amax(c, x)
    axes.pin(c, x, [dim])
    y = amax(c, x, dim, keepdim)
    return [y, axes.without(y, (0, 1, 2))]


@rule("aten::topk", "aten::sort")
def sorted_entries(c: Constraints, x: Value, *_: Any, **__: Any) -> list[Value]:
    """Entries in order of size, and where they were: everything stays in place."""
    axes.pin(c, x)
    return [axes.fixed_value(shape) for shape in c.shapes]


@rule("aten::logsumexp", "aten::var", "aten::std", "aten::var_mean", "aten::prod", "aten::any",
      "aten::all")  # fmt: skip
def statistics(c: Constraints, x: Value, dim: Any = None, *_: Any, **keywords: Any) -> Any:
    """Symmetric in what is reduced; no exponents pass."""
    if isinstance(dim, bool):
        dim = None
    x = axes.elementwise(c, x)
    y = _reduced(c, x, _dims(x, dim), len(c.shape) == len(x.axes), mean=True)
    return y if len(c.shapes) == 1 else [y] * len(c.shapes)


@rule("aten::argmax", "aten::argmin")
def argmax(c: Constraints, x: Value, dim: int | None = None, keepdim: bool = False) -> Value:
    """The place of the largest entry."""
    axes.pin(c, x, _dims(x, dim))
    return _reduced(c, axes.elementwise(c, x), _dims(x, dim), keepdim, mean=True)


@rule("aten::cumsum", "aten::cumprod", "aten::logcumsumexp")
def cumulative(c: Constraints, x: Value, dim: int, **_: Any) -> Value:
    """Sums up to every position: the axis stays in place."""
    axes.pin(c, x, [dim])
    return axes.elementwise(c, x)


@rule("aten::im2col", "aten::unfold")
def windows(c: Constraints, x: Value, *arguments: Any) -> Any:
    """Windows along one axis (`unfold`): the axis stays in place."""
    if len(arguments) != 3 or not isinstance(arguments[0], int):
        return NotImplemented
    dim, size, _ = arguments
    dim %= len(x.axes)
    axes.pin(c, x, [dim])
    x = spatial(c, x, dim, c.shape[dim])
    x = axes.insert_axis(x, len(x.axes))
    return spatial(c, x, len(x.axes) - 1, size)
