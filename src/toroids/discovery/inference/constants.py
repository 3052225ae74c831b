"""Where a network sees constants that are added to its biases: equations between biases.

To every parameter with a single axis, as a bias, an unknown vector t is added. What this adds to a
value is a sum of terms, each factor x W ... W t: linear maps read it, structural operators move it,
means and attention, whose weights add up to one, keep it where it is the same at all positions.
Wherever an operator would see it, the sum must vanish. Index arrays say which entry of W ... W t
lies at each place of a value; the operators that only arrange are executed on those.
"""

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx
from torch.utils._pytree import tree_leaves

from toroids.discovery.axes import is_open
from toroids.discovery.rules.elementwise import LOWEST
from toroids.discovery.tracing.measured import LIKE, measured
from toroids.discovery.tracing.program import (
    Execution,
    Program,
    Sizes,
    call,
    finest_of,
    is_in_place,
    narrows,
    operator_name,
)

ARRANGING = {
    f"aten::{name}"
    for name in (
        "view", "reshape", "_unsafe_view", "flatten", "unflatten", "permute", "transpose", "t",
        "unsqueeze", "squeeze", "expand", "expand_as", "repeat", "repeat_interleave", "slice",
        "select", "narrow", "split", "split_with_sizes", "chunk", "unbind", "unsafe_split",
        "unsafe_chunk", "cat", "concat", "stack", "roll", "flip", "movedim", "swapaxes", "tile",
        "broadcast_to", "view_as", "reshape_as", "contiguous", "clone", "detach", "alias",
        "lift_fresh_copy", "mT", "numpy_T",
    )
}  # fmt: skip
KEEPING = {f"aten::{name}" for name in ("to", "_to_copy", "dropout", "type_as", "positive")}
ADDING = ("aten::add", "aten::sub", "aten::rsub")
# These arrange by the numbers of a tensor.
INDEXING = ("aten::index", "aten::index_select", "aten::embedding")
# What may stand between a softmax and what it weighs: rows stay rows.
KEEPING_ROWS = KEEPING | {
    f"aten::{name}" for name in (
        "view", "reshape", "_unsafe_view", "expand", "contiguous", "clone", "detach", "alias",
        "unsqueeze", "flatten",
    )
}  # fmt: skip


@dataclass(frozen=True)
class Reader:
    """A matrix that reads a vector.

    Attributes:
        tensor: the parameter, by its first name.
        axis: along which it reads.
        out: along which it writes.
        routing: for every position along `axis` the entry of the vector that it reads, -1 for none.
    """

    tensor: str
    axis: int
    out: int
    routing: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Term:
    """A part of what is added to a value: factor x W ... W t of one bias.

    Attributes:
        source: the bias, by its first name.
        word: the matrices, the first reader of the bias first.
        factor: a known number.
        index: which entry lies at every place of the value, -1 for none.
        width: of a table the length of its rows: its entries are counted row after row.
    """

    source: str
    word: tuple[Reader, ...]
    factor: float
    index: Tensor
    width: int = 0


@dataclass(frozen=True, eq=False)
class Added:
    """What is added to a value.

    Attributes:
        terms: known sums.
        hidden: sums of which functions were added that are the same along the last axis, as a
            key's bias adds to the scores of all keys.
        adds_up: whether the entries along the last axis add up to one.
    """

    terms: tuple[Term, ...] = ()
    hidden: tuple[tuple[Term, ...], ...] = ()
    adds_up: bool = False

    @property
    def seen(self) -> bool:
        """Whether there is anything to see."""
        return bool(self.terms or self.hidden)


@dataclass(frozen=True, eq=False)
class Part:
    """A term at the places of one equation; parts with one label meet in equal entries.

    Those of tables say which rows; the equation holds for every one, or every choice, of them.
    """

    source: str
    word: tuple[Reader, ...]
    factor: float
    label: int
    entries: NDArray[np.int64]
    rows: frozenset[int] | None = None


# A sum of terms that is zero, entry by entry.
Equation = tuple[Part, ...]
NOTHING = Added()


