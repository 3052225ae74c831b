"""Networks to study, each initialised by a seed that leaves the global random state alone."""

from toroids.models.binary import (
    binary_committee,
    binary_convolutional,
    binary_fully_connected,
    binary_perceptron,
)
from toroids.models.committee import committee
from toroids.models.decoder import decoder
from toroids.models.densenet import densenet40
from toroids.models.fully_connected import fully_connected
from toroids.models.gpt import gpt
from toroids.models.lenet import lenet
from toroids.models.mlp_mixer import mlp_mixer
from toroids.models.perceptron import spherical_perceptron
from toroids.models.resnet import resnet18, resnet20
from toroids.models.vgg import vgg
from toroids.models.vit import vit

__all__ = [
    "binary_committee",
    "binary_convolutional",
    "binary_fully_connected",
    "binary_perceptron",
    "committee",
    "decoder",
    "densenet40",
    "fully_connected",
    "gpt",
    "lenet",
    "mlp_mixer",
    "resnet18",
    "resnet20",
    "spherical_perceptron",
    "vgg",
    "vit",
]
