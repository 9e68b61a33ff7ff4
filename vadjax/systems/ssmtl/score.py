"""From the outputs of an object to its score, from objects to frames (spec ssmtl §6, §7).

object → score of each task → their mean
objects → volume of pixels → mean of 9 × 9 × 9 → largest of each frame → Gaussian over time
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from scipy import ndimage

from vadjax.config import expect_one_of
from vadjax.data.video.crops import rectangles

DISTILLATION_SPACES = {"logits": lambda x: x, "probabilities": jax.nn.sigmoid}
GAUSSIANS = ("centred", "offset")
OBJECT_SCORES = ("mean", "standardised")
LEAST_DEVIATION = 1e-6
MEAN_SIZE = 9  # frames, rows, columns
BLOCK = 2**23  # pixels of a volume at a time: 64 MB in float64


def task_scores(
    outputs: Mapping[str, jax.Array],
    middle: jax.Array,
    detector: jax.Array | None = None,
    distillation_space: str = "logits",
) -> dict[str, jax.Array]:
    """Scores of objects by each task, high = anomalous; `object_scores` is their mean.

    Args:
      outputs: as of `MultiTaskNet.score_outputs`, for plain sequences.
      middle: float [N, H, W, 3] in [0, 1], the middle crops.
      detector: float [N, K], class outputs of the detector before its last activation: the first
        K of the outputs that are distilled. The classifier is used in training alone.
      distillation_space: `"logits"` as trained, or `"probabilities"`.

    Returns:
      task → float [N]: probability of backward, probability of gaps, mean absolute difference of
      the middle crop, mean absolute difference of the detector's outputs.

    Raises:
      ValueError: no such space, or distillation without outputs of the detector.
    """
    expect_one_of("eval.distillation_space", distillation_space, DISTILLATION_SPACES)
    scores = {}
    for task, output in outputs.items():
        if task in ("arrow", "irregularity"):
            # A plain sequence is forward and regular, so class 1 is wrong.
            scores[task] = jax.nn.softmax(output)[:, 1]
        elif task == "middle":
            scores[task] = jnp.abs(output - middle).mean((1, 2, 3))
        elif detector is None:
            raise ValueError("distillation is among the tasks, but there are no detector outputs")
        else:
            # The student's first K outputs imitate the detector, the others the classifier.
            space = DISTILLATION_SPACES[distillation_space]
            student = output[:, : detector.shape[1]]
            scores[task] = jnp.abs(space(student) - space(detector)).mean(1)
    return scores


def object_scores(
    by_task: Mapping[str, jax.Array], form: str = "mean", normal: jax.Array | None = None
) -> jax.Array:
    """Scores of objects from those of their tasks. They are not rescaled for each video.

    Args:
      by_task: task → float [N].
      form: `"mean"` over the tasks (spec ssmtl §6), in which the task with the widest scores
        decides; or `"standardised"`, the mean of their deviations from normal objects, 0 if below.
      normal: float [tasks, 2], mean and deviation of each task on normal objects; only needed for
        `"standardised"`.

    Returns:
      float [N], 0 or more.
    """
    stacked = jnp.stack([*by_task.values()])
    if form == "mean":
        return stacked.mean(0)
    # (score − mean) / deviation of each task, then their mean.
    mean, deviation = normal[:, :1], jnp.maximum(normal[:, 1:], LEAST_DEVIATION)
    return jnp.maximum(((stacked - mean) / deviation).mean(0), 0)


def pixel_volume(
    frames: np.ndarray,
    boxes: np.ndarray,
    scores: np.ndarray,
    num_frames: int,
    size: tuple[int, int],
    first: int = 0,
) -> np.ndarray:
    """Highest score of the boxes over each pixel, 0 where there is none.

    Args:
      frames: int [n], number of each object's frame; objects of other frames are left out.
      boxes: float [n, 4], `x0, y0, x1, y1`.
      scores: float [n], 0 or more.
      num_frames: frames of the volume.
      size: (H, W) of a frame.
      first: number of the frame that the volume begins with.

    Returns:
      float64 [num_frames, H, W].
    """
    volume = np.zeros((num_frames, *size))
    inside = np.flatnonzero((frames >= first) & (frames < first + num_frames))
    for i, (x0, y0, x1, y1) in zip(inside, rectangles(boxes[inside], size), strict=True):
        part = volume[frames[i] - first, y0:y1, x0:x1]
        np.maximum(part, scores[i], out=part)
    return volume


def mean_filter(volume: np.ndarray, size: int = MEAN_SIZE) -> np.ndarray:
    """Mean of the `size`³ values around each, float64 [T, H, W]; outside the volume they are 0."""
    return ndimage.uniform_filter(np.asarray(volume, np.float64), size, mode="constant")


def frame_scores(
    frames: np.ndarray,
    boxes: np.ndarray,
    scores: np.ndarray,
    num_frames: int,
    size: tuple[int, int],
    filter_size: int = MEAN_SIZE,
) -> np.ndarray:
    """Largest value of each frame of the filtered pixel volume, which is never held as a whole.

    Args:
      frames: int [n]; with `boxes` and `scores` as of `pixel_volume`.
      boxes: float [n, 4].
      scores: float [n].
      num_frames: frames of the video.
      size: (H, W) of a frame.
      filter_size: side of the mean; 1 leaves the volume as it is.

    Returns:
      float64 [num_frames]; 0 for a frame with no object within reach of the filter.
    """
    # As many frames at a time as fit into a block with those that the filter reaches beside them.
    reach = filter_size // 2
    step = max(BLOCK // (size[0] * size[1]) - 2 * reach, filter_size)
    highest = np.zeros(num_frames)
    for start in range(0, num_frames, step):
        stop = min(start + step, num_frames)
        low, high = max(start - reach, 0), min(stop + reach, num_frames)
        volume = pixel_volume(frames, boxes, scores, high - low, size, low)
        filtered = mean_filter(volume, filter_size)[start - low : stop - low]
        highest[start:stop] = filtered.max((1, 2))
    return highest


def highest_of_frames(frames: np.ndarray, scores: np.ndarray, num_frames: int) -> np.ndarray:
    """Score of the highest object of each frame, float64 [num_frames]; 0 where there is none."""
    highest = np.zeros(num_frames)
    np.maximum.at(highest, frames, scores)  # a frame may have several objects
    return highest


def gaussian(sigma: float, length: int, form: str = "centred") -> np.ndarray:
    """Weights of the smoothing over time, float64 [length].

    Args:
      sigma: in frames.
      length: an odd number of frames.
      form: `"centred"` is symmetric, of sum 1. `"offset"` is that of the evaluation code of the
        authors' group: it is not brought to sum 1, and its peak is one place early, so that the
        result is a frame late.

    Raises:
      ValueError: no such form, an even length, or a sigma of 0 or less.
    """
    if form not in GAUSSIANS or length % 2 == 0 or length < 1 or sigma <= 0:
        raise ValueError(
            f"gaussian {form!r}, {length} frames, sigma {sigma:g}; expected one of "
            f"{', '.join(GAUSSIANS)}, an odd length and a sigma above 0"
        )
    distance = np.arange(length) - length // 2  # from the middle weight
    if form == "centred":
        weights = np.exp(-(distance**2) / (2 * sigma**2))
        return weights / weights.sum()
    return np.exp(-((distance + 1) ** 2) / (2 * sigma**2)) / (sigma * np.sqrt(2 * np.pi))


def smooth(
    values: np.ndarray, sigma: float = 21.0, length: int = 301, form: str = "centred"
) -> np.ndarray:
    """Frame scores [T] smoothed over time, float64 [T]; outside the video they count as 0.

    Args:
      values: scores of all frames of the video.
      sigma: in frames; with `length` and `form` as of `gaussian`.
      length: number of weights.
      form: `"centred"` or `"offset"`.

    Raises:
      ValueError: as `gaussian`.
    """
    weights = gaussian(sigma, length, form)
    padded = np.pad(np.asarray(values, np.float64), length // 2)
    return np.correlate(padded, weights, "valid")
