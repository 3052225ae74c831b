"""Networks with weights and activations of -1 and +1.

All of them take inputs whose sign counts: real inputs are compared with a threshold first. Where a
unit would sum an even number of signs it gets a binary bias, so that no sum is ever zero, and every
hidden unit may be flipped.
"""

import math
from collections import OrderedDict
from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, TypeAlias

import torch
from torch import Tensor, nn

from toroids.arguments.checked import checked
from toroids.binary.layers import Bias, BinaryConv2d, BinaryLinear, Scale, Sign
from toroids.errors import ToroidsError
from toroids.models.architecture import Widths, architecture
from toroids.models.arguments import check_choice, check_counts, check_seed, check_widths
from toroids.models.committee import Vote
from toroids.settings import Count, OneOf, Share

NORMS = ("none", "real", "batch_norm")
Norm: TypeAlias = Annotated[str, OneOf(NORMS)]


@checked
def binary_perceptron(inputs: int, seed: int = 0) -> nn.Sequential:
    """Builds a perceptron with weights of -1 and +1.

    The logits are (-s, s), s = sum_i sign(v_i) x_i / sqrt(inputs).

    Args:
        inputs: entries of an input; an odd number of signs never ties.
        seed: of the latent weights; the global random state is not changed.

    Returns:
        A network from inputs (n, ...) to logits (n, 2). Its layer `hidden` has weights (1, inputs),
        as that of a committee of one.

    Raises:
        ToroidsError: a number below 1.

    Example:
        >>> import toroids as td
        >>> [(n, tuple(p.shape)) for n, p in td.models.binary_perceptron(5).named_parameters()]
        [('hidden.weight', (1, 5))]

    Reference:
        W. Krauth, M. Mezard, Storage capacity of memory networks with binary couplings, 1989.
    """
    check_counts(inputs=inputs)
    check_seed(seed)
    layers: dict[str, nn.Module] = {
        "flatten": nn.Flatten(),
        "hidden": BinaryLinear(inputs, 1, seed=seed),
        "scale": Scale(inputs**-0.5),
        "vote": Vote(threshold=False),
    }
    return nn.Sequential(OrderedDict(layers))


@checked
def binary_committee(inputs: int, hidden: int, tree: bool = False, seed: int = 0) -> nn.Sequential:
    """Builds a committee machine with weights of -1 and +1 whose units vote with their signs.

    The logits are (-s, s), s = sum_k sign(sum_i sign(v_ki) x_i) / sqrt(hidden).

    Args:
        inputs: entries of an input; in a tree a multiple of `hidden`.
        hidden: units of the committee, an odd number, so that the vote is never a draw.
        tree: whether unit k sees only inputs k B ... k B + B - 1, B = inputs / hidden.
        seed: of the latent weights; the global random state is not changed.

    Returns:
        A network from inputs (n, ...) to logits (n, 2). Its layer `hidden` has weights (hidden,
        inputs), in a tree (hidden, inputs / hidden).

    Raises:
        ToroidsError: a number below 1, an even number of units, or a tree whose inputs are no
            multiple of its units.

    Example:
        >>> import toroids as td
        >>> model = td.models.binary_committee(15, 3, tree=True)
        >>> [(name, tuple(p.shape)) for name, p in model.named_parameters()]
        [('hidden.weight', (3, 5))]

    Reference:
        C. Baldassi et al., Unreasonable effectiveness of learning neural networks, 2016, arXiv
        1605.06444.
    """
    check_counts(inputs=inputs, hidden=hidden)
    check_seed(seed)
    if hidden % 2 == 0 or (tree and inputs % hidden):
        raise ToroidsError(
            f"a committee has {hidden} units and {inputs} inputs; pass an odd number of units"
            + (f" and a multiple of {hidden} inputs." if tree else ".")
        )
    layers: dict[str, nn.Module] = {"flatten": nn.Flatten()}
    fan_in = inputs // hidden if tree else inputs
    if tree:
        layers["blocks"] = nn.Unflatten(1, (hidden, fan_in))
        layers["hidden"] = BinaryTree(fan_in, hidden, seed=seed)
    else:
        layers["hidden"] = BinaryLinear(fan_in, hidden, seed=seed)
    layers |= {
        "sign": Sign(window=math.sqrt(fan_in)),
        "scale": Scale(hidden**-0.5),
        "vote": Vote(threshold=False),
    }
    return nn.Sequential(OrderedDict(layers))


