"""RBDC and TBDC of boxes with scores (spec metrics §3, §3a).

A ground-truth box is detected by a detection of its frame with IoU >= beta. A track is detected
when a share >= alpha of its boxes is. A detection whose IoU with every box of its frame is below
beta is a false positive. The curves have one point for each detection, in the order of falling
scores, or one for each distinct score.

The curves follow from ranks. A box is detected at the smallest rank of a detection that hits it; a
track at the m-th smallest of its boxes' ranks, where m boxes are the share alpha. The rates are
cumulative sums over the ranks. So the cost is that of sorting, plus the pairs of detections and
boxes in the same frame.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from vadjax.data.video.boxes import iou
from vadjax.formats.boxes import degenerate

TIES = ("order", "group")
BLOCK = 1 << 16  # detections whose pairs are held at a time: their arrays stay in the cache


@dataclasses.dataclass(frozen=True)
class RegionCurve:
    """Rates at every threshold, in the order in which it falls.

    Attributes:
      thresholds: float64 [n].
      fpr: false positives per frame, float64 [n]; may exceed 1.
      rbdr: share of the ground-truth boxes detected, float64 [n].
      tbdr: share of the tracks detected, float64 [n].
    """

    thresholds: np.ndarray
    fpr: np.ndarray
    rbdr: np.ndarray
    tbdr: np.ndarray

    @property
    def rbdc(self) -> float:
        """Area under RBDR for false positives per frame from 0 to 1."""
        return area(self.fpr, self.rbdr)

    @property
    def tbdc(self) -> float:
        """Area under TBDR for false positives per frame from 0 to 1."""
        return area(self.fpr, self.tbdr)

    def whole(self) -> "RegionCurve":
        """The curve with a first point (0, 0), and an end at FPR 1 if it stops before.

        The point at FPR 1 has the last rates.
        """
        end = [1.0] if not len(self.fpr) or self.fpr[-1] < 1 else []
        last = [self.rbdr[-1:], self.tbdr[-1:]] if len(self.fpr) else [[0.0], [0.0]]
        rates = zip((self.rbdr, self.tbdr), last, strict=True)
        return RegionCurve(
            np.concatenate([[np.inf], self.thresholds, [-np.inf] * len(end)]),
            np.concatenate([[0.0], self.fpr, end]),
            *(np.concatenate([[0.0], rate, tail if end else []]) for rate, tail in rates),
        )


@dataclasses.dataclass(frozen=True)
class Truth:
    """The ground-truth boxes of all videos in one list, sorted by video and frame.

    Attributes:
      video: number of the video, int64 [n].
      frame: int64 [n].
      boxes: float64 [n, 4], `x_min, y_min, x_max, y_max`, inclusive.
      track: number of the track among those of all videos, int64 [n], from 0 without gaps.
      sizes: boxes of every track, int64 [tracks].
    """

    video: np.ndarray
    frame: np.ndarray
    boxes: np.ndarray
    track: np.ndarray
    sizes: np.ndarray


def gather(tracks: Sequence[np.ndarray]) -> Truth:
    """The ground truth of all videos.

    Args:
      tracks: of every video, [n, 6] `track, frame, x_min, y_min, x_max, y_max`, inclusive. Track
        numbers are labels within the video; of rows of the same track and frame the last counts.

    Raises:
      ValueError: there is no box at all, or one without a pixel inside.
    """
    video = np.repeat(np.arange(len(tracks)), [len(rows) for rows in tracks])
    rows = np.concatenate([np.zeros((0, 6)), *tracks])
    if not len(rows):
        raise ValueError("no ground-truth boxes, so RBDC and TBDC are undefined")
    if degenerate(rows[:, 2:]).any():
        raise ValueError("a ground-truth box has a width or height of 0 or less")
    # By video, frame and track; of rows with the same key the last one in the file stays.
    keys = np.stack([video, rows[:, 1].astype(np.int64), rows[:, 0].astype(np.int64)])
    order = np.lexsort(keys[::-1])  # stable: duplicates stay in the order of the file
    keys, rows = keys[:, order], rows[order]
    last = np.append((np.diff(keys) != 0).any(0), True)
    keys, rows = keys[:, last], rows[last]
    # Track numbers begin anew in each video, so pairs (video, track) are numbered.
    _, track = np.unique(keys[[0, 2]], axis=1, return_inverse=True)
    return Truth(keys[0], keys[1], rows[:, 2:], track, np.bincount(track))


def curve(
    detections: Sequence[np.ndarray],
    tracks: Sequence[np.ndarray],
    num_frames: int,
    alpha: float = 0.1,
    beta: float = 0.1,
    ties: str = "order",
) -> RegionCurve:
    """Curves of boxes with scores.

    Args:
      detections: of every video, [n, 6] `score, frame, x_min, y_min, x_max, y_max`, inclusive.
      tracks: of the same videos, as in `gather`.
      num_frames: frames of all videos, normal ones included.
      alpha: share of its boxes that makes a track detected, above 0, up to 1.
      beta: IoU that makes a box detected, above 0, up to 1.
      ties: `"order"`, one point for each detection, where equal scores stay in the order of videos
        and rows, as in the common program; `"group"`, one point for each distinct score, which
        depends on no order.

    Raises:
      ValueError: a NaN score, a box without a pixel inside, no ground truth, or an argument out of
        its range.
    """
    check_shares(alpha, beta, num_frames)
    if ties not in TIES:
        raise ValueError(f"ties {ties!r}; expected one of {', '.join(TIES)}")
    truth = gather(tracks)
    video = np.repeat(np.arange(len(detections)), [len(rows) for rows in detections])
    rows = np.concatenate([np.zeros((0, 6)), *detections])
    if np.isnan(rows[:, 0]).any():
        raise ValueError("a score is NaN")
    if degenerate(rows[:, 2:]).any():
        raise ValueError("a detection has a width or height of 0 or less")
    # The rank of each detection by falling score, from 0.
    falling = -rows[:, 0]
    order = np.argsort(falling, kind="stable")
    rank = np.empty(len(rows), np.int64)
    rank[order] = np.arange(len(rows))
    # How many boxes and tracks are detected at each rank.
    matched, first = _match(video, rows, truth, rank, beta)
    detected = np.bincount(first, minlength=len(rows) + 1)[:-1]  # without those never detected
    ranks = track_ranks(truth, first, alpha)
    tracked = np.bincount(ranks, minlength=len(rows) + 1)[:-1]
    # Cumulative sums over the ranks, divided by frames, boxes and tracks.
    points = RegionCurve(
        -falling[order],
        np.cumsum(~matched[order]) / num_frames,
        np.cumsum(detected) / len(truth.boxes),
        np.cumsum(tracked) / len(truth.sizes),
    )
    return points if ties == "order" else _grouped(points)


def check_shares(alpha: float, beta: float, num_frames: int) -> None:
    """Raises ValueError unless both shares are above 0 and up to 1, and there are frames."""
    for name, value in (("alpha", alpha), ("beta", beta)):
        if not 0 < value <= 1:
            raise ValueError(f"{name} {value:g}; expected above 0 and at most 1")
    if num_frames < 1:
        raise ValueError(f"{num_frames} frames; expected at least 1")


def _match(
    video: np.ndarray, rows: np.ndarray, truth: Truth, rank: np.ndarray, beta: float
) -> tuple[np.ndarray, np.ndarray]:
    """Which detections hit a box, and the smallest rank of a detection that hits each box.

    The rank of a box that no detection hits is the number of detections.
    """
    # One number for each pair (video, frame); those of `truth` are sorted.
    stride = 1 + max(rows[:, 1].max(initial=0), truth.frame.max())
    keys = (truth.video * stride + truth.frame).astype(np.int64)
    matched = np.zeros(len(rows), bool)
    first = np.full(len(keys), len(rows))
    for start in range(0, len(rows), BLOCK):
        block = rows[start : start + BLOCK]
        block_keys = (video[start : start + BLOCK] * stride + block[:, 1]).astype(np.int64)
        # The boxes of the frame of each detection are neighbours in `truth`.
        left = np.searchsorted(keys, block_keys)
        counts = np.searchsorted(keys, block_keys, side="right") - left
        detection, box = _pairs(left, counts)
        hit = iou(block[detection, 2:], truth.boxes[box]) >= beta
        detection, box = detection[hit] + start, box[hit]
        matched[detection] = True
        np.minimum.at(first, box, rank[detection])
    return matched, first


def _pairs(left: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """All pairs (i, left[i] + j) with j below counts[i]."""
    index = np.repeat(np.arange(len(counts)), counts)
    # The place of a pair in the list, less that of the first pair of the same i, is j.
    before = np.cumsum(counts) - counts
    return index, np.arange(len(index)) - np.repeat(before - left, counts)


def track_ranks(truth: Truth, first: np.ndarray, alpha: float) -> np.ndarray:
    """Rank at which every track is detected: the m-th smallest of its boxes' ranks `first`."""
    # Boxes by track and then by rank, so that the m-th box of a track has the m-th smallest rank.
    order = np.lexsort((first, truth.track))
    start = np.cumsum(truth.sizes) - truth.sizes
    return first[order][start + boxes_needed(truth.sizes, alpha) - 1]


