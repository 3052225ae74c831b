"""A traced module: tensor operators in their order, and how they are run on any parameters.

In float64, whatever the module's own precision, so that what is compared differs by rounding only.
"""

import itertools
import operator
from collections import Counter
from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, TypeAlias

import sympy
import torch
from torch import Tensor, fx
from torch.fx.node import map_aggregate
from torch.utils._pytree import tree_leaves

from toroids.binary.sign import OPERATOR as SIGN_WITHOUT_ZERO
from toroids.discovery.axes.values import OpenFloat, OpenInt
from toroids.discovery.tracing.bounded import check_states
from toroids.discovery.tracing.example import Axis, Example
from toroids.errors import DataError, first_line
from toroids.params import Params

WIDE = {
    torch.float32: torch.float64, torch.float16: torch.float64, torch.bfloat16: torch.float64,
    torch.complex64: torch.complex128, torch.complex32: torch.complex128,
}  # fmt: skip
CPU = torch.device("cpu")
SIGNS = ("aten::sign", "aten::sgn", SIGN_WITHOUT_ZERO)  # operators that keep only the sign
LookUp = Callable[[fx.Node], Any]
Watch = Callable[[fx.Node, LookUp], None]
# Gives the names of the values that it needs, one by one, takes each, and returns what it computed.
Run: TypeAlias = Generator[str, Any, list[Any]]


@dataclass(frozen=True)
class Execution:
    """How a graph is run.

    Attributes:
        wide: whether casts to narrow types are rewritten to float64.
        device: where everything lies, whatever device was traced on.
        watch: called before every operator with its node and a function that gives the values of
            its inputs; it must not change them.
    """

    wide: bool = True
    device: torch.device = CPU
    watch: Watch | None = None


@dataclass(frozen=True)
class Source:
    """What a placeholder of the graph stands for.

    Attributes:
        kind: "parameter", "buffer", "constant" or "input".
        name: of the parameter or buffer, under which its first use in the module is known.
        value: the tensor at tracing time; of inputs, the example.
        number: of an input, which tensor of the example it is.
    """

    kind: str
    name: str
    value: Any
    number: int = -1


