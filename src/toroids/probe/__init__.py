"""What the hidden units of any discovered space compute on data."""

from toroids.probe.probe import Activations, Probe

__all__ = ["Activations", "Probe"]
