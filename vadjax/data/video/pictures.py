"""Picture files → frames of 8 bits. Incomplete files are refused; other depths need levels.

Thermal and other cameras store 16 bits a value. Which of these values become black and white has to
be the same for all pictures of a set and for those that are scored later, so it is never taken from
a single picture: `--levels LOW,HIGH` sets it, the manifest of the dataset keeps it, and prediction
uses it again. No JAX.
"""

import argparse
import contextlib
import io
import os
import warnings
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image

from vadjax.formats import regular

MOST_BYTES = 1 << 28  # largest picture file
MOST_PIXELS = 1 << 26  # most pixels of a picture, twice those of 8K video
# What is known of the formats: JPEG is a list of segments, each with a marker, then pixels.
JPEG, PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"  # first bytes of the files
SCAN, END = b"\xff\xda", b"\xff\xd9"  # markers of a JPEG: pixels follow; the end
SEQUENTIAL = (0xC0, 0xC1)  # markers of frames whose blocks are coded one after the other
FRAMES = (*SEQUENTIAL, 0xC2, 0xC3, *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0))
MOST_SEGMENTS = 10_000  # segments of a JPEG before its pixels
TABLES = 0xC4  # marker of Huffman tables
ZEROS = bytes(64)  # more than two blocks of a JPEG, all of the same code


class Levels(NamedTuple):
    """Values of a picture that become 0 and 255; values between are scaled linearly and rounded."""

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
    """Adds the flag `--levels` to a parser."""
    parser.add_argument(
        "--levels",
        type=parse_levels,
        metavar="LOW,HIGH",
        help="values of 16-bit pictures that become black and white, the same for all pictures",
    )


def read_bytes(path: str | os.PathLike) -> bytes:
    """The content of a picture file of up to `MOST_BYTES`.

    Raises:
      OSError, ValueError: as `regular.read_bytes`.
    """
    return regular.read_bytes(path, MOST_BYTES)


