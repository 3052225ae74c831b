"""Numbers that name places along an axis which may move: an index into experts, into sorted rows.

Where places move, the numbers that name them move along: what is picked by them is the same. So an
axis is free although it is read by number, as long as nobody looks at the numbers themselves.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from toroids.discovery.axes.arithmetic import met
from toroids.discovery.axes.arrange import insert_axis, whole
from toroids.discovery.axes.constraints import CHANNELS, Constraints, Shuffle
from toroids.discovery.axes.meet import average_out, set_aside
from toroids.discovery.axes.values import Bundle, Names, Rows, Value, fixed, pin


def names_along(c: Constraints, value: Value, axis: int) -> Names | None:
    """Names of the places along an axis, as the largest entries along it have; None where it stays.

    Returns:
        The names; the numbers 0, 1, ... stand for them.
    """
    value, dim = whole(c, value, axis)
    bundles = [bundle for bundle in value.bundles_on([dim]) if not bundle.fixed]
    if len(bundles) != 1 or len(bundles[0].dims) > 1:
        return None
    return Names(bundles[0].places)


def named(c: Constraints, value: Value, axis: int, names: Names) -> Value:
    """States that numbers name the places along an axis; they stay if that has other places."""
    if value.shape[axis] != len(names.places):
        pin(c, value, [axis])
        c.same(names.places, fixed(len(names.places))[0])
        return value
    value, dim = whole(c, value, axis)
    for bundle in value.bundles_on([dim]):
        if len(bundle.dims) == 1:
            c.same(bundle.places, names.places)
        else:
            shape = [-1 if d == dim else 1 for d in bundle.dims]
            c.under(bundle.places, names.places.reshape(shape))
    return value


def picked(c: Constraints, value: Value, axis: int, index: Value) -> Value:
    """What is left of an axis, dropped, at whose positions an operator looks by number.

    Args:
        c: takes the statements.
        value: of which entries are picked.
        axis: by whose positions.
        index: the numbers; those that name places leave them free.

    Returns:
        The value without the axis.
    """
    if index.names is None:
        return set_aside(c, value, [axis])
    value, dim = whole(c, named(c, value, axis, index.names), axis)
    bundles = [_of_any(c, b, dim, index.names) if len(b.dims) > 1 else b for b in value.bundles]
    return average_out(c, replace(value, bundles=tuple(bundles)), axis)


def _of_any(c: Constraints, bundle: Bundle, dim: int, names: Names) -> Bundle:
    """What indexes the rest of a bundle, whichever of its units an entry has chosen."""
    if dim not in bundle.dims:
        return bundle
    family = np.moveaxis(bundle.ids, 1 + bundle.dims.index(dim), 1)
    return Bundle(tuple(d for d in bundle.dims if d != dim), c.template(family, names.rows))


def chosen_rows(value: Value, index: Value, at: int) -> Value:
    """Notes that entries along the axes of an index have chosen a unit each.

    Args:
        value: has the axes of the index.
        index: what chose.
        at: where they begin.

    Returns:
        The value.
    """
    if index.names is None:
        return value
    own = tuple(at + axis for axis, size in enumerate(index.shape) if size > 1)
    return replace(value, rows=(*value.rows, Rows(id(index.names.rows), own)))


def named_axis(names: Names, rank: int, axis: int) -> Value:
    """A zero of a rank that has the named places along one axis."""
    size = len(names.places)
    if size == 1:
        return Value(((),) * rank, zero=True)
    ids = np.concatenate([names.places[None], np.zeros((len(CHANNELS), size), np.int64)])
    axes = tuple((size,) if i == axis % rank else () for i in range(rank))
    return Value(axes, (Bundle((0,), ids),), zero=True)


def indexed(c: Constraints, value: Value, numbers: Sequence[Value], at: int = 0) -> Value:
    """A value that numbers pick, broadcast: their axes index it, too.

    Args:
        c: takes the statements.
        value: what acts on it passes.
        numbers: on which nothing acts but permutations.
        at: the axis of the value where those of the numbers begin.

    Returns:
        The result.
    """
    rank = len(value.axes)
    others = []
    for other in numbers:
        while len(other.axes) < rank - at:
            other = insert_axis(other, len(other.axes))
        others.append(replace(other, tensor=None, names=None))
    passes = [(1, *(0 for _ in others), 1)]
    found = met(c, [value, *others], (passes, passes, passes))
    return replace(found, name=None, zero=value.zero)


def sorted_by_name(c: Constraints, value: Value, names: Names) -> tuple[Value, Value]:
    """A vector of names in the order of the places that they name, and where the entries were.

    Another order of those places puts the entries in another order, which differs from input to
    input. So the entries get places of their own, along which nobody may mind the order.

    Returns:
        The names, and the order.
    """
    size = value.shape[0]
    pin(c, replace(value, names=None))
    ids = c.fresh((size,))
    ids[1:] = 0
    rows = object()
    c.shuffles.append(Shuffle(ids[0], names.places, names.key, rows, c.operator))
    own = Value(((size,),), (Bundle((0,), ids),))
    order = Names(fixed(size)[0], kind="order")
    return replace(own, names=replace(names, kind="index", rows=rows)), replace(own, names=order)


def inverted(c: Constraints, order: Value, names: Names) -> Value:
    """Of numbers that name every place once, where the names of 0, 1, ... are."""
    own = names_along(c, order, 0) or Names(fixed(order.shape[0])[0])
    return replace(named_axis(names, 1, 0), zero=False, names=replace(own, kind="order"))
