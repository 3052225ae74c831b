"""Operators that pick single entries by their places: diagonals, triangles, windows, strides."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch.utils._pytree import tree_leaves, tree_map

from toroids.discovery import axes
from toroids.discovery.axes import Value
from toroids.discovery.axes.constraints import Constraints
from toroids.discovery.rules.registry import rule
from toroids.discovery.rules.structure import movedim


@rule("aten::as_strided")
def as_strided(
    c: Constraints, x: Value, size: Sequence[int], stride: Sequence[int], offset: int | None = None
) -> Any:
    """Entries by their places in memory: a view where those are all of them, in some order."""
    if c.ordered or any(map(axes.is_open, (*size, *stride, offset))):
        return NotImplemented
    outer = sorted((axis for axis, n in enumerate(size) if n > 1), key=lambda axis: -stride[axis])
    sizes = [size[axis] for axis in outer]
    steps = [int(np.prod(sizes[i + 1 :], dtype=np.int64)) for i in range(len(sizes))]
    whole = int(np.prod(sizes, dtype=np.int64)) == int(np.prod(x.shape, dtype=np.int64))
    plain = whole and not offset and steps == [stride[axis] for axis in outer]
    if not plain or not c.arguments[0].is_contiguous():
        return pick(c, x, size, stride, offset)
    y = axes.permute(axes.reshape(c, x, sizes), [outer.index(axis) for axis in sorted(outer)])
    return axes.reshape(c, y, size)


@rule("aten::as_strided_scatter", "prims::as_strided_scatter", "aten::diagonal_scatter",
      "aten::block_diag")  # fmt: skip
def pick(c: Constraints, *given: Any, **named: Any) -> Any:
    """Entries of the arguments, and zeros, where the operator puts the numbers of their places."""
    leaves = tree_leaves((given, named))
    if c.ordered or any(map(axes.is_open, leaves)) or any(x.storage_offset() for x in c.arguments):
        return NotImplemented
    values = [x for x in leaves if isinstance(x, Value)]
    sizes = [int(np.prod(x.shape, dtype=np.int64)) for x in values]
    starts = iter(1 + np.cumsum([0, *sizes]))
    in_memory = iter(c.arguments if c.name.startswith("as_strided") else [])

    def numbered(x: Any) -> Any:
        return _numbered(x, int(next(starts)), next(in_memory, None)) if isinstance(x, Value) else x

    args, kwargs = tree_map(numbered, (given, named))
    found = getattr(torch.ops.aten, c.name)(*args, **kwargs).reshape(-1)
    if bool(found.isnan().any()):  # memory that is not the argument's
        return NotImplemented
    order = found.long().numpy() - 1
    flat = [axes.reshape(c, x, [-1]) for x in values]
    joined = axes.concatenate(c, [*flat, Value(((),), zero=True)], 0)
    return axes.reshape(c, axes.take(c, joined, 0, np.where(order < 0, sum(sizes), order)), c.shape)


def _numbered(x: Value, start: int, like: torch.Tensor | None) -> torch.Tensor:
    """The numbers from `start`, laid out in memory as another tensor is."""
    numbers = torch.arange(int(np.prod(x.shape, dtype=np.int64)), dtype=torch.float64) + start
    if like is None:
        return numbers.reshape(x.shape)
    reach = sum((n - 1) * step for n, step in zip(like.shape, like.stride(), strict=True))
    memory = torch.full((reach + 1,), torch.nan, dtype=torch.float64)
    laid_out = memory.as_strided(like.shape, like.stride())
    return laid_out.copy_(numbers.reshape(x.shape))


@rule("aten::tril", "aten::triu")
def triangle(c: Constraints, x: Value, diagonal: int = 0) -> Any:
    """The entries on one side of a diagonal, zeros on the other."""
    if axes.is_open(diagonal) or any(c.open[0][-2:]):
        return NotImplemented
    kept = torch.ones(x.shape[-2:], dtype=torch.bool)
    kept = kept.triu(diagonal) if c.name == "triu" else kept.tril(diagonal)
    axes.zero(c, x, channels=(axes.SHIFT,))
    mask = replace(axes.known(c, kept), zero=True)  # it chooses, it adds nothing
    return axes.add(c, (x, mask))


@rule("aten::diagonal", "aten::linalg_diagonal")
def diagonal(
    c: Constraints, x: Value, offset: int = 0, dim1: int | None = None, dim2: int | None = None,
    **named: Any,
) -> Value:  # fmt: skip
    """Entries that have equal positions on two axes."""
    default = (-2, -1) if c.name == "linalg_diagonal" else (0, 1)
    offset = named.get("offset", offset)
    first = named.get("dim1", default[0] if dim1 is None else dim1) % len(x.axes)
    second = named.get("dim2", default[1] if dim2 is None else dim2) % len(x.axes)
    n, m = x.shape[first], x.shape[second]
    axes.cut_open(c, x, first, offset, n)
    rest = [axis for axis in range(len(x.axes)) if axis not in (first, second)]
    return _moved(c, axes.permute(x, [*rest, first, second]), len(rest),
                  np.arange(n * m).reshape(n, m).diagonal(offset))  # fmt: skip


@rule("aten::diag_embed")
def diag_embed(
    c: Constraints, x: Value, offset: int = 0, dim1: int = -2, dim2: int = -1
) -> Any:  # fmt: skip
    """Entries on a diagonal of two new axes, zeros beside it."""
    if axes.is_open(x.shape[-1]) or axes.is_open(offset):
        return NotImplemented
    n, rank = x.shape[-1], len(x.axes) - 1
    order = np.full((n + abs(offset),) * 2, n)
    rows = np.arange(n) + max(-offset, 0)
    order[rows, rows + offset] = np.arange(n)
    zeros_beside = Value((*x.axes[:-1], ()), zero=True)
    filled = axes.take(c, axes.concatenate(c, [x, zeros_beside], rank), rank, order.reshape(-1))
    square = axes.reshape(c, filled, [*x.shape[:-1], *order.shape])
    return movedim(c, square, [rank, rank + 1], [dim1, dim2])


def _moved(c: Constraints, x: Value, batch: int, order: Any) -> Value:
    """Picks entries by their numbers on all axes but the first few."""
    flat = axes.reshape(c, x, [*x.shape[:batch], -1])
    return axes.reshape(c, axes.take(c, flat, batch, np.asarray(order).reshape(-1)), c.shape)


@rule("aten::unfold", "aten::im2col")
def windows(c: Constraints, x: Value, *given: Any) -> Any:
    """Windows, which share entries."""
    if any(
        axes.is_open(n)
        for part in given
        for n in (part if isinstance(part, list | tuple) else [part])
    ):
        return NotImplemented
    if isinstance(given[0], int):  # along one axis
        if not x.axes:
            return axes.reshape(c, x, c.shape)
        dim = given[0] % len(x.axes)
        axes.cut_open(c, x, dim)
        order = torch.arange(x.shape[dim]).unfold(0, *given[1:])
        taken = axes.take(c, x, dim, order.reshape(-1).numpy())
        rank = len(x.axes)
        taken = axes.reshape(c, taken, [*x.shape[:dim], *order.shape, *x.shape[dim + 1 :]])
        last = [a for a in range(rank + 1) if a != dim + 1]
        return axes.permute(taken, [*last, dim + 1])
    space = torch.arange(int(np.prod(x.shape[-2:]))).reshape(1, 1, *x.shape[-2:]).double()
    padded = torch.nn.functional.unfold(space + 1, *given).long() - 1
    if bool((padded < 0).any()):  # zeros around it
        moves = any(axes.may_move(c, x, axis) for axis in (-2, -1))
        found = pick(c, x, *given) if moves else NotImplemented
        return _in_windows(c, x) if found is NotImplemented else found
    flat = axes.reshape(c, x, [*x.shape[:-2], -1])
    taken = axes.take(c, flat, len(flat.axes) - 1, padded.reshape(-1).numpy())
    return axes.reshape(c, taken, c.shape)


def _in_windows(c: Constraints, x: Value) -> Value:
    channels = x.shape[-3]
    x = axes.set_aside(c, x, (-2, -1))
    axes.zero(c, x, channels=(axes.SHIFT,))
    inside = c.shape[-2] // channels
    x = axes.with_fixed_axes(c, x, len(x.axes), [inside])
    x = axes.reshape(c, x, [*x.shape[:-2], -1])
    return axes.with_fixed_axes(c, x, len(x.axes), [c.shape[-1]])
