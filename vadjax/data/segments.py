"""Clips, segments and frames: pooling clips into segments, spreading segment scores over frames.

A clip is 16 consecutive frames; a segment is one of the `K` (32) parts of a video of any length.

Published programs spread scores over frames by different rules, which are kept here for parity
(`seed`, `matlab`, `paint`, `repeat`). Three more rules give every frame a score: `segments`,
`snippets`, and `even`, which also uses every score. `choose_expansions` picks the rule that
the numbers of scores and frames of a set of videos suggest.
"""

from collections.abc import Sequence

import numpy as np

CLIP_FRAMES = 16
SEGMENTS = 32  # segments of a video, in every published program that pools to segments


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
    # An empty segment stands for the single clip at its start. Means in float64, then the L2 norm.
    bounds = clip_bounds(len(clips), segments)
    stops = np.maximum(bounds[1:], bounds[:-1] + 1)
    pooled = np.stack(
        [clips[a:b].mean(0, dtype=np.float64) for a, b in zip(bounds[:-1], stops, strict=True)]
    )
    return normalize_rows(pooled) if normalize else pooled.astype(np.float32)


def normalize_rows(rows: np.ndarray) -> np.ndarray:
    """Rows [..., D] divided by their L2 norms, float32; a row of zeros stays zero."""
    norm = np.linalg.norm(rows, axis=-1, keepdims=True)
    return (rows / np.where(norm == 0, 1, norm)).astype(np.float32)


def resize_linear(rows: np.ndarray, segments: int = 32) -> np.ndarray:
    """Rows → segments by linear interpolation between two rows, as S3R does (spec s3r §2.1).

    Half-pixel centres and no antialiasing: in a long video a segment is a mix of only two
    neighbouring rows, and most rows are not used.

    Args:
      rows: float [..., n, D].
      segments: number of segments.

    Returns:
      float32 [..., segments, D].
    """
    # x = (j + 0.5) n / segments - 0.5, clamped to the rows there are; low = floor(x).
    last = rows.shape[-2] - 1
    x = (np.arange(segments) + 0.5) * rows.shape[-2] / segments - 0.5
    x = np.clip(x, 0, last)
    low = np.floor(x).astype(int)
    weight = (x - low)[:, None]
    high = np.minimum(low + 1, last)
    # out[j] = (1 - w) row[low] + w row[low + 1]
    return ((1 - weight) * rows[..., low, :] + weight * rows[..., high, :]).astype(np.float32)


POOLINGS = ("mean", "linear")


