"""Single frames: size and scale."""

import cv2
import numpy as np


def resize(frame: np.ndarray, height: int, width: int) -> np.ndarray:
    """Frame uint8 [H, W, 3] → uint8 [height, width, 3], bilinear without antialiasing.

    The aspect ratio is not kept; values are rounded to uint8 (spec lgn_net §1).
    """
    return cv2.resize(frame, (width, height), interpolation=cv2.INTER_LINEAR)


def to_float(frames: np.ndarray) -> np.ndarray:
    """Frames uint8 of any shape → float32 in [-1, 1]."""
    return frames.astype(np.float32) / np.float32(127.5) - np.float32(1)
