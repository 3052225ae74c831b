"""Values in a traced network: what their axes are made of, and the few moves all operators share.

An axis is a product of dimensions: flattening (16, 8, 8) gives one axis of three dimensions, and
viewing it back costs nothing. A bundle says which places index one or several dimensions together;
`{head, entry}` is one bundle where the entries of each head move on their own. A dimension without
a bundle is uniform: the value is constant along it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np
from torch import Tensor

from toroids.symmetry.constraints import CHANNELS, SCALAR, Constraints, Ids

SCALE, SIGN, SHIFT = range(len(CHANNELS))
NONE = np.zeros(len(CHANNELS), np.int64)


@dataclass(frozen=True, eq=False)
class Bundle:
    """Places that index some dimensions of a value together.

    Attributes:
        dims: which dimensions, ascending.
        ids: (4, *sizes): places, then exponents of scale, sign and shift.
    """

    dims: tuple[int, ...]
    ids: Ids

    @property
    def places(self) -> Ids:
        """The places alone."""
        return np.asarray(self.ids[0])

    @property
    def fixed(self) -> bool:
        """Whether none of the places ever moves."""
        return len(self.dims) == 1 and bool((self.ids[0] < 0).all())


@dataclass(frozen=True, eq=False)
class Value:
    """One tensor of a traced network.

    Attributes:
        axes: for every axis the sizes of the dimensions that it is a product of.
        bundles: what indexes the dimensions; they may overlap.
        scalar: (3,) exponents of the value as a whole.
        tensor: the numbers, where they are constant.
        zero: whether all numbers are zero.
        name: the parameter that this is, perhaps seen in another shape.
    """

    axes: tuple[tuple[int, ...], ...]
    bundles: tuple[Bundle, ...] = ()
    scalar: Ids = field(default_factory=lambda: NONE)
    tensor: Tensor | None = None
    zero: bool = False
    name: str | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of the axes."""
        return tuple(int(np.prod(sizes, dtype=np.int64)) for sizes in self.axes)

    @property
    def sizes(self) -> list[int]:
        """Sizes of all dimensions, axis after axis."""
        return [size for axis in self.axes for size in axis]

    def dims(self, axis: int) -> tuple[int, ...]:
        """The dimensions of an axis; it may be counted from the end."""
        axis %= len(self.axes)
        start = sum(len(sizes) for sizes in self.axes[:axis])
        return tuple(range(start, start + len(self.axes[axis])))

    def bundles_on(self, dims: Iterable[int]) -> list[Bundle]:
        """The bundles that index any of `dims`."""
        wanted = set(dims)
        return [bundle for bundle in self.bundles if wanted & set(bundle.dims)]


def fixed(size: int) -> Ids:
    """Returns places that never move, without exponents: (4, size)."""
    return np.stack([-1 - np.arange(size), *(np.zeros(size, np.int64),) * len(CHANNELS)])


def fixed_value(shape: Sequence[int]) -> Value:
    """A value whose axes never move: an input, or what an unknown operator gave."""
    axes = tuple((int(size),) if size != 1 else () for size in shape)
    value = Value(axes)
    return replace(
        value,
        bundles=tuple(Bundle((dim,), fixed(size)) for dim, size in enumerate(value.sizes)),
    )


def parameter(c: Constraints, name: str, shape: Sequence[int]) -> Value:
    """A parameter: every axis has places of its own."""
    axes = tuple((int(size),) for size in shape)
    bundles = tuple(Bundle((dim,), c.fresh((size,))) for dim, (size,) in enumerate(axes))
    return Value(axes, bundles, c.unknowns(np.full((), SCALAR)), name=name)