class Untold(Exception):
    """A program that writes into views, or has parts only on longer inputs: nothing is said."""


def equations_of(
    program: Program,
    sizes: Sizes | None = None,
    tables: frozenset[str] = frozenset(),
    conditions: frozenset[str] = frozenset(),
    whole: frozenset[str] = frozenset(),
) -> list[Equation] | None:
    """States where a traced module would see what is added to its biases.

    Args:
        program: the module.
        sizes: at which it is looked at; those at which it was traced if None.
        tables: parameters to whose rows something is added as well.
        conditions: buffers that hold what they held when they were traced.
        whole: tables to all rows of which the same is added.

    Returns:
        The equations; None where nothing can be told.
    """
    run = _Run(program, sizes or Sizes(program), tables, conditions, whole)
    try:
        run.whole()
    except Untold:
        return None
    return run.equations


def is_bias_like(value: Any) -> bool:
    """Whether a tensor has a single axis that is longer than one."""
    return (
        isinstance(value, Tensor)
        and value.is_floating_point()
        and value.ndim > 0
        and sum(size > 1 for size in value.shape) <= 1
    )


class _Run:
    """One pass over the operators of one program."""

    def __init__(
        self,
        program: Program,
        sizes: Sizes,
        tables: frozenset[str],
        conditions: frozenset[str],
        whole: frozenset[str],
    ) -> None:
        self.program, self.sizes = program, sizes
        self.tables, self.conditions, self.whole_tables = tables, conditions, whole
        self.equations: list[Equation] = []
        self.values: dict[fx.Node, Any] = {}
        self._known: dict[fx.Node, Any] = {}
        self.written = _written_into(program)
        self.measured = measured(program.graph.graph)
        self.finest = finest_of(program)

    def whole(self) -> None:
        program = self.program
        for node in program.graph.graph.nodes:
            if node.op == "placeholder":
                self.values[node] = self._source(node)
            elif node.op == "call_function":
                self.values[node] = self._operator(node)
                if is_in_place(node):
                    self._written(node)
            elif node.op == "output":
                kept = zip(node.args[0], program.outputs, program.mutated, strict=True)
                for value, output, buffer in kept:
                    if isinstance(value, fx.Node) and (output is not None or buffer is not None):
                        self.vanish(value)
            else:
                self.values[node] = NOTHING

    def _source(self, node: fx.Node) -> Added:
        source = self.program.sources[node.name]
        table = source.name in self.tables
        if source.kind == "parameter" and source.name in self.whole_tables:
            row = torch.arange(source.value.shape[-1], dtype=torch.int32)
            return Added((Term(source.name, (), 1.0, row.expand(source.value.shape)),))
        if source.kind != "parameter" or not (table or is_bias_like(source.value)):
            return NOTHING
        index = torch.arange(source.value.numel(), dtype=torch.int32).view(source.value.shape)
        width = source.value.shape[-1] if table else 0
        return Added((Term(source.name, (), 1.0, index, width),))

    def _written(self, node: fx.Node) -> None:
        target: Any = node.args[0]
        if target.op == "call_function" and operator_name(target) in ARRANGING:
            if any(value.seen for value in self._leaves([node])):
                raise Untold
        self.values[target] = self.values[node]

    def _leaves(self, nodes: Sequence[fx.Node]) -> list[Added]:
        return [v for n in nodes for v in tree_leaves(self.values[n]) if isinstance(v, Added)]

    def shape(self, node: fx.Node) -> tuple[int, ...]:
        """The shape of the tensor that a node gives."""
        return tuple(int(self.sizes(size)) for size in node.meta["val"].shape)

    def number(self, x: Any) -> Any:
        """An argument that is no tensor, lengths as numbers."""
        if isinstance(x, fx.Node):
            return self.values[x]
        if isinstance(x, list | tuple):
            return type(x)(self.number(y) for y in x)
        return self.sizes(x)

    def _operator(self, node: fx.Node) -> Any:
        value = node.meta.get("val")
        if not any(isinstance(v, Tensor) for v in tree_leaves(value)):
            return self.sizes(value)
        name = operator_name(node)
        name = name.removesuffix("_") if is_in_place(node) else name
        if node in self.measured or name in LIKE:
            return NOTHING
        if node.target is operator.getitem:
            parts, position = node.args[:2]
            held = self.values[parts]  # type: ignore[index]
            return held[position] if isinstance(held, list) else NOTHING  # type: ignore[index]
        inputs = self._leaves(node.all_input_nodes)
        rule = RULES.get(name)
        if rule is not None and isinstance(value, Tensor):
            found = rule(self, node)
            if found is not None:
                return found
        if not any(x.seen or x.adds_up for x in inputs):
            return NOTHING
        keeps = name in KEEPING and isinstance(value, Tensor) and value.is_floating_point()
        if keeps and not narrows(node, self.finest):
            return self.values[node.args[0]]  # type: ignore[index]
        others = [n for n in node.all_input_nodes if n is not node.args[0]]
        numbered = name in INDEXING and all(self.known(n) is not None for n in others)
        if name in ARRANGING or numbered:
            return self._arranged(node, name)
        for given in node.all_input_nodes:
            self.vanish(given)
        return NOTHING

    def _arranged(self, node: fx.Node, name: str) -> Any:
        """Executes an operator that only arranges on the index arrays of every term."""
        inputs = [n for n in node.all_input_nodes if isinstance(self.values[n], Added)]
        first: Added = self.values[inputs[0]]
        shape = self.shape(node) if isinstance(node.meta["val"], Tensor) else ()
        rows = name in KEEPING_ROWS and shape[-1:] == self.shape(inputs[0])[-1:]
        if not rows:
            self.vanish_hidden(inputs)
        results: list[list[Term]] | None = None
        for given in inputs:
            for term in self.values[given].terms:
                found = self._on_index(node, given, term.index)
                pieces = list(found) if isinstance(found, list | tuple) else [found]
                results = results or [[] for _ in pieces]
                for piece, own in zip(pieces, results, strict=True):
                    if bool((piece >= 0).any()):
                        own.append(replace(term, index=piece))
        if not isinstance(node.meta["val"], Tensor):
            return [Added(tuple(own)) for own in results] if results else NOTHING
        terms = tuple(results[0]) if results else ()
        return Added(terms, first.hidden if rows else (), first.adds_up and rows)

    def _on_index(self, node: fx.Node, given: fx.Node, index: Tensor) -> Any:
        def argument(n: fx.Node) -> Any:
            if not isinstance(self.values[n], Added):
                return self.values[n]
            shape = self.shape(n)
            if n is given:
                return index.expand(shape).contiguous()
            if operator_name(node) in INDEXING:
                return self.known(n)
            return torch.full(shape, -1, dtype=index.dtype)

        arguments, keywords = fx.map_arg(node.args, argument), fx.map_arg(node.kwargs, argument)
        numbers: Any = [self.sizes(x) if not isinstance(x, Tensor) else x for x in arguments]
        return node.target(*numbers, **keywords)  # type: ignore[operator]

    def vanish(self, node: fx.Node) -> None:
        """States that nothing is added to a value: an operator would see it."""
        self.vanish_hidden([node])
        for value in self._leaves([node]):
            if value.terms:
                self.equations += self.met(node, value.terms)
        self.values[node] = _settled(self.values[node])

    def vanish_hidden(self, nodes: Sequence[fx.Node]) -> None:
        """States the same of what only a softmax would not see."""
        for node in nodes:
            for value in self._leaves([node]):
                for terms in value.hidden:
                    self.equations += self.met(node, terms)
            if isinstance(self.values[node], Added):
                self.values[node] = replace(self.values[node], hidden=())

    def met(self, node: fx.Node, terms: Sequence[Term]) -> list[Equation]:
        """The equations of terms that add up to nothing, where a value has any entries."""
        if 0 not in self.shape(node):
            return _equations(terms)
        if self._may_grow(node):  # what lies there on longer inputs is not known
            raise Untold
        return []

    def _may_grow(self, node: fx.Node) -> bool:
        """Whether a value without entries has some at other sizes of the inputs."""
        twin = None if self.program.twin is None else self.program.twin.nodes.get(node)
        if twin is not None and 0 not in twin.meta["val"].shape:
            return True
        sizes = [self.sizes(size) for size in node.meta["val"].shape]
        return all(size != 0 or is_open(size) for size in sizes)

    def known(self, node: Any) -> Any:
        """The numbers of a tensor that depends on no input and no parameter; None of others."""
        if not isinstance(node, fx.Node):
            return self.sizes(node)
        if node not in self._known:
            self._known[node] = self._computed(node)
        return self._known[node]

    def _computed(self, node: fx.Node) -> Any:
        value = node.meta.get("val")
        if node.op == "placeholder":
            source = self.program.sources[node.name]
            held = source.kind == "constant" or source.name in self.conditions
            return source.value if held else None
        if node.op == "get_attr":
            found = getattr(self.program.graph, str(node.target), None)
            return found if isinstance(found, Tensor) else None
        if node.op != "call_function" or is_in_place(node) or node in self.written:
            return None
        if not any(isinstance(v, Tensor) for v in tree_leaves(value)):
            return self.sizes(value) if value is not None else None
        if torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ()):
            return None
        inputs = {n: self.known(n) for n in node.all_input_nodes}
        if any(x is None for x in inputs.values()):
            return None
        try:
            return call(node, inputs.__getitem__, Execution(wide=False))
        except Exception:  # whatever it is: then nothing is known
            return None


