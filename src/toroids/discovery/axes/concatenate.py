"""Values laid one after another along an axis."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from toroids.discovery.axes.arrange import product_bundle, whole
from toroids.discovery.axes.constraints import CHANNELS, Constraints, Ids
from toroids.discovery.axes.meet import (
    coverage,
    equal_exponents,
    equal_scalars,
    meeting_bundles,
    with_same_dims,
)
from toroids.discovery.axes.values import SHIFT, Bundle, Value, fixed, pin_bundle


def concatenate(c: Constraints, values: Sequence[Value], axis: int) -> Value:
    """Lays values one after another along an axis."""
    axis %= len(values[0].axes)
    values = [value for value in values if value.shape[axis]]
    if len(values) == 1:
        return values[0]
    values = with_same_dims(c, values, skip=axis)
    if all(value.shape[axis] == 1 for value in values):
        return _stacked(c, values, axis)
    ready = [whole(c, value, axis) for value in values]
    dim = ready[0][1]
    values = [value for value, _ in ready]
    lengths = [value.shape[axis] for value in values]
    along = {d for value in values for b in value.bundles_on([dim]) for d in b.dims} | {dim}
    axes = (*values[0].axes[:axis], (sum(lengths),), *values[0].axes[axis + 1 :])
    if along == {dim} and all(
        bundles and bundles[0].fixed for bundles in (value.bundles_on([dim]) for value in values)
    ):
        ids = fixed(sum(lengths))
    else:
        parts = _told_apart(c, [_indexed_by(c, value, sorted(along)) for value in values])
        ids = np.concatenate(parts, axis=1 + sorted(along).index(dim))
    rest = [
        replace(value, bundles=tuple(b for b in value.bundles if not set(b.dims) <= along))
        for value in values
    ]
    joined = meeting_bundles(c, rest, values[0].sizes)
    bundles = [
        Bundle(dims, equal_exponents(c, per_value, rest))
        for dims, per_value in coverage(joined, rest)
    ]
    scalar = equal_scalars(c, values)
    return Value(axes, (Bundle(tuple(sorted(along)), ids), *bundles), scalar)


def _told_apart(c: Constraints, parts: Sequence[Ids]) -> list[Ids]:
    """Gives places that come again, as in a value beside its ReLU, others that move alike."""
    # whatever then puts them into another order, it stays known which of the two is which
    seen = np.zeros(0, np.int64)
    found = []
    for part in parts:
        places = np.unique(part[0][part[0] >= 0])
        if np.isin(places, seen).any():
            other = np.where(part[0] >= 0, c.fresh(part.shape[1:])[0], part[0])
            c.same(part[0], other)
            part = np.concatenate([other[None], part[1:]])
        seen = np.concatenate([seen, places])
        found.append(part)
    return found


def _stacked(c: Constraints, values: Sequence[Value], axis: int) -> Value:
    """Lays single positions side by side: each keeps its own places on the other axes."""
    ready = [whole(c, value, axis) for value in values]
    dim = ready[0][1]
    values = [value for value, _ in ready]
    sets = {tuple(d for d in b.dims if d != dim) for value in values for b in value.bundles}
    largest = [dims for dims in sets if dims and not any(set(dims) < set(o) for o in sets)]
    bundles: list[Bundle] = []
    for dims in sorted(largest):
        held = [b for value in values if (b := _only(value, dims)) is not None]
        alike = all(np.array_equal(b.ids, held[0].ids) for b in held)
        others = [value for value in values if _only(value, dims) is None]
        in_order = all(b.fixed for b in held) and not any(v.bundles_on(dims) for v in others)
        if (alike and not others) or in_order:
            bundles.append(held[0])  # the same hidden coordinates at every position, or constants
            continue
        parts = []
        for value in values:
            for bundle in value.bundles_on([dim]):
                pin_bundle(c, bundle, [dim])
                for channel in (
                    range(len(CHANNELS)) if bundle.dims == (dim,) else ()
                ):  # nothing tells them
                    c.equation(channel, (1, bundle.ids[1 + channel]))
            parts.append(_indexed_by(c, value, dims))
        together = tuple(sorted((*dims, dim)))
        parts = _told_apart(c, parts)
        bundles.append(Bundle(together, np.stack(parts, axis=1 + together.index(dim))))
    if not any(dim in bundle.dims for bundle in bundles):
        alone = [b for value in values for b in value.bundles if b.dims == (dim,) and not b.fixed]
        parts = _told_apart(c, [_indexed_by(c, value, [dim]) for value in values] if alone else [])
        bundles.append(Bundle((dim,), np.concatenate(parts, 1) if parts else fixed(len(values))))
    axes = (*values[0].axes[:axis], (len(values),), *values[0].axes[axis + 1 :])
    return Value(axes, tuple(bundles), equal_scalars(c, values))


def _only(value: Value, dims: Sequence[int]) -> Bundle | None:
    """The bundle over exactly `dims`, unless others say more of the exponents there."""
    inside = [bundle for bundle in value.bundles if {*bundle.dims} <= {*dims}]
    exact = next((bundle for bundle in inside if [*bundle.dims] == [*dims]), None)
    return None if any(b.ids[1:].any() for b in inside if b is not exact) else exact


def _indexed_by(c: Constraints, value: Value, dims: Sequence[int]) -> Ids:
    """The ids of one bundle over exactly `dims`; a uniform dimension gets free places."""
    only = _only(value, dims)
    if only is not None and not only.fixed:
        return only.ids
    # what indexes other dimensions as well stays a bundle of its own
    beyond = {d for d, size in enumerate(value.sizes) if size > 1} - set(dims)
    parts = [bundle for bundle in value.bundles_on(dims) if beyond.isdisjoint(bundle.dims)]
    if not parts:
        ids = c.fresh([value.sizes[dim] for dim in dims])
        # zeros have every scale and sign, another constant none; neither can be shifted
        ids[1 if not value.zero else 1 + SHIFT :] = 0
        return ids
    if len(dims) == 1 and parts[0].fixed:
        return parts[0].ids
    return product_bundle(c, value, dims, parts).ids
