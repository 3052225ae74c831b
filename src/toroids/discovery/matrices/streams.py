"""What every operator that meets a stream makes of its units, all turned by one matrix.

Sums, products with numbers, linear maps, and norms over the units commute with Q or forget it. What
is constant over the units, or their mean, does where Q keeps the mean. A parameter that multiplies
the units one by one is a gain: whether it can be moved into readers, `rotations` asks. Any operator
that is not known here looks at the units one by one, as far as anybody can tell.
"""

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import Tensor, fx
from torch.fx.experimental.symbolic_shapes import guard_or_false
from torch.utils._pytree import tree_leaves

from toroids.discovery.axes import Bundle, Value
from toroids.discovery.axes.constraints import Ids
from toroids.discovery.inference.contractions import bias_of, letters_of
from toroids.discovery.inference.orbits import Orbits
from toroids.discovery.inference.state import Step
from toroids.discovery.inference.unread import ARRANGING
from toroids.discovery.tracing.measured import SIZED_BY_SECOND
from toroids.discovery.tracing.operators import is_in_place, narrows, short_name

CONVERTING = ("to", "_to_copy", "contiguous", "clone", "detach", "alias", "type_as")
# Operators that hand on the stream's units, whatever else they are given.
PASSING = {name.removeprefix("aten::") for name in ARRANGING} - {"cat", "stack", "getitem"} | {
    "expand_as", "index", "embedding", "gather", "neg", "dropout", "type_as", "masked_select",
    "view_as", "reshape_as", "take_along_dim", "positive",
}  # fmt: skip
SHAPED_LIKE = {name.removeprefix("aten::") for name in SIZED_BY_SECOND} | {"type_as"}
# Operators that cut an axis into pieces, or join pieces, and do nothing else.
CUTTING = {
    "slice", "narrow", "split", "split_with_sizes", "chunk", "tensor_split", "unsafe_split", "cat",
    "to", "_to_copy", "clone", "contiguous", "detach", "alias",
}  # fmt: skip
# Linear in the pixels, alike for all channels; the rank of an image is in the name.
RESAMPLING = ("upsample_", "_upsample_", "avg_pool", "adaptive_avg_pool", "_adaptive_avg_pool")
ADDING = ("add", "sub", "rsub", "cat", "stack", "where", "masked_fill", "constant_pad_nd", "pad")
NORMING = {
    "layer_norm": True, "native_layer_norm": True, "rms_norm": False, "_fused_rms_norm": False,
}  # fmt: skip
WEIGHT_NORMING = ("_weight_norm", "_weight_norm_interface")
CONTRACTING = (
    "linear", "matmul", "mm", "bmm", "mv", "dot", "addmm", "baddbmm", "_grouped_mm",
    "grouped_mm_fallback", "einsum", "conv1d", "conv2d", "conv3d", "convolution",
)  # fmt: skip
# Linear in products of streams: with numbers, with each other, or summed over other axes.
LINEAR = ("add", "sub", "neg", "mul", "div", "sum", "mean")
# Distances by the Euclidean norm, and angles.
COMPARING = (
    "cdist", "_cdist_forward", "_euclidean_dist", "pairwise_distance", "pdist", "_pdist_forward",
    "cosine_similarity", "mse_loss",
)  # fmt: skip


class Refused(Exception):
    """An operator that looks at the units of a stream one by one."""


@dataclass
class Stream:
    """What is found of one space while its operators are looked at.

    Attributes:
        cell: its cell.
        size: the number of its units.
        fixes_mean: whether anything sees the mean over the units.
        hides_mean: whether nothing sees the mean of what is written, before a norm.
        gains: parameters that multiply the units.
        used: parameters on the units that do anything else.
    """

    cell: int
    size: int
    fixes_mean: bool = False
    hides_mean: bool = True
    gains: set[str] = field(default_factory=set)
    used: set[str] = field(default_factory=set)


