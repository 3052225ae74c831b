"""Several values meet: which places must move alike, and which exponents are equal."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from toroids.discovery.axes.arrange import (
    boundaries,
    broadcast_ids,
    fuse,
    insert_axis,
    rearranged,
    split_dim,
    summed_ids,
    whole,
    with_fixed_axes,
)
from toroids.discovery.axes.constraints import CHANNELS, Constraints, Ids, Loss
from toroids.discovery.axes.values import (
    SCALE,
    SHIFT,
    SIGN,
    Bundle,
    Value,
    as_a_whole,
    joined_rows,
    moved_rows,
    pin_bundle,
    project,
    settle,
)


def drop_axis(c: Constraints, value: Value, axis: int) -> Value:
    """Removes an axis of size one, or one along which nothing is indexed."""
    axis %= len(value.axes)
    gone = value.dims(axis)
    value = _squeezed(value, gone)
    if value.bundles_on(gone):
        value = reduce(c, value, gone, mean=True)  # nothing is added up
    axes = (*value.axes[:axis], *value.axes[axis + 1 :])
    order = [dim for dim in range(len(value.sizes)) if dim not in gone]
    loose = tuple(
        x.moved(lambda old: -1 if old == axis else old - (old > axis)) for x in value.loose
    )
    rows = moved_rows(value.rows, lambda old: -1 if old == axis else old - (old > axis))
    return replace(rearranged(value, axes, order), loose=loose, rows=rows)


def _squeezed(value: Value, dims: Sequence[int]) -> Value:
    """Takes dimensions of size one out of bundles that index others as well."""
    bundles = []
    for bundle in value.bundles:
        single = tuple(i for i, d in enumerate(bundle.dims) if d in dims and value.sizes[d] == 1)
        kept = tuple(d for i, d in enumerate(bundle.dims) if i not in single)
        if single and kept:
            bundle = Bundle(kept, bundle.ids.squeeze(tuple(1 + i for i in single)))
        bundles.append(bundle)
    return replace(value, bundles=tuple(bundles))


def _padded(value: Value, by: int) -> Value:
    """Adds axes of size one in front."""
    loose = tuple(x.moved(lambda axis: axis + by) for x in value.loose) if by else value.loose
    rows = moved_rows(value.rows, lambda axis: axis + by)
    return replace(value, axes=((),) * by + value.axes, tensor=None, loose=loose, rows=rows)


def with_same_dims(c: Constraints, values: Sequence[Value], skip: int | None = None) -> list[Value]:
    """Gives all values the same dimensions, axis by axis; sizes of one become uniform."""
    rank = max(len(value.axes) for value in values)
    padded = [_padded(value, rank - len(value.axes)) for value in values]
    for axis in range(rank):
        if axis == skip:
            padded = [whole(c, value, axis)[0] for value in padded]
            continue
        size = max(value.shape[axis] for value in padded)
        if any(value.shape[axis] not in (1, size) for value in padded):
            raise ValueError(f"shapes {[value.shape for value in padded]} do not broadcast")
        ready = []
        for value in padded:
            if value.shape[axis] == 1 and size > 1 and value.axes[axis]:
                value = drop_axis(c, value, axis)
                value = insert_axis(value, axis)
            ready.append(value)
        bounds = sorted(
            {b for v in ready if v.shape[axis] == size for b in boundaries(v.axes[axis])}
        )
        if any(b % a for a, b in pairwise(bounds)):
            ready = [fuse(c, v, v.dims(axis)) if v.shape[axis] == size else v for v in ready]
            bounds = [1, size]
        ones = max((sum(s == 1 for s in v.axes[axis]) for v in ready), default=0)
        parts = [b // a for a, b in pairwise(bounds)][::-1]
        padded = [_with_dims(v, axis, parts, ones, size) for v in ready]
    return padded


def _with_dims(value: Value, axis: int, parts: Sequence[int], ones: int, size: int) -> Value:
    """Cuts an axis into `parts`, or gives an absent one uniform dimensions of these sizes."""
    start = sum(len(a) for a in value.axes[:axis])
    if value.shape[axis] != size or (size == 1 and not value.axes[axis]):
        order = list(range(len(value.sizes)))
        order[start:start] = [-1] * (len(parts) + ones)
        axes = (*value.axes[:axis], (*(1,) * ones, *parts), *value.axes[axis + 1 :])
        return rearranged(value, axes, order)
    missing = ones - sum(s == 1 for s in value.axes[axis])
    # dimensions of size one go to the front of the axis, where every value has as many
    own = list(value.dims(axis))
    singles = [d for d in own if value.sizes[d] == 1]
    order = list(range(len(value.sizes)))
    order[start : start + len(own)] = [
        *singles,
        *([-1] * missing),
        *(d for d in own if d not in singles),
    ]
    sizes = [*(1,) * ones, *(value.sizes[d] for d in own if d not in singles)]
    value = rearranged(value, (*value.axes[:axis], tuple(sizes), *value.axes[axis + 1 :]), order)
    position, wanted = start + ones, list(parts)
    while wanted:
        inner: list[int] = []
        target = value.sizes[position]
        while int(np.prod(inner, dtype=np.int64)) < target:
            inner.append(wanted.pop(0))
        if len(inner) > 1:
            value = split_dim(value, position, inner)
        position += len(inner)
    return value


def meeting_bundles(c: Constraints, values: Sequence[Value], sizes: Sequence[int]) -> list[Bundle]:
    """States what places must move alike when values meet; returns the largest bundles."""
    groups: dict[tuple[int, ...], list[Bundle]] = {}
    for value in values:
        for bundle in value.bundles:
            groups.setdefault(bundle.dims, []).append(bundle)
    for bundles in groups.values():
        bundles.sort(key=lambda bundle: bundle.fixed)
        for other in bundles[1:]:
            if not (other.fixed and bundles[0].fixed):
                c.same(bundles[0].places, other.places)
    heads = {dims: bundles[0] for dims, bundles in groups.items()}
    for large, bundle in heads.items():
        for small, inner in heads.items():
            if set(small) < set(large):
                c.under(bundle.places, broadcast_ids(inner, large)[0])
            elif large < small and set(small) & set(large) and not set(large) < set(small):
                common = [d for d in large if d in small]
                c.same(project(c, bundle, common), project(c, inner, common))
    return [
        bundle
        for dims, bundle in heads.items()
        if not any(set(dims) < set(other) for other in heads)
    ]


def coverage(
    heads: Sequence[Bundle], values: Sequence[Value]
) -> list[tuple[tuple[int, ...], tuple[Bundle, list[list[Ids]]]]]:
    """For every joined bundle and every value: the ids of the value's bundles that it contains."""
    result = []
    taken: set[int] = set()
    for head in heads:
        per_value: list[list[Ids]] = []
        for value in values:
            own = [b for b in value.bundles if set(b.dims) <= set(head.dims) and id(b) not in taken]
            taken.update(id(b) for b in own)
            per_value.append([broadcast_ids(b, head.dims)[1:] for b in own])
        result.append((head.dims, (head, per_value)))
    return result


