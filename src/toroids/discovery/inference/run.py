"""One pass of the rules over one traced module."""

import inspect
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx
from torch.fx.experimental.symbolic_shapes import free_unbacked_symbols
from torch.fx.node import map_aggregate
from torch.utils._pytree import tree_leaves, tree_map, tree_map_only

from toroids.binary.sign import OPERATOR as SIGN_WITHOUT_ZERO
from toroids.discovery import axes
from toroids.discovery.axes import SIGN, Held, Value
from toroids.discovery.axes.constraints import Constraints, Loss
from toroids.discovery.axes.values import MASKS
from toroids.discovery.inference.absolute import is_part, size_of
from toroids.discovery.inference.decompose import decomposition, variants
from toroids.discovery.inference.extents import Extents
from toroids.discovery.inference.levels import with_level_of_either, with_levels
from toroids.discovery.inference.names import CARRIES_LOOSE, KNOWS_NAMES, renamed
from toroids.discovery.inference.nodes import (
    binary,
    level,
    shows_lowest,
    special_uses,
    tensors,
    used,
    where,
    zeros_vanish,
)
from toroids.discovery.inference.offsets import sums_with
from toroids.discovery.inference.state import Inference, Step
from toroids.discovery.inference.ties import PRODUCTS, sums, untied_signs
from toroids.discovery.inference.unread import ARRANGING, SHAPING
from toroids.discovery.inference.weight_norms import sizes_of
from toroids.discovery.rules import RULES
from toroids.discovery.rules.pointwise import SIZE, TRUTH, pointwise
from toroids.discovery.rules.structure import view
from toroids.discovery.tracing.execution import Execution, call
from toroids.discovery.tracing.measured import MEASURING, SIZED, SIZED_BY_SECOND, measured
from toroids.discovery.tracing.operators import (
    attribute,
    body,
    draws_random,
    is_block,
    is_in_place,
    narrows,
    operator_name,
)
from toroids.discovery.tracing.program import Program, Source, finest_of, pair_graphs
from toroids.discovery.tracing.sizes import Sizes

LookUp = Callable[[fx.Node], Any]
BY_CONSTANTS = ", by constant numbers,"


@dataclass(frozen=True)
class _Lazy:
    """A parameter or buffer before its first use: places are numbered in the order of use."""

    source: Source
    groups: int | None
    moves: bool  # whether nothing but the operators decides how it scales, flips and shifts

    def value(self, state: Inference) -> Value:
        name, shape = self.source.name, tuple(self.source.value.shape)
        if name not in state.parameters:
            c = state.constraints
            if name in state.stacks and self.groups is None:
                stack = state.stacks[name]
                found = axes.stacked_parameter(c, name, shape, stack.joint, stack.still)
            elif self.groups is None:
                found = axes.parameter(c, name, shape)
            else:
                found = axes.grouped_parameter(c, name, shape, self.groups)
            if not self.moves:
                numbers = Held(frozenset({name}), lambda: self.source.value)
                found = axes.buffer(c, found, numbers)
                found = replace(found, mask=self.source.value.dtype in MASKS)
            state.parameters[name] = found
        return state.parameters[name]


