"""From a predicted frame to a normality score (spec lgn_net §4), and the untrained baseline.

Per window there are three measures: the PSNR of the prediction, the feature distance
(`loss.compactness`) and the point score, which decides whether the window updates the memory.
"""

import jax
import jax.numpy as jnp
import numpy as np

LEAST_ERROR = 1e-10  # a perfect prediction counts as 100 dB


def frame_error(prediction: jax.Array, target: jax.Array) -> jax.Array:
    """Squared differences on the [0, 1] scale of frames that are on [-1, 1], any shape."""
    return jnp.square((prediction + 1) / 2 - (target + 1) / 2)


def psnr(error: np.ndarray) -> np.ndarray:
    """Peak signal-to-noise ratio in dB, `10 log10(1 / error)`, float64, at most 100.

    Args:
      error: mean squared error(s) on the [0, 1] scale.
    """
    return -10 * np.log10(np.maximum(np.asarray(error, np.float64), LEAST_ERROR))


def point_score(error: jax.Array) -> jax.Array:
    """Mean of squared errors, weighted by `1 - exp(-error)`, so that large errors count most.

    Args:
      error: `frame_error` of one frame, any shape.

    Returns:
      Scalar; 0 for a perfect prediction (the original gives NaN).
    """
    weights = -jnp.expm1(-error)
    total = weights.sum()
    return jnp.where(total > 0, (weights * error).sum() / jnp.where(total > 0, total, 1), 0)


def min_max(values: np.ndarray) -> np.ndarray:
    """Values of one video scaled to [0, 1], float64; all 0 where they are all equal."""
    values = np.asarray(values, np.float64)
    return scale(values, values.min(), values.max())


def scale(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """`(values - low) / (high - low)`, float64; zeros where `low` equals `high`."""
    values = np.asarray(values, np.float64)
    return (values - low) / (high - low) if high > low else np.zeros_like(values)


def normality(psnrs: np.ndarray, distances: np.ndarray, weight: float = 0.6) -> np.ndarray:
    """Normality of each frame of one video, high = normal.

    `weight * minmax(psnr) + (1 - weight) * (1 - minmax(distance))`. The limits are those of the
    whole video: later frames influence earlier ones, and a video without normal frames still gets
    the full range (spec §7 row 9). `normality_online` has neither property.

    Args:
      psnrs: [T].
      distances: [T].
      weight: of the PSNR; 0.6 (LGN-Net, MNAD prediction) or 0.7 (MNAD reconstruction).

    Returns:
      float64 [T] in [0, 1].
    """
    return weight * min_max(psnrs) + (1 - weight) * (1 - min_max(distances))


def normality_online(
    psnrs: np.ndarray,
    distances: np.ndarray,
    psnr_limits: tuple[float, float],
    distance_limits: tuple[float, float],
    weight: float = 0.6,
) -> np.ndarray:
    """As `normality`, with limits given beforehand, such as those of training videos.

    Frames beyond the limits get values outside [0, 1]: nothing is clipped.

    Args:
      psnrs: [T].
      distances: [T].
      psnr_limits: lowest and highest PSNR.
      distance_limits: lowest and highest feature distance.
      weight: of the PSNR.

    Returns:
      float64 [T].
    """
    near = 1 - scale(distances, *distance_limits)
    return weight * scale(psnrs, *psnr_limits) + (1 - weight) * near


def copy_previous_error(frames: np.ndarray, first: int = 4) -> np.ndarray:
    """Errors of the rule "the next frame is the last one", which any training must beat.

    Args:
      frames: float [T, H, W, 3] in [-1, 1].
      first: first frame that is predicted; 4 gives the frames that LGN-Net scores.

    Returns:
      Mean squared errors on the [0, 1] scale, float64 [T - first]; `psnr` of them is the score.
    """
    change = (frames[first:].astype(np.float64) - frames[first - 1 : -1]) / 2
    return np.square(change).mean((1, 2, 3))
