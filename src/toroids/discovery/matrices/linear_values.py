"""Follows what parameters write through a traced module, as far as it stays linear.

Operators run on known numbers (inputs, buffers, constants) as they are, so that cosines and sines
are numbers; on what parameters write they move sparse maps (`maps`, `linear_rules`). A product of
two maps over an axis, as that of queries and keys, is what is looked for; whatever else reads a
feature uses it otherwise, and it stays as it is.
"""

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from hashlib import sha256
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, fx
from torch.utils._pytree import tree_leaves

from toroids.discovery.matrices import maps
from toroids.discovery.matrices.maps import TOKENS, Features, Holder, Map, Places, Squares
from toroids.discovery.tracing.example import Example
from toroids.discovery.tracing.execution import Execution, call, prepared
from toroids.discovery.tracing.measured import MEASURING
from toroids.discovery.tracing.operators import (
    attribute,
    body,
    draws_random,
    is_block,
    is_in_place,
    operator_name,
)
from toroids.discovery.tracing.program import Program, finest_of
from toroids.discovery.tracing.sizes import Sizes

LARGE = 2**22  # entries of a parameter that are followed one by one
Rule: TypeAlias = Callable[..., Any]  # see `linear_rules`


@dataclass(frozen=True)
class Known:
    """A number, a tensor or a list of those, and the buffers that it was computed from."""

    value: Any
    buffers: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Unknown:
    """A value that is not linear in single parameters."""


@dataclass(frozen=True)
class Weight:
    """A parameter as it is, but for the order of its axes."""

    name: str
    shape: tuple[int, ...]
    axes: tuple[int, ...]

    @property
    def entries(self) -> Holder:
        """Its single entries as features."""
        return Holder(self.name, tuple(range(len(self.shape))), self.shape)


@dataclass(frozen=True)
class Later:
    """A map that is made when it is needed, of features of these holders."""

    holders: tuple[Holder, ...]
    make: Callable[[], Map]

    def __post_init__(self) -> None:
        object.__setattr__(self, "make", cache(self.make))  # one value, however often it is read


@dataclass(frozen=True, eq=False)
class Verdict:
    """What one product of two maps says of the features that it multiplies.

    Attributes:
        pairs: (2, pairs) features that it takes two by two, the lesser one first.
        odd: features that it takes in no such way.
        alone: features that it takes one by one, unlike at unlike places.
        single: (2, meetings) features, of the first map and of the second, that it takes one by one
            and alike wherever it does, as rotary pairs at an angle of zero.
        weight: (meetings,) by what it multiplies them.
        where: (meetings,) numbers that are equal where they meet at the same places.
        links: (2, links) positions in `pairs` of one of the first map and one of the second.
        alike: (links,) whether both turn alike everywhere.
        opposite: (links,) whether they turn oppositely everywhere.
        length: whether it is the product of a map with itself, which has to keep the length.
    """

    pairs: Places
    odd: Places
    alone: Places
    single: Places
    weight: Places
    where: Places
    links: Places
    alike: Places
    opposite: Places
    length: bool = False

    @property
    def digest(self) -> bytes:
        """Equal for equal ones: layers say the same in every walk."""
        features = (self.pairs, self.odd, self.alone, self.single)
        held = (*features, self.weight, self.where, self.links, self.alike, self.opposite)
        shapes = [x.shape for x in held]
        return sha256(repr((self.length, shapes)).encode() + b"".join(map(bytes, held))).digest()


@dataclass
class Meetings:
    """Where features meet, and what else reads them.

    Attributes:
        features: numbers of all features.
        verdicts: of all products of all walks, by their digests.
        everywhere: features that products multiply in every walk; None before the first.
        anywhere: features that products multiply in some walk.
        lost: features that something else reads.
        measured: features whose length a norm reads.
        names: parameters that something else reads.
        fed: for every holder the buffers from which numbers were computed that multiply it.
    """

    features: Features
    verdicts: dict[bytes, Verdict] = field(default_factory=dict)
    everywhere: set[int] | None = None
    anywhere: set[int] = field(default_factory=set)
    lost: set[int] = field(default_factory=set)
    measured: set[int] = field(default_factory=set)
    names: set[str] = field(default_factory=set)
    fed: dict[Holder, set[str]] = field(default_factory=dict)

    def walked(self, met: set[int]) -> None:
        """Takes the features that the products of one walk multiply."""
        self.everywhere = met if self.everywhere is None else self.everywhere & met
        self.anywhere |= met

    def add(self, other: "Meetings") -> None:
        """Adds what other walks have found."""
        self.verdicts |= other.verdicts
        if other.everywhere is not None:
            self.walked(other.everywhere)
        self.anywhere |= other.anywhere
        self.lost |= other.lost
        self.measured |= other.measured
        self.names |= other.names
        for holder, buffers in other.fed.items():
            self.fed.setdefault(holder, set()).update(buffers)


