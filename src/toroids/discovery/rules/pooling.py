"""Pooling and resampling: channels are free, positions stay in place where their order counts."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np

from toroids.discovery import axes
from toroids.discovery.axes import SHIFT, Value
from toroids.discovery.constraints import Constraints
from toroids.discovery.rules.pointwise import pointwise
from toroids.discovery.rules.reductions import EXTREME, reduced
from toroids.discovery.rules.registry import F, rule

RANKS = (1, 2, 3)
Exact: TypeAlias = Callable[[Constraints, Value, int], Value | None]


def _rule_of_ranks(*names: str) -> Callable[[F], F]:
    """Registers a rule for the operators of one, two and three axes of space."""
    return rule(*(f"aten::{name}".replace("#", str(rank)) for name in names for rank in RANKS))


def _rank(c: Constraints) -> int:
    return int(next(letter for letter in c.name if letter in "123"))


def _resampled(c: Constraints, x: Value, rank: int, exact: Exact | None = None) -> Value:
    """Axes of space in another size: kept in place, but where what becomes of them is exact."""
    for axis in range(len(x.axes) - rank, len(x.axes)):
        opened = bool(c.open) and c.open[0][axis]
        known = None if exact is None or opened else exact(c, x, axis)
        x = axes.in_order(c, x, axis, c.shape[axis]) if known is None else known
    return replace(x, name=None)


def _in_windows(c: Constraints, x: Value, axis: int) -> Value | None:
    """Adaptive windows that share no entries know nothing of the order inside."""
    before, after = x.shape[axis], c.shape[axis]
    if before == after or before % after:
        return x if before == after else None
    windows = [*x.shape[:axis], after, before // after, *x.shape[axis + 1 :]]
    return reduced(c, axes.reshape(c, x, windows), [axis + 1])


def _repeated(c: Constraints, x: Value, axis: int) -> Value | None:
    """Every position as often as the next."""
    before, after = x.shape[axis], c.shape[axis]
    if after % before:
        return None
    return axes.take(c, x, axis, np.repeat(np.arange(before), after // before))


@_rule_of_ranks("adaptive_avg_pool#d", "_adaptive_avg_pool#d")
def adaptive_average_pool(c: Constraints, x: Value, *_: Any) -> Value:
    """Means over windows, the same for every channel."""
    return _resampled(c, x, _rank(c), _in_windows)


@rule(
    "aten::upsample_linear1d", "aten::upsample_bilinear2d", "aten::upsample_bicubic2d",
    "aten::_upsample_bilinear2d_aa", "aten::_upsample_bicubic2d_aa", "aten::upsample_trilinear3d",
)  # fmt: skip
def interpolate(c: Constraints, x: Value, *_: Any, **__: Any) -> Value:
    """A linear map of the pixels, the same for every channel."""
    return _resampled(c, x, _rank(c))


@_rule_of_ranks("upsample_nearest#d", "_upsample_nearest_exact#d")
def interpolate_nearest(c: Constraints, x: Value, *_: Any, **__: Any) -> Value:
    """Pixels repeated."""
    return _resampled(c, x, _rank(c), _repeated)


@_rule_of_ranks("avg_pool#d")
def average_pool(c: Constraints, x: Value, kernel: Sequence[int], *_: Any, **__: Any) -> Value:
    """A linear map of the pixels; what is padded shows a shift."""
    axes.zero(c, x, channels=(SHIFT,))
    return _resampled(c, x, len(kernel))


@_rule_of_ranks("max_pool#d", "max_pool#d_with_indices")
def max_pool(c: Constraints, x: Value, *_: Any, **__: Any) -> Any:
    """The largest of neighbouring pixels: homogeneous, not odd."""
    axes.unmixed(c, x)
    return _with_indices(c, pointwise(c, [_resampled(c, x, _rank(c))], EXTREME))


@_rule_of_ranks("adaptive_max_pool#d")
def adaptive_max_pool(c: Constraints, x: Value, *_: Any) -> Any:
    """The largest entries of windows."""
    axes.unmixed(c, x)
    ordered = len(c.shapes) > 1 and c.used[1]
    y = _resampled(c, x, _rank(c), None if ordered else _in_windows)
    return _with_indices(c, pointwise(c, [y], EXTREME))


def _with_indices(c: Constraints, y: Value) -> Any:
    """Where each maximum was is told too, by some of the operators: numbers without exponents."""
    return y if len(c.shapes) == 1 else [y, axes.without(y, (0, 1, 2))]
