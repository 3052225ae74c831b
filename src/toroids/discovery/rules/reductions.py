"""Functions of whole axes in which the order of the entries does not count."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from toroids.discovery import axes
from toroids.discovery.axes import Names, Value
from toroids.discovery.axes.constraints import Constraints, Loss
from toroids.discovery.rules.pointwise import ALIKE, HOMOGENEOUS, NONE, TRUTH, Law, pointwise
from toroids.discovery.rules.registry import rule

# Of functions of many entries, all of which scale, flip and shift together.
EXTREME = Law(scale=((1, 1),), shift=((1, 1),))
PLACE = Law(scale=((1, 0),), shift=((1, 0),))
VARIANCE = Law(scale=((1, 2),), sign=((1, 0),), shift=((1, 0),))
DEVIATION = Law(scale=((1, 1),), sign=((1, 0),), shift=((1, 0),))
SHARE = Law(scale=((1, 0, 1),), shift=((1, 0, 1),))
LOGARITHM = Law(shift=((1, 1),))


def dims_of(x: Value, dim: Any) -> list[int]:
    """The axes that an operator's `dim` names: all of them for None or an empty list."""
    if dim is None or (not isinstance(dim, int) and not len(dim)):
        return list(range(len(x.axes)))
    dims = [dim] if isinstance(dim, int) else dim
    return [d % len(x.axes) for d in dims] if x.axes else []


def reduced(
    c: Constraints, x: Value, over: Sequence[int], keepdim: bool = False, *, total: bool = False
) -> Value:
    """What a symmetric function of some axes leaves: all along them has scaled and flipped alike.

    Args:
        c: takes the statements.
        x: the argument.
        over: the axes.
        keepdim: whether they stay, of size one.
        total: whether a shift is added up, not only averaged.

    Returns:
        The result of a linear function.
    """
    dims = [d for axis in over for d in x.dims(axis)]
    y = axes.reduce(c, x, dims, mean=not total)
    for axis in sorted(over, reverse=True):
        y = axes.drop_axis(c, y, axis)
    for axis in sorted(over) if keepdim else ():
        y = axes.insert_axis(y, axis)
    return replace(y, name=None)


def symmetric(
    c: Constraints, x: Value, over: Sequence[int], keepdim: bool, law: Law
) -> Value:  # fmt: skip
    """A symmetric function that is not linear: no matrix may mix what it looks at."""
    axes.unmixed(c, x)
    return pointwise(c, [reduced(c, x, over, keepdim)], law)


@rule("aten::mean")
def mean(c: Constraints, x: Value, dim: Any = None, keepdim: bool = False, **_: Any) -> Value:
    """Linear; nothing may act on what is averaged but a permutation."""
    return reduced(c, x, dims_of(x, dim), keepdim)


@rule("aten::sum")
def sum_(c: Constraints, x: Value, dim: Any = None, keepdim: bool = False, **_: Any) -> Value:
    """Linear; nothing may act on what is summed but a permutation."""
    return reduced(c, x, dims_of(x, dim), keepdim, total=True)


@rule("aten::amax", "aten::amin")
def amax(c: Constraints, x: Value, dim: Any = (), keepdim: bool = False) -> Value:
    """The largest entry."""
    return symmetric(c, x, dims_of(x, dim), keepdim, EXTREME)


@rule("aten::aminmax")
def aminmax(c: Constraints, x: Value, *, dim: Any = None, keepdim: bool = False) -> list[Value]:
    """The smallest and the largest entry."""
    return [amax(c, x, dim, keepdim), amax(c, x, dim, keepdim)]


@rule("aten::logsumexp")
def logsumexp(c: Constraints, x: Value, dim: Any, keepdim: bool = False) -> Value:
    """A smooth maximum: shifts pass."""
    return symmetric(c, x, dims_of(x, dim), keepdim, LOGARITHM)


@rule("aten::prod")
def prod(c: Constraints, x: Value, dim: Any = None, keepdim: bool = False, **_: Any) -> Value:
    """The product: what factors it has is not followed."""
    return _of_entries(c, x, dim, keepdim, NONE)


@rule("aten::any", "aten::all")
def any_(c: Constraints, x: Value, dim: Any = None, keepdim: bool = False) -> Value:
    """Whether entries are zero."""
    return _of_entries(c, x, dim, keepdim, TRUTH)


