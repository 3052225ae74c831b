"""What of the sizes and numbers of operators depends on the lengths of the inputs."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, fx
from torch.fx.experimental.symbolic_shapes import guard_or_false
from torch.utils._pytree import tree_leaves

from toroids.discovery import axes
from toroids.discovery.axes import OpenFloat, OpenInt
from toroids.discovery.inference.nodes import tensors
from toroids.discovery.tracing.program import Program
from toroids.discovery.tracing.sizes import Sizes, other_sizes, varies


class Extents:
    """The sizes of one program's values, at one choice of the lengths of its inputs."""

    def __init__(self, program: Program, sizes: Sizes) -> None:
        """Takes a program, and the numbers that its lengths are."""
        self.program, self.sizes = program, sizes
        self._longer: Sizes | None = None

    def shape(self, value: Tensor) -> tuple[int, ...]:
        """The shape of a traced tensor, as numbers."""
        return tuple(int(self.sizes(s)) for s in value.shape)

    def shapes(self, node: fx.Node) -> tuple[tuple[int, ...], ...]:
        """The shapes of the tensors that a node gives."""
        return tuple(self.shape(value) for value in tensors(node))

    def varies(self, node: fx.Node) -> bool:
        """Whether an operator's sizes, or the numbers that it is given, depend on the inputs'."""
        arguments, named = self.with_open_numbers(node)
        given = tree_leaves((arguments, named))
        opened = any(any(sizes) for sizes in self.opened(node))
        return opened or self.is_open(node.meta.get("val")) or any(map(axes.is_open, given))

    def opened(self, node: fx.Node) -> tuple[tuple[bool, ...], ...]:
        """For every tensor that an operator gives, which of its sizes depend on the inputs'."""
        twin = self.twin(node)
        if twin is None:
            return tuple(
                tuple(self.is_open(size) for size in value.shape) for value in tensors(node)
            )
        return tuple(
            tuple(a != b for a, b in zip(value.shape, other.shape, strict=True))
            for value, other in zip(tensors(node), tensors(twin), strict=True)
        )

    def is_open(self, value: Any) -> bool:
        """Whether sizes, or a number, depend on the inputs."""
        if isinstance(value, list | tuple):
            return any(map(self.is_open, value))
        if isinstance(value, Tensor):
            return any(map(self.is_open, value.shape))
        symbolic = isinstance(value, torch.SymInt | torch.SymFloat | torch.SymBool)
        return symbolic and varies(value.node.expr.xreplace(self.program.equal))

    def with_open_numbers(self, node: fx.Node) -> tuple[Any, Any]:
        """Arguments of an operator; numbers that depend on the sizes of the inputs are marked."""
        twin = self.twin(node)
        if twin is None:
            return node.args, dict(node.kwargs)
        return _marked(node.args, twin.args), _marked(dict(node.kwargs), dict(twin.kwargs))

    def torn(self, node: fx.Node) -> list[int]:
        """The axes of a view's argument that come elsewhere at other lengths, or in pieces."""
        source: Any = node.args[0]
        twin = self.twin(node)
        if twin is not None:
            others: Any = (twin.args[0].meta["val"].shape, twin.meta["val"].shape)  # type: ignore[union-attr]
        elif self.program.lengths:
            self._longer = self._longer or Sizes(self.program, other_sizes(self.program))
            others = [
                tuple(int(self._longer(s)) for s in n.meta["val"].shape) for n in (source, node)
            ]
        else:
            return []
        before, after = self.shape(source.meta["val"]), self.shape(node.meta["val"])
        if 0 in before:  # nothing lies there
            return []
        return [
            axis
            for axis, size in enumerate(before)
            if size > 1
            and _fate(before, after, axis) not in (None, _fate(others[0], others[1], axis))
        ]

    def twin(self, node: fx.Node) -> fx.Node | None:
        """The same operator in the trace at other sizes, where there is one."""
        return None if self.program.twin is None else self.program.twin.nodes.get(node)

    def is_empty(self, node: fx.Node) -> bool:
        """Whether nothing of what an operator gives has any entries, at all sizes of the trace."""
        twin = self.twin(node)
        given = [*tensors(node), *([] if twin is None else tensors(twin))]
        return bool(given) and all(
            any(guard_or_false(s == 0) and not self.is_open(s) for s in x.shape) for x in given
        )


def _fate(before: Sequence[int], after: Sequence[int], axis: int) -> tuple[int, int] | None:
    """In which axes of a view an axis lies, from the first to the last; None where it is torn."""
    size, inner = before[axis], math.prod(before[axis + 1 :])
    steps = [math.prod(after[k + 1 :]) for k in range(len(after))]
    for k, step in enumerate(steps):
        if step and inner % step == 0 and (step * after[k]) % (inner * size) == 0:
            return k, k
    for k, step in enumerate(steps):
        if step == inner:
            for first in range(k + 1):
                if math.prod(after[first : k + 1]) == size:
                    return first, k
    return None


def _marked(a: Any, b: Any) -> Any:
    """Numbers of `a` that are other ones in `b` as open ones; all else as it is."""
    if isinstance(a, fx.Node) or isinstance(a, bool):
        return a
    if isinstance(a, dict):
        return {name: _marked(value, b[name]) for name, value in a.items()}
    if isinstance(a, list | tuple):
        return [_marked(x, y) for x, y in zip(a, b, strict=True)]
    if isinstance(a, int) and a != b:
        return OpenInt(a)
    return OpenFloat(a) if isinstance(a, float) and a != b else a