class Run:
    """One pass over the operators of one program."""

    def __init__(self, state: Inference, program: Program, sizes: Sizes) -> None:
        """Prepares a pass at some lengths of the inputs, which states facts into `state`."""
        self.state, self.program, self.sizes = state, program, sizes
        self.extents = Extents(program, sizes)
        self.c = state.constraints
        self.finest = finest_of(program)
        self.steps: list[Step] = []
        self.inputs: list[Value] = []
        self._numbers: dict[fx.Node, Any] = {}
        self._measured: set[fx.Node] = set()
        self._offset_sums = sums_with(program, self.c.offsets)
        self._weight_sizes = sizes_of(program, self.c.weight_norms)

    def whole(self) -> list[Any]:
        """Runs the program; pins its outputs, and closes the loop of buffers that it replaces."""
        program, c = self.program, self.c
        nodes = [n for n in program.graph.graph.nodes if n.op == "placeholder"]
        c.binary |= binary(program)
        self.state.untied |= untied_signs(
            program.graph, {n: program.sources[n.name] for n in nodes}
        )
        grouped, statistics = special_uses(program)
        environment = {n.name: self._source(n, grouped, statistics) for n in nodes}
        outputs, last = self._run(program.graph, environment)
        counted = [name for name in program.outputs if name is not None]
        for value, output in zip(outputs, program.outputs, strict=True):
            if output is not None and isinstance(value, Value):
                c.operator = f"output `{output}`"
                for bundle in value.bundles:
                    c.see(bundle.places)
                axes.pin(c, value)
                places = [b.places[b.places >= 0].ravel() for b in value.bundles]
                if len(counted) > 1 and any(found.size for found in places):
                    reason = f"output `{output}` is preserved (name one output with output_key)"
                    c.losses.append(Loss(reason, np.concatenate(places)))
        self._close(nodes, environment, outputs, last)
        return outputs

    def _source(self, node: fx.Node, grouped: Mapping[str, int], statistics: set[str]) -> Any:
        """What a placeholder is before any operator."""
        source = self.program.sources[node.name]
        if not isinstance(source.value, Tensor):
            return source.value
        if self.program.twin is not None and node in self.program.twin.constants:
            return axes.fixed_value(source.value.shape)
        if source.kind == "input":
            value = axes.fixed_value(self.extents.shape(node.meta["val"]))
            value = replace(value, mask=source.value.dtype in MASKS, level=level(node, source))
            self.inputs.append(value)
            return value
        if source.kind == "parameter":
            return _Lazy(source, grouped.get(node.name), source.value.is_floating_point())
        if source.kind == "buffer" and source.name in self.program.shapes:
            return _Lazy(source, None, node.name in statistics)
        if source.kind == "buffer" and source.value.numel() > 1:
            return self._outside(source)
        return axes.known(self.c, source.value)

    def _outside(self, source: Source) -> Value:
        """A buffer that no state dict holds: its numbers may change, so its units stay."""
        numbers = Held(frozenset({source.name}), lambda: source.value)
        return replace(axes.fixed_value(source.value.shape), held=numbers)

    def _close(
        self, nodes: Sequence[fx.Node], before: Mapping[str, Any], outputs: Sequence[Any],
        last: Mapping[fx.Node, Any],
    ) -> None:  # fmt: skip
        """A buffer that a call replaces is read by the next one: both are indexed alike."""
        after = {
            name: value
            for name, value in zip(self.program.mutated, outputs, strict=True)
            if name is not None
        }
        for node in nodes:
            source = self.program.sources[node.name]
            value = after.get(source.name, last[node])
            if source.kind in ("buffer", "parameter") and value is not before[node.name]:
                self.c.operator = f"what `{source.name}` holds for the next call"
                start = before[node.name]
                start = start.value(self.state) if isinstance(start, _Lazy) else start
                for leaf in _leaves([value]):
                    for bundle in leaf.bundles:
                        self.c.see(bundle.places)
                    axes.settle(self.c, leaf)
                    leaf = axes.unnamed(self.c, leaf)
                    axes.equate(self.c, start, leaf)

    def _run(
        self, graph: fx.GraphModule, environment: Mapping[str, Any]
    ) -> tuple[list[Any], dict[fx.Node, Any]]:
        values: dict[fx.Node, Any] = {}

        def look_up(node: fx.Node) -> Any:
            value = values[node]
            return value.value(self.state) if isinstance(value, _Lazy) else value

        outputs: list[Any] = []
        self._measured |= measured(graph.graph)
        for node in graph.graph.nodes:
            if node.op == "placeholder":
                values[node] = environment[node.name]
            elif node.op == "get_attr":
                found = attribute(graph, node.target)
                values[node] = axes.known(self.c, found) if isinstance(found, Tensor) else found
            elif node.op == "call_function":
                values[node] = self._operator(node, look_up)
                if not is_block(node) and node not in self._offset_sums:
                    seen = tuple((n, look_up(n)) for n in node.all_input_nodes)
                    self.steps.append(Step(node, seen, tuple(_leaves([values[node]]))))
                if is_in_place(node):
                    values[node.args[0]] = values[node]
            elif node.op == "output":
                outputs = [fx.map_arg(a, look_up) for a in node.args[0]]
        return outputs, values

    def _operator(self, node: fx.Node, look_up: LookUp) -> Any:
        c, name = self.c, operator_name(node)
        if is_block(node) or name == "cond":
            return self._block(node, look_up) if is_block(node) else self._cond(node, look_up)
        inputs = [look_up(n) for n in node.all_input_nodes]
        if node in self._offset_sums:  # the parameter's legs say it
            return inputs[0]
        if node.target is operator.getitem and not isinstance(inputs[0], Value):
            return inputs[0][node.args[1]]
        if all(_known(value) for value in inputs) and not draws_random(node):
            if not self.extents.varies(node):
                return _folded(c, node, look_up)
        extents = self.extents
        if node in self._measured or extents.is_empty(node):  # whatever it reads is not looked at
            return self._made(node, [_nothing(shape) for shape in extents.shapes(node)])
        if node in self._weight_sizes:  # as if they were ones: a gain follows them
            return self._made(node, [_ones(c, inputs, shape) for shape in extents.shapes(node)])
        c.operator = f"operator `{name}`{where(node)}{_by_constants(name, inputs)}"
        c.shapes, c.open = extents.shapes(node), extents.opened(node)
        c.arguments = tuple(value for n in node.all_input_nodes for value in tensors(n))
        c.arguments_open = tuple(sizes for n in node.all_input_nodes for sizes in extents.opened(n))
        c.used, c.zeros_vanish = used(node, len(c.shapes)), zeros_vanish(node)
        c.shows_lowest = shows_lowest(node)
        c.kind = next((value.dtype for value in tensors(node)), torch.float32)
        c.narrows = narrows(node, self.finest)
        if name not in ARRANGING and name.removesuffix("_") not in SHAPING:
            for value in _leaves(inputs):
                for bundle in value.bundles:
                    c.see(bundle.places)
        if not c.shapes:
            return self._number(node, inputs)
        result = self._ruled(node, name, inputs, look_up)
        result = self._with_numbers(node, inputs, result, look_up)
        for value, opened in zip(_leaves([result]), c.open, strict=True):
            _keep_open_axes(c, value, opened)
        return result

    def _ruled(self, node: fx.Node, name: str, inputs: Sequence[Any], look_up: LookUp) -> Any:
        """Asks the operator's rule; pins everything where there is none that fits."""
        c = self.c
        known = next((own for own in variants(name) if own in RULES), None)
        if known is None:
            return self._decomposed(node, inputs, look_up, "has no rule")
        rule, c.name = RULES[known], known.partition("::")[2]
        if name.removesuffix("_") not in CARRIES_LOOSE:
            look_up = self._settled(look_up)
        if name.removesuffix("_") not in KNOWS_NAMES:
            look_up = self._unnamed(look_up)
        given, named = self.extents.with_open_numbers(node)
        arguments, keywords = fx.map_arg(given, look_up), fx.map_arg(named, look_up)
        read = list(arguments)
        for names, number in ((SIZED, 0), (SIZED_BY_SECOND, 1)):
            if name in names:
                read[number : number + 1] = [None]  # nobody looks at more than its size
        unread = _unread(rule, (c, *read), keywords)
        for value in _leaves(unread):
            axes.pin(c, value)
        c.never_zero = self.state.untied.get(node)
        if name == SIGN_WITHOUT_ZERO and c.never_zero is None:
            _keep_zeros(c, node.all_input_nodes[0], look_up)
        if rule is view and isinstance(inputs[0], Value):
            axes.pin(c, inputs[0], self.extents.torn(node))
        try:
            result = self._size(node, look_up)
            result = rule(c, *arguments, **keywords) if result is None else result
        except Exception:  # whatever it is: what is not understood stays in place
            result = _of_single_numbers(c, rule, arguments, keywords)
        if result is None or not _fits(result, c.shapes):
            return self._decomposed(node, inputs, look_up, _not_understood(node))
        result = map_aggregate(_stamped(node, result), lambda x: renamed(c, name, x))
        return with_levels(node, (*arguments, *keywords.values()), result)

    def _size(self, node: fx.Node, look_up: LookUp) -> Value | None:
        """What an operator gives that makes the size of a value, or is a part of that."""
        traces = [n for n in (node, self.extents.twin(node)) if n is not None]
        whole = size_of(node) if all(map(size_of, traces)) else None
        law = SIZE
        if whole is None and all(map(is_part, traces)):
            whole = node.all_input_nodes[0]
            law = SIZE if operator_name(node) == "aten::relu" else TRUTH
        value = None if whole is None else look_up(whole)
        return pointwise(self.c, [value], law) if isinstance(value, Value) else None

    def _decomposed(self, node: fx.Node, inputs: Sequence[Any], look_up: LookUp, why: str) -> Any:
        """Follows what an operator is made of; pins everything where nothing is known of that."""
        twin = self.extents.twin(node)
        parts = decomposition(node)
        if parts is None:
            return self._unknown(node, inputs, why)
        if twin is not None:
            other, pairs = decomposition(twin), dict[fx.Node, fx.Node]()
            if other is None or not pair_graphs(parts, other, pairs):
                return self._unknown(node, inputs, why)
            self.program.twin.nodes.update(pairs)  # type: ignore[union-attr]
        names = [n.name for n in parts.graph.nodes if n.op == "placeholder"]
        given = [look_up(n) for n in node.all_input_nodes]
        steps, self.steps = self.steps, []  # the operator itself is the step
        operator_, opened, shapes = self.c.operator, self.c.open, self.c.shapes
        results = self._run(parts, dict(zip(names, given, strict=True)))[0]
        self.steps = steps
        self.c.operator, self.c.open, self.c.shapes = operator_, opened, shapes
        several = isinstance(node.meta.get("val"), list | tuple)
        return results if several else results[0]

    def _settled(self, look_up: LookUp) -> LookUp:
        """Looks up values to which no shift has added anything, as it states."""

        def settled(value: Any) -> Any:
            if not isinstance(value, Value) or not value.loose:
                return value
            axes.settle(self.c, value)
            return replace(value, loose=())

        return lambda node: map_aggregate(look_up(node), settled)

    def _unnamed(self, look_up: LookUp) -> LookUp:
        """Looks up values whose entries name nothing that moves, as it states."""

        def plain(value: Any) -> Any:
            return axes.unnamed(self.c, value) if isinstance(value, Value) else value

        return lambda node: map_aggregate(look_up(node), plain)

    def _with_numbers(
        self, node: fx.Node, inputs: Sequence[Any], result: Any, look_up: LookUp
    ) -> Any:
        """Adds to what follows from buffers and constants alone how its numbers are computed."""
        values = _leaves(inputs)
        held = [value.held for value in values if value.held is not None]
        if not held or any(v.held is None and v.tensor is None for v in values):
            return result
        if draws_random(node) or any(map(axes.is_open, inputs)) or self.extents.varies(node):
            return result
        buffers = frozenset[str]().union(*(x.buffers for x in held))

        def numbers(position: int | None) -> Tensor:
            if node not in self._numbers:
                self._numbers[node] = _computed(node, look_up)
            found: Any = self._numbers[node]
            return found if position is None else found[position]  # type: ignore[no-any-return]

        if isinstance(result, Value):
            return replace(result, held=Held(buffers, lambda: numbers(None)))
        return [
            replace(value, held=Held(buffers, lambda i=i: numbers(i)))  # type: ignore[misc]
            if isinstance(value, Value) else value
            for i, value in enumerate(result)
        ]  # fmt: skip

    def _number(self, node: fx.Node, inputs: Sequence[Any]) -> Any:
        """A number that an operator gives: of lengths, or read from a tensor; None for a check."""
        if node.meta.get("val") is None:
            return None
        for value in _leaves(inputs):
            numbers = axes.numbers_of(self.c, value)
            if numbers is not None and numbers.numel() == 1 and operator_name(node) == "aten::item":
                return numbers.item()
            if operator_name(node) not in MEASURING:
                axes.pin(self.c, value)
        return self.sizes(node.meta.get("val"))

    def _block(self, node: fx.Node, look_up: LookUp) -> Any:
        arguments = fx.map_arg(node.args, look_up)
        graph, inputs = body(arguments)
        names = [n.name for n in graph.graph.nodes if n.op == "placeholder"]
        if len(names) != len(inputs):
            values = [a for a in arguments if isinstance(a, Value)]
            return self._unknown(node, values, "has no rule")
        return self._run(graph, dict(zip(names, inputs, strict=True)))[0]

    def _cond(self, node: fx.Node, look_up: LookUp) -> Any:
        """`torch.cond`: both branches, and either's results."""
        given: Any = fx.map_arg(node.args, look_up)
        condition, yes, no, inputs = given
        for value in _leaves([condition]):
            axes.pin(self.c, value)
        found = []
        for graph in (yes, no):
            names = [n.name for n in graph.graph.nodes if n.op == "placeholder"]
            found.append(self._run(graph, dict(zip(names, inputs, strict=True)))[0])
        self.c.operator = f"operator `cond`{where(node)}"
        return [
            with_level_of_either(axes.either(self.c, (a, b)), (a, b), "cond")
            if isinstance(a, Value) and isinstance(b, Value) else a
            for a, b in zip(*found, strict=True)
        ]  # fmt: skip

    def _unknown(self, node: fx.Node, inputs: Sequence[Any], why: str) -> Any:
        """Pins what an operator reads and returns; says what that costs."""
        c = self.c
        places = []
        for value in _leaves(inputs):
            axes.pin(c, value)
            places += [b.places[b.places >= 0].ravel() for b in value.bundles]
        if places:
            c.losses.append(Loss(f"{c.operator} {why}", np.concatenate(places)))
        return self._made(node, [axes.fixed_value(shape) for shape in c.shapes])

    def _made(self, node: fx.Node, values: Sequence[Value]) -> Any:
        """Values in the place of the tensors that an operator gives."""
        results = iter(values)
        return tree_map_only(Tensor, lambda _: next(results), node.meta.get("val"))