class Look:
    """Looks at every operator that meets one stream."""

    def __init__(self, found: Orbits, stream: Stream, finest: float) -> None:
        """Starts with nothing seen of `stream`; `finest` is the step of the finest parameter."""
        self.found, self.stream, self.finest = found, stream, finest
        self.products: set[fx.Node] = set()  # of two streams, about to be summed over the units
        self.raw: set[fx.Node] = set()  # the stream as it is written, before a norm
        self._axes: dict[int, tuple[Value, tuple[int, ...]]] = {}
        self._parts: dict[int, list[int]] = {}  # axes on which other units lie as well

    def all(self, steps: Sequence[Step]) -> None:
        """Looks at all steps of a program.

        Raises:
            Refused: an operator looks at the units one by one.
        """
        for step in steps:
            inputs = {node: self._one(value) for node, value in step.inputs}
            results = [self.axes(value) for value in step.results]
            beside = any(map(self._beside, [v for _, v in step.inputs] + list(step.results)))
            met = any(inputs.values()) or any(results) or beside
            if step.node.target is operator.getitem and step.node.all_input_nodes[0] in self.raw:
                self.raw.add(step.node)
            if not met or not results or step.node.target is operator.getitem:
                continue  # what gives no tensor only looks at types, or has pinned what it reads
            name = short_name(step.node)
            name = name.removesuffix("_") if is_in_place(step.node) else name
            if self._rounds(step.node):
                raise Refused
            if beside:
                self._part(step, name)
                if name in CUTTING:
                    continue
            self._operator(step, name, inputs, results)
            self._follow(step, name, inputs, results)

    def _follow(
        self, step: Step, name: str, inputs: Mapping[fx.Node, tuple[int, ...]],
        results: Sequence[tuple[int, ...]],
    ) -> None:  # fmt: skip
        """Notes what is the stream as it is written, and whether its mean is seen there."""
        node, values = step.node, dict(step.inputs)
        before = {n for n in self.raw if inputs.get(n)}
        named = {n for n in inputs if inputs[n] and getattr(values[n], "name", None) is not None}
        if name in CONTRACTING:
            letters, _ = letters_of(node, name)
            reads = {operand for operand, _ in letters or () if inputs.get(operand)}
            # beside a stream, a parameter reads it; beside numbers, it is one that is read
            written = reads & (before | named) if len(reads) == 1 else (reads & before) - named
            self.stream.hides_mean &= not any(len(inputs[n]) > len(results[0]) for n in written)
            if results[0]:
                self.raw.add(node)
            return
        tells = any(u.target is operator.getitem and u.args[1] == 1 and u.users for u in node.users)
        if name not in NORMING and not any(results):  # sums, means, norms; centred ones are blind
            centred = name in ("var", "std", "var_mean") and not tells
            centred = centred and self._summed(node) == self._counted(node, inputs)
            self.stream.hides_mean &= centred or not before | named
        elif name in NORMING:
            # of several side by side only the mean of all is taken away
            alone = self._beside_each_other(values[node.all_input_nodes[0]]) == 1
            self.stream.hides_mean &= not before or (NORMING[name] and not tells and alone)
            return
        if node in self.products and before:
            self.stream.hides_mean = False
        if any(results) and (before or named):
            gained = name in ("mul", "div") and not before
            if not gained:
                self.raw.add(node)

    def _part(self, step: Step, name: str) -> None:
        """Axes on which the units lie beside others: written or read by one map, cut, joined."""
        self.raw.add(step.node)  # whatever is written there may be the stream
        if name in CUTTING:
            return
        letters, out = letters_of(step.node, name) if name in CONTRACTING else (None, "")
        if letters is None or len(step.results) != 1:
            raise Refused
        values = dict(step.inputs)
        written = {out[axis] for axis in self._beside(step.results[0])}
        lying = {o: {own[axis] for axis in self._beside(values.get(o))} for o, own in letters}
        read = set().union(*lying.values()) - written
        if any(letter in out for letter in read):
            raise Refused
        if any(letter in own and letter not in lying[o] for letter in read for o, own in letters):
            raise Refused
        self.stream.hides_mean &= not read

    def _beside_each_other(self, value: Value) -> int:
        """How many of the stream lie side by side in a value, as tokens that are merged."""
        return max((value.shape[a] // self.stream.size for a in self.axes(value)), default=1)

    def _beside(self, value: Any) -> tuple[int, ...]:
        """The axes of a value on which the units lie beside others."""
        leaves = [v for v in tree_leaves(value) if isinstance(v, Value)]
        for leaf in leaves:
            self.axes(leaf)
        return tuple(axis for leaf in leaves for axis in self._parts.get(id(leaf), ()))

    def axes(self, value: Value) -> tuple[int, ...]:
        """The axes of a value along which the units lie, once or side by side, and nothing else."""
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
            places, dims = self._once(places, bundle.dims)
            moving = places >= 0
            unit = found.unit[places[moving]]
            own = found.cell[unit] == cell
            axis = value.axis_of(dims[0])
            times = np.unique(unit[own], return_counts=True)[1]
            each = times.size == self.stream.size and bool((times == times[0]).all())
            whole = own.sum() == places.size  # the stream, or several of it side by side
            beside = value.bundles_on(d for d in value.dims(axis) if d != dims[0])
            stays = all(self._stays(other) for other in beside if other is not bundle)
            if not each or len(dims) != 1 or not stays:
                raise Refused
            if not whole and times[0] > 1:
                raise Refused
            if whole:
                axes.append(axis)
            else:
                self._parts.setdefault(id(value), []).append(axis)
        return axes

    def _stays(self, bundle: Bundle) -> bool:
        """Whether a bundle never moves, as tokens do that are laid side by side in one axis."""
        moving = bundle.places[bundle.places >= 0]
        return bool((self.found.cell[self.found.unit[moving]] < 0).all())

    def _once(self, places: Ids, dims: tuple[int, ...]) -> tuple[Ids, tuple[int, ...]]:
        """Places without the dimensions along which they move alike, and the other dimensions."""
        # a class token beside a single patch has places of its own, which move as the patch's do
        for at in reversed(range(places.ndim)):
            first = places.take([0], axis=at)
            alike = (
                (places >= 0) & (first >= 0) & (self.found.unit[places] == self.found.unit[first])
            )
            if places.ndim > 1 and bool(alike.all()):
                places, dims = first.squeeze(at), (*dims[:at], *dims[at + 1 :])
        return places, dims

    def _operator(
        self, step: Step, name: str, inputs: Mapping[fx.Node, tuple[int, ...]],
        results: Sequence[tuple[int, ...]],
    ) -> None:  # fmt: skip
        node = step.node
        if self._of_products(node, name, inputs):
            self.products.add(node)
        elif name in PASSING:
            first, *others = node.all_input_nodes
            looks = any(inputs[n] for n in others) and name not in SHAPED_LIKE
            if looks or any(len(r) != len(inputs[first]) for r in results):
                raise Refused
        elif name == "broadcast_tensors":
            given: Any = node.args[0]
            shift = [self._rank(n) - len(v.axes) for n, v in zip(given, step.results, strict=True)]
            if [inputs[n] for n in given] != [
                tuple(a + by for a in own) for own, by in zip(results, shift, strict=True)
            ]:
                raise Refused
        elif name.startswith(RESAMPLING):
            self._use(step)
            pixels = int(next(letter for letter in name if letter.isdigit()))
            if any(axis >= self._rank(node) - pixels for axis in results[0]):
                raise Refused
        elif name in ADDING:
            self._use(step)
            self._added(step, name, inputs, results[0])
        elif name in ("mul", "div"):
            self._multiplied(step, name, inputs)
        elif name in ("pow", "square"):
            power = node.args[1] if name == "pow" else 2
            if power != 2 or not self._is_summed(node, inputs[node.all_input_nodes[0]]):
                raise Refused
            self.products.add(node)
        elif name in ("sum", "mean", "var", "std", "var_mean", "linalg_vector_norm", "norm"):
            self._reduced(node, name, inputs, results)
        elif name in NORMING:
            self._normed(step, name, inputs)
        elif name in COMPARING:
            self._use(step)
            self._compared(node, name, inputs, results[0])
        elif name in WEIGHT_NORMING:
            self._use(step)
            self._by_rows(node, inputs)
        elif name in CONTRACTING:
            self._use(step)
            self._contracted(node, name, inputs, results[0])
        elif name == "scaled_dot_product_attention":
            self._use(step)
            self._attended(node, inputs, results[0])
        else:
            raise Refused

    def _rounds(self, node: fx.Node) -> bool:
        """Whether an operator rounds numbers, one by one: to integers, or to a narrower type."""
        made = node.meta.get("val")
        whole = isinstance(made, Tensor) and not (made.is_floating_point() or made.is_complex())
        return whole or narrows(node, self.finest)

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
            raise Refused
        values = dict(step.inputs)
        parts: Any = args[0] if name in ("cat", "stack") else args[:2]
        if name == "where":
            parts = args[1:3]
            if isinstance(args[0], fx.Node) and inputs[args[0]]:
                raise Refused
        if name == "masked_fill":
            parts = (args[0], args[2])
            if isinstance(args[1], fx.Node) and inputs[args[1]]:
                raise Refused
        if name in ("constant_pad_nd", "pad"):
            padding: Any = args[1]
            value = args[-1] if len(args) > (2 if name == "constant_pad_nd" else 3) else None
            constant = name == "constant_pad_nd" or [*args, "constant"][2] == "constant"
            parts = (args[0], value or 0) if constant else args[:1]
            if any(padding[2 * (self._rank(node) - 1 - result[0]) :][:2]):
                raise Refused
        for part in parts:
            if isinstance(part, fx.Node) and isinstance(values.get(part), Value):
                own, rank = inputs[part], len(values[part].axes)
                shift = self._rank(node) - rank
                if name == "stack":
                    at: Any = args[1] if len(args) > 1 else 0
                    shift = 0 if own and own[0] < at % self._rank(node) else 1
                if own and own[0] + shift != result[0]:
                    raise Refused
                along = name == "cat" and self._dim(node, args) == result[0]
                if along and not own:
                    raise Refused
                if not own and not values[part].zero:
                    self.stream.fixes_mean = True
            elif part != 0:
                self.stream.fixes_mean = True

    def _is_one(self, operand: Any, axis: int) -> bool:
        return isinstance(operand, fx.Node) and guard_or_false(operand.meta["val"].shape[axis] == 1)

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
                raise Refused
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
            raise Refused
        self._use(step)
        self.products.add(node)

    def _gain(self, value: Any) -> bool:
        """Whether a value is a parameter of one number per unit, or of several side by side."""
        if not isinstance(value, Value) or value.name is None or len(self.axes(value)) != 1:
            return False
        return int(np.prod(value.shape)) == value.shape[self.axes(value)[0]]

    def _of_products(
        self, node: fx.Node, name: str, inputs: Mapping[fx.Node, tuple[int, ...]]
    ) -> bool:
        """Whether an operator is linear in products of streams, about to be summed, and no more."""
        carrying = [n for n in inputs if inputs[n]]
        products = [n for n in carrying if self._came_from(n) in self.products]
        if not products or name in CONVERTING:
            return False
        if name in ("sum", "mean") and self._summed(node) & self._counted(node, inputs):
            return False
        if name in CONTRACTING:
            lying = inputs[products[0]]
            if products != carrying or len(lying) != 1 or _out(node, products[0], lying[0]) is None:
                raise Refused
            return True
        at = {axis - self._rank(n) for n in carrying for axis in inputs[n]}
        of = [isinstance(x, fx.Node) and bool(inputs[x]) for x in node.args[:2]]
        factors = (name == "mul" and all(of)) or (name == "div" and of[-1])
        if name not in LINEAR or products != carrying or len(at) > 1 or factors:
            raise Refused
        return True

    def _is_summed(self, node: fx.Node, axes: tuple[int, ...]) -> bool:
        """Whether all that is done with a product of streams is to sum it over the units."""
        if len(axes) != 1:
            return False
        back = axes[0] - self._rank(node)
        for user in node.users:
            name = short_name(user)
            if name in ("sum", "mean") and back in self._summed(user):
                continue
            if name in CONTRACTING:
                out = _out(user, node, axes[0])
                if out is None or not self._is_summed(user, (out,)):
                    return False
                continue
            if name not in (*CONVERTING, *LINEAR):
                return False
            gone = self._rank(node) - self._rank(user) if name in ("sum", "mean") else 0
            behind = sum(axis > back for axis in self._summed(user)) if gone else 0
            if not self._is_summed(user, (back + behind + self._rank(user),)):
                return False
        return bool(node.users)

    def _summed(self, node: fx.Node) -> set[int]:
        """The axes that a reduction sums, counted from the end."""
        source: Any = node.args[0]
        rank = len(source.meta["val"].shape)
        name = short_name(node)
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
        summed, own = self._summed(node), self._counted(node, inputs)
        if not summed & own:
            if name in ("sum", "mean"):
                return
            raise Refused
        if name in ("sum", "mean"):
            self.stream.fixes_mean |= self._came_from(source) not in self.products
            return
        if name in ("linalg_vector_norm", "norm"):
            order = node.args[1] if len(node.args) > 1 else 2
            if order != 2:
                raise Refused
        else:
            self.stream.fixes_mean = True

    def _counted(self, node: fx.Node, inputs: Mapping[fx.Node, tuple[int, ...]]) -> set[int]:
        """The axes of the units in what a reduction reads, counted from the end."""
        source = node.all_input_nodes[0]
        return {axis - self._rank(source) for axis in inputs[source]}

    def _came_from(self, node: fx.Node) -> fx.Node:
        while short_name(node) in CONVERTING and node.all_input_nodes:
            node = node.all_input_nodes[0]
        return node

    def _normed(self, step: Step, name: str, inputs: Mapping[fx.Node, tuple[int, ...]]) -> None:
        node, values = step.node, dict(step.inputs)
        x: Any = node.args[0]
        shape: Any = node.args[1]
        if not inputs[x]:  # a norm over something else, of which a gain lies on the units
            raise Refused
        if len(shape) != 1 or inputs[x] != (len(x.meta["val"].shape) - 1,):
            raise Refused
        self.stream.fixes_mean |= NORMING[name]
        weight = node.args[2] if len(node.args) > 2 else node.kwargs.get("weight")
        bias = node.args[3] if len(node.args) > 3 and NORMING[name] else node.kwargs.get("bias")
        if isinstance(weight, fx.Node) and inputs[weight]:
            if not self._gain(values[weight]):
                raise Refused
            self.stream.gains.add(str(values[weight].name))
        if isinstance(bias, fx.Node) and inputs[bias]:
            if values[bias].name is not None:
                self.stream.used.add(values[bias].name)

    def _by_rows(self, node: fx.Node, inputs: Mapping[fx.Node, tuple[int, ...]]) -> None:
        """Rows of a weight divided by their lengths, where the units lie along the rows."""
        direction, length, *others = node.args
        dim = next(iter(others), 0)
        if inputs[length] or len(inputs[direction]) != 1 or dim in inputs[direction]:  # type: ignore[index]
            raise Refused

    def _attended(
        self, node: fx.Node, inputs: Mapping[fx.Node, tuple[int, ...]], result: tuple[int, ...]
    ) -> None:
        """Products of queries and keys, summed over the units; and values, which are handed on."""
        last = (self._rank(node) - 1,)
        query, key, value = (inputs[x] for x in node.args[:3] if isinstance(x, fx.Node))
        others = (inputs[x] for x in node.all_input_nodes if x not in node.args[:3])
        if query != key or value != result or any(others) or {query, value} - {(), last}:
            raise Refused
        self.stream.hides_mean &= not query

    def _compared(
        self, node: fx.Node, name: str, inputs: Mapping[fx.Node, tuple[int, ...]],
        result: tuple[int, ...],
    ) -> None:  # fmt: skip
        """Distances of rows, and angles between them, which all have their units on one axis."""
        pair = [x for x in node.args[:2] if isinstance(x, fx.Node)]
        ranks = [self._rank(n) for n in pair]
        own = [axis - rank for n, rank in zip(pair, ranks, strict=True) for axis in inputs[n]]
        more: Any = node.args[len(pair) :]
        if name == "mse_loss":
            good = len({*own, *ranks}) == 2 and more[:1] != (0,)
        elif name == "cosine_similarity":
            at = int(more[0]) if more else 1
            good = {*own} == {at - max(ranks) if at >= 0 else at}
        else:
            good = {*own} == {-1} and all(p == 2 for p in more[:1])
        if name == "pairwise_distance" and more[1:2] != (0,):
            self.stream.fixes_mean = True  # its eps is added to every difference
        if result or not good or len(own) != len(pair) or node.kwargs:
            raise Refused

    def _contracted(
        self, node: fx.Node, name: str, inputs: Mapping[fx.Node, tuple[int, ...]],
        result: tuple[int, ...],
    ) -> None:  # fmt: skip
        """Sums over the units of two streams, and maps that write one."""
        letters, out = letters_of(node, name)
        if letters is None or len(result) > 1:
            raise Refused
        on: dict[str, list[bool]] = {}
        for operand, own in letters:
            for axis, letter in enumerate(own):
                held = isinstance(operand, fx.Node) and axis in inputs[operand]
                if held or not self._is_one(operand, axis):  # one for all multiplies as a number
                    on.setdefault(letter, []).append(held)
        for letter, carried in on.items():
            if not any(carried):
                continue
            if letter in out:  # handed on; a second factor along it would act unit by unit
                if len(carried) > 1 or out.index(letter) not in result:
                    raise Refused
            elif len(carried) == 1 or not all(carried):
                self.stream.fixes_mean = True
            elif len(carried) > 2:
                raise Refused
        if name in ("addmm", "baddbmm"):
            added: Any = node.args[0]
            lying = inputs[added]
            shift = len(out) - len(added.meta["val"].shape)
            if tuple(a + shift for a in lying) != result and result:
                self.stream.fixes_mean = True
        bias = bias_of(node, name)
        if isinstance(bias, fx.Node) and bool(inputs[bias]) != bool(result):
            raise Refused


def _out(node: fx.Node, operand: fx.Node, axis: int) -> int | None:
    """Where a contraction with numbers hands on an axis of one operand; None where it sums it."""
    letters, out = letters_of(node, short_name(node))
    own = [given for given, _ in letters or () if given is operand]
    if letters is None or len(own) != 1 or bias_of(node, short_name(node)) is not None:
        return None
    if short_name(node) in ("addmm", "baddbmm"):
        return None
    letter = next(name for given, name in letters if given is operand)[axis]
    alone = not any(letter in name for given, name in letters if given is not operand)
    return out.index(letter) if letter in out and alone else None
