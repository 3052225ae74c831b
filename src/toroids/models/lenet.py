"""LeNet-5 for images of any small size."""

from collections import OrderedDict
from collections.abc import Sequence

from torch import nn

from toroids.arguments.checked import checked
from toroids.errors import ToroidsError
from toroids.models.activation import ACTIVATIONS, Activation, check_activation
from toroids.models.architecture import Small, architecture
from toroids.models.arguments import check_counts
from toroids.models.initialise import seeded
from toroids.settings import Count


def _fits(shape: tuple[int, ...], kernel: int) -> None:
    lenet(shape, 1, (1, 1, 1, 1), kernel)  # raises what the whole one would


@architecture(takes="images", fits=_fits)
@checked
def lenet(
    shape: Sequence[int] = (1, 28, 28),
    classes: int = 10,
    widths: tuple[Count, Count, Count, Count] = (6, 16, 120, 84),
    kernel: Small = 5,
    activation: Activation = "relu",
    seed: int = 0,
) -> nn.Sequential:
    """Builds a network like LeNet-5: two convolutions with pooling, then three linear layers.

    As in the paper, 28 x 28 and 32 x 32 pixels both give maps of 5 x 5 in the end: the first
    convolution surrounds images below 32 pixels with kernel // 2 zeros. Pooling averages 2 x 2
    pixels. For images of 8 x 8 pixels pass kernel=3.

    Args:
        shape: channels, height and width of an image.
        classes: outputs.
        widths: channels of both convolutions, units of both hidden linear layers.
        kernel: height and width of the convolutions.
        activation: as in `fully_connected`; the paper has "tanh".
        seed: of the initialisation, PyTorch's own; the global random state is not changed.

    Returns:
        Layers `conv1`, `conv2`, `hidden1`, `hidden2` and `output`: images (n, *shape) to logits
        (n, classes).

    Raises:
        ToroidsError: a number below 1, other than three or four entries in `shape` or `widths`,
            an unknown activation, images too small for the kernel.

    Example:
        >>> import torch, toroids as td
        >>> model = td.models.lenet((1, 8, 8), kernel=3)
        >>> model(torch.zeros(5, 1, 8, 8)).shape
        torch.Size([5, 10])

    Reference:
        Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, 1998, Gradient-based learning applied to
        document recognition, Proceedings of the IEEE 86.
    """
    several = isinstance(shape, Sequence) and isinstance(widths, Sequence)
    if not several or len(shape) != 3 or len(widths) != 4:
        raise ToroidsError(
            f"the shape is {shape} and the widths are {widths}; pass channels, "
            "height and width, and four widths."
        )
    check_counts(shape=shape, widths=widths, classes=classes, kernel=kernel)
    check_activation(activation)
    channels, *sides = shape
    padding = kernel // 2 if min(sides) < 32 else 0
    height, width = (_side(side, kernel, padding) for side in sides)
    first, second, third, fourth = widths
    act = ACTIVATIONS[activation]
    with seeded(seed):
        layers: dict[str, nn.Module] = {
            "conv1": nn.Conv2d(channels, first, kernel, padding=padding),
            f"{activation}1": act(),
            "pool1": nn.AvgPool2d(2),
            "conv2": nn.Conv2d(first, second, kernel),
            f"{activation}2": act(),
            "pool2": nn.AvgPool2d(2),
            "flatten": nn.Flatten(),
            "hidden1": nn.Linear(second * height * width, third),
            f"{activation}3": act(),
            "hidden2": nn.Linear(third, fourth),
            f"{activation}4": act(),
            "output": nn.Linear(fourth, classes),
        }
    return nn.Sequential(OrderedDict(layers))


def _side(side: int, kernel: int, padding: int) -> int:
    """Pixels per side that are left after both convolutions and both poolings."""
    left = ((side + 2 * padding - kernel + 1) // 2 - kernel + 1) // 2
    if left < 1:
        raise ToroidsError(
            f"an image of {side} pixels per side is too small for kernels of {kernel}; "
            "pass a smaller kernel or larger images."
        )
    return left
