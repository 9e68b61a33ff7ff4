"""Scores of the frames of a whole video, from the boxes and scores of its objects (spec §7)."""

import dataclasses
import functools

import ml_collections
import numpy as np

from vadjax.scores.files import Scores
from vadjax.systems.ssmtl import score


def frames_of_objects(
    scores: Scores, size: tuple[int, int], options: ml_collections.ConfigDict
) -> Scores:
    """Objects → volume → mean → highest of each frame → Gaussian over time.

    Args:
      scores: of a whole video, as its parts make it: `frame_scores` are those of the highest object
        of each frame, and `alternatives` those of the highest object by each task.
      size: (H, W) of a frame, in the pixels of the boxes.
      options: section `eval` of the config: the filter and the smoothing.

    Returns:
      The same with new `frame_scores`. What they were is among the alternatives, smoothed
      (`highest_object`), and so are the series before the smoothing (`not_smoothed`) and after the
      other form of the Gaussian (`smoothed_FORM`).
    """
    # The highest value of each frame in the filtered volume.
    boxes, num_frames = scores.boxes, len(scores.frame_scores)
    raw = score.frame_scores(
        boxes[:, 0].astype(int), boxes[:, 1:5], boxes[:, 5], num_frames, size, options.filter
    )
    # This and the series of the highest objects, smoothed over time in the form that is asked for.
    smooth = functools.partial(_smooth, options=options, form=options.gaussian)
    highest = {"highest_object": scores.frame_scores, **scores.alternatives}
    other = next(form for form in score.GAUSSIANS if form != options.gaussian)
    return dataclasses.replace(
        scores,
        frame_scores=smooth(raw),
        alternatives={
            **{name: smooth(series) for name, series in highest.items()},
            f"smoothed_{other}": _smooth(raw, options, other),
            "not_smoothed": raw.astype(np.float32),
        },
    )


def _smooth(values: np.ndarray, options: ml_collections.ConfigDict, form: str) -> np.ndarray:
    """Frame scores smoothed over time, float32 [T]."""
    return score.smooth(values, options.sigma, options.length, form).astype(np.float32)
