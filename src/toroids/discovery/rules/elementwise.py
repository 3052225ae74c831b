"""Operators on single entries: activations, sums, products, powers."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from toroids.binary.sign import OPERATOR
from toroids.discovery import axes
from toroids.discovery.axes import SCALE, SHIFT, SIGN, Value
from toroids.discovery.constraints import Constraints, Loss
from toroids.discovery.rules.registry import rule


def as_value(x: Any) -> Value:
    """A number as a value."""
    return x if isinstance(x, Value) else axes.constant(torch.as_tensor(x))


@rule("aten::relu", "aten::leaky_relu", "aten::rrelu")
def relu(c: Constraints, x: Value, *_: Any) -> Value:
    """f(a x) = a f(x) for a > 0."""
    return axes.elementwise(c, x, scale=True)


@rule("aten::prelu", "aten::_prelu_kernel")
def prelu(c: Constraints, x: Value, slope: Value) -> Value:
    """A leaky ReLU with one slope per channel, which is carried along."""
    if len(slope.axes) == 1 and len(x.axes) > 1:
        slope = axes.reshape(c, slope, [1, -1, *[1] * (len(x.axes) - 2)])
    axes.zero(c, slope)
    return axes.multiply(c, (relu(c, x), axes.without(slope, (0, 1, 2))))


@rule("aten::abs", "aten::absolute")
def absolute(c: Constraints, x: Value) -> Value:
    """Even and homogeneous: the sign is forgotten."""
    return _forgetting(c, x, SIGN)


@rule("aten::sign", "aten::sgn")
def sign(c: Constraints, x: Value) -> Value:
    """Odd: the scale is forgotten."""
    if x.name in c.binary:  # no scale is left to choose: the canonical form has only the sign
        axes.zero(c, x, channels=(SCALE,))
    return _forgetting(c, x, SCALE)


@rule(OPERATOR)
def sign_without_zero(c: Constraints, x: Value, window: float) -> Value:
    """Odd wherever there is no zero."""
    places = [b.places[b.places >= 0].ravel() for b in x.bundles]
    moving = np.concatenate(places) if places else np.zeros(0, np.int64)
    if c.never_zero is None:
        if moving.size:
            c.ties.append(moving)
        axes.zero(c, x, channels=(SIGN,))
    elif moving.size:
        c.given += [Loss(reason, moving) for reason in sorted(c.never_zero)]
    return sign(c, x)


def _forgetting(c: Constraints, x: Value, channel: int) -> Value:
    axes.zero(c, x, channels=(SHIFT,))
    axes.unmixed(c, x)
    return axes.without(x, (channel, SHIFT))


@rule(
    "aten::tanh", "aten::sin", "aten::tan", "aten::asin", "aten::atan", "aten::sinh",
    "aten::asinh", "aten::erf", "aten::softsign", "aten::tanhshrink", "aten::softshrink",
    "aten::hardshrink", "aten::atanh",
)  # fmt: skip
def odd(c: Constraints, x: Value, *_: Any) -> Value:
    """f(-x) = -f(x)."""
    return axes.elementwise(c, x, sign=True)


@rule(
    "aten::gelu", "aten::silu", "aten::sigmoid", "aten::softplus", "aten::relu6",
    "aten::hardswish", "aten::hardsigmoid", "aten::exp", "aten::expm1", "aten::log",
    "aten::log1p", "aten::log_sigmoid", "aten::mish", "aten::elu", "aten::selu", "aten::celu",
    "aten::cos", "aten::logical_not", "aten::bitwise_not", "aten::isinf", "aten::isnan",
    "aten::floor", "aten::ceil", "aten::round", "aten::erfc", "aten::exp2", "aten::log2",
    "aten::log10", "aten::threshold", "aten::cosh", "aten::trunc", "aten::isfinite",
    "aten::nan_to_num", "aten::bucketize", "aten::logit", "aten::acos",
)  # fmt: skip
def neither(c: Constraints, x: Value, *_: Any, **__: Any) -> Value:
    """Neither homogeneous nor odd: units may only be permuted."""
    return axes.elementwise(c, x)


@rule("aten::hardtanh", "aten::clamp", "aten::clip")
def clamp(c: Constraints, x: Value, low: Any = None, high: Any = None) -> Any:
    """Odd where the bounds are opposite; a ReLU where the only bound is zero."""
    if isinstance(low, Value) or isinstance(high, Value):
        return NotImplemented
    if (low, high) in ((0, None), (None, 0)):
        return relu(c, x)
    return axes.elementwise(c, x, sign=low is not None and high is not None and low == -high)


@rule("aten::clamp_min")
def clamp_min(c: Constraints, x: Value, low: Any) -> Any:
    """A ReLU where the bound is zero."""
    return clamp(c, x, low)


@rule("aten::clamp_max")
def clamp_max(c: Constraints, x: Value, high: Any) -> Any:
    """Bounded above."""
    return clamp(c, x, None, high)


@rule("aten::add")
def add(c: Constraints, a: Any, b: Any, alpha: float = 1) -> Value:
    """Terms scale and flip alike; a constant that is not zero forbids both."""
    a, b = as_value(a), as_value(b)
    if alpha != 1:
        b = axes.scaled(c, b, alpha)
    if b.zero and a.shape == c.shape:
        return a if not b.bundles else axes.add(c, (a, b))
    if a.zero and b.shape == c.shape:
        return b if not a.bundles else axes.add(c, (a, b))
    return axes.add(c, (a, b))


@rule("aten::sub", "aten::subtract")
def sub(c: Constraints, a: Any, b: Any, alpha: float = 1) -> Value:
    """As a sum."""
    return add(c, a, axes.scaled(c, as_value(b), -1), alpha=alpha)


@rule("aten::rsub")
def rsub(c: Constraints, a: Any, b: Any, alpha: float = 1) -> Value:
    """B - alpha a."""
    return sub(c, b, a, alpha=alpha)


def _number(x: Any) -> float | None:
    """The number that a constant without axes, or uniform along all of them, is."""
    if not isinstance(x, Value):
        return float(x)
    if x.tensor is not None and x.tensor.numel() == 1:
        return float(x.tensor)
    return None


@rule("aten::mul", "aten::multiply")
def mul(c: Constraints, a: Any, b: Any) -> Value:
    """Exponents add up."""
    for x, factor in ((a, b), (b, a)):
        number = _number(factor)
        if number is not None and isinstance(x, Value) and x.shape == c.shape:
            return axes.scaled(c, x, number)
    return axes.multiply(c, (as_value(a), as_value(b)))


@rule("aten::div", "aten::divide", "aten::true_divide")
def div(c: Constraints, a: Any, b: Any, rounding_mode: str | None = None) -> Value:
    """Exponents are subtracted."""
    if rounding_mode is not None:
        return _plain(c, a, b)
    number = _number(b)
    if number and isinstance(a, Value) and a.shape == c.shape:
        return axes.scaled(c, a, 1 / number)
    return axes.multiply(c, (as_value(a), as_value(b)), (1, -1))


@rule("aten::reciprocal")
def reciprocal(c: Constraints, x: Value) -> Value:
    """1 / x."""
    return axes.multiply(c, (x,), (-1,))


@rule("aten::square")
def square(c: Constraints, x: Value) -> Value:
    """x^2."""
    return axes.multiply(c, (x,), (2,))


@rule("aten::sqrt")
def sqrt(c: Constraints, x: Value) -> Value:
    """Half the exponents."""
    return _positive_power(c, x, 0.5)


@rule("aten::rsqrt")
def rsqrt(c: Constraints, x: Value) -> Value:
    """Minus half the exponents."""
    return _positive_power(c, x, -0.5)


def _positive_power(c: Constraints, x: Value, power: float) -> Value:
    axes.zero(c, x, channels=(SIGN,))
    return axes.multiply(c, (axes.without(x, (SIGN,)) if x.bundles else x,), (power,))


@rule("aten::pow")
def power(c: Constraints, x: Any, exponent: Any) -> Value:
    """N times the exponents."""
    number = _number(exponent)
    if number is None or not isinstance(x, Value):
        return _plain(c, x, exponent)
    if number == int(number):
        return axes.multiply(c, (x,), (int(number),))
    return _positive_power(c, x, number)


@rule("aten::maximum", "aten::minimum", "aten::max.other", "aten::min.other")
def maximum(c: Constraints, a: Value, b: Value) -> Value:
    """The larger of two: scales alike, signs not at all."""
    a, b = (x if x.zero else relu(c, x) for x in (a, b))
    return axes.add(c, (a, b))


@rule(
    "aten::eq", "aten::ne", "aten::lt", "aten::le", "aten::gt", "aten::ge", "aten::logical_and",
    "aten::logical_or", "aten::bitwise_and", "aten::bitwise_or", "aten::__and__", "aten::__or__",
    "aten::floor_divide", "aten::remainder", "aten::fmod", "aten::logical_xor", "aten::__xor__",
    "aten::bitwise_xor", "aten::logaddexp", "aten::atan2",
)  # fmt: skip
def _plain(c: Constraints, a: Any, b: Any, *_: Any, **__: Any) -> Value:
    """Two values meet entry by entry and no exponents pass."""
    values = [axes.elementwise(c, as_value(x)) for x in (a, b)]
    return replace(axes.multiply(c, values), zero=False)


@rule("aten::where")
def where(c: Constraints, condition: Value, a: Any, b: Any) -> Value:
    """One of two values, entry by entry."""
    chosen = axes.add(c, (as_value(a), as_value(b)))
    return axes.multiply(c, (chosen, axes.elementwise(c, condition)))


@rule("aten::masked_fill")
def masked_fill(c: Constraints, x: Value, mask: Value, value: Any) -> Value:
    """A number where a mask says so."""
    return where(c, mask, as_value(value), x)


@rule("aten::glu")
def glu(c: Constraints, x: Value, dim: int = -1) -> Value:
    """The first half times the sigmoid of the second."""
    half = x.shape[dim] // 2
    gate = axes.take(c, x, dim, np.arange(half, 2 * half))
    return axes.multiply(c, (axes.take(c, x, dim, np.arange(half)), axes.elementwise(c, gate)))


@rule("aten::addcmul")
def addcmul(c: Constraints, x: Value, a: Value, b: Value, value: float = 1) -> Value:
    """X + value a b."""
    return axes.add(c, (x, axes.scaled(c, axes.multiply(c, (a, b)), value)))


@rule("aten::lerp")
def lerp(c: Constraints, a: Value, b: Value, weight: Any) -> Value:
    """A + weight (b - a)."""
    difference = sub(c, b, a)
    return axes.add(c, (a, axes.multiply(c, (difference, as_value(weight)))))
