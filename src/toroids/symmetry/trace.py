"""A module as a graph of tensor operators, which can be run in float64 on any parameters."""

import contextlib
import io
import logging
import operator
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.export.graph_signature import InputKind, OutputKind
from torch.func import functional_call

from toroids.binary.sign import OPERATOR as SIGN_WITHOUT_ZERO
from toroids.errors import DataError, ToroidsError
from toroids.evaluation.running import check_module, evaluation_mode
from toroids.params import Params

NARROW = (torch.float32, torch.float16, torch.bfloat16)
CPU = torch.device("cpu")
SIGNS = ("aten::sign", "aten::sgn", SIGN_WITHOUT_ZERO)  # operators that keep only the sign
Inputs = Tensor | tuple[Any, ...] | list[Any] | Mapping[str, Any]
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
                f"the model cannot run on these inputs: {_first_line(error)}; pass an example that "
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


class _Names:
    """Names of outputs; an object of its own, which tracing does not restore."""

    def __init__(self) -> None:
        self.kept: list[str] = []
        self.skipped: list[str] = []


class _Counted(nn.Module):
    """Calls a module and returns the tensors of its output, caches left out, in a flat tuple."""

    def __init__(self, model: nn.Module, output_key: str | int | None) -> None:
        super().__init__()
        self.model = model
        self._key = output_key
        self.found = _Names()

    def forward(self, *args: Any, **kwargs: Any) -> tuple[Tensor, ...]:
        output = self.model(*args, **kwargs)
        if self._key is not None:
            output = output[self._key]
        self.found.kept.clear()
        self.found.skipped.clear()
        tensors: list[Tensor] = []
        self._collect("" if self._key is None else str(self._key), output, tensors)
        return tuple(tensors)

    def _collect(self, name: str, output: Any, tensors: list[Tensor]) -> None:
        if isinstance(output, Tensor):
            self.found.kept.append(name or "output")
            tensors.append(output)
        elif isinstance(output, Mapping):
            for key, value in output.items():
                self._collect(f"{name}.{key}".lstrip("."), value, tensors)
        elif isinstance(output, list | tuple):
            for key, value in enumerate(output):
                self._collect(f"{name}.{key}".lstrip("."), value, tensors)
        elif output is not None and not isinstance(output, bool | int | float | str):
            self.found.skipped.append(f"{name or 'output'} ({type(output).__name__})")


def trace(model: nn.Module, inputs: Inputs, output_key: str | int | None = None) -> Program:
    """Traces a module in evaluation mode.

    Args:
        model: left as it was, also its mode.
        inputs: a tensor, a tuple of positional or a mapping of keyword arguments.
        output_key: the entry of a structured output that counts; all when None.

    Returns:
        The traced program.

    Raises:
        ParamsError: `model` is no module.
        DataError: it fails on these inputs; says how.
        ToroidsError: it cannot be traced; says why.
    """
    check_module(model)
    args, kwargs = split_inputs(inputs)
    lazy = [n for n, p in model.named_parameters() if isinstance(p, nn.UninitializedParameter)]
    if lazy:
        raise ToroidsError(
            f"`{lazy[0]}` of the model has no shape yet; run the model once on its inputs first."
        )
    counted = _Counted(model, output_key)
    with evaluation_mode(counted), _quiet():
        try:
            exported = torch.export.export(counted, args, kwargs, strict=False)
            if _mutates_views(exported.graph):
                exported = exported.run_decompositions({})
        except Exception as error:
            _check_runs(counted, args, kwargs)
            raise ToroidsError(_refusal(model, error)) from error
    graph = exported.graph_module
    graph.graph.eliminate_dead_code()  # what no counted output reads restricts nothing
    aliases, first = _names(model)
    sources: dict[str, Source] = {}
    examples = iter(torch.utils._pytree.tree_leaves((args, kwargs)))
    for spec in exported.graph_signature.input_specs:
        placeholder = str(getattr(spec.arg, "name", ""))
        name = str(spec.target or "").removeprefix("model.")
        if spec.kind is InputKind.USER_INPUT:
            sources[placeholder] = Source("input", placeholder, on_cpu(next(examples, None)))
            continue
        kinds = {InputKind.PARAMETER: "parameter", InputKind.BUFFER: "buffer"}
        kind = kinds.get(spec.kind, "constant")
        target = str(spec.target)
        value = (
            exported.state_dict[target]
            if target in exported.state_dict
            else exported.constants[target]
        )
        if kind != "parameter":  # known numbers are computed with, on the CPU
            value = on_cpu(value)
        sources[placeholder] = Source(kind, first.get(name, name), value)
    mutated = [
        s for s in exported.graph_signature.output_specs if s.kind is not OutputKind.USER_OUTPUT
    ]
    outputs = (*(None,) * len(mutated), *counted.found.kept)
    skipped = tuple(
        f"output `{name}` is not counted: it is not a tensor" for name in counted.found.skipped
    )
    return Program(
        graph=graph,
        sources=sources,
        shapes={name: tuple(t.shape) for name, t in model.state_dict().items()},
        aliases=aliases,
        parameters=frozenset(n for n, _ in model.named_parameters(remove_duplicate=False)),
        outputs=outputs,
        notes=skipped,
    )


