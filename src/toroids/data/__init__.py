"""Data sets as tensors, split by a seed."""

from toroids.data.augment import augment
from toroids.data.dataset import Dataset
from toroids.data.digits import digits
from toroids.data.find import find
from toroids.data.folder import folder
from toroids.data.glyphs import glyphs
from toroids.data.hub import hub
from toroids.data.patterns import patterns
from toroids.data.teacher import teacher, teacher_labels, teacher_weights
from toroids.data.text import Text, text

__all__ = [
    "Dataset",
    "Text",
    "augment",
    "digits",
    "find",
    "folder",
    "glyphs",
    "hub",
    "patterns",
    "teacher",
    "teacher_labels",
    "teacher_weights",
    "text",
]
