"""Layers whose weights are -1 or +1, trained through real latent weights.

A layer holds a latent weight v in [-1, 1] and computes with sign(v); the gradient passes straight
through to v, as in BinaryNet. A latent that only its sign is read of is a symmetry of its own,
which the canonical form removes: there v is -1 or +1.

Reference: M. Courbariaux, I. Hubara, D. Soudry, R. El-Yaniv, Y. Bengio, Binarized neural networks,
2016, arXiv 1602.02830.
"""

import math
from numbers import Integral
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

from toroids.arguments.checked import checked
from toroids.binary.sign import sign
from toroids.errors import ToroidsError

Bias: TypeAlias = Literal["none", "binary", "real"]
BIASES = ("none", "binary", "real")


class Sign(nn.Module):
    """The sign as activation: -1 or +1, never zero.

    Example:
        >>> import torch, toroids as td
        >>> td.binary.Sign()(torch.tensor([-0.5, 0.0, 2.0]))
        tensor([-1.,  1.,  1.])
    """

    @checked
    def __init__(self, window: float = 1.0, threshold: float = 0.0) -> None:
        """Computes sign(x - threshold).

        Args:
            window: how far from the threshold a gradient passes; the square root of the fan-in
                suits sums of -1 and +1, 1 what a batch norm gives.
            threshold: the same for all units and not learned; other than zero it forbids flips.

        Raises:
            ToroidsError: the window is not a positive number, or the threshold not a number.
        """
        super().__init__()
        if not 0 < window < math.inf or not math.isfinite(threshold):
            raise ToroidsError(
                f"the window is {window} and the threshold is {threshold}; pass a positive number "
                "and a number."
            )
        self.window, self.threshold = float(window), float(threshold)

    def forward(self, x: Tensor) -> Tensor:
        """Maps x of any shape to its signs."""
        return sign(x - self.threshold if self.threshold else x, self.window)

    def extra_repr(self) -> str:
        """The settings, as `print(model)` shows them."""
        return f"window={self.window:g}, threshold={self.threshold:g}"


class Scale(nn.Module):
    """Multiplies by a number that is not learned, so that logits have a size of about one."""

    def __init__(self, factor: float) -> None:
        """Multiplies by `factor`."""
        super().__init__()
        self.factor = float(factor)

    def forward(self, x: Tensor) -> Tensor:
        """Maps x of any shape to factor x."""
        return x * self.factor

    def extra_repr(self) -> str:
        """The factor, as `print(model)` shows it."""
        return f"{self.factor:g}"


class _Binary(nn.Module):
    """What binary layers share: the latent weights and how they begin.

    Attributes:
        weight: latent weights, of which only the signs count.
        bias: real thresholds, latent weights of binary biases, or None.
    """

    def __init__(self, shape: tuple[int, ...], bias: Bias, generator: torch.Generator) -> None:
        super().__init__()
        if not all(isinstance(size, Integral) and size >= 1 for size in shape):
            raise ToroidsError(
                f"a binary layer has the sizes {shape}; pass 1 or more, as whole numbers."
            )
        if bias not in BIASES:
            raise ToroidsError(f"there is no bias {bias!r}; choose from {BIASES}.")
        self.bias_kind = bias
        self.fan_in = math.prod(shape[1:])
        self.weight = nn.Parameter(_latents(shape, generator))
        self.bias = nn.Parameter(_latents(shape[:1], generator)) if bias != "none" else None

    @property
    def latents(self) -> list[nn.Parameter]:
        """The parameters of which only the signs count."""
        binary_bias = [self.bias] if self.bias is not None and self.bias_kind == "binary" else []
        return [self.weight, *binary_bias]

    @property
    def binary_weight(self) -> Tensor:
        """The weights that the layer computes with, -1 and +1; like `weight`."""
        return sign(self.weight)

    @property
    def binary_bias(self) -> Tensor | None:
        """The biases that the layer computes with: -1 and +1, or real thresholds, or None."""
        return self.bias if self.bias is None or self.bias_kind == "real" else sign(self.bias)


