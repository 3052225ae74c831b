"""Arranging entries anew: nothing is computed, places only move with their entries."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from toroids.discovery.axes.constraints import CHANNELS, Constraints, Ids, Loss
from toroids.discovery.axes.values import (
    Bundle,
    Loose,
    Rows,
    Value,
    as_a_whole,
    fixed,
    is_open,
    keep_bundle,
    moved_rows,
    pin,
    project,
)


def permute(value: Value, order: Sequence[int]) -> Value:
    """Axis i of the result is axis `order[i]`."""
    order = [axis % len(value.axes) for axis in order]
    dims = [dim for axis in order for dim in value.dims(axis)]
    moved = rearranged(value, tuple(value.axes[axis] for axis in order), dims)
    to = list(order).index
    loose = tuple(x.moved(to) for x in value.loose)
    return replace(moved, loose=loose, rows=moved_rows(value.rows, to))


def insert_axis(value: Value, axis: int) -> Value:
    """Adds an axis of size one."""
    axis %= len(value.axes) + 1
    loose = tuple(x.moved(lambda old: old + (old >= axis)) for x in value.loose)
    axes = (*value.axes[:axis], (), *value.axes[axis:])
    rows = moved_rows(value.rows, lambda old: old + (old >= axis))
    return replace(value, axes=axes, tensor=None, loose=loose, rows=rows)


def uniform(x: Value, axis: int, size: int) -> Value:
    """Gives an axis of size one another size: the value is the same all along it."""
    axis %= len(x.axes)
    axes = (*x.axes[:axis], (size,) if size != 1 else (), *x.axes[axis + 1 :])
    start = sum(len(sizes) for sizes in x.axes[:axis])
    order = [d for d in range(len(x.sizes)) if d not in x.dims(axis)]
    order[start:start] = [-1] * (size != 1)
    return replace(rearranged(x, axes, order), loose=x.loose, held=x.held)


def with_fixed_axes(c: Constraints, x: Value, axis: int, shape: Sequence[int]) -> Value:
    """Adds axes of the given sizes, whose positions never move."""
    axis %= len(x.axes) + 1
    for size in reversed(shape):
        x = insert_axis(x, axis)
        if size != 1:
            x = uniform(x, axis, size)
            dim = x.dims(axis)[0]
            x = replace(x, bundles=(*x.bundles, Bundle((dim,), fixed(size))))
    return x


def rearranged(value: Value, axes: tuple[tuple[int, ...], ...], order: Sequence[int]) -> Value:
    """Renumbers dimensions: dimension i of the result is `order[i]`, -1 for a new one."""
    number = {old: new for new, old in enumerate(order) if old >= 0}
    bundles = []
    for bundle in value.bundles:
        dims = [number[dim] for dim in bundle.dims]
        sort = np.argsort(dims)
        ids = bundle.ids.transpose(0, *(1 + sort))
        bundles.append(Bundle(tuple(sorted(dims)), ids))
    return replace(value, axes=axes, bundles=tuple(bundles), tensor=None)


def split_dim(value: Value, dim: int, sizes: Sequence[int]) -> Value:
    """Cuts one dimension into several."""
    extra = len(sizes) - 1
    axes = _resized(value, dim, dim, sizes)
    bundles: list[Bundle] = []
    for bundle in value.bundles:
        moved = tuple(d + extra if d > dim else d for d in bundle.dims)
        if dim not in bundle.dims:
            bundles.append(Bundle(moved, bundle.ids))
        elif bundle.fixed:
            bundles += [Bundle((dim + i,), fixed(size)) for i, size in enumerate(sizes)]
        else:
            at = bundle.dims.index(dim)
            dims = (*moved[:at], *range(dim, dim + len(sizes)), *moved[at + 1 :])
            shape = bundle.ids.shape
            ids = bundle.ids.reshape(*shape[: 1 + at], *sizes, *shape[2 + at :])
            bundles.append(Bundle(dims, ids))
    return replace(value, axes=axes, bundles=tuple(bundles), tensor=None)


def _resized(
    value: Value, first: int, last: int, sizes: Sequence[int]
) -> tuple[tuple[int, ...], ...]:
    """The axes with other dimensions in place of `first` to `last`, which lie on one axis."""
    axes, seen = [], 0
    for axis in value.axes:
        own = list(axis)
        if seen <= first < seen + len(axis):
            own[first - seen : last - seen + 1] = sizes
        seen += len(axis)
        axes.append(tuple(own))
    return tuple(axes)


def fuse(c: Constraints, value: Value, dims: Sequence[int]) -> Value:
    """Makes neighbouring dimensions of one axis into one, with places of their own where needed."""
    if len(dims) < 2:
        return value
    first, last = dims[0], dims[-1]
    sizes = [value.sizes[dim] for dim in dims]
    touching = value.bundles_on(dims)
    alone = len(touching) == 1 and set(dims) <= set(touching[0].dims)
    covered = touching[0] if alone else None
    new: list[Bundle] = []
    if touching and all(bundle.fixed for bundle in touching) and len(touching) == len(dims):
        new = [Bundle((first,), fixed(int(np.prod(sizes))))]
    elif touching:
        reached = sorted({*dims, *(d for b in touching for d in b.dims)})
        whole = covered or product_bundle(c, value, reached, touching)
        if covered is None and len(whole.dims) > len(dims):  # rows are fused as wholes
            rows = project(c, whole, dims)
            for part in touching:
                inside = [d for d in part.dims if d in dims]
                if len(inside) < len(part.dims):
                    carrier = Bundle(tuple(inside), project(c, part, inside)[None])
                    c.under(rows, broadcast_ids(carrier, dims)[0])
        at = whole.dims.index(first)
        shape = whole.ids.shape
        ids = whole.ids.reshape(*shape[: 1 + at], -1, *shape[1 + at + len(dims) :])
        kept = [d for d in whole.dims if d not in dims[1:]]
        new = [Bundle(tuple(kept), ids)]
    shrink = last - first
    bundles = [b for b in value.bundles if not any(b is other for other in touching)] + new
    renumbered = tuple(
        Bundle(tuple(d - shrink if d > last else d for d in b.dims), b.ids) for b in bundles
    )
    axes = _resized(value, first, last, [int(np.prod(sizes))])
    return replace(value, axes=axes, bundles=renumbered, tensor=None)


def product_bundle(
    c: Constraints, value: Value, dims: Sequence[int], parts: Sequence[Bundle]
) -> Bundle:
    """One bundle for several dimensions: new places that carry those of the parts along."""
    sizes = [value.sizes[dim] for dim in dims]
    ids = c.fresh(sizes)
    spread = [broadcast_ids(part, dims) for part in parts]
    for part in spread:
        c.under(ids[0], part[0])
    ids[1:] = np.broadcast_to(summed_ids(c, [part[1:] for part in spread], ids[0]), ids[1:].shape)
    return Bundle(tuple(dims), ids)


def broadcast_ids(bundle: Bundle, dims: Sequence[int]) -> Ids:
    """Shapes a bundle's ids so that they broadcast over `dims`, which contain its own."""
    shape = [bundle.ids.shape[1 + bundle.dims.index(d)] if d in bundle.dims else 1 for d in dims]
    return bundle.ids.reshape(len(bundle.ids), *shape)