def split_inputs(inputs: Inputs) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Inputs as positional and keyword arguments.

    Returns:
        Both.

    Raises:
        ToroidsError: they are neither a tensor, a tuple nor a mapping.
    """
    if isinstance(inputs, Tensor):
        return (inputs,), {}
    if isinstance(inputs, tuple | list):
        return tuple(inputs), {}
    if isinstance(inputs, Mapping):
        return (), {str(name): value for name, value in inputs.items()}
    raise ToroidsError(
        f"the inputs are a {type(inputs).__name__}; pass a tensor, a tuple of positional "
        "arguments or a dictionary of keyword arguments."
    )


LOUD = ("torch._subclasses.fake_tensor", "torch.fx.experimental.symbolic_shapes")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Traces without warnings of third parties, gradients, or fused attention that hides values."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    # They log what fails, stack and all, before it is raised.
    loud = [log for log in map(logging.getLogger, LOUD) if not log.disabled]
    for log in loud:
        log.disabled = True
    try:
        # of what cannot be traced, torch prints the graph so far
        with warnings.catch_warnings(), torch.no_grad(), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
        for log in loud:
            log.disabled = False


VIEWS = (
    "slice", "select", "view", "narrow", "transpose", "permute", "chunk", "split", "unbind",
    "reshape", "expand", "squeeze", "unsqueeze", "flatten", "t", "getitem", "alias", "detach",
)  # fmt: skip


def _mutates_views(graph: fx.Graph) -> bool:
    """Whether an in-place operator changes a part of something, or something used elsewhere."""
    for node in graph.nodes:
        if node.op != "call_function" or not is_in_place(node):
            continue
        target = node.args[0]
        if not isinstance(target, fx.Node) or target.op != "call_function":
            return True
        if _is_view(target) or any(_is_view(user) for user in target.users if user is not node):
            return True
    return False


def _is_view(node: fx.Node) -> bool:
    """Whether an operator may return its argument's memory, as some copies do."""
    if node.op != "call_function":
        return False
    if operator_name(node).split("::")[-1].rstrip("_") in VIEWS:
        return True
    schema = getattr(node.target, "_schema", None)
    aliases = [found.alias_info for found in schema.returns] if schema is not None else []
    return any(alias is not None and not alias.is_write for alias in aliases)


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


def _names(model: nn.Module) -> tuple[dict[str, tuple[str, ...]], dict[str, str]]:
    """All names of tensors that have several, and the first name of every tensor."""
    by_place: dict[Any, list[str]] = {}
    tensors = [
        *model.named_parameters(remove_duplicate=False),
        *model.named_buffers(remove_duplicate=False),
    ]
    for name, tensor in tensors:
        place: Any = (
            (tensor.data_ptr(), tuple(tensor.shape), tensor.stride()) if tensor.numel() else name
        )
        if tensor.is_meta:
            place = id(tensor)
        by_place.setdefault(place, []).append(name)
    aliases = {names[0]: tuple(names) for names in by_place.values() if len(names) > 1}
    return aliases, {name: names[0] for names in by_place.values() for name in names}


def _check_runs(counted: _Counted, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Raises where a module that was not traced does not even run: its inputs are to blame."""
    lent = {name: buffer.clone() for name, buffer in counted.named_buffers()}
    try:
        functional_call(counted, lent, args, kwargs)
    except Exception as error:
        shown = [
            f"{tuple(x.shape)} of {x.dtype}" if isinstance(x, Tensor) else type(x).__name__
            for x in (*args, *kwargs.values())
        ]
        raise DataError(
            f"`{type(counted.model).__name__}` fails on the inputs {', '.join(shown)}: "
            f"{_first_line(error)}; pass an example that it runs on, and an output_key that its "
            "output has."
        ) from error


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:300].rstrip(".")


def _refusal(model: nn.Module, error: Exception) -> str:
    return (
        f"`{type(model).__name__}` cannot be traced: {_first_line(error)}. Discovery needs a "
        "forward pass that does not branch on its data; change it, or pass a group written by hand."
    )