@dataclass(frozen=True, eq=False)
class Program:
    """A traced module.

    Attributes:
        graph: the operators.
        sources: what every placeholder stands for, by the placeholder's name.
        shapes: of everything in the state dict.
        aliases: all names of every tensor that has several.
        parameters: names in `shapes` that are parameters.
        whole: those of them that hold integers, which nothing trains.
        outputs: names of the outputs, in order; None for those that are not counted.
        mutated: for outputs that are not counted, the buffer that takes their value.
        example: the inputs that were traced.
        lengths: of the axes of the inputs that were traced as free: symbols, or terms in them.
        ranges: the least and the largest number (None: no limit) that a symbol may stand for.
        guards: conditions on the symbols under which it was traced.
        equal: symbols for which others, or numbers, stand.
        twin: a trace at other sizes of the inputs that differs in numbers only, where there is one.
        notes: what was not counted.
        origin: the trace of which this one is at other sizes (`resized`), if it was not traced.
    """

    graph: fx.GraphModule
    sources: dict[str, Source]
    shapes: dict[str, tuple[int, ...]]
    aliases: dict[str, tuple[str, ...]]
    parameters: frozenset[str]
    whole: frozenset[str]
    outputs: tuple[str | None, ...]
    mutated: tuple[str | None, ...]
    example: Example
    lengths: dict[Axis, sympy.Expr]
    ranges: dict[str, tuple[int, int | None]]
    guards: tuple[sympy.Basic, ...]
    equal: dict[sympy.Symbol, sympy.Expr]
    twin: "Twin | None"
    notes: tuple[str, ...]
    origin: "Program | None" = None

    @cached_property
    def has_empty(self) -> bool:
        """Whether there are tensors without entries in it, of which it shows nothing."""
        nodes = self.graph.graph.nodes
        tensors = (x for node in nodes for x in tree_leaves(node.meta.get("val")))
        # a length that the data decide is no number, and cannot be compared with one
        sizes = (n for x in tensors if isinstance(x, Tensor) for n in x.shape)
        return any(isinstance(n, int) and n == 0 for n in sizes)

    def run(
        self,
        params: Params,
        wide: bool = True,
        gradients: bool = False,
        inputs: Sequence[Tensor] | None = None,
    ) -> list[Tensor]:
        """Computes the outputs.

        Args:
            params: values for parameters and buffers that replace those of the module. Of several
                names of one tensor the last in `params` counts, as in `load_state_dict`.
            wide: compute in float64, else in each tensor's own precision.
            gradients: whether to record gradients.
            inputs: the example's tensors, or others in their place.

        Returns:
            The tensors that count, in order, in float64.
        """
        with torch.set_grad_enabled(gradients):
            return side_by_side([self.run_on(params, inputs, wide)], params)[0]

    def run_on(
        self, names: Collection[str], inputs: Sequence[Tensor] | None = None, wide: bool = True
    ) -> Run:
        """The same as `run`, for `side_by_side`.

        Args:
            names: of parameters and buffers that replace those of the module.
            inputs: the example's tensors, or others in their place.
            wide: compute in float64, else in each tensor's own precision.

        Yields:
            The name of every parameter when it is first used.

        Returns:
            The tensors that count, in order, in float64.
        """
        found = yield from self._executed(names, Execution(wide), inputs)
        kept = [
            value
            for value, name in zip(found, self.outputs, strict=True)
            if name is not None and isinstance(value, Tensor)
        ]
        return [torch.view_as_real(v) if v.is_complex() else v.double() for v in kept]

    def execute(
        self, params: Params, how: Execution, inputs: Sequence[Tensor] | None = None
    ) -> list[Any]:
        """Runs the graph, as told.

        Args:
            params: values for parameters and buffers that replace those of the module.
            how: in which precision, where, and who watches.
            inputs: the example's tensors, or others in their place.

        Returns:
            Whatever the graph returns.

        Raises:
            DataError: an operator does not take what it is given, as integers where it was traced
                for floating inputs.
        """
        return side_by_side([self._executed(params, how, inputs)], params)[0]

    def _executed(
        self, names: Collection[str], how: Execution, inputs: Sequence[Tensor] | None
    ) -> Run:
        first = {other: names[0] for names in self.aliases.values() for other in names}
        last = {first.get(name, name): name for name in names}
        steps, value = _steps(self.graph, how), None
        try:
            while True:
                source = self.sources[steps.send(value)]
                value = source.value
                if source.kind in ("parameter", "buffer") and source.name in last:
                    value = yield last[source.name]
                elif source.kind == "input" and inputs is not None and source.number >= 0:
                    value = inputs[source.number]
                if isinstance(value, Tensor):
                    value = value.to(how.device)
                value = prepared(value, how.wide, source.kind != "parameter")
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        except torch.OutOfMemoryError:
            raise
        except (RuntimeError, IndexError, ValueError, TypeError, ArithmeticError) as error:
            raise DataError(
                f"the model cannot run on these inputs: {first_line(error)}; pass an example that "
                "it runs on."
            ) from error


@dataclass(frozen=True, eq=False)
class Twin:
    """A trace of the same module at other sizes of its inputs, which differs in numbers only.

    Attributes:
        program: the trace.
        nodes: for every operator of the first trace its like.
        constants: placeholders and attributes whose values differ.
    """

    program: Program
    nodes: dict[fx.Node, fx.Node]
    constants: frozenset[fx.Node]

    @property
    def differing(self) -> set[tuple[fx.Node, int] | fx.Node]:
        """All of the first trace that is another number in the twin."""
        return {*self.numbers, *self.constants}

    @cached_property
    def numbers(self) -> dict[tuple[fx.Node, int], tuple[float, float]]:
        """The arguments of operators that are other numbers in the twin, here and there."""
        found = {}
        for a, b in self.nodes.items():
            own, others = (tree_leaves((x.args, dict(x.kwargs))) for x in (a, b))
            for position, (x, y) in enumerate(zip(own, others, strict=True)):
                if isinstance(x, int | float) and x != y:
                    found[a, position] = x, y
        return found


def twin_of(one: Program, other: Program) -> Twin | None:
    """Pairs the operators of two traces of one module at other sizes of its inputs.

    Args:
        one: a trace.
        other: another one.

    Returns:
        The second as a twin of the first; None where they differ in more than numbers, as a loop
        over time does.
    """
    nodes: dict[fx.Node, fx.Node] = {}
    if one.outputs != other.outputs or not pair_graphs(one.graph, other.graph, nodes):
        return None
    differing = {
        a
        for a, b in nodes.items()
        if a.op == "placeholder" and a.name in one.sources
        and one.sources[a.name].kind not in ("input", "parameter", "buffer")
        and not _equal(one.sources[a.name].value, other.sources[b.name].value)
    }  # fmt: skip
    return Twin(other, nodes, frozenset(differing))


