"""Operators on single entries: activations, sums, products, powers."""

import math
from dataclasses import replace
from typing import Any

import numpy as np

from toroids.binary.sign import OPERATOR
from toroids.discovery import axes
from toroids.discovery.axes import SCALE, SHIFT, SIGN, Value
from toroids.discovery.axes.constraints import Constraints, Loss
from toroids.discovery.rules.pointwise import (
    HOMOGENEOUS,
    NONE,
    ODD,
    SIZE,
    Law,
    as_value,
    pointwise,
)
from toroids.discovery.rules.reductions import reduced
from toroids.discovery.rules.registry import rule

# Minus infinity, and what stands for it: the exponential of anything beside it is zero.
LOWEST = -1e9
# Of quotients that are rounded; towards zero both signs pass.
ROUNDED = {
    "floor": Law(scale=((1, 1, 0),), sign=((1, 1, 0),)),
    "trunc": Law(scale=((1, 1, 0),), sign=((1, 0, 1), (0, 1, 1))),
}


def relu(c: Constraints, x: Value) -> Value:
    """f(a x) = a f(x) for a > 0."""
    return pointwise(c, [x], HOMOGENEOUS)


@rule("aten::leaky_relu")
def leaky_relu(c: Constraints, x: Value, slope: float = 0.01) -> Value:
    """A ReLU but for slopes of one and minus one, where it is nothing at all, and a size."""
    if slope == 1 and not axes.is_open(slope):
        return x
    return pointwise(c, [x], SIZE if slope == -1 and not axes.is_open(slope) else HOMOGENEOUS)


@rule("aten::elu")
def elu(c: Constraints, x: Value, alpha: float = 1, *scales: float) -> Value:
    """A ReLU where nothing is left of what is negative."""
    return pointwise(c, [x], HOMOGENEOUS if alpha == 0 and not axes.is_open(alpha) else NONE)


@rule("aten::threshold")
def threshold(c: Constraints, x: Value, least: float, value: float) -> Value:
    """A ReLU where both numbers are zero."""
    zero = not any(map(axes.is_open, (least, value))) and least == value == 0
    return pointwise(c, [x], HOMOGENEOUS if zero else NONE)


@rule("aten::softshrink", "aten::hardshrink")
def shrink(c: Constraints, x: Value, width: float = 0.5) -> Value:
    """Odd; nothing at all where the width is zero."""
    return x if width == 0 and not axes.is_open(width) else pointwise(c, [x], ODD)


@rule("aten::log", "aten::log2", "aten::log10")
def log(c: Constraints, x: Value) -> Value:
    """Makes terms of factors."""
    axes.stop(c, x, "makes terms of factors")
    return pointwise(c, [x], NONE)


@rule("aten::prelu", "aten::_prelu_kernel")
def prelu(c: Constraints, x: Value, slope: Value) -> Value:
    """A leaky ReLU with one slope per channel, which is carried along."""
    if len(slope.axes) == 1 and len(x.axes) > 1:
        slope = axes.reshape(c, slope, [1, -1, *[1] * (len(x.axes) - 2)])
    axes.zero(c, slope)
    return axes.multiply(c, (relu(c, x), axes.without(slope, (0, 1, 2))))


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


@rule("aten::nan_to_num")
def nan_to_num(
    c: Constraints, x: Value, nan: float | None = None, posinf: Any = None, neginf: Any = None
) -> Value:
    """The same numbers, where they are some; exact for signs only, since the largest is finite."""
    odd = not nan and posinf is None and neginf is None
    return pointwise(c, [x], ODD if odd else NONE)


@rule("aten::hardtanh")
def hardtanh(c: Constraints, x: Value, low: Any = -1.0, high: Any = 1.0) -> Any:
    """Bounded by numbers, which a trace leaves out where they are -1 and 1."""
    return clamp(c, x, low, high)


