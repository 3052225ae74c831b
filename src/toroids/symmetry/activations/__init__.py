"""What the hidden units of any discovered space compute on data."""

from toroids.symmetry.activations.probe import Activations, Probe

__all__ = ["Activations", "Probe"]
