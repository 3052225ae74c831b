"""Runs the rules over a traced module: every operator states its facts, in order."""

import operator
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx

from toroids.binary.sign import OPERATOR as SIGN_WITHOUT_ZERO
from toroids.discovery import axes
from toroids.discovery.axes import SIGN, Value
from toroids.discovery.constraints import Constraints, Loss
from toroids.discovery.program import (
    SIGNS,
    Execution,
    Program,
    attribute,
    body,
    call,
    is_in_place,
    operator_name,
)
from toroids.discovery.rules import RULES
from toroids.discovery.ties import sums, untied_signs


@dataclass(frozen=True)
class Step:
    """One operator of a program, with its values as they were before and after it.

    Attributes:
        node: the operator.
        inputs: the nodes that it looks at, and their values.
        results: the values that it gives.
    """

    node: fx.Node
    inputs: tuple[tuple[fx.Node, Any], ...]
    results: tuple[Value, ...]


@dataclass
class Inference:
    """The facts about one program.

    Attributes:
        constraints: all statements.
        parameters: the parameters and moving buffers that were used, by first name.
        outputs: the values that the program returns.
        inputs: the values that the program takes.
        steps: the operators in order, blocks opened; None where they were not asked for.
        untied: signs that never meet a zero, and what that takes for granted.
    """

    constraints: Constraints
    parameters: dict[str, Value] = field(default_factory=dict)
    outputs: list[Any] = field(default_factory=list)
    inputs: list[Value] = field(default_factory=list)
    steps: list[Step] | None = None
    untied: dict[fx.Node, frozenset[str]] = field(default_factory=dict)


def infer(program: Program, with_steps: bool = False) -> Inference:
    """States the facts of every operator of `program`, and pins its outputs.

    Args:
        program: the traced module.
        with_steps: whether to keep what every operator looks at and gives.

    Returns:
        The facts.
    """
    sources = {
        node: program.sources[node.name]
        for node in program.graph.graph.nodes
        if node.op == "placeholder"
    }
    state = Inference(Constraints(), steps=[] if with_steps else None)
    grouped, statistics = _special_uses(program)
    state.constraints.binary = _binary(program)
    state.untied = untied_signs(program.graph, sources)
    environment: dict[str, Any] = {}
    for name, source in program.sources.items():
        if not isinstance(source.value, Tensor):
            environment[name] = source.value
        elif source.kind == "input":
            environment[name] = axes.fixed_value(source.value.shape)
            state.inputs.append(environment[name])
        elif source.kind == "parameter" or name in statistics:
            environment[name] = _Lazy(source.name, tuple(source.value.shape), grouped.get(name))
        else:
            environment[name] = axes.constant(source.value)
    state.outputs = _run(state, program.graph, environment)
    counted = [name for name in program.outputs if name is not None]
    for value, output in zip(state.outputs, program.outputs, strict=True):
        if output is not None and isinstance(value, Value):
            axes.pin(state.constraints, value)
            places = [b.places[b.places >= 0].ravel() for b in value.bundles]
            if len(counted) > 1 and any(found.size for found in places):
                reason = f"output `{output}` is preserved (name one output with output_key)"
                state.constraints.losses.append(Loss(reason, np.concatenate(places)))
    return state


@dataclass(frozen=True)
class _Lazy:
    """A parameter before its first use: places are numbered in the order of use."""

    name: str
    shape: tuple[int, ...]
    groups: int | None

    def value(self, state: Inference) -> Value:
        if self.name not in state.parameters:
            c = state.constraints
            state.parameters[self.name] = (
                axes.parameter(c, self.name, self.shape)
                if self.groups is None
                else axes.grouped_parameter(c, self.name, self.shape, self.groups)
            )
        return state.parameters[self.name]


def _binary(program: Program) -> set[str]:
    """Parameters of which only the signs are read."""
    read: dict[str, bool] = {}
    for node in program.graph.graph.nodes:
        source = program.sources.get(node.name) if node.op == "placeholder" else None
        if source is not None and source.kind == "parameter" and node.users:
            signed = all(
                u.op == "call_function" and operator_name(u) in SIGNS and not is_in_place(u)
                for u in node.users
            )
            read[source.name] = read.get(source.name, True) and signed
    return {name for name, signed in read.items() if signed}