def _keep_zeros(c: Constraints, node: fx.Node, look_up: LookUp) -> None:
    """States that the factors of a product that may be zero keep their signs: 0 x -1 is -0."""
    # up to sums, whose zeros are positive
    before, done = [node], {node}
    while before:
        current = before.pop()
        if current.op == "get_attr":
            continue
        for value in _leaves([look_up(current)]):
            axes.zero(c, value, channels=(SIGN,))
        if current.op == "call_function" and not sums(current):
            before += [n for n in current.all_input_nodes if n not in done]
            done.update(current.all_input_nodes)


def _keep_open_axes(c: Constraints, value: Value, opened: Sequence[bool]) -> None:
    """Pins what lies along an axis that is as long as the inputs: it was cut to their length."""
    for axis, is_open in enumerate(opened):
        dims = value.dims(axis) if is_open else ()
        bundles = [b for b in value.bundles_on(dims) if not b.fixed]
        moving = {d for b in bundles for d in b.dims if not c.is_shuffled(b.places)}
        if dims and moving >= set(dims):
            axes.pin(c, value, [axis])


def _known(value: Any) -> bool:
    if isinstance(value, Value):
        return value.tensor is not None
    if isinstance(value, list | tuple):
        return all(_known(v) for v in value)
    return not axes.is_open(value)


