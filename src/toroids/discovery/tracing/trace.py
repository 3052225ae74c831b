"""A module as a graph of tensor operators: `torch.export` in evaluation mode."""

import contextlib
import io
import logging
import sys
import traceback
import warnings
from collections.abc import Collection, Iterator, Mapping
from functools import partial
from typing import Any

import sympy
import torch
from torch import Tensor, fx, nn
from torch.export import Dim, ExportedProgram
from torch.export.graph_signature import InputKind, InputSpec, OutputKind

from toroids.discovery.tracing.assumed import equal_lengths, guards_of
from toroids.discovery.tracing.checks import Answered, checks_of
from toroids.discovery.tracing.detached import Detached, reads_data
from toroids.discovery.tracing.eager import DRAWS, GRADIENTS, Draws, as_called, heard_gradients
from toroids.discovery.tracing.example import Axis, Example
from toroids.discovery.tracing.given import Answers, Given, given_answers
from toroids.discovery.tracing.masked import choose_by_masks
from toroids.discovery.tracing.operators import on_cpu
from toroids.discovery.tracing.presence import Present, asks_data, remove_checks, without_hints
from toroids.discovery.tracing.products import contract_products
from toroids.discovery.tracing.program import Program, Source
from toroids.discovery.tracing.written import cast_copies, mutates_views
from toroids.errors import ToroidsError, first_line
from toroids.evaluation.running import call, entries_of, evaluation_mode, has_own_modes
from toroids.evaluation.writes import writes_parameters

# Outputs that a buffer takes or, which older versions of PyTorch do not know, a parameter.
MUTATIONS = (OutputKind.BUFFER_MUTATION, getattr(OutputKind, "PARAMETER_MUTATION", None))
UNBOUNDED = 2**40  # no axis is longer; where PyTorch knows no limit, it writes a larger number


class _Found:
    """What a trace says of a call; an object of its own, which tracing does not restore."""

    def __init__(self) -> None:
        self.kept: list[str] = []
        self.skipped: list[str] = []
        self.present = False  # whether questions about data are answered as if all were there
        self.checks: tuple[bool, ...] | None = None  # how, where the other answer raises an error
        self.plain = False  # whether it is told that nothing is compiled
        self.detached = False  # whether `.data` of a tensor is another name of it
        self.given: Answers = {}  # how, where no data decide
        self.flags: frozenset[str] = frozenset()  # the buffers that do


