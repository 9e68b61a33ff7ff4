"""What the four tasks see of an object, and what they are to answer (spec ssmtl §3).

arrow         seven crops, forward or backward → 1 = backward
irregularity  seven crops, every frame or with gaps, always forward → 1 = with gaps
middle        six crops, the middle one left out → that crop
distillation  the middle crop → the outputs of the teachers

All are of one box, the one in the middle frame, and of one draw.
"""

from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

REACH = 3  # crops before and after the middle one
LENGTH = 2 * REACH + 1  # crops of an object
MOST_GAP = 4  # frames from one crop to the next, at most


class Draw(NamedTuple):
    """What chance decides of one training object.

    Attributes:
      backward: whether the arrow of time is turned round.
      irregular: whether the sequence of the irregularity has gaps.
      gaps: int64 [6], 1 to 4 frames each, not all 1: three on the left from the middle outward,
        then three on the right.
    """

    backward: int
    irregular: int
    gaps: np.ndarray


def draw(seed: int, epoch: int, video: int, frame: int, thing: int) -> Draw:
    """The draw of an object. It depends on these numbers alone, not on the order of the calls.

    Args:
      seed: of the run.
      epoch: number of the pass over the objects, from 0.
      video: number of the video in the training set.
      frame: number of the middle crop's frame.
      thing: number of the object among those of its frame.
    """
    # The order of the draws is that of spec ssmtl §3; another order would give other numbers.
    source = np.random.SeedSequence([seed, epoch, video, frame, thing])
    rng = np.random.Generator(np.random.PCG64(source))
    backward, irregular = int(rng.integers(0, 2)), int(rng.integers(0, 2))
    gaps = rng.integers(1, MOST_GAP + 1, size=2 * REACH)
    while (gaps == 1).all():  # such gaps would be regular
        gaps = rng.integers(1, MOST_GAP + 1, size=2 * REACH)
    return Draw(backward, irregular, gaps)


def regular_frames(frame: int, num_frames: int) -> np.ndarray:
    """Frames of the seven crops around `frame`, int64 [7], clipped to the video."""
    return np.clip(np.arange(frame - REACH, frame + REACH + 1), 0, num_frames - 1)


def irregular_frames(frame: int, gaps: np.ndarray, num_frames: int | None = None) -> np.ndarray:
    """Frames of the seven crops with gaps, int64 [7], ascending.

    Args:
      frame: number of the middle crop's frame.
      gaps: as of `Draw`.
      num_frames: frames of the video, to which the numbers are clipped; None leaves them.
    """
    left, right = np.cumsum(gaps[:REACH]), np.cumsum(gaps[REACH:])
    numbers = np.concatenate([frame - left[::-1], [frame], frame + right])
    return numbers if num_frames is None else np.clip(numbers, 0, num_frames - 1)


def trainable(num_frames: int) -> range:
    """Frames whose seven regular crops lie within the video."""
    return range(REACH, num_frames - REACH)


class TaskFrames(NamedTuple):
    """Frames that the crops of one object are cut from.

    Attributes:
      arrow: int64 [7].
      irregularity: int64 [7].
      middle: int64 [6].
      distillation: int64 [1].
    """

    arrow: np.ndarray
    irregularity: np.ndarray
    middle: np.ndarray
    distillation: np.ndarray


def task_frames(frame: int, drawn: Draw, num_frames: int) -> TaskFrames:
    """Frames of every task's input; all but those of the irregularity are among the regular ones.

    Args:
      frame: number of the middle crop's frame.
      drawn: as of `draw`.
      num_frames: frames of the video.
    """
    regular = regular_frames(frame, num_frames)
    irregular = irregular_frames(frame, drawn.gaps, num_frames) if drawn.irregular else regular
    return TaskFrames(
        regular[::-1] if drawn.backward else regular,
        irregular,
        np.delete(regular, REACH),
        regular[REACH : REACH + 1],
    )


def to_unit(crops: jax.Array, dtype: jnp.dtype = jnp.float32) -> jax.Array:
    """Crops in [0, 1] of uint8 crops in 0 … 255; float ones are taken to be in [0, 1] already."""
    return crops.astype(dtype) / 255 if crops.dtype == jnp.uint8 else crops


def training_inputs(
    batch: Mapping[str, jax.Array], dtype: jnp.dtype = jnp.float32
) -> tuple[dict, dict]:
    """Inputs and targets of the tasks, from a batch of objects.

    Args:
      batch: `crops` [B, 7, H, W, 3] at the regular frames and `irregular_crops` of the same shape
        at those of the irregularity, both uint8 or float in [0, 1]; `backward` and `irregular`
        int [B]; `teachers` float [B, K], outputs of the teachers, if there are any.
      dtype: type of the inputs that uint8 crops become.

    Returns:
      task → input and task → target, as the network and `loss.training_loss` take them.
    """
    crops, jumps = (to_unit(batch[name], dtype) for name in ("crops", "irregular_crops"))
    # Backward crops are the regular ones turned round, so that they are handed over only once.
    backward = batch["backward"].astype(bool)[:, None, None, None, None]
    inputs = {
        "arrow": jnp.where(backward, crops[:, ::-1], crops),
        "irregularity": jumps,
        "middle": jnp.delete(crops, REACH, 1),
        "distillation": crops[:, REACH : REACH + 1],
    }
    targets = {
        "arrow": batch["backward"],
        "irregularity": batch["irregular"],
        "middle": crops[:, REACH],
    }
    if "teachers" in batch:
        targets["distillation"] = batch["teachers"]
    return inputs, targets
