"""Residual streams: spaces whose units an orthogonal matrix may turn into each other.

A norm without its gain sees of a stream x only ||x||, and perhaps its mean over the units; linear
maps write and read it. So Q x, with Q orthogonal (and Q 1 = 1 where the mean is seen), is as good a
stream as x: writers become Q W, readers W Q^T. A gain that stands between a norm and its readers
can be moved into those, which is what brings a network to the slice on which Q acts; a gain that
stands on the stream itself leaves only what commutes with it.

Every operator that meets a stream is looked at; what is not known here forbids the rotation.

Reference: Ashkboos et al., SliceGPT, 2024, arXiv 2401.15024, for the invariance of RMS norms.
"""

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from torch import fx
from torch.utils._pytree import tree_leaves

from toroids.discovery.axes import Value
from toroids.discovery.infer import Inference, Step
from toroids.discovery.orbits import Orbits
from toroids.discovery.program import Program, is_in_place, operator_name
from toroids.discovery.unread import ARRANGING
from toroids.symmetry.space import Generator, Space

CONVERTING = ("to", "_to_copy", "contiguous", "clone", "detach", "alias", "type_as")
# Operators that hand on the stream's units, whatever else they are given.
PASSING = {name.removeprefix("aten::") for name in ARRANGING} - {"cat", "stack", "getitem"} | {
    "expand_as", "index", "embedding", "gather", "neg", "dropout", "type_as", "masked_select",
    "view_as", "reshape_as", "take_along_dim", "positive",
}  # fmt: skip
ADDING = ("add", "sub", "rsub", "cat", "stack", "where", "masked_fill", "constant_pad_nd")
NORMING = {
    "layer_norm": True, "native_layer_norm": True, "rms_norm": False, "_fused_rms_norm": False,
}  # fmt: skip
CONTRACTING = (
    "linear", "matmul", "mm", "bmm", "mv", "dot", "addmm", "baddbmm", "_grouped_mm", "einsum",
    "conv1d", "conv2d", "conv3d", "convolution",
)  # fmt: skip


class _Refused(Exception):
    """An operator that looks at the units of a stream one by one."""


@dataclass
class _Stream:
    """What is found of one space while its operators are looked at.

    Attributes:
        cell: its cell.
        size: the number of its units.
        normed: whether a norm over the units was met.
        fixes_mean: whether anything sees the mean over the units.
        gains: parameters that multiply the units.
        used: parameters on the units that do anything else.
    """

    cell: int
    size: int
    normed: bool = False
    fixes_mean: bool = False
    gains: set[str] = field(default_factory=set)
    used: set[str] = field(default_factory=set)


def rotations(
    programs: Sequence[Program], inference: Inference, found: Orbits, spaces: Sequence[Space],
    cells: Mapping[str, int],
) -> tuple[list[Space], list[str]]:  # fmt: skip
    """Lets the spaces rotate that are residual streams.

    Args:
        programs: the traced module, at all sizes.
        inference: the facts, with the steps of all programs.
        found: the solved facts.
        spaces: as they are known so far.
        cells: the cell of every space, by its name.

    Returns:
        The spaces, and notes on streams that keep their axes because of a gain.
    """
    result, notes = [], []
    for space in spaces:
        cell = cells[space.name]
        turned: Space | str | None = None
        if _may_rotate(space, programs[0], found, cell):
            stream = _Stream(cell, space.size)
            try:
                for steps in inference.steps:
                    _Look(found, stream).all(steps)
                turned = _rotating(space, stream, programs[0]) if stream.normed else None
            except _Refused:
                turned = None
        if isinstance(turned, str):
            notes.append(turned)
        result.append(turned if isinstance(turned, Space) else space)
    return result, notes


def _may_rotate(space: Space, program: Program, found: Orbits, cell: int) -> bool:
    """Whether a space stands alone, and lies on whole axes of parameters."""
    alone = found.chain[cell] == (cell,) and not any(
        cell in chain and other != cell for other, chain in found.chain.items()
    )
    learned = all(leg.tensor in program.parameters - program.whole for leg in space.legs)
    return alone and learned and space.size > 1 and "mix" not in space.actions and not space.norms


