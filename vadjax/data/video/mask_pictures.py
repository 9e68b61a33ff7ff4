"""Pictures of masks, read as they are stored. No JAX.

Which pixels are anomalous depends on the kind of picture:

grey      values above 0, of 8 or 16 bits, also numbers of objects
colour    any channel above 0
palette   index above 0, whatever the colours; index 0 is the background
alpha     pixels that are not transparent, if the picture has only one colour. Alpha is ignored if
          it is the same everywhere, and refused if it contradicts the colours
JPEG      values of 128 and more, because JPEG spreads small values around every edge
"""

import functools
import io
import pathlib
import sys

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from vadjax.data.video import pictures
from vadjax.data.video.reader import Picture

HALF = 128  # least anomalous value of a JPEG, half of its range
BLACK = 16  # largest value that rounding in a JPEG can make of a picture that is all black


def read_mask(path: pathlib.Path) -> Picture:
    """One mask from a picture file, by the rules of the module; `pixels` is bool [H, W].

    Raises:
      ValueError: the file is no readable picture, or can be understood in two ways.
    """
    content = pictures.read_bytes(path)
    if content.startswith(pictures.JPEG):
        with pictures.naming(path):
            pixels = pictures.decode(content)
        return Picture(_above_half(pixels, path), str(path))
    values = read_values(content, path)
    if values.ndim == 3 and values.shape[2] == 4:
        return Picture(_without_alpha(values, path), str(path))
    return Picture(values > 0 if values.ndim == 2 else (values > 0).any(2), str(path))


def read_values(content: bytes, path: pathlib.Path) -> np.ndarray:
    """Values of a picture as they are stored: [H, W], or [H, W, C], BGR and alpha.

    Raises:
      ValueError: the file is no readable picture, or has a palette whose background is not clear.
    """
    # Damaged files are refused first: OpenCV may fill what is missing with grey.
    with pictures.naming(path):
        pictures.check_size(content)
    if not pictures.is_whole(content):
        raise ValueError(f"{path}: cut short ({len(content):,} bytes); copy it again")
    values = _palette_index(content, path)
    if values is None:
        values = pictures.imdecode(content, cv2.IMREAD_UNCHANGED)
    if values is None:
        raise ValueError(f"{path}: not a readable mask ({len(content):,} bytes); copy it again")
    return values


def _palette_index(content: bytes, path: pathlib.Path) -> np.ndarray | None:
    """Index of every pixel's colour, [H, W]; None for a picture without a palette.

    Raises:
      ValueError: a damaged picture, or a palette whose background is not clear.
    """
    try:
        with Image.open(io.BytesIO(content)) as image:
            if image.mode != "P":
                return None
            index, colours = np.asarray(image), image.getpalette("RGB")
    except (UnidentifiedImageError, Image.DecompressionBombError, Image.DecompressionBombWarning):
        return None  # OpenCV knows more kinds
    except (OSError, ValueError, SyntaxError) as error:
        raise ValueError(f"{path}: not a readable mask ({error}); copy it again") from error
    # Some programs save a palette in which another entry than 0 is the black background.
    rgb = np.array(colours).reshape(-1, 3)
    black = [i for i in np.unique(index) if 0 < i < len(rgb) and not rgb[i].any()]
    if black and rgb[0].any():
        raise ValueError(
            f"{path}: a palette whose entry 0 is the colour {tuple(map(int, rgb[0]))} and whose "
            f"entry {black[0]} is black; either may be the background. Save the mask as a grey "
            "picture with 0 for the background"
        )
    return index


def _without_alpha(values: np.ndarray, path: pathlib.Path) -> np.ndarray:
    """Anomalous pixels of a picture [H, W, 4], bool [H, W].

    Raises:
      ValueError: colours and alpha contradict each other.
    """
    # Alpha that is the same everywhere says nothing.
    coloured, alpha = (values[..., :3] > 0).any(2), values[..., 3]
    if alpha.flat[0] > 0 and (alpha == alpha.flat[0]).all():
        return coloured
    # A picture of one colour is drawn by its alpha; else both must say the same.
    opaque = alpha > 0
    if (values[..., :3] == values[0, 0, :3]).all() or (coloured == opaque).all():
        return opaque
    raise ValueError(
        f"{path}: {int(coloured.sum()):,} pixels have a colour above 0, but "
        f"{int(opaque.sum()):,} are not transparent; which are anomalous is not clear. Save the "
        "mask as a grey picture with 0 for the background"
    )


def _above_half(pixels: np.ndarray | None, path: pathlib.Path) -> np.ndarray:
    """Anomalous pixels of a JPEG [H, W, 3], bool [H, W].

    Raises:
      ValueError: not decoded, or the values are not those of a black and white picture.
    """
    if pixels is None:
        raise ValueError(f"{path}: not a readable JPEG, or cut short; copy it again")
    # A picture that is dark throughout is no mask of 0 and 255, unless it is all black.
    brightest = pixels.max(2)
    if 0 < brightest.max() < HALF:
        if brightest.max() > BLACK or brightest.min() != brightest.max():
            raise ValueError(
                f"{path}: a JPEG mask whose largest value is {brightest.max()}, expected black and "
                "white (0 and 255): JPEG changes small values. Save the masks as PNG from their "
                "source"
            )
    _note_jpeg()
    return brightest >= HALF


@functools.cache
def _note_jpeg() -> None:
    """Prints, once in a program, how masks in JPEG are read."""
    print(
        f"note: masks in JPEG: values of {HALF} and more count as anomalous, because JPEG blurs "
        "edges",
        file=sys.stderr,
    )
