"""How a traced graph is run, operator by operator, on any values.

In float64, whatever the module's own precision, so that what is compared differs by rounding only.
"""

from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor, fx
from torch.fx.node import map_aggregate

from toroids.discovery.tracing.bounded import check_states
from toroids.discovery.tracing.operators import attribute, body, is_block, operator_name
from toroids.params import Params

WIDE = {
    torch.float32: torch.float64, torch.float16: torch.float64, torch.bfloat16: torch.float64,
    torch.complex64: torch.complex128, torch.complex32: torch.complex128,
}  # fmt: skip
CPU = torch.device("cpu")
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
    return side_by_side([steps(graph, how)], values)[0]


def steps(graph: fx.GraphModule, how: Execution) -> Run:
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


def _put(
    x: Tensor, source: Tensor, dim: int = 0, start: int | None = None, end: int | None = None,
    step: int = 1,
) -> Tensor:  # fmt: skip
    found = x.clone()
    found.movedim(dim, 0)[start:end:step] = source.movedim(dim, 0)
    return found


# Operators that give the same by others, with which all slopes are known: an embedding hides those
# of its padding row, a copy has none, attention whose mask is learned lies in memory otherwise, and
# of complex numbers that are put in a slice PyTorch knows none.
_WITH_SLOPES: dict[str, Callable[..., Tensor]] = {
    "aten::copy": _copied,
    "aten::embedding": _looked_up,
    "aten::slice_scatter": _put,
    "aten::view": _viewed,
}


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


def _rewritten(arguments: Any, how: Execution) -> Any:
    """Arguments with narrow types made float64 where asked for, and every device the one asked."""
    if isinstance(arguments, dict):
        return {key: _rewritten(value, how) for key, value in arguments.items()}
    if isinstance(arguments, list | tuple):
        return type(arguments)(_rewritten(value, how) for value in arguments)
    if how.wide and isinstance(arguments, torch.dtype) and arguments in WIDE:
        return WIDE[arguments]
    return how.device if isinstance(arguments, torch.device) else arguments
