"""Densely connected networks for small images."""

import torch
from torch import nn

from toroids.arguments.checked import checked
from toroids.models.architecture import Small, architecture, at_least
from toroids.models.arguments import check_counts
from toroids.models.initialise import he_normal_, seeded


class Dense(nn.Module):
    """Appends `growth` channels, a function of all that are there, to an image's channels."""

    def __init__(self, channels: int, growth: int) -> None:
        """Norm, ReLU and a convolution, which has no bias."""
        super().__init__()
        self.norm = nn.BatchNorm2d(channels)
        self.conv = nn.Conv2d(channels, growth, 3, padding=1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps (n, channels, h, w) to (n, channels + growth, h, w)."""
        return torch.cat([x, self.conv(torch.relu(self.norm(x)))], 1)


@architecture(takes="images", fits=at_least(4))
@checked
def densenet40(
    classes: int = 10, channels: int = 3, growth: Small = 12, stem: Small = 16, seed: int = 0
) -> nn.Sequential:
    """Builds the densely connected network of 40 layers for images of 32 x 32 pixels.

    Three blocks of twelve layers, each of which reads the channels of all before it and appends
    `growth` of its own; between blocks a convolution of 1 x 1 keeps the number of channels and
    the image is halved. There are no bottlenecks and no compression.

    Args:
        classes: outputs.
        channels: of an image.
        growth: channels that each layer appends.
        stem: channels of the first convolution.
        seed: of the initialisation (He); the global random state is not changed.

    Returns:
        A network from images (n, channels, height, width) to logits (n, classes): `stem`,
        `block1`, `transition1`, ..., `block3`, `head`.

    Raises:
        ToroidsError: a number below 1.

    Example:
        >>> import torch, toroids as td
        >>> td.models.densenet40(growth=2, stem=4)(torch.zeros(2, 3, 8, 8)).shape
        torch.Size([2, 10])

    Reference:
        G. Huang, Z. Liu, L. van der Maaten, K. Q. Weinberger, 2016, Densely connected
        convolutional networks, arXiv:1608.06993.
    """
    check_counts(classes=classes, channels=channels, growth=growth, stem=stem)
    model, width = nn.Sequential(), stem
    with seeded(seed):
        model.add_module("stem", nn.Conv2d(channels, stem, 3, padding=1, bias=False))
        for block in (1, 2, 3):
            layers = [Dense(width + growth * layer, growth) for layer in range(12)]
            width += 12 * growth
            model.add_module(f"block{block}", nn.Sequential(*layers))
            norm = (nn.BatchNorm2d(width), nn.ReLU())
            if block < 3:
                mix = nn.Conv2d(width, width, 1, bias=False)
                transition = nn.Sequential(*norm, mix, nn.AvgPool2d(2))
                model.add_module(f"transition{block}", transition)
        head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, classes))
        model.add_module("head", nn.Sequential(*norm, *head))
        he_normal_(model)
    return model
