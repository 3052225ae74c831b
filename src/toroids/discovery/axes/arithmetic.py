"""Sums, products, contractions and functions of values, with what they do to exponents."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from toroids.discovery.axes.arrange import broadcast_ids
from toroids.discovery.axes.constraints import SCALAR, Constraints, Ids
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
    Loose,
    Value,
    distinct,
    is_open,
    joined_rows,
    project,
    settle,
    unmixed,
    without,
    zero,
    zero_scalar,
)


def add(c: Constraints, values: Sequence[Value]) -> Value:
    """Adds values: equal scales and signs; their shifts add up."""
    values = with_same_dims(c, values)
    heads = meeting_bundles(c, values, values[0].sizes)
    bundles = []
    for dims, cover in coverage(heads, values):
        ids = _equal_but_shift(c, cover, values)
        bundles.append(Bundle(dims, ids))
    loose = distinct(x for value in values for x in value.loose)
    zeros = all(v.zero for v in values)
    scalar, rows = equal_scalars(c, values), joined_rows(c, values)
    return Value(values[0].axes, tuple(bundles), scalar, zero=zeros, loose=loose, rows=rows)


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
) -> Value:
    """Multiplies (divides) values: exponents add up (subtract); shifts add an unknown function.

    Where two values carry the same places, no matrix may mix those, except on `contracted`
    dimensions, which are about to be summed.

    Returns:
        The product.
    """
    if min(powers) > 0 and any(value.zero for value in values):
        shape = np.broadcast_shapes(*(value.shape for value in values))
        return Value(tuple((int(size),) if size != 1 else () for size in shape), zero=True)
    if not contracted:
        c.gains |= {value.name for value in values if value.name is not None}
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
    loose = _loosened(c, values, powers)
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
    rows = joined_rows(c, values)
    return Value(values[0].axes, tuple(bundles), scalar, loose=loose, rows=rows)


def _loosened(
    c: Constraints, values: Sequence[Value], powers: Sequence[float]
) -> tuple[Loose, ...]:
    """What the shifts of factors, all of the same dimensions, add to their product."""
    found: list[Loose] = []
    for value, power in zip(values, powers, strict=False):
        zero_scalar(c, value, (SHIFT,))
        if power != 1:
            settle(c, value)
            zero(c, value, channels=(SHIFT,))
            continue
        others = [other for other in values if other is not value]
        varies = frozenset(
            other.axis_of(dim) for other in others for b in other.bundles for dim in b.dims
        )
        found += [Loose(x.ids, x.own, x.varies | varies) for x in value.loose]
        for bundle in value.bundles:
            if bundle.ids[1 + SHIFT].any():
                own = tuple(value.axis_of(dim) for dim in bundle.dims)
                found.append(Loose(bundle.ids[1 + SHIFT], own, varies))
    return distinct(found)


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


def met(
    c: Constraints, values: Sequence[Value], generators: Sequence[Sequence[Sequence[float]]]
) -> Value:
    """A function of the entries of values, broadcast.

    Args:
        c: takes the statements.
        values: the arguments; what is zero takes any scale and sign.
        generators: for every channel the exponents that go together: one of each argument, and
            that of the result.

    Returns:
        The result, whose exponents are sums of generators; of the arguments' there are no others.
    """
    values = with_same_dims(c, values)
    zeros = [value.zero for value in values]
    bundles = []
    for dims, (head, per_value) in coverage(meeting_bundles(c, values, values[0].sizes), values):
        carried = _carried(c, head, per_value)
        ids = np.empty((4, *head.places.shape), np.int64)
        ids[0] = head.places
        for channel, own in enumerate(generators):
            parts = [part[channel] for part in carried]
            ids[1 + channel] = _generated(c, channel, parts, zeros, own, head.places)
        bundles.append(Bundle(dims, ids))
    scalar = np.zeros(3, np.int64)
    for channel, own in enumerate(generators):
        parts = [value.scalar[channel] for value in values]
        scalar[channel] = _generated(c, channel, parts, zeros, own, np.full((), SCALAR))
    return Value(values[0].axes, tuple(bundles), scalar, rows=joined_rows(c, values))


def beside(c: Constraints, value: Value, others: Sequence[Value]) -> Value:
    """A map that is linear in a value, and made of others: what acts on the first passes.

    Args:
        c: takes the statements.
        value: of which no shift passes.
        others: broadcast with it; nothing but permutations acts on them.

    Returns:
        The result.
    """
    zero(c, value, channels=(SHIFT,))
    passes = [(1, *(0 for _ in others), 1)]
    return replace(met(c, [value, *others], (passes, passes, [])), name=None)


def _generated(
    c: Constraints, channel: int, parts: Sequence[Ids], zeros: Sequence[bool],
    generators: Sequence[Sequence[float]], places: Ids,
) -> Ids:  # fmt: skip
    """States what the exponents of arguments are made of; returns those of the result."""
    found: list[Ids] = []
    given: set[int] = set()
    for generator in generators:
        # that of an argument which takes part in no other stands for the whole
        lone = [
            k for k, power in enumerate(generator[:-1])
            if power == 1 and not zeros[k] and sum(g[k] != 0 for g in generators) == 1
        ]  # fmt: skip
        given |= set(lone[:1])
        found.append(np.asarray(parts[lone[0]] if lone else c.unknowns(places)[channel]))
    for k, part in enumerate(parts):
        if k not in given and (channel == SHIFT or not zeros[k]):
            own = [(g[k], t) for g, t in zip(generators, found, strict=True) if g[k]]
            c.equation(channel, (-1, part), *own)
    last = [(g[-1], t) for g, t in zip(generators, found, strict=True) if g[-1]]
    return _weighted(c, channel, [t for _, t in last], [power for power, _ in last], places)


def contract(c: Constraints, a: Value, b: Value, axes: Sequence[int]) -> Value:
    """Multiplies two values of equal rank and sums the given axes away, which are dropped."""
    if a.zero or b.zero:
        product = multiply(c, (a, b))
        for axis in sorted((axis % len(product.axes) for axis in axes), reverse=True):
            product = drop_axis(c, product, axis)
        return product
    a, b = with_same_dims(c, (a, b))
    dims = [dim for axis in axes for dim in a.dims(axis)]
    a, b = _separated(c, a, b, dims), _separated(c, b, a, dims)
    for value in (a, b):
        if value.name is not None:
            for bundle in value.bundles_on(dims):
                c.reads.append(bundle.places.ravel())
    product = multiply(c, (a, b), contracted=dims)
    gone = {axis % len(product.axes) for axis in axes}
    product = replace(
        product,
        loose=tuple(x.moved(lambda axis: -1 if axis in gone else axis) for x in product.loose),
    )
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


def _separated(c: Constraints, a: Value, b: Value, dims: Sequence[int]) -> Value:
    """Indexes what is summed of `a` on its own, but for what `a` shares with `b`.

    A matrix whose entries have places of their own, as one that a network computes, is multiplied
    row by row: what acts on its columns acts on all rows.

    Returns:
        The same value.
    """
    shared = {dim for bundle in b.bundles_on(dims) for dim in bundle.dims}
    bundles: list[Bundle] = []
    for bundle in a.bundles:
        common = [d for d in bundle.dims if d in shared]
        if not set(common) & set(dims) or len(common) == len(bundle.dims):
            bundles.append(bundle)
        else:
            bundles += _parts(c, bundle, (common, [d for d in bundle.dims if d not in dims]))
    return replace(a, bundles=tuple(bundles))


def _parts(c: Constraints, bundle: Bundle, groups: Sequence[Sequence[int]]) -> list[Bundle]:
    """States that a bundle moves as groups of its dimensions do, whose exponents add up."""
    parts = []
    for own in groups:
        rows = project(c, bundle, own)
        part = Bundle(tuple(own), np.concatenate([rows[None], c.unknowns(rows)]))
        part.ids[1 + SHIFT] = 0
        parts.append(part)
    c.equation(SHIFT, (1, bundle.ids[1 + SHIFT]))
    for channel in (SCALE, SIGN):
        terms = [(1, broadcast_ids(part, bundle.dims)[1 + channel]) for part in parts]
        c.equation(channel, (-1, bundle.ids[1 + channel]), *terms)
    return parts


def separate(c: Constraints, value: Value, first: int, second: int) -> Value:
    """States that two axes move as rows and columns do: the same for all of the other."""
    one, two = set(value.dims(first)), set(value.dims(second))
    bundles: list[Bundle] = []
    for bundle in value.bundles:
        if set(bundle.dims) & one and set(bundle.dims) & two:
            groups = [[d for d in bundle.dims if d not in gone] for gone in (two, one)]
            bundles += _parts(c, bundle, groups)
        else:
            bundles.append(bundle)
    return replace(value, bundles=tuple(bundles), tensor=None)


def couple(c: Constraints, value: Value, axes: Sequence[int]) -> None:
    """States that an operator looks at whole axes at once: softmax, a norm's statistics."""
    dims = [dim for axis in axes for dim in value.dims(axis)]
    for bundle in value.bundles_on(dims):
        keep = [d for d in bundle.dims if d not in dims]
        if keep:
            project(c, bundle, keep)


