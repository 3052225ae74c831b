"""Whether what a sign looks at can ever be exactly zero, where flipping a unit is no symmetry.

The sign of the library has no zero: +1 stands for a sum that cancels, whichever way its terms were
flipped. A sum of an odd number of odd integers never cancels; neither does one that a learned real
threshold moves, as almost no threshold hits it. Nothing else is taken for granted. What is known of
every value is computed once per operator, in their order.
"""

import math
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import torch
from torch import Tensor, fx

from toroids.binary.sign import OPERATOR
from toroids.discovery.tracing.operators import SIGNS, attribute, body, is_in_place, operator_name
from toroids.discovery.tracing.program import Source

ODD, EVEN, ANY = frozenset({1}), frozenset({0}), frozenset({0, 1})
NOTHING: frozenset[str] = frozenset()
INPUTS_ARE_SIGNS = "the inputs are -1 and +1, as in the example"
SAME_SHAPE = "the inputs have the shape of the example"


@dataclass(frozen=True)
class Known:
    """What is certain about every entry of a value.

    Attributes:
        parity: the remainders modulo two that occur, where all entries are integers; else None.
        nonzero: whether no entry is zero, for almost all parameters.
        size: the largest absolute value of integers.
        real: parameters that move the value continuously. All others, as those of which only signs
            are read, give it countably many values, so that almost no threshold meets one.
        entry: the parameter whose entries, up to signs, these are.
        once: whether every entry of it occurs once at most.
        fixed: whether it does not depend on the inputs.
        given: what this takes for granted.
    """

    parity: frozenset[int] | None = None
    nonzero: bool = False
    size: float = math.inf
    real: frozenset[str] = NOTHING
    entry: str | None = None
    once: bool = False
    fixed: bool = False
    given: frozenset[str] = NOTHING


UNKNOWN = Known()
PLUS_MINUS_ONE = Known(ODD, True, 1.0)
Environment: TypeAlias = dict[fx.Node, Any]

# Entries of the first argument, each at most once; of a split, all parts are alike.
ARRANGED = {
    "view", "reshape", "flatten", "unflatten", "permute", "transpose", "unsqueeze", "squeeze",
    "clone", "contiguous", "dropout", "alias", "detach", "select", "slice", "t", "numpy_T", "mT",
    "neg", "to", "_to_copy", "_unsafe_view", "movedim", "swapaxes", "swapdims", "narrow", "flip",
    "roll", "chunk", "split", "split_with_sizes", "unbind", "moveaxis", "view_as", "reshape_as",
    "abs",
}  # fmt: skip
REPEATED = {
    "expand", "expand_as", "repeat", "tile", "index_select", "max_pool1d", "max_pool2d",
    "max_pool3d", "unfold", "repeat_interleave",
}  # fmt: skip
# f(x) is zero for x = 0 only
NO_OTHER_ZERO = {"tanh", "erf", "atan", "asinh", "softsign"}
PRODUCTS = {"linear", "matmul", "mm", "bmm", "mv", "dot", "einsum", "conv1d", "conv2d", "conv3d"}
NORMS = {"batch_norm": 2, "layer_norm": 3, "group_norm": 3}  # where their thresholds are
COMPARISONS = {"eq", "ne", "lt", "le", "gt", "ge", "logical_and", "logical_or", "logical_not"}
CONSTANTS = {"ones": 1, "ones_like": 1, "zeros": 0, "zeros_like": 0}


def untied_signs(
    graph: fx.GraphModule, sources: Mapping[fx.Node, Source]
) -> dict[fx.Node, frozenset[str]]:
    """Finds the signs that never meet a zero, for all inputs and almost all parameters.

    Args:
        graph: of a traced module.
        sources: what its placeholders stand for.

    Returns:
        For every such operator, in blocks as well, what that takes for granted.
    """
    if not any(
        node.op == "call_function" and operator_name(node) == OPERATOR
        for part in graph.modules()
        if isinstance(part, fx.GraphModule)
        for node in part.graph.nodes
    ):
        return {}
    found: dict[fx.Node, frozenset[str] | None] = {}
    weights = {node for node, source in sources.items() if source.kind == "parameter"}
    _run(graph, {node: _source(source) for node, source in sources.items()}, weights, found)
    return {node: given for node, given in found.items() if given is not None}