class BinaryTree(BinaryLinear):
    """The hidden layer of a tree: every unit sums its own inputs."""

    def forward(self, x: Tensor) -> Tensor:
        """Maps x (n, outputs, inputs) to y (n, outputs)."""
        products: Tensor = x * self.binary_weight
        return products.sum(-1)


@checked
def binary_fully_connected(
    widths: Sequence[int], norm: str = "none", threshold: float = 0.0, seed: int = 0
) -> nn.Sequential:
    """Builds a fully connected network with binary weights and sign activations.

    Args:
        widths: inputs, hidden layers, classes; at least two positive numbers.
        norm: what comes before the signs: "none"; "real", learned real thresholds; or
            "batch_norm".
        threshold: inputs count as +1 above it, as -1 below.
        seed: of the latent weights; the global random state is not changed.

    Returns:
        Layers `hidden1`, (`norm1`,) `sign1`, ..., `output`: inputs (n, ...) to logits (n, classes),
        which are sums of signs over the square root of their number.

    Raises:
        ToroidsError: fewer than two widths, one below 1, or an unknown norm.

    Example:
        >>> import toroids as td
        >>> model = td.models.binary_fully_connected([64, 33, 10])
        >>> [(name, tuple(p.shape)) for name, p in model.named_parameters()]
        [('hidden1.weight', (33, 64)), ('hidden1.bias', (33,)), ('output.weight', (10, 33))]

    Reference:
        M. Courbariaux et al., Binarized neural networks, 2016, arXiv 1602.02830.
    """
    check_choice("norm", norm, NORMS)
    check_widths(widths)
    check_seed(seed)
    layers: dict[str, nn.Module] = {"flatten": nn.Flatten(), "sign": Sign(threshold=threshold)}
    for depth, (inputs, outputs) in enumerate(pairwise(widths), start=1):
        if depth == len(widths) - 1:
            layers["output"] = BinaryLinear(inputs, outputs, seed=_seed(seed, depth))
            layers["scale"] = Scale(inputs**-0.5)
            continue
        bias = _bias(norm, inputs)
        layers[f"hidden{depth}"] = BinaryLinear(inputs, outputs, bias, _seed(seed, depth))
        if norm == "batch_norm":
            layers[f"norm{depth}"] = _untied(nn.BatchNorm1d(outputs), _seed(seed, depth))
        layers[f"sign{depth}"] = Sign(1.0 if norm == "batch_norm" else math.sqrt(inputs))
    return nn.Sequential(OrderedDict(layers))


