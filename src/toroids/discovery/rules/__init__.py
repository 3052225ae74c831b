"""What every operator allows: one file per family of operators, one registry."""

from toroids.discovery.rules import (
    attention,
    elementwise,
    linear,
    normalization,
    pooling,
    recurrent,
    structure,
)
from toroids.discovery.rules.registry import RULES, rule

__all__ = [
    "RULES",
    "attention",
    "elementwise",
    "linear",
    "normalization",
    "pooling",
    "recurrent",
    "rule",
    "structure",
]
