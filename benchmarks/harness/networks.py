"""Networks that several benchmarks measure on."""

import copy
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

import toroids as td

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))
from zoo.classic import CLASSIC, unit, unsettle  # type: ignore[import-not-found]  # noqa: E402
from zoo.classic import Residual as Shortcut  # noqa: E402

Built = tuple[nn.Module, torch.Tensor]


def classic(name: str) -> Built:
    """A public architecture with random weights, and inputs."""
    built: Any = CLASSIC[name]()
    model, inputs = built
    return model, inputs


def resnet20(width: int) -> Built:
    """The residual network of 20 layers for 32 x 32 images with batch norm, and inputs."""
    layers, before = [unit(3, width, 3)], width
    for stage in range(3):
        out = width * 2**stage
        for block in range(3):
            stride = 2 if stage and not block else 1
            change = unit(before, out, 1, stride, act=None) if before != out else None
            body = nn.Sequential(unit(before, out, 3, stride), unit(out, out, 3, act=None))
            layers.append(Shortcut(body, change))
            before = out
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, 10)]
    return nn.Sequential(*layers, *head), torch.randn(2, 3, 32, 32)


def drawn(model: nn.Module, seed: int) -> nn.Module:
    """A copy with other weights, and batch-norm statistics that are not the initial ones."""
    other = copy.deepcopy(model)
    generator = torch.Generator().manual_seed(seed)
    for tensor in other.parameters():
        if tensor.ndim > 1:
            size = (2 / tensor[0].numel()) ** 0.5
            tensor.data.normal_(0, size, generator=generator)
    result: nn.Module = unsettle(other, seed)
    return result


class Residual(nn.Module):
    """A block of two convolutions beside which its input passes."""

    def __init__(self, width: int) -> None:
        """Builds the block."""
        super().__init__()
        self.first, self.second = (nn.Conv2d(width, width, 3, padding=1) for _ in range(2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Adds what the convolutions make of `x`."""
        result: torch.Tensor = torch.relu(x + self.second(torch.relu(self.first(x))))
        return result


def convolutional(width: int, norm: bool, residual: bool) -> nn.Sequential:
    """A network of two convolutions, or one and a residual block, for 8 x 8 images."""

    def layer(i: int, o: int) -> list[nn.Module]:
        layers: list[nn.Module] = [nn.Conv2d(i, o, 3, padding=1)]
        return [*layers, *([nn.BatchNorm2d(o)] if norm else []), nn.ReLU()]

    body = [Residual(width)] if residual else layer(width, width)
    head = [nn.MaxPool2d(2), nn.Flatten(), nn.Linear(16 * width, 10)]
    return nn.Sequential(nn.Unflatten(1, (1, 8, 8)), *layer(1, width), *body, *head)


WIDTHS = {"fully connected": (16, 32, 128), "convolutional": (8, 16, 32)}


def for_digits() -> Iterator[tuple[str, Callable[[int], nn.Module]]]:
    """Names and makers of networks of three widths each that are trained on digits."""
    for width in WIDTHS["fully connected"]:
        yield f"fully connected {width}", partial(_fully_connected, width)
    kinds = {
        "convolutional": (False, False),
        "batch norm": (True, False),
        "residual": (False, True),
    }
    for name, (norm, residual) in kinds.items():
        for width in WIDTHS["convolutional"]:
            yield f"{name} {width}", partial(_convolutional, width, norm, residual)


def _fully_connected(width: int, seed: int) -> nn.Module:
    return td.models.fully_connected([64, width, width, 10], seed=seed)


def _convolutional(width: int, norm: bool, residual: bool, seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return convolutional(width, norm, residual)
