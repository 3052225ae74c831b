"""Committee machines: hidden units that vote with equal weights."""

import math
from collections import OrderedDict

import torch
from torch import nn

from toroids.arguments.checked import checked
from toroids.errors import ToroidsError
from toroids.models.activation import ACTIVATIONS, Activation, check_activation
from toroids.models.architecture import architecture
from toroids.models.arguments import check_counts
from toroids.models.initialise import seeded
from toroids.settings import Count


class Vote(nn.Module):
    """Logits (-s, s) of two classes, s the sum of all votes above a threshold."""

    def __init__(self, threshold: bool) -> None:
        """Starts with a threshold of zero, or without one."""
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(1)) if threshold else None

    def forward(self, votes: torch.Tensor) -> torch.Tensor:
        """Maps votes (n, hidden) to logits (n, 2)."""
        total = votes.sum(-1)
        if self.bias is not None:
            total = total + self.bias
        return torch.stack([-total, total], -1)


def check_tree(inputs: int, hidden: int) -> None:
    """Refuses inputs that do not divide among the units of a tree."""
    if inputs % hidden:
        raise ToroidsError(
            f"{inputs} inputs do not divide among the {hidden} units of a tree; "
            f"pass a multiple of {hidden}."
        )


def _fits(shape: tuple[int, ...], classes: int, hidden: int, tree: bool) -> None:
    if classes != 2:
        raise ToroidsError(f"it has 2 classes but the data have {classes}; choose other data.")
    if tree:
        check_tree(math.prod(shape), hidden)


@architecture(fits=_fits)
@checked
def committee(
    inputs: int,
    hidden: Count,
    activation: Activation = "relu",
    tree: bool = False,
    bias: bool = True,
    seed: int = 0,
) -> nn.Sequential:
    """Builds a committee machine: one hidden layer whose units vote with fixed weights of one.

    The logits are (-s, s), s = sum_k f(w_k x + b_k) + b: the sign of s decides between the
    classes 0 and 1, and their cross-entropy is log(1 + exp(-2 s y)), y = -1 or 1. Units may be
    permuted; as their votes are fixed, none can be rescaled. In the tree every unit sees its own
    inputs, which do not move, so that nothing is left to permute.

    Args:
        inputs: entries of an input; in a tree a multiple of `hidden`.
        hidden: units of the committee.
        activation: as in `fully_connected`. Votes of "relu" are never negative: without a bias
            such a committee always answers class 1.
        tree: whether unit k sees only inputs k B ... k B + B - 1, B = inputs / hidden.
        bias: whether the units have biases and the sum has a threshold.
        seed: of the initialisation, PyTorch's own; the threshold starts at zero. The global
            random state is not changed.

    Returns:
        A network from inputs (n, ...) to logits (n, 2). The layer `hidden` has weights
        (hidden, inputs), in a tree (hidden, 1, inputs / hidden); `vote` has the threshold.

    Raises:
        ToroidsError: a number below 1, an unknown activation, a tree whose inputs are no multiple
            of its units.

    Example:
        >>> import toroids as td
        >>> model = td.models.committee(6, 3, "tanh", tree=True)
        >>> [(name, tuple(p.shape)) for name, p in model.named_parameters()]
        [('hidden.weight', (3, 1, 2)), ('hidden.bias', (3,)), ('vote.bias', (1,))]

    Reference:
        C. Baldassi, E. M. Malatesta, R. Zecchina, 2019, Properties of the geometry of solutions
        and capacity of multi-layer neural networks with rectified linear units activations,
        arXiv:1907.07578.
    """
    check_counts(inputs=inputs, hidden=hidden)
    check_activation(activation)
    layers: dict[str, nn.Module] = {"flatten": nn.Flatten()}
    with seeded(seed):
        if not tree:
            layers["hidden"] = nn.Linear(inputs, hidden, bias=bias)
        else:
            check_tree(inputs, hidden)
            block = inputs // hidden
            layers["blocks"] = nn.Unflatten(1, (hidden, block))
            layers["hidden"] = nn.Conv1d(hidden, hidden, block, groups=hidden, bias=bias)
            layers["join"] = nn.Flatten()
        layers[activation] = ACTIVATIONS[activation]()
        layers["vote"] = Vote(threshold=bias)
    return nn.Sequential(OrderedDict(layers))