def pair_graphs(a: fx.GraphModule, b: fx.GraphModule, pairs: dict[fx.Node, fx.Node]) -> bool:
    """Notes in `pairs` the like of every node; False where graphs differ in more than numbers."""
    first, second = list(a.graph.nodes), list(b.graph.nodes)
    if len(first) != len(second):
        return False
    for x, y in zip(first, second, strict=True):
        pairs[x] = y
        same = x.op == y.op and (x.op == "output" or str(x.target) == str(y.target))
        if not same or _ranks(x) != _ranks(y):
            return False
        if not _pair_arguments((x.args, dict(x.kwargs)), (y.args, dict(y.kwargs)), pairs):
            return False
        if x.op == "get_attr":
            parts = attribute(a, x.target), attribute(b, y.target)
            if all(isinstance(part, fx.GraphModule) for part in parts):
                if not pair_graphs(parts[0], parts[1], pairs):
                    return False
            elif not _equal(*parts):
                return False
    return True


def _ranks(node: fx.Node) -> list[int]:
    """Numbers of axes of the tensors that a node gives."""
    value = node.meta.get("val")
    values = value if isinstance(value, list | tuple) else [value]
    return [v.ndim for v in values if isinstance(v, Tensor)]


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return a.shape == b.shape and bool(torch.equal(a, b))
    return bool(a == b)


def _pair_arguments(a: Any, b: Any, pairs: Mapping[fx.Node, fx.Node]) -> bool:
    """Whether arguments are the same but for numbers."""
    if isinstance(a, fx.Node) or isinstance(b, fx.Node):
        return pairs.get(a) is b
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(
            _pair_arguments(x, y, pairs) for x, y in zip(a, b, strict=True)
        )
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_pair_arguments(a[k], b[k], pairs) for k in a)
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    return (isinstance(a, int | float) and isinstance(b, int | float)) or bool(a == b)


@cache
def varies(expression: sympy.Expr) -> bool:
    """Whether an expression of lengths depends on them, as 16 s // (4 s) does not."""
    found = {_evaluated(expression, lengths) for lengths in probes(expression)} - {None}
    return len(found) != 1


@cache
def probes(expression: sympy.Expr) -> tuple[dict[sympy.Symbol, sympy.Integer], ...]:
    """Unlike lengths, short and long ones, and those near the numbers of an expression."""
    # where max(0, s - 100) or s == 77 are something else, a number in them says
    symbols = sorted(expression.free_symbols, key=str)
    near = {int(x) for x in expression.atoms(sympy.Integer) if 1 < abs(x) < 2**31}
    firsts = [5, 12, 41, *sorted({abs(n) + k for n in near for k in (-1, 0, 1)}), 1009, 100_003]
    spread = [{x: first + 6 * n + n % 2 for n, x in enumerate(symbols)} for first in firsts]
    apart = [dict.fromkeys(symbols, 12) | {x: n} for x in symbols for n in (12, 2003)]
    lengths = [
        one
        for one in (*spread, *(apart if len(symbols) > 1 else []))
        if all(size > 0 for size in one.values())
    ]
    return tuple({x: sympy.Integer(size) for x, size in one.items()} for one in lengths)


def _evaluated(expression: sympy.Expr, lengths: Mapping[sympy.Symbol, sympy.Integer]) -> Any:
    """The number that an expression is; None where it is none, as of lengths below zero."""
    try:
        return expression.xreplace(dict(lengths))
    except (ZeroDivisionError, AssertionError, ValueError, TypeError):
        return None