def pool(
    rows: np.ndarray, pooling: str | None, segments: int | None, normalize: bool
) -> np.ndarray:
    """Pools the rows of one network to segments.

    Args:
      rows: float [crops, n, D], one row per snippet.
      pooling: `"mean"` (`pool_clips`), `"linear"` (`resize_linear`), or None to keep all rows.
      segments: number of segments; not used if `pooling` is None.
      normalize: divide every resulting row by its L2 norm.

    Returns:
      float32 [crops, segments, D], or [crops, n, D] if `pooling` is None.

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
    """Raises ValueError unless the rule exists and there is at least one segment to pool to."""
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
    # NumPy's own rounding goes to even; the values are positive, so floor(x + 0.5) is MATLAB's.
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
    num_frames // 16, K + 1))`, halves to even. The score of an empty segment is lost, and frames
    past the last whole clip stay 0; both are kept for parity with the original.

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


def expand_segments(scores: np.ndarray, num_frames: int) -> np.ndarray:
    """As `expand_seed`, but the frames past the last whole clip take the last score."""
    frames = expand_seed(scores, num_frames)
    frames[num_frames // CLIP_FRAMES * CLIP_FRAMES :] = scores[-1]
    return frames


def seed_steps(num_frames: int, segments: int = 32) -> np.ndarray:
    """First clip of every segment and the end for `expand_seed`, int [segments + 1]."""
    return np.linspace(0, num_frames // CLIP_FRAMES, segments + 1).round().astype(int)


def expand_paint(scores: np.ndarray, num_frames: int) -> np.ndarray:
    """As `expand_seed`, but an empty segment paints one clip (junha-kim's form, spec mil §7b).

    The next segment paints over that clip.
    """
    return _paint(scores, num_frames, seed_steps(num_frames, len(scores)))


def expand_matlab(scores: np.ndarray, num_frames: int) -> np.ndarray:
    """Segment scores → frame scores as the first MATLAB evaluation does (spec mil §7b).

    The bounds are those of `clip_bounds`. An empty segment paints one clip, which the next segment
    paints over. Frames past the last painted clip stay 0: if there are several clips, the last one
    is never painted.
    """
    return _paint(scores, num_frames, clip_bounds(num_frames // CLIP_FRAMES, len(scores)))


def expand_even(scores: np.ndarray, num_frames: int) -> np.ndarray:
    """Row scores → frame scores; every row covers an equal part of the video.

    Frame t takes the score of row `t * K // num_frames`. This works for any number of rows:
    segments, or the clips of a short video.
    """
    return np.asarray(scores)[np.arange(num_frames) * len(scores) // max(num_frames, 1)]


def _paint(scores: np.ndarray, num_frames: int, bounds: np.ndarray) -> np.ndarray:
    """Frame scores where segment j paints the clips `bounds[j] : bounds[j + 1]`, at least one."""
    frames = np.zeros(num_frames, np.asarray(scores).dtype)
    if num_frames >= CLIP_FRAMES:
        for score, start, stop in zip(scores, bounds[:-1], bounds[1:], strict=True):
            frames[start * CLIP_FRAMES : max(stop, start + 1) * CLIP_FRAMES] = score
    return frames


def expand_repeat(scores: np.ndarray, num_frames: int) -> np.ndarray:
    """Snippet scores → frame scores: each stands for 16 frames (spec s3r §7).

    The last snippet may have fewer frames.

    Args:
      scores: [K], one for each snippet of the video.
      num_frames: length of the video.

    Raises:
      ValueError: the video has more or fewer snippets; the message names the likely reason.
    """
    snippets = -(-num_frames // CLIP_FRAMES)  # rounded up
    if len(scores) != snippets:
        reason = (
            "bags pooled into segments need another rule: 'segments', or 'seed', the original's "
            "(eval.expansion, --expansion)"
        )
        if len(scores) == snippets - 1:
            reason = "the last, incomplete snippet is missing from the features"
        elif len(scores) == snippets + 1:
            reason = "the labels lack the frames of the last snippet"
        raise ValueError(
            f"{len(scores):,} snippets for {num_frames:,} frames, which are {snippets:,} snippets "
            f"of {CLIP_FRAMES}: {reason}"
        )
    return np.repeat(scores, CLIP_FRAMES)[:num_frames]


def expand_snippets(scores: np.ndarray, num_frames: int) -> np.ndarray:
    """As `expand_repeat`, but a last incomplete snippet may be without a score.

    Its frames then take the score of the snippet before it.

    Raises:
      ValueError: another number of scores.
    """
    if len(scores) and len(scores) == num_frames // CLIP_FRAMES:
        scores = np.append(scores, scores[-1])
        return np.repeat(scores, CLIP_FRAMES)[:num_frames]
    return expand_repeat(scores, num_frames)


EXPANSIONS = {
    "seed": expand_seed,
    "matlab": expand_matlab,
    "paint": expand_paint,
    "even": expand_even,
    "repeat": expand_repeat,
    "segments": expand_segments,
    "snippets": expand_snippets,
}
OF_SEGMENTS = ("seed", "matlab", "paint", "segments")  # rules for a fixed number of segments


def fitting_expansions(scores: int, num_frames: int) -> tuple[str, ...]:
    """The rules that a number of scores for a number of frames suggests.

    `snippets` for one score every 16 frames, a last incomplete snippet counted or not; `segments`
    for 32 scores. For videos of 497 to 527 frames 32 scores suggest both.
    """
    clips = num_frames // CLIP_FRAMES
    of_snippets = scores in (clips, -(-num_frames // CLIP_FRAMES))
    return ("snippets",) * of_snippets + ("segments",) * (scores == SEGMENTS)


def choose_expansions(counts: Sequence[tuple[int, int]]) -> tuple[list[str], str | None]:
    """The rule for each video of a set, and a note on what had to be assumed.

    All videos of a set are spread by the same rule if one fits them all. Otherwise each video
    takes the rule that fits it, and a video that no rule fits takes `even`.

    Args:
      counts: (scores, frames) of every video.

    Returns:
      A name of `EXPANSIONS` for every video, and one line for the user. The line is None if the
      counts leave no choice, or if both rules give the same scores.
    """
    # The rules that fit each video, those that fit all videos, and the choice.
    fits = [fitting_expansions(*count) for count in counts]
    common = [rule for rule in ("snippets", "segments") if all(rule in fit for fit in fits)]
    rules = common[:1] * len(fits) or [fit[0] if fit else "even" for fit in fits]
    # Both rules fit all videos. They differ in a video of fewer clips than segments.
    if len(common) == 2 and any(frames // CLIP_FRAMES < SEGMENTS for _, frames in counts):
        return rules, (
            f"all videos have {SEGMENTS} scores and {min(frames for _, frames in counts):,} to "
            f"{max(frames for _, frames in counts):,} frames, so one score every {CLIP_FRAMES} "
            f"frames is as likely as {SEGMENTS} segments; assumed 'snippets'"
        )
    if common or not counts:
        return rules, None
    # No common rule: the note says how many videos take each rule, and shows one of them.
    first_video = {rule: rules.index(rule) for rule in rules}
    parts = [
        f"{rules.count(rule):,} by {rule!r} (the first has {counts[video][0]:,} scores for "
        f"{counts[video][1]:,} frames)"
        for rule, video in first_video.items()
    ]
    return rules, f"segment scores of no common rule; assumed: {', '.join(parts)}"


def uncovered_frames(scores: int, num_frames: int, rule: str) -> int:
    """Number of frames that no segment covers by this rule, so that they stay 0."""
    return int((expand(np.ones(scores, np.uint8), num_frames, rule) == 0).sum())


def lost_scores(scores: int, num_frames: int, rule: str) -> int:
    """Number of scores that no frame takes, as in a video with fewer clips than segments."""
    if num_frames // CLIP_FRAMES > scores:
        return 0
    # Spread the numbers 1 … K in place of scores: those that no frame shows are lost.
    return scores - len(set(expand(np.arange(1, scores + 1), num_frames, rule)) - {0})


def expand(scores: np.ndarray, num_frames: int, rule: str = "seed") -> np.ndarray:
    """Segment scores [K] → frame scores [num_frames] by the named rule of `EXPANSIONS`.

    Raises:
      ValueError: no rule of that name, or one that the number of scores does not fit.
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
