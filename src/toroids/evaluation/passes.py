"""Passes through a network: what the time of a training or of a measurement goes into."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Passes:
    """How often a network is run.

    Attributes:
        steps: passes with gradients over a mini-batch.
        batch_size: examples of a mini-batch.
        forward: passes without gradients over all training examples; parts of one count as such.
        limit: seconds after which they end in any case; None for none.
    """

    steps: int = 0
    batch_size: int = 0
    forward: float = 0.0
    limit: float | None = None