class Sizes:
    """The numbers that lengths stand for, in one call of a traced module.

    A length that depends on data, as the number of entries that are not zero, stands for a number
    of its own.
    """

    def __init__(self, program: Program, sizes: Mapping[Axis, int] | None = None) -> None:
        """Takes the lengths of the example, or others."""
        self._numbers: dict[sympy.Symbol, sympy.Integer] = {}
        self._equal = program.equal
        self._known: dict[sympy.Expr, Any] = {}
        self._data = itertools.count(101, 2)
        for axis, length in program.lengths.items():
            size = program.example.size(axis) if sizes is None else sizes[axis]
            for symbol in length.free_symbols - self._numbers.keys():
                found = sympy.solve(sympy.Eq(length, size), symbol) if length != symbol else [size]
                if len(length.free_symbols) == 1 and found:
                    self._numbers[symbol] = sympy.Integer(found[0])

    def __call__(self, x: Any) -> Any:
        """A size as a number, open where it depends on the inputs; anything else as it is."""
        if not isinstance(x, torch.SymInt | torch.SymFloat | torch.SymBool):
            return x
        expression = x.node.expr.xreplace(self._equal)
        if expression not in self._known:
            for symbol in sorted(expression.free_symbols - self._numbers.keys(), key=str):
                self._numbers[symbol] = sympy.Integer(next(self._data))
            number = expression.xreplace(self._numbers)
            self._known[expression] = _number(x, expression, number)
        return self._known[expression]

    def of(self, expression: sympy.Expr) -> Any:
        """The number that an expression of lengths is."""
        return _evaluated(expression, self._numbers)

    def elsewhere(self, program: Program, expression: sympy.Expr) -> dict[Axis, int] | None:
        """Lengths that the trace allows at which an expression is another number, if there are."""
        now = self.of(expression)
        for lengths in probes(expression):
            numbers = self._numbers | lengths
            if _evaluated(expression, numbers) != now and _allows(program, numbers):
                return {axis: int(own.xreplace(numbers)) for axis, own in program.lengths.items()}
        return None


def _number(x: Any, expression: sympy.Expr, number: sympy.Basic) -> Any:
    """What a symbolic number is, marked where it depends on lengths."""
    if isinstance(x, torch.SymFloat):
        return OpenFloat(number).made_by(expression)
    if varies(expression):
        return OpenInt(bool(number) if isinstance(x, torch.SymBool) else number).made_by(expression)
    return bool(number) if isinstance(x, torch.SymBool) else int(number)


def holds_at(program: Program, axis: Axis, size: int) -> bool:
    """Whether the guards of a trace on one length alone hold where it is this one."""
    length = program.lengths[axis]
    own = [guard for guard in program.guards if guard.free_symbols == {length}]
    return all(_evaluated(g, {length: sympy.Integer(size)}) != sympy.false for g in own)


def relates(program: Program, example: Example) -> bool:
    """Whether the lengths of an example are to each other as a trace takes for granted."""
    numbers: dict[sympy.Symbol, sympy.Integer] = {}
    for axis, length in program.lengths.items():
        size = sympy.Integer(example.size(axis))
        if length.is_Symbol and numbers.setdefault(length, size) != size:
            return False
    several = [guard for guard in program.guards if len(guard.free_symbols) > 1]
    return all(_evaluated(guard, numbers) != sympy.false for guard in several)


def _allows(program: Program, numbers: Mapping[sympy.Symbol, sympy.Integer]) -> bool:
    """Whether a trace holds where its symbols stand for these numbers."""
    for symbol, number in numbers.items():
        least, most = program.ranges.get(str(symbol), (1, None))
        if number < least or (most is not None and number > most):
            return False
    return all(_evaluated(guard, numbers) != sympy.false for guard in program.guards)


def other_sizes(program: Program) -> dict[Axis, int]:
    """Lengths of all free axes that differ from the example's, where one more is allowed."""
    found = {}
    for axis, length in program.lengths.items():
        size = program.example.size(axis)
        _, most = program.ranges.get(str(length), (2, size))
        found[axis] = size + 1 if most is None or size < most else size
    return found


def on_cpu(value: Any) -> Any:
    """A tensor on the CPU, without its history; anything else as it is."""
    return value.detach().cpu() if isinstance(value, Tensor) else value


def prepared(value: Any, wide: bool, own: bool) -> Any:
    """A tensor in float64 where asked for; a copy where the graph may write into it."""
    if not isinstance(value, Tensor):
        return value
    if wide and value.is_floating_point() and value.dtype != torch.float64:
        return value.double()
    return value.clone() if own else value


