"""Norms: what their statistics forget, what their gains write."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from toroids.discovery import axes
from toroids.discovery.axes import SCALE, SHIFT, SIGN, Bundle, Value
from toroids.discovery.axes.constraints import BatchNorm, Constraints
from toroids.discovery.rules.pointwise import NONE
from toroids.discovery.rules.reductions import norm_over, symmetric
from toroids.discovery.rules.registry import rule


def _on_channels(c: Constraints, gain: Value | None, x: Value) -> Value | None:
    """Shapes one number per channel so that it meets axis 1 of x."""
    return None if gain is None else axes.reshape(c, gain, [1, -1, *[1] * (len(x.axes) - 2)])


def _affine(c: Constraints, x: Value, weight: Value | None, bias: Value | None) -> Value:
    if weight is not None:
        x = axes.multiply(c, (x, weight))
    return x if bias is None else axes.add(c, (x, bias))


def _negated_shift(c: Constraints, value: Value) -> Value:
    bundles = []
    for bundle in value.bundles:
        ids = bundle.ids.copy()
        ids[1 + SHIFT] = c.unknowns(bundle.places)[SHIFT]
        c.equation(SHIFT, (1, ids[1 + SHIFT]), (1, bundle.ids[1 + SHIFT]))
        bundles.append(Bundle(bundle.dims, ids))
    return replace(value, bundles=tuple(bundles))


@rule("aten::batch_norm")
def batch_norm(
    c: Constraints, x: Value, weight: Value | None, bias: Value | None, mean: Value | None,
    variance: Value | None, training: bool, momentum: float, eps: float, *_: Any,
) -> Value:  # fmt: skip
    """W (x - m) / sqrt(v + eps) + b: the channel's scale is absorbed by m, v and w."""
    weight_here, bias_here = _on_channels(c, weight, x), _on_channels(c, bias, x)
    mean_here, variance_here = _on_channels(c, mean, x), _on_channels(c, variance, x)
    if training or mean_here is None or variance_here is None:
        _averaged(c, x, [axis for axis in range(len(x.axes)) if axis != 1])
        return _affine(c, _standardised(c, x, odd=True), weight_here, bias_here)
    absorbs = (
        variance is not None and variance.name is not None and weight is not None
        and weight.name is not None and weight.name not in c.offsets
    )  # fmt: skip
    centred = axes.add(c, (x, _negated_shift(c, mean_here)))
    axes.zero(c, centred, channels=(SHIFT,) if absorbs else (SHIFT, SCALE))
    axes.zero(c, variance_here, channels=(SIGN, SHIFT))
    # the variance follows the scale of what is normalised, twice
    ratio = axes.multiply(c, (centred, axes.without(variance_here, (SIGN, SHIFT))), (1, -0.5))
    axes.zero(c, ratio, channels=(SCALE,))
    if absorbs:
        assert weight is not None and variance is not None and mean is not None
        c.norms.append(
            BatchNorm(
                str(weight.name), None if bias is None else bias.name, str(mean.name),
                str(variance.name), eps,
            )
        )  # fmt: skip
    return _affine(c, axes.without(ratio, (SCALE,)), weight_here, bias_here)


@rule("aten::_native_batch_norm_legit_no_training")
def batch_norm_in_evaluation(
    c: Constraints, x: Value, weight: Value | None, bias: Value | None, mean: Value,
    variance: Value, momentum: float, eps: float,
) -> list[Value]:  # fmt: skip
    """As `batch_norm`; what it saves for a backward pass is empty."""
    y = batch_norm(c, x, weight, bias, mean, variance, False, momentum, eps)
    return [y, *(axes.fixed_value(shape) for shape in c.shapes[1:])]


@rule("aten::native_batch_norm", "aten::_native_batch_norm_legit", "aten::_batch_norm_with_update")
def batch_norm_with_statistics(
    c: Constraints, x: Value, weight: Value | None, bias: Value | None, *given: Any, **_: Any
) -> list[Value]:  # fmt: skip
    """As `batch_norm`, with the statistics of the batch; those that it replaces are not read."""
    running = [value for value in given[:2] if isinstance(value, Value)]
    training = c.name.endswith("with_update") or any(x is True for x in given)
    if not training:
        y = batch_norm(c, x, weight, bias, running[0], running[1], False, given[-2], given[-1])
        return [y, *(axes.fixed_value(shape) for shape in c.shapes[1:])]
    statistics = [_statistic(c, x, [axis for axis in range(len(x.axes)) if axis != 1])] * 2
    for value in running:  # what the next call reads is written by channels
        if value.name is not None:
            axes.equate(c, value, statistics[0])
    y = batch_norm(c, x, weight, bias, None, None, True, given[-2], given[-1])
    return [y, *statistics, *(axes.fixed_value(shape) for shape in c.shapes[3:])]