@contextlib.contextmanager
def naming(path: object) -> Iterator[None]:
    """Adds the file to the message of an error of `decode` or `check_size`."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{path}: not a readable image: {error}") from error


def check_size(content: bytes) -> None:
    """Refuses a picture that is too large by its header, before memory is taken for its pixels.

    Raises:
      ValueError: more pixels than `MOST_PIXELS`.
    """
    height, width = _size(content)
    if height * width > MOST_PIXELS:
        raise ValueError(
            f"a picture of {height:,} × {width:,} pixels by its header; expected {MOST_PIXELS:,} "
            "at most. Make it smaller"
        )


def _size(content: bytes) -> tuple[int, int]:
    """(H, W) by the header; (0, 0) if the header is not understood."""
    if content.startswith(PNG):
        return int.from_bytes(content[20:24], "big"), int.from_bytes(content[16:20], "big")
    # The first frame header of a JPEG: precision, height and width.
    if content.startswith(JPEG):
        return next(
            (
                (int.from_bytes(segment[1:3], "big"), int.from_bytes(segment[3:5], "big"))
                for marker, segment, _ in _segments(content)
                if marker in FRAMES
            ),
            (0, 0),
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(content)) as image:
                return image.size[::-1]
    except Image.DecompressionBombError as error:
        raise ValueError(f"a picture of too many pixels ({error}); make it smaller") from error
    except Exception:  # what Pillow raises of damaged headers is open-ended; OpenCV tells
        return 0, 0


def _segments(content: bytes) -> Iterator[tuple[int, bytes, int]]:
    """Marker, content and end position of the segments of a JPEG, up to that of its first scan.

    A preview image inside a segment has segments of its own, which are skipped together with it.
    """
    at, count = 2, 0
    while content[at : at + 1] == b"\xff" and (count := count + 1) <= MOST_SEGMENTS:
        stop = at + 2 + int.from_bytes(content[at + 2 : at + 4], "big")
        yield content[at + 1], content[at + 4 : stop], stop
        if content[at : at + 2] == SCAN:
            return
        at = stop


def is_whole(content: bytes) -> bool:
    """Whether a JPEG or PNG has its end mark; True for other kinds, which OpenCV checks.

    Some versions of OpenCV fill missing parts with grey without an error.
    """
    if content.startswith(PNG):
        return content.rfind(b"IEND") >= 0
    if not content.startswith(JPEG):
        return True
    # The end mark is looked for after the header of the scan: a preview image has one of its own.
    segments = [*_segments(content)] or [(0, b"", 2)]
    start = segments[-1][2]
    end = content.find(END, start)
    return end >= 0 and not (content.find(ZEROS, start, end) >= 0 and _zeros_damage(segments))


def _zeros_damage(segments: Sequence[tuple[int, bytes, int]]) -> bool:
    """Whether a long run of zero bytes in the scan of a JPEG cannot be pixels.

    A file system leaves zeros in place of data that it lost. The zeros are pixels if the Huffman
    code of zeros stands for "no more coefficients": a large area of one colour, coded by tables
    that were made for this picture. By the usual tables the same zeros would be noise. For a
    progressive JPEG this is not known, and the zeros pass.
    """
    if not any(marker in SEQUENTIAL for marker, _, _ in segments):
        return False
    # A table is a class and number (1 byte), the number of codes of each length (16 bytes), and the
    # symbols from the shortest code on; the first symbol is that of the code of zeros.
    zero_symbols = []
    for marker, segment, _ in segments:
        at = 0
        while marker == TABLES and at + 17 < len(segment):
            zero_symbols.append(segment[at + 17])
            at += 17 + sum(segment[at + 1 : at + 17])
    return any(zero_symbols)


def decode(content: bytes) -> np.ndarray | None:
    """Decodes an image to [H, W, 3], RGB, in its own depth (mostly uint8).

    Returns:
      The pixels; None if the image is not whole, or cannot be decoded.

    Raises:
      ValueError: more pixels than `MOST_PIXELS`.
    """
    if not content:
        return None
    check_size(content)
    if not is_whole(content):
        return None
    pixels = imdecode(content, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
    if pixels is not None and pixels.dtype == np.uint8:
        return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB, pixels)
    # TIFF of 32 or 64 bits a value is only read without conversion. Grey becomes three channels.
    if pixels is None:
        pixels = imdecode(content, cv2.IMREAD_UNCHANGED)
    if pixels is None:
        return None
    pixels = pixels if pixels.ndim == 3 else pixels[..., None].repeat(3, 2)
    return np.ascontiguousarray(pixels[..., 2::-1])


def imdecode(content: bytes, flags: int) -> np.ndarray | None:
    """As `cv2.imdecode`, but from bytes, and None for anything that OpenCV does not decode."""
    try:
        return cv2.imdecode(np.frombuffer(content, np.uint8), flags)
    except cv2.error:  # for example more pixels by the header than OpenCV accepts
        return None


def to_eight_bits(pixels: np.ndarray, levels: Levels | None, source: str) -> np.ndarray:
    """A picture as uint8; a picture of 8 bits is returned as it is.

    Args:
      pixels: values of any type and shape.
      levels: the values that become 0 and 255; None for pictures of 8 bits.
      source: file that the picture is from, for messages.

    Raises:
      ValueError: more than 8 bits without levels, 8 bits with levels, or NaN or infinite values.
    """
    # Levels belong to a whole set: a picture of another depth in it is an error.
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
    # 255 (v - low) / (high - low), rounded half to even, cut off at 0 and 255.
    scaled = (pixels.astype(np.float32) - levels.low) * (255 / (levels.high - levels.low))
    return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)


def not_for(what: str, levels: Levels) -> str:
    """The message for levels that are given for `what`, whose frames have 8 bits."""
    return f"{what} has 8 bits, but levels {levels} are for folders of pictures of 16 bits"