NORMS = ("aten::batch_norm", "aten::instance_norm", "aten::_native_batch_norm_legit_no_training")


def _special_uses(program: Program) -> tuple[dict[str, int], set[str]]:
    """Weights that only one grouped convolution reads, and running statistics of batch norms."""
    grouped: dict[str, int] = {}
    statistics: set[str] = set()
    elsewhere: set[str] = set()
    for node in program.graph.graph.nodes:
        name = operator_name(node) if node.op == "call_function" else ""
        moved: list[Any] = []
        if name in NORMS:
            moved = [a for a in node.args[3:5] if isinstance(a, fx.Node)]
            statistics |= {a.name for a in moved}
        elif name.startswith("aten::conv") and len(node.args) > 1:
            groups = _groups(node)
            weight = node.args[1]
            if groups > 1 and isinstance(weight, fx.Node) and len(weight.users) == 1:
                if weight.meta["val"].shape[1] > 1:
                    grouped[weight.name] = groups
        elsewhere |= {a.name for a in node.all_input_nodes if a not in moved}
    return grouped, statistics - elsewhere


def _groups(node: fx.Node) -> int:
    names = [a.name for a in node.target._schema.arguments]  # type: ignore[union-attr]
    position = names.index("groups")
    value = node.args[position] if position < len(node.args) else node.kwargs.get("groups", 1)
    return int(value)  # type: ignore[arg-type]


def _run(state: Inference, graph: fx.GraphModule, environment: dict[str, Any]) -> list[Any]:
    values: dict[fx.Node, Any] = {}

    def look_up(node: fx.Node) -> Any:
        value = values[node]
        return value.value(state) if isinstance(value, _Lazy) else value

    for node in graph.graph.nodes:
        if node.op == "placeholder":
            values[node] = environment[node.name]
        elif node.op == "get_attr":
            found = attribute(graph, node.target)
            values[node] = axes.constant(found) if isinstance(found, Tensor) else found
        elif node.op == "call_function":
            values[node] = _operator(state, node, look_up)
            if state.steps is not None and not _is_block(node):
                seen = tuple((n, look_up(n)) for n in node.all_input_nodes)
                state.steps.append(Step(node, seen, tuple(_leaves([values[node]]))))
            if is_in_place(node):
                values[node.args[0]] = values[node]
        elif node.op == "output":
            return [look_up(a) if isinstance(a, fx.Node) else a for a in node.args[0]]
    return []


def _operator(state: Inference, node: fx.Node, look_up: Any) -> Any:
    c = state.constraints
    if _is_block(node):
        return _block(state, node, look_up)
    inputs = [look_up(n) for n in node.all_input_nodes]
    if node.target is operator.getitem:
        return inputs[0][node.args[1]]
    if all(_known(value) for value in inputs) and not _is_random(node):
        return _folded(node, look_up)
    c.shapes = _shapes(node)
    if not c.shapes:
        return None
    name = operator_name(node)
    found = RULES.get(name) or RULES.get(name.removesuffix("_"))
    arguments = fx.map_arg(node.args, look_up)
    keywords = fx.map_arg(dict(node.kwargs), look_up)
    why = "has no rule"
    if found is not None:
        c.softmax_follows = name in CONTRACTIONS and _softmax_follows(node)
        c.never_zero = state.untied.get(node)
        if name == SIGN_WITHOUT_ZERO and c.never_zero is None:
            _keep_zeros(c, node.all_input_nodes[0], look_up)
        try:
            result = found(c, *arguments, **keywords)
            if _fits(result, c.shapes):
                return result
            why = "is used in a way that its rule does not know"
        except (
            ValueError,
            TypeError,
            IndexError,
            KeyError,
            AttributeError,
            AssertionError,
        ) as error:
            why = f"is used in a way that its rule fails on ({type(error).__name__}: {error})"
    return _unknown(state, node, inputs, why)


def _keep_zeros(c: Constraints, node: fx.Node, look_up: Any) -> None:
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


def _is_block(node: fx.Node) -> bool:
    return isinstance(node.target, torch._ops.HigherOrderOperator)


