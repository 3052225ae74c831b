"""Symmetries of a network as plain data, and how they act on its parameters."""

from toroids.symmetry.condition import Condition
from toroids.symmetry.element import Element, SpaceElement
from toroids.symmetry.fully_connected import fully_connected_group
from toroids.symmetry.group import SymmetryGroup
from toroids.symmetry.space import Absorbed, Generator, Leg, Norm, Output, Space, WeightNorm

__all__ = [
    "Absorbed",
    "Condition",
    "Element",
    "Generator",
    "Leg",
    "Norm",
    "Output",
    "Space",
    "SpaceElement",
    "SymmetryGroup",
    "WeightNorm",
    "fully_connected_group",
]
