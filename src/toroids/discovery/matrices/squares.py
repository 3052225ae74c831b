"""Norms without gains, which read the length of what they are given, and divide by it.

Two features that turn together have the same length for every phase, though not for every scale.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import fx

from toroids.discovery.matrices.linear_values import Later, Walk
from toroids.discovery.matrices.maps import TOKENS, Map, Squares
from toroids.discovery.matrices.meeting import meet_itself


def power(walk: Walk, node: fx.Node, args: Sequence[Any], kwargs: dict[str, Any]) -> Squares | None:
    """The second power of a map."""
    value = walk.as_map(args[0])
    return Squares(value) if value is not None and args[1:] in ((2,), ()) else None


def total(walk: Walk, node: fx.Node, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """A sum, or a mean, of squares along one axis."""
    axes = args[1] if len(args) > 1 else kwargs.get("dim")
    if not isinstance(args[0], Squares) or not isinstance(axes, list | tuple) or len(axes) != 1:
        return None
    return meet_itself(walk, args[0].of, axes[0])


def length(walk: Walk, node: fx.Node, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """The Euclidean norm along one axis."""
    order, axes = (*args[1:3], None, None)[:2]
    value = walk.as_map(args[0])
    if value is None or order not in (None, 2) or not isinstance(axes, list | tuple):
        return None
    return meet_itself(walk, value, axes[0]) if len(axes) == 1 else None


def normalized(walk: Walk, node: fx.Node, value: Any, axes: Sequence[int]) -> Any:
    """A map divided by its length along the last axis."""
    found = walk.as_map(value)
    if found is None or len(axes) != 1 or meet_itself(walk, found, -1) is None:
        return None
    return stretched(walk, node, found, (*found.shape[:-1], 1))


def stretched(walk: Walk, node: fx.Node, value: Any, by: Sequence[int]) -> Map | Later | None:
    """A map times a number that nothing is known of but where it is the same.

    Args:
        walk: the walk.
        node: the operator.
        value: what is multiplied.
        by: the shape of the other factor.

    Returns:
        The product, whose entries are of the same use where they were so before, and where the
        factor is one number; None of what is no map.
    """
    shape = walk.shape(node)

    def make(found: Map) -> Map:
        number = torch.arange(math.prod(by)).view(tuple(by)).expand(shape)
        ids = torch.stack([term.expand(shape) for term, _ in found.terms])
        keys = (ids & ((1 << TOKENS) - 1)) * math.prod(by) + number
        both, use = torch.unique(keys, return_inverse=True)
        used = ((ids >> TOKENS) << TOKENS) + use + walk.tokens(len(both))
        terms = [(i, c.expand(shape)) for i, (_, c) in zip(used, found.terms, strict=True)]
        return Map(tuple(terms), found.buffers)

    if isinstance(value, Later):
        return Later(value.holders, lambda: make(value.make()))
    return make(value) if isinstance(value, Map) else None


RULES = {
    "pow": power, "square": power, "mean": total, "sum": total, "linalg_vector_norm": length,
}  # fmt: skip
