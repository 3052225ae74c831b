"""Functions that put the entries of an axis in order, or go along it."""

from dataclasses import replace
from typing import Any

import numpy as np

from toroids.discovery import axes
from toroids.discovery.axes import Names, Value
from toroids.discovery.axes.constraints import Constraints
from toroids.discovery.rules.pointwise import NONE, as_value, pointwise
from toroids.discovery.rules.reductions import EXTREME, LOGARITHM, chosen_names
from toroids.discovery.rules.registry import rule


@rule("aten::topk", "aten::sort", "aten::msort", "aten::argsort")
def sort(c: Constraints, x: Value, *given: Any, **named: Any) -> Any:
    """Entries by size, and where they were: places stay where anybody reads those."""
    first = 0 if c.name == "msort" else named.get("dim", -1)
    numbers = [n for n in given if isinstance(n, int) and not isinstance(n, bool)]
    dims = numbers[1:] if c.name == "topk" else numbers
    if x.names is not None:
        falls = named.get("descending", any(n is True for n in given)) or c.name == "topk"
        if len(x.axes) == 1 and not falls and x.names.kind in ("index", "order"):
            return _by_name(c, x, x.names)
        x = axes.unnamed(c, x)
    return _sorted(c, x, dims[0] if dims else first, places=c.name == "argsort")


def _by_name(c: Constraints, x: Value, names: Names) -> Any:
    """Entries in the order of the places that they name."""
    if names.kind == "order":
        where = axes.inverted(c, x, names)
        y = axes.inverted(c, where, where.names or names)  # they count up
    else:
        y, where = axes.sorted_by_name(c, x, names)
    return where if c.name == "argsort" else y if len(c.shapes) == 1 else [y, where]


def _sorted(c: Constraints, x: Value, dim: int, places: bool) -> Any:
    if not x.axes:
        return [x, axes.without(x, (0, 1, 2))][: len(c.shapes)]
    axes.unmixed(c, x)
    asked = places or (len(c.shapes) > 1 and c.used[1])
    names = chosen_names(c, x, dim) if asked else None
    size = c.shape[dim]
    for loose in x.loose:  # a shift of all leaves the order as it is
        axes.unseen(c, loose, dim % len(x.axes))
    y = pointwise(c, [axes.average_out(c, replace(x, loose=()), dim)], EXTREME)
    y = axes.with_fixed_axes(c, y, dim % len(x.axes), [size])
    where = replace(axes.without(y, (0, 1, 2)), names=names)
    y = replace(y, loose=x.loose)
    return where if places else y if len(c.shapes) == 1 else [y, where]


# What of the factors of all entries passes to every partial result.
SCANS = {
    "cumprod": NONE,
    "logcumsumexp": LOGARITHM,
    "cummax": EXTREME,
    "cummin": EXTREME,
}


@rule("aten::cumsum", *(f"aten::{name}" for name in SCANS))
def scan(c: Constraints, x: Value, dim: int, *_: Any, **__: Any) -> Any:
    """Partial results along an axis, which stays in place; entries across it move together."""
    if not x.axes:
        return x if len(c.shapes) == 1 else [x, axes.without(x, (0, 1, 2))]
    if c.name == "cumsum" and x.counts is not None:
        return _ends(c, x)
    y = axes.in_order(c, x, dim, x.shape[dim])
    if c.name == "cumsum":  # linear
        axes.zero(c, y, channels=(axes.SHIFT,))
        return replace(axes.without(y, (axes.SHIFT,)), name=None)
    axes.unmixed(c, x)
    y = pointwise(c, [y], SCANS[c.name])
    return y if len(c.shapes) == 1 else [y, axes.without(y, (0, 1, 2))]


def _ends(c: Constraints, counts: Value) -> Value:
    """Where the entries that name every place end, once they are sorted."""
    names = axes.names_along(c, counts, 0)
    names = None if names is None else replace(names, key=counts.counts, kind="ends")
    return replace(axes.fixed_value(c.shape), names=names)


@rule("aten::trapezoid", "aten::trapz", "aten::cumulative_trapezoid")
def trapezoid(c: Constraints, y: Value, x: Any = None, *, dx: float = 1, dim: int = -1) -> Any:
    """A linear map along an axis, at whose steps all entries but the ends count alike."""
    if x is not None or axes.is_open(dx):
        return NotImplemented
    size, total = y.shape[dim], c.name != "cumulative_trapezoid"
    steps = np.eye(size - 1, size) + np.eye(size - 1, size, 1)
    table = steps.sum(axis=0, keepdims=True) if total else steps.cumsum(axis=0)
    axes.zero(c, y, channels=(axes.SHIFT,))
    found = axes.through(c, axes.without(y, (axes.SHIFT,)), dim, table)
    return replace(axes.drop_axis(c, found, dim) if total else found, name=None)


@rule("aten::bucketize")
def bucketize(c: Constraints, x: Any, boundaries: Value, *_: Any, **__: Any) -> Value:
    """How many boundaries lie below every entry: their order counts."""
    axes.pin(c, boundaries)
    return pointwise(c, [as_value(x)], NONE)


@rule("aten::searchsorted")
def searchsorted(c: Constraints, boundaries: Value, x: Any, *_: Any, **named: Any) -> Any:
    """As `bucketize`, with boundaries for every row."""
    sorter = named.get("sorter")  # numbers of places of the boundaries
    rows = [axes.set_aside(c, v, [-1]) for v in (boundaries, sorter) if isinstance(v, Value)]
    rows = [axes.insert_axis(row, len(row.axes)) if row.axes else row for row in rows]
    return pointwise(c, [as_value(x), *rows], NONE)
