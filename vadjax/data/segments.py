"""Clips, segments and frames: pooling clips into segments, spreading segment scores over frames.

A clip is 16 consecutive frames; a segment is one of `K` (32) parts of a video, whatever its
length. The rules for the spreading that are in use are here, under the name of who uses them, and
`even`, which loses no score and leaves no frame without one.
"""

import numpy as np

CLIP_FRAMES = 16


def pool_clips(clips: np.ndarray, segments: int = 32, normalize: bool = True) -> np.ndarray:
    """Averages clips into segments as the first MATLAB program does (spec mil §3).

    Args:
      clips: float [n, D], one row per 16-frame clip.
      segments: number of segments.
      normalize: divide every segment by its L2 norm.

    Returns:
      float32 [segments, D]. With n > 1 the last clip is never used; with n < segments
      neighbouring segments repeat.
    """
    bounds = clip_bounds(len(clips), segments)
    stops = np.maximum(bounds[1:], bounds[:-1] + 1)
    pooled = np.stack(
        [clips[a:b].mean(0, dtype=np.float64) for a, b in zip(bounds[:-1], stops, strict=True)]
    )
    return normalize_rows(pooled) if normalize else pooled.astype(np.float32)


def normalize_rows(rows: np.ndarray) -> np.ndarray:
    """Rows [..., D] divided by their L2 norm, float32; a zero row stays zero."""
    norm = np.linalg.norm(rows, axis=-1, keepdims=True)
    return (rows / np.where(norm == 0, 1, norm)).astype(np.float32)


def resize_linear(rows: np.ndarray, segments: int = 32) -> np.ndarray:
    """Rows → segments by linear interpolation between two rows, as S3R does (spec s3r §2.1).

    Half-pixel centres, no antialiasing: of a long video two neighbouring rows make a segment.

    Args:
      rows: float [..., n, D].
      segments: number of segments.

    Returns:
      float32 [..., segments, D].
    """
    last = rows.shape[-2] - 1
    at = (np.arange(segments) + 0.5) * rows.shape[-2] / segments - 0.5
    at = np.clip(at, 0, last)
    low = np.floor(at).astype(int)
    weight = (at - low)[:, None]
    high = np.minimum(low + 1, last)
    return ((1 - weight) * rows[..., low, :] + weight * rows[..., high, :]).astype(np.float32)


POOLINGS = ("mean", "linear")


def pool(
    rows: np.ndarray, pooling: str | None, segments: int | None, normalize: bool
) -> np.ndarray:
    """Rows of one network, float [crops, n, D], → float32 [crops, segments, D].

    Args:
      rows: one per snippet.
      pooling: `"mean"` (`pool_clips`), `"linear"` (`resize_linear`), or None: all rows stay.
      segments: number of segments.
      normalize: divide every row that is left by its L2 norm.

    Raises:
      ValueError: as `check_pooling`.
    """
    check_pooling(pooling, segments)
    if pooling == "mean":
        rows = np.stack([pool_clips(crop, segments, normalize=False) for crop in rows])
    elif pooling == "linear":
        rows = resize_linear(rows, segments)
    return normalize_rows(rows) if normalize else rows.astype(np.float32)


def check_pooling(pooling: str | None, segments: int | None) -> None:
    """Raises ValueError unless there is such a rule, and a segment to pool to."""
    if pooling not in (None, *POOLINGS) or (pooling and segments < 1):
        raise ValueError(
            f"pooling {pooling!r} to {segments} segments; expected one of {', '.join(POOLINGS)}, "
            "and 1 segment or more"
        )


def clip_bounds(clips: int, segments: int = 32) -> np.ndarray:
    """First clip of every segment and the end, int [segments + 1] from 0 (spec mil §3).

    `round(1 + (n - 1) i / segments) - 1`, halves away from zero. An empty range stands for the
    single clip at its start.
    """
    ends = 1 + (clips - 1) * np.arange(segments + 1) / segments
    return np.floor(ends + 0.5).astype(int) - 1


def average_segments(rows: np.ndarray, segments: int = 32) -> np.ndarray:
    """Rows → segments as means of all their rows, as RTFM does (spec s3r §2.2).

    Args:
      rows: float [..., n, D].
      segments: number of segments.

    Returns:
      float32 [..., segments, D]. With n < segments neighbouring segments repeat.
    """
    bounds = average_bounds(rows.shape[-2], segments)
    stops = np.maximum(bounds[1:], bounds[:-1] + 1)
    means = [rows[..., a:b, :].mean(-2) for a, b in zip(bounds[:-1], stops, strict=True)]
    return np.stack(means, -2).astype(np.float32)


def average_bounds(rows: int, segments: int = 32) -> np.ndarray:
    """First row of every segment and the end, int [segments + 1], for `average_segments`.

    An empty range stands for the single row at its start.
    """
    return np.arange(segments + 1) * rows // segments


