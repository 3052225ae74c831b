"""Equal layers of a deep network, of which a few stand for all.

A trace of the whole network tells which layers are equal: from some layer on its operators repeat
themselves, each reading what lies as far before it as in the layer before, and the parameters of
the same names. The network with fewer of these layers is looked at in place of the whole one.
"""

import copy
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MethodType
from typing import Any, TypeAlias

import torch
from torch import Tensor, fx, nn
from torch.utils._pytree import tree_map

from toroids.discovery.tracing.draws import entries
from toroids.discovery.tracing.example import Inputs, example_of
from toroids.discovery.tracing.explore import Explored
from toroids.discovery.tracing.holds import Point
from toroids.discovery.tracing.operators import attribute
from toroids.discovery.tracing.program import Program
from toroids.discovery.tracing.trace import trace
from toroids.discovery.tracing.weightless import with_weights
from toroids.errors import ToroidsError
from toroids.evaluation.state import OWN
from toroids.symmetry.condition import digest_of

# Networks of fewer entries are looked at as they are.
LARGE = 2**29
# Blocks of equal layers that stay, and layers up to which one block is sought.
KEPT, LONGEST = 3, 8

Token: TypeAlias = tuple[Any, ...]
Part: TypeAlias = tuple[str, Any]


@dataclass(frozen=True, eq=False)
class Repeats:
    """A network, and what it is with most of its equal layers left out.

    Attributes:
        path: name of the list that holds the layers.
        start: number of the first layer of the first block; `KEPT` blocks of equal layers stay.
        period: layers of a block.
        left_out: blocks that are left out, behind those that stay.
        short: the network without them.
        model: the whole network, with numbers where it has none.
        program: its trace on the example.
    """

    path: str
    start: int
    period: int
    left_out: int
    short: nn.Module
    model: nn.Module
    program: Program

    @property
    def whole(self) -> Explored:
        """The whole network, as far as it was looked at."""
        point = Point(self.program, self.program.example)
        return Explored(self.model, (self.program,), (point,), ())

    @cached_property
    def count(self) -> int:
        """How many layers the list holds."""
        layers: Any = self.model.get_submodule(self.path)
        return len(layers)

    @property
    def missing(self) -> int:
        """How many layers are left out."""
        return self.period * self.left_out

    @property
    def kept(self) -> int:
        """How many layers stay."""
        return self.count - self.missing

    def likes(self, some: Collection[Part], among: Iterable[Part]) -> list[Part]:
        """What is in the whole network what some parts are in the short one.

        Args:
            some: names in the short network, each with something else.
            among: the same of the whole one.

        Returns:
            Those of `among` that are the like of one of `some`, in any of the equal layers.
        """
        end = self.start + KEPT * self.period
        known = {(self._first_like(name, end, self.missing), other) for name, other in some}
        whole = [
            ((self._first_like(name, end + self.missing), other), name) for name, other in among
        ]
        return [(name, key[1]) for key, name in whole if key in known]

    def _first_like(self, name: str, end: int, missing: int = 0) -> str:
        """A name as it is in the first of the equal blocks, which end before a layer."""

        def first(found: re.Match[str]) -> str:
            number = int(found[2])
            if self.start <= number < end:
                number = self.start + (number - self.start) % self.period
            elif number >= end:
                number += missing
            return f"{found[1]}{number}"

        return layers_of(self.path).sub(first, name)


def layers_of(path: str) -> re.Pattern[str]:
    """What finds the names of layers in a text: the list that holds them, and their number."""
    return re.compile(rf"(?<![\w.])({re.escape(path)}\.)(\d+)(?!\w)")


def shortened(model: nn.Module, inputs: Inputs, output_key: str | int | None) -> Repeats | None:
    """Leaves out most of the equal layers of a large network.

    Args:
        model: left as it was.
        inputs: what it is traced on.
        output_key: the entry of a structured output that counts; all when None.

    Returns:
        The network with fewer layers, whose trace is that of the whole one without the operators of
        the others; None where the network is small, or has too few equal layers.
    """
    path = _path(model)
    if path is None:
        return None
    try:
        with torch.random.fork_rng():
            return _repeats(model, path, inputs, output_key)
    except ToroidsError:  # is said where the network is looked at
        return None


