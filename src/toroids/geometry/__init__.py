"""The toroid as a manifold, and paths on it."""

from toroids.geometry.bit_path import BitPath
from toroids.geometry.hypercube import Hypercube
from toroids.geometry.paths import Geodesic, Line, Path, Polyline
from toroids.geometry.toroid import Toroid

__all__ = [
    "BitPath",
    "Geodesic",
    "Hypercube",
    "Line",
    "Path",
    "Polyline",
    "Toroid",
]
