"""Boxes of what moves before a fixed camera, without any weights (spec ssmtl §10, first item).

    detect = MotionBoxes()
    for frame in video:                         # uint8 [H, W, 3], RGB, in their order
        found = detect(frame)                   # of this frame, from it and those before

Pixels unlike the background, which is learned from the frames so far as a mixture of Gaussians
(Zivkovic, ICPR 2004, as OpenCV has it; its KNN draws lots, so that no two runs are alike), a
morphological closing, connected parts. What stands still for long becomes background; what moves
from the first frame on leaves a ghost behind until then.
"""

import cv2
import numpy as np

from vadjax.backbones.detection import Detections, Detector, Filter, unnamed

NAME = "motion"
FOREGROUND = 255


class MotionBoxes(Detector):
    """The detector; it remembers the frames since `restart`.

    Args:
      threshold: of its own pixels, more than this share of a box moves; the score is that share.
      overlap: of two boxes with a larger IoU the one with the higher share stays.
      min_size: pixels of the smallest width and height.
      history: frames that the background is made of.
      distance: from the background, in variances of its colour, beyond which a pixel moves.
      closing: (H, W) in pixels of the gaps that are closed; people are taller than wide.

    Raises:
      ValueError: a number out of its range.
    """

    consecutive = True

    def __init__(
        self,
        threshold: float = 0.0,
        overlap: float = 1.0,
        min_size: float = 8.0,
        history: int = 50,
        distance: float = 49.0,
        closing: tuple[int, int] = (5, 3),
    ):
        super().__init__(Filter(threshold, overlap, min_size))
        if history < 1 or distance <= 0 or min(closing) < 1:
            raise ValueError(
                f"--history {history}, --distance {distance:g}, --closing {closing}; expected "
                "whole numbers of at least 1 and a distance above 0"
            )
        self.settings = {
            "name": NAME,
            "threshold": threshold,
            "overlap": overlap,
            "min_size": min_size,
            "history": history,
            "distance": distance,
            "closing": list(closing),
        }
        self._closing = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, tuple(closing)[::-1])
        self.restart()

    def restart(self) -> None:
        """Forgets the background."""
        history, distance = self.settings["history"], self.settings["distance"]
        self._background = cv2.createBackgroundSubtractorMOG2(history, distance, False)
        self._first = True

    def candidates(self, frame: np.ndarray) -> Detections:
        """Boxes of the connected parts; the score is the share of a box's pixels that move."""
        # Of itself OpenCV learns faster at first, and takes what passes by then for background
        rate = 1.0 if self._first else 1 / self.settings["history"]
        moving = (self._background.apply(frame, learningRate=rate) == FOREGROUND).astype(np.uint8)
        if self._first:  # nothing to compare it with: all of it is called foreground
            self._first, moving = False, np.zeros_like(moving)
        moving = cv2.morphologyEx(moving, cv2.MORPH_CLOSE, self._closing)
        _, _, parts, _ = cv2.connectedComponentsWithStats(moving, connectivity=8)
        left, top, width, height, area = parts[1:].T.astype(np.float32)  # the first is still
        boxes = np.stack([left, top, left + width, top + height], 1)
        return unnamed(boxes, area / (width * height))
