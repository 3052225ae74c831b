"""What an operator makes of what is added to the biases that it reads."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, fx
from torch.utils._pytree import tree_leaves

from toroids.discovery.axes import is_open
from toroids.discovery.inference.absorption.maps import RECURRENT, read, with_bias
from toroids.discovery.inference.absorption.run import Rule, Run
from toroids.discovery.inference.absorption.terms import (
    NOTHING,
    Added,
    Reader,
    Term,
    constant_along,
    expanded,
    merged,
    scaled,
)
from toroids.discovery.rules.elementwise import LOWEST
from toroids.discovery.tracing.operators import operator_name

# ---- rules: what an operator makes of what is added to its inputs ----


def _sum(run: Run, node: fx.Node) -> Added | None:
    name = operator_name(node)
    a, b = node.args[:2]
    alpha = run.number(node.kwargs.get("alpha", 1))
    if is_open(alpha):
        return None
    signs = (1.0, -alpha if "sub" in name else alpha)
    if name == "aten::rsub":
        signs = (-alpha, 1.0)
    shape = run.shape(node)
    terms: list[Term] = []
    hidden: list[tuple[Term, ...]] = []
    for given, sign in zip((a, b), signs, strict=True):
        value = run.values[given] if isinstance(given, fx.Node) else NOTHING
        if isinstance(value, Added):
            terms += expanded(scaled(value, float(sign)), shape)
            hidden += value.hidden
    return Added(merged(terms), tuple(hidden))


def _product(run: Run, node: fx.Node) -> Added | None:
    a, b = node.args[:2]
    divides = "div" in operator_name(node)
    if node.kwargs.get("rounding_mode") is not None:
        return None
    for given, other in ((a, b),) if divides else ((a, b), (b, a)):
        if isinstance(given, fx.Node) and isinstance(other, int | float) and other:
            value: Added = run.values[given]
            factor = 1 / other if divides else other
            return Added(merged(scaled(value, float(factor))), value.hidden)
    return None


def _negative(run: Run, node: fx.Node) -> Added | None:
    value: Added = run.values[node.args[0]]  # type: ignore[index]
    return Added(scaled(value, -1.0), value.hidden)


def _mean(run: Run, node: fx.Node) -> Added | None:
    given: Any = node.args[0]
    rank = len(run.shape(given))
    dims: Any = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim")
    dims = list(range(rank)) if dims is None else dims
    over = [int(d) % rank for d in (dims if isinstance(dims, list | tuple) else [dims])]
    return _kept_over(run, node, given, over)


def _kept_over(run: Run, node: fx.Node, given: fx.Node, over: Sequence[int]) -> Added | None:
    """A mean, or maximum, over axes along which all is the same."""
    value: Added = run.values[given]
    if value.hidden or not all(constant_along(term.index, over) for term in value.terms):
        return None
    shape = run.shape(node)
    terms = []
    for term in value.terms:
        index = term.index
        for axis in over:
            index = index.narrow(axis, 0, 1)
        if len(shape) < index.ndim:
            index = index.reshape([n for axis, n in enumerate(index.shape) if axis not in over])
        terms.append(replace(term, index=index.expand(shape)))
    return Added(tuple(terms))


def _pooled(run: Run, node: fx.Node) -> Added | None:
    name = operator_name(node)
    space = int(name[-2])
    given: Any = node.args[0]
    if "avg_pool" in name and "adaptive" not in name:
        padding = node.args[3] if len(node.args) > 3 else 0
        divisor = node.args[6] if len(node.args) > 6 else node.kwargs.get("divisor_override")
        if any(tree_leaves(padding)) or divisor is not None:
            return None
    rank = len(run.shape(given))
    return _kept_over(run, node, given, range(rank - space, rank))


def _softmax(run: Run, node: fx.Node) -> Added | None:
    args: Any = node.args
    given, dim, rank = args[0], args[1], len(run.shape(node))
    value: Added = run.values[given]
    last = int(dim) % max(rank, 1) == rank - 1
    if value.terms:
        run.values[given] = replace(value, hidden=())
        run.vanish(given)
    if not last:
        run.vanish_hidden([given])
    # a row of which all is masked is a row of zeros to the safe one
    return Added(adds_up=last and operator_name(node) in ("aten::softmax", "aten::_softmax"))


def _choice(run: Run, node: fx.Node) -> Added | None:
    """What takes the place of scores that a softmax does not look at."""
    name = operator_name(node)
    mask, kept, other = (
        node.args if name == "aten::where" else (node.args[1], node.args[0], node.args[2])
    )
    value = run.values[kept] if isinstance(kept, fx.Node) else NOTHING
    if isinstance(value, Added) and value.terms:
        return _one_of(run, node, (kept, other))
    if not isinstance(value, Added) or not value.hidden:
        return None
    number = run.known(other)
    if number is None or not bool((torch.as_tensor(number) <= LOWEST).all()):
        return None
    return Added((), value.hidden)


def _between(run: Run, node: fx.Node) -> Added | None:
    """Something between two values, as the larger of them."""
    return _one_of(run, node, node.args[:2])


def _lerp(run: Run, node: fx.Node) -> Added | None:
    a, b, weight = node.args[:3]
    if isinstance(weight, fx.Node):
        return _between(run, node)
    own, share = (run.values[a], run.values[b]), run.number(weight)  # type: ignore[index]
    terms = [*scaled(own[0], 1 - share), *scaled(own[1], share)]
    return Added(merged(expanded(terms, run.shape(node))), (*own[0].hidden, *own[1].hidden))


def _one_of(run: Run, node: fx.Node, parts: Sequence[Any]) -> Added | None:
    """To both of which the same is added."""
    values = [run.values[part] if isinstance(part, fx.Node) else NOTHING for part in parts]
    if len(values) < 2 or any(value.hidden or not value.terms for value in values):
        return None
    for other in node.all_input_nodes:
        if other not in parts:
            run.vanish(other)
    shape = run.shape(node)
    one, two = (expanded(value.terms, shape) for value in values)
    difference = merged([*one, *(replace(term, factor=-term.factor) for term in two)])
    run.equations += run.met(node, difference) if difference else []
    return Added(one)


def _linear(run: Run, node: fx.Node) -> Added | None:
    x, weight = node.args[:2]
    bias = node.args[2] if len(node.args) > 2 else node.kwargs.get("bias")
    return with_bias(
        run, read(run, x, weight, run.shape(node), transposed=True), bias, run.shape(node)
    )


def _addmm(run: Run, node: fx.Node) -> Added | None:
    if set(node.kwargs) & {"alpha", "beta"}:
        return None
    bias, x, weight = node.args[:3]
    return with_bias(
        run, read(run, x, weight, run.shape(node), transposed=False), bias, run.shape(node)
    )


def _matmul(run: Run, node: fx.Node) -> Added | None:
    a, b = node.args[:2]
    left, right = run.values[a], run.values[b]  # type: ignore[index]
    run.vanish_hidden([a, b])  # type: ignore[list-item]
    ranks = len(run.shape(a)), len(run.shape(b))  # type: ignore[arg-type]
    if left.terms and not right.terms:
        return read(run, a, b, run.shape(node), transposed=False)
    if not right.terms:
        return NOTHING
    run.vanish(a)  # type: ignore[arg-type]
    if min(ranks) > 1 and left.adds_up and _same_rows(right.terms, -2):
        return Added(expanded(_first_rows(right.terms), run.shape(node)))
    if min(ranks) > 1 and _same_rows(right.terms, -1):  # scores, to which each key adds the same
        return Added((), (right.terms,))
    return None


def _same_rows(terms: Sequence[Term], axis: int) -> bool:
    return all(constant_along(term.index, [term.index.ndim + axis]) for term in terms)


def _first_rows(terms: Sequence[Term]) -> tuple[Term, ...]:
    return tuple(replace(term, index=term.index.narrow(-2, 0, 1)) for term in terms)


def _looked_up(run: Run, node: fx.Node) -> Added | None:
    """Rows of a table, of which all are the same."""
    table, numbers = node.args[:2]
    value: Added = run.values[table]  # type: ignore[index]
    if any(term.width or not constant_along(term.index, [0]) for term in value.terms):
        return None
    run.vanish(numbers)  # type: ignore[arg-type]
    first = [replace(term, index=term.index.narrow(0, 0, 1)) for term in value.terms]
    shape = run.shape(node)
    rows = [replace(t, index=t.index.view(*[1] * (len(shape) - 1), -1)) for t in first]
    return Added(expanded(rows, shape))


def _attention(run: Run, node: fx.Node) -> Added | None:
    query, key, value = node.args[:3]
    settings = dict(node.kwargs)
    for name, given in zip(("attn_mask", "dropout_p", "is_causal"), node.args[3:], strict=False):
        settings[name] = given
    mask = settings.get("attn_mask")
    run.vanish(query)  # type: ignore[arg-type]
    run.vanish_hidden([key, value])  # type: ignore[list-item]
    if not _same_rows(run.values[key].terms, -2):  # type: ignore[index]
        run.vanish(key)  # type: ignore[arg-type]
    if isinstance(mask, fx.Node):
        run.vanish(mask)
    terms = run.values[value].terms  # type: ignore[index]
    if not terms:
        return NOTHING
    if settings.get("dropout_p", 0.0) or not _same_rows(terms, -2) or not _shows_keys(run, mask):
        run.vanish(value)  # type: ignore[arg-type]
        return NOTHING
    first = _first_rows(expanded(terms, run.shape(value)))  # type: ignore[arg-type]
    shape = run.shape(node)
    if settings.get("enable_gqa"):
        times = shape[-3] // first[0].index.shape[-3]
        first = tuple(replace(t, index=t.index.repeat_interleave(times, -3)) for t in first)
    return Added(expanded(first, shape))


def _shows_keys(run: Run, mask: Any) -> bool:
    """Whether a mask leaves every query a key; a query without any gets zeros."""
    if mask is None:
        return True
    known = run.known(mask)
    if not isinstance(known, Tensor):
        return False
    shown = known if known.dtype == torch.bool else known > -torch.inf
    return bool(shown.any(dim=-1).all())


def _convolution(run: Run, node: fx.Node) -> Added | None:
    args: Any = node.args
    x, weight = args[:2]
    names = [a.name for a in node.target._schema.arguments]  # type: ignore[union-attr]
    given = {**dict(zip(names, args, strict=False)), **node.kwargs}
    bias = given.get("bias")
    rank = len(run.shape(weight))
    run.vanish(weight)
    run.vanish_hidden([x])
    padding = given.get("padding", 0)
    padded = padding != "valid" if isinstance(padding, str) else any(tree_leaves(padding))
    plain = not padded and given.get("groups", 1) == 1 and not given.get("transposed", False)
    plain = plain and len(run.shape(x)) == rank and "transpose" not in operator_name(node)
    shape = run.shape(node)
    found: list[Term] = []
    source = run.program.sources.get(weight.name) if weight.op == "placeholder" else None
    value: Added = run.values[x]
    others = [axis for axis in range(len(shape)) if axis != 1]
    plain = plain and source is not None and source.kind == "parameter"
    if value.terms and not (plain and all(constant_along(t.index, others) for t in value.terms)):
        run.vanish(x)
    for term in run.values[x].terms:
        assert source is not None  # else what is added has just been told to vanish
        routing = term.index.expand(run.shape(x)).movedim(1, 0).flatten(1)[:, 0]
        reader = Reader(source.name, 1, 0, tuple(routing.tolist()))
        index = torch.arange(shape[1], dtype=torch.int32).view(-1, *[1] * (rank - 2)).expand(shape)
        found.append(Term(term.source, (*term.word, reader), term.factor, index))
    return _on_channels(run, node, found, bias, rank - 2)


def _on_channels(run: Run, node: fx.Node, found: Sequence[Term], bias: Any, behind: int) -> Added:
    """Adds a bias whose entries lie along an axis with `behind` others behind it."""
    shape = run.shape(node)
    for term in run.values[bias].terms if isinstance(bias, fx.Node) else ():
        index = term.index.view(-1, *[1] * behind).expand(shape)
        found = [*found, replace(term, index=index)]
    return Added(merged(found))


def _norm(position: int, channels: bool) -> Callable[[Run, fx.Node], Added | None]:
    """A norm, whose bias is the argument at a position."""

    def rule(run: Run, node: fx.Node) -> Added | None:
        names = [a.name for a in node.target._schema.arguments]  # type: ignore[union-attr]
        bias = (
            node.args[position] if len(node.args) > position else node.kwargs.get(names[position])
        )
        for given in node.all_input_nodes:
            if given is not bias:
                run.vanish(given)
        if channels:
            return _on_channels(run, node, [], bias, len(run.shape(node)) - 2)
        terms = run.values[bias].terms if isinstance(bias, fx.Node) else ()
        return Added(expanded(terms, run.shape(node)))

    return rule


RULES: dict[str, Rule] = {
    **dict.fromkeys(("aten::add", "aten::sub", "aten::rsub"), _sum),
    **dict.fromkeys(("aten::mul", "aten::div", "aten::true_divide"), _product),
    "aten::neg": _negative,
    "aten::mean": _mean,
    **{
        f"aten::{kind}_pool{n}d": _pooled
        for kind in ("avg", "adaptive_avg", "max")
        for n in (1, 2, 3)
    },
    **dict.fromkeys(("aten::softmax", "aten::_softmax", "aten::_safe_softmax"), _softmax),
    **dict.fromkeys(("aten::where", "aten::masked_fill"), _choice),
    "aten::lerp": _lerp,
    **dict.fromkeys(("aten::maximum", "aten::minimum"), _between),
    **dict.fromkeys(("aten::max", "aten::min", "aten::fmax", "aten::fmin"), _between),
    **RECURRENT,
    "aten::linear": _linear,
    "aten::addmm": _addmm,
    **dict.fromkeys(("aten::matmul", "aten::mm", "aten::bmm"), _matmul),
    "aten::scaled_dot_product_attention": _attention,
    "aten::embedding": _looked_up,
    **dict.fromkeys((f"aten::conv{n}d" for n in (1, 2, 3)), _convolution),
    **dict.fromkeys((f"aten::conv_transpose{n}d" for n in (1, 2, 3)), _convolution),
    "aten::layer_norm": _norm(3, channels=False),
    "aten::batch_norm": _norm(2, channels=True),
    "aten::group_norm": _norm(3, channels=True),
    "aten::instance_norm": _norm(2, channels=True),
}
