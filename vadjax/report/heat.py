"""Heat over a picture: where a score comes from, in colours that colour-blind eyes tell apart."""

import cv2
import matplotlib
import numpy as np

COLOURS = "inferno"  # lightness rises with the value, so it can be read without colour too
PERCENTILES = (50, 99.5)  # of all values: where colour begins, and where it is full
COVER = 0.85  # opacity of the colour where the heat is full

_TABLE = matplotlib.colormaps[COLOURS](np.arange(256), bytes=True)[:, :3]


def limits(values: np.ndarray) -> tuple[float, float]:
    """Values at which colour begins and is full: the `PERCENTILES` of `values`."""
    low, high = np.percentile(np.asarray(values, np.float64), PERCENTILES)
    return float(low), float(high)


def colours(values: np.ndarray, ends: tuple[float, float]) -> np.ndarray:
    """Colours of values [...], uint8 [..., 3], RGB.

    Args:
      values: float [...].
      ends: values of the first and the last colour.
    """
    low, high = ends
    part = np.clip((np.asarray(values, np.float64) - low) / (high - low), 0, 1)
    return _TABLE[(255 * part).astype(np.uint8)]


def over(picture: np.ndarray, heat: np.ndarray, ends: tuple[float, float]) -> np.ndarray:
    """Blends heat over a picture, which stays as it is where there is no heat.

    Args:
      picture: uint8 [H, W, 3], RGB.
      heat: float [h, w], spread over the whole picture.
      ends: values at which colour begins and is full; equal ones give no colour.

    Returns:
      uint8 [H, W, 3], RGB.
    """
    low, high = ends
    if high <= low:
        return picture.copy()
    # 0 where colour begins, 1 where it is full; the opacity rises with it.
    part = np.clip((np.asarray(heat, np.float32) - low) / (high - low), 0, 1)
    part = cv2.resize(part, picture.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    colour = _TABLE[(255 * part).astype(np.uint8)]
    cover = COVER * part[..., None]
    return np.rint(picture + cover * (colour.astype(np.float32) - picture)).astype(np.uint8)
