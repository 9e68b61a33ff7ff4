"""Checks of the scores of one video: whether they can be measured, shown and written.

Every message begins with the name of the video, and says what the scores hold and what was
expected.
"""

from collections.abc import Mapping

import numpy as np

from vadjax.data.segments import fitting_expansions
from vadjax.formats.names import shorten, wrong_with
from vadjax.scores.contents import Examples, Pictures, Scores

# Prefixes of the names of arrays in the file
ALTERNATIVE, PICTURE, EXAMPLE = "alternative_", "picture_", "example_"


def check(scores: Scores) -> Scores:
    """Returns `scores` if they can be measured and written.

    Raises:
      ValueError: the name cannot be that of a file; there is not one finite score for each frame;
        labels have another shape, or values other than 0 and 1; times fall; segment scores, boxes,
        a map or pictures have a wrong shape or frame; or examples have a wrong shape or refer to a
        reason that is not there.
    """
    # Names become names of files.
    video = scores.video
    if wrong := wrong_with(video):
        raise ValueError(f"video name {shorten(video)} cannot be the name of a file: {wrong}")
    for name in scores.alternatives:
        if wrong := wrong_with(name):
            raise ValueError(f"{video}: {ALTERNATIVE}{shorten(name)} cannot be a name: {wrong}")
    # One finite score a frame.
    frames = np.asarray(scores.frame_scores)
    if frames.ndim != 1 or not frames.size or frames.dtype.kind not in "fiu":
        raise ValueError(
            f"{video}: frame_scores {frames.dtype} {frames.shape}; expected float [frames]"
        )
    if bad := int((~is_finite(frames)).sum()):
        raise ValueError(f"{video}: {bad:,} of {frames.size:,} scores are NaN or infinite")
    # The optional arrays must fit the frames.
    _check_series(scores, len(frames))
    if scores.labels is not None:
        _check_labels(video, np.asarray(scores.labels), scores)
    if scores.segment_scores is not None:
        check_segments(video, np.asarray(scores.segment_scores))
    boxes = scores.boxes
    if boxes is not None and (
        boxes.ndim != 2 or boxes.shape[1] != 6 or boxes.dtype.kind not in "fiu"
    ):
        raise ValueError(f"{video}: boxes {boxes.shape}; expected [n, 6] of numbers")
    if scores.map is not None:
        _check_map(video, scores.map, len(frames))
    if scores.pictures is not None:
        _check_pictures(video, scores.pictures, len(frames))
    if scores.examples is not None:
        _check_examples(video, scores.examples, len(scores.reasons))
    return scores


def is_finite(numbers: np.ndarray) -> np.ndarray:
    """Which numbers are finite in float64, which figures are computed in; bool, same shape."""
    with np.errstate(over="ignore"):
        return np.isfinite(np.asarray(numbers, np.float64))


def _check_series(scores: Scores, frames: int) -> None:
    """Raises ValueError unless `scored`, `times` and the alternative scores fit the frames."""
    others = {"scored": scores.scored, "times": scores.times}
    others |= {f"{ALTERNATIVE}{name}": other for name, other in scores.alternatives.items()}
    # Each has one finite value for each frame; only `scored` may be of booleans.
    for name, other in others.items():
        if other is None:
            continue
        kinds = "biuf" if name == "scored" else "iuf"
        fits = other.shape == (frames,) and other.dtype.kind in kinds
        if not fits or not is_finite(other).all():
            raise ValueError(
                f"{scores.video}: {name} {other.dtype} {other.shape}; expected ({frames},), "
                "all finite"
            )
    # Numbers in `scored` are flags, too.
    if scores.scored is not None and not np.isin(scores.scored, (0, 1)).all():
        raise ValueError(f"{scores.video}: scored other than 0 and 1")
    # Two frames may have the same time, but no frame an earlier one than the frame before it.
    times = scores.times
    if times is not None and (falls := times[1:] < times[:-1]).any():
        at = int(np.argmax(falls))
        raise ValueError(
            f"{scores.video}: times fall after frame {at}, from {times[at]:g} to "
            f"{times[at + 1]:g} seconds; expected them to rise"
        )