CONTRACTIONS = ("aten::matmul", "aten::bmm", "aten::einsum", "aten::baddbmm")
PASS_SHIFTS = (
    "aten::mul", "aten::div", "aten::add", "aten::view", "aten::reshape", "aten::to",
    "aten::_to_copy", "aten::dropout", "aten::clone", "aten::contiguous", "aten::_unsafe_view",
    "aten::unsqueeze",
)  # fmt: skip


def _softmax_follows(node: fx.Node) -> bool:
    """Whether all that happens to a product is that a softmax over its last axis reads it."""
    size = node.meta["val"].shape[-1]
    users = list(node.users)
    if not users:
        return False
    for user in users:
        name = operator_name(user).removesuffix("_")
        if name in ("aten::softmax", "aten::_softmax"):
            if user.args[1] not in (-1, user.meta["val"].ndim - 1):
                return False
            continue
        if name not in PASS_SHIFTS or user.meta["val"].shape[-1] != size:
            return False
        if name in ("aten::mul", "aten::div"):
            factor = user.args[1] if user.args[0] is node else user.args[0]
            if isinstance(factor, fx.Node) and factor.meta["val"].numel() != 1:
                return False
        if not _softmax_follows(user):
            return False
    return True


def _block(state: Inference, node: fx.Node, look_up: Any) -> Any:
    arguments = fx.map_arg(node.args, look_up)
    if not any(isinstance(a, fx.GraphModule) for a in arguments):
        return None
    graph, inputs = body(arguments)
    names = [n.name for n in graph.graph.nodes if n.op == "placeholder"]
    known = "wrap_with" in str(node.target)
    if not known or len(names) != len(inputs):
        return _unknown(state, node, [a for a in arguments if isinstance(a, Value)], "has no rule")
    return _run(state, graph, dict(zip(names, inputs, strict=True)))


def _known(value: Any) -> bool:
    if isinstance(value, Value):
        return value.tensor is not None
    if isinstance(value, list | tuple):
        return all(_known(v) for v in value)
    return True


def _is_random(node: fx.Node) -> bool:
    return torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ())


def _folded(node: fx.Node, look_up: Any) -> Any:
    """Runs an operator on known numbers."""

    def numbers(n: fx.Node) -> Any:
        value = look_up(n)
        if isinstance(value, list | tuple):
            return [v.tensor if isinstance(v, Value) else v for v in value]
        return value.tensor if isinstance(value, Value) else value

    with torch.no_grad():
        result = call(node, numbers, Execution(wide=False))
    if isinstance(result, list | tuple):
        return [axes.constant(r) if isinstance(r, Tensor) else r for r in result]
    return axes.constant(result) if isinstance(result, Tensor) else result


def _shapes(node: fx.Node) -> tuple[tuple[int, ...], ...]:
    value = node.meta.get("val")
    values = value if isinstance(value, list | tuple) else [value]
    return tuple(tuple(int(s) for s in v.shape) for v in values if isinstance(v, Tensor))


def _fits(result: Any, shapes: Sequence[tuple[int, ...]]) -> bool:
    values = result if isinstance(result, list | tuple) else [result]
    return len(values) == len(shapes) and all(
        isinstance(value, Value) and value.shape == shape
        for value, shape in zip(values, shapes, strict=True)
    )


def _unknown(state: Inference, node: fx.Node, inputs: Sequence[Any], why: str) -> Any:
    """Pins what an operator reads and returns; says what that costs."""
    c = state.constraints
    places = []
    for value in _leaves(inputs):
        axes.pin(c, value)
        places += [b.places[b.places >= 0].ravel() for b in value.bundles]
    if places:
        where = _where(node)
        c.losses.append(
            Loss(f"operator `{operator_name(node)}`{where} {why}", np.concatenate(places))
        )
    shapes = _shapes(node)
    results = [axes.fixed_value(shape) for shape in shapes]
    several = isinstance(node.meta.get("val"), list | tuple)
    return results if several else (results[0] if results else None)


def _leaves(values: Sequence[Any]) -> list[Value]:
    found: list[Value] = []
    for value in values:
        if isinstance(value, Value):
            found.append(value)
        elif isinstance(value, list | tuple):
            found += _leaves(value)
    return found


def _where(node: fx.Node) -> str:
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    path = str(stack[-1][0]) if stack else ""
    path = path.replace("L['self'].", "").removeprefix("model").lstrip(".")
    return f" in `{path}`" if path else ""