def together(c: Constraints, values: Sequence[Value], axis: int) -> None:
    """States that an axis moves alike in values of which it is a part, as groups of channels."""
    rows = [
        project(c, bundle, [dim])
        for value in values
        for dim in value.dims(axis)
        for bundle in value.bundles_on([dim])
        if len(bundle.dims) > 1
    ]
    for other in rows[1:]:
        c.same(rows[0], other)


def elementwise(c: Constraints, value: Value, scale: bool = False, sign: bool = False) -> Value:
    """A nonlinear function of every entry: exponents pass where it is homogeneous or odd."""
    unmixed(c, value)
    settle(c, value)
    blocked = [SHIFT] + [SCALE] * (not scale) + [SIGN] * (not sign)
    zero(c, value, channels=blocked)
    return replace(without(value, blocked), zero=False)


def scaled(c: Constraints, value: Value, number: float) -> Value:
    """Multiplies by a known number: only a shift is scaled with it."""
    if number == 0 and not is_open(number):
        return Value(value.axes, zero=True)
    bundles = []
    for bundle in value.bundles:
        ids = bundle.ids.copy()
        if ids[1 + SHIFT].any() and (number != 1 or is_open(number)):
            ids[1 + SHIFT] = c.unknowns(bundle.places)[SHIFT]
            c.equation(SHIFT, (-1, ids[1 + SHIFT]), (number, bundle.ids[1 + SHIFT]))
        bundles.append(Bundle(bundle.dims, ids))
    if is_open(number):
        c.measured.append(number)
    return replace(value, bundles=tuple(bundles), tensor=None, name=None)