def _written_into(program: Program) -> set[fx.Node]:
    """Values that an operator changes in place, through views as well."""
    found: set[fx.Node] = set()
    for node in program.graph.graph.nodes:
        target = node.args[0] if node.op == "call_function" and is_in_place(node) else None
        while isinstance(target, fx.Node):
            found.add(target)
            viewed = target.op == "call_function" and operator_name(target) in ARRANGING
            target = target.args[0] if viewed or target.target is operator.getitem else None
    return found


def _settled(value: Any) -> Any:
    if isinstance(value, list):
        return [_settled(v) for v in value]
    return replace(value, terms=(), hidden=()) if isinstance(value, Added) else value


def constant_along(index: Tensor, axes: Sequence[int]) -> bool:
    """Whether an index array is the same all along some axes."""
    for axis in axes:
        if index.shape[axis] > 1 and index.stride(axis) != 0:
            first = index.narrow(axis, 0, 1)
            # a look at two rows tells most that vary
            if not torch.equal(first, index.narrow(axis, 1, 1)) or bool((index != first).any()):
                return False
    return True


def _equations(terms: Sequence[Term]) -> list[Equation]:
    """One equation for every way in which terms meet."""
    shape = np.broadcast_shapes(*(tuple(term.index.shape) for term in terms))
    arrays = [term.index.expand(shape) for term in terms]
    for axis in range(len(shape)):
        if all(constant_along(index, [axis]) for index in arrays):
            arrays = [index.narrow(axis, 0, 1) for index in arrays]
    whole = np.stack([index.reshape(-1).numpy() for index in arrays])
    widths = np.array([[term.width or whole.max() + 1] for term in terms])
    table = np.where(whole < 0, -1, whole % np.maximum(widths, 1))
    rows = whole // np.maximum(widths, 1)
    labels = np.arange(len(terms))[:, None] + np.zeros_like(table)
    for k in range(len(terms)):
        for m in range(k - 1, -1, -1):
            labels[k] = np.where(table[m] == table[k], labels[m], labels[k])
    labels[table < 0] = -1
    found = []
    while labels.shape[1]:
        kind = labels[:, 0].tolist()
        here = (labels == labels[:, :1]).all(axis=0)
        at, table, labels = table[:, here], table[:, ~here], labels[:, ~here]
        told, rows = rows[:, here], rows[:, ~here]
        parts = tuple(
            Part(
                term.source, term.word, term.factor, label, np.unique(at[k]),
                frozenset(np.unique(told[k]).tolist()) if term.width else None,
            )
            for k, (term, label) in enumerate(zip(terms, kind, strict=True))
            if label >= 0
        )  # fmt: skip
        if parts:
            found.append(parts)
    return found


