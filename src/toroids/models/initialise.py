"""Initialisation by a seed that leaves the caller's random state alone."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from toroids.models.arguments import check_seed


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Inside, modules are made on the CPU and initialised by `seed` alone."""
    check_seed(seed)
    # Only the CPU's generator is seeded: torch.manual_seed would seed those of GPUs as well.
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        torch.default_generator.manual_seed(seed)
        yield


def he_normal_(model: nn.Module) -> None:
    """Draws weights that keep the size of activations through ReLU layers; biases become zero.

    Weights of convolutions and linear layers are normal with variance 2 / fan-in.

    Reference:
        K. He, X. Zhang, S. Ren, J. Sun, 2015, Delving deep into rectifiers, arXiv:1502.01852.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
