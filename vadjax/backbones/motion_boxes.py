"""Boxes of moving objects in front of a fixed camera, without weights (spec ssmtl §10, first item).

    detect = MotionBoxes()
    for frame in video:                         # uint8 [H, W, 3], RGB, in their order
        detections = detect(frame)              # of this frame, from it and those before

The pixels that differ from the background are closed morphologically, and each connected part is a
box. The background is a mixture of Gaussians that is learned from the frames so far (Zivkovic, ICPR
2004, in OpenCV; OpenCV's KNN is random, so that no two runs would be alike). What stands still for
long becomes background; what is in the first frame and moves on leaves a ghost behind until then.
"""

import cv2
import numpy as np

from vadjax.backbones.detection import Detections, Detector, Filter, unnamed

NAME = "motion"
FOREGROUND = 255


class MotionBoxes(Detector):
    """The detector; it remembers the frames since `restart`.

    Args:
      threshold: more than this share of the box's pixels must move; the score is that share.
      overlap: of two boxes with a larger IoU the one with the higher share stays.
      min_size: smallest width and height of a box, pixels.
      history: number of frames that the background is made of.
      distance: distance from the background, in variances of its colour, beyond which a pixel
        moves.
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
        # `detector.open(**settings)` makes the same detector.
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
        # By default OpenCV learns faster at first, so that what passes by then becomes background.
        rate = 1.0 if self._first else 1 / self.settings["history"]
        moving = (self._background.apply(frame, learningRate=rate) == FOREGROUND).astype(np.uint8)
        if self._first:  # without a background OpenCV calls every pixel foreground
            self._first, moving = False, np.zeros_like(moving)
        # Close small gaps, then one box around each connected part.
        moving = cv2.morphologyEx(moving, cv2.MORPH_CLOSE, self._closing)
        _, _, parts, _ = cv2.connectedComponentsWithStats(moving, connectivity=8)
        left, top, width, height, area = parts[1:].T.astype(np.float32)  # part 0 does not move
        boxes = np.stack([left, top, left + width, top + height], 1)
        return unnamed(boxes, area / (width * height))
