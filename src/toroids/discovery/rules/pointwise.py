"""Functions of single entries, in one table: what of their arguments' factors passes to the result.

A law has, for scales, signs and shifts, a list of generators: one power for every argument and one
for the result. `(1, 1, 0)` of scales says that f(t a, t b) = f(a, b) for all t > 0; a generator of
shifts adds instead of multiplying. Where a law has none, an argument takes none.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from toroids.discovery import axes
from toroids.discovery.axes import Value
from toroids.discovery.axes.constraints import Constraints
from toroids.discovery.rules.registry import RULES, rule

Generators = tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Law:
    """What a function of single entries lets through.

    Attributes:
        scale: generators of positive factors.
        sign: generators of factors of -1.
        shift: generators of what is added.
        keeps_zero: whether the function of zeros is zero.
    """

    scale: Generators = ()
    sign: Generators = ()
    shift: Generators = ()
    keeps_zero: bool = False


NONE = Law()
EVEN = Law(sign=((1, 0),))
ODD = Law(sign=((1, 1),), keeps_zero=True)
HOMOGENEOUS = Law(scale=((1, 1),), keeps_zero=True)
SIZE = Law(scale=((1, 1),), sign=((1, 0),), keeps_zero=True)
TRUTH = Law(scale=((1, 0),), sign=((1, 0),))  # whether it is zero, or finite
SIDE = Law(scale=((1, 0),))  # on which side of zero it is
ALIKE = Law(scale=((1, 1, 1),), shift=((1, 1, 1),), keeps_zero=True)  # one of two
ORDER = Law(scale=((1, 1, 0),), shift=((1, 1, 0),))
EQUAL = replace(ORDER, sign=((1, 1, 0),))
BOTH_TRUTH = Law(scale=((1, 0, 0), (0, 1, 0)), sign=((1, 0, 0), (0, 1, 0)))
FIRST = Law(scale=((1, 0, 1),), sign=((1, 0, 1),))

LAWS: dict[Law, str] = {
    NONE: (
        "gelu silu sigmoid softplus hardsigmoid hardswish relu6 mish selu celu exp exp2 expm1 "
        "log1p log_sigmoid logit acos acosh erfc floor ceil lgamma mvlgamma "
        "digamma polygamma igamma igammac nextafter gcd lcm bitwise_and bitwise_or bitwise_xor "
        "bitwise_not __and__ __or__ __xor__ bitwise_left_shift bitwise_right_shift __lshift__ "
        "__rshift__ isclose special_airy_ai special_bessel_y0 special_bessel_y1 "
        "special_erfcx special_log_ndtr special_ndtr special_ndtri special_entr "
        "special_modified_bessel_k0 special_modified_bessel_k1 special_scaled_modified_bessel_k0 "
        "special_scaled_modified_bessel_k1 special_zeta special_chebyshev_polynomial_t "
        "special_chebyshev_polynomial_u special_chebyshev_polynomial_v "
        "special_chebyshev_polynomial_w special_hermite_polynomial_h "
        "special_hermite_polynomial_he special_laguerre_polynomial_l "
        "special_legendre_polynomial_p special_shifted_chebyshev_polynomial_t "
        "special_shifted_chebyshev_polynomial_u special_shifted_chebyshev_polynomial_v "
        "special_shifted_chebyshev_polynomial_w"
    ),
    ODD: (
        "tanh sin tan asin atan sinh asinh atanh erf erfinv softsign tanhshrink round "
        " trunc fix frac special_bessel_j1 special_i1 special_i1e "
        "special_modified_bessel_i1"
    ),
    EVEN: (
        "cos cosh i0 sinc special_i0e special_bessel_j0 special_modified_bessel_i0 "
        "special_spherical_bessel_j0"
    ),
    HOMOGENEOUS: "relu rrelu",
    SIZE: "abs absolute",
    TRUTH: "logical_not isfinite isinf isnan isreal",
    SIDE: "signbit angle isposinf isneginf",
    ALIKE: "maximum minimum fmax fmin",
    ORDER: "lt le gt ge less less_equal greater greater_equal",
    EQUAL: "ne not_equal",
    BOTH_TRUTH: "logical_and logical_or logical_xor",
    Law(scale=((1, 1, 1),), sign=((1, 1, 1),)): "remainder",
    Law(scale=((1, 1, 1),), sign=((1, 0, 1), (0, 1, 0))): "fmod",
    Law(scale=((1, 1, 0),), sign=((1, 1, 0),)): "floor_divide",
    Law(scale=((1, 1, 0),), sign=((1, 0, 1),)): "atan2 arctan2",
    Law(scale=((1, 1, 1),), sign=((1, 0, 0), (0, 1, 0))): "hypot",
    Law(scale=((1, 0, 1), (0, 1, 0)), sign=((1, 0, 0), (0, 1, 1))): "copysign",
    FIRST: "ldexp xlogy special_xlog1py polar",
    Law(scale=((1, 0, 0),)): "heaviside",
    Law(shift=((1, 1, 1),)): "logaddexp logaddexp2",
}


def pointwise(c: Constraints, values: Sequence[Value], law: Law) -> Value:
    """A function of the entries of values, broadcast, none of which matrices may mix.

    Args:
        c: takes the statements.
        values: the arguments.
        law: what passes; a law for fewer arguments lets nothing of the others pass.

    Returns:
        The result.
    """
    for value in values:
        axes.unmixed(c, value)
        axes.settle(c, value)
    channels = (law.scale, law.sign, law.shift)
    result = axes.met(c, values, [_padded(g, len(values)) for g in channels])
    return replace(result, zero=law.keeps_zero and all(value.zero for value in values))


def _padded(generators: Generators, count: int) -> list[tuple[int, ...]]:
    return [(*g[:-1], *(0,) * (count + 1 - len(g)), g[-1]) for g in generators]


def as_value(x: Any) -> Value:
    """A number as a value; one that depends on lengths may be any."""
    if isinstance(x, Value):
        return x
    return Value(()) if axes.is_open(x) else axes.constant(torch.as_tensor(x))


def _rule_of(law: Law) -> Any:
    """What is given before the first setting by name; numbers count as arguments of two."""
    count = max((len(g) - 1 for g in (*law.scale, *law.sign, *law.shift)), default=1)

    def apply(c: Constraints, *given: Any, **_: Any) -> Value:
        tensors = [x for n, x in enumerate(given) if isinstance(x, Value) or n < count]
        return pointwise(c, [as_value(x) for x in tensors], law)

    return apply


for _law, _names in LAWS.items():
    rule(*(f"aten::{name}" for name in _names.split()))(_rule_of(_law))
del _law, _names
for _name in ("expit", "exp2", "expm1", "log1p", "logit", "round", "sinc", "erf", "erfc", "erfinv"):
    RULES[f"aten::special_{_name}"] = RULES[f"aten::{'sigmoid' if _name == 'expit' else _name}"]
