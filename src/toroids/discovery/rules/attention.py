"""Softmax and attention."""

from dataclasses import replace
from typing import Any

from toroids.discovery import axes
from toroids.discovery.axes import SCALE, SHIFT, SIGN, Value
from toroids.discovery.axes.constraints import Constraints
from toroids.discovery.rules.registry import rule
from toroids.discovery.rules.structure import repeat_interleave


@rule(
    "aten::softmax",
    "aten::log_softmax",
    "aten::_softmax",
    "aten::_log_softmax",
    "aten::_safe_softmax",
)
def softmax(c: Constraints, x: Value, dim: int, *_: Any, **__: Any) -> Value:
    """Looks at an axis as a whole; a shift that is the same along it is not seen."""
    axes.couple(c, x, [dim])
    axes.unmixed(c, x)
    axes.zero(c, x, channels=(SCALE, SIGN))
    axis = dim % max(len(x.axes), 1)
    for loose in x.loose:
        axes.unseen(c, loose, axis)
    if x.dims(axis):
        axes.zero(c, x, channels=(SHIFT,), dims=x.dims(axis))
    return replace(axes.without(x, (SCALE, SIGN, SHIFT)), zero=False)


@rule("aten::scaled_dot_product_attention")
def attention(
    c: Constraints, query: Value, key: Value, value: Value, mask: Value | None = None,
    dropout_p: float = 0.0, is_causal: bool = False, *, scale: float | None = None,
    enable_gqa: bool = False,
) -> Value:  # fmt: skip
    """softmax(q k^T + mask) v, written out so that nothing is hidden."""
    if enable_gqa:
        times = query.shape[-3] // key.shape[-3]
        key = repeat_interleave(c, key, times, -3)
        value = repeat_interleave(c, value, times, -3)
    # (..., s, 1, d) with (..., 1, t, d)
    scores = axes.contract(c, axes.insert_axis(query, -2), axes.insert_axis(key, -3), [-1])
    if is_causal:
        axes.pin(c, scores, [-1, -2])
    if mask is not None:
        scores = axes.add(c, (scores, mask))  # a boolean one meets the same places
    weights = axes.insert_axis(softmax(c, scores, -1), -1)
    return axes.contract(c, weights, axes.insert_axis(value, -3), [-2])
