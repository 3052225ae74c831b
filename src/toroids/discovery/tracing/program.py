"""A traced module: tensor operators in their order, its parameters, buffers and inputs."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import sympy
import torch
from torch import Tensor, fx
from torch.utils._pytree import tree_leaves

from toroids.discovery.tracing.example import Axis, Example
from toroids.discovery.tracing.execution import Execution, Run, prepared, side_by_side, steps
from toroids.discovery.tracing.operators import attribute
from toroids.errors import DataError, first_line
from toroids.params import Params


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
        mutated: for outputs that are not counted, the buffer or parameter that takes their value.
        example: the inputs that were traced.
        lengths: of the axes of the inputs that were traced as free: symbols, or terms in them.
        ranges: the least and the largest number (None: no limit) that a symbol may stand for.
        guards: conditions on the symbols under which it was traced.
        equal: symbols for which others, or numbers, stand, and expressions that are numbers.
        twin: a trace at other sizes of the inputs that differs in numbers only, where there is one.
        notes: what was not counted.
        flags: buffers whose numbers the forward asked for, so that it holds for these only.
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
    equal: dict[sympy.Expr, sympy.Expr]
    twin: "Twin | None"
    notes: tuple[str, ...]
    flags: frozenset[str] = frozenset()
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
        run, value = steps(self.graph, how), None
        try:
            while True:
                source = self.sources[run.send(value)]
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


def finest_of(program: Program) -> float:
    """The relative step of the most precise parameter."""
    kinds = {s.value.dtype for s in program.sources.values() if s.kind == "parameter"}
    return min((torch.finfo(kind).eps for kind in kinds if kind.is_floating_point), default=0.0)