def _check_labels(video: str, labels: np.ndarray, scores: Scores) -> None:
    """Raises ValueError unless there is a label 0 or 1 for each frame."""
    frames = len(scores.frame_scores)
    if labels.ndim != 1 or labels.dtype.kind not in "biuf":
        raise ValueError(
            f"{video}: labels {labels.dtype} {labels.shape}; expected [{frames}], 0 or 1 for each "
            "frame"
        )
    if len(labels) != frames:
        # The likely mistake: scores of snippets of 16 frames, saved as scores of frames.
        segments = ("snippets" in fitting_expansions(frames, len(labels))) * (
            "; one score for 16 frames is called segment_scores, with num_frames"
        )
        raise ValueError(f"{video}: {frames:,} scores for {len(labels):,} labels{segments}")
    if not np.isin(labels, (0, 1)).all():
        raise ValueError(f"{video}: labels other than 0 and 1")


def check_segments(video: str, found: np.ndarray) -> None:
    """Raises ValueError unless `found` holds finite segment scores [K], one at least."""
    if found.ndim != 1 or not found.size or found.dtype.kind not in "fiu":
        raise ValueError(
            f"{video}: segment_scores {found.dtype} {found.shape}; expected float [segments], "
            "the scores of crops averaged"
        )
    if bad := int((~is_finite(found)).sum()):
        raise ValueError(f"{video}: {bad:,} of {found.size:,} segment_scores are NaN or infinite")


def _check_map(video: str, values: np.ndarray, frames: int) -> None:
    """Raises ValueError unless the map is finite, float [frames, h, w]."""
    fits = values.ndim == 3 and len(values) == frames and values.size and values.dtype.kind in "fiu"
    if not fits:
        raise ValueError(
            f"{video}: map {values.dtype} {values.shape}; expected float [{frames}, h, w]"
        )
    bad = values.size - np.isfinite(values).sum()
    if bad:
        raise ValueError(f"{video}: {bad:,} of {values.size:,} values of the map are not finite")


def _check_pictures(video: str, pictures: Pictures, frames: int) -> None:
    """Raises ValueError unless each picture is of a frame of the video and has its prediction."""
    numbers = pictures.frames
    _check_numbers(video, f"{PICTURE}frames", numbers)
    outside = numbers[(numbers < 0) | (numbers >= frames)]
    if outside.size:
        raise ValueError(
            f"{video}: a picture of frame {outside[0]}, but its frames are 0 to {frames - 1}"
        )
    pairs = {f"{PICTURE}seen": pictures.seen, f"{PICTURE}predicted": pictures.predicted}
    _check_colours(video, pairs, len(numbers))


def _check_examples(video: str, examples: Examples, reasons: int) -> None:
    """Raises ValueError unless each example is of one of the reasons and has both pictures."""
    numbers = examples.reason
    _check_numbers(video, f"{EXAMPLE}reason", numbers)
    outside = numbers[(numbers < 0) | (numbers >= reasons)]
    if outside.size:
        raise ValueError(
            f"{video}: an example of reason {outside[0]}, but {video}.reasons.jsonl "
            f"has {reasons} (numbered from 0)"
        )
    pairs = {f"{EXAMPLE}seen": examples.seen, f"{EXAMPLE}normal": examples.normal}
    _check_colours(video, pairs, len(numbers))


def _check_numbers(video: str, name: str, numbers: np.ndarray) -> None:
    """Raises ValueError unless the array is int [k]."""
    if numbers.ndim != 1 or numbers.dtype.kind not in "iu":
        raise ValueError(f"{video}: {name} {numbers.dtype} {numbers.shape}; expected int [k]")


def _check_colours(video: str, pairs: Mapping[str, np.ndarray], count: int) -> None:
    """Raises ValueError unless all are uint8 [count, H, W, 3] of one shape."""
    first = next(iter(pairs))
    for name, images in pairs.items():
        is_rgb = images.ndim == 4 and images.shape[3] == 3 and images.dtype == np.uint8
        if not is_rgb or len(images) != count or 0 in images.shape[1:]:
            raise ValueError(
                f"{video}: {name} {images.dtype} {images.shape}; expected uint8 [{count}, H, W, 3]"
            )
        if images.shape != pairs[first].shape:
            raise ValueError(f"{video}: {name} {images.shape}, but {first} {pairs[first].shape}")
