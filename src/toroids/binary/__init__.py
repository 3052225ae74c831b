"""Layers with weights of -1 and +1 and the sign as activation; see the modules."""

from toroids.binary.layers import BinaryConv2d, BinaryLinear, Sign

__all__ = [
    "BinaryConv2d",
    "BinaryLinear",
    "Sign",
]
