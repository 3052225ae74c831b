"""What every operator allows: one file per family of operators, one registry."""

from toroids.discovery.rules import (
    algebra,
    attention,
    elementwise,
    entries,
    indexing,
    linear,
    normalization,
    order,
    pointwise,
    pooling,
    recurrent,
    reductions,
    structure,
)
from toroids.discovery.rules.registry import RULES, rule

__all__ = [
    "RULES",
    "algebra",
    "attention",
    "elementwise",
    "entries",
    "indexing",
    "linear",
    "normalization",
    "order",
    "pointwise",
    "pooling",
    "recurrent",
    "reductions",
    "rule",
    "structure",
]