@rule("aten::hash_tensor")
def hash_tensor(
    c: Constraints, x: Value, dim: Any = None, *, keepdim: bool = False, **_: Any
) -> Value:
    """The exclusive or of all bits."""
    return _of_entries(c, x, dim, keepdim, NONE)


@rule("aten::count_nonzero")
def count_nonzero(c: Constraints, x: Value, dim: Any = None) -> Value:
    """How many entries are not zero."""
    return _of_entries(c, x, dim, False, TRUTH)


def _of_entries(c: Constraints, x: Value, dim: Any, keepdim: bool, law: Law) -> Value:
    return reduced(c, pointwise(c, [x], law), dims_of(x, dim), keepdim)


@rule("aten::var", "aten::std", "aten::var_mean", "aten::std_mean")
def deviations(c: Constraints, x: Value, dim: Any = None, *_: Any, **__: Any) -> Any:
    """Variances or deviations, of which nobody sees the mean, with or without the mean."""
    over = dims_of(x, None if isinstance(dim, bool) else dim)
    keepdim = len(c.shape) == len(x.axes)
    law = VARIANCE if c.name.startswith("var") else DEVIATION
    y = symmetric(c, x, over, keepdim, law)
    return y if len(c.shapes) == 1 else [y, reduced(c, x, over, keepdim)]


@rule("aten::argmax", "aten::argmin")
def argmax(c: Constraints, x: Value, dim: int | None = None, keepdim: bool = False) -> Value:
    """The place of the largest entry: the places stay."""
    over = dims_of(x, dim)
    names = None
    if len(over) == 1:
        names = chosen_names(c, x, over[0])
    else:
        axes.pin(c, x, over)
    return replace(symmetric(c, x, over, keepdim, PLACE), names=names)


@rule("aten::max", "aten::min")
def max_(c: Constraints, x: Value, dim: Any = None, keepdim: bool = False) -> Any:
    """The largest entry, and where it was; or the larger of two values."""
    if isinstance(dim, Value):
        return pointwise(c, (x, dim), ALIKE)
    return amax(c, x) if dim is None else chosen(c, x, dim, keepdim)


@rule("aten::median", "aten::nanmedian", "aten::mode")
def median(c: Constraints, x: Value, dim: Any = None, keepdim: bool = False) -> Any:
    """An entry in the middle of the order, and where it was."""
    return amax(c, x) if len(c.shapes) == 1 else chosen(c, x, -1 if dim is None else dim, keepdim)


@rule("aten::kthvalue")
def kthvalue(c: Constraints, x: Value, k: int, dim: int = -1, keepdim: bool = False) -> Any:
    """The k-th entry by size, and where it was."""
    return chosen(c, x, dim, keepdim)


@rule("aten::_unique2")
def unique(c: Constraints, x: Value, sorted: bool = True, *_: Any, **__: Any) -> Any:
    """All numbers that occur, by size: a function of a set."""
    return NotImplemented if not sorted else _set(c, x, dims_of(x, None))


@rule("aten::unique_dim")
def unique_rows(c: Constraints, x: Value, dim: int, *_: Any, **__: Any) -> Any:
    """All slices that occur, by the size of their entries in turn."""
    axes.pin(c, x, [axis for axis in range(len(x.axes)) if axis != dim % len(x.axes)])
    return _set(c, x, dims_of(x, dim))


def _set(c: Constraints, x: Value, over: list[int]) -> Any:
    at = over[0] if over else 0
    found = axes.with_fixed_axes(c, symmetric(c, x, over, False, EXTREME), at, c.shape[at:][:1])
    inverse = axes.fixed_value(c.shapes[1])
    if c.used[1]:  # which of them stands where: it moves with what stands there
        rest = sorted(set(range(len(x.axes))) - set(over), reverse=True)
        inverse = axes.without(x, (0, 1, 2))
        for axis in rest:
            inverse = axes.average_out(c, inverse, axis)
    return [found, inverse, axes.fixed_value(c.shapes[2])]


def chosen(c: Constraints, x: Value, dim: int, keepdim: bool) -> list[Value]:
    """An entry by its size, and where it was: places stay where anybody reads those."""
    over = dims_of(x, dim)
    one = not any(x.dims(axis) for axis in over)  # then there is only that to be chosen
    names = chosen_names(c, x, over[0]) if not one and c.used[1] else None
    y = symmetric(c, x, over, keepdim, EXTREME)
    if one:
        return [y, Value(y.axes, zero=True)]
    return [y, replace(axes.without(y, (0, 1, 2)), names=names)]


