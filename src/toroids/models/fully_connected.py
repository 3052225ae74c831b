"""Fully connected networks of any depth."""

import math
from collections import OrderedDict
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn

from toroids.arguments.checked import checked
from toroids.models.activation import ACTIVATIONS, Activation, check_activation
from toroids.models.architecture import Widths, architecture
from toroids.models.arguments import check_seed, check_widths


@checked
def fully_connected(
    widths: Sequence[int], bias: bool = True, seed: int = 0, activation: str = "relu"
) -> nn.Sequential:
    """Builds a fully connected network, initialised by `seed` alone.

    Weights and biases are uniform in +-1 / sqrt(fan-in), PyTorch's own initialisation; the global
    random state is neither read nor changed.

    Args:
        widths: inputs, hidden layers, classes; at least two positive numbers.
        bias: whether every layer has a bias.
        seed: of the initialisation.
        activation: "relu", "tanh", "gelu", "silu", "elu", "leaky_relu", "sigmoid", "softplus" or
            "identity". `fully_connected_group` writes the group of "relu", "leaky_relu" and
            "identity" networks; use `discover` for the others.

    Returns:
        Linear layers `hidden1`, `hidden2`, ..., `output` with activations `relu1`, `relu2`, ...
        (or `tanh1`, ...) between them; inputs of shape (n, ...) are flattened first.

    Raises:
        ToroidsError: fewer than two widths, or one below 1; an unknown activation.

    Example:
        >>> import toroids as td
        >>> [tuple(p.shape) for p in td.models.fully_connected([64, 32, 10]).parameters()]
        [(32, 64), (32,), (10, 32), (10,)]
    """
    check_widths(widths)
    check_seed(seed)
    check_activation(activation)
    generator = torch.Generator().manual_seed(seed)
    layers: dict[str, nn.Module] = {"flatten": nn.Flatten()}
    for depth, (inputs, outputs) in enumerate(pairwise(widths), start=1):
        # On "meta" the constructor's own initialisation draws nothing from the global random state.
        linear = nn.Linear(inputs, outputs, bias=bias, device="meta").to_empty(device="cpu")
        for parameter in linear.parameters():
            nn.init.uniform_(
                parameter, -1 / math.sqrt(inputs), 1 / math.sqrt(inputs), generator=generator
            )
        if depth == len(widths) - 1:
            layers["output"] = linear
        else:
            layers |= {
                f"hidden{depth}": linear,
                f"{activation}{depth}": ACTIVATIONS[activation](),
            }
    return nn.Sequential(OrderedDict(layers))


@architecture("fully_connected")
def _on_data(
    inputs: int,
    classes: int,
    hidden: Widths = (128, 128),
    bias: bool = True,
    activation: Activation = "relu",
    seed: int = 0,
) -> nn.Sequential:
    """Settings of `models.fully_connected`: `hidden` widths, biases or not, the activation."""
    return fully_connected((inputs, *hidden, classes), bias, seed, activation)