def summed_ids(c: Constraints, parts: Sequence[Ids], places: Ids) -> Ids:
    """Exponents (3, ...) that are the sums of `parts`; new unknowns only where two meet."""
    alive = [part for part in parts if part.any()]
    if not alive:
        return np.zeros((len(CHANNELS), *places.shape), np.int64)
    if len(alive) == 1:
        return np.broadcast_to(alive[0], (len(CHANNELS), *places.shape))
    total = c.unknowns(places)
    for channel in range(len(CHANNELS)):
        c.equation(channel, (-1, total[channel]), *((1, part[channel]) for part in alive))
    return total


def boundaries(sizes: Sequence[int]) -> list[int]:
    """Products of the last sizes: where the dimensions begin and end in memory order."""
    return [int(b) for b in np.cumprod([1, *reversed(list(sizes))], dtype=np.int64)]


def reshape(c: Constraints, value: Value, shape: Sequence[int]) -> Value:
    """Arranges the same entries, in the same order, in another shape."""
    total = int(np.prod(value.shape, dtype=np.int64))
    known = int(np.prod([s for s in shape if s != -1], dtype=np.int64))
    shape = [int(s) if s != -1 else total // max(known, 1) for s in shape]
    value = replace(value, loose=_reshaped(value, shape), rows=_reshaped_rows(value, shape))
    wanted = boundaries(shape)
    while True:  # every wanted boundary must fall between dimensions: cut, or fuse and cut
        have = boundaries(value.sizes)
        cut = next((b for b in wanted if b not in have), None)
        if cut is None:
            break
        below = max(b for b in have if b < cut)
        dim = len(value.sizes) - 1 - max(i for i, b in enumerate(have) if b == below)
        inner, size = cut // below, value.sizes[dim]
        if cut % below == 0 and size % inner == 0:
            value = split_dim(value, dim, [size // inner, inner])
            continue
        common = [b for b in have if b in wanted]
        low = max(b for b in common if b < cut)
        high = min(b for b in common if b > cut)
        value = _flat(value)
        n = len(value.sizes)
        dims = [d for d in range(n) if low <= have[n - 1 - d] and have[n - d] <= high]
        if any(map(any, c.open)):  # at other lengths it would be cut elsewhere
            for bundle in value.bundles_on(dims):
                keep_bundle(c, bundle, bundle.dims)
        value = fuse(c, value, dims)
        start = dims[0]
        inside = sorted(b for b in set(wanted) if low < b < high)
        edges = [low, *inside, high]
        value = split_dim(value, start, [b // a for a, b in pairwise(edges)][::-1])
    # hand every axis the dimensions that fill it, from the end; sizes of one go to the axis there
    sizes = value.sizes
    axes: list[tuple[int, ...]] = []
    position = len(sizes)
    for axis in reversed(shape):
        own: list[int] = []
        while position and int(np.prod(own, dtype=np.int64)) < axis:
            position -= 1
            own.insert(0, sizes[position])
        if axis == 1 and position and sizes[position - 1] == 1:
            position -= 1
            own.insert(0, 1)
        axes.insert(0, tuple(own))
    if not axes and sizes:
        for bundle in value.bundles:
            value = as_a_whole(c, value, bundle)
        return replace(value, axes=(), bundles=(), tensor=None)
    if position:  # dimensions of size one that found no axis of size one
        axes[0] = (*sizes[:position], *axes[0])
    return replace(value, axes=tuple(axes), tensor=None)


def _reshaped(value: Value, shape: Sequence[int]) -> tuple[Loose, ...]:
    """Functions that shifts have added, on axes of which some stay whole and others do not."""
    if not value.loose:
        return ()
    to = _kept_axes(value, shape)
    others = frozenset(range(len(shape))) - frozenset(to.values())
    found = []
    for x in value.loose:
        moved = x.moved(lambda axis: to[axis])
        torn = any(to[axis] < 0 and value.shape[axis] > 1 for axis in {*x.own, *x.varies} - {-1})
        found.append(replace(moved, varies=moved.varies | others) if torn else moved)
    return tuple(found)


def _reshaped_rows(value: Value, shape: Sequence[int]) -> tuple[Rows, ...]:
    """Choices of units, on axes that stay whole."""
    return moved_rows(value.rows, _kept_axes(value, shape).__getitem__) if value.rows else ()


def _kept_axes(value: Value, shape: Sequence[int]) -> dict[int, int]:
    """Where every axis is in another shape; -1 where it is torn."""
    # an axis stays where as many entries come after it as before
    places = {(_after(shape, i), n): i for i, n in enumerate(shape)}
    return {i: places.get((_after(value.shape, i), n), -1) for i, n in enumerate(value.shape)}


def _after(shape: Sequence[int], axis: int) -> int:
    """How many entries there are for every position of an axis and of those before it."""
    return int(np.prod(shape[axis + 1 :], dtype=np.int64))


def _flat(value: Value) -> Value:
    return replace(value, axes=(tuple(value.sizes),), tensor=None)


def whole(c: Constraints, value: Value, axis: int) -> tuple[Value, int]:
    """Makes an axis a single dimension; returns its number too."""
    axis %= len(value.axes)
    if not value.axes[axis]:
        axes = (*value.axes[:axis], (1,), *value.axes[axis + 1 :])
        order = list(range(len(value.sizes)))
        order.insert(sum(len(a) for a in value.axes[:axis]), -1)
        return rearranged(value, axes, order), sum(len(a) for a in axes[:axis])
    value = fuse(c, value, value.dims(axis))
    return value, value.dims(axis)[0]


def cut_open(c: Constraints, value: Value, axis: int, *bounds: object) -> None:
    """Pins an axis of which an operator takes what depends on how long the inputs are.

    Args:
        c: takes the statements.
        value: the operator's first argument.
        axis: of it; where it is flat, of channels and as many pixels as there are, say, a number
            of positions is another part of the channels at other sizes.
        bounds: the numbers that say what is taken.
    """
    axis %= len(value.axes)
    flat = sum(size > 1 for size in value.axes[axis]) > 1
    given = c.arguments_open[0] if c.arguments_open else ()
    cut = flat and len(given) == len(value.axes) and given[axis]
    if not cut and not any(is_open(bound) for bound in bounds):
        return
    for bundle in value.bundles_on(value.dims(axis)):
        if not bundle.fixed:
            reason = f"{c.operator} takes as much as the inputs are long"
            c.losses.append(Loss(reason, bundle.places[bundle.places >= 0].ravel()))
            if c.crossings and len(bundle.dims) > 1:
                # rows that are left out here are taken elsewhere, and cut as those are here
                keep_bundle(c, bundle, bundle.dims)
    pin(c, value, [axis])


def take(c: Constraints, value: Value, axis: int, indices: Ids) -> Value:
    """Picks positions along an axis: slicing, selecting, rolling, flipping, repeating."""
    axis %= len(value.axes)
    size = value.shape[axis]
    if len(indices) == size and (indices == np.arange(size)).all():
        return value
    value = replace(value, rows=tuple(x for x in value.rows if axis not in x.own))
    value, dim = whole(c, value, axis)
    repeats = len(set(indices.tolist())) < len(indices)
    bundles = []
    for bundle in value.bundles:
        if dim not in bundle.dims:
            bundles.append(bundle)
            continue
        if bundle.fixed:
            bundles.append(Bundle(bundle.dims, fixed(len(indices))))
            continue
        ids = bundle.ids.take(indices, axis=1 + bundle.dims.index(dim))
        c.taken(ids[0])
        if repeats:
            places = c.fresh(ids.shape[1:])[0]
            c.under(places, ids[0])
            if len(bundle.dims) > 1:  # whole rows are repeated
                rows = project(c, Bundle(bundle.dims, places[None]), [dim])
                c.under(rows, project(c, bundle, [dim])[indices])
            ids = np.concatenate([places[None], ids[1:]])
        else:
            c.member(ids[0])
        bundles.append(Bundle(bundle.dims, ids))
    axes = (*value.axes[:axis], (len(indices),), *value.axes[axis + 1 :])
    return replace(value, axes=axes, bundles=tuple(bundles), tensor=None)


def select(c: Constraints, value: Value, axis: int, index: int) -> Value:
    """Picks one position of an axis and drops the axis."""
    axis %= len(value.axes)
    value, dim = whole(c, value, axis)
    index %= value.shape[axis]
    bundles = []
    for bundle in value.bundles:
        if dim not in bundle.dims:
            bundles.append(bundle)
            continue
        at = bundle.dims.index(dim)
        ids = np.asarray(bundle.ids.take(index, axis=1 + at))
        c.taken(ids[0].reshape(-1))
        dims = tuple(d for d in bundle.dims if d != dim)
        if dims:
            c.member(ids[0])
            bundles.append(Bundle(dims, ids))
        elif not bundle.fixed:  # a single position: what it does to scales is not followed
            c.see(ids[0].reshape(1))
            c.same(ids[0].reshape(1), np.full(1, -1))
            for channel in range(len(CHANNELS)):
                c.equation(channel, (1, ids[1 + channel]))
    order = [d for d in range(len(value.sizes)) if d != dim]
    axes = (*value.axes[:axis], *value.axes[axis + 1 :])
    rows = moved_rows(value.rows, lambda old: -1 if old == axis else old - (old > axis))
    return rearranged(replace(value, bundles=tuple(bundles), rows=rows), axes, order)