def _repeats(
    model: nn.Module, path: str, inputs: Inputs, output_key: str | int | None
) -> Repeats | None:
    """Leaves out equal layers in a list; None where there are too few, or the rest differs."""
    layers: Any = model.get_submodule(path)
    whole = with_weights(model)
    example = example_of(whole, inputs)
    program = trace(whole, example, output_key)
    told = Told(program, path)
    cut = told.cut(len(layers))
    if cut is None or not _are_alike([*layers], cut):
        return None
    short = _without(model, path, cut)
    other = Told(trace(with_weights(short), example, output_key), path)
    if other.tokens != told.without(cut):
        return None
    return Repeats(path, cut.start, cut.period, cut.left_out, short, whole, program)


@dataclass(frozen=True)
class Cut:
    """Equal layers that are left out.

    Attributes:
        start: number of the first of the equal layers.
        period: layers of a block.
        left_out: blocks that go, behind `KEPT` that stay.
    """

    start: int
    period: int
    left_out: int

    @property
    def gone(self) -> range:
        """Numbers of the layers that go."""
        first = self.start + KEPT * self.period
        return range(first, first + self.left_out * self.period)


def _path(model: nn.Module) -> str | None:
    """The list of layers that holds the most parameters; None in a small network."""
    if not isinstance(model, nn.Module) or entries(dict(model.named_parameters())) <= LARGE:
        return None
    sizes = {
        name: entries(dict(module.named_parameters()))
        for name, module in model.named_modules()
        if name and isinstance(module, nn.ModuleList | nn.Sequential) and len(module) > KEPT
    }
    return max(sizes, key=sizes.__getitem__, default=None)


def _without(model: nn.Module, path: str, cut: Cut) -> nn.Module:
    """A copy of a network without some layers; its tensors are the same."""
    held = [*model.parameters(), *model.buffers()]
    try:
        short = copy.deepcopy(model, {id(x): x for x in held})
    except Exception as error:  # whatever its parts say to be copied
        raise ToroidsError("the network cannot be copied; look at it as it is.") from error
    layers: Any = short.get_submodule(path)
    for number in reversed(cut.gone):
        del layers[number]
    return short


class Told:
    """What every operator of a trace is and reads, as seen from the layer where it stands.

    Attributes:
        tokens: for every operator what tells it from others.
        firsts: for every layer the number of the first operator that reads a tensor of it.
    """

    def __init__(self, program: Program, path: str) -> None:
        """Goes through a trace of a network whose layers are in the list `path`."""
        self._program = program
        self._names = re.compile(rf"{re.escape(path)}\.(\d+)\.(.*)")
        self._layer = -1
        self._places: dict[fx.Node, tuple[int, int]] = {}
        self.tokens: list[Token] = []
        self.firsts: dict[int, int] = {}
        for node in program.graph.graph.nodes:
            if node.op != "placeholder":
                self._read(node)

    def _read(self, node: fx.Node) -> None:
        graph = self._program.graph
        what: Any = _value_told(attribute(graph, node.target)) if node.op == "get_attr" else None
        what = str(node.target) if what is None else what
        arguments = fx.map_arg((node.args, dict(node.kwargs)), self._reference)
        self.tokens.append((node.op, what, arguments, _form(node)))
        for read in node.all_input_nodes:
            found = self._names.fullmatch(self._name(read)) if read.op == "placeholder" else None
            self._layer = max(self._layer, int(found[1]) if found else -1)
        place = len(self.tokens) - 1
        self._places[node] = place, self._layer
        if self._layer >= 0:
            self.firsts.setdefault(self._layer, place)

    def _name(self, node: fx.Node) -> str:
        return self._program.sources[node.name].name

    def _reference(self, node: fx.Node) -> Token:
        """What an operator reads: as far back as in other layers, or before all of them."""
        if node.op == "placeholder":
            return self._source(node)
        place, layer = self._places[node]
        return ("before", place) if layer < 0 else ("ago", len(self.tokens) - place)

    def _source(self, node: fx.Node) -> Token:
        source = self._program.sources[node.name]
        found = self._names.fullmatch(source.name)
        name = (int(found[1]) - self._layer, found[2]) if found else (source.name,)
        # of what may have any numbers only the shape counts
        is_any = source.kind in ("parameter", "input") or (
            source.name in self._program.shapes and source.value.is_floating_point()
        )
        told = None if is_any else _value_told(source.value)
        return (source.kind, () if source.kind == "constant" else name, _form(node), told)

    def cut(self, count: int) -> Cut | None:
        """The layers that may be left out of so many; None where too few are equal."""
        middle = count // 2
        for period in range(1, min(LONGEST, count - middle - 1) + 1):
            if {middle, middle + period} <= self.firsts.keys():
                found = self._repeated(self.firsts[middle], self.firsts[middle + period], period)
                if found is not None:
                    return found
        return None

    def _repeated(self, here: int, there: int, period: int) -> Cut | None:
        """Blocks of so many layers around an operator that say the same; None if they are few."""
        step = there - here
        same = [a == b for a, b in zip(self.tokens, self.tokens[step:], strict=False)]
        begin = end = here
        while begin > 0 and same[begin - 1]:
            begin -= 1
        while end < len(same) and same[end]:
            end += 1
        start = min((k for k, place in self.firsts.items() if place >= begin), default=None)
        if start is None:
            return None
        left_out = (end + step - self.firsts[start]) // step - KEPT
        return Cut(start, period, left_out) if left_out > 0 else None

    def without(self, cut: Cut) -> list[Token]:
        """What is told of the other layers."""
        step = self.firsts[cut.start + cut.period] - self.firsts[cut.start]
        first = self.firsts[cut.start] + KEPT * step
        return self.tokens[:first] + self.tokens[first + cut.left_out * step :]