def _run(
    graph: fx.GraphModule,
    known: Environment,
    weights: set[fx.Node],
    found: dict[fx.Node, frozenset[str] | None],
) -> list[Any]:
    for node in graph.graph.nodes:
        if node.op == "output":
            return [known.get(a, UNKNOWN) if isinstance(a, fx.Node) else a for a in node.args[0]]
        if node.op != "call_function":
            continue
        if isinstance(node.target, torch._ops.HigherOrderOperator):
            known[node] = _block(graph, node, known, found)
            continue
        if operator_name(node) == OPERATOR:
            seen = _look_up(known, node.args[0])
            given = seen.given if seen.nonzero else None
            if node.args[0] in weights:  # the sign bit of a weight flips, zero or not
                given = NOTHING
            found[node] = None if given is None or found.get(node, given) is None else given
        known[node] = _known(node, known)
        if is_in_place(node):
            known[node.args[0]] = known[node]
    return []


def _block(
    graph: fx.GraphModule,
    node: fx.Node,
    known: Environment,
    found: dict[fx.Node, frozenset[str] | None],
) -> Any:
    """What is known of the results of `no_grad` and the like."""
    arguments = [
        attribute(graph, a.target) if isinstance(a, fx.Node) and a.op == "get_attr" else a
        for a in node.args
    ]
    if "wrap_with" not in str(node.target):
        return UNKNOWN
    inner, inputs = body(arguments)
    placeholders = [n for n in inner.graph.nodes if n.op == "placeholder"]
    passed = [_look_up(known, a) for a in inputs]
    return _run(inner, dict(zip(placeholders, passed, strict=True)), set(), found)


def _look_up(known: Environment, x: Any) -> Known:
    if isinstance(x, bool | int | float):
        return _numbers(torch.tensor(x, dtype=torch.float64))
    value = known.get(x, UNKNOWN) if isinstance(x, fx.Node) else UNKNOWN
    return value if isinstance(value, Known) else UNKNOWN


def _source(source: Source) -> Known:
    if not isinstance(source.value, Tensor) or source.value.is_complex():
        return UNKNOWN
    value = source.value.detach()
    if source.kind == "parameter":
        whole = bool((value == value.round()).all())
        zero = bool((value == 0).any())
        given = {f"`{source.name}` has no entry that is exactly zero"} if zero else NOTHING
        # weights that are integers now are not just any real numbers, but zeros are where
        # thresholds begin
        real = not whole or not bool(value.any())
        return Known(
            None, not zero, math.inf, frozenset({source.name}), source.name if real else None,
            real and not whole, True, frozenset(given),
        )  # fmt: skip
    if source.kind == "input":
        signs = bool((value.abs() == 1).all()) and bool((value == 1).any() & (value == -1).any())
        return replace(PLUS_MINUS_ONE, given=frozenset({INPUTS_ARE_SIGNS})) if signs else UNKNOWN
    return replace(_numbers(value), fixed=True)


def _numbers(values: Tensor) -> Known:
    """What known numbers show."""
    if values.numel() == 0 or values.is_complex():
        return UNKNOWN
    sizes = values.detach().double().abs()
    # of a product with tiny numbers nothing may be left
    nonzero = bool(((sizes > 1e-6) & (sizes < 1e6)).all())
    if not bool((sizes.remainder(1) == 0).all()):
        return Known(None, nonzero)
    rest = frozenset(r for r in (0, 1) if bool((sizes.remainder(2) == r).any()))
    return Known(rest, nonzero, float(sizes.max()))


def _known(node: fx.Node, known: Environment) -> Any:
    """What is certain after an operator, from what is certain before it."""
    if node.target is operator.getitem:
        part: Any = node.args[1]
        whole = known.get(node.args[0], UNKNOWN)  # type: ignore[arg-type]
        return whole[part] if isinstance(whole, list | tuple) else whole
    before = [_look_up(known, n) for n in node.all_input_nodes]
    result = _rule(node, known) or UNKNOWN
    kinds = _kinds(node)
    if result.parity is not None and any(result.size > _exact(kind) for kind in kinds):
        result = UNKNOWN  # rounded: an odd number may have become an even one
    countable = operator_name(node) in SIGNS or all(_whole(kind) for kind in kinds)
    real = NOTHING if countable else frozenset[str]().union(*(b.real for b in before))
    return replace(result, real=real, fixed=all(b.fixed for b in before))


def _kinds(node: fx.Node) -> list[torch.dtype]:
    held = node.meta.get("val")
    several = held if isinstance(held, list | tuple) else [held]
    return [value.dtype for value in several if isinstance(value, Tensor)]


def _whole(kind: torch.dtype) -> bool:
    return not kind.is_floating_point and not kind.is_complex


