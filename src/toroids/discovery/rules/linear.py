"""Contractions: linear layers, matrix products, convolutions, lookups by einsum."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from toroids.discovery import axes
from toroids.discovery.axes import Value
from toroids.discovery.axes.constraints import Constraints
from toroids.discovery.rules.reductions import reduced
from toroids.discovery.rules.registry import rule


@rule("aten::linear")
def linear(c: Constraints, x: Value, weight: Value, bias: Value | None = None) -> Value:
    """Y = x W^T + b."""
    y = axes.contract(c, axes.insert_axis(x, -2) if x.axes else x, weight, [-1])
    return y if bias is None else axes.add(c, (y, bias))


@rule("aten::matmul", "aten::mm", "aten::bmm", "aten::dot", "aten::mv", "aten::_sparse_mm")
def matmul(c: Constraints, a: Value, b: Value) -> Value:
    """Contracts the last axis of a with the last but one of b."""
    rank_a, rank_b = len(a.axes), len(b.axes)
    b = axes.permute(b, [*range(rank_b - 2), rank_b - 1, rank_b - 2]) if rank_b > 1 else b
    if rank_b > 1:  # (..., m, 1, k) with (..., 1, n, k)
        a = axes.insert_axis(a, -2) if rank_a > 1 else a
        b = axes.insert_axis(b, -3) if rank_a > 1 else b
    return axes.contract(c, a, b, [-1])


@rule("aten::_grouped_mm", "transformers::grouped_mm_fallback")
def grouped_mm(c: Constraints, rows: Value, weights: Value, ends: Any = None, *rest: Any) -> Any:
    """Rows that were sorted by what they name, times the matrix of what they name."""
    if not isinstance(ends, Value) or any(x is not None for x in rest):
        return NotImplemented
    if (len(rows.axes), len(weights.axes)) != (2, 3):
        return NotImplemented
    names = ends.names
    order = [s for s in c.shuffles if names is not None and s.key is names.key]
    if names is None or names.kind != "ends" or not order:
        axes.pin(c, axes.unnamed(c, ends))
        rows, weights = axes.in_order(c, rows, 0, c.shape[0]), axes.set_aside(c, weights, [0])
        return matmul(c, rows, weights)
    rows = axes.named(c, rows, 0, axes.Names(order[-1].entries))
    sorted_ = replace(ends, names=replace(names, rows=order[-1].rows))
    chosen = axes.insert_axis(axes.picked(c, weights, 0, sorted_), 0)
    if c.shape[0] > 1:
        chosen = axes.uniform(chosen, 0, c.shape[0])
    chosen = axes.chosen_rows(chosen, replace(sorted_, axes=((c.shape[0],),), bundles=()), 0)
    return axes.contract(c, axes.insert_axis(rows, 1), axes.permute(chosen, [0, 2, 1]), [-1])


@rule("aten::addmm", "aten::addmv", "aten::_sparse_addmm")
def addmm(
    c: Constraints, bias: Value, a: Value, b: Value, *, beta: float = 1, alpha: float = 1
) -> Value:
    """Beta bias + alpha a b."""
    y = axes.scaled(c, matmul(c, a, b), alpha)
    return axes.add(c, (y, axes.scaled(c, bias, beta)))


@rule("aten::addbmm")
def addbmm(
    c: Constraints, bias: Value, a: Value, b: Value, *, beta: float = 1, alpha: float = 1
) -> Value:
    """Beta bias + alpha the sum of a b over the batches."""
    y = axes.scaled(c, reduced(c, matmul(c, a, b), [0], total=True), alpha)
    return axes.add(c, (y, axes.scaled(c, bias, beta))) if beta else y


@rule("aten::baddbmm")
def baddbmm(
    c: Constraints, bias: Value, a: Value, b: Value, *, beta: float = 1, alpha: float = 1
) -> Value:
    """Beta bias + alpha a b, in batches."""
    return (
        addmm(c, bias, a, b, beta=beta, alpha=alpha)
        if beta
        else axes.scaled(c, matmul(c, a, b), alpha)
    )


@rule("aten::outer", "aten::ger")
def outer(c: Constraints, a: Value, b: Value) -> Value:
    """All products of two vectors."""
    return axes.multiply(c, (axes.insert_axis(a, -1), axes.insert_axis(b, 0)))


@rule("aten::einsum")
def einsum(c: Constraints, equation: str, operands: Sequence[Value], **_: Any) -> Any:
    """Sums of products by index letters, two operands at a time."""
    inputs, arrow, output = equation.replace(" ", "").partition("->")
    letters = inputs.split(",")
    if (
        "." in equation
        or not arrow
        or not output
        or any(len(set(own)) < len(own) for own in letters)
    ):
        return NotImplemented
    value, have = operands[0], letters[0]
    for position, (other, own) in enumerate(zip(operands[1:], letters[1:], strict=True), start=1):
        later = set("".join(letters[position + 1 :])) | set(output)
        joint = list(dict.fromkeys(have + own))
        gone = [i for i, letter in enumerate(joint) if letter not in later]
        value = axes.contract(
            c, _by_letters(value, have, joint), _by_letters(other, own, joint), gone
        )
        have = "".join(letter for letter in joint if letter in later)
    for letter in [letter for letter in have if letter not in output]:
        axis = have.index(letter)
        value = axes.drop_axis(c, axes.reduce(c, value, value.dims(axis)), axis)
        have = have.replace(letter, "")
    return axes.permute(value, [have.index(letter) for letter in output])


def _by_letters(value: Value, own: str, joint: Sequence[str]) -> Value:
    value = axes.permute(value, [own.index(letter) for letter in joint if letter in own])
    for axis, letter in enumerate(joint):
        if letter not in own:
            value = axes.insert_axis(value, axis)
    return value


@rule("aten::conv1d", "aten::conv2d", "aten::conv3d")
def conv(
    c: Constraints, x: Value, weight: Value, bias: Value | None = None, stride: Any = 1,
    padding: Any = 0, dilation: Any = 1, groups: int = 1,
) -> Value:  # fmt: skip
    """Every output channel reads the input channels of its group; pixels stay in place."""
    return _convolution(c, x, weight, bias, groups, False, (stride, padding, dilation))


@rule("aten::conv_transpose1d", "aten::conv_transpose2d", "aten::conv_transpose3d")
def conv_transpose(
    c: Constraints, x: Value, weight: Value, bias: Value | None = None, stride: Any = 1,
    padding: Any = 0, output_padding: Any = 0, groups: int = 1, dilation: Any = 1,
) -> Value:  # fmt: skip
    """As a convolution, with the weight's first two axes exchanged."""
    return _convolution(c, x, weight, bias, groups, True, (stride, padding, dilation))


