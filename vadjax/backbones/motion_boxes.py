"""Boxes of what moves before a fixed camera, without any weights (spec ssmtl §10, first item).

    detect = MotionBoxes()
    for frame in video:                         # uint8 [H, W, 3], RGB, in their order
        found = detect(frame)                   # of this frame, from it and those before

Pixels unlike the background, which is learned from the frames so far (Zivkovic and van der Heijden,
Pattern Recognition Letters 2006, as OpenCV has it), a morphological closing, connected parts. What
stands still for long becomes background, and what moves from the first frame on leaves a ghost
behind until then.
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
      distance: squared difference in colour, summed over the channels, from which a pixel is not
        the background's.
      closing: width and height in pixels of the gaps that are closed; people are taller than wide.

    Raises:
      ValueError: a number out of its range.
    """

    consecutive = True

    def __init__(
        self,
        threshold: float = 0.0,
        overlap: float = 1.0,
        min_size: float = 6.0,
        history: int = 100,
        distance: float = 1200.0,
        closing: tuple[int, int] = (3, 3),
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
        self._closing = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, tuple(closing))
        self.restart()

    def restart(self) -> None:
        """Forgets the background."""
        history, distance = self.settings["history"], self.settings["distance"]
        self._background = cv2.createBackgroundSubtractorKNN(history, distance, False)

    def candidates(self, frame: np.ndarray) -> Detections:
        """Boxes of the connected parts; the score is the share of a box's pixels that move."""
        moving = (self._background.apply(frame) == FOREGROUND).astype(np.uint8)
        moving = cv2.morphologyEx(moving, cv2.MORPH_CLOSE, self._closing)
        _, _, parts, _ = cv2.connectedComponentsWithStats(moving, connectivity=8)
        left, top, width, height, area = parts[1:].T.astype(np.float32)  # the first is still
        boxes = np.stack([left, top, left + width, top + height], 1)
        return unnamed(boxes, area / (width * height))