def chosen_names(c: Constraints, x: Value, axis: int) -> Names | None:
    """Names of the places along an axis, some of which are chosen by the size of what is there.

    Args:
        c: takes the statements.
        x: of whose entries no two that are chosen from are equal.
        axis: of the value; it stays where its places move in other ways than one by one, and where
            numbers along it are equal, so that the first of those is chosen, unless these are zeros
            of which nobody sees which is.

    Returns:
        The names; None where the axis stays.
    """
    names, own = None, axis % len(x.axes) - len(x.axes)
    blind = x.level is not None and x.level.positive and c.zeros_vanish
    if x.level is not None and own not in x.level.apart and not blind:
        reason = f"{c.operator} chooses among numbers that `{x.level.by}` makes equal"
        held = [b.places[b.places >= 0].ravel() for b in x.bundles_on(x.dims(axis))]
        c.losses += [Loss(reason, places) for places in held if places.size]
    elif own in axes.varied(x):
        names = axes.names_along(c, x, axis)
    if names is None:
        axes.pin(c, x, [axis])
    else:
        places = names.places[names.places >= 0]
        c.chosen.append(Loss(f"{c.operator}, zeros aside," if blind else c.operator, places))
    return names


@rule("aten::quantile", "aten::nanquantile")
def quantile(
    c: Constraints, x: Value, q: Any, dim: Any = None, keepdim: bool = False, **_: Any
) -> Value:
    """Entries between two neighbours in the order, at every share that is asked for."""
    over = dims_of(x, dim)
    y = symmetric(c, x, over, keepdim, EXTREME)
    one = not any(x.dims(axis) for axis in over)  # then that is what it is at all shares
    if not isinstance(q, Value) or not q.axes:
        return y if one or not isinstance(q, Value) else pointwise(c, [y, q], SHARE)
    y = axes.insert_axis(y, 0)
    if one:
        return axes.uniform(y, 0, c.shape[0])
    return pointwise(c, [y, axes.reshape(c, q, [-1, *[1] * (len(y.axes) - 1)])], SHARE)


@rule("aten::dist")
def dist(c: Constraints, a: Value, b: Value, p: float = 2) -> Value:
    """A norm of a difference."""
    return norm_over(c, axes.add(c, (a, axes.scaled(c, b, -1))), None, power=p)


@rule("aten::linalg_vector_norm", "aten::norm")
def vector_norm(
    c: Constraints, x: Value, ord: Any = 2, dim: Any = None, keepdim: bool = False, **_: Any
) -> Value:
    """A norm over axes."""
    return norm_over(c, x, dim, keepdim, power=ord)


def norm_over(
    c: Constraints, x: Value, dim: Any, keepdim: bool = False, *, power: Any = 2
) -> Value:
    """A norm over axes: homogeneous, and of every entry the sign is forgotten."""
    if axes.is_open(power):
        return _of_entries(c, x, dim, keepdim, NONE)
    if power == 0:  # counts what is not zero
        return _of_entries(c, x, dim, keepdim, TRUTH)
    even = pointwise(c, [x], replace(HOMOGENEOUS, sign=((1, 0),)))
    return reduced(c, even, dims_of(x, dim), keepdim, total=True)


@rule("aten::histc", "aten::histogram")
def histogram(c: Constraints, x: Value, *given: Any, **named: Any) -> Any:
    """How many entries there are of every size, and where the bins end."""
    weight, others = named.get("weight"), (*given, *(named[k] for k in named if k != "weight"))
    beside = [value for value in others if isinstance(value, Value)]
    if x.names is not None:
        bins, low, high = (*given, *(named.get(k, 0) for k in ("bins", "min", "max")[len(given) :]))
        size = len(x.names.places)
        if c.name == "histc" and (bins, low, high) == (size, 0, size - 1):  # a bin for every one
            axes.zero(c, x)
            reduced(c, replace(x, names=None), dims_of(x, None))
            return replace(axes.named_axis(x.names, 1, 0), zero=False, counts=x.names.key)
        x = axes.unnamed(c, x)
    for edges in beside:  # where the bins end: in order
        axes.pin(c, edges)
    weighed = [x] if weight is None else [x, weight]
    count = reduced(c, pointwise(c, weighed, NONE), dims_of(x, None))
    found = [axes.with_fixed_axes(c, count, 0, shape) for shape in c.shapes]
    return found[0] if len(found) == 1 else found