class Failed(Exception):
    """An operator does not take the numbers that were drawn."""


class Walk:
    """One pass over the operators of a program, at inputs and buffers that are given."""

    def __init__(
        self,
        program: Program,
        example: Example,
        buffers: Mapping[str, Tensor],
        meetings: Meetings,
        rules: Mapping[str, Rule],
        generator: torch.Generator,
        strict: bool = False,
    ) -> None:
        """Follows the operators; adds to `meetings`."""
        self.meetings, self.rules = meetings, rules
        self.generator, self.strict = generator, strict
        self.finest = finest_of(program)
        self.sizes = Sizes(program, {axis: example.size(axis) for axis in program.lengths})
        self.used: int = 1  # tokens, so that no two uses of a feature are taken for one
        # storages whose numbers are not known any more; kept, so that none is another's place
        self.written: dict[int, torch.UntypedStorage] = {}
        self.met: set[int] = set()  # features that products multiply
        environment: dict[str, Any] = {}
        for name, source in program.sources.items():
            value = source.value
            if source.kind == "parameter":
                shape = tuple(value.shape)
                environment[name] = Weight(source.name, shape, tuple(range(len(shape))))
                continue
            held = frozenset[str]()
            if source.kind == "buffer":
                value, held = buffers.get(source.name, value), frozenset({source.name})
            elif source.kind == "input" and source.number >= 0:
                value = example.tensors[source.number]
            value = value.detach().cpu() if isinstance(value, Tensor) else value
            environment[name] = Known(prepared(value, True, True), held)
        outputs = self._run(program.graph, environment)
        for value, counts, held_by in zip(outputs, program.outputs, program.mutated, strict=True):
            if counts is not None or held_by is not None:
                self.use(value)
        meetings.walked(self.met)

    def use(self, *values: Any) -> None:
        """Notes that something reads features otherwise than in a product of two."""
        for held in tree_leaves(values):
            value = held.of if isinstance(held, Squares) else held
            if isinstance(value, Weight):
                self.meetings.names.add(value.name)
            elif isinstance(value, Later):
                self.meetings.names.update(holder.name for holder in value.holders)
            elif isinstance(value, Map):
                self.meetings.lost.update(value.features.tolist())

    def as_map(self, value: Any) -> Map | None:
        """A value as a map; None where it is none."""
        if isinstance(value, Later):
            return value.make()
        if isinstance(value, Weight):
            if np.prod(value.shape, dtype=np.int64) > LARGE:
                return None
            first = self.meetings.features.of(value.entries)
            numbers = torch.arange(int(np.prod(value.shape, dtype=np.int64))) + first
            return maps.single_term(numbers.view(value.shape).permute(value.axes) << TOKENS)
        return value if isinstance(value, Map) else None

    def shape(self, node: fx.Node) -> tuple[int, ...]:
        """The shape of what an operator gives."""
        return tuple(int(self.sizes(size)) for size in node.meta["val"].shape)

    def tokens(self, count: int) -> int:
        """The first of `count` numbers that no other use of a feature has."""
        first, self.used = self.used, self.used + count
        return first

    def _run(self, graph: fx.GraphModule, environment: Mapping[str, Any]) -> list[Any]:
        values: dict[fx.Node, Any] = {}
        last = {used: node for node in graph.graph.nodes for used in node.all_input_nodes}
        for node in graph.graph.nodes:
            if node.op == "placeholder":
                values[node] = environment[node.name]
            elif node.op == "get_attr":
                found = attribute(graph, node.target)
                whole = isinstance(found, fx.GraphModule)
                values[node] = found if whole else Known(prepared(found, True, True))
            elif node.op == "call_function":
                values[node] = self._operator(node, lambda n: self._current(values[n]))
                if is_in_place(node) and not isinstance(values[node], Known):
                    self._overwritten(values[node.args[0]], values[node])
                    values[node.args[0]] = values[node]
            elif node.op == "output":
                look_up = [values.get(a) if isinstance(a, fx.Node) else a for a in node.args[0]]
                return [self._current(value) for value in look_up]
            for used in node.all_input_nodes:  # the maps of all layers would take most of memory
                if last[used] is node:
                    values.pop(used, None)
        return []

    def _current(self, value: Any) -> Any:
        """What is known of a value; nothing where something unknown was written into it."""
        if isinstance(value, Known) and self.written:
            for x in tree_leaves(value.value):
                if isinstance(x, Tensor) and x.untyped_storage().data_ptr() in self.written:
                    return Unknown()
        return value

    def _overwritten(self, before: Any, after: Any) -> None:
        """Notes that an operator has written into a value, and into all that share its memory."""
        if after is before:
            return
        self.use(before)
        for x in tree_leaves(before.value) if isinstance(before, Known) else ():
            if isinstance(x, Tensor):
                self.written[x.untyped_storage().data_ptr()] = x.untyped_storage()

    def _operator(self, node: fx.Node, look_up: Callable[[fx.Node], Any]) -> Any:
        inputs = [look_up(n) for n in node.all_input_nodes]
        if is_block(node):
            graph, given = body(fx.map_arg(node.args, look_up))
            names = [n.name for n in graph.graph.nodes if n.op == "placeholder"]
            wrapped = [_wrapped(value) for value in given]
            return self._run(graph, dict(zip(names, wrapped, strict=True)))
        if node.target is operator.getitem and not isinstance(inputs[0], Known):
            several = isinstance(inputs[0], list | tuple)
            return inputs[0][node.args[1]] if several else Unknown()
        held = frozenset[str]().union(*(v.buffers for v in inputs if isinstance(v, Known)))
        if all(isinstance(v, Known | fx.GraphModule) for v in inputs) and not draws_random(node):
            return self._computed(node, look_up, held)
        value = node.meta.get("val")
        if value is None or operator_name(node) in MEASURING:
            return Known(None if value is None else int(self.sizes(value)))
        result = self._ruled(node, look_up)
        if result is None:
            self.use(inputs)
            return Unknown()
        return fx.node.map_aggregate(result, lambda x: _fed(x, held))

    def _computed(
        self, node: fx.Node, look_up: Callable[[fx.Node], Any], held: frozenset[str]
    ) -> Any:
        def numbers(n: fx.Node) -> Any:
            value = look_up(n)
            return value.value if isinstance(value, Known) else value

        try:
            with torch.no_grad():
                value = call(node, numbers, Execution())
        except (RuntimeError, IndexError, ValueError, TypeError) as error:
            if self.strict:
                raise Failed from error
            return Unknown()
        # what nothing was written to is any number: zero, so that parts may be written to it
        return Known(value.zero_() if "empty" in operator_name(node) else value, held)

    def _ruled(self, node: fx.Node, look_up: Callable[[fx.Node], Any]) -> Any:
        name = operator_name(node).removeprefix("aten::")
        rule = self.rules.get(name)
        if rule is None:
            return None

        def bare(n: fx.Node) -> Any:
            value = look_up(n)
            return value.value if isinstance(value, Known) else value

        try:
            return rule(
                self, node, fx.map_arg(node.args, bare), fx.map_arg(dict(node.kwargs), bare)
            )
        except (RuntimeError, IndexError, ValueError, TypeError, KeyError):
            return None  # used in a way that the rule does not know: it reads what it is given


def _wrapped(value: Any) -> Any:
    whole = isinstance(value, Known | Unknown | Weight | Later | Map | Squares | list)
    return value if whole else Known(value)


def _fed(value: Any, held: frozenset[str]) -> Any:
    """Adds the buffers that an operator has read."""
    if not held:
        return value
    if isinstance(value, Later):
        return Later(value.holders, lambda: _fed(value.make(), held))
    return replace(value, buffers=value.buffers | held) if isinstance(value, Map) else value