def _exact(kind: torch.dtype) -> float:
    """The largest number up to which a type holds all integers."""
    if kind == torch.bool or kind.is_complex:
        return 1
    return 2 / torch.finfo(kind).eps if kind.is_floating_point else torch.iinfo(kind).max


def _rule(node: fx.Node, known: Environment) -> Known | None:
    library, _, name = operator_name(node).partition("::")
    name = name.removesuffix("_")
    if operator_name(node) == OPERATOR:
        return PLUS_MINUS_ONE
    if library != "aten":
        return None
    args: Sequence[Any] = node.args
    first = _look_up(known, args[0]) if args else UNKNOWN
    if operator_name(node) in SIGNS:
        one = replace(PLUS_MINUS_ONE, given=first.given)
        return one if first.nonzero else Known(ANY, False, 1.0)
    if name in ARRANGED or name in REPEATED:
        return _arranged(node, name, first)
    if name in PRODUCTS:
        return _contraction(node, name, known)
    if name == "addmm" and not node.kwargs:
        a, b = (_look_up(known, x) for x in args[1:3])
        product = _product_sum(a, b, int(args[1].meta["val"].shape[-1]))
        return _sum(first, replace(product, real=a.real | b.real))
    if name in ("add", "sub", "rsub"):
        same = node.kwargs.get("alpha", 1) == 1 and len(args) == 2
        return _sum(first, _look_up(known, args[1])) if same else None
    if name == "mul":
        return _product(first, _look_up(known, args[1]))
    if name == "div" and not node.kwargs:
        other = _look_up(known, args[1])
        return Known(None, first.nonzero and other.nonzero, given=first.given | other.given)
    if name in ("sum", "mean"):
        total = _repeated(first, _size(args[0]) // max(_size(node), 1))
        if not first.fixed:  # over hidden units, or over positions
            total = replace(total, given=total.given | {SAME_SHAPE})
        return total if name == "sum" else Known(None, total.nonzero, given=total.given)
    if name in ("cat", "stack"):
        return _either([_look_up(known, part) for part in args[0]])
    if name == "where" and len(args) == 3:
        return _either([_look_up(known, part) for part in args[1:]])
    if name in NORMS and len(args) > NORMS[name]:
        at = NORMS[name]
        others = [_look_up(known, a) for i, a in enumerate(args) if i != at]
        rest = Known(real=frozenset[str]().union(*(other.real for other in others)))
        return _moved(_look_up(known, args[at]), rest)
    if name in NO_OTHER_ZERO or _opposite_bounds(name, args):
        return Known(None, first.nonzero, given=first.given)
    if name == "relu" and first.parity is not None:
        return Known(first.parity | EVEN, False, first.size, given=first.given)
    if name in COMPARISONS:
        return Known(ANY, False, 1.0)
    if name in CONSTANTS:
        return _numbers(torch.tensor(float(CONSTANTS[name])))
    return _look_up(known, args[1]) if name in ("full", "full_like") else None


def _opposite_bounds(name: str, args: Sequence[Any]) -> bool:
    if name not in ("clamp", "hardtanh", "clip"):
        return False
    low, high = (*args[1:3], None, None)[:2] if len(args) > 1 else (-1, 1)
    return all(isinstance(x, int | float) for x in (low, high)) and low < 0 < high


def _arranged(node: fx.Node, name: str, first: Known) -> Known | None:
    before, after = _kind_of(node.args[0]), _kind_of(node)
    if before != after and None not in (before, after):
        if name not in ("to", "_to_copy"):
            return None  # the same bits read as another type
        if not (after.is_floating_point or after.is_signed):  # type: ignore[union-attr]
            return None
        if not after.is_floating_point and first.parity is None:  # type: ignore[union-attr]
            return None
    if name == "dropout" and node.args[2] is not False and node.args[1] != 0:
        return None
    if name in REPEATED or name == "abs":
        return replace(first, once=False, entry=None if name == "abs" else first.entry)
    return first


def _contraction(node: fx.Node, name: str, known: Environment) -> Known | None:
    args: Sequence[Any] = node.args
    terms = _terms(node, name)
    if terms is None:
        return None
    operands = args[1] if name == "einsum" else args[:2]
    a, b = (_look_up(known, x) for x in operands)
    padding: Any = 0
    if name.startswith("conv"):
        padding = args[4] if len(args) > 4 else node.kwargs.get("padding", 0)
    bordered = padding != "valid" and bool(any(padding) if padding else False)
    total = _product_sum(a, b, terms, fewer=bordered)
    bias = args[2] if len(args) > 2 else None
    if bias is None:
        return total
    return _sum(_look_up(known, bias), replace(total, real=a.real | b.real))


def sums(node: fx.Node) -> bool:
    """Whether an operator adds up two products or more: then a zero that it returns is positive."""
    library, _, name = operator_name(node).partition("::")
    if library != "aten" or (name in PRODUCTS and name != "einsum" and _has_bias(node)):
        return False
    if name in ("sum", "mean"):
        return _size(node.args[0]) > _size(node)  # type: ignore[arg-type]
    return name in PRODUCTS and (_terms(node, name) or 1) > 1


def _has_bias(node: fx.Node) -> bool:
    return len(node.args) > 2 and node.args[2] is not None


def _terms(node: fx.Node, name: str) -> int | None:
    """How many products every entry of a contraction sums."""
    args: Sequence[Any] = node.args
    if name == "einsum":
        return _einsum_terms(*args[:2])
    if name.startswith("conv"):
        return int(args[1].meta["val"].shape[1:].numel())
    return int(args[0].meta["val"].shape[-1])


def _einsum_terms(equation: str, operands: Sequence[Any]) -> int | None:
    left, arrow, right = equation.replace(" ", "").partition("->")
    inputs = left.split(",")
    if not arrow or "." in left or len(inputs) != 2:
        return None
    sizes: dict[str, int] = {}
    for labels, operand in zip(inputs, operands, strict=True):
        shape = operand.meta["val"].shape
        sizes |= {i: max(n, sizes.get(i, 1)) for i, n in zip(labels, shape, strict=True)}
    return math.prod(n for label, n in sizes.items() if label not in right)


def _product_sum(a: Known, b: Known, terms: int, fewer: bool = False) -> Known:
    """A sum of so many products; some of them may be missing at a border."""
    total = _repeated(_product(a, b), terms)
    if not (a.fixed or b.fixed):  # a weight shows how many terms there are
        total = replace(total, given=total.given | {SAME_SHAPE})
    if fewer and total.parity is not None:
        total = replace(total, nonzero=False, parity=EVEN if total.parity == EVEN else ANY)
    elif not fewer and terms and total.parity is None:
        for weights, signs in ((a, b), (b, a)):
            if weights.once and signs.nonzero and signs.parity is not None:
                # the zeros of sum_i w_i s_i are a plane for each of countably many s
                return replace(total, nonzero=True, given=weights.given | signs.given)
    return total


def _sum(a: Known, b: Known) -> Known:
    for threshold, rest in ((a, b), (b, a)):
        if threshold.entry is not None and threshold.entry not in rest.real:
            return _moved(threshold, rest)
    if a.parity is None or b.parity is None:
        return UNKNOWN
    parity = frozenset((x + y) % 2 for x in a.parity for y in b.parity)
    return Known(parity, parity == ODD, a.size + b.size, given=a.given | b.given)


def _moved(threshold: Known, rest: Known) -> Known:
    """A sum with a real threshold, on which the rest does not depend but through signs."""
    if threshold.entry is None or threshold.entry in rest.real:
        return UNKNOWN
    return Known(None, True, given=threshold.given)


def _product(a: Known, b: Known) -> Known:
    given, nonzero = a.given | b.given, a.nonzero and b.nonzero
    if a.parity is None or b.parity is None:
        return Known(None, nonzero, given=given)
    parity = frozenset(x * y for x in a.parity for y in b.parity)
    return Known(parity, nonzero, a.size * b.size, given=given)


def _repeated(term: Known, times: int) -> Known:
    """The sum of so many entries."""
    if times == 1:
        return replace(term, entry=None, once=False)
    if term.parity is None or times == 0:
        return UNKNOWN
    parity = frozenset({times % 2}) if term.parity == ODD else term.parity
    return Known(parity, parity == ODD, times * term.size, given=term.given)


def _either(parts: Sequence[Known]) -> Known:
    """Any of several values."""
    given = frozenset[str]().union(*(part.given for part in parts))
    nonzero = all(part.nonzero for part in parts)
    if any(part.parity is None for part in parts):
        return Known(None, nonzero, given=given)
    parity = frozenset[int]().union(*(part.parity or EVEN for part in parts))
    return Known(parity, nonzero, max(part.size for part in parts), given=given)


def _kind_of(node: Any) -> torch.dtype | None:
    held = node.meta.get("val") if isinstance(node, fx.Node) else None
    return held.dtype if isinstance(held, Tensor) else None


def _size(node: fx.Node) -> int:
    return int(node.meta["val"].numel())
