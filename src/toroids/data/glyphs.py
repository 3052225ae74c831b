"""Distorted characters: images of the size of MNIST or CIFAR, drawn rather than downloaded."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample, interpolate

from toroids.arguments.checked import checked_data
from toroids.data.dataset import Dataset, balanced_labels, check_count, check_range
from toroids.data.fonts import CHARACTERS, bitmaps

# At distortion 1; lengths are parts of half the side, as grid_sample counts them.
_TURN = math.radians(20)
_SHEAR = 0.25
_SCALE = 0.25  # log of the size
_STRETCH = 0.15  # log of width over height, halved
_SHIFT = 0.15
_ELASTIC = 0.07  # standard deviation of the displacement of a node
_NODES = 5  # of the elastic sheet, along a side
_CHUNK = 1000  # images drawn at once: bounds the memory, and is part of what the seed means


@checked_data
def glyphs(
    train: int,
    test: int,
    size: int = 28,
    classes: int = 10,
    colour: bool = False,
    seed: int = 0,
    distortion: float = 1.0,
) -> Dataset:
    """Draws digits and capital letters in 21 fonts, each distorted anew.

    Every character is turned, sheared, scaled, stretched and moved at random, and bent by a smooth
    random field; in colour, it is laid on a random textured ground. The classes are balanced. The
    fonts are those that come with matplotlib (DejaVu, STIX, Computer Modern), drawn by Pillow.
    Training and test images are draws from one stream, training images first: these do not
    depend on `test`. In some fonts 0 and O, or 1 and I, are hard to tell apart.

    Args:
        train: number of training images.
        test: number of test images.
        size: side of the images in pixels, 8 to 256.
        classes: 2 to 36; the digits come first, then the letters A to Z.
        colour: three channels and a textured ground in place of one channel, white on black.
        seed: of everything.
        distortion: strength, above 0 to 2; at 1 a turn is up to 20 degrees.

    Returns:
        Inputs of shape (n, channels, size, size) in [0, 1]. On one core
        10,000 images take about 1 second, 3 in colour.

    Raises:
        DataError: a setting is out of range, or matplotlib or Pillow is not installed.

    Example:
        >>> import toroids as td
        >>> data = td.data.glyphs(train=200, test=100, size=32, colour=True)
        >>> data.train[0].shape, data.test[0].shape
        (torch.Size([200, 3, 32, 32]), torch.Size([100, 3, 32, 32]))

    Reference:
        P. Simard, D. Steinkraus, J. Platt, Best practices for convolutional neural networks
        applied to visual document analysis, 2003 (the elastic field).
    """
    check_count("train", train, 1, 10_000_000)
    check_count("test", test, 1, 10_000_000)
    check_count("size", size, 8, 256)
    check_count("classes", classes, 2, len(CHARACTERS))
    # at 0 images would repeat, and some test images would be among the training images
    check_range("distortion", distortion, 0.01, 2)
    characters = bitmaps(2 * size, classes)  # at twice the size: hairlines survive a turn
    generator = torch.Generator().manual_seed(seed)
    sets = [_draw(count, characters, colour, distortion, generator) for count in (train, test)]
    return Dataset(train=sets[0], test=sets[1], classes=classes)


def _draw(
    count: int, characters: Tensor, colour: bool, distortion: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    fonts, classes, side, _ = characters.shape
    labels = balanced_labels(count, classes, generator)
    images = torch.empty(count, 3 if colour else 1, side // 2, side // 2)
    for chunk, drawn in zip(torch.split(labels, _CHUNK), torch.split(images, _CHUNK), strict=True):
        font = torch.randint(fonts, chunk.shape, generator=generator)
        grid = _grid(len(chunk), side // 2, distortion, generator)
        upright = characters[font, chunk].unsqueeze(1)
        ink = grid_sample(upright, grid, mode="bilinear", align_corners=False)
        ink = (1.3 * ink).clamp_(max=1)  # hairlines would be faint
        drawn.copy_(_coloured(ink, generator) if colour else _grey(ink, generator))
    return images, labels


def _grid(count: int, size: int, distortion: float, generator: torch.Generator) -> Tensor:
    """Where to read each pixel: a random affine map and a smooth random displacement."""

    def uniform(bound: float) -> Tensor:
        return (2 * torch.rand(count, generator=generator) - 1) * bound * distortion

    turn, shear, scale, stretch = map(uniform, (_TURN, _SHEAR, _SCALE, _STRETCH))
    shift = torch.stack([uniform(_SHIFT), uniform(_SHIFT)], 1)
    cos, sin, one, zero = turn.cos(), turn.sin(), torch.ones(count), torch.zeros(count)
    # from a pixel to where it is read: the inverse of what the character does, drawn alike
    turned = torch.stack([cos, -sin, sin, cos], 1).view(-1, 2, 2)
    sheared = torch.stack([one, shear, zero, one], 1).view(-1, 2, 2)
    scaled = torch.diag_embed(torch.stack([scale + stretch, scale - stretch], 1).exp())
    matrix = turned @ sheared @ scaled
    theta = torch.cat([matrix, shift.unsqueeze(2)], 2)
    grid = affine_grid(theta, [count, 1, size, size], align_corners=False)
    nodes = torch.randn(count, 2, _NODES, _NODES, generator=generator) * _ELASTIC * distortion
    return grid + _smooth(nodes, size).permute(0, 2, 3, 1)


def _grey(ink: Tensor, generator: torch.Generator) -> Tensor:
    """White on black, some images fainter than others."""
    return ink * (0.7 + 0.3 * torch.rand(len(ink), 1, 1, 1, generator=generator))


def _coloured(ink: Tensor, generator: torch.Generator) -> Tensor:
    """A random colour on a ground of a random colour, both with a texture."""
    count, _, size, _ = ink.shape
    ground = 0.05 + 0.9 * torch.rand(count, 3, 1, 1, generator=generator)
    # each channel at least half of the way to white, or to black, whichever is farther
    end = (ground.mean(1, keepdim=True) < 0.5).float()
    way = 0.5 + 0.5 * torch.rand(count, 3, 1, 1, generator=generator)
    paint = ground + way * (end - ground)
    below, above = _textures(count, size, generator)
    return torch.lerp(ground + below, paint + above, ink).clamp_(0, 1)


def _textures(count: int, size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Two textures per image: coarse spots in colour and finer ones in grey."""
    for strength in (1.0, 0.5):
        coarse = torch.randn(count, 3, 4, 4, generator=generator)
        fine = torch.randn(count, 1, size // 2, size // 2, generator=generator)
        contrast = torch.rand(count, 1, 1, 1, generator=generator) * 0.15 * strength
        yield (_smooth(coarse, size) + _smooth(fine, size)) * contrast


def _smooth(nodes: Tensor, size: int) -> Tensor:
    return interpolate(nodes, size=(size, size), mode="bicubic", align_corners=True)
