"""The spherical perceptron, with a margin that may be negative."""

import math
from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional

from toroids.arguments.checked import checked
from toroids.errors import ToroidsError
from toroids.models.arguments import check_counts
from toroids.models.committee import Vote
from toroids.models.initialise import seeded


class Stability(nn.Module):
    """How far inputs are on the right side of a plane: w x / |w| - margin."""

    def __init__(self, inputs: int, margin: float) -> None:
        """Starts with normal weights."""
        super().__init__()
        self.weight = nn.Parameter(torch.randn(1, inputs))
        self.margin = float(margin)

    def forward(self, x: Tensor) -> Tensor:
        """Maps x (n, inputs) to stabilities (n, 1)."""
        return functional.linear(x, functional.normalize(self.weight, dim=1)) - self.margin

    def extra_repr(self) -> str:
        """The settings, as `print(model)` shows them."""
        return f"{self.weight.shape[1]}, margin={self.margin:g}"


@checked
def spherical_perceptron(inputs: int, margin: float = 0.0, seed: int = 0) -> nn.Sequential:
    """Builds a perceptron whose weights are a point on a sphere: only their direction counts.

    The logits are (-s, s), s = w x / |w| - margin. With a margin the two classes are not alike:
    multiply every pattern by its label, -1 or +1, and call all of them class 1. A negative margin
    makes the space of solutions non-convex.

    Args:
        inputs: entries of an input.
        margin: what w x / |w| must exceed, in units of one entry of x.
        seed: of the weights; the global random state is not changed.

    Returns:
        A network from inputs (n, ...) to logits (n, 2) with a single parameter, `hidden.weight`,
        of shape (1, inputs).

    Raises:
        ToroidsError: a number below 1, or a margin that is not finite.

    Example:
        >>> import torch, toroids as td
        >>> model = td.models.spherical_perceptron(5, margin=-0.5)
        >>> model(torch.zeros(1, 5))[0, 1].item()
        0.5

    Reference:
        B. Annesi, C. Lauditi, C. Lucibello, E. Malatesta, G. Perugini, F. Pittorino, L. Saglietti,
        The star-shaped space of solutions of the spherical negative perceptron, 2023, arXiv
        2305.10623.
    """
    check_counts(inputs=inputs)
    if not math.isfinite(margin):
        raise ToroidsError(f"the margin is {margin}; pass a finite number.")
    with seeded(seed):
        layers: dict[str, nn.Module] = {
            "flatten": nn.Flatten(),
            "hidden": Stability(inputs, margin),
            "vote": Vote(threshold=False),
        }
    return nn.Sequential(OrderedDict(layers))
