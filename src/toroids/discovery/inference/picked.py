"""Tensors of which everybody takes single positions of an axis: layers stacked in one parameter.

`for w in self.w: h = act(h @ w)` reads a tensor (layers, inputs, outputs) layer by layer. Its first
axis stays in place, and what lies along the others is indexed in each layer on its own, as in as
many tensors. So it is too where weights are computed of it first, as in `torch.tanh(self.w)`, if
they keep the layers apart. All that is so only where every trace takes every position, or inputs of
other sizes might take those that no trace has taken.
"""

import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, fx
from torch._ops import OpOverload
from torch.utils._pytree import tree_leaves, tree_map_only

from toroids.discovery.inference.unread import ARRANGING
from toroids.discovery.tracing.execution import Execution, call
from toroids.discovery.tracing.operators import operator_name
from toroids.discovery.tracing.program import Program

# An axis of a parameter, or of a buffer.
Axis = tuple[str, int]
# For the results of an operator the lowest position, along an axis, of what every entry is made of;
# and the lowest of the positions with their signs turned.
Range = tuple[Any, Any]


def picked_axes(programs: Sequence[Program]) -> Mapping[str, tuple[int, ...]]:
    """Finds axes of parameters and buffers of which nobody looks at two positions at once.

    Args:
        programs: one module, traced at one or several sizes of its inputs.

    Returns:
        For every tensor that has them these axes, all positions of which every program takes.
    """
    found: dict[str, set[int]] = {}
    for program in programs:
        for name, axes in _picked(program).items():
            found[name] = found.get(name, axes) & axes
    return {name: tuple(sorted(axes)) for name, axes in found.items() if axes}


def _picked(program: Program) -> dict[str, set[int]]:
    """The axes of every tensor of which single positions are taken, and of those all."""
    shapes = _shapes(program)
    seen: dict[Axis, list[int | None]] = {
        (name, axis): []
        for name, shape in shapes.items()
        for axis, size in enumerate(shape)
        if size > 1
    }
    for key, place in _looks(program, shapes):
        seen[key].append(place)
    result: dict[str, set[int]] = {}
    for name, shape in shapes.items():
        axes = [axis for axis in range(len(shape)) if (name, axis) in seen]
        found = [axis for axis in axes if seen[name, axis] and None not in seen[name, axis]]
        taken = set(zip(*(seen[name, axis] for axis in found), strict=True))
        every = math.prod(shape[axis] for axis in found)
        whole = bool(found) and found != axes and len(taken) == every
        result[name] = set(found) if whole else set()
    return result


def _shapes(program: Program) -> dict[str, Sequence[int]]:
    """The shapes of the parameters that are used, and of buffers that no call replaces."""
    found = {}
    for node in program.graph.graph.nodes:
        source = program.sources.get(node.name) if node.op == "placeholder" else None
        if source is None or not node.users or source.name not in program.shapes:
            continue
        if source.kind == "parameter" or source.name not in program.mutated:
            found[source.name] = source.value.shape
    return found


def _looks(
    program: Program, shapes: Mapping[str, Sequence[int]]
) -> Iterator[tuple[Axis, int | None]]:
    """What operators look at that read more than weights.

    Args:
        program: a traced module.
        shapes: of the tensors that are asked for.

    Yields:
        For every value that is read an axis, and the position that it has there; None for several.
    """
    ranges: dict[fx.Node, dict[Axis, Range]] = {}  # of weights, and of what is computed of them
    for node in program.graph.graph.nodes:
        if node.op == "placeholder":
            source = program.sources[node.name]
            if source.kind != "input":
                shape = shapes.get(source.name, ())
                ranges[node] = {
                    (source.name, axis): (_places(shape, axis), _places(shape, axis, -1))
                    for axis, size in enumerate(shape)
                    if size > 1
                }
        elif ranges.keys() >= {*node.all_input_nodes} and _is_followed(node):
            known = [ranges[n] for n in node.all_input_nodes]
            ranges[node] = {
                key: _range(node, [own[key] for own in known if key in own])
                for key in dict.fromkeys(key for own in known for key in own)
            }
        else:
            for n in node.all_input_nodes:
                for key, (low, high) in ranges.get(n, {}).items():
                    for both in zip(tree_leaves(low), tree_leaves(high), strict=True):
                        yield key, _single(*both)


def _is_followed(node: fx.Node) -> bool:
    """Whether the results of an operator are tensors of known sizes."""
    if not (isinstance(node.target, OpOverload) or _arranges(node)):
        return False
    results = tree_leaves(node.meta.get("val"))
    sizes = [x.shape if isinstance(x, Tensor) else (None,) for x in results]
    return all(isinstance(n, int) for own in sizes for n in own)


def _places(shape: Sequence[int], axis: int, sign: int = 1) -> Tensor:
    """The position along an axis, or that with its sign turned, for every entry."""
    alone = [size if number == axis else 1 for number, size in enumerate(shape)]
    # made large at last, which takes no memory
    return (sign * torch.arange(shape[axis])).view(alone).expand(*shape)


def _single(low: Tensor, high: Tensor) -> int | None:
    """The one position that a part of a tensor has; None for several."""
    first, last = (int(_compact(x).min()) for x in (low, high))
    return first if first == -last else None


def _compact(places: Tensor) -> Tensor:
    """The same without repetitions."""
    return places[tuple(slice(None) if stride else slice(1) for stride in places.stride())]


def _range(node: fx.Node, given: Sequence[Range]) -> Range:
    """What the results of an operator are made of that reads weights only."""
    low, high = zip(*given, strict=True)
    return _least(node, low), _least(node, high)


def _least(node: fx.Node, given: Sequence[Any]) -> Any:
    """The least position for every entry; where nothing else is known, of all that is read."""
    if _arranges(node):
        return call(node, lambda _: given[0], Execution(wide=False))
    results = node.meta.get("val")
    if isinstance(results, Tensor) and all(isinstance(x, Tensor) for x in given):
        parts = [_kept(node, x, results.ndim) for x in given]
        known = [x for x in parts if x is not None]
        if len(known) == len(parts):
            return functools.reduce(torch.minimum, known).expand(results.shape)
    least = min(_compact(x).min() for x in tree_leaves(list(given)))
    return tree_map_only(Tensor, lambda x: least.expand(x.shape), results)


def _kept(node: fx.Node, places: Tensor, rank: int) -> Tensor | None:
    """The least positions along what an operator looks at as a whole; None if that is not known."""
    name = operator_name(node)
    if torch.Tag.pointwise in node.target.tags or name == "aten::expand_as":  # type: ignore[union-attr]
        return _compact(places)
    named = [x.name for x in node.target._schema.arguments]  # type: ignore[union-attr]
    dims = (dict(zip(named, node.args, strict=False)) | dict(node.kwargs)).get("dim")
    dims = [dims] if isinstance(dims, int) else list(dims or ())
    gone = places.ndim - rank
    if not dims or gone not in (0, len(dims)):
        return None
    return _compact(places).amin(dim=dims, keepdim=not gone)


def _arranges(node: fx.Node) -> bool:
    """Whether an operator only hands on entries of a single tensor, at fixed numbers."""
    named = node.op == "call_function" and operator_name(node) in ARRANGING
    return named and len(node.all_input_nodes) == 1