def boxes_needed(sizes: np.ndarray, alpha: float) -> np.ndarray:
    """Smallest m with m / n >= alpha for tracks of n boxes, by division as the original does."""
    # Rounding can put the product on either side of a whole number; the division decides.
    needed = np.ceil(alpha * sizes).astype(np.int64)
    needed -= (needed - 1) / sizes >= alpha
    return needed + (needed / sizes < alpha)


def _grouped(points: RegionCurve) -> RegionCurve:
    """Only the last point of every group of equal thresholds."""
    ends = points.thresholds[1:] != points.thresholds[:-1]
    last = np.append(ends, True)[: len(points.thresholds)]
    return RegionCurve(*(getattr(points, field.name)[last] for field in dataclasses.fields(points)))


def area(fpr: np.ndarray, rate: np.ndarray) -> float:
    """Area under rate(FPR) for FPR from 0 to 1 (spec metrics §3b; for §3a the same number).

    Points are sorted by (FPR, rate), after a first point (0, 0). If no point reaches FPR 1, the
    last rate holds up to there; else the curve is cut there, linearly between its neighbours.

    Args:
      fpr: float [n], 0 or more.
      rate: float [n].

    Raises:
      ValueError: they are not two finite rows of the same length, or an FPR is negative.
    """
    fpr, rate = np.asarray(fpr, np.float64), np.asarray(rate, np.float64)
    if fpr.ndim != 1 or fpr.shape != rate.shape:
        raise ValueError(f"FPR {fpr.shape} and rates {rate.shape}; expected two rows [n]")
    if not (np.isfinite(fpr).all() and np.isfinite(rate).all()) or fpr.min(initial=0) < 0:
        raise ValueError("an FPR or rate is negative, NaN or infinite")
    if (np.diff(fpr) < 0).any() or (np.diff(rate) < 0).any():
        order = np.lexsort((rate, fpr))
        fpr, rate = fpr[order], rate[order]
    fpr, rate = np.concatenate([[0.0], fpr]), np.concatenate([[0.0], rate])
    # The rate at FPR 1: the last one, or that on the line between the points around it.
    kept = int(np.searchsorted(fpr, 1.0, side="right"))
    end = rate[-1]
    if kept < len(fpr):
        part = (1 - fpr[kept - 1]) / (fpr[kept] - fpr[kept - 1])
        end = rate[kept - 1] + part * (rate[kept] - rate[kept - 1])
    return float(np.trapezoid(np.append(rate[:kept], end), np.append(fpr[:kept], 1.0)))
