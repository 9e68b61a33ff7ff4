"""Clips, segments and frames: pooling clips into segments, spreading segment scores over frames.

A clip is 16 consecutive frames; a segment is one of `K` (32) parts of a video, whatever its
length. The rules for the spreading that are in use are here, under the name of who uses them;
`segments` and `snippets`, which leave no frame without a score; and `even`, which loses no score
either. `choose_expansions` says which of them the numbers of scores and frames speak for.
"""

from collections.abc import Sequence

import numpy as np

CLIP_FRAMES = 16
SEGMENTS = 32  # of a video, in every published program that pools to segments


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
    """As `expand_repeat`, but the last snippet, if it is not whole, may have no score of its own.

    Its frames then take the last score.

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
OF_SEGMENTS = ("seed", "matlab", "paint", "segments")  # rules made for a fixed number of segments


def fitting_expansions(scores: int, num_frames: int) -> tuple[str, ...]:
    """The rules that a number of scores for a number of frames speaks for.

    `snippets` for one score every 16 frames, a last incomplete snippet counted or not; `segments`
    for 32 scores. Both hold by chance for videos of 497 to 527 frames.
    """
    whole = num_frames // CLIP_FRAMES
    of_snippets = scores in (whole, -(-num_frames // CLIP_FRAMES))
    return ("snippets",) * of_snippets + ("segments",) * (scores == SEGMENTS)


def choose_expansions(counts: Sequence[tuple[int, int]]) -> tuple[list[str], str | None]:
    """The rule for each video of a set, and what had to be assumed.

    Videos of one set are spread by one rule: the one that all their counts speak for. Where no
    rule fits all, each video takes its own, and one that no rule fits takes `even`.

    Args:
      counts: (scores, frames) of every video.

    Returns:
      A name of `EXPANSIONS` for every video, and one line for the user; None where the counts
      leave no choice, or where both rules give the same.
    """
    fits = [fitting_expansions(*count) for count in counts]
    common = [rule for rule in ("snippets", "segments") if all(rule in fit for fit in fits)]
    rules = common[:1] * len(fits) or [fit[0] if fit else "even" for fit in fits]
    if len(common) == 2 and any(frames // CLIP_FRAMES < SEGMENTS for _, frames in counts):
        return rules, (
            f"all videos have {SEGMENTS} scores and {min(frames for _, frames in counts):,} to "
            f"{max(frames for _, frames in counts):,} frames, so one score every {CLIP_FRAMES} "
            f"frames is as likely as {SEGMENTS} segments; assumed 'snippets'"
        )
    if common or not counts:
        return rules, None
    used = {rule: rules.index(rule) for rule in rules}  # rule → the first video of it
    parts = [
        f"{rules.count(rule):,} by {rule!r} (the first has {counts[at][0]:,} scores for "
        f"{counts[at][1]:,} frames)"
        for rule, at in used.items()
    ]
    return rules, f"segment scores of no common rule; assumed: {', '.join(parts)}"


def uncovered_frames(scores: int, num_frames: int, rule: str) -> int:
    """Frames that the rule covers with no segment, and gives 0."""
    return int((expand(np.ones(scores, np.uint8), num_frames, rule) == 0).sum())


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
