"""Picture files → frames of 8 bits: read to their end, other values scaled by a named rule.

Thermal and other cameras store 16 bits a value. Which of these values are black and white has to be
the same for all pictures of a set and for what is scored with them, so it is never taken from one
picture: `--levels LOW,HIGH` says it, the manifest of the dataset keeps it, and prediction follows.
No JAX.
"""

import argparse
from typing import NamedTuple

import cv2
import numpy as np

JPEG, PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"  # first bytes of the files
SCAN, END = b"\xff\xda", b"\xff\xd9"  # markers of a JPEG: pixels follow; nothing more does


class Levels(NamedTuple):
    """Values of a picture that become 0 and 255; those between are spread evenly and rounded."""

    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.low:g},{self.high:g}"


def parse_levels(text: str) -> Levels:
    """`LOW,HIGH` → `Levels`, for command lines.

    Raises:
      ArgumentTypeError: other text, or LOW is not below HIGH.
    """
    try:
        low, high = map(float, text.split(","))
    except ValueError:
        low = high = 0.0
    if not -np.inf < low < high < np.inf:
        raise argparse.ArgumentTypeError(
            f"{text!r}; expected LOW,HIGH, the values that become black and white, for example "
            "7000,7400"
        )
    return Levels(low, high)


def add_levels_flag(parser: argparse.ArgumentParser) -> None:
    """Adds `--levels`."""
    parser.add_argument(
        "--levels",
        type=parse_levels,
        metavar="LOW,HIGH",
        help="values of 16-bit pictures that become black and white, the same for all pictures",
    )


def is_whole(content: bytes) -> bool:
    """Whether a JPEG or PNG goes on to its end mark; True for other kinds, which OpenCV checks.

    Some versions of OpenCV fill what is missing with grey and say nothing.
    """
    if content.startswith(PNG):
        return content.rfind(b"IEND") >= 0
    if not content.startswith(JPEG):
        return True
    at = 2  # segment by segment to the first scan: a preview inside a segment has its own end mark
    while content[at : at + 1] == b"\xff" and content[at : at + 2] != SCAN:
        at += 2 + int.from_bytes(content[at + 2 : at + 4], "big")
    return content.find(END, at) >= 0


def decode(content: bytes) -> np.ndarray | None:
    """Encoded image → [H, W, 3], RGB, of its own type (uint8 mostly); None if it is not whole."""
    if not content or not is_whole(content):
        return None
    pixels = imdecode(content, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
    if pixels is not None and pixels.dtype == np.uint8:
        return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB, pixels)
    if pixels is None:  # TIFF of 32 or 64 bits a value
        pixels = imdecode(content, cv2.IMREAD_UNCHANGED)
    if pixels is None:
        return None
    pixels = pixels if pixels.ndim == 3 else pixels[..., None].repeat(3, 2)
    return np.ascontiguousarray(pixels[..., 2::-1])


def imdecode(content: bytes, flags: int) -> np.ndarray | None:
    """As `cv2.imdecode`, from bytes; None for whatever OpenCV does not take."""
    try:
        return cv2.imdecode(np.frombuffer(content, np.uint8), flags)
    except cv2.error:  # as for a header that names more pixels than OpenCV takes
        return None


def to_eight_bits(pixels: np.ndarray, levels: Levels | None, source: str) -> np.ndarray:
    """A picture as uint8; one of 8 bits is left as it is.

    Args:
      pixels: of any type and shape.
      levels: the values that become 0 and 255; None for pictures of 8 bits.
      source: where the picture is from, for messages.

    Raises:
      ValueError: more than 8 bits and no levels, 8 bits and levels, or values that are NaN.
    """
    if pixels.dtype == np.uint8:
        if levels is None:
            return pixels
        raise ValueError(
            f"{source}: a picture of 8 bits, but --levels {levels} is for those of more; all "
            "pictures of a set are of one kind. Leave --levels out, or the picture"
        )
    if not np.isfinite(pixels).all():
        raise ValueError(f"{source}: {pixels.dtype} with values that are NaN or infinite")
    if levels is None:
        low, high = pixels.min(), pixels.max()
        raise ValueError(
            f"{source}: {pixels.dtype} with values from {low:g} to {high:g}, expected 8 bits. Say "
            "which values become black and white with --levels LOW,HIGH where frames are prepared "
            "or features extracted: one choice for all pictures of a set, which prediction takes "
            "from the run"
        )
    part = (pixels.astype(np.float32) - levels.low) * (255 / (levels.high - levels.low))
    return np.clip(np.rint(part), 0, 255).astype(np.uint8)


def not_for(what: str, levels: Levels) -> str:
    """Message that levels do not go with `what`, whose frames have 8 bits."""
    return f"{what} has 8 bits, but levels {levels} are for folders of pictures of 16 bits"
