"""Functions that put the entries of an axis in order, or go along it."""

from dataclasses import replace
from typing import Any

from toroids.discovery import axes
from toroids.discovery.axes import Value
from toroids.discovery.constraints import Constraints
from toroids.discovery.rules.pointwise import NONE, as_value, pointwise
from toroids.discovery.rules.reductions import EXTREME, LOGARITHM
from toroids.discovery.rules.registry import rule


@rule("aten::topk", "aten::sort", "aten::msort", "aten::argsort")
def sort(c: Constraints, x: Value, *given: Any, **named: Any) -> Any:
    """Entries by size, and where they were: places stay where anybody reads those."""
    first = 0 if c.name == "msort" else named.get("dim", -1)
    numbers = [n for n in given if isinstance(n, int) and not isinstance(n, bool)]
    dims = numbers[1:] if c.name == "topk" else numbers
    return _sorted(c, x, dims[0] if dims else first, places=c.name == "argsort")


def _sorted(c: Constraints, x: Value, dim: int, places: bool) -> Any:
    if not x.axes:
        return [x, axes.without(x, (0, 1, 2))][: len(c.shapes)]
    axes.unmixed(c, x)
    if places or (len(c.shapes) > 1 and c.used[1]):
        axes.pin(c, x, [dim])
    size = c.shape[dim]
    y = pointwise(c, [axes.average_out(c, x, dim)], EXTREME)
    y = axes.with_fixed_axes(c, y, dim % len(x.axes), [size])
    where = axes.without(y, (0, 1, 2))
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
    y = axes.in_order(c, x, dim, x.shape[dim])
    if c.name == "cumsum":  # linear
        axes.zero(c, y, channels=(axes.SHIFT,))
        return replace(axes.without(y, (axes.SHIFT,)), name=None)
    axes.unmixed(c, x)
    y = pointwise(c, [y], SCANS[c.name])
    return y if len(c.shapes) == 1 else [y, axes.without(y, (0, 1, 2))]


@rule("aten::bucketize")
def bucketize(c: Constraints, x: Any, boundaries: Value, *_: Any, **__: Any) -> Value:
    """How many boundaries lie below every entry: their order counts."""
    axes.pin(c, boundaries)
    return pointwise(c, [as_value(x)], NONE)


@rule("aten::searchsorted")
def searchsorted(c: Constraints, boundaries: Value, x: Any, *_: Any, **named: Any) -> Any:
    """As `bucketize`, with boundaries for every row."""
    if isinstance(named.get("sorter"), Value):
        return NotImplemented
    row = axes.set_aside(c, boundaries, [-1])
    rows = axes.insert_axis(row, len(row.axes)) if row.axes else row
    return pointwise(c, [as_value(x), rows], NONE)
