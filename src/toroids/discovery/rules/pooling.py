"""Pooling and resampling: channels are free, positions stay in place where their order counts."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from toroids.discovery import axes
from toroids.discovery.axes import SHIFT, Value
from toroids.discovery.constraints import Constraints
from toroids.discovery.rules.pointwise import pointwise
from toroids.discovery.rules.reductions import EXTREME, reduced
from toroids.discovery.rules.registry import F, rule

RANKS = (1, 2, 3)


def _rule_of_ranks(*names: str) -> Callable[[F], F]:
    """Registers a rule for the operators of one, two and three axes of space."""
    return rule(*(f"aten::{name}".replace("#", str(rank)) for name in names for rank in RANKS))


def _rank(c: Constraints) -> int:
    return int(next(letter for letter in c.operator.split("`")[1] if letter in "123"))


def _resampled(c: Constraints, x: Value, rank: int) -> Value:
    for axis in range(len(x.axes) - rank, len(x.axes)):
        axes.pin(c, x, [axis])
        x = axes.in_order(c, x, axis, c.shape[axis])
    return replace(x, name=None)


def _windowed(c: Constraints, x: Value, rank: int) -> Value:
    """Adaptive windows: those that share no entries know nothing of the order inside."""
    for axis in range(len(x.axes) - rank, len(x.axes)):
        before, after = x.shape[axis], c.shape[axis]
        opened = bool(c.open) and c.open[0][axis]
        if opened or before % after:
            axes.pin(c, x, [axis])
            x = axes.in_order(c, x, axis, after)
        elif before != after:
            windows = [*x.shape[:axis], after, before // after, *x.shape[axis + 1 :]]
            x = reduced(c, axes.reshape(c, x, windows), [axis + 1])
    return replace(x, name=None)


@_rule_of_ranks("adaptive_avg_pool#d", "_adaptive_avg_pool#d")
def adaptive_average_pool(c: Constraints, x: Value, *_: Any) -> Value:
    """Means over windows, the same for every channel."""
    return _windowed(c, x, _rank(c))


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
    rank = _rank(c)
    for axis in range(len(x.axes) - rank, len(x.axes)):
        before, after = x.shape[axis], c.shape[axis]
        opened = bool(c.open) and c.open[0][axis]
        if opened or after % before:
            axes.pin(c, x, [axis])
            x = axes.in_order(c, x, axis, after)
        else:
            x = axes.take(c, x, axis, np.repeat(np.arange(before), after // before))
    return replace(x, name=None)


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
    y = _resampled(c, x, _rank(c)) if ordered else _windowed(c, x, _rank(c))
    return _with_indices(c, pointwise(c, [y], EXTREME))


def _with_indices(c: Constraints, y: Value) -> Any:
    """Where each maximum was is told too, by some of the operators: numbers without exponents."""
    return y if len(c.shapes) == 1 else [y, axes.without(y, (0, 1, 2))]