def _folded(c: Constraints, node: fx.Node, look_up: LookUp) -> Any:
    """Runs an operator on known numbers."""
    result = _computed(node, look_up)
    if isinstance(result, list | tuple):
        return [axes.known(c, r) if isinstance(r, Tensor) else r for r in result]
    return axes.known(c, result) if isinstance(result, Tensor) else result


def _computed(node: fx.Node, look_up: LookUp) -> Any:
    def numbers(n: fx.Node) -> Any:
        return map_aggregate(look_up(n), _bare)

    with torch.no_grad():
        return call(node, numbers, Execution(wide=False))


def _bare(value: Any) -> Any:
    if not isinstance(value, Value):
        return value
    return value.held.numbers() if value.held is not None else value.tensor


def _nothing(shape: Sequence[int]) -> Value:
    """A value without entries."""
    return Value(tuple((size,) if size != 1 else () for size in shape), zero=True)


def _ones(c: Constraints, inputs: Sequence[Any], shape: Sequence[int]) -> Value:
    """A value that is the same everywhere, of weights that no matrices may mix."""
    for value in _leaves(inputs):
        axes.unmixed(c, value)
    return Value(tuple((size,) if size != 1 else () for size in shape))


def _not_understood(node: fx.Node) -> str:
    """Why an operator stays in place that has a rule."""
    values = [n.meta.get("val") for n in (node, *node.all_input_nodes)]
    if any(free_unbacked_symbols(x) for x in tree_leaves(values) if isinstance(x, Tensor)):
        return "has as many entries as numbers decide, for which its rule has no axis"
    return "is used in a way that its rule does not know"


