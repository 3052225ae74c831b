"""Image files as tensors."""

import io
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from toroids.errors import DataError, first_line
from toroids.extras import load_extra

# Pillow's names of the ways in which 8-bit pixels are stored.
_GREY = ("1", "L", "LA")
_COLOUR = ("RGB", "RGBA", "RGBX", "P", "PA", "CMYK", "YCbCr")
# Its names of formats that hold pixels; others are programs, as PostScript.
_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "PPM", "TIFF", "JPEG2000")
MOST_BYTES = 2**28  # of a file with one image


def decode_images(files: Iterable[tuple[str, bytes]]) -> Tensor:
    """Decodes images of one size.

    Args:
        files: what each is called in messages, and its content: PNG, JPEG, BMP, GIF, WebP, PPM
            or TIFF.

    Returns:
        float32 in [0, 1] of shape (n, channels, height, width), with one channel if all are grey
        and three otherwise.

    Raises:
        DataError: a file is not an image with 8-bit pixels, sizes differ, there are none, or
            Pillow is not installed.
    """
    image = load_extra("PIL.Image", "hub")
    decoded: list[np.ndarray[tuple[int, ...], np.dtype[np.uint8]]] = []
    for name, content in files:
        try:
            with image.open(io.BytesIO(content), formats=_FORMATS) as opened:
                mode = opened.mode
                if mode in _GREY + _COLOUR:
                    decoded.append(np.asarray(opened.convert("L" if mode in _GREY else "RGB")))
        except image.UnidentifiedImageError as error:
            raise DataError(
                f"{name} is not an image that can be read: it is in no known format; put a PNG or "
                "JPEG file there."
            ) from error
        except (OSError, SyntaxError, ValueError, image.DecompressionBombError) as error:
            raise DataError(
                f"{name} is not an image that can be read: {first_line(error)}."
            ) from error
        if mode not in _GREY + _COLOUR:
            raise DataError(f"{name} has pixels of mode {mode}; expected 8-bit grey or colour.")
        if decoded[-1].shape[:2] != decoded[0].shape[:2]:
            (height, width), (high, wide) = decoded[-1].shape[:2], decoded[0].shape[:2]
            raise DataError(
                f"{name} is {width} x {height} pixels but others are {wide} x {high}; "
                "bring all images to one size."
            )
    if not decoded:
        raise DataError("there are no images; expected at least one.")
    if any(pixels.ndim == 3 for pixels in decoded):
        decoded = [
            pixels if pixels.ndim == 3 else pixels[..., None].repeat(3, -1) for pixels in decoded
        ]
        images = torch.from_numpy(np.stack(decoded)).permute(0, 3, 1, 2)
    else:
        images = torch.from_numpy(np.stack(decoded)).unsqueeze(1)
    return images.float().div_(255).contiguous()
