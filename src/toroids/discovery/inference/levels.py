"""Which entries of a value may be equal: what chooses among them by size then takes the first.

A permutation moves what is chosen among entries that differ. Where some are equal by design, as all
that a ReLU cuts off, or that a zero multiplies, their places decide, and no permutation passes.
Sums, products, linear maps and functions that are flat nowhere keep apart what differs; any other
operator is taken to make numbers equal.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, fx
from torch.utils._pytree import tree_leaves

from toroids.discovery.axes import Level, Value, is_open, varied, wide
from toroids.discovery.rules.elementwise import LOWEST
from toroids.discovery.tracing.operators import short_name

Axes = frozenset[int]  # counted from the end
NONE: Axes = frozenset()
EVERY: Axes = frozenset(range(-64, 0))

# Functions of single entries, which keep apart what differs; these also keep what is zero.
KEEPS_ZERO = frozenset(
    "neg abs sqrt square sin tan tanh asin atan sinh asinh atanh erf erfinv gelu silu mish elu "
    "celu selu leaky_relu softsign tanhshrink expm1 log1p nan_to_num positive to _to_copy type_as "
    "clone contiguous detach alias dropout lift_fresh_copy cumsum".split()
)
ENTRYWISE = KEEPS_ZERO | frozenset(
    "exp exp2 log log2 log10 rsqrt reciprocal sigmoid cos acos cosh acosh erfc sinc lgamma digamma "
    "softplus log_sigmoid softmax _softmax _safe_softmax log_softmax _log_softmax pow".split()
)
COPIES = frozenset("clone contiguous detach alias to _to_copy dropout lift_fresh_copy".split())
# What lays entries along other axes, each once.
RESHAPING = frozenset(
    "view reshape _unsafe_view flatten unflatten unsqueeze squeeze view_as reshape_as ravel".split()
)
TAKING = frozenset(
    "slice narrow split split_with_sizes chunk unsafe_split unsafe_chunk tensor_split flip roll "
    "expand expand_as broadcast_to".split()
)
LAYING = frozenset(
    "select unbind stack movedim moveaxis swapaxes swapdims numpy_T view_as_complex "
    "view_as_real".split()
)
REPEATING = {"repeat", "tile", "repeat_interleave"}
PICKING = {"index_select", "gather", "index"}
TURNING = {"transpose", "permute", "t", "mT", "adjoint"}
BOUNDED = {"clamp", "clip", "clamp_min", "clamp_max", "hardtanh"}
CANCELLING = {"add", "sub", "div"}
SLOPED = {"leaky_relu", "elu", "celu"}  # flat below zero where their first number is zero
# Functions of many entries: what they give is equal only where some of what they are given is.
OF_MANY = frozenset(
    "matmul mm bmm mv dot einsum addmm addmv baddbmm bilinear linear conv1d conv2d conv3d "
    "conv_transpose1d conv_transpose2d conv_transpose3d convolution sum mean amax amin median "
    "nanmedian kthvalue mode topk sort msort logsumexp std var std_mean var_mean norm prod "
    "linalg_vector_norm layer_norm rms_norm batch_norm group_norm instance_norm avg_pool1d "
    "avg_pool2d avg_pool3d adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d "
    "scaled_dot_product_attention lstm gru rnn_tanh rnn_relu glu lerp addcmul addcdiv atan2 hypot "
    "remainder fmod prelu _prelu_kernel cumprod logcumsumexp cdist _cdist_forward index_add "
    "index_copy scatter_add _grouped_mm grouped_mm_fallback _fft_r2c _fft_c2c _fft_c2r real imag "
    "logaddexp".split()
)


def with_levels(node: fx.Node, arguments: Sequence[Any], result: Any) -> Any:
    """Notes of what an operator gives which entries may be equal.

    Args:
        node: the operator.
        arguments: what it is given in order, values in the place of tensors.
        result: a value, or several.

    Returns:
        The result.
    """
    kinds = [x.dtype for x in tree_leaves(node.meta.get("val")) if isinstance(x, Tensor)]
    found = [
        replace(value, level=_found(node, arguments, value, kind))
        for value, kind in zip(tree_leaves(result), kinds, strict=True)
    ]
    return found if isinstance(result, list | tuple) else found[0]


def level_of(x: Any) -> Level | None:
    """Which entries of a value, or of a number, may be equal; None where they differ."""
    if not isinstance(x, Value):
        return Level("", x == 0 and not is_open(x))
    if x.level is not None:
        return x.level
    if x.held is None and x.tensor is not None:
        return Level("", bool((x.tensor == 0).any()))
    return Level("", True) if x.held is not None or x.zero else None


def apart(x: Any) -> Axes:
    """The axes of a value along which its entries differ, counted from the end."""
    level = level_of(x)
    return varied(x) if level is None else level.apart


def _zero(x: Any) -> bool:
    level = level_of(x)
    return level is not None and level.zero


def _found(
    node: fx.Node, arguments: Sequence[Any], value: Value, kind: torch.dtype
) -> Level | None:
    name = short_name(node).removesuffix("_")
    given = [x for x in tree_leaves(list(arguments)) if isinstance(x, Value)]
    chosen = [x for x in given if not x.mask] or given
    by = next((level.by for x in chosen if (level := level_of(x)) and level.by), name)
    whole = not (kind.is_floating_point or kind.is_complex)
    if whole or value.zero or _cancels(node, name):
        return Level(by, whole or value.zero or name in ("add", "sub"))
    known = level_of(arguments[0]) if name in COPIES or name == "relu" else None
    if known is None and name == "relu":
        return Level(by, True, positive=True)
    if known is not None and known.positive and name in COPIES:
        return known
    rule = RULES.get(name)
    if rule is None or node.kwargs.get("rounding_mode") is not None:
        return Level(name, True)
    try:
        return _made(by, value, *rule(value, arguments, given))
    except Exception:  # whatever it is: then nothing is known
        return Level(name, True)


def _made(by: str, value: Value, along: Axes, zero: bool) -> Level | None:
    here = varied(value)
    return Level(by, zero, along & here) if zero or not here <= along else None


def with_level_of_either(value: Value, parts: Sequence[Value], by: str) -> Value:
    """Notes of one of several values, none of which is known to be it, which entries may be equal.

    Args:
        value: one of them.
        parts: what it may be.
        by: the operator that chooses.

    Returns:
        The value.
    """
    return replace(value, level=_made(by, value, *_choice(value, (), parts)))


def _cancels(node: fx.Node, name: str) -> bool:
    """Whether an operator makes a number of whatever it is given: h - h, h + -h, h / h, h^0."""
    if name == "pow" or name in SLOPED:
        return len(node.args) > 1 and node.args[1] in (0, 0.0)
    if name not in CANCELLING or len(node.args) < 2:
        return False
    (one, positive), (other, same) = map(source_of, node.args[:2])
    return one is other and (name == "div" or (positive == same) == (name == "sub"))


def source_of(x: Any) -> tuple[Any, bool]:
    """Of what a value is a copy, and whether with the same sign."""
    positive = True
    while isinstance(x, fx.Node) and x.op == "call_function" and short_name(x) in COPIES | {"neg"}:
        positive ^= short_name(x) == "neg"
        x = x.args[0]
    return (x if isinstance(x, fx.Node) else object()), positive


# For what an operator gives: the axes along which its entries differ, and whether some are zero.
Rule = Callable[[Value, Sequence[Any], Sequence[Value]], tuple[Axes, bool]]


def _sum(_: Value, arguments: Sequence[Any], __: Any) -> tuple[Axes, bool]:
    a, b = arguments[:2]
    return apart(a) | apart(b), _zero(a) and _zero(b)


def _product(_: Value, arguments: Sequence[Any], __: Any) -> tuple[Axes, bool]:
    a, b = arguments[:2]
    zero = _zero(a) or _zero(b)
    return (NONE, True) if zero else (apart(a) | apart(b), False)


def _choice(value: Value, arguments: Sequence[Any], given: Sequence[Any]) -> tuple[Axes, bool]:
    """One of several."""
    return EVERY.intersection(*map(apart, given)), any(map(_zero, given))


def _where(value: Value, arguments: Sequence[Any], _: Any) -> tuple[Axes, bool]:
    mask, *parts = arguments[:3]
    return _choice(value, (), [x for x in parts if mask.held is not None or not _lowest(x)])


def _lowest(x: Any) -> bool:
    """Whether a number is so low that it is chosen only where a buffer fills all with it."""
    numbers = x.tensor if isinstance(x, Value) else torch.as_tensor(x)
    return numbers is not None and bool((numbers <= LOWEST).all())


def _filled(value: Value, arguments: Sequence[Any], _: Any) -> tuple[Axes, bool]:
    x, mask, number = arguments[:3]
    return _where(value, (mask, x, number), ())


def _extreme(value: Value, arguments: Sequence[Any], given: Sequence[Value]) -> tuple[Axes, bool]:
    """The larger of two, or the largest of many."""
    return (_choice if len(given) > 1 else _of_many)(value, arguments, given)


def _bounded(_: Value, arguments: Sequence[Any], given: Sequence[Value]) -> tuple[Axes, bool]:
    bounds = arguments[1:]
    return NONE, any(b == 0 for b in bounds if not isinstance(b, Value)) or any(map(_zero, given))


def _laid(value: Value, arguments: Any, given: Sequence[Value]) -> tuple[Axes, bool]:
    """Entries along other axes, or some of them: where they differ along all, they do after it."""
    every = all(apart(x) >= wide(x) for x in given)
    return EVERY if every else NONE, any(map(_zero, given))


def _picked(value: Value, arguments: Any, given: Sequence[Value]) -> tuple[Axes, bool]:
    """The same, where numbers say which; nothing is known of those that come twice."""
    x, *numbers = given
    known = [n.tensor if n.held is None else n.held.numbers() for n in numbers]
    twice = any(n is not None and len(set(n.flatten().tolist())) < n.numel() for n in known)
    return NONE if twice else _laid(value, arguments, [x])[0], _zero(x)


def _repeated(value: Value, arguments: Any, _: Any) -> tuple[Axes, bool]:
    x = arguments[0]
    same = {k for k in apart(x) if x.shape[k] == value.shape[k]} if value.axes else set()
    return frozenset(same), _zero(x)


def _entrywise(keeps_zero: bool) -> Rule:
    def rule(_: Value, arguments: Sequence[Any], __: Any) -> tuple[Axes, bool]:
        return apart(arguments[0]), keeps_zero and _zero(arguments[0])

    return rule


def _power(_: Value, arguments: Sequence[Any], given: Sequence[Value]) -> tuple[Axes, bool]:
    return (apart(given[0]) if given[0] is arguments[0] else NONE), any(map(_zero, given))


def _reshaped(value: Value, arguments: Sequence[Any], _: Any) -> tuple[Axes, bool]:
    """Parts of an axis tell its entries apart where the whole does."""
    x, found = arguments[0], set()
    if apart(x) >= wide(x):
        return EVERY, _zero(x)
    before, after = _steps(x.shape), _steps(value.shape)
    for axis in apart(x):
        size, step = x.shape[axis], before[axis]
        for k, other in enumerate(after):
            inside = other % step == 0 and (step * size) % (other * value.shape[k]) == 0
            found |= {k - len(after)} if inside and value.shape[k] > 1 else set()
    return frozenset(found), _zero(x)


def _steps(shape: Sequence[int]) -> list[int]:
    steps = [1]
    for size in reversed(shape[1:]):
        steps.insert(0, steps[0] * max(size, 1))
    return steps[: len(shape)]


def _turned(value: Value, arguments: Sequence[Any], _: Any) -> tuple[Axes, bool]:
    x, *dims = arguments
    rank, told = len(value.axes), apart(x)
    order = list(range(-rank, 0))
    if len(dims) == 1:
        order = [d % rank - rank for d in dims[0]]
    else:
        one, two = (d % rank for d in dims or (-2, -1))
        order[one], order[two] = order[two], order[one]
    return frozenset(k - rank for k, old in enumerate(order) if old in told), _zero(x)


def _of_many(_: Value, __: Any, given: Sequence[Value]) -> tuple[Axes, bool]:
    levels = [level for x in given if (level := level_of(x)) is not None]
    return (NONE if levels else EVERY), any(level.zero for level in levels)


def _read(channel: int | None) -> Rule:
    """A linear map: rows of a matrix differ, and are seen to unless they read nothing but zeros."""

    def rule(value: Value, arguments: Sequence[Any], given: Sequence[Value]) -> tuple[Axes, bool]:
        x, weight, *rest = arguments
        bias = rest[0] if rest and isinstance(rest[0], Value) else None
        own = -1 if channel is None else channel - len(value.axes)
        told = bias is not None and level_of(bias) is None
        if level_of(x) is None or level_of(weight) is not None or len(given) > 3:
            return _of_many(value, arguments, given)
        return (frozenset({own}) if told or not _zero(x) else NONE), _zero(x) and bias is None

    return rule


def _addmm(value: Value, arguments: Sequence[Any], given: Sequence[Value]) -> tuple[Axes, bool]:
    bias, x, weight = arguments[:3]
    return _read(None)(value, (x, weight, bias), given)


def _rows(value: Value, arguments: Sequence[Any], given: Sequence[Value]) -> tuple[Axes, bool]:
    """Rows of a table, in which equal numbers pick the same."""
    level = level_of(arguments[0])
    own = frozenset({-1}) if level is None and level_of(given[-1]) is not None else NONE
    along, zero = _of_many(value, arguments, given)
    return along | own, zero and _zero(arguments[0])


RULES: dict[str, Rule] = {
    **dict.fromkeys(OF_MANY, _of_many),
    **dict.fromkeys(ENTRYWISE, _entrywise(False)),
    **dict.fromkeys((*KEEPS_ZERO, *TAKING), _entrywise(True)),
    **dict.fromkeys(RESHAPING, _reshaped),
    **dict.fromkeys(TURNING, _turned),
    **dict.fromkeys(("add", "sub", "rsub", "subtract"), _sum),
    **dict.fromkeys(("mul", "div", "multiply", "divide", "true_divide"), _product),
    **dict.fromkeys(("maximum", "minimum", "fmax", "fmin", "cat", "concat"), _choice),
    **dict.fromkeys(("max", "min"), _extreme),
    **dict.fromkeys(("ones", "ones_like", "new_ones"), lambda *_: (NONE, False)),
    **dict.fromkeys(BOUNDED, _bounded),
    **dict.fromkeys(LAYING, _laid),
    **dict.fromkeys(PICKING, _picked),
    **dict.fromkeys(REPEATING, _repeated),
    "where": _where,
    "masked_fill": _filled,
    "pow": _power,
    "embedding": _rows,
    **dict.fromkeys(("linear", "matmul", "mm"), _read(None)),
    **dict.fromkeys(("conv1d", "conv2d", "conv3d"), _read(1)),
    "addmm": _addmm,
}
