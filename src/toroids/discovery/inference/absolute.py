"""Absolute values that are written as choices.

max(h, -h), where(h > 0, h, -h) and relu(h) + relu(-h) are |h|, of which nobody sees the sign; with
min, or with the other order, -|h|. Taken operator by operator they would forbid all signs.
"""

from typing import Any

from torch import fx

from toroids.discovery.inference.levels import source_of
from toroids.discovery.tracing.operators import short_name

LARGER = ("maximum", "minimum", "fmax", "fmin", "max", "min")
BESIDE_ZERO = ("gt", "ge", "lt", "le", "greater", "greater_equal", "less", "less_equal")


def size_of(node: fx.Node) -> fx.Node | None:
    """The value of which an operator gives nothing but the absolute value, perhaps negative.

    Args:
        node: an operator.

    Returns:
        The value, None where the operator gives something else.
    """
    name = short_name(node).removesuffix("_")
    given = node.args
    if name in LARGER and len(given) == 2:
        return _opposite(given[0], given[1])
    if name == "where" and len(given) == 3:
        found = _opposite(given[1], given[2])
        return found if found is not None and _beside_zero(given[0]) is found else None
    if name == "add" and len(given) == 2 and not node.kwargs:
        parts = [_rectified(x) for x in given]
        return None if None in parts else _opposite(*parts)
    return None


def is_part(node: fx.Node) -> bool:
    """Whether a comparison, or a ReLU, is read by nothing but choices that give a size."""
    if not node.users or (_beside_zero(node) is None and _rectified(node) is None):
        return False
    return all(size_of(user) is not None for user in node.users)


def _opposite(a: Any, b: Any) -> fx.Node | None:
    """What two values are, one of them with the other sign."""
    (one, positive), (other, same) = source_of(a), source_of(b)
    return one if isinstance(one, fx.Node) and one is other and positive != same else None


def _beside_zero(x: Any) -> fx.Node | None:
    """What a condition compares with zero."""
    if not isinstance(x, fx.Node) or x.op != "call_function" or short_name(x) not in BESIDE_ZERO:
        return None
    value, bound = x.args[:2]
    found = source_of(value)[0]
    zero = isinstance(bound, int | float) and bound == 0
    return found if zero and isinstance(found, fx.Node) else None


def _rectified(x: Any) -> fx.Node | None:
    """What a ReLU reads."""
    is_relu = isinstance(x, fx.Node) and x.op == "call_function" and short_name(x) == "relu"
    return x.args[0] if is_relu else None