def _rotating(space: Space, stream: _Stream, program: Program) -> Space | str:
    """The space with its rotations; or a sentence on the gain that forbids them."""
    aliases = {n: names[0] for names in program.aliases.values() for n in names}
    gains = {aliases.get(name, name) for name in stream.gains}
    is_gain = [aliases.get(leg.tensor, leg.tensor) in gains for leg in space.legs]
    why = _forbidden(space, stream, aliases, is_gain)
    if why is not None:
        return (
            f"`{space.name}` is a stream that its norms would let rotate, but {why}; only "
            "permutations, and signs where they pass, are granted on it"
        )
    kept = [g for g in space.generators if g.action != "flip"]
    flips = _gain_flips(space, is_gain)
    rotate = Generator(
        "rotate", tuple(0.0 if gain else 1.0 for gain in is_gain), fixes_mean=stream.fixes_mean
    )
    generators = (*kept, *flips, rotate)
    actions = {g.action for g in generators} | ({"permute"} & space.actions)
    return replace(space, actions=frozenset(actions), generators=generators)


def _forbidden(
    space: Space, stream: _Stream, aliases: Mapping[str, str], is_gain: Sequence[bool]
) -> str | None:
    gains = {aliases.get(n, n) for n in stream.gains}
    both = sorted(gains & {aliases.get(n, n) for n in stream.used})
    if both:
        return f"`{both[0]}` is a gain and something else"
    free = set[str]()
    for scale in space.of("rescale"):
        own = {
            aliases.get(leg.tensor, leg.tensor)
            for leg, e, gain in zip(space.legs, scale.exponents, is_gain, strict=True)
            if e and gain
        }
        if len(own) != 1:
            return f"{len(own)} gains scale its readers together"
        unit = next(e for e, gain in zip(scale.exponents, is_gain, strict=True) if e and gain)
        if own & free or any((e / unit) % 1 for e in scale.exponents):
            return f"the gain `{min(own)}` stands before readers in several powers"
        free |= own
    if gains - free:
        return f"the gain `{min(gains - free)}` stands on the stream, or before readers that see it"
    return None


def _gain_flips(space: Space, is_gain: Sequence[bool]) -> list[Generator]:
    """The flips of gains alone: what flips the stream itself is among the rotations."""
    scales = [g.exponents for g in space.of("rescale")]
    plain = next(
        (
            i for i, gain in enumerate(is_gain)
            if not gain and not any(exponents[i] for exponents in scales)
        ),
        None,
    )  # fmt: skip
    flips = list(space.of("flip"))
    first = next((g for g in flips if plain is not None and g.exponents[plain]), None)
    if first is None:
        return flips
    return [
        g if not g.exponents[plain]  # type: ignore[index]
        else replace(g, exponents=tuple(
            (a + b) % 2 for a, b in zip(g.exponents, first.exponents, strict=True)
        ))
        for g in flips
        if g is not first
    ]  # fmt: skip