def _fits(result: Any, shapes: Sequence[tuple[int, ...]]) -> bool:
    values = tree_leaves(result)
    return len(values) == len(shapes) and all(
        isinstance(value, Value) and value.shape == shape
        for value, shape in zip(values, shapes, strict=True)
    )


_signature = cache(inspect.signature)


def _unread(rule: Any, arguments: Sequence[Any], keywords: Mapping[str, Any]) -> list[Any]:
    """What a rule takes without a name for it, as the tolerance of an inverse, and never reads."""
    try:
        bound = _signature(rule).bind(*arguments, **keywords).arguments
    except TypeError:  # it will not take them
        return []
    return [value for name, value in bound.items() if not name.strip("_")]


def _leaves(values: Any) -> list[Value]:
    return [value for value in tree_leaves(values) if isinstance(value, Value)]


def _of_single_numbers(c: Constraints, rule: Any, arguments: Any, keywords: Any) -> Any:
    """Tries a rule on tensors without axes as on vectors of one entry; None where it fails too."""
    values = _leaves([*arguments, *keywords.values()])
    if not values or any(value.axes for value in values) or any(c.shapes):
        return None

    def vector(value: Any) -> Any:
        return axes.insert_axis(value, 0) if isinstance(value, Value) else value

    c.shapes = ((1,),) * len(c.shapes)
    try:
        result = rule(c, *tree_map(vector, arguments), **tree_map(vector, keywords))
        fits = _fits(result, c.shapes)
    except Exception:
        return None
    finally:
        c.shapes = ((),) * len(c.shapes)
    if not fits:
        return None
    return tree_map_only(Value, lambda value: axes.drop_axis(c, value, 0), result)


def _stamped(node: fx.Node, result: Any) -> Any:
    """Says of a result whether it is true or false."""
    if isinstance(result, Value):
        kinds = [value.dtype for value in tensors(node)]
        return replace(result, mask=kinds[0] in MASKS)
    return result


def _by_constants(name: str, inputs: Sequence[Any]) -> str:
    """Says of an operator that usually reads parameters that it reads constants, which stay."""
    known = any(x.tensor is not None and not x.zero and x.bundles for x in _leaves(inputs))
    return BY_CONSTANTS if known and name.removeprefix("aten::") in PRODUCTS else ""