def _latents(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    # uniform, but never so near to zero that rounding could take the sign
    drawn = torch.rand(shape, generator=generator) * 2 - 1
    return torch.where(drawn.abs() < 1e-3, torch.where(drawn < 0, -1e-3, 1e-3), drawn)


class BinaryLinear(_Binary):
    """A linear map with weights of -1 and +1: y = sign(v) x + b."""

    @checked
    def __init__(self, inputs: int, outputs: int, bias: Bias = "none", seed: int = 0) -> None:
        """Starts with latent weights that are uniform in [-1, 1].

        Args:
            inputs: entries of x.
            outputs: entries of y.
            bias: "none"; "binary", -1 or +1 per output, which makes the sum of an even number of
                signs odd, so that it is never zero; or "real", learned thresholds.
            seed: of the initialisation; the global random state is not touched.

        Raises:
            ToroidsError: a size below 1, or an unknown bias.

        Example:
            >>> import torch
            >>> layer = BinaryLinear(3, 2)
            >>> layer(torch.ones(1, 3)).abs().long() % 2  # an odd number of signs
            tensor([[1, 1]])
        """
        super().__init__((outputs, inputs), bias, torch.Generator().manual_seed(seed))

    def forward(self, x: Tensor) -> Tensor:
        """Maps x (..., inputs) to y (..., outputs)."""
        return functional.linear(x, self.binary_weight, self.binary_bias)

    def extra_repr(self) -> str:
        """The sizes, as `print(model)` shows them."""
        outputs, inputs = self.weight.shape
        return f"{inputs}, {outputs}, bias={self.bias_kind!r}"


class BinaryConv2d(_Binary):
    """A convolution with weights of -1 and +1, without padding: its zeros are no signs.

    Example:
        >>> import torch, toroids as td
        >>> layer = td.binary.BinaryConv2d(1, 2, kernel=3)
        >>> layer(torch.ones(1, 1, 5, 5)).shape, layer.binary_weight.abs().unique()
        (torch.Size([1, 2, 3, 3]), tensor([1.], grad_fn=<Unique2Backward0>))
    """

    @checked
    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        stride: int = 1,
        bias: Bias = "none",
        seed: int = 0,
    ) -> None:
        """Starts with latent weights that are uniform in [-1, 1].

        Args:
            inputs: channels of x.
            outputs: channels of y.
            kernel: height and width of the filters.
            stride: pixels between two applications; there is no pooling of signs that flips.
            bias: as in `BinaryLinear`.
            seed: of the initialisation; the global random state is not touched.

        Raises:
            ToroidsError: a size below 1, or an unknown bias.
        """
        generator = torch.Generator().manual_seed(seed)
        super().__init__((outputs, inputs, kernel, kernel), bias, generator)
        if stride < 1:
            raise ToroidsError(f"the stride is {stride}; pass 1 or more.")
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """Maps x (n, inputs, h, w) to y (n, outputs, (h - kernel) // stride + 1, ...)."""
        return functional.conv2d(x, self.binary_weight, self.binary_bias, self.stride)

    def extra_repr(self) -> str:
        """The sizes, as `print(model)` shows them."""
        outputs, inputs, kernel, _ = self.weight.shape
        return f"{inputs}, {outputs}, {kernel}, stride={self.stride}, bias={self.bias_kind!r}"


def latents(model: nn.Module) -> list[nn.Parameter]:
    """Lists the latent weights of all binary layers of a module, each once."""
    found = [p for layer in model.modules() if isinstance(layer, _Binary) for p in layer.latents]
    return list({id(parameter): parameter for parameter in found}.values())


def clamped(optimizer: torch.optim.Optimizer, model: nn.Module) -> None:
    """Makes an optimizer keep the latent weights of `model` in [-1, 1] after every step.

    Latents beyond would wait long before a gradient could turn them. Networks without binary layers
    are trained as before.

    Args:
        optimizer: of the parameters of `model`; it gets a hook.
        model: the network.
    """
    if found := latents(model):

        def clamp(*_: object) -> None:
            with torch.no_grad():
                for latent in found:
                    latent.clamp_(-1, 1)

        optimizer.register_step_post_hook(clamp)