class _Look:
    """Looks at every operator that meets one stream."""

    def __init__(self, found: Orbits, stream: _Stream) -> None:
        self.found, self.stream = found, stream
        self.products: set[fx.Node] = set()  # of two streams, about to be summed over the units
        self._axes: dict[int, tuple[Value, tuple[int, ...]]] = {}

    def all(self, steps: Sequence[Step]) -> None:
        """Looks at all steps of a program.

        Raises:
            _Refused: an operator looks at the units one by one.
        """
        for step in steps:
            inputs = {node: self._one(value) for node, value in step.inputs}
            results = [self.axes(value) for value in step.results]
            met = any(inputs.values()) or any(results)
            if not met or not results or step.node.target is operator.getitem:
                continue  # what gives no tensor only looks at types, or has pinned what it reads
            name = operator_name(step.node).removeprefix("aten::")
            name = name.removesuffix("_") if is_in_place(step.node) else name
            self._operator(step, name, inputs, results)

    def axes(self, value: Value) -> tuple[int, ...]:
        """The axes of a value along which the units lie, each exactly once."""
        known = self._axes.get(id(value))
        if known is None:
            known = self._axes[id(value)] = (value, tuple(self._find(value)))
        return known[1]

    def _one(self, value: Any) -> tuple[int, ...]:
        leaves = [v for v in tree_leaves(value) if isinstance(v, Value)]
        found = {self.axes(v) for v in leaves}
        return max(found, default=(), key=len)

    def _find(self, value: Value) -> list[int]:
        found, cell = self.found, self.stream.cell
        axes = []
        for bundle in value.bundles:
            places = bundle.places
            moving = places >= 0
            unit = found.unit[places[moving]]
            own = found.cell[unit] == cell
            if not own.any():
                continue
            axis = value.axis_of(bundle.dims[0])
            whole = own.all() and moving.all() and len(bundle.dims) == 1
            if not whole or len(np.unique(unit)) != places.size or places.size != self.stream.size:
                raise _Refused
            if value.shape[axis] != self.stream.size:
                raise _Refused
            axes.append(axis)
        return axes

    def _operator(
        self, step: Step, name: str, inputs: Mapping[fx.Node, tuple[int, ...]],
        results: Sequence[tuple[int, ...]],
    ) -> None:  # fmt: skip
        node = step.node
        if name in PASSING:
            first, *others = node.all_input_nodes
            if any(inputs[n] for n in others) or any(len(r) != len(inputs[first]) for r in results):
                raise _Refused
        elif name in ADDING:
            self._use(step)
            self._added(step, name, inputs, results[0])
        elif name in ("mul", "div"):
            self._multiplied(step, name, inputs)
        elif name in ("pow", "square"):
            power = node.args[1] if name == "pow" else 2
            if power != 2 or not self._is_summed(node, inputs[node.all_input_nodes[0]]):
                raise _Refused
            self.products.add(node)
        elif name in ("sum", "mean", "var", "std", "var_mean", "linalg_vector_norm", "norm"):
            self._reduced(node, name, inputs, results)
        elif name in NORMING:
            self._normed(step, name, inputs)
        elif name in CONTRACTING:
            self._use(step)
            self._contracted(node, name, inputs, results[0])
        else:
            raise _Refused

    def _use(self, step: Step) -> None:
        """Notes the parameters that an operator does not use as gains."""
        for _, value in step.inputs:
            if isinstance(value, Value) and value.name is not None and self.axes(value):
                self.stream.used.add(value.name)

    def _added(
        self, step: Step, name: str, inputs: Mapping[fx.Node, tuple[int, ...]],
        result: tuple[int, ...],
    ) -> None:  # fmt: skip
        """Sums, and choices between streams: what is constant over the units is seen as a mean."""
        node, args = step.node, step.node.args
        if len(result) != 1:
            raise _Refused
        values = dict(step.inputs)
        parts: Any = args[0] if name in ("cat", "stack") else args[:2]
        if name == "where":
            parts = args[1:3]
            if isinstance(args[0], fx.Node) and inputs[args[0]]:
                raise _Refused
        if name == "masked_fill":
            parts = (args[0], args[2])
            if isinstance(args[1], fx.Node) and inputs[args[1]]:
                raise _Refused
        if name == "constant_pad_nd":
            padding: Any = args[1]
            parts = (args[0], args[2] if len(args) > 2 else 0)
            if any(padding[2 * (self._rank(node) - 1 - result[0]) :][:2]):
                raise _Refused
        for part in parts:
            if isinstance(part, fx.Node) and isinstance(values.get(part), Value):
                own, rank = inputs[part], len(values[part].axes)
                shift = self._rank(node) - rank
                if name == "stack":
                    at: Any = args[1] if len(args) > 1 else 0
                    shift = 0 if own and own[0] < at % self._rank(node) else 1
                if own and own[0] + shift != result[0]:
                    raise _Refused
                if name == "cat" and own and own[0] == self._dim(node, args):
                    raise _Refused
                if not own and not values[part].zero:
                    self.stream.fixes_mean = True
            elif part != 0:
                self.stream.fixes_mean = True

    def _rank(self, node: fx.Node) -> int:
        return len(node.meta["val"].shape)

    def _dim(self, node: fx.Node, args: Sequence[Any]) -> int:
        return int(args[1] if len(args) > 1 else 0) % self._rank(node)

    def _multiplied(self, step: Step, name: str, inputs: Mapping[fx.Node, tuple[int, ...]]) -> None:
        """Products with numbers, with gains, or of two streams that are about to be summed."""
        node = step.node
        factors = [a for a in node.args[:2] if isinstance(a, fx.Node)]
        carrying = [n for n in factors if inputs[n]]
        if len(carrying) == 1:
            if name == "div" and carrying[0] is not node.args[0]:
                raise _Refused
            self._use(step)
            return
        if name == "mul" and len(set(carrying)) == 1 or len(carrying) != 2:
            gain = None
        else:
            values = dict(step.inputs)
            named = [n for n in carrying if self._gain(values[n]) and len(inputs[n]) == 1]
            named = [n for n in named if name == "mul" or n is node.args[1]]
            gain = named[-1] if named else None
        if gain is not None:
            self.stream.gains.add(str(dict(step.inputs)[gain].name))
            return
        if name == "div" or not self._is_summed(node, inputs[carrying[0]]):
            raise _Refused
        self._use(step)
        self.products.add(node)

    def _gain(self, value: Any) -> bool:
        """Whether a value is a parameter of one number per unit."""
        return (
            isinstance(value, Value) and value.name is not None
            and int(np.prod(value.shape)) == self.stream.size
        )  # fmt: skip

    def _is_summed(self, node: fx.Node, axes: tuple[int, ...]) -> bool:
        """Whether all that is done with a product of streams is to sum it over the units."""
        if len(axes) != 1:
            return False
        back = axes[0] - len(node.meta["val"].shape)
        for user in node.users:
            name = operator_name(user).removeprefix("aten::")
            if name in CONVERTING:
                if not self._is_summed(user, axes):
                    return False
            elif name not in ("sum", "mean") or back not in self._summed(user):
                return False
        return bool(node.users)

    def _summed(self, node: fx.Node) -> set[int]:
        """The axes that a reduction sums, counted from the end."""
        source: Any = node.args[0]
        rank = len(source.meta["val"].shape)
        name = operator_name(node).removeprefix("aten::")
        position = 2 if name in ("linalg_vector_norm", "norm") else 1
        dims: Any = node.kwargs.get(
            "dim", node.args[position] if len(node.args) > position else None
        )
        if isinstance(dims, bool) or dims is None or dims == []:
            return set(range(-rank, 0))
        dims = dims if isinstance(dims, list | tuple) else [dims]
        return {d % rank - rank for d in dims}

    def _reduced(
        self, node: fx.Node, name: str, inputs: Mapping[fx.Node, tuple[int, ...]],
        results: Sequence[tuple[int, ...]],
    ) -> None:  # fmt: skip
        source = node.all_input_nodes[0]
        rank = len(source.meta["val"].shape)
        summed, own = self._summed(node), {axis - rank for axis in inputs[source]}
        if not summed & own:
            if name in ("sum", "mean"):
                return
            raise _Refused
        if name in ("sum", "mean"):
            if self._came_from(source) in self.products:
                self.stream.normed = True
            else:
                self.stream.fixes_mean = True
            return
        if name in ("linalg_vector_norm", "norm"):
            order = node.args[1] if len(node.args) > 1 else 2
            if order != 2:
                raise _Refused
        else:
            self.stream.fixes_mean = True
        self.stream.normed = True

    def _came_from(self, node: fx.Node) -> fx.Node:
        while operator_name(node).removeprefix("aten::") in CONVERTING and node.all_input_nodes:
            node = node.all_input_nodes[0]
        return node

    def _normed(self, step: Step, name: str, inputs: Mapping[fx.Node, tuple[int, ...]]) -> None:
        node, values = step.node, dict(step.inputs)
        x: Any = node.args[0]
        shape: Any = node.args[1]
        if not inputs[x]:  # a norm over something else, of which a gain lies on the units
            raise _Refused
        if len(shape) != 1 or inputs[x] != (len(x.meta["val"].shape) - 1,):
            raise _Refused
        self.stream.normed = True
        self.stream.fixes_mean |= NORMING[name]
        weight = node.args[2] if len(node.args) > 2 else node.kwargs.get("weight")
        bias = node.args[3] if len(node.args) > 3 and NORMING[name] else node.kwargs.get("bias")
        if isinstance(weight, fx.Node) and inputs[weight]:
            if not self._gain(values[weight]):
                raise _Refused
            self.stream.gains.add(str(values[weight].name))
        if isinstance(bias, fx.Node) and inputs[bias]:
            if values[bias].name is not None:
                self.stream.used.add(values[bias].name)

    def _contracted(
        self, node: fx.Node, name: str, inputs: Mapping[fx.Node, tuple[int, ...]],
        result: tuple[int, ...],
    ) -> None:  # fmt: skip
        """Sums over the units of two streams, and maps that write one."""
        letters, out = _letters(node, name)
        if letters is None or len(result) > 1:
            raise _Refused
        on: dict[str, list[bool]] = {}
        for operand, own in letters:
            for axis, letter in enumerate(own):
                held = isinstance(operand, fx.Node) and axis in inputs[operand]
                on.setdefault(letter, []).append(held)
        for letter, held in on.items():
            if not any(held):
                continue
            if letter in out:  # handed on; a second factor along it would act unit by unit
                if len(held) > 1 or out.index(letter) not in result:
                    raise _Refused
            elif len(held) == 1 or not all(held):
                self.stream.fixes_mean = True
            elif len(held) > 2:
                raise _Refused
        if name in ("addmm", "baddbmm"):
            added: Any = node.args[0]
            own = inputs[added]
            shift = len(out) - len(added.meta["val"].shape)
            if tuple(a + shift for a in own) != result and result:
                self.stream.fixes_mean = True
        bias = _bias(node, name)
        if isinstance(bias, fx.Node) and bool(inputs[bias]) != bool(result):
            raise _Refused


