"""One pass over a traced module with what is added to its biases."""

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, fx
from torch.fx.experimental.symbolic_shapes import free_unbacked_symbols
from torch.utils._pytree import tree_leaves

from toroids.discovery.axes import is_open
from toroids.discovery.inference.absorption.terms import (
    NOTHING,
    Added,
    Equation,
    Term,
    Untold,
    equations_among,
    is_bias_like,
    settled,
)
from toroids.discovery.tracing.execution import Execution, call
from toroids.discovery.tracing.measured import LIKE, measured
from toroids.discovery.tracing.operators import is_in_place, narrows, operator_name
from toroids.discovery.tracing.program import Program, finest_of
from toroids.discovery.tracing.sizes import Sizes

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
# Operators with a rule that give several tensors, to which nothing is added.
SEVERAL = {f"aten::{name}" for name in ("lstm", "gru", "rnn_tanh", "rnn_relu", "lstm_cell")}
# What an operator makes of what is added to its inputs; None where it would see it.
Rule = Callable[["Run", fx.Node], Added | None]


class Run:
    """One pass over the operators of one program."""

    def __init__(
        self,
        rules: Mapping[str, Rule],
        program: Program,
        sizes: Sizes,
        tables: frozenset[str],
        conditions: frozenset[str],
        whole: frozenset[str],
    ) -> None:
        """Prepares a pass; the arguments but the rules are those of `equations_of`."""
        self.rules, self.program, self.sizes = rules, program, sizes
        self.tables, self.conditions, self.whole_tables = tables, conditions, whole
        self.equations: list[Equation] = []
        self.values: dict[fx.Node, Any] = {}
        self._known: dict[fx.Node, Any] = {}
        self.written = _written_into(program)
        self.measured = measured(program.graph.graph)
        self.finest = finest_of(program)

    def whole(self) -> None:
        """Runs the program, and states the equations."""
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
        rule = self.rules.get(name)
        if rule is not None and (isinstance(value, Tensor) or name in SEVERAL):
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
        lengths = [n.meta["val"] for n in others if isinstance(n.meta.get("val"), torch.SymInt)]
        arranged = name in ARRANGING - KEEPING or numbered
        if arranged and not free_unbacked_symbols(lengths):
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
        self.values[node] = settled(self.values[node])

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
            return equations_among(terms)
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


class RunOfSome(Run):
    """A pass that follows what is added to some parameters, and to no others."""

    def __init__(
        self, rules: Mapping[str, Rule], program: Program, sizes: Sizes, names: frozenset[str]
    ) -> None:
        """Prepares a pass that follows the parameters of these names."""
        super().__init__(rules, program, sizes, names, frozenset(), frozenset())

    def _source(self, node: fx.Node) -> Added:
        known = self.program.sources[node.name].name in self.tables
        return super()._source(node) if known else NOTHING


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