def side_by_side(runs: Sequence[Run], params: Params) -> list[list[Any]]:
    """Goes through runs together: those that need the same tensor next are given it at once.

    So one that is drawn, moved or read whenever it is asked for is made once for all of them.

    Args:
        runs: not yet begun.
        params: what they ask for.

    Returns:
        What each of them gives.
    """
    results: list[list[Any]] = [[]] * len(runs)
    asked: dict[int, str] = {}

    def go_on(number: int, value: Any) -> None:
        try:
            asked[number] = runs[number].send(value)
        except StopIteration as end:
            asked.pop(number, None)
            results[number] = end.value

    for number in range(len(runs)):
        go_on(number, None)
    while asked:
        name = Counter(asked.values()).most_common(1)[0][0]
        value = params[name]
        for number in [number for number, other in asked.items() if other == name]:
            go_on(number, value)
        del value  # before the next is made
    return results


def run_graph(graph: fx.GraphModule, values: Mapping[str, Any], how: Execution) -> list[Any]:
    """Runs a graph; frees what is not used again.

    Args:
        graph: operators as `torch.export` gives them.
        values: of placeholders, by name.
        how: in which precision, where, and who watches.

    Returns:
        What the graph returns.
    """
    return side_by_side([_steps(graph, how)], values)[0]


def _steps(graph: fx.GraphModule, how: Execution) -> Run:
    """Runs a graph; asks for the value of a placeholder by its name when it is first used."""
    last: dict[fx.Node, fx.Node] = {}
    for node in graph.graph.nodes:
        for used in node.all_input_nodes:
            last[used] = node
    values: dict[fx.Node, Any] = {}
    for node in graph.graph.nodes:
        for used in node.all_input_nodes:
            if used.op == "placeholder" and used not in values:
                values[used] = yield used.name
        if node.op == "get_attr":
            found = attribute(graph, node.target)
            found = found.to(how.device) if isinstance(found, Tensor) else found
            values[node] = prepared(found, how.wide, False)
        elif node.op == "call_function":
            if how.watch is not None:
                how.watch(node, values.__getitem__)
            values[node] = call(node, values.__getitem__, how)
        elif node.op == "output":
            return [values[a] if isinstance(a, fx.Node) else a for a in node.args[0]]
        for used in node.all_input_nodes:
            if last[used] is node:
                values.pop(used, None)
    return []


def call(node: fx.Node, look_up: LookUp, how: Execution) -> Any:
    """Runs one operator on values that `look_up` gives for its inputs."""
    arguments = fx.map_arg(node.args, look_up)
    keywords = fx.map_arg(dict(node.kwargs), look_up)
    if is_block(node):
        graph, inputs = body(arguments)
        names = [n.name for n in graph.graph.nodes if n.op == "placeholder"]
        with _mode(node, arguments, how):
            return tuple(run_graph(graph, dict(zip(names, inputs, strict=True)), how))
    name = operator_name(node)
    if name == "while_loop":
        return _looped(arguments, how)
    if isinstance(node.target, torch._ops.HigherOrderOperator):  # torch.cond, map, scan
        arguments = map_aggregate(arguments, lambda a: _branch(a, how))
    arguments, keywords = _rewritten(arguments, how), _rewritten(keywords, how)
    if name == "aten::lstm":
        check_states(*arguments)
    run = _WITH_SLOPES.get(name, node.target)
    result = run(*arguments, **keywords)  # type: ignore[operator]
    if how.wide and isinstance(result, Tensor) and result.dtype in WIDE:
        return result.to(WIDE[result.dtype])
    return result


def _copied(into: Tensor, source: Tensor, *_: Any) -> Tensor:
    return source.to(into.dtype).expand_as(into).clone()


def _looked_up(table: Tensor, rows: Tensor, *_: Any) -> Tensor:
    return torch.nn.functional.embedding(rows, table)


def _viewed(x: Tensor, shape: Any) -> Tensor:
    return x.view(shape) if isinstance(shape, torch.dtype) else x.reshape(shape)


# Operators that give the same by others, with which all slopes are known: an embedding hides those
# of its padding row, a copy has none, and attention whose mask is learned lies in memory otherwise.
_WITH_SLOPES: dict[str, Callable[..., Tensor]] = {
    "aten::copy": _copied,
    "aten::embedding": _looked_up,
    "aten::view": _viewed,
}


def is_block(node: fx.Node) -> bool:
    """Whether a node runs a graph as it is, under a mode: `no_grad`, `autocast`."""
    higher = isinstance(node.target, torch._ops.HigherOrderOperator)
    return higher and "wrap_with" in str(node.target)


def _mode(node: fx.Node, arguments: Sequence[Any], how: Execution) -> AbstractContextManager[Any]:
    """The mode in which a block runs: `autocast`, except where all is computed in float64."""
    if how.wide or "autocast" not in str(node.target):
        return nullcontext()
    _, kind, enabled, cached = arguments[:4]
    return torch.autocast(how.device.type, kind, bool(enabled), cached)


