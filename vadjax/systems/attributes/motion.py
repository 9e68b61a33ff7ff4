"""What moves in a frame, and how fast an object moves (spec attributes §1 to §3).

Grey frames are uint8 [h, w]; boxes are `x0, y0, x1, y1` in their pixels; flow is float32 [h, w, 2],
u to the right and v down, in pixels a frame.
"""

from typing import NamedTuple

import cv2
import numpy as np

SHORT_SIDE = 240  # pixels, to which larger frames are shrunk
DIFFERENCE = 15  # of two blurred grey values, beyond which a pixel has changed
AROUND_DETECTED = 4  # pixels around a detected box that are not looked at
CLOSING = 5  # pixels of the gaps that are closed
LEAST_AREA, MOST_AREA = 0.001, 0.25  # of a box, as a share of the frame
LONGEST = 6.0  # sides of a box, one to the other
LEAST_CHANGED = 0.0003  # share of the frame that must have changed in an object
AROUND_MOVING = 2  # pixels that a box is grown by
BINS = 8  # directions of 45 degrees


class Small(NamedTuple):
    """The size of the grey frames that motion is looked for in.

    Attributes:
      frame: (H, W) of the frames.
      size: (h, w) of the grey ones.
    """

    frame: tuple[int, int]
    size: tuple[int, int]

    @classmethod
    def of(cls, frame: tuple[int, int]) -> "Small":
        """That of frames of a size (H, W): the short side is 240 pixels at most."""
        factor = min(1.0, SHORT_SIDE / min(frame))
        return cls(frame, tuple(int(np.floor(side * factor + 0.5)) for side in frame))

    def grey(self, frame: np.ndarray) -> np.ndarray:
        """A frame uint8 [H, W, 3], RGB, as a small grey one [h, w]."""
        grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
        if self.size == self.frame:
            return grey
        return cv2.resize(grey, self.size[::-1], interpolation=cv2.INTER_AREA)

    @property
    def scale(self) -> np.ndarray:
        """Pixels of a frame to one of the grey frame, of columns and rows, float64 [2]."""
        return np.array(self.frame[::-1]) / np.array(self.size[::-1])

    def to_grey(self, boxes: np.ndarray) -> np.ndarray:
        """Boxes [n, 4] of the frame in pixels of the grey frame."""
        return boxes / np.tile(self.scale, 2)

    def to_frame(self, boxes: np.ndarray) -> np.ndarray:
        """Boxes [n, 4] of the grey frame in pixels of the frame."""
        return boxes * np.tile(self.scale, 2)


def blur(grey: np.ndarray) -> np.ndarray:
    """A grey frame, blurred a little (OpenCV's own deviation for 5 pixels, 1.1)."""
    return cv2.GaussianBlur(grey, (5, 5), 0)


def differs(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Where two blurred grey frames differ, bool [h, w]."""
    return cv2.absdiff(one, other) > DIFFERENCE


def changed(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Where two grey frames differ, bool [h, w]."""
    return differs(blur(before), blur(after))


def moving_boxes(mask: np.ndarray, detected: np.ndarray) -> np.ndarray:
    """Boxes of what moves and was not detected, float64 [n, 4], in OpenCV's order of parts.

    Args:
      mask: bool [h, w], where the frame has changed; is not altered.
      detected: boxes [m, 4] in pixels of the grey frame.
    """
    height, width = mask.shape
    mask = mask.astype(np.uint8)
    # what was detected is not looked at again
    first = np.floor(detected[:, :2]).astype(int) - AROUND_DETECTED
    last = np.ceil(detected[:, 2:]).astype(int) + AROUND_DETECTED
    for (x0, y0), (x1, y1) in zip(np.maximum(first, 0), last, strict=True):
        mask[y0 : max(y1, 0), x0 : max(x1, 0)] = 0
    # the connected parts of what is left, their gaps closed
    closed = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((CLOSING, CLOSING), np.uint8))
    count, parts, stats, _ = cv2.connectedComponentsWithStats(closed, connectivity=8)
    pixels = np.bincount(parts[mask > 0], minlength=count)
    # those of the size and form of an object, in which enough has changed
    left, top, wide, high = stats[:, : cv2.CC_STAT_AREA].T.astype(np.float64)
    area = wide * high / (height * width)
    fits = (area >= LEAST_AREA) & (area <= MOST_AREA)
    fits &= np.maximum(wide / high, high / wide) <= LONGEST
    fits &= pixels >= LEAST_CHANGED * height * width
    fits[0] = False  # the part that has not changed
    boxes = np.stack([left, top, left + wide, top + high], 1)[fits]
    boxes += AROUND_MOVING * np.array([-1, -1, 1, 1])
    return np.clip(boxes, 0, [width, height, width, height])


class Motions(NamedTuple):
    """How the objects of a frame move, in the pixels of the flow.

    Attributes:
      speed: mean length of the flow in a box, float64 [n], pixels a frame.
      bins: the same by direction, float64 [n, 8]: bin k holds 45 k to 45 (k + 1) degrees,
        clockwise from the right; they sum to the speed.
      vector: mean flow, float64 [n, 2].
    """

    speed: np.ndarray
    bins: np.ndarray
    vector: np.ndarray


def motions(flow: np.ndarray, boxes: np.ndarray) -> Motions:
    """How objects move.

    Args:
      flow: [h, w, 2].
      boxes: [n, 4] within it; each takes at least one pixel.
    """
    height, width = flow.shape[:2]
    speed, bins, vector = (
        np.zeros(len(boxes)),
        np.zeros((len(boxes), BINS)),
        np.zeros((len(boxes), 2)),
    )
    for row, box in enumerate(boxes):
        x0, y0 = np.minimum(np.floor(box[:2]).astype(int), [width - 1, height - 1])
        x1, y1 = np.maximum(np.ceil(box[2:]).astype(int), [x0 + 1, y0 + 1])
        u, v = flow[y0:y1, x0:x1].reshape(-1, 2).astype(np.float64).T
        length = np.sqrt(u * u + v * v)
        turn = np.mod(np.degrees(np.arctan2(v, u)), 360)
        direction = (turn // (360 / BINS)).astype(int) % BINS
        speed[row], vector[row] = length.mean(), (u.mean(), v.mean())
        bins[row] = np.bincount(direction, length, minlength=BINS) / len(length)
    return Motions(speed, bins, vector)
