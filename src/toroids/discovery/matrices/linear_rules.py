"""What operators do with sparse linear maps; those that are not here end them.

Every rule takes the walk, the operator, and its arguments: known numbers as they are, all else as
the walk holds it. It gives the result, or None where the operator reads what it is given as a
whole.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, fx

from toroids.discovery.matrices import maps, squares
from toroids.discovery.matrices.linear_values import Known, Later, Rule, Unknown, Walk, Weight
from toroids.discovery.matrices.maps import TOKENS, Holder, Map, Squares
from toroids.discovery.matrices.meeting import meet
from toroids.discovery.tracing.operators import narrows


def _known(x: Any) -> bool:
    return isinstance(x, Tensor | bool | int | float | complex)


def _tensor(x: Any) -> Tensor:
    return x if isinstance(x, Tensor) else torch.tensor(x, dtype=torch.float64)


def _moving(walk: Walk, node: fx.Node, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """Moves entries, by an operator that takes one value and numbers."""
    value = walk.as_map(args[0])
    if value is None:
        return None

    def move(x: Tensor) -> Any:
        return node.target(x, *args[1:], **kwargs)  # type: ignore[operator]

    moved = [(move(ids), move(numbers)) for ids, numbers in value.terms]
    if isinstance(moved[0][0], Tensor):
        return Map(tuple(moved), value.buffers)
    return [
        Map(tuple((ids[i], numbers[i]) for ids, numbers in moved), value.buffers)
        for i in range(len(moved[0][0]))
    ]


def _turning(walk: Walk, node: fx.Node, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """Changes the order of axes; a weight stays one."""
    if not isinstance(args[0], Weight):
        return _moving(walk, node, args, kwargs)
    marked = torch.empty([axis + 1 for axis in args[0].axes], device="meta")  # told by its length
    moved = node.target(marked, *args[1:], **kwargs)  # type: ignore[operator]
    return replace(args[0], axes=tuple(length - 1 for length in moved.shape))


def _same(walk: Walk, node: fx.Node, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """Casts among real types that round no weights, and what only looks."""
    kind = node.meta["val"].dtype
    same = (kind.is_floating_point or kind.is_complex) and not isinstance(args[0], Unknown)
    rounded = not isinstance(args[0], Known) and narrows(node, walk.finest)
    return args[0] if same and not rounded else None


def _dropout(walk: Walk, node: fx.Node, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    return args[0] if len(args) > 2 and (not args[2] or not args[1]) else None


def _neg(walk: Walk, node: fx.Node, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    value = walk.as_map(args[0])
    return None if value is None else value.times(torch.tensor(-1.0))


def _mul(walk: Walk, node: fx.Node, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    a, b = args[:2]
    if _known(a):
        a, b = b, a
    if _known(b):
        value = walk.as_map(a)
        return None if value is None else value.times(_tensor(b))
    if a is b and (value := walk.as_map(a)) is not None:
        return Squares(value)
    return scaled(walk, node, a, b) or scaled(walk, node, b, a) or _stretched(walk, node, a, b)


def _stretched(walk: Walk, node: fx.Node, a: Any, b: Any) -> Map | Later | None:
    """The product of a map with a value of which nothing is known."""
    number = 0 if isinstance(a, Unknown) else 1
    if not isinstance((a, b)[number], Unknown):
        return None
    return squares.stretched(walk, node, (b, a)[number], walk.shape(node.args[number]))  # type: ignore[arg-type]


def scaled(walk: Walk, node: fx.Node, gain: Any, other: Any) -> Later | None:
    """The product of a gain with whatever it multiplies."""
    value, features = (
        walk.as_map(gain) if not isinstance(gain, Later) else None,
        walk.meetings.features,
    )
    if value is None or not isinstance(other, Map | Later | Unknown):
        return None
    holders = {features.holder(f) for f in value.features.tolist()}
    if len(holders) != 1:
        return None
    (holder,) = holders
    if not holder.single or not holder.turns:
        return None
    walk.use(other)
    new, shape = replace(holder, turns=False), walk.shape(node)

    def make() -> Map:
        count = math.prod(shape)
        uses = (torch.arange(count) + walk.tokens(count)).view(shape)
        shift = features.of(new) - features.of(holder)
        terms = [
            ((((ids >> TOKENS) + shift) << TOKENS).expand(shape) + uses, numbers.expand(shape))
            for ids, numbers in value.terms
        ]
        return Map(tuple(terms), value.buffers)

    return Later((new,), make)


def _div(walk: Walk, node: fx.Node, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    if isinstance(args[1], Unknown) and not kwargs.get("rounding_mode"):
        return _stretched(walk, node, args[0], args[1])
    value = walk.as_map(args[0])
    if value is None or not _known(args[1]) or kwargs.get("rounding_mode"):
        return None
    return value.times(1 / _tensor(args[1]))


def _add(walk: Walk, node: fx.Node, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    return _sum(walk, args[0], args[1], kwargs.get("alpha", 1))


def _sub(walk: Walk, node: fx.Node, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    return _sum(walk, args[0], args[1], -kwargs.get("alpha", 1))


def _sum(walk: Walk, a: Any, b: Any, factor: float) -> Any:
    if _known(a) or _known(b):
        known, other = (a, b) if _known(a) else (b, a)
        return _offset(walk, other, known) if factor == 1 else None
    first, second = walk.as_map(a), walk.as_map(b)
    if isinstance(a, Unknown) or isinstance(b, Unknown) or first is None or second is None:
        return None
    return maps.added([first, second.times(_tensor(factor))])


def _offset(walk: Walk, value: Any, known: Any) -> Any:
    """A number that is added: zero, or the one of a gain 1 + w."""
    given = _tensor(known)
    if not bool(given.any()):
        return walk.as_map(value)
    if isinstance(value, Weight) and given.numel() == 1 and not given.is_complex():
        holder = replace(value.entries, offset=float(given))
        ids = walk.as_map(value)
        if ids is not None:
            features = walk.meetings.features
            shift = (features.of(holder) - features.of(value.entries)) << TOKENS
            return Map(tuple((i + shift, c) for i, c in ids.terms))
    return None


def _cat(walk: Walk, node: fx.Node, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    found = [_or_zeros(walk, x) for x in args[0]]
    parts = [part for part in found if part is not None]
    if len(parts) < len(found):
        return None
    return maps.joined(parts, lambda xs: node.target(xs, *args[1:], **kwargs))  # type: ignore[operator]


def _scatter(walk: Walk, node: fx.Node, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """Writes one value into another."""
    whole, part = (_or_zeros(walk, x) for x in args[:2])
    if whole is None or part is None:
        return None
    return maps.joined([whole, part], lambda xs: node.target(*xs, *args[2:], **kwargs))  # type: ignore[operator]


def _copy(walk: Walk, node: fx.Node, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """A value in the place of another one, of whose entries nothing is left."""
    value, shape = walk.as_map(args[1]), walk.shape(node)
    return None if value is None else value.each(lambda x: x.expand(shape))


def _or_zeros(walk: Walk, x: Any) -> Map | None:
    zeros = isinstance(x, Tensor) and not bool(x.any())
    return maps.nothing(x.shape) if zeros else walk.as_map(x)


def _shaped(walk: Walk, node: fx.Node, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """Numbers that depend on the shape of a value only."""
    like = torch.zeros(walk.shape(node.args[0]), dtype=torch.float64)  # type: ignore[arg-type]
    value = node.target(like, *args[1:], **{**kwargs, "dtype": torch.float64, "device": "cpu"})  # type: ignore[operator]
    return Known(value.zero_() if "empty" in str(node.target) else value)


def _pad(walk: Walk, node: fx.Node, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    numbers = [x for x in [*args[2:], *kwargs.values()] if isinstance(x, int | float)]
    return None if any(numbers) else _moving(walk, node, args, kwargs)


def _where(walk: Walk, node: fx.Node, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """Entries of one of two values; of which one may be zero."""
    mask, a, b = args
    kept = []
    for x, where in ((a, mask), (b, ~mask)):
        if _known(x) and not bool(_tensor(x).any()):
            continue
        value = walk.as_map(x)
        if value is None:
            return None
        kept.append(value.times(where.double()))
    return maps.added(kept) if kept else None


def _filled(walk: Walk, node: fx.Node, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    value = walk.as_map(args[0])
    if value is None or not _known(args[2]) or bool(_tensor(args[2]).any()):
        return None
    return value.times((~args[1]).double())


def _as_complex(walk: Walk, node: fx.Node, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    value = walk.as_map(args[0])
    return None if value is None else maps.as_complex(value)


def _as_real(walk: Walk, node: fx.Node, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    value = walk.as_map(args[0])
    return None if value is None else maps.as_real(value)


def _of_numbers(function: Callable[[Tensor], Tensor]) -> Rule:
    """A rule that changes the numbers only, as those of a complex value."""

    def rule(walk: Walk, node: fx.Node, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        value = walk.as_map(args[0])
        if value is None:
            return None
        terms = [(ids, function(c.to(torch.complex128))) for ids, c in value.terms]
        return Map(tuple(terms), value.buffers)

    return rule


def _complex(walk: Walk, node: fx.Node, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    real, imaginary = (walk.as_map(x) for x in args)
    if real is None or imaginary is None:
        return None
    return maps.added([real, imaginary.times(torch.tensor(1j, dtype=torch.complex128))])


def _layer_norm(walk: Walk, node: fx.Node, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """What follows the gain of a norm, and the bias that is added to it."""
    gain, bias = (*args[2:], None, None)[:2]
    if operator_name_is_rms(node):
        bias = None
    if gain is None and operator_name_is_rms(node):
        return squares.normalized(walk, node, args[0], args[1])
    if not isinstance(gain, Weight):
        return None
    found = scaled(walk, node, gain, Unknown())
    if found is None:
        return None
    walk.use(args[0])
    result = _biased(walk, found, bias)
    if result is None:
        walk.use(found)
    return result


def operator_name_is_rms(node: fx.Node) -> bool:
    """Whether a norm takes a gain only."""
    return "rms_norm" in str(node.target)


def _linear(walk: Walk, node: fx.Node, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    x, weight, bias = (*args, None)[:3]
    rank = len(node.args[0].meta["val"].shape)  # type: ignore[union-attr]
    lead = LETTERS[: rank - 1]
    return _biased(walk, rows(walk, node, weight, "ZX", lead + "X", lead + "Z", x), bias)


def _addmm(walk: Walk, node: fx.Node, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    bias, x, weight = args
    if kwargs.get("beta", 1) != 1 or kwargs.get("alpha", 1) != 1:
        return None
    return _biased(walk, rows(walk, node, weight, "XZ", "aX", "aZ", x), bias)


def _biased(walk: Walk, product: Later | None, bias: Any) -> Any:
    if product is None or bias is None:
        return product
    if not isinstance(bias, Weight):
        return None

    def make() -> Map:
        added = walk.as_map(bias)
        if added is None:
            raise ValueError("a bias too large to be followed")
        return maps.added([product.make(), added])

    return Later((*product.holders, bias.entries), make)


LETTERS = "abcdefghijklmnopqrstuvw"


def rows(
    walk: Walk, node: fx.Node, weight: Any, own: str, others: str, out: str, other: Any
) -> Later | None:
    """The product of a weight with whatever it reads: every row of it times that.

    Args:
        walk: the walk.
        node: the operator.
        weight: the weight.
        own: a letter for each of its axes.
        others: for those of what it reads.
        out: for those of the result.
        other: what it reads.

    Returns:
        The product, None where there is no weight.
    """
    if not isinstance(weight, Weight) or len(own) != len(weight.shape):
        return None
    by_axis = {axis: letter for letter, axis in zip(own, weight.axes, strict=True)}
    dims = tuple(axis for axis in sorted(by_axis) if by_axis[axis] in out)
    if not dims or len(dims) == len(weight.shape):
        return None
    holder, shape = Holder(weight.name, dims, weight.shape), walk.shape(node)
    lengths = dict(zip(out, shape, strict=True))

    def numbered(letters: str, first: int) -> Tensor:
        """Numbers for all choices of some letters, as they lie in the result."""
        sizes = [lengths[letter] for letter in letters]
        numbers = torch.arange(math.prod(sizes)).view(sizes) + first
        order = sorted(range(len(letters)), key=lambda i: out.index(letters[i]))
        placed = numbers.permute(order)
        return placed.reshape([n if x in letters else 1 for x, n in lengths.items()])

    def make() -> Map:
        features = "".join(by_axis[axis] for axis in dims)
        uses = "".join(x for x in out if x in others)
        first = walk.meetings.features.of(holder)
        start = walk.tokens(math.prod(lengths[x] for x in uses))
        ids = (numbered(features, first) << TOKENS) + numbered(uses, start)
        return maps.single_term(ids.expand(shape))

    walk.use(other)
    return Later((holder,), make)


def _product(walk: Walk, node: fx.Node, a: Any, b: Any, equation: tuple[str, str, str]) -> Any:
    """A contraction of two values: rows of a weight, or maps that meet."""
    first, second, out = equation
    if isinstance(a, Weight) != isinstance(b, Weight):
        if isinstance(a, Weight):
            return rows(walk, node, a, first, second, out, b)
        return rows(walk, node, b, second, first, out, a)
    if isinstance(a, Weight):
        return None
    return meet(walk, walk.as_map(a), walk.as_map(b), equation)


def _matmul(walk: Walk, node: fx.Node, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    ranks = [len(x.meta["val"].shape) for x in node.args[:2]]  # type: ignore[union-attr]
    return _product(walk, node, args[0], args[1], _batched(*ranks))


def _baddbmm(walk: Walk, node: fx.Node, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    walk.use(args[0])
    return _product(walk, node, args[1], args[2], _batched(3, 3))


def _batched(first: int, second: int) -> tuple[str, str, str]:
    """The equation of a matrix product over the last axes, the first ones aligned at their ends."""
    if min(first, second) < 2:
        raise ValueError("a product with a vector")
    lead = LETTERS[: max(first, second) - 2]
    return lead[len(lead) - first + 2 :] + "XY", lead[len(lead) - second + 2 :] + "YZ", lead + "XZ"


def _einsum(walk: Walk, node: fx.Node, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    equation, operands = args[:2]
    inputs, arrow, out = equation.replace(" ", "").partition("->")
    terms = inputs.split(",")
    if len(operands) != 2 or not arrow or "." in equation:
        return None
    if any(len(set(term)) < len(term) for term in terms):
        return None
    return _product(walk, node, operands[0], operands[1], (terms[0], terms[1], out))


def _attention(walk: Walk, node: fx.Node, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    query, key, value, *others = args
    walk.use(value, others, {k: v for k, v in kwargs.items() if k != "scale"})
    q, k = walk.as_map(query), walk.as_map(key)
    if q is None or k is None:
        walk.use(query, key)
        return Unknown()
    if kwargs.get("enable_gqa"):
        times = q.shape[-3] // k.shape[-3]
        k = k.each(lambda x: x.repeat_interleave(times, -3))
    lead = LETTERS[: len(q.shape) - 2]
    return meet(walk, q, k, (lead + "XY", lead + "ZY", lead + "XZ"))


MOVING = (
    "view", "reshape", "_unsafe_view", "slice", "select", "split", "split_with_sizes", "chunk",
    "unbind", "expand", "repeat", "unsqueeze", "squeeze", "flatten", "unflatten",
    "index_select", "repeat_interleave", "narrow", "roll", "flip", "tile", "tensor_split",
    "unsafe_split", "unsafe_chunk", "index", "gather", "unfold", "diagonal", "broadcast_to",
    "ravel",
)  # fmt: skip
SHAPED = (
    "new_empty", "new_zeros", "new_ones", "new_full", "empty_like", "zeros_like", "ones_like",
    "full_like",
)  # fmt: skip
AXES = ("t", "transpose", "permute", "numpy_T", "mT", "movedim", "moveaxis", "swapaxes", "swapdims")
RULES: dict[str, Rule] = {
    **dict.fromkeys(MOVING, _moving),
    **dict.fromkeys(AXES, _turning),
    **dict.fromkeys(("to", "_to_copy", "clone", "alias", "detach", "detach_", "contiguous",
                     "lift_fresh_copy", "type_as", "resolve_conj"), _same),
    **dict.fromkeys(("dropout", "dropout_"), _dropout),
    "neg": _neg, "mul": _mul, "div": _div, "add": _add, "sub": _sub, "cat": _cat, "concat": _cat,
    "stack": _cat, "constant_pad_nd": _pad, "pad": _pad, "where": _where, "masked_fill": _filled,
    "view_as_complex": _as_complex, "view_as_real": _as_real, "complex": _complex,
    "copy": _copy, "slice_scatter": _scatter, "select_scatter": _scatter,
    **dict.fromkeys(SHAPED, _shaped),
    "real": _of_numbers(torch.real), "imag": _of_numbers(torch.imag),
    "conj": _of_numbers(torch.conj_physical), "_conj": _of_numbers(torch.conj_physical),
    "layer_norm": _layer_norm, "rms_norm": _layer_norm, "linear": _linear, "addmm": _addmm,
    "matmul": _matmul, "mm": _matmul, "bmm": _matmul, "baddbmm": _baddbmm, "einsum": _einsum,
    "scaled_dot_product_attention": _attention, **squares.RULES,
}  # fmt: skip
