"""VGG networks for small images."""

from typing import Literal

from torch import nn

from toroids.arguments.checked import checked
from toroids.models.architecture import Width, architecture, at_least
from toroids.models.arguments import check_choice, check_counts, widened
from toroids.models.initialise import he_normal_, seeded

# depth: convolutions in each of the five stages, between which the image is halved
STAGES = {11: (1, 1, 2, 2, 2), 16: (2, 2, 3, 3, 3)}
UNITS = (64, 128, 256, 512, 512)


@architecture(takes="images", fits=at_least(32))
@checked
def vgg(
    depth: Literal[11, 16] = 16,
    classes: int = 10,
    channels: int = 3,
    width: Width = 1.0,
    batch_norm: bool = True,
    seed: int = 0,
) -> nn.Sequential:
    """Builds a VGG network for images of 32 x 32 pixels.

    The convolutions are those of the paper; as is usual for small images, the two hidden linear
    layers have 512 units instead of 4096. Larger images are averaged to one pixel at the end.

    Args:
        depth: layers with weights, 11 or 16.
        classes: outputs.
        channels: of an image.
        width: factor on all numbers of channels and hidden units.
        batch_norm: whether a batch norm follows each convolution, which then has no bias.
        seed: of the initialisation (He); the global random state is not changed.

    Returns:
        A network from images (n, channels, 32, 32) to logits (n, classes): `features` with
        convolutions, then `head` with linear layers.

    Raises:
        ToroidsError: another depth, a number below 1, a width that is not positive.

    Example:
        >>> import torch, toroids as td
        >>> model = td.models.vgg(11, width=0.125, batch_norm=False)
        >>> model(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 10])

    Reference:
        K. Simonyan, A. Zisserman, 2014, Very deep convolutional networks for large-scale image
        recognition, arXiv:1409.1556.
    """
    check_choice("depth", depth, STAGES)
    check_counts(classes=classes, channels=channels)
    features: list[nn.Module] = []
    units, before = widened(512, width), channels
    with seeded(seed):
        for convolutions, stage_units in zip(STAGES[depth], UNITS, strict=True):
            after = widened(stage_units, width)
            for _ in range(convolutions):
                features.append(nn.Conv2d(before, after, 3, padding=1, bias=not batch_norm))
                features += [nn.BatchNorm2d(after)] if batch_norm else []
                features.append(nn.ReLU())
                before = after
            features.append(nn.MaxPool2d(2))
        head = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Flatten(),
            nn.Linear(before, units), nn.ReLU(),
            nn.Linear(units, units), nn.ReLU(),
            nn.Linear(units, classes),
        )  # fmt: skip
        model = nn.Sequential()
        model.add_module("features", nn.Sequential(*features))
        model.add_module("head", head)
        he_normal_(model)
    return model
