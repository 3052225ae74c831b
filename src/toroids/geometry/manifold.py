"""The manifold on which the canonical networks of an architecture are."""

from toroids.geometry.hypercube import Hypercube
from toroids.geometry.toroid import Toroid
from toroids.symmetry.group import SymmetryGroup


def manifold_of(group: SymmetryGroup) -> Toroid | Hypercube:
    """Makes the hypercube of networks with binary weights, or the toroid of real ones.

    Args:
        group: of the architecture.

    Returns:
        The manifold, on which `check`, `distance`, `distances`, `measures` and `geodesic` mean the
        same.
    """
    return Hypercube(group) if group.binary else Toroid(group)