def _branch(argument: Any, how: Execution) -> Any:
    """A graph of `torch.cond` and the like as a function of its inputs; anything else as it is."""
    if not isinstance(argument, fx.GraphModule):
        return argument
    names = [n.name for n in argument.graph.nodes if n.op == "placeholder"]
    return lambda *inputs: tuple(run_graph(argument, dict(zip(names, inputs, strict=True)), how))


def _looped(arguments: Sequence[Any], how: Execution) -> tuple[Any, ...]:
    """What `while_loop` returns."""
    holds, step = (_branch(graph, how) for graph in arguments[:2])
    carried, others = tuple(arguments[2]), tuple(arguments[3])
    while bool(holds(*carried, *others)[0]):
        carried = step(*carried, *others)
    return carried


def body(arguments: Sequence[Any]) -> tuple[fx.GraphModule, Sequence[Any]]:
    """The graph that a block (`no_grad`, `autocast`) runs, and what it runs on."""
    position = next(i for i, a in enumerate(arguments) if isinstance(a, fx.GraphModule))
    return arguments[position], arguments[position + 1 :]


def _rewritten(arguments: Any, how: Execution) -> Any:
    """Arguments with narrow types made float64 where asked for, and every device the one asked."""
    if isinstance(arguments, dict):
        return {key: _rewritten(value, how) for key, value in arguments.items()}
    if isinstance(arguments, list | tuple):
        return type(arguments)(_rewritten(value, how) for value in arguments)
    if how.wide and isinstance(arguments, torch.dtype) and arguments in WIDE:
        return WIDE[arguments]
    return how.device if isinstance(arguments, torch.device) else arguments


def attribute(graph: fx.GraphModule, target: Any) -> Any:
    """What a graph holds under a dotted name."""
    value: Any = graph
    for part in str(target).split("."):
        value = getattr(value, part)
    return on_cpu(value)


def is_in_place(node: fx.Node) -> bool:
    """Whether an operator writes into its first argument."""
    name = operator_name(node)
    return name.endswith("_") and not name.endswith("__") and "::" in name


def operator_name(node: fx.Node) -> str:
    """The name of a node's operator, its overload left out."""
    if node.target is operator.getitem:
        return "getitem"
    schema = getattr(node.target, "_schema", None)
    return str(schema.name) if schema is not None else str(node.target)


def short_name(node: fx.Node) -> str:
    """The name of a node's operator, its namespace and overload left out."""
    return operator_name(node).rpartition("::")[2]


def draws_random(node: fx.Node) -> bool:
    """Whether an operator draws random numbers, as one of dropout in evaluation does not."""
    return draws(node.target, node.args, node.kwargs)


def draws(operator: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    """Whether an operator draws random numbers with these arguments."""
    if torch.Tag.nondeterministic_seeded not in getattr(operator, "tags", ()):
        return False
    schema = operator._schema.arguments
    given = {a.name: a.default_value for a in schema if a.has_default_value()}
    given |= {a.name: value for a, value in zip(schema, args, strict=False)} | dict(kwargs)
    return not any(given.get(name) == value for name, value in IDLE if name in given)


# Settings with which an operator that can draw random numbers draws none.
IDLE = (("p", 0), ("dropout_p", 0), ("train", False), ("training", False))


def finest_of(program: Program) -> float:
    """The relative step of the most precise parameter."""
    kinds = {s.value.dtype for s in program.sources.values() if s.kind == "parameter"}
    return min((torch.finfo(kind).eps for kind in kinds if kind.is_floating_point), default=0.0)


def narrows(node: fx.Node, finest: float) -> bool:
    """Whether an operator rounds its argument to a type that is narrower than the parameters."""
    before = (
        node.args[0].meta.get("val") if node.args and isinstance(node.args[0], fx.Node) else None
    )
    after = node.meta.get("val")
    if not isinstance(before, Tensor) or not isinstance(after, Tensor):
        return False
    steps = [torch.finfo(x.dtype).eps if _is_inexact(x) else 0.0 for x in (before, after)]
    return 0 < steps[0] < steps[1] and steps[1] > finest


def _is_inexact(x: Tensor) -> bool:
    return x.is_floating_point() or x.is_complex()
