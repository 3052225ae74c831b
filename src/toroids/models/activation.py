"""Activations by name."""

from collections.abc import Callable
from typing import Annotated, TypeAlias

from torch import nn

from toroids.models.arguments import check_choice
from toroids.settings import OneOf

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "identity": nn.Identity,
    "leaky_relu": nn.LeakyReLU,
    "relu": nn.ReLU,
    "sigmoid": nn.Sigmoid,
    "silu": nn.SiLU,
    "softplus": nn.Softplus,
    "tanh": nn.Tanh,
}


Activation: TypeAlias = Annotated[str, OneOf(tuple(ACTIVATIONS))]


def check_activation(name: str) -> None:
    """Refuses an unknown activation, and lists those that exist."""
    check_choice("activation", name, ACTIVATIONS)
