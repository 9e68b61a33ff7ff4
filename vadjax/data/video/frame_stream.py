"""A video as a stream of frames that know their number and their time.

A frame keeps both on its whole way: from the reader through the resizing to a system, whose scores
say which frames they are of (`vadjax.scores.streaming.PartialScores`). Nothing here needs JAX.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np


class Stamp(NamedTuple):
    """Number and time of a frame, without its pixels.

    Attributes:
      number: from 0; counts the frames of the whole video, on both sides of a gap.
      seconds: from the start of the video; None where unknown, as in a dataset.
      missing: frames of a camera that were lost just before this one.
    """

    number: int
    seconds: float | None = None
    missing: int = 0


class Frame(NamedTuple):
    """A frame of a video.

    Attributes:
      pixels: uint8 [H, W, 3], RGB.
      number, seconds, missing: as of `Stamp`.
    """

    pixels: np.ndarray
    number: int
    seconds: float | None = None
    missing: int = 0

    @property
    def stamp(self) -> Stamp:
        """What is left of the frame once its pixels are not needed any more."""
        return Stamp(self.number, self.seconds, self.missing)


def numbered(pictures: Iterable[np.ndarray]) -> Iterator[Frame]:
    """The pictures of a video, uint8 [H, W, 3], as frames 0, 1, … of unknown times."""
    return (Frame(pixels, number) for number, pixels in enumerate(pictures))
