"""The sign without a zero, as an operator of its own that discovery knows.

    sign(x) = +1 for x > 0 and x = +0,  -1 for x < 0 and x = -0:

the sign bit decides, so that a weight of either zero still flips with its unit. A sum that
cancels is +0, and stays +0 when all its terms flip: there, and only there, sign(-x) is not
-sign(x). Where pre-activations are sums of an odd number of -1 and +1 they never cancel.
"""

import math
from typing import Any

import torch
from torch import Tensor

from toroids.errors import ToroidsError

OPERATOR = "toroids::sign"


@torch.library.custom_op(OPERATOR, mutates_args=())
def _sign(x: Tensor, window: float) -> Tensor:
    found: Tensor = torch.copysign(torch.ones((), dtype=x.dtype, device=x.device), x)
    return found


@_sign.register_fake
def _like(x: Tensor, window: float) -> Tensor:
    return torch.empty_like(x)


@_sign.register_vmap
def _batched(info: Any, dims: tuple[Any, ...], x: Tensor, window: float) -> tuple[Tensor, Any]:
    return _sign(x, window), dims[0]


def _nothing(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
    """The derivative of the operator itself, as traced networks are differentiated."""
    return gradient * 0, None


_sign.register_autograd(_nothing)


class _StraightThrough(torch.autograd.Function):
    """The operator with a gradient, under `torch.func` as well."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, window: float) -> Tensor:
        found: Tensor = _sign(x, window)
        return found

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, float], output: Tensor) -> None:
        x, ctx.window = inputs
        ctx.save_for_backward(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        return gradient * (x.abs() <= ctx.window) / ctx.window, None


def sign(x: Tensor, window: float = 1.0) -> Tensor:
    """Computes the sign of every entry, never zero, with a straight-through gradient.

    The gradient is that of clamp(x / window, -1, 1): 1 / window where |x| <= window, else 0.

    Args:
        x: floating numbers of any shape; a NaN gives the sign of its sign bit.
        window: how far from zero a gradient passes; positive.

    Returns:
        -1 and +1, like `x`; +1 for a sum that cancels, -1 for a negative zero.

    Raises:
        ToroidsError: the window is not a positive number.

    Example:
        >>> import torch
        >>> sign(torch.tensor([-0.5, -0.0, 0.0, 2.0])).tolist()
        [-1.0, -1.0, 1.0, 1.0]

    Reference:
        Y. Bengio, N. Leonard, A. Courville, Estimating or propagating gradients through stochastic
        neurons, 2013, arXiv 1308.3432.
    """
    if not 0 < window < math.inf:
        raise ToroidsError(f"the window of a sign is {window}; pass a positive number.")
    found: Tensor = _StraightThrough.apply(x, float(window))  # type: ignore[no-untyped-call]
    return found