def _merged(terms: Sequence[Term]) -> tuple[Term, ...]:
    """Adds up terms that lie alike."""
    kept: list[Term] = []
    for term in terms:
        for position, other in enumerate(kept):
            same = (term.source, term.word) == (other.source, other.word)
            if same and torch.equal(term.index, other.index):
                kept[position] = replace(other, factor=other.factor + term.factor)
                break
        else:
            kept.append(term)
    return tuple(term for term in kept if term.factor)


def _scaled(value: Added, factor: float) -> tuple[Term, ...]:
    return tuple(replace(term, factor=term.factor * factor) for term in value.terms)


def _expanded(terms: Sequence[Term], shape: tuple[int, ...]) -> tuple[Term, ...]:
    return tuple(replace(term, index=term.index.expand(shape)) for term in terms)


# ---- rules: what an operator makes of what is added to its inputs ----


def _sum(run: _Run, node: fx.Node) -> Added | None:
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
            terms += _expanded(_scaled(value, float(sign)), shape)
            hidden += value.hidden
    return Added(_merged(terms), tuple(hidden))


def _product(run: _Run, node: fx.Node) -> Added | None:
    a, b = node.args[:2]
    divides = "div" in operator_name(node)
    if node.kwargs.get("rounding_mode") is not None:
        return None
    for given, other in ((a, b),) if divides else ((a, b), (b, a)):
        if isinstance(given, fx.Node) and isinstance(other, int | float) and other:
            value: Added = run.values[given]
            factor = 1 / other if divides else other
            return Added(_merged(_scaled(value, float(factor))), value.hidden)
    return None