@rule("aten::convolution")
def convolution(
    c: Constraints, x: Value, weight: Value, bias: Value | None, stride: Any, padding: Any,
    dilation: Any, transposed: bool, output_padding: Any, groups: int,
) -> Value:  # fmt: skip
    """Any convolution."""
    return _convolution(c, x, weight, bias, groups, transposed, (stride, padding, dilation))


def _convolution(
    c: Constraints, x: Value, weight: Value, bias: Value | None, groups: int, transposed: bool,
    steps: Sequence[Any],
) -> Value:  # fmt: skip
    space = len(weight.axes) - 2
    batched = len(x.axes) == space + 2
    x = x if batched else axes.insert_axis(x, 0)
    orders = [_order(c, x, weight, axis, transposed, steps) for axis in range(-space, 0)]
    aside = [2 + k for k, order in enumerate(orders) if order is None]
    x, weight = axes.set_aside(c, x, aside), axes.set_aside(c, weight, aside)
    meeting = [order for order in orders if order is not None]
    y = (_spread if transposed else _gathered)(c, x, weight, groups, meeting)
    if bias is not None:
        y = axes.add(c, (y, axes.reshape(c, bias, [-1, *[1] * len(meeting)])))
    for axis in aside:
        y = axes.with_fixed_axes(c, y, axis, [c.shape[axis - 2 - space]])
    return y if batched else axes.drop_axis(c, y, 0)