def _carried(c: Constraints, head: Bundle, per_value: list[list[Ids]]) -> list[Ids]:
    return [summed_ids(c, parts, head.places) for parts in per_value]


def equal_exponents(
    c: Constraints, cover: tuple[Bundle, list[list[Ids]]], values: Sequence[Value]
) -> Ids:
    """Exponents that all values share; zeros share any."""
    head, per_value = cover
    carried = _carried(c, head, per_value)
    alive = [ids for ids, value in zip(carried, values, strict=True) if not value.zero] or carried[
        :1
    ]
    for channel in range(len(CHANNELS)):
        # a zero beside shifted values stays zero, and so shows the shift
        for other in carried if channel == SHIFT else alive[1:]:
            if other is not alive[0]:
                c.equation(channel, (1, alive[0][channel]), (-1, other[channel]))
    # where one of them is the constant zero, say so in the result
    best = next((ids for ids in alive if not ids.any()), alive[0])
    return np.concatenate([head.places[None], np.broadcast_to(best, (3, *head.places.shape))])


def equal_scalars(c: Constraints, values: Sequence[Value]) -> Ids:
    """Exponents of whole values that all values share; zeros share any."""
    alive = [value.scalar for value in values if not value.zero] or [values[0].scalar]
    for other in alive[1:]:
        for channel in range(len(CHANNELS)):
            c.equation(channel, (1, alive[0][channel]), (-1, other[channel]))
    return next((scalar for scalar in alive if not scalar.any()), alive[0])


