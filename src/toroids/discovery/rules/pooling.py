"""Pooling and resampling: channels are free, positions move where they are not told apart."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from toroids.discovery import axes
from toroids.discovery.axes import SHIFT, Value
from toroids.discovery.axes.constraints import Constraints
from toroids.discovery.rules.pointwise import pointwise
from toroids.discovery.rules.reductions import EXTREME, reduced
from toroids.discovery.rules.registry import F, rule

RANKS = (1, 2, 3)
# Numbers in the images that an operator is tried on; of larger ones all positions stay in place.
LARGEST = 2**20
DIGITS = 12  # of a weight: those that are equal but for rounding are alike


def _rule_of_ranks(*names: str) -> Callable[[F], F]:
    """Registers a rule for the operators of one, two and three axes of space."""
    return rule(*(f"aten::{name}".replace("#", str(rank)) for name in names for rank in RANKS))


def _resampled(c: Constraints, x: Value, given: Sequence[Any], named: dict[str, Any]) -> Value:
    """Axes of space in another size, each mapped by itself."""
    shape = x.shape
    for axis in _space(c, shape):
        table = _table(c, shape, axis, given, named) if axes.may_move(c, x, axis) else None
        x = axes.in_order(c, x, axis, c.shape[axis]) if table is None else _map(c, x, axis, table)
    return replace(x, name=None)


def _space(c: Constraints, shape: Sequence[int]) -> range:
    rank = int(next(letter for letter in c.name if letter in "123"))
    return range(len(shape) - rank, len(shape))


def _table(
    c: Constraints, shape: Sequence[int], axis: int, given: Sequence[Any], named: dict[str, Any]
) -> NDArray[np.float64] | None:  # fmt: skip
    """How every position of an axis enters every one of the result, read off lines of ones."""
    size, space = shape[axis], [shape[k] for k in _space(c, shape)]
    if size * math.prod(space) > LARGEST:
        return None
    along = [1] * len(space)
    along[axis - len(shape)] = size
    lines = torch.eye(size, dtype=torch.float64).reshape(size, 1, *along)
    found = getattr(torch.ops.aten, c.name)(lines.expand(size, 1, *space), *given, **named)
    found = found[0] if isinstance(found, tuple) else found
    found = found.movedim(axis - len(shape), 1).flatten(2)
    table = found[:, :, found.abs().sum(dim=(0, 1)).argmax()].T
    return np.asarray(table.round(decimals=DIGITS).numpy())


def _map(c: Constraints, x: Value, axis: int, table: NDArray[np.float64]) -> Value:
    """An axis mapped: windows that share no entries move as wholes, so does what is repeated."""
    after, before = table.shape
    if before % after == 0 and _is_blocks(table, np.ones((1, before // after))):
        windows = [*x.shape[:axis], after, before // after, *x.shape[axis + 1 :]]
        return reduced(c, axes.reshape(c, x, windows), [axis + 1])
    if after % before == 0 and _is_blocks(table, np.ones((after // before, 1))):
        return axes.take(c, x, axis, np.repeat(np.arange(before), after // before))
    return axes.through(c, x, axis, table)


def _is_blocks(table: NDArray[np.float64], block: NDArray[np.float64]) -> bool:
    """Whether a map has one number in blocks on its diagonal, and nothing beside them."""
    blocks = np.kron(np.eye(max(table.shape) // max(block.shape)), block)
    return bool((table == table.max() * blocks).all())


@_rule_of_ranks("adaptive_avg_pool#d", "_adaptive_avg_pool#d")
def adaptive_average_pool(c: Constraints, x: Value, *given: Any) -> Value:
    """Means over windows, the same for every channel."""
    return _resampled(c, x, given, {})


@rule(
    "aten::upsample_linear1d", "aten::upsample_bilinear2d", "aten::upsample_bicubic2d",
    "aten::_upsample_bilinear2d_aa", "aten::_upsample_bicubic2d_aa", "aten::upsample_trilinear3d",
)  # fmt: skip
@_rule_of_ranks("upsample_nearest#d", "_upsample_nearest_exact#d")
def interpolate(c: Constraints, x: Value, *given: Any, **named: Any) -> Value:
    """A linear map of the pixels, the same for every channel."""
    return _resampled(c, x, given, named)


@_rule_of_ranks("avg_pool#d")
def average_pool(c: Constraints, x: Value, *given: Any, **named: Any) -> Value:
    """A linear map of the pixels; what is padded shows a shift."""
    axes.zero(c, x, channels=(SHIFT,))
    return _resampled(c, x, given, named)


@_rule_of_ranks("max_pool#d", "max_pool#d_with_indices", "adaptive_max_pool#d")
def max_pool(c: Constraints, x: Value, *given: Any, **named: Any) -> Any:
    """The largest of neighbouring pixels: homogeneous, not odd."""
    axes.unmixed(c, x)
    of_one_size = not any(c.arguments_open[0][axis] for axis in _space(c, x.shape))
    # windows of one pixel, wherever the module runs
    if "adaptive" in c.name and c.shape == x.shape and of_one_size and not c.ordered:
        return [x, axes.fixed_value(x.shape)]
    if len(c.shapes) > 1 and c.used[1]:  # where each maximum was is told too
        for axis in _space(c, x.shape):
            x = axes.in_order(c, x, axis, c.shape[axis])
        y = pointwise(c, [x], EXTREME)
    else:
        y = pointwise(c, [_resampled(c, x, given, named)], EXTREME)
    return y if len(c.shapes) == 1 else [y, axes.without(y, (0, 1, 2))]