def _gathered(c: Constraints, x: Value, weight: Value, groups: int, meeting: Any) -> Value:
    """Every pixel of the result reads pixels of its own."""
    for axis, order in zip(range(2, 2 + 2 * len(meeting), 2), meeting, strict=True):
        x = _picked(c, x, axis, order.reshape(-1))
        x = axes.reshape(c, x, [*x.shape[:axis], *order.shape, *x.shape[axis + 1 :]])
    batch, channels, *pixels = x.shape
    first, second, *kernel = weight.shape
    x = axes.reshape(c, x, [batch, groups, 1, channels // groups, *pixels])
    taps = [n for size in kernel for n in (1, size)]
    weight = axes.reshape(c, weight, [1, groups, first // groups, second, *taps])
    y = _contracted(c, x, weight, [3, *range(5, len(x.axes), 2)])
    return axes.reshape(c, y, [batch, first, *y.shape[3:]])


def _spread(c: Constraints, x: Value, weight: Value, groups: int, meeting: Any) -> Value:
    """Every pixel writes pixels of its own."""
    batch, channels, *pixels = x.shape
    first, second, *kernel = weight.shape
    apart = [n for size in pixels for n in (size, 1)]
    x = axes.reshape(c, x, [batch, groups, 1, channels // groups, *apart])
    taps = [n for size in kernel for n in (1, size)]
    weight = axes.reshape(c, weight, [1, groups, first // groups, second, *taps])
    weight = axes.permute(weight, [0, 1, 3, 2, *range(4, len(weight.axes))])
    y = _contracted(c, x, weight, [3])
    sizes = [n * size for n, size in zip(pixels, kernel, strict=True)]
    y = axes.reshape(c, y, [batch, groups * second, *sizes])
    for axis, order in enumerate(meeting):
        y = _picked(c, y, 2 + axis, order)
    return y


def _contracted(c: Constraints, x: Value, weight: Value, summed: Sequence[int]) -> Value:
    y = axes.contract(c, x, weight, summed)
    axes.settle(c, y)  # what shifts add varies from pixel to pixel
    return replace(y, loose=())


def _order(
    c: Constraints, x: Value, weight: Value, axis: int, transposed: bool, steps: Sequence[Any]
) -> Any:
    """Which pixel meets which tap, where no pixel (of the result, if transposed) meets several.

    Returns:
        For every pixel of the result and every tap the pixel of the argument, or (transposed) for
        every pixel of the result the pair of a pixel and a tap; one beyond the last where it is
        zero. None where pixels stay in place.
    """
    if not axes.may_move(c, x, axis):
        return None
    n, taps, after = x.shape[axis], weight.shape[axis], c.shape[axis]
    stride, padding, dilation = (
        x if isinstance(x, int | str) else x[axis] if len(x) > 1 else x[0] for x in steps
    )
    before = int(padding) if padding not in ("same", "valid") else 0
    if padding == "same":
        before = int(dilation) * (taps - 1) // 2
    # at another size, if there is one, taps may read pixels that are zeros, or none, at this one
    whole = before == 0 and after == 1 and int(dilation) * (taps - 1) + 1 == n and not transposed
    if not (c.sized or whole or (taps, int(stride), before) == (1, 1, 0)):
        return None
    starts = int(stride) * np.arange(n if transposed else after) - before
    places = starts[:, None] + int(dilation) * np.arange(taps)
    inside = (places >= 0) & (places < (after if transposed else n))
    if len(np.unique(places[inside])) < inside.sum():
        return None
    if not transposed:
        return np.where(inside, places, n)
    order = np.full(after, n * taps)
    order[places[inside]] = np.arange(n * taps).reshape(n, taps)[inside]
    return order


def _picked(c: Constraints, x: Value, axis: int, order: Any) -> Value:
    """Positions of an axis; zeros where one beyond the last is picked."""
    if (order == x.shape[axis]).any():
        sizes = [*x.shape[:axis], 1, *x.shape[axis + 1 :]]
        zeros = Value(tuple((n,) if n != 1 else () for n in sizes), zero=True)
        x = axes.concatenate(c, [x, zeros], axis)
    return axes.take(c, x, axis, order)


@rule("aten::bilinear")
def bilinear(c: Constraints, a: Value, b: Value, weight: Value, bias: Value | None = None) -> Value:
    """y_o = sum_ij a_i W_oij b_j."""
    first = axes.contract(c, axes.insert_axis(axes.insert_axis(a, -2), -1), weight, [-2])
    y = axes.contract(c, first, axes.insert_axis(b, -2), [-1])
    return y if bias is None else axes.add(c, (y, bias))


@rule("aten::cosine_similarity")
def cosine(c: Constraints, a: Value, b: Value, dim: int = 1, *_: Any) -> Value:
    """A contraction that forgets scales (up to its eps, so none are granted)."""
    rank = max(len(a.axes), len(b.axes))
    for x in (a, b):
        axes.couple(c, x, [dim - rank if dim >= 0 else dim])
    a, b = axes.elementwise(c, a, sign=True), axes.elementwise(c, b, sign=True)
    return replace(axes.contract(c, a, b, [dim]), name=None)