def reduce(c: Constraints, value: Value, dims: Sequence[int], *, mean: bool = False) -> Value:
    """Sums (averages) dimensions away; they stay as uniform ones.

    Exponents are constant along what is summed: of a bundle that is summed whole, the result takes
    them as a whole.

    Returns:
        The sum, of as many dimensions.
    """
    bundles = []
    for bundle in value.bundles:
        keep = [d for d in bundle.dims if d not in dims]
        if len(keep) == len(bundle.dims):
            bundles.append(bundle)
            continue
        if not keep:
            value = as_a_whole(c, value, bundle)
            continue
        rows = project(c, bundle, keep)
        unknowns = c.unknowns(rows)
        shape = [bundle.places.shape[i] if d in keep else 1 for i, d in enumerate(bundle.dims)]
        for channel in (SCALE, SIGN):
            c.equation(
                channel, (1, bundle.ids[1 + channel]), (-1, unknowns[channel].reshape(shape))
            )
        c.equation(SHIFT, (1, bundle.ids[1 + SHIFT]))
        unknowns[SHIFT] = 0
        bundles.append(Bundle(tuple(keep), np.concatenate([rows[None], unknowns])))
    if not mean:  # a sum multiplies a shift by the number of terms
        for bundle in bundles:
            c.equation(SHIFT, (1, bundle.ids[1 + SHIFT]))
    return replace(value, bundles=tuple(bundles), tensor=None)


def equate(c: Constraints, a: Value, b: Value) -> None:
    """States that two values are indexed and scaled alike: a state and what replaces it."""
    a, b = with_same_dims(c, (a, b))
    for dims, cover in coverage(meeting_bundles(c, (a, b), a.sizes), (a, b)):
        if dims:
            equal_exponents(c, cover, (a, b))
    equal_scalars(c, (a, b))


def either(c: Constraints, values: Sequence[Value]) -> Value:
    """One of several values, entry by entry: exponents and shifts are equal."""
    values = with_same_dims(c, values)
    for value in values:
        settle(c, value)
    bundles = [
        Bundle(dims, equal_exponents(c, cover, values))
        for dims, cover in coverage(meeting_bundles(c, values, values[0].sizes), values)
    ]
    zeros = all(value.zero for value in values)
    rows = joined_rows(c, values)
    return Value(values[0].axes, tuple(bundles), equal_scalars(c, values), zero=zeros, rows=rows)


def average_out(c: Constraints, value: Value, axis: int) -> Value:
    """Averages an axis away and drops it: what is left when positions no longer count."""
    return drop_axis(c, reduce(c, value, value.dims(axis), mean=True), axis)


def set_aside(c: Constraints, value: Value, axes: Iterable[int]) -> Value:
    """Keeps axes in place, at whose positions an operator looks in order, and drops them."""
    rank = len(value.axes)
    for axis in sorted({axis % rank for axis in axes}, reverse=True):
        for bundle in value.bundles_on(value.dims(axis)):
            if not bundle.fixed:
                places = bundle.places[bundle.places >= 0].ravel()
                c.orders.append(Loss(f"{c.operator} looks at positions in order", places))
                pin_bundle(c, bundle, value.dims(axis))
        value = average_out(c, value, axis)  # exponents are the same all along the axis
    return value


def in_order(c: Constraints, value: Value, axis: int, size: int) -> Value:
    """Keeps an axis in place, and gives it the size that an operator makes of it."""
    axis %= len(value.axes)
    return with_fixed_axes(c, set_aside(c, value, [axis]), axis, [size])