SAMPLINGS = {"linear": resize_linear, "mean": average_segments}


def expand_seed(scores: np.ndarray, num_frames: int) -> np.ndarray:
    """Segment scores → frame scores as the two-stream I3D programs do (spec mil §7a).

    Segment j covers frames `16 * step[j] : 16 * step[j + 1]` with `step = round(linspace(0,
    num_frames // 16, K + 1))`, halves to even. An empty segment's score is lost; frames past the
    last whole clip stay 0.

    Args:
      scores: [K] segment scores.
      num_frames: length of the video.

    Returns:
      [num_frames], the dtype of `scores`.
    """
    steps = seed_steps(num_frames, len(scores))
    frames = np.zeros(num_frames, np.asarray(scores).dtype)
    frames[: steps[-1] * CLIP_FRAMES] = np.repeat(scores, np.diff(steps) * CLIP_FRAMES)
    return frames


def seed_steps(num_frames: int, segments: int = 32) -> np.ndarray:
    """First clip of every segment and the end for `expand_seed`, int [segments + 1]."""
    return np.linspace(0, num_frames // CLIP_FRAMES, segments + 1).round().astype(int)


def expand_paint(scores: np.ndarray, num_frames: int) -> np.ndarray:
    """As `expand_seed`, but an empty segment paints one clip (junha-kim's form, spec mil §7b).

    The next segment paints over it.
    """
    return _paint(scores, num_frames, seed_steps(num_frames, len(scores)))


def expand_matlab(scores: np.ndarray, num_frames: int) -> np.ndarray:
    """Segment scores → frame scores as the first MATLAB evaluation does (spec mil §7b).

    Bounds of `clip_bounds`; an empty segment paints one clip, which the next paints over; the
    frames past the last painted clip stay 0 (the last clip is never painted when there are
    more than one).
    """
    return _paint(scores, num_frames, clip_bounds(num_frames // CLIP_FRAMES, len(scores)))


def expand_even(scores: np.ndarray, num_frames: int) -> np.ndarray:
    """Row scores → frame scores, every row an equal part of the video.

    Frame t takes the score `t * K // num_frames`. For any number of rows: segments, or the clips
    of a short video themselves.
    """
    return np.asarray(scores)[np.arange(num_frames) * len(scores) // max(num_frames, 1)]


def _paint(scores: np.ndarray, num_frames: int, bounds: np.ndarray) -> np.ndarray:
    frames = np.zeros(num_frames, np.asarray(scores).dtype)
    if num_frames >= CLIP_FRAMES:
        for score, start, stop in zip(scores, bounds[:-1], bounds[1:], strict=True):
            frames[start * CLIP_FRAMES : max(stop, start + 1) * CLIP_FRAMES] = score
    return frames


def expand_repeat(scores: np.ndarray, num_frames: int) -> np.ndarray:
    """Snippet scores → frame scores: each stands for its own 16 frames (spec s3r §7).

    The last snippet may have fewer.

    Args:
      scores: [K], one for each snippet of the video.
      num_frames: length of the video.

    Raises:
      ValueError: the video has more or fewer snippets.
    """
    snippets = -(-num_frames // CLIP_FRAMES)
    if len(scores) != snippets:
        reason = "bags pooled into segments need another rule: eval.expansion = 'seed'"
        if len(scores) == snippets - 1:
            reason = "the last, incomplete snippet is missing from the features"
        elif len(scores) == snippets + 1:
            reason = "the labels lack the frames of the last snippet"
        raise ValueError(
            f"{len(scores):,} snippets for {num_frames:,} frames, which are {snippets:,} snippets "
            f"of {CLIP_FRAMES}: {reason}"
        )
    return np.repeat(scores, CLIP_FRAMES)[:num_frames]


EXPANSIONS = {
    "seed": expand_seed,
    "matlab": expand_matlab,
    "paint": expand_paint,
    "even": expand_even,
    "repeat": expand_repeat,
}


def expand(scores: np.ndarray, num_frames: int, rule: str = "seed") -> np.ndarray:
    """Segment scores [K] → frame scores [num_frames] by the named rule.

    Raises:
      ValueError: no rule of that name.
    """
    check_expansion(rule)
    return EXPANSIONS[rule](scores, num_frames)


def check_expansion(rule: str) -> None:
    """Raises ValueError unless there is a rule of that name."""
    if rule not in EXPANSIONS:
        raise ValueError(f"expansion {rule!r}; expected one of {', '.join(EXPANSIONS)}")


def frame_labels(intervals: np.ndarray, num_frames: int) -> np.ndarray:
    """Intervals `[start, stop)`, int [n, 2] → labels uint8 [num_frames], 1 inside."""
    labels = np.zeros(num_frames, np.uint8)
    for start, stop in intervals:
        labels[start:stop] = 1
    return labels