class Counted(nn.Module):
    """Calls a module and returns the tensors of its output, caches left out, in a flat tuple."""

    def __init__(self, model: nn.Module, example: Example, output_key: str | int | None) -> None:
        """Wraps a module that is called as in the example."""
        super().__init__()
        self.model = model
        self._arguments = example.arguments
        self._key = output_key
        self._refresh = has_own_modes(model)
        self.found = _Found()

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Calls the module on the example with these tensors."""
        args, kwargs = self._arguments(tensors)
        if self._refresh:  # what it kept in evaluation mode may be of other parameters
            self.model.train()
            self.model.eval()
        with self._mode():
            output = self.model(*args, **kwargs)
        if self._key is not None:
            output = entries_of(output)[self._key]
        self.found.kept.clear()
        self.found.skipped.clear()
        return tuple(self._collect("" if self._key is None else str(self._key), output))

    def called(self, example: Example) -> Any:
        """The output on an example; a forward that writes into its weights changes copies."""
        parameters = dict(self.named_parameters(remove_duplicate=False))
        return call(self, parameters, example.tensors, {})

    @contextlib.contextmanager
    def _mode(self) -> Iterator[None]:
        """Answers in a trace what the forward asks."""
        with contextlib.ExitStack() as modes:
            if self.found.plain:
                modes.enter_context(as_called())
            if self.found.detached:
                modes.enter_context(Detached())
            if self.found.checks is not None:
                modes.enter_context(Answered(self.found.checks))
            elif self.found.present:
                modes.enter_context(Present())
            if self.found.given:
                modes.enter_context(Given(self.model, self.found.given))
            yield

    def _collect(self, name: str, output: Any) -> Iterator[Tensor]:
        output = entries_of(output)
        if isinstance(output, Tensor):
            self.found.kept.append(name or "output")
            yield output
        elif isinstance(output, Mapping):
            for key, value in output.items():
                yield from self._collect(f"{name}.{key}".lstrip("."), value)
        elif isinstance(output, list | tuple):
            for key, value in enumerate(output):
                yield from self._collect(f"{name}.{key}".lstrip("."), value)
        elif output is not None and not isinstance(output, bool | int | float | str):
            self.found.skipped.append(f"{name or 'output'} ({type(output).__name__})")


def trace(
    model: nn.Module,
    example: Example,
    output_key: str | int | None = None,
    free: Collection[Axis] = (),
    present: bool = False,
    plain: bool = False,
) -> Program:
    """Traces a module in evaluation mode.

    Args:
        model: left as it was, also its mode.
        example: what it is traced on.
        output_key: the entry of a structured output that counts; all when None.
        free: axes of the inputs whose lengths, two or more, are to stay open where they can.
        present: whether to answer at once what the forward asks its data, as if all were there.
        plain: whether to tell the forward that it is not compiled, where it asks.

    Returns:
        The traced program.

    Raises:
        ToroidsError: it cannot be traced; says why.
    """
    counted = Counted(model, example, output_key)
    counted.found.present, counted.found.plain = present, plain
    open_axes = tuple(
        {axis: Dim.AUTO for number, axis in free if number == i}
        for i in range(len(example.tensors))
    )
    with evaluation_mode(counted), quiet(), without_hints():
        try:
            exported = _exported(counted, example, {"tensors": open_axes} if free else None)
            transforms = _transforms(exported.graph)
            if any("dual" in name or "grad" in name for name in transforms):
                raise TypeError("it takes gradients")
            cast_copies(exported.graph)
            if mutates_views(exported.graph) or transforms:
                exported = exported.run_decompositions({})
            _simplify(exported.graph)
            guards = guards_of(exported.graph_module) if free else ()
            kept, skipped = list(counted.found.kept), list(counted.found.skipped)
            present, checked = counted.found.present, counted.found.checks is not None
            flags = counted.found.flags
        except (Exception, SystemExit) as error:
            raise ToroidsError(_refusal(counted, example, error)) from error
    graph = exported.graph_module
    aliases, first = alias_names(model)
    sources: dict[str, Source] = {}
    numbers = iter(range(len(example.tensors)))
    for spec in exported.graph_signature.input_specs:
        placeholder = str(getattr(spec.arg, "name", ""))
        if spec.kind is InputKind.USER_INPUT:
            number = next(numbers)
            value = on_cpu(example.tensors[number])
            sources[placeholder] = Source("input", placeholder, value, number)
            continue
        sources[placeholder] = _held(exported, spec, first)
    written = [
        str(s.target).removeprefix("model.") if s.kind in MUTATIONS else None
        for s in exported.graph_signature.output_specs
        if s.kind is not OutputKind.USER_OUTPUT
    ]
    mutated = tuple(name and first.get(name, name) for name in written)
    equal = equal_lengths(guards)
    symbols = {x: other for x, other in equal.items() if x.is_Symbol}
    lengths = {a: length.xreplace(symbols) for a, length in _lengths(graph, sources).items()}
    lengths = {a: length for a, length in lengths.items() if length.free_symbols}
    parameters = dict(model.named_parameters(remove_duplicate=False))
    return Program(
        graph=graph,
        sources=sources,
        shapes={name: tuple(t.shape) for name, t in model.state_dict().items()},
        aliases=aliases,
        parameters=frozenset(parameters),
        whole=frozenset(n for n, x in parameters.items() if not x.is_floating_point()),
        outputs=(*(None,) * len(mutated), *kept),
        mutated=(*mutated, *(None,) * len(kept)),
        example=example,
        lengths=lengths,
        ranges=_ranges(exported, lengths),
        guards=tuple(dict.fromkeys(guard.xreplace(symbols) for guard in guards)),
        equal=equal,
        twin=None,
        flags=frozenset(first[name.removeprefix("model.")] for name in flags),
        notes=(
            *(f"output `{name}` is not counted: it is not a tensor" for name in skipped),
            *((ALL_PRESENT,) if present else ()),
            *((CHECKED,) if checked else ()),
        ),
    )


def _simplify(graph: fx.Graph) -> None:
    """Writes a graph in fewer kinds of operators, without what restricts nothing."""
    _note_uses(graph)
    remove_checks(graph)
    graph.eliminate_dead_code()  # what no counted output reads
    contract_products(graph)
    choose_by_masks(graph)


def _note_uses(graph: fx.Graph) -> None:
    """Tells nodes who uses them where PyTorch forgot, as what is cut off around an autocast."""
    for node in graph.nodes:
        for source in node.all_input_nodes:
            source.users.setdefault(node)


ALL_PRESENT = (
    "where the forward asks its data what there is, as which experts are hit, everything was taken "
    "to be there; holds where what is skipped gives nothing, as on all inputs that were looked at"
)


CHECKED = "holds for inputs on which the forward pass does not raise, as where it checks its data"


def _exported(
    counted: Counted, example: Example, free: dict[str, Any] | None
) -> ExportedProgram:  # fmt: skip
    """Exports a module; where it asks its data what there is, as if everything were."""

    def export() -> ExportedProgram:
        inputs = tuple(x.detach() for x in example.tensors)  # it is marked which axes are open
        return torch.export.export(counted, inputs, dynamic_shapes=free, strict=False)

    try:
        return export()
    except Exception as error:
        failed = error
    if not counted.found.detached and reads_data(partial(counted.called, example)):
        counted.found.detached = True
        return _exported(counted, example, free)
    if not asks_data(failed):
        raise failed
    with contextlib.suppress(Exception):
        answers, flags = given_answers(counted, partial(counted.called, example))
        numbers = any(not isinstance(x, bool) for found in answers.values() for x in found)
        if answers and not (free and numbers):
            counted.found.given, counted.found.flags = answers, flags
            return export()
    counted.found.given, counted.found.flags = {}, frozenset()
    if counted.found.present:
        raise failed
    with contextlib.suppress(Exception):
        counted.found.checks = checks_of(partial(counted.called, example))
        if counted.found.checks is not None:
            return export()
    counted.found.present, counted.found.checks = True, None
    return export()


def _transforms(graph: fx.Graph) -> list[str]:
    """Names of calls of `torch.vmap` and other transforms, instead of what they become."""
    targets = [node.target for node in graph.nodes]
    return [str(x) for x in targets if "functorch" in str(getattr(x, "__module__", ""))]


def _held(exported: ExportedProgram, spec: InputSpec, first: Mapping[str, str]) -> Source:
    """What a placeholder that is no input stands for."""
    kinds = {InputKind.PARAMETER: "parameter", InputKind.BUFFER: "buffer"}
    kind = kinds.get(spec.kind, "constant")
    target = str(spec.target or "")
    known = exported.state_dict if target in exported.state_dict else exported.constants
    value = known[target]
    if kind != "parameter":  # known numbers are computed with, on the CPU
        value = on_cpu(value)
    name = target.removeprefix("model.")
    return Source(kind, first.get(name, name), value)


def _lengths(graph: fx.GraphModule, sources: Mapping[str, Source]) -> dict[Axis, sympy.Expr]:
    """The lengths of the axes of the inputs that stayed open."""
    found: dict[Axis, sympy.Expr] = {}
    for node in graph.graph.nodes:
        source = sources.get(node.name) if node.op == "placeholder" else None
        if source is not None and source.kind == "input" and isinstance(source.value, Tensor):
            for axis, length in enumerate(node.meta["val"].shape):
                if isinstance(length, torch.SymInt) and length.node.expr.free_symbols:
                    found[source.number, axis] = length.node.expr
    return found


def _ranges(
    exported: ExportedProgram, lengths: Mapping[Axis, sympy.Expr]
) -> dict[str, tuple[int, int | None]]:
    symbols = {symbol for length in lengths.values() for symbol in length.free_symbols}
    found = {}
    for symbol in symbols:
        limits = exported.range_constraints.get(symbol)
        low = int(limits.lower) if limits is not None else 2
        bounded = limits is not None and limits.upper.is_finite and limits.upper < UNBOUNDED
        found[str(symbol)] = (low, int(limits.upper) if bounded else None)
    return found


LOUD = ("torch._subclasses.fake_tensor", "torch.fx.experimental.symbolic_shapes")


@contextlib.contextmanager
def unlogged() -> Iterator[None]:
    """Keeps PyTorch from logging what fails, stack and all, before it is raised."""
    loud = [log for log in map(logging.getLogger, LOUD) if not log.disabled]
    for log in loud:
        log.disabled = True
    try:
        yield
    finally:
        for log in loud:
            log.disabled = False


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Traces without warnings of third parties, gradients, or fused attention that hides values."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    # where in the source every operator was called, nobody asks; older versions always say it
    stacks = getattr(fx.config, "do_not_emit_stack_traces", False)
    fx.config.do_not_emit_stack_traces = True
    try:
        # of what cannot be traced, torch prints the graph so far
        with (
            unlogged(), warnings.catch_warnings(), torch.no_grad(),
            contextlib.redirect_stderr(io.StringIO()),
        ):  # fmt: skip
            warnings.simplefilter("ignore")
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
        fx.config.do_not_emit_stack_traces = stacks


def alias_names(model: nn.Module) -> tuple[dict[str, tuple[str, ...]], dict[str, str]]:
    """All names of tensors that have several, and the first name of every tensor.

    Returns:
        Both, by the first name and by every name.
    """
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


def _refusal(counted: Counted, example: Example, error: BaseException) -> str:
    model = counted.model
    counted.found.present, counted.found.checks, counted.found.given = False, None, {}
    with heard_gradients() as heard, contextlib.suppress(Exception), Draws() as drawn:
        counted.called(example)
    if heard:
        return GRADIENTS.format(type(model).__name__)
    if drawn.names:
        return DRAWS.format(type(model).__name__, drawn.names[0])
    if _packs(error):
        return (
            f"`{type(model).__name__}` packs sequences, and a trace does not hold how many go on "
            "at every step; discover the module without packing: its weights and its group are the "
            "same. Or pass a group written by hand."
        )
    cause, needed = first_line(error), "does not branch on its data"
    if asks_data(error):  # in words of PyTorch's authors
        cause = "numbers in a tensor decide what it does, or how much it gives"
    elif ".numpy()" in cause:
        cause, needed = f"it takes numbers out of PyTorch ({cause})", "computes with PyTorch alone"
    elif (aliases := alias_names(model)[0]) and writes_parameters(counted):
        names = " and ".join(f"`{name}`" for name in next(iter(aliases.values()))[:2])
        cause = f"it writes into its weights, and {names} are one tensor"
        needed = "writes into no weights that have several names"
    return (
        f"`{type(model).__name__}` cannot be traced: {cause.rstrip('.')}. Discovery needs a "
        f"forward pass that {needed}{_place_of(error)}; change it, or pass a group written by hand."
    )


def _place_of(error: BaseException) -> str:
    """Where a forward pass failed: its last line that is not PyTorch's, Python's or ours."""
    others = {"torch", "toroids", *sys.stdlib_module_names}
    for frame, line in reversed([*traceback.walk_tb(error.__traceback__)]):
        if str(frame.f_globals.get("__name__")).partition(".")[0] not in others:
            return f", and this one fails in line {line} of `{frame.f_code.co_filename}`"
    return ""


def _packs(error: BaseException) -> bool:
    """Whether it was a recurrent layer of PyTorch that failed, on packed sequences."""
    frames = traceback.walk_tb(error.__traceback__)
    return any(
        frame.f_code.co_filename.endswith("modules/rnn.py")
        and frame.f_locals.get("batch_sizes") is not None
        for frame, _ in frames
    )