def _negative(run: _Run, node: fx.Node) -> Added | None:
    value: Added = run.values[node.args[0]]  # type: ignore[index]
    return Added(_scaled(value, -1.0), value.hidden)


def _mean(run: _Run, node: fx.Node) -> Added | None:
    given: Any = node.args[0]
    rank = len(run.shape(given))
    dims: Any = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim")
    dims = list(range(rank)) if dims is None else dims
    over = [int(d) % rank for d in (dims if isinstance(dims, list | tuple) else [dims])]
    return _kept_over(run, node, given, over)


def _kept_over(run: _Run, node: fx.Node, given: fx.Node, over: Sequence[int]) -> Added | None:
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


def _pooled(run: _Run, node: fx.Node) -> Added | None:
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


def _softmax(run: _Run, node: fx.Node) -> Added | None:
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


def _choice(run: _Run, node: fx.Node) -> Added | None:
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


def _between(run: _Run, node: fx.Node) -> Added | None:
    """Something between two values, as the larger of them."""
    return _one_of(run, node, node.args[:2])


def _lerp(run: _Run, node: fx.Node) -> Added | None:
    a, b, weight = node.args[:3]
    if isinstance(weight, fx.Node):
        return _between(run, node)
    own, share = (run.values[a], run.values[b]), run.number(weight)  # type: ignore[index]
    terms = [*_scaled(own[0], 1 - share), *_scaled(own[1], share)]
    return Added(_merged(_expanded(terms, run.shape(node))), (*own[0].hidden, *own[1].hidden))


def _one_of(run: _Run, node: fx.Node, parts: Sequence[Any]) -> Added | None:
    """To both of which the same is added."""
    values = [run.values[part] if isinstance(part, fx.Node) else NOTHING for part in parts]
    if len(values) < 2 or any(value.hidden or not value.terms for value in values):
        return None
    for other in node.all_input_nodes:
        if other not in parts:
            run.vanish(other)
    shape = run.shape(node)
    one, two = (_expanded(value.terms, shape) for value in values)
    difference = _merged([*one, *(replace(term, factor=-term.factor) for term in two)])
    run.equations += run.met(node, difference) if difference else []
    return Added(one)