@checked
def binary_convolutional(
    shape: Sequence[int] = (1, 28, 28),
    classes: int = 10,
    channels: Sequence[int] = (15, 31),
    hidden: int = 101,
    norm: str = "none",
    threshold: float = 0.0,
    seed: int = 0,
) -> nn.Sequential:
    """Builds a small convolutional network with binary weights and sign activations.

    Filters of 3 x 3 without padding; every convolution but the first moves by two pixels, in place
    of pooling, so that channels may be flipped.

    Args:
        shape: channels, height and width of an image.
        classes: outputs.
        channels: of the convolutions, from the first on.
        hidden: units of the linear layer before the output.
        norm: as in `binary_fully_connected`.
        threshold: pixels count as +1 above it, as -1 below.
        seed: of the latent weights; the global random state is not changed.

    Returns:
        Layers `conv1`, `sign1`, ..., `hidden`, `output`: images (n, *shape) to logits (n, classes).

    Raises:
        ToroidsError: a number below 1, another number of entries in `shape`, an unknown norm, or
            images too small for so many convolutions.

    Example:
        >>> import torch, toroids as td
        >>> model = td.models.binary_convolutional((1, 8, 8))
        >>> model(torch.randn(5, 1, 8, 8)).shape
        torch.Size([5, 10])
    """
    check_choice("norm", norm, NORMS)
    several = isinstance(shape, Sequence) and isinstance(channels, Sequence)
    if not several or len(shape) != 3 or not channels:
        raise ToroidsError(
            f"the shape is {shape} and the channels are {channels}; pass channels, height and "
            "width, and a list of one convolution or more."
        )
    check_counts(shape=shape, channels=channels, classes=classes, hidden=hidden)
    check_seed(seed)
    layers: dict[str, nn.Module] = {"sign": Sign(threshold=threshold)}
    inputs, *sides = shape
    for depth, outputs in enumerate(channels, start=1):
        stride = 1 if depth == 1 else 2
        sides = [(side - 3) // stride + 1 for side in sides]
        if min(sides) < 1:
            raise ToroidsError(
                f"images of {shape[1]} x {shape[2]} pixels are too small for {len(channels)} "
                "convolutions; pass fewer channels."
            )
        fan_in = 9 * inputs
        layers[f"conv{depth}"] = BinaryConv2d(
            inputs, outputs, 3, stride, _bias(norm, fan_in), _seed(seed, depth)
        )
        if norm == "batch_norm":
            layers[f"norm{depth}"] = _untied(nn.BatchNorm2d(outputs), _seed(seed, depth))
        layers[f"sign{depth}"] = Sign(1.0 if norm == "batch_norm" else math.sqrt(fan_in))
        inputs = outputs
    flat = inputs * sides[0] * sides[1]
    last = len(channels) + 1
    layers["flatten"] = nn.Flatten()
    layers["hidden"] = BinaryLinear(flat, hidden, _bias(norm, flat), _seed(seed, last))
    if norm == "batch_norm":
        layers[f"norm{last}"] = _untied(nn.BatchNorm1d(hidden), _seed(seed, last))
    layers[f"sign{last}"] = Sign(1.0 if norm == "batch_norm" else math.sqrt(flat))
    layers["output"] = BinaryLinear(hidden, classes, seed=_seed(seed, last + 1))
    layers["scale"] = Scale(hidden**-0.5)
    return nn.Sequential(OrderedDict(layers))


@architecture("binary_fully_connected", binary=True)
def _on_data(
    inputs: int,
    classes: int,
    hidden: Widths = (128, 128),
    norm: Norm = "none",
    threshold: Share = 0.5,
    seed: int = 0,
) -> nn.Sequential:
    """Settings of `models.binary_fully_connected`; grey values count as +1 from `threshold` on."""
    return binary_fully_connected((inputs, *hidden, classes), norm, threshold, seed)


def _fits(shape: tuple[int, ...], channels: tuple[int, ...]) -> None:
    binary_convolutional(shape, 1, (1,) * len(channels), 1)  # raises what the whole one would


@architecture("binary_convolutional", takes="images", binary=True, own=("channels",), fits=_fits)
def _on_images(
    shape: tuple[int, ...],
    classes: int,
    channels: Widths = (15, 31),
    hidden: Count = 101,
    norm: Norm = "none",
    threshold: Share = 0.5,
    seed: int = 0,
) -> nn.Sequential:
    """Settings of `models.binary_convolutional`; grey values count as +1 from `threshold` on."""
    return binary_convolutional(shape, classes, channels, hidden, norm, threshold, seed)


def _bias(norm: str, fan_in: int) -> Bias:
    """Thresholds where they are asked for; else what makes the number of signs odd."""
    if norm == "real":
        return "real"
    return "binary" if norm == "none" and fan_in % 2 == 0 else "none"


def _untied(norm: nn.BatchNorm1d | nn.BatchNorm2d, seed: int) -> nn.Module:
    """Starts a batch norm with small biases in place of zeros, at which sums that cancel tie."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        drawn = torch.rand(norm.bias.shape, generator=generator) - 0.5
        norm.bias.copy_(0.02 * drawn + torch.copysign(torch.tensor(1e-3), drawn))
    return norm


def _seed(seed: int, depth: int) -> int:
    """A seed of its own for every layer."""
    return (1_000_003 * depth + seed) % 2**63