def _form(node: fx.Node) -> Any:
    """Shapes and types of what a node gives."""

    def form(value: Any) -> Any:
        if isinstance(value, Tensor):
            return tuple(map(str, value.shape)), value.dtype
        return str(value)

    return tree_map(form, node.meta.get("val"))


def _value_told(value: Any) -> Any:
    """What a trace holds, as a number or a text."""
    if isinstance(value, fx.GraphModule):
        return _graph_told(value)
    if not isinstance(value, Tensor):
        return value
    numbers = torch.view_as_real(value) if value.is_complex() else value
    return str(value.dtype), digest_of(numbers)


def _graph_told(graph: fx.GraphModule) -> list[Token]:
    """What the operators of a graph inside a trace are and read."""
    places = {node: number for number, node in enumerate(graph.graph.nodes)}
    return [
        (
            node.op,
            _value_told(attribute(graph, node.target))
            if node.op == "get_attr"
            else "" if node.op == "placeholder" else str(node.target),
            fx.map_arg((node.args, dict(node.kwargs)), places.__getitem__),
            _form(node),
        )
        for node in graph.graph.nodes
    ]  # fmt: skip


def _are_alike(layers: Sequence[nn.Module], cut: Cut) -> bool:
    """Whether each of the equal layers has the code and the settings of one a block before."""
    equal = layers[cut.start : cut.gone.stop]
    pairs = zip(equal, equal[cut.period :], strict=False)
    try:
        return all(_alike(a, b, cut.period) for a, b in pairs)
    except Exception:  # whatever their parts say to be compared, or hold of each other
        return False


def _alike(a: Any, b: Any, apart: int) -> bool:
    """Whether two parts of layers are the same, but for the numbers of their layers."""
    if a is b:
        return True
    if type(a) is not type(b):
        return False
    if isinstance(a, nn.Module):
        return _alike(_parts(a), _parts(b), apart)
    if isinstance(a, Tensor):  # the trace tells whose numbers count
        return (a.shape, a.dtype) == (b.shape, b.dtype)
    if isinstance(a, Mapping):
        return a.keys() == b.keys() and all(_alike(a[key], b[key], apart) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(lambda x, y: _alike(x, y, apart), a, b))
    if isinstance(a, MethodType):
        return a.__func__ is b.__func__
    if type(a) is int and b - a == apart:
        return True
    return bool(a == b)


def _parts(module: nn.Module) -> dict[str, Any]:
    return {name: value for name, value in vars(module).items() if name not in OWN}