def _statistic(c: Constraints, x: Value, over: Sequence[int]) -> Value:
    """A mean or a variance over some axes, of which nothing but the order does not count."""
    return symmetric(c, x, over, False, NONE)


def _averaged(c: Constraints, x: Value, over: Sequence[int]) -> None:
    """Statistics over some axes see them as a whole, and every sign and shift that varies there."""
    axes.couple(c, x, over)
    for axis in over:
        if x.dims(axis):
            axes.zero(c, x, channels=(SIGN, SHIFT), dims=x.dims(axis))


def _standardised(c: Constraints, x: Value, odd: bool) -> Value:
    """Without its mean and scale along some axes: a constant shift is not seen, eps sees scales."""
    axes.unmixed(c, x)
    blocked = (SCALE,) if odd else (SCALE, SIGN)
    axes.zero(c, x, channels=blocked)
    return replace(axes.without(x, (*blocked, SHIFT)), zero=False)


@rule("aten::instance_norm")
def instance_norm(
    c: Constraints, x: Value, weight: Value | None, bias: Value | None, mean: Value | None,
    variance: Value | None, use_input_stats: bool, momentum: float, eps: float, *_: Any,
) -> Value:  # fmt: skip
    """Every channel of every example is standardised over its pixels."""
    if not use_input_stats:
        return batch_norm(c, x, weight, bias, mean, variance, False, momentum, eps)
    _averaged(c, x, range(2, len(x.axes)))
    y = _standardised(c, x, odd=True)
    return _affine(c, y, _on_channels(c, weight, x), _on_channels(c, bias, x))


@rule("aten::group_norm")
def group_norm(
    c: Constraints, x: Value, groups: int, weight: Value | None = None, bias: Value | None = None,
    *_: Any,
) -> Value:  # fmt: skip
    """Channels are standardised in groups, which stay together."""
    batch, channels, *space = x.shape
    _averaged(c, x, range(2, len(x.axes)))
    affine = [_on_channels(c, gain, x) for gain in (weight, bias)]
    if groups < channels:
        by_group = axes.reshape(c, x, [batch, groups, channels // groups, *space])
        axes.couple(c, by_group, range(2, len(by_group.axes)))
        axes.zero(c, x, channels=(SHIFT,))
        gains = [
            axes.reshape(c, gain, [1, groups, channels // groups, *[1] * len(space)])
            for gain in affine
            if gain is not None
        ]
        if gains:
            axes.together(c, [by_group, *gains], 1)
    return _affine(c, _standardised(c, x, odd=groups == channels), *affine)


@rule("aten::native_group_norm")
def group_norm_with_statistics(
    c: Constraints, x: Value, weight: Value | None, bias: Value | None, n: int, channels: int,
    pixels: int, groups: int, eps: float,
) -> list[Value]:  # fmt: skip
    """As `group_norm`, with the statistics of every group."""
    by_group = axes.reshape(c, x, [n, groups, -1])
    statistic = _statistic(c, by_group, [2])
    return [group_norm(c, x, groups, weight, bias), statistic, statistic]


@rule("aten::layer_norm")
def layer_norm(
    c: Constraints, x: Value, shape: Sequence[int], weight: Value | None = None,
    bias: Value | None = None, *_: Any,
) -> Value:  # fmt: skip
    """The last axes are standardised together."""
    axes.couple(c, x, range(-len(shape), 0))
    axes.zero(c, x, channels=(SHIFT,))
    return _affine(c, _standardised(c, x, odd=False), weight, bias)


@rule("aten::rms_norm")
def rms_norm(
    c: Constraints, x: Value, shape: Sequence[int], weight: Value | None = None, *_: Any
) -> Value:
    """The last axes are divided by their root mean square: odd."""
    axes.couple(c, x, range(-len(shape), 0))
    axes.zero(c, x, channels=(SHIFT,))
    return _affine(c, _standardised(c, x, odd=True), weight, None)


@rule("aten::_weight_norm", "aten::_weight_norm_interface")
def weight_norm(c: Constraints, direction: Value, length: Value, dim: int = 0) -> Value:
    """G v / ||v||: the scale of v is forgotten along `dim`, or as a whole (-1)."""
    # where the gain follows the norm, a product g v
    if c.weight_norms.get(length.name or "", ("",))[0] == direction.name:
        axes.unmixed(c, direction)
        return axes.multiply(c, (length, direction))
    others = [axis for axis in range(len(direction.axes)) if axis != dim]
    axes.couple(c, direction, others)
    norm = norm_over(c, direction, others, keepdim=True)
    unit = axes.multiply(c, (direction, norm), (1, -1))
    return axes.multiply(c, (unit, length))