def _bias(node: fx.Node, name: str) -> Any:
    if name == "linear" or name.startswith("conv"):
        return node.args[2] if len(node.args) > 2 else node.kwargs.get("bias")
    return None


ALPHABET = "abcdefghijklmnopqrstuvwxyz"


def _letters(node: fx.Node, name: str) -> tuple[list[tuple[Any, str]] | None, str]:
    """A contraction as operands with one letter per axis, and the letters of its result."""
    args: Sequence[Any] = node.args

    def rank(operand: Any) -> int:
        return len(operand.meta["val"].shape)

    if name == "einsum":
        return _equation(args)
    if name == "linear":
        own = ALPHABET[: rank(args[0])]
        return [(args[0], own), (args[1], "Z" + own[-1])], own[:-1] + "Z"
    if name.startswith("conv"):
        groups = args[8] if name == "convolution" else args[6] if len(args) > 6 else 1
        transposed = name == "convolution" and args[6]
        if groups != 1 or transposed or rank(args[0]) != rank(args[1]):
            return None, ""
        space = ALPHABET[2 : rank(args[0])]
        kernel = space.upper()
        return [(args[0], "ab" + kernel), (args[1], "Zb" + kernel)], "aZ" + space
    if name in ("addmm", "baddbmm"):
        args = args[1:]
    a, b = args[:2]
    ranks = rank(a), rank(b)
    if min(ranks) == 0:
        return None, ""
    if name == "_grouped_mm":
        ranks_ok = ranks == (2, 3)
        return ([(a, "nk"), (b, "gkZ")], "nZ") if ranks_ok else (None, "")
    batch = max(*ranks, 2) - 2
    shared = ALPHABET[:batch]
    left = "k" if ranks[0] == 1 else shared[batch - (ranks[0] - 2) :] + "yk"
    right = "k" if ranks[1] == 1 else shared[batch - (ranks[1] - 2) :] + "kz"
    out = shared + "y" * (ranks[0] > 1) + "z" * (ranks[1] > 1)
    left, right, out = (
        x.replace("k", "K").replace("y", "Y").replace("z", "Z") for x in (left, right, out)
    )
    return [(a, left), (b, right)], out


def _equation(args: Sequence[Any]) -> tuple[list[tuple[Any, str]] | None, str]:
    equation = str(args[0]).replace(" ", "")
    if "." in equation or "->" not in equation:
        return None, ""
    given, out = equation.split("->")
    operands: Any = args[1]
    return list(zip(operands, given.split(","), strict=True)), out
