"""A module as a graph of tensor operators: `torch.export` in evaluation mode."""

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.export.graph_signature import InputKind, OutputKind
from torch.func import functional_call

from toroids.discovery.program import (
    Program,
    Source,
    first_line,
    is_in_place,
    on_cpu,
    operator_name,
)
from toroids.errors import DataError, ToroidsError
from toroids.evaluation.running import check_module, evaluation_mode

Inputs = Tensor | tuple[Any, ...] | list[Any] | Mapping[str, Any]


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
            f"{first_line(error)}; pass an example that it runs on, and an output_key that its "
            "output has."
        ) from error


def _refusal(model: nn.Module, error: Exception) -> str:
    return (
        f"`{type(model).__name__}` cannot be traced: {first_line(error)}. Discovery needs a "
        "forward pass that does not branch on its data; change it, or pass a group written by hand."
    )
