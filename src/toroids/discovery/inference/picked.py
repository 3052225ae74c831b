"""Tensors of which everybody takes single positions of an axis: layers stacked in one parameter.

`for w in self.w: h = act(h @ w)` reads a tensor (layers, inputs, outputs) layer by layer. Its first
axis stays in place, and what lies along the others is indexed in each layer on its own, as in as
many tensors. That is so only where every trace takes every position, or inputs of other sizes
might take those that no trace has taken.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, fx
from torch.utils._pytree import tree_leaves

from toroids.discovery.inference.unread import ARRANGING
from toroids.discovery.tracing.operators import operator_name
from toroids.discovery.tracing.program import Program


def picked_axes(programs: Sequence[Program]) -> Mapping[str, tuple[int, ...]]:
    """Finds axes of parameters of which nobody looks at two positions at once.

    Args:
        programs: one module, traced at one or several sizes of its inputs.

    Returns:
        For every parameter that has them these axes, all positions of which every program takes.
    """
    found: dict[str, set[int]] = {}
    for program in programs:
        for node in program.graph.graph.nodes:
            source = program.sources.get(node.name) if node.op == "placeholder" else None
            if source is not None and source.kind == "parameter" and node.users:
                axes = _picked(node, source.value.shape)
                found[source.name] = found.get(source.name, axes) & axes
    return {name: tuple(sorted(axes)) for name, axes in found.items() if axes}


def _picked(node: fx.Node, shape: Sequence[int]) -> set[int]:
    """The axes of a parameter of which single positions are taken, and of those all."""
    axes = [axis for axis, size in enumerate(shape) if size > 1]
    if not all(map(_arranges, node.users)):
        return set()
    seen = {axis: [_single(part) for part in _parts(node, _places(shape, axis))] for axis in axes}
    found = [axis for axis in axes if None not in seen[axis]]
    taken = set(zip(*(seen[axis] for axis in found), strict=True))
    every = math.prod(shape[axis] for axis in found)
    return set(found) if found and found != axes and len(taken) == every else set()


def _places(shape: Sequence[int], axis: int) -> Tensor:
    """The position along an axis, for every entry."""
    alone = [size if number == axis else 1 for number, size in enumerate(shape)]
    return torch.arange(shape[axis]).view(alone).expand(*shape)


def _parts(node: fx.Node, places: Any) -> Iterator[Tensor]:
    """The parts of a tensor at which operators look, behind those that cut it."""
    for user in node.users:
        if _arranges(user):
            args, kwargs = fx.map_arg((user.args, user.kwargs), lambda _: places)
            yield from _parts(user, user.target(*args, **kwargs))  # type: ignore[operator]
        else:
            yield from tree_leaves(places)


def _arranges(node: fx.Node) -> bool:
    """Whether an operator only hands on entries of a single tensor, at fixed numbers."""
    named = node.op == "call_function" and operator_name(node) in ARRANGING
    return named and len(node.all_input_nodes) == 1


def _single(places: Tensor) -> int | None:
    """The one position that a part of a tensor has; None for several."""
    low, high = torch.aminmax(places[tuple(slice(None) if s else 0 for s in places.stride())])
    return int(low) if low == high else None