@rule("aten::clamp", "aten::clip")
def clamp(c: Constraints, x: Value, low: Any = None, high: Any = None) -> Any:
    """Odd where the bounds are opposite; a ReLU where the only bound is zero."""
    if isinstance(low, Value) or isinstance(high, Value):
        return NotImplemented
    low, high = None if low == -math.inf else low, None if high == math.inf else high
    if low is None and high is None:
        return x
    known = not (axes.is_open(low) or axes.is_open(high))
    if known and (low, high) in ((0, None), (None, 0)):
        return relu(c, x)
    if low is None or high is None:
        axes.stop(c, x, "has another bound than zero")
    odd = known and low is not None and high is not None and low == -high and low <= high
    return axes.elementwise(c, x, sign=odd)


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
    if alpha != 1 or axes.is_open(alpha):
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
        return x if axes.is_open(x) else float(x)
    if x.tensor is not None and x.tensor.numel() == 1 and not x.tensor.is_complex():
        return float(x.tensor)
    return None


@rule("aten::mul", "aten::multiply", "prims::mul")
def mul(c: Constraints, a: Any, b: Any) -> Value:
    """Exponents add up."""
    for x, factor in ((a, b), (b, a)):
        if isinstance(factor, complex):
            return axes.beside(c, as_value(x), [])
        number = _number(factor)
        if number is not None and isinstance(x, Value) and x.shape == c.shape:
            return axes.scaled(c, x, number)
    return axes.multiply(c, (as_value(a), as_value(b)))


@rule("aten::div", "aten::divide", "aten::true_divide")
def div(c: Constraints, a: Any, b: Any, rounding_mode: str | None = None) -> Value:
    """Exponents are subtracted."""
    if rounding_mode is not None:
        return pointwise(c, [as_value(a), as_value(b)], ROUNDED[rounding_mode])
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
    if number is None or not isinstance(x, Value) or axes.is_open(number):
        return pointwise(c, [as_value(x), as_value(exponent)], NONE)
    if math.isfinite(number) and number == int(number):
        return axes.multiply(c, (x,), (int(number),))
    return _positive_power(c, x, number)


@rule("aten::where")
def where(c: Constraints, condition: Value, a: Any = None, b: Any = None) -> Any:
    """One of two values, entry by entry; or the positions, in order, where a condition holds."""
    if a is None:
        axes.pin(c, condition)
        return [axes.fixed_value(shape) for shape in c.shapes]
    values = [as_value(a), as_value(b)]
    kept = [x for x in values if not _absorbs(x)] or values[:1]
    chosen = kept[0] if len(kept) == 1 else axes.either(c, kept)
    if len(kept) < len(values):  # minus infinity has every scale, what stands for it has none
        infinite = all(_is_infinite(x) for x in values if _absorbs(x))
        axes.zero(c, chosen, channels=(SIGN,) if infinite else (SCALE, SIGN))
        if c.shows_lowest and not infinite:
            axes.zero(c, chosen, channels=(SHIFT,))
            axes.settle(c, chosen)
    # it chooses, it adds nothing: as a zero it meets the places only
    choice = replace(axes.elementwise(c, condition), zero=True)
    met = axes.add(c, (chosen, choice, *(replace(x, zero=True) for x in values)))
    return replace(met, zero=all(x.zero for x in values))


def _is_infinite(x: Value) -> bool:
    """Whether all numbers are minus infinity."""
    return x.tensor is not None and bool((x.tensor == -math.inf).all())


def _absorbs(x: Value) -> bool:
    """Whether a value is a mask so low that whatever is added to it is not seen."""
    return x.tensor is not None and x.tensor.numel() > 0 and bool((x.tensor <= LOWEST).all())


@rule("aten::masked_fill")
def masked_fill(c: Constraints, x: Value, mask: Value, value: Any) -> Any:
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


@rule("aten::hinge_embedding_loss")
def hinge_embedding_loss(
    c: Constraints, x: Value, target: Value, margin: float = 1, reduction: int = 1
) -> Value:
    """What is near, or what is not far enough, entry by entry, or the mean or sum of that."""
    y = pointwise(c, [x, target], NONE)
    return y if reduction == 0 else reduced(c, y, range(len(y.axes)))


@rule("aten::frexp", "prims::frexp")
def frexp(c: Constraints, x: Value) -> list[Value]:
    """A number between 1/2 and 1, and a power of two."""
    y = pointwise(c, [x], ODD)
    return [y, axes.without(y, (SIGN,))]


@rule("aten::lerp")
def lerp(c: Constraints, a: Value, b: Value, weight: Any) -> Value:
    """A + weight (b - a)."""
    difference = sub(c, b, a)
    return axes.add(c, (a, axes.multiply(c, (difference, as_value(weight)))))
