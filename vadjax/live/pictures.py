"""Pictures of frames with the boxes of an event, and the frames that still wait for their score."""

import collections
from collections.abc import Sequence

import cv2
import numpy as np

from vadjax.data.video.frame_stream import Frame

MOST_FRAMES, MOST_BYTES = 512, 256 << 20  # that are kept; the oldest go
QUALITY = 85  # of JPEG
COLOUR = (255, 64, 64)  # of boxes, RGB


class RecentFrames:
    """The frames that came since the one that was scored last, at most `MOST_FRAMES`."""

    def __init__(self):
        self._frames: collections.deque[Frame] = collections.deque()

    def add(self, frame: Frame) -> None:
        """Takes a frame that is not scored yet."""
        self._frames.append(frame)
        limit = max(1, min(MOST_FRAMES, MOST_BYTES // frame.pixels.nbytes))
        while len(self._frames) > limit:
            self._frames.popleft()

    def take(self, number: int) -> Frame | None:
        """The frame of that number, else the next one that is kept; those before it go."""
        while self._frames and self._frames[0].number < number:
            self._frames.popleft()
        return self._frames[0] if self._frames else None


def with_boxes(
    pixels: np.ndarray, boxes: Sequence[Sequence[float]], size: tuple[int, int] | None
) -> np.ndarray:
    """A frame with boxes drawn on it.

    Args:
      pixels: uint8 [H, W, 3], RGB; left as it is.
      boxes: rows x0, y0, x1, y1.
      size: (H, W) of the frames that the boxes are in; None for that of `pixels`.
    """
    height, width = pixels.shape[:2]
    scale = np.tile([width / size[1], height / size[0]] if size else [1.0, 1.0], 2)
    drawn = np.ascontiguousarray(pixels).copy()
    thickness = max(1, round(min(height, width) / 240))
    for row in boxes:
        sides = np.nan_to_num(np.asarray(row[:4], np.float64) * scale, posinf=1e6, neginf=-1e6)
        x0, y0, x1, y1 = (int(round(side)) for side in np.clip(sides, -1e6, 1e6))
        cv2.rectangle(drawn, (x0, y0), (x1, y1), COLOUR, thickness)
    return drawn


def to_jpeg(pixels: np.ndarray, quality: int = QUALITY) -> bytes:
    """A picture, uint8 [H, W, 3] RGB, as JPEG."""
    done, data = cv2.imencode(
        ".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality]
    )
    if not done:
        raise ValueError(f"a picture of {pixels.shape} cannot be written as JPEG")
    return data.tobytes()
