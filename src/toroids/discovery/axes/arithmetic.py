"""Sums, products, contractions and functions of values, with what they do to exponents."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from toroids.discovery.axes.meet import (
    _carried,
    coverage,
    drop_axis,
    equal_scalars,
    meeting_bundles,
    reduce,
    with_same_dims,
)
from toroids.discovery.axes.values import (
    SCALE,
    SHIFT,
    SIGN,
    Bundle,
    Value,
    project,
    unmixed,
    without,
    zero,
)
from toroids.discovery.constraints import SCALAR, Constraints, Ids


def add(c: Constraints, values: Sequence[Value]) -> Value:
    """Adds values: equal scales and signs; their shifts add up."""
    values = with_same_dims(c, values)
    heads = meeting_bundles(c, values, values[0].sizes)
    bundles = []
    for dims, cover in coverage(heads, values):
        ids = _equal_but_shift(c, cover, values)
        bundles.append(Bundle(dims, ids))
    return Value(
        values[0].axes, tuple(bundles), equal_scalars(c, values), zero=all(v.zero for v in values)
    )


def _equal_but_shift(
    c: Constraints, cover: tuple[Bundle, list[list[Ids]]], values: Sequence[Value]
) -> Ids:
    head, per_value = cover
    carried = _carried(c, head, per_value)
    alive = [ids for ids, value in zip(carried, values, strict=True) if not value.zero] or carried[
        :1
    ]
    result = np.empty((4, *head.places.shape), np.int64)
    result[0] = head.places
    for channel in (SCALE, SIGN):
        for other in alive[1:]:
            c.equation(channel, (1, alive[0][channel]), (-1, other[channel]))
        best = next((ids for ids in alive if not ids[channel].any()), alive[0])
        result[1 + channel] = best[channel]
    shifts = [ids[SHIFT] for ids in carried if ids[SHIFT].any()]
    if len(shifts) > 1:
        total = c.unknowns(head.places)[SHIFT]
        c.equation(SHIFT, (-1, total), *((1, shift) for shift in shifts))
        result[1 + SHIFT] = total
    else:
        result[1 + SHIFT] = shifts[0] if shifts else 0
    return result


def multiply(
    c: Constraints,
    values: Sequence[Value],
    powers: Sequence[float] = (1, 1),
    contracted: Iterable[int] = (),
    unseen: int | None = None,
) -> Value:
    """Multiplies (divides) values: exponents add up (subtract); shifts are not allowed.

    Where two values carry the same places, no matrix may mix those, except on `contracted`
    dimensions, which are about to be summed. Nobody sees a shift of value number `unseen`.

    Returns:
        The product.
    """
    values = with_same_dims(c, values)
    gone = set(contracted)
    for value, power in zip(values, powers, strict=True):
        others = [b for other in values if other is not value for b in other.bundles]
        for bundle in value.bundles:
            for other in others:
                if set(bundle.dims) <= set(other.dims) and not set(bundle.dims) & gone:
                    c.mark_nonlinear(bundle.places)
        if power != 1:
            unmixed(c, value)
    for position, value in enumerate(values):
        if position != unseen:  # a shifted factor changes the product
            zero(c, value, channels=(SHIFT,))
    heads = meeting_bundles(c, values, values[0].sizes)
    bundles = []
    for dims, (head, per_value) in coverage(heads, values):
        carried = _carried(c, head, per_value)
        ids = np.zeros((4, *head.places.shape), np.int64)
        ids[0] = head.places
        for channel in (SCALE, SIGN):
            ids[1 + channel] = _weighted(
                c, channel, [part[channel] for part in carried], powers, head.places
            )
        bundles.append(Bundle(dims, ids))
    scalar = np.zeros(3, np.int64)
    for channel in (SCALE, SIGN):
        terms = [value.scalar[channel] for value in values]
        scalar[channel] = _weighted(c, channel, terms, powers, np.full((), SCALAR))
    return Value(
        values[0].axes, tuple(bundles), scalar, zero=any(v.zero for v in values) and min(powers) > 0
    )


def _weighted(
    c: Constraints, channel: int, terms: Sequence[Ids], powers: Sequence[float], places: Ids
) -> Ids:
    alive = [
        (power, np.asarray(ids)) for power, ids in zip(powers, terms, strict=True) if np.any(ids)
    ]
    if not alive:
        return np.zeros(places.shape, np.int64)
    if len(alive) == 1 and alive[0][0] == 1:
        return alive[0][1]
    total = np.asarray(c.unknowns(places)[channel])
    c.equation(channel, (-1, total), *alive)
    return total


def contract(
    c: Constraints, a: Value, b: Value, axes: Sequence[int], unseen: int | None = None
) -> Value:
    """Multiplies two values of equal rank and sums the given axes away, which are dropped."""
    a, b = with_same_dims(c, (a, b))
    dims = [dim for axis in axes for dim in a.dims(axis)]
    for value in (a, b):
        if value.name is not None:
            for bundle in value.bundles_on(dims):
                c.reads.append(bundle.places.ravel())
    product = multiply(c, (a, b), contracted=dims, unseen=unseen)
    shared = {
        tuple(d for d in x.dims if d not in dims)
        for x in a.bundles_on(dims)
        for y in b.bundles_on(dims)
        if x.dims == y.dims
    }
    result = reduce(c, product, dims)
    for bundle in result.bundles:  # rows of both factors: matrices cannot mix them
        if bundle.dims in shared:
            c.mark_nonlinear(bundle.places)
    for axis in sorted((axis % len(result.axes) for axis in axes), reverse=True):
        result = drop_axis(c, result, axis)
    return result


def couple(c: Constraints, value: Value, axes: Sequence[int]) -> None:
    """States that an operator looks at whole axes at once: softmax, a norm's statistics."""
    dims = [dim for axis in axes for dim in value.dims(axis)]
    for bundle in value.bundles_on(dims):
        keep = [d for d in bundle.dims if d not in dims]
        if keep:
            project(c, bundle, keep)


def elementwise(c: Constraints, value: Value, scale: bool = False, sign: bool = False) -> Value:
    """A nonlinear function of every entry: exponents pass where it is homogeneous or odd."""
    unmixed(c, value)
    blocked = [SHIFT] + [SCALE] * (not scale) + [SIGN] * (not sign)
    zero(c, value, channels=blocked)
    return replace(without(value, blocked), zero=False)


def scaled(c: Constraints, value: Value, number: float) -> Value:
    """Multiplies by a known number: only a shift is scaled with it."""
    if number == 0:
        return Value(value.axes, zero=True)
    bundles = []
    for bundle in value.bundles:
        ids = bundle.ids.copy()
        if ids[1 + SHIFT].any() and number != 1:
            ids[1 + SHIFT] = c.unknowns(bundle.places)[SHIFT]
            c.equation(SHIFT, (-1, ids[1 + SHIFT]), (number, bundle.ids[1 + SHIFT]))
        bundles.append(Bundle(bundle.dims, ids))
    return replace(value, bundles=tuple(bundles), tensor=None, name=None)
