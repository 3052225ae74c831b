"""Residual networks for small images."""

from typing import Annotated, TypeAlias

import torch
from torch import nn

from toroids.arguments.checked import checked
from toroids.models.architecture import Width, architecture
from toroids.models.arguments import check_choice, check_counts, widened
from toroids.models.initialise import he_normal_, seeded
from toroids.settings import OneOf

NORMS = ("batch", "layer", "none")
Norm: TypeAlias = Annotated[str, OneOf(NORMS)]


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of every pixel of images (n, channels, height, width)."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalises every pixel."""
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)


class Block(nn.Module):
    """relu(shortcut(x) + norm(conv(relu(norm(conv(x))))))."""

    def __init__(self, before: int, after: int, stride: int, norm: str) -> None:
        """Has a shortcut of its own, a 1 x 1 convolution, where the shape changes."""
        super().__init__()
        self.inner = nn.Sequential(*_convolution(before, after, 3, stride, norm), nn.ReLU())
        self.outer = nn.Sequential(*_convolution(after, after, 3, 1, norm))
        same = before == after and stride == 1
        change = () if same else _convolution(before, after, 1, stride, norm)
        self.shortcut = nn.Sequential(*change)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps (n, before, h, w) to (n, after, h / stride, w / stride)."""
        body: torch.Tensor = self.outer(self.inner(x))
        return torch.relu(body + self.shortcut(x))


@architecture(takes="images")
@checked
def resnet20(
    classes: int = 10, channels: int = 3, width: Width = 1.0, norm: Norm = "batch", seed: int = 0
) -> nn.Sequential:
    """Builds the residual network of 20 layers for images of 32 x 32 pixels.

    Three stages of three blocks with 16, 32 and 64 channels. Where a stage begins the shortcut is
    a convolution of 1 x 1 (option B of the paper).

    Args:
        classes: outputs.
        channels: of an image.
        width: factor on all numbers of channels.
        norm: "batch"; "layer", over the channels of each pixel; or "none", where convolutions
            have biases and residual branches start smaller by the root of their number.
        seed: of the initialisation (He); the global random state is not changed.

    Returns:
        A network from images (n, channels, height, width) to logits (n, classes): `stem`,
        `stage1` to `stage3`, `head`.

    Raises:
        ToroidsError: a number below 1, a width that is not positive, an unknown norm.

    Example:
        >>> import torch, toroids as td
        >>> model = td.models.resnet20(width=0.25, norm="layer")
        >>> model(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 10])

    Reference:
        K. He, X. Zhang, S. Ren, J. Sun, 2015, Deep residual learning for image recognition,
        arXiv:1512.03385; without norms H. Zhang, Y. N. Dauphin, T. Ma, 2019, Fixup
        initialization, arXiv:1901.09321.
    """
    return _resnet((16, 32, 64), 3, classes, channels, width, norm, seed)


@architecture(takes="images")
@checked
def resnet18(
    classes: int = 10, channels: int = 3, width: Width = 1.0, norm: Norm = "batch", seed: int = 0
) -> nn.Sequential:
    """Builds the residual network of 18 layers for small images.

    Four stages of two blocks with 64, 128, 256 and 512 channels. As is usual for small images it
    begins with a convolution of 3 x 3, without the pooling of the paper.

    Args:
        classes: outputs.
        channels: of an image.
        width: factor on all numbers of channels.
        norm: as in `resnet20`.
        seed: of the initialisation (He); the global random state is not changed.

    Returns:
        A network from images (n, channels, height, width) to logits (n, classes): `stem`,
        `stage1` to `stage4`, `head`.

    Raises:
        ToroidsError: a number below 1, a width that is not positive, an unknown norm.

    Example:
        >>> import torch, toroids as td
        >>> td.models.resnet18(width=0.0625)(torch.zeros(2, 3, 16, 16)).shape
        torch.Size([2, 10])

    Reference:
        K. He, X. Zhang, S. Ren, J. Sun, 2015, Deep residual learning for image recognition,
        arXiv:1512.03385.
    """
    return _resnet((64, 128, 256, 512), 2, classes, channels, width, norm, seed)


def _resnet(
    units: tuple[int, ...],
    blocks: int,
    classes: int,
    channels: int,
    width: float,
    norm: str,
    seed: int,
) -> nn.Sequential:
    check_counts(classes=classes, channels=channels)
    check_choice("norm", norm, NORMS)
    before = widened(units[0], width)
    model = nn.Sequential()
    with seeded(seed):
        model.add_module(
            "stem", nn.Sequential(*_convolution(channels, before, 3, 1, norm), nn.ReLU())
        )
        for stage, stage_units in enumerate(units):
            layers: list[nn.Module] = []
            after = widened(stage_units, width)
            for block in range(blocks):
                layers.append(Block(before, after, 2 if stage and not block else 1, norm))
                before = after
            model.add_module(f"stage{stage + 1}", nn.Sequential(*layers))
        head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, classes))
        model.add_module("head", nn.Sequential(*head))
        he_normal_(model)
    if norm == "none":
        _shrink_branches_(model)
    return model


def _convolution(before: int, after: int, kernel: int, stride: int, norm: str) -> list[nn.Module]:
    """A convolution that keeps the size up to its stride, with its norm."""
    layers: list[nn.Module] = [
        nn.Conv2d(before, after, kernel, stride, kernel // 2, bias=norm == "none")
    ]
    if norm == "batch":
        layers.append(nn.BatchNorm2d(after))
    elif norm == "layer":
        layers.append(ChannelNorm(after))
    return layers


@torch.no_grad()
def _shrink_branches_(model: nn.Module) -> None:
    """Without norms every branch adds its variance: L of them get a share of 1 / L each."""
    blocks = [module for module in model.modules() if isinstance(module, Block)]
    for block in blocks:
        for parameter in block.outer.parameters():
            parameter.mul_(len(blocks) ** -0.5)
