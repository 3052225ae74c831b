"""Characters as bitmaps, from the fonts that matplotlib ships, drawn by Pillow."""

from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from toroids.extras import load_extra

CHARACTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_DEJAVU = ("", "-Bold", "-Oblique", "-BoldOblique")
# Those with upright digits of full height; matplotlib's other files hold symbols only.
FONTS = (
    *(f"DejaVuSans{style}" for style in _DEJAVU),
    *(f"DejaVuSansMono{style}" for style in _DEJAVU),
    *(f"DejaVuSerif{style.replace('Oblique', 'Italic')}" for style in _DEJAVU),
    *("STIXGeneral", "STIXGeneralBol", "STIXGeneralItalic", "STIXGeneralBolIta"),
    *("cmb10", "cmr10", "cmss10", "cmti10", "cmtt10"),
)
# Of the side of the bitmap: what is left is room for what moves and turns the characters.
_HEIGHT, _WIDTH = 0.66, 0.72
_MEASURED = 100.0  # font size, in pixels, at which characters are measured


@lru_cache(maxsize=4)
def bitmaps(side: int, classes: int) -> Tensor:
    """Draws the first characters once in every font, upright and in the middle.

    Args:
        side: of the bitmaps, in pixels.
        classes: how many characters.

    Returns:
        Coverage in [0, 1] of shape (fonts, classes, side, side); shared, so not to be written to.

    Raises:
        DataError: matplotlib or Pillow is not installed.
    """
    folder = Path(load_extra("matplotlib", "glyphs").get_data_path()) / "fonts" / "ttf"
    drawn = [
        [_draw(folder / f"{font}.ttf", char, side) for char in CHARACTERS[:classes]]
        for font in FONTS
    ]
    return torch.from_numpy(np.array(drawn)).float() / 255


def _draw(path: Path, char: str, side: int) -> "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]":
    image, draw, fonts = (
        load_extra(f"PIL.{name}", "glyphs") for name in ("Image", "ImageDraw", "ImageFont")
    )
    measured = fonts.truetype(str(path), _MEASURED)
    # the height of H for all, so that what tells characters apart by height is kept
    _, top, _, bottom = measured.getbbox("H")
    left, _, right, _ = measured.getbbox(char)
    scale = min(_HEIGHT * side / (bottom - top), _WIDTH * side / (right - left))
    font = fonts.truetype(str(path), _MEASURED * scale)
    left, top, right, bottom = font.getbbox(char)
    canvas = image.new("L", (side, side))
    corner = ((side - left - right) / 2, (side - top - bottom) / 2)
    draw.Draw(canvas).text(corner, char, fill=255, font=font)
    return np.asarray(canvas)
