"""Random crops and flips of images."""

import torch
from torch import Tensor
from torch.nn.functional import pad

from toroids.arguments.checked import checked_data
from toroids.data.dataset import check_count
from toroids.errors import DataError


@checked_data
def augment(inputs: Tensor, generator: torch.Generator, crop: int = 4, flip: bool = True) -> Tensor:
    """Moves every image by up to `crop` pixels and mirrors half of them, each on its own.

    An image is padded by zeros and cut to its size at a random place. All is done on the device
    of `inputs`. Draws come from the generator's own device, so that a generator on the CPU gives
    the same images everywhere; one on the device saves a copy.

    Args:
        inputs: images of shape (n, channels, height, width).
        generator: of the draws.
        crop: pixels, 0 to the shorter side.
        flip: mirror left and right; no flip for digits and letters.

    Returns:
        New images of the same shape.

    Raises:
        DataError: the inputs are not images, or `crop` is out of range.

    Example:
        >>> import torch
        >>> import toroids as td
        >>> images = torch.rand(10, 3, 32, 32)
        >>> td.data.augment(images, torch.Generator().manual_seed(0)).shape
        torch.Size([10, 3, 32, 32])
    """
    if not isinstance(inputs, Tensor) or inputs.ndim != 4:
        shape = tuple(inputs.shape) if isinstance(inputs, Tensor) else None
        shown = f"have shape {shape}" if shape else f"are a {type(inputs).__name__}"
        raise DataError(f"the inputs {shown}; expected images (n, channels, height, width).")
    if not isinstance(generator, torch.Generator):
        raise DataError(
            f"the generator is {generator!r}; pass torch.Generator().manual_seed(seed)."
        )
    count, channels, height, width = inputs.shape
    check_count("crop", crop, 0, min(height, width))

    def drawn(bound: int) -> Tensor:
        place = generator.device
        return torch.randint(bound, (count, 1), generator=generator, device=place).to(
            inputs.device, non_blocking=True
        )

    rows = drawn(2 * crop + 1) + torch.arange(height, device=inputs.device)
    columns = torch.arange(width, device=inputs.device).expand(count, width)
    left = drawn(2 * crop + 1)
    if flip:
        columns = torch.where(drawn(2) == 1, columns.flip(1), columns)
    images = torch.arange(count, device=inputs.device).view(-1, 1, 1, 1)
    channel = torch.arange(channels, device=inputs.device).view(1, -1, 1, 1)
    return pad(inputs, (crop,) * 4)[
        images, channel, rows[:, None, :, None], (left + columns)[:, None, None, :]
    ]