def _linear(run: _Run, node: fx.Node) -> Added | None:
    x, weight = node.args[:2]
    bias = node.args[2] if len(node.args) > 2 else node.kwargs.get("bias")
    return _with_bias(run, node, _read(run, node, x, weight, transposed=True), bias)


def _addmm(run: _Run, node: fx.Node) -> Added | None:
    if set(node.kwargs) & {"alpha", "beta"}:
        return None
    bias, x, weight = node.args[:3]
    return _with_bias(run, node, _read(run, node, x, weight, transposed=False), bias)


def _matmul(run: _Run, node: fx.Node) -> Added | None:
    a, b = node.args[:2]
    left, right = run.values[a], run.values[b]  # type: ignore[index]
    run.vanish_hidden([a, b])  # type: ignore[list-item]
    ranks = len(run.shape(a)), len(run.shape(b))  # type: ignore[arg-type]
    if left.terms and not right.terms:
        return _read(run, node, a, b, transposed=False)
    if not right.terms:
        return NOTHING
    run.vanish(a)  # type: ignore[arg-type]
    if min(ranks) > 1 and left.adds_up and _same_rows(right.terms, -2):
        return Added(_expanded(_first_rows(right.terms), run.shape(node)))
    if min(ranks) > 1 and _same_rows(right.terms, -1):  # scores, to which each key adds the same
        return Added((), (right.terms,))
    return None


def _same_rows(terms: Sequence[Term], axis: int) -> bool:
    return all(constant_along(term.index, [term.index.ndim + axis]) for term in terms)


def _first_rows(terms: Sequence[Term]) -> tuple[Term, ...]:
    return tuple(replace(term, index=term.index.narrow(-2, 0, 1)) for term in terms)


def _with_bias(run: _Run, node: fx.Node, found: Added, bias: Any) -> Added:
    if not isinstance(bias, fx.Node):
        return found
    return Added(_merged([*found.terms, *_expanded(run.values[bias].terms, run.shape(node))]))


def _read(run: _Run, node: fx.Node, x: Any, weight: Any, transposed: bool) -> Added:
    """What a matrix makes of what is added to the last axis of x."""
    run.vanish_hidden([x])
    run.vanish(weight)
    value: Added = run.values[x]
    tables = [term for term in value.terms if term.width]
    if tables:  # what matrices make of rows of tables is not followed
        run.equations += _equations(tables)
        value = replace(value, terms=tuple(term for term in value.terms if not term.width))
        run.values[x] = value
    matrix = _matrix_of(run, weight) if value.terms else None
    if not value.terms:
        return NOTHING
    if matrix is None:
        run.vanish(x)
        return NOTHING
    name, rows, columns = matrix
    if not transposed:
        rows, columns = rows.T, columns.T
    shape = run.shape(node)
    terms: list[Term] = []
    for term in value.terms:
        found = _read_term(term, name, rows, columns, run.shape(x), shape)
        if found is None:
            run.vanish(x)
            return NOTHING
        terms += found
    return Added(_merged(terms))


def _read_term(
    term: Term, name: str, rows: Tensor, columns: Tensor, before: Sequence[int],
    shape: tuple[int, ...],
) -> list[Term] | None:  # fmt: skip
    """One term for every way in which the entries of a vector meet a matrix."""
    if not len(rows) or not rows.shape[1]:
        return None
    if constant_along(rows, [1]) and constant_along(columns, [0]):
        axis, out, inner, outer = 1, 0, columns[0], rows[:, 0]
    elif constant_along(columns, [1]) and constant_along(rows, [0]):
        axis, out, inner, outer = 0, 1, rows[0], columns[:, 0]
    else:
        return None
    index = term.index.expand(tuple(before))
    for other in range(index.ndim - 1):
        if constant_along(index, [other]):
            index = index.narrow(other, 0, 1)
    flat = index.reshape(-1, index.shape[-1])
    kinds, which = torch.unique(flat, dim=0, return_inverse=True)
    terms = []
    for number, kind in enumerate(kinds):
        if not bool((kind >= 0).any()):
            continue
        routing = torch.full((int(inner.max()) + 1,), -1, dtype=torch.long)
        routing[inner.long()] = kind.long()
        reader = Reader(name, axis, out, tuple(routing.tolist()))
        here = (which == number).view(*index.shape[:-1], 1)
        read = torch.where(here, outer.to(torch.int32), -1).expand(shape)
        terms.append(Term(term.source, (*term.word, reader), term.factor, read))
    return terms