def grouped_parameter(c: Constraints, name: str, shape: Sequence[int], groups: int) -> Value:
    """The weight of a grouped convolution: in every group the second axis has its own places."""
    first, second, *kernel = (int(size) for size in shape)
    axes = ((groups, first // groups), (second,), *((size,) for size in kernel))
    bundles = (
        Bundle((0, 1), c.fresh((groups, first // groups))),
        Bundle((0, 2), c.fresh((groups, second))),
        *(Bundle((3 + i,), c.fresh((size,))) for i, size in enumerate(kernel)),
    )
    rows = project(c, bundles[0], [0])
    c.same(rows, project(c, bundles[1], [0]))
    return Value(axes, bundles, c.unknowns(np.full((), SCALAR)), name=name)


def constant(tensor: Tensor) -> Value:
    """Known numbers: fixed along an axis, uniform where they do not vary."""
    axes: list[tuple[int, ...]] = []
    bundles: list[Bundle] = []
    for axis, size in enumerate(tensor.shape):
        if size <= 1:
            axes.append(())
            continue
        dim = sum(len(sizes) for sizes in axes)
        axes.append((size,))
        if tensor.numel() and not bool((tensor == tensor.narrow(axis, 0, 1)).all()):
            bundles.append(Bundle((dim,), fixed(size)))
    is_zero = bool((tensor == 0).all()) if tensor.numel() else True
    return Value(tuple(axes), tuple(bundles), tensor=tensor, zero=is_zero)


def pin(c: Constraints, value: Value, axes: Iterable[int] | None = None) -> None:
    """States that a value's axes (all of them by default) never move, scale or flip."""
    numbers = range(len(value.axes)) if axes is None else axes
    dims = [dim for axis in numbers for dim in value.dims(axis)]
    for bundle in value.bundles_on(dims):
        _pin_bundle(c, bundle, dims)
        for channel in range(len(CHANNELS)):
            c.equation(channel, (1, bundle.ids[1 + channel]))
    if axes is None:
        zero_scalar(c, value)


def _pin_bundle(c: Constraints, bundle: Bundle, dims: Iterable[int]) -> None:
    if bundle.fixed:
        return
    if len(bundle.dims) == 1:
        c.same(bundle.places, fixed(len(bundle.places))[0])
        return
    for position in [p for p, dim in enumerate(bundle.dims) if dim in set(dims)]:
        shape = [1] * len(bundle.dims)
        shape[position] = -1
        c.under(bundle.places, fixed(bundle.places.shape[position])[0].reshape(shape))


def zero_scalar(c: Constraints, value: Value, channels: Sequence[int] = (0, 1, 2)) -> None:
    """States that a value as a whole neither scales nor flips."""
    for channel in channels:
        c.equation(channel, (1, value.scalar[channel]))


def zero(
    c: Constraints, value: Value, channels: Sequence[int] = (0, 1, 2), dims: Iterable[int] = ()
) -> None:
    """States that a value takes no exponents in some channels, on some dimensions or anywhere."""
    bundles = value.bundles_on(dims) if dims else value.bundles
    for bundle in bundles:
        for channel in channels:
            c.equation(channel, (1, bundle.ids[1 + channel]))
    if not dims:
        zero_scalar(c, value, channels)


def without(value: Value, channels: Sequence[int]) -> Value:
    """Replaces the exponents of some channels by zero, stating nothing of the old ones."""
    bundles = []
    for bundle in value.bundles:
        ids = bundle.ids.copy()
        ids[[1 + channel for channel in channels]] = 0
        bundles.append(Bundle(bundle.dims, ids))
    scalar = value.scalar.copy()
    scalar[list(channels)] = 0
    return replace(value, bundles=tuple(bundles), scalar=scalar, tensor=None)


# ---- structure: nothing is computed, places are only arranged anew


def _arranged(value: Value, axes: tuple[tuple[int, ...], ...], order: Sequence[int]) -> Value:
    """Renumbers dimensions: dimension i of the result is `order[i]`, -1 for a new one."""
    number = {old: new for new, old in enumerate(order) if old >= 0}
    bundles = []
    for bundle in value.bundles:
        dims = [number[dim] for dim in bundle.dims]
        sort = np.argsort(dims)
        ids = bundle.ids.transpose(0, *(1 + sort))
        bundles.append(Bundle(tuple(sorted(dims)), ids))
    return replace(value, axes=axes, bundles=tuple(bundles), tensor=None)


def permute(value: Value, order: Sequence[int]) -> Value:
    """Axis i of the result is axis `order[i]`."""
    dims = [dim for axis in order for dim in value.dims(axis)]
    return _arranged(value, tuple(value.axes[axis] for axis in order), dims)


def insert_axis(value: Value, axis: int) -> Value:
    """Adds an axis of size one."""
    axis %= len(value.axes) + 1
    return replace(value, axes=(*value.axes[:axis], (), *value.axes[axis:]), tensor=None)


def drop_axis(c: Constraints, value: Value, axis: int) -> Value:
    """Removes an axis of size one, or one along which nothing is indexed."""
    axis %= len(value.axes)
    gone = value.dims(axis)
    if value.bundles_on(gone):
        zero(c, value, dims=gone)
        value = reduce(c, value, gone)
    axes = (*value.axes[:axis], *value.axes[axis + 1 :])
    order = [dim for dim in range(len(value.sizes)) if dim not in gone]
    return _arranged(value, axes, order)


def _split(value: Value, dim: int, sizes: Sequence[int]) -> Value:
    """Cuts one dimension into several."""
    extra = len(sizes) - 1
    axes, seen = [], 0
    for axis in value.axes:
        own = list(axis)
        if seen <= dim < seen + len(axis):
            own[dim - seen : dim - seen + 1] = sizes
        seen += len(axis)
        axes.append(tuple(own))
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
    return replace(value, axes=tuple(axes), bundles=tuple(bundles), tensor=None)


def fuse(c: Constraints, value: Value, dims: Sequence[int]) -> Value:
    """Makes neighbouring dimensions of one axis into one, with places of their own where needed."""
    if len(dims) < 2:
        return value
    first, last = dims[0], dims[-1]
    sizes = [value.sizes[dim] for dim in dims]
    touching = value.bundles_on(dims)
    if len(touching) == 1 and not set(dims) <= set(touching[0].dims):
        covered = None
    elif len(touching) == 1:
        covered = touching[0]
    else:
        covered = None
    new: list[Bundle] = []
    if touching and all(bundle.fixed for bundle in touching) and len(touching) == len(dims):
        new = [Bundle((first,), fixed(int(np.prod(sizes))))]
    elif touching:
        whole = covered or _product(
            c, value, sorted({*dims, *(d for b in touching for d in b.dims)})
        )
        if covered is None and len(whole.dims) > len(dims):  # rows are fused as wholes
            rows = project(c, whole, dims)
            for part in touching:
                inside = [d for d in part.dims if d in dims]
                if len(inside) < len(part.dims):
                    c.under(rows, _spread_places(project(c, part, inside), inside, dims))
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
    axes, seen = [], 0
    for axis in value.axes:
        own = list(axis)
        if seen <= first < seen + len(axis):
            own[first - seen : last - seen + 1] = [int(np.prod(sizes))]
        seen += len(axis)
        axes.append(tuple(own))
    return replace(value, axes=tuple(axes), bundles=renumbered, tensor=None)


def _product(c: Constraints, value: Value, dims: Sequence[int]) -> Bundle:
    """One bundle for several dimensions: new places that carry those of the parts along."""
    sizes = [value.sizes[dim] for dim in dims]
    parts = value.bundles_on(dims)
    ids = c.fresh(sizes)
    spread = [_spread(part, dims) for part in parts]
    for part in spread:
        c.under(ids[0], part[0])
    ids[1:] = np.broadcast_to(_sum(c, [part[1:] for part in spread], ids[0]), ids[1:].shape)
    return Bundle(tuple(dims), ids)


def _spread_places(places: Ids, own: Sequence[int], dims: Sequence[int]) -> Ids:
    """Shapes places over some of `dims` so that they broadcast over all of them."""
    shape = [places.shape[list(own).index(d)] if d in own else 1 for d in dims]
    return places.reshape(shape)


def _spread(bundle: Bundle, dims: Sequence[int]) -> Ids:
    """Shapes a bundle's ids so that they broadcast over `dims`, which contain its own."""
    shape = [bundle.ids.shape[1 + bundle.dims.index(d)] if d in bundle.dims else 1 for d in dims]
    return bundle.ids.reshape(4, *shape)


def _sum(c: Constraints, parts: Sequence[Ids], places: Ids) -> Ids:
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


def _bounds(sizes: Sequence[int]) -> list[int]:
    return [int(b) for b in np.cumprod([1, *reversed(list(sizes))], dtype=np.int64)]


def reshape(c: Constraints, value: Value, shape: Sequence[int]) -> Value:
    """Arranges the same entries, in the same order, in another shape."""
    total = int(np.prod(value.shape, dtype=np.int64))
    known = int(np.prod([s for s in shape if s != -1], dtype=np.int64))
    shape = [int(s) if s != -1 else total // max(known, 1) for s in shape]
    wanted = _bounds(shape)
    while True:  # every wanted boundary must fall between dimensions: cut, or fuse and cut
        have = _bounds(value.sizes)
        cut = next((b for b in wanted if b not in have), None)
        if cut is None:
            break
        below = max(b for b in have if b < cut)
        dim = len(value.sizes) - 1 - max(i for i, b in enumerate(have) if b == below)
        inner, size = cut // below, value.sizes[dim]
        if cut % below == 0 and size % inner == 0:
            value = _split(value, dim, [size // inner, inner])
            continue
        common = [b for b in have if b in wanted]
        low = max(b for b in common if b < cut)
        high = min(b for b in common if b > cut)
        value = _flat(value)
        n = len(value.sizes)
        dims = [d for d in range(n) if low <= have[n - 1 - d] and have[n - d] <= high]
        value = fuse(c, value, dims)
        start = dims[0]
        inside = sorted(b for b in set(wanted) if low < b < high)
        edges = [low, *inside, high]
        value = _split(value, start, [b // a for a, b in pairwise(edges)][::-1])
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
    if position:  # dimensions of size one that found no axis of size one
        axes[0] = (*sizes[:position], *axes[0]) if axes else ()
    if not axes and sizes:
        zero(c, value)
        return replace(value, axes=(), bundles=(), tensor=None)
    return replace(value, axes=tuple(axes), tensor=None)


def _flat(value: Value) -> Value:
    return replace(value, axes=(tuple(value.sizes),), tensor=None)


def whole(c: Constraints, value: Value, axis: int) -> tuple[Value, int]:
    """Makes an axis a single dimension; returns its number too."""
    axis %= len(value.axes)
    if not value.axes[axis]:
        axes = (*value.axes[:axis], (1,), *value.axes[axis + 1 :])
        order = list(range(len(value.sizes)))
        order.insert(sum(len(a) for a in value.axes[:axis]), -1)
        return _arranged(value, axes, order), sum(len(a) for a in axes[:axis])
    value = fuse(c, value, value.dims(axis))
    return value, value.dims(axis)[0]


def take(c: Constraints, value: Value, axis: int, indices: Ids) -> Value:
    """Picks positions along an axis: slicing, selecting, rolling, flipping, repeating."""
    axis %= len(value.axes)
    size = value.shape[axis]
    if len(indices) == size and (indices == np.arange(size)).all():
        return value
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
        dims = tuple(d for d in bundle.dims if d != dim)
        if dims:
            c.member(ids[0])
            bundles.append(Bundle(dims, ids))
        elif not bundle.fixed:  # a single position: what it does to scales is not followed
            c.same(ids[0].reshape(1), np.full(1, -1))
            for channel in range(len(CHANNELS)):
                c.equation(channel, (1, ids[1 + channel]))
    order = [d for d in range(len(value.sizes)) if d != dim]
    axes = (*value.axes[:axis], *value.axes[axis + 1 :])
    return _arranged(replace(value, bundles=tuple(bundles)), axes, order)


def concatenate(c: Constraints, values: Sequence[Value], axis: int) -> Value:
    """Lays values one after another along an axis."""
    axis %= len(values[0].axes)
    values = [value for value in values if value.shape[axis]]
    if len(values) == 1:
        return values[0]
    values = _compatible(c, values, skip=axis)
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
        parts = [_indexed_by(c, value, sorted(along)) for value in values]
        ids = np.concatenate(parts, axis=1 + sorted(along).index(dim))
    rest = [
        replace(value, bundles=tuple(b for b in value.bundles if dim not in b.dims))
        for value in values
    ]
    joined = _joined(c, rest, values[0].sizes)
    bundles = [
        Bundle(dims, _equal(c, per_value, rest)) for dims, per_value in _coverage(joined, rest)
    ]
    for bundle in bundles:  # dimensions that both index: the concatenated bundle decides
        if set(bundle.dims) < along:
            shape = [
                ids.shape[1 + sorted(along).index(d)] if d in bundle.dims else 1
                for d in sorted(along)
            ]
            c.under(ids[0], bundle.places.reshape(shape))
    scalar = _equal_scalar(c, values)
    return Value(axes, (Bundle(tuple(sorted(along)), ids), *bundles), scalar)


def _stacked(c: Constraints, values: Sequence[Value], axis: int) -> Value:
    """Lays single positions side by side: each keeps its own places on the other axes."""
    ready = [whole(c, value, axis) for value in values]
    dim = ready[0][1]
    values = [value for value, _ in ready]
    sets = {tuple(d for d in b.dims if d != dim) for value in values for b in value.bundles}
    largest = [dims for dims in sets if dims and not any(set(dims) < set(o) for o in sets)]
    bundles: list[Bundle] = []
    for dims in sorted(largest):
        held = [[b for b in value.bundles if b.dims == dims] for value in values]
        if all(own and own[0].fixed for own in held):
            bundles.append(held[0][0])
            continue
        if all(own and np.array_equal(own[0].ids, held[0][0].ids) for own in held):
            bundles.append(held[0][0])  # the same hidden coordinates at every position
            continue
        parts = []
        for value in values:
            for bundle in value.bundles_on([dim]):
                _pin_bundle(c, bundle, [dim])
            parts.append(_indexed_by(c, value, dims))
        together = tuple(sorted((*dims, dim)))
        bundles.append(Bundle(together, np.stack(parts, axis=1 + together.index(dim))))
    if not any(dim in bundle.dims for bundle in bundles):
        bundles.append(Bundle((dim,), fixed(len(values))))
    axes = (*values[0].axes[:axis], (len(values),), *values[0].axes[axis + 1 :])
    return Value(axes, tuple(bundles), _equal_scalar(c, values))


def _indexed_by(c: Constraints, value: Value, dims: Sequence[int]) -> Ids:
    """The ids of one bundle over exactly `dims`; a uniform dimension gets free places."""
    for bundle in value.bundles:
        if list(bundle.dims) == list(dims):
            if not bundle.fixed:
                return bundle.ids
            break
    if not value.bundles_on(dims):
        ids = c.fresh([value.sizes[dim] for dim in dims])
        # zeros have every scale and sign, another constant none; neither can be shifted
        ids[1 if not value.zero else 1 + SHIFT :] = 0
        return ids
    parts = value.bundles_on(dims)
    if len(dims) == 1 and parts[0].fixed:
        return parts[0].ids
    return _product(c, value, dims).ids


# ---- numbers: several values meet, or a dimension is summed away

Carried = list[Ids | None]  # per value: its exponents (3, ...) on the bundle, None where uniform


def _compatible(c: Constraints, values: Sequence[Value], skip: int | None = None) -> list[Value]:
    """Gives all values the same dimensions, axis by axis; sizes of one become uniform."""
    rank = max(len(value.axes) for value in values)
    padded = [
        replace(value, axes=((),) * (rank - len(value.axes)) + value.axes, tensor=None)
        for value in values
    ]
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
                dims = value.dims(axis)
                zero(c, value, dims=dims) if value.bundles_on(dims) else None
                value = drop_axis(c, value, axis)
                value = insert_axis(value, axis)
            ready.append(value)
        bounds = sorted({b for v in ready if v.shape[axis] == size for b in _bounds(v.axes[axis])})
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
        return _arranged(value, axes, order)
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
    value = _arranged(value, (*value.axes[:axis], tuple(sizes), *value.axes[axis + 1 :]), order)
    position, wanted = start + ones, list(parts)
    while wanted:
        inner: list[int] = []
        target = value.sizes[position]
        while int(np.prod(inner, dtype=np.int64)) < target:
            inner.append(wanted.pop(0))
        if len(inner) > 1:
            value = _split(value, position, inner)
        position += len(inner)
    return value


def _joined(c: Constraints, values: Sequence[Value], sizes: Sequence[int]) -> list[Bundle]:
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
                c.under(bundle.places, _spread(inner, large)[0])
            elif large < small and set(small) & set(large) and not set(large) < set(small):
                common = [d for d in large if d in small]
                c.same(project(c, bundle, common), project(c, inner, common))
    return [
        bundle
        for dims, bundle in heads.items()
        if not any(set(dims) < set(other) for other in heads)
    ]


def project(c: Constraints, bundle: Bundle, keep: Sequence[int]) -> Ids:
    """New places for some of a bundle's dimensions: the rows in which its places lie."""
    sizes = [bundle.places.shape[bundle.dims.index(dim)] for dim in keep]
    rows = np.asarray(c.fresh(sizes)[0])
    shape = [bundle.places.shape[i] if d in keep else 1 for i, d in enumerate(bundle.dims)]
    c.under(bundle.places, np.broadcast_to(rows.reshape(shape), bundle.places.shape))
    return rows


def _coverage(
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
            per_value.append([_spread(b, head.dims)[1:] for b in own])
        result.append((head.dims, (head, per_value)))
    return result


def _carried(c: Constraints, head: Bundle, per_value: list[list[Ids]]) -> list[Ids]:
    return [_sum(c, parts, head.places) for parts in per_value]


def _equal(c: Constraints, cover: tuple[Bundle, list[list[Ids]]], values: Sequence[Value]) -> Ids:
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


def _equal_scalar(c: Constraints, values: Sequence[Value]) -> Ids:
    alive = [value.scalar for value in values if not value.zero] or [values[0].scalar]
    for other in alive[1:]:
        for channel in range(len(CHANNELS)):
            c.equation(channel, (1, alive[0][channel]), (-1, other[channel]))
    return next((scalar for scalar in alive if not scalar.any()), alive[0])


def add(c: Constraints, values: Sequence[Value]) -> Value:
    """Adds values: equal scales and signs; their shifts add up."""
    values = _compatible(c, values)
    heads = _joined(c, values, values[0].sizes)
    bundles = []
    for dims, cover in _coverage(heads, values):
        ids = _equal_but_shift(c, cover, values)
        bundles.append(Bundle(dims, ids))
    return Value(
        values[0].axes, tuple(bundles), _equal_scalar(c, values), zero=all(v.zero for v in values)
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
    values = _compatible(c, values)
    gone = set(contracted)
    for value, power in zip(values, powers, strict=True):
        others = [b for other in values if other is not value for b in other.bundles]
        for bundle in value.bundles:
            for other in others:
                if set(bundle.dims) <= set(other.dims) and not set(bundle.dims) & gone:
                    c.mark_nonlinear(bundle.places)
        if power != 1:
            for bundle in value.bundles:
                c.mark_nonlinear(bundle.places)
    for position, value in enumerate(values):
        if position != unseen:  # a shifted factor changes the product
            zero(c, value, channels=(SHIFT,))
    heads = _joined(c, values, values[0].sizes)
    bundles = []
    for dims, (head, per_value) in _coverage(heads, values):
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


def reduce(c: Constraints, value: Value, dims: Sequence[int], *, mean: bool = False) -> Value:
    """Sums (averages) dimensions away; they stay as uniform ones.

    Exponents vanish on a bundle that is summed whole, and are constant along the summed part of
    the others.

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
            for channel in range(len(CHANNELS)):
                c.equation(channel, (1, bundle.ids[1 + channel]))
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


def contract(
    c: Constraints, a: Value, b: Value, axes: Sequence[int], unseen: int | None = None
) -> Value:
    """Multiplies two values of equal rank and sums the given axes away, which are dropped."""
    a, b = _compatible(c, (a, b))
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
    for bundle in value.bundles:
        c.mark_nonlinear(bundle.places)
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


def equate(c: Constraints, a: Value, b: Value) -> None:
    """States that two values are indexed and scaled alike: a state and what replaces it."""
    a, b = _compatible(c, (a, b))
    for dims, cover in _coverage(_joined(c, (a, b), a.sizes), (a, b)):
        if dims:
            _equal(c, cover, (a, b))
    _equal_scalar(c, (a, b))
