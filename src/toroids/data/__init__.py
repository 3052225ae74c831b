"""Data sets as tensors, split by a seed."""

from toroids.data.dataset import Dataset
from toroids.data.digits import digits
from toroids.data.glyphs import glyphs

__all__ = ["Dataset", "digits", "glyphs"]