def _matrix_of(run: _Run, node: Any) -> tuple[str, Tensor, Tensor] | None:
    """The parameter that a matrix is, or a part of, and the row and column of every entry."""
    chain: list[fx.Node] = []
    while isinstance(node, fx.Node) and node.op == "call_function" and node not in run.written:
        chain.append(node)
        node = node.args[0]
    if not isinstance(node, fx.Node) or node.op != "placeholder" or node in run.written:
        return None
    source = run.program.sources[node.name]
    if source.kind != "parameter" or source.value.ndim != 2:
        return None
    places = [torch.arange(size) for size in source.value.shape]
    found: Any = torch.meshgrid(*places, indexing="ij")
    for step in reversed(chain):
        name, target = operator_name(step), step.target
        if step.target is operator.getitem:
            position: Any = step.args[1]
            found = [x[position] for x in found]
        elif name in ARRANGING and len(step.all_input_nodes) == 1:
            rest, named = run.number(step.args[1:]), dict(step.kwargs)
            found = [target(x, *rest, **named) for x in found]  # type: ignore[operator]
        elif name not in KEEPING:
            return None
    rows, columns = found
    return (source.name, rows, columns) if rows.ndim == 2 else None


def _looked_up(run: _Run, node: fx.Node) -> Added | None:
    """Rows of a table, of which all are the same."""
    table, numbers = node.args[:2]
    value: Added = run.values[table]  # type: ignore[index]
    if any(term.width or not constant_along(term.index, [0]) for term in value.terms):
        return None
    run.vanish(numbers)  # type: ignore[arg-type]
    first = [replace(term, index=term.index.narrow(0, 0, 1)) for term in value.terms]
    shape = run.shape(node)
    rows = [replace(t, index=t.index.view(*[1] * (len(shape) - 1), -1)) for t in first]
    return Added(_expanded(rows, shape))


def _attention(run: _Run, node: fx.Node) -> Added | None:
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
    first = _first_rows(_expanded(terms, run.shape(value)))  # type: ignore[arg-type]
    shape = run.shape(node)
    if settings.get("enable_gqa"):
        times = shape[-3] // first[0].index.shape[-3]
        first = tuple(replace(t, index=t.index.repeat_interleave(times, -3)) for t in first)
    return Added(_expanded(first, shape))


def _shows_keys(run: _Run, mask: Any) -> bool:
    """Whether a mask leaves every query a key; a query without any gets zeros."""
    if mask is None:
        return True
    known = run.known(mask)
    if not isinstance(known, Tensor):
        return False
    shown = known if known.dtype == torch.bool else known > -torch.inf
    return bool(shown.any(dim=-1).all())


def _convolution(run: _Run, node: fx.Node) -> Added | None:
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


def _on_channels(run: _Run, node: fx.Node, found: Sequence[Term], bias: Any, behind: int) -> Added:
    """Adds a bias whose entries lie along an axis with `behind` others behind it."""
    shape = run.shape(node)
    for term in run.values[bias].terms if isinstance(bias, fx.Node) else ():
        index = term.index.view(-1, *[1] * behind).expand(shape)
        found = [*found, replace(term, index=index)]
    return Added(_merged(found))


def _norm(position: int, channels: bool) -> Callable[[_Run, fx.Node], Added | None]:
    """A norm, whose bias is the argument at a position."""

    def rule(run: _Run, node: fx.Node) -> Added | None:
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
        return Added(_expanded(terms, run.shape(node)))

    return rule


Rule = Callable[[_Run, fx.Node], Added | None]
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
