"""A traced module: tensor operators in their order, and how they are run on any parameters.

In float64, whatever the module's own precision, so that what is compared differs by rounding only.
"""

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx

from toroids.binary.sign import OPERATOR as SIGN_WITHOUT_ZERO
from toroids.errors import DataError
from toroids.params import Params

NARROW = (torch.float32, torch.float16, torch.bfloat16)
CPU = torch.device("cpu")
SIGNS = ("aten::sign", "aten::sgn", SIGN_WITHOUT_ZERO)  # operators that keep only the sign
LookUp = Callable[[fx.Node], Any]
Watch = Callable[[fx.Node, LookUp], None]


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
    """

    kind: str
    name: str
    value: Any


@dataclass(frozen=True)
class Program:
    """A traced module.

    Attributes:
        graph: the operators.
        sources: what every placeholder stands for, by the placeholder's name.
        shapes: of everything in the state dict.
        aliases: all names of every tensor that has several.
        parameters: names in `shapes` that are parameters.
        outputs: names of the outputs, in order; None for those that are not counted.
        notes: what was not counted.
    """

    graph: fx.GraphModule
    sources: dict[str, Source]
    shapes: dict[str, tuple[int, ...]]
    aliases: dict[str, tuple[str, ...]]
    parameters: frozenset[str]
    outputs: tuple[str | None, ...]
    notes: tuple[str, ...]

    def run(self, params: Params, wide: bool = True, gradients: bool = False) -> list[Tensor]:
        """Computes the outputs on the example.

        Args:
            params: values for parameters and buffers that replace those of the module. Of several
                names of one tensor the last in `params` counts, as in `load_state_dict`.
            wide: compute in float64, else in each tensor's own precision.
            gradients: whether to record gradients.

        Returns:
            The tensors that count, in order, in float64.
        """
        with torch.set_grad_enabled(gradients):
            found = self.execute(params, Execution(wide))
        kept = [
            value
            for value, name in zip(found, self.outputs, strict=True)
            if name is not None and isinstance(value, Tensor)
        ]
        return [torch.view_as_real(v) if v.is_complex() else v.double() for v in kept]

    def execute(self, params: Params, how: Execution) -> list[Any]:
        """Runs the graph on the example, as told.

        Args:
            params: values for parameters and buffers that replace those of the module.
            how: in which precision, where, and who watches.

        Returns:
            Whatever the graph returns.

        Raises:
            DataError: an operator does not take what it is given, as integers where it was traced
                for floating inputs.
        """
        last: dict[str, Tensor] = {}
        first = {other: names[0] for names in self.aliases.values() for other in names}
        for name, tensor in params.items():
            last[first.get(name, name)] = tensor
        environment: dict[str, Any] = {}
        for name, source in self.sources.items():
            held = source.kind in ("parameter", "buffer")
            value = last.get(source.name, source.value) if held else source.value
            if isinstance(value, Tensor):
                value = value.to(how.device)
            environment[name] = prepared(value, how.wide, source.kind != "parameter")
        try:
            return run_graph(self.graph, environment, how)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            raise DataError(
                f"the model cannot run on these inputs: {first_line(error)}; pass an example that "
                "it runs on."
            ) from error


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


def run_graph(graph: fx.GraphModule, environment: dict[str, Any], how: Execution) -> list[Any]:
    """Runs a graph; frees what is not used again.

    Args:
        graph: operators as `torch.export` gives them.
        environment: values by name of placeholder.
        how: in which precision, where, and who watches.

    Returns:
        What the graph returns.
    """
    last: dict[fx.Node, fx.Node] = {}
    for node in graph.graph.nodes:
        for used in node.all_input_nodes:
            last[used] = node
    values: dict[fx.Node, Any] = {}
    for node in graph.graph.nodes:
        if node.op == "placeholder":
            values[node] = environment[node.name]
        elif node.op == "get_attr":
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
    if isinstance(node.target, torch._ops.HigherOrderOperator):
        graph, inputs = body(arguments)
        names = [n.name for n in graph.graph.nodes if n.op == "placeholder"]
        return tuple(run_graph(graph, dict(zip(names, inputs, strict=True)), how))
    arguments, keywords = _rewritten(arguments, how), _rewritten(keywords, how)
    result = node.target(*arguments, **keywords)  # type: ignore[operator]
    if how.wide and isinstance(result, Tensor) and result.dtype in NARROW:
        return result.double()
    return result


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
    if how.wide and isinstance(arguments, torch.dtype) and arguments in NARROW:
        return torch.float64
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


def first_line(error: Exception) -> str:
    """What an error says first, without its full stop."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:300].rstrip(".")
