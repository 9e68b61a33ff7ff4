"""What moves in a volume, from optical flow: directions, speeds, the still share (spec eval §3.2).

NumPy only.
"""

from typing import NamedTuple

import numpy as np

BINS = 12  # of 30 degrees; bin 0 starts at "right", clockwise on the screen


class Motion(NamedTuple):
    """Motion of volumes.

    Attributes:
      ang: share of the moving pixels in each direction, float64 [..., 12]; zeros if nothing moves.
      mag: their mean speed, pixels a frame, float64 [..., 12]; 0 for a direction without pixels.
      bkg: share of all pixels that do not move, float64 [...].
    """

    ang: np.ndarray
    mag: np.ndarray
    bkg: np.ndarray


def targets(flow: np.ndarray, tau: float) -> Motion:
    """Motion of one volume.

    Args:
      flow: [..., 2], u to the right and v down, pixels a frame; all leading axes are pooled.
      tau: pixels a frame from which a pixel counts as moving.

    Raises:
      ValueError: not finite, no vector, or of another shape.
    """
    if flow.shape[-1:] != (2,) or not flow.size:
        raise ValueError(f"flow {flow.shape}; expected [..., 2], at least one vector")
    u, v = np.asarray(flow, np.float64).reshape(-1, 2).T
    speed = np.hypot(u, v)
    if not np.isfinite(speed).all():
        raise ValueError("flow holds NaN or infinite numbers")
    moving = speed >= tau
    turn = np.mod(np.arctan2(v[moving], u[moving]), 2 * np.pi)
    direction = np.floor(turn / (2 * np.pi / BINS)).astype(int) % BINS
    count = np.bincount(direction, minlength=BINS)
    total = np.bincount(direction, speed[moving], minlength=BINS)
    return Motion(
        count / max(count.sum(), 1), total / np.maximum(count, 1), np.float64(1 - moving.mean())
    )
