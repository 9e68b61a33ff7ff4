"""Frame-level metrics over score files (spec metrics §1 and mil §7).

    python -m vadjax.metrics.frame SCORES_DIR [--labels FILE] [--threshold 0.5] [--json]

`SCORES_DIR` holds one `VIDEO.npz` per video from any program (`vadjax.scores.files`). Videos with
scores but no labels, or labels but no scores, are an error unless `--allow_missing` leaves them out
(the figure left_out_videos then says how many). Every figure is computed in float64; the name of a
figure says its convention, since figures of different conventions cannot be compared:

auc                 pooled (micro): all frames of all videos in one ROC curve
auc_anomalous       the same over the videos that hold an anomalous frame
auc_minmax          pooled, scores first scaled to [0, 1] within each video
auc_macro           mean of per-video AUCs, videos of one class left out
auc_macro_padded    the same with one (0, 0) and one (1, 1) frame added to every video
auc_pairs           mean AUC of random (anomalous, normal) pairs of videos, seeded
ap, pr_auc          average precision; trapezoid area of the precision-recall curve
eer                 equal error rate
auc:NAME            pooled AUC of an alternative score in the files (a baseline, a single term);
                    auc_minmax:NAME after scaling it within each video
false_alarm_rate    share of frames of normal videos with a score at or above the threshold
"""

import argparse
import dataclasses
import functools
import json
import pathlib
import warnings
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from vadjax.data.segments import EXPANSIONS
from vadjax.formats.labels import read_labels
from vadjax.runtime import command
from vadjax.scores import files as score_files
from vadjax.scores.figures import Figure
from vadjax.scores.files import Scores

NAN = float("nan")


@dataclasses.dataclass(frozen=True)
class Curve:
    """Counts at every distinct score in decreasing order, after a first point at (0, 0).

    Attributes:
      thresholds: float64 [n + 1], the first infinite.
      false_positives: int64 [n + 1].
      true_positives: int64 [n + 1].
    """

    thresholds: np.ndarray
    false_positives: np.ndarray
    true_positives: np.ndarray

    @property
    def fpr(self) -> np.ndarray:
        """False-positive rates, float64 [n + 1]."""
        return self.false_positives / self.false_positives[-1]

    @property
    def tpr(self) -> np.ndarray:
        """True-positive rates (recalls), float64 [n + 1]."""
        return self.true_positives / self.true_positives[-1]

    @property
    def precision(self) -> np.ndarray:
        """Precisions, float64 [n + 1]; the first is 1 by convention."""
        positives = self.true_positives[1:] + self.false_positives[1:]
        return np.concatenate([[1.0], self.true_positives[1:] / positives])

    def corners(self) -> "Curve":
        """The curve without inner points at which both counts step as before (same areas)."""
        steps = np.stack([self.false_positives[1:], self.true_positives[1:]])
        if steps.shape[1] < 3:
            return self
        # The second difference is 0 where the steps before and after a point are equal.
        bends = np.diff(steps, 2).any(0)
        keep = np.concatenate([[True, True], bends, [True]])
        return Curve(self.thresholds[keep], self.false_positives[keep], self.true_positives[keep])


def curve(labels: np.ndarray, scores: np.ndarray) -> Curve:
    """Counts for ROC and precision-recall curves; ties form one step (spec metrics §1).

    Args:
      labels: [n], 1 = anomalous.
      scores: [n], high = anomalous.

    Raises:
      ValueError: only one class is present, or a score is not a number.
    """
    labels, scores = np.asarray(labels, bool), np.asarray(scores, np.float64)
    if np.isnan(scores).any():
        raise ValueError("a score is NaN")
    if labels.all() or not labels.any():
        which = "anomalous" if labels.any() else "normal"
        raise ValueError(f"all {labels.size:,} frames are {which}: the figure is undefined")
    # Frames by falling score; a point stands at the last frame of each distinct score.
    order = np.argsort(-scores, kind="stable")
    falls = scores[order][1:] != scores[order][:-1]
    ends = np.append(np.flatnonzero(falls), len(scores) - 1)
    true = np.cumsum(labels[order])[ends]
    # Of the `ends + 1` frames up to a point, those that are not anomalous are false positives.
    return Curve(
        np.concatenate([[np.inf], scores[order][ends]]),
        np.concatenate([[0], ends + 1 - true]),
        np.concatenate([[0], true]),
    )


def auc(labels: np.ndarray, scores: np.ndarray) -> float:
    """Area under the ROC curve; ties count one half. Raises as `curve`."""
    return area(curve(labels, scores))


def area(points: Curve) -> float:
    """Area under the ROC curve of `points`."""
    return float(np.trapezoid(points.tpr, points.fpr))


def average_precision(points: Curve) -> float:
    """Sum over thresholds of (recall step) × precision, not interpolated."""
    return float(np.sum(np.diff(points.tpr) * points.precision[1:]))


def pr_auc(points: Curve) -> float:
    """Trapezoid area of the precision-recall curve with the end point (recall 0, precision 1)."""
    return float(np.trapezoid(points.precision, points.tpr))


def equal_error_rate(points: Curve) -> float:
    """False-positive rate where it equals the miss rate, linear between the two points."""
    # The first point where FPR - miss rate >= 0; the line to the one before crosses 0.
    gap = points.fpr - (1 - points.tpr)
    i = int(np.argmax(gap >= 0))
    part = gap[i] / (gap[i] - gap[i - 1])
    return float(points.fpr[i] - part * (points.fpr[i] - points.fpr[i - 1]))


def video_aucs(videos: Sequence[Scores], padded: bool = False) -> dict[str, float]:
    """AUC of every video by name, NaN where only one class is present.

    With `padded`, one frame (label 0, score 0) and one (label 1, score 1) are added to each.
    """
    extra = ([0, 1], [0.0, 1.0]) if padded else ([], [])
    aucs = {}
    for video in videos:
        labels = np.concatenate([video.labels, extra[0]])
        both = labels.any() and not labels.all()
        scores = np.concatenate([np.asarray(video.frame_scores, np.float64), extra[1]])
        aucs[video.video] = auc(labels, scores) if both else float("nan")
    return aucs


def macro_auc(videos: Sequence[Scores], padded: bool = False) -> float:
    """Mean of the per-video AUCs; one-class videos are left out, or padded (spec metrics §1).

    NaN if no video is left.
    """
    aucs = [value for value in video_aucs(videos, padded).values() if not np.isnan(value)]
    return float(np.mean(aucs)) if aucs else float("nan")


def minmax(scores: np.ndarray) -> np.ndarray:
    """Scores scaled to [0, 1], float64; constant scores become 0."""
    scores = np.asarray(scores, np.float64)
    with np.errstate(over="ignore"):
        if np.isinf(np.ptp(scores)):
            scores = scores / 4  # exact, and the span of the largest numbers is one too
    span = np.ptp(scores)
    return (scores - scores.min()) / span if span else np.zeros_like(scores)


def pair_aucs(videos: Sequence[Scores], pairings: int = 10, seed: int = 0) -> np.ndarray:
    """Mean AUC over random pairs (anomalous video, normal video) (spec mil §7a).

    The longer list is shuffled and cut to the shorter, as the original does; a pair's frames are
    pooled.

    Args:
      videos: labelled scores; a video is anomalous if one of its frames is.
      pairings: number of independent drawings.
      seed: seed of the drawings.

    Returns:
      float64 [pairings], the mean AUC of each drawing; empty if there is no normal or no anomalous
      video.
    """
    anomalous = [v for v in videos if v.labels.any()]
    normal = [v for v in videos if not v.labels.any()]
    if not anomalous or not normal:
        return np.zeros(0)
    rng = np.random.default_rng(seed)
    count = min(len(anomalous), len(normal))
    means = []
    # Both lists are shuffled; the rest of the longer one stays without a pair.
    for _ in range(pairings):
        pairs = zip(rng.permutation(len(anomalous)), rng.permutation(len(normal)), strict=False)
        aucs = [pair_auc(anomalous[a], normal[n]) for a, n in list(pairs)[:count]]
        means.append(np.mean(aucs))
    return np.array(means)


def pair_auc(anomalous: Scores, normal: Scores) -> float:
    """AUC of the frames of two videos together."""
    return auc(*pooled([anomalous, normal]))


def false_alarm_rate(videos: Sequence[Scores], threshold: float) -> float:
    """Share of the frames of normal videos that score at or above `threshold`; NaN if none."""
    normal = [video.frame_scores for video in videos if not video.labels.any()]
    return float(np.mean(np.concatenate(normal) >= threshold)) if normal else float("nan")


def pooled(videos: Sequence[Scores]) -> tuple[np.ndarray, np.ndarray]:
    """Labels and scores of all frames, one after the other."""
    labels = np.concatenate([video.labels for video in videos])
    return labels, np.concatenate([np.asarray(v.frame_scores, np.float64) for v in videos])


@dataclasses.dataclass(frozen=True)
class Measured:
    """Labelled scores, and intermediate results that several figures share.

    Attributes:
      videos: in the order of their names, only the frames that count.
      threshold: scores of at least this are alarms.
      pairings: number of independent drawings of pairs.
      seed: seed of the drawings.
    """

    videos: Sequence[Scores]
    threshold: float
    pairings: int
    seed: int

    @functools.cached_property
    def points(self) -> Curve:
        """Curve of all frames."""
        return curve(*pooled(self.videos))

    @functools.cached_property
    def anomalous(self) -> list[Scores]:
        """Videos with an anomalous frame."""
        return [video for video in self.videos if video.labels.any()]

    @functools.cached_property
    def pairs(self) -> np.ndarray:
        """`pair_aucs` of the videos."""
        return pair_aucs(self.videos, self.pairings, self.seed)


def anomalous_auc(of: Measured) -> float:
    """AUC of the videos with an anomalous frame, pooled; NaN if all of their frames are."""
    labels, scores = pooled(of.anomalous)
    return NAN if labels.all() else auc(labels, scores)


def minmax_auc(videos: Sequence[Scores]) -> float:
    """Pooled AUC of scores that are first scaled to [0, 1] within each video."""
    scaled = [dataclasses.replace(v, frame_scores=minmax(v.frame_scores)) for v in videos]
    return auc(*pooled(scaled))


# Name → (label, function that computes the figure). Tables and pages show them in this order.
FIGURES: dict[str, tuple[str, Callable[[Measured], float]]] = {
    "auc": ("AUC, all frames pooled (micro)", lambda of: area(of.points)),
    "auc_anomalous": ("AUC, anomalous videos only", anomalous_auc),
    "auc_macro": (
        "AUC, mean of videos (macro; one-class videos left out)",
        lambda of: macro_auc(of.videos),
    ),
    "auc_macro_padded": (
        "AUC, mean of videos (macro; padded)",
        lambda of: macro_auc(of.videos, padded=True),
    ),
    "auc_pairs": (
        "AUC, mean of random video pairs",
        lambda of: float(of.pairs.mean()) if len(of.pairs) else NAN,
    ),
    "auc_pairs_deviation": (
        "its deviation over the drawings of pairs",
        lambda of: float(of.pairs.std()) if len(of.pairs) else NAN,
    ),
    "auc_minmax": ("AUC, pooled after per-video min-max", lambda of: minmax_auc(of.videos)),
    "ap": ("Average precision", lambda of: average_precision(of.points)),
    "pr_auc": ("Precision-recall AUC (trapezoid)", lambda of: pr_auc(of.points)),
    "eer": ("Equal error rate", lambda of: equal_error_rate(of.points)),
    "false_alarm_rate": (
        "False-alarm rate on normal videos, score ≥ {threshold:g}",
        lambda of: false_alarm_rate(of.videos, of.threshold),
    ),
}


def evaluate(
    videos: Sequence[Scores], threshold: float = 0.5, pairings: int = 10, seed: int = 0
) -> dict[str, float]:
    """All frame-level figures of labelled scores; the module docstring explains the names.

    Args:
      videos: scores with labels.
      threshold: scores of at least this are alarms.
      pairings: number of drawings for `auc_pairs`.
      seed: seed of the drawings.

    Returns:
      Name → `Figure`, and the threshold and counts as plain numbers.

    Raises:
      ValueError: a video has no labels or no frame that counts, or all frames have one class.
    """
    for video in videos:
        if video.labels is None:
            raise ValueError(f"{video.video}: no labels, so nothing can be measured")
        if video.scored is not None and not np.any(video.scored):
            raise ValueError(f"{video.video}: none of its frames counts (scored is 0 throughout)")
    # Frames that do not count are left out of every figure.
    videos = sorted(videos, key=lambda video: video.video)  # pairs and sums follow the order
    of = Measured([video.counted() for video in videos], threshold, pairings, seed)
    figures = {
        name: Figure(measure(of), label.format(threshold=threshold))
        for name, (label, measure) in FIGURES.items()
    }
    return {
        **figures,
        "threshold": threshold,
        "videos": len(of.videos),
        "anomalous_videos": len(of.anomalous),
        "frames": int(of.points.false_positives[-1] + of.points.true_positives[-1]),
        "anomalous_frames": int(of.points.true_positives[-1]),
        **alternative_aucs(of.videos),
    }


def alternative_aucs(videos: Sequence[Scores]) -> dict[str, Figure]:
    """Pooled AUCs of the alternative scores: `auc:NAME`, `auc_minmax:NAME`.

    NaN for a score that not all videos have.
    """
    figures = {}
    for name in dict.fromkeys(name for video in videos for name in video.alternatives):
        alone = scaled = NAN
        # On some of the videos alone it could not be compared with the other figures.
        if all(name in video.alternatives for video in videos):
            alternatives = [
                dataclasses.replace(v, frame_scores=v.alternatives[name]) for v in videos
            ]
            alone, scaled = auc(*pooled(alternatives)), minmax_auc(alternatives)
        figures[f"auc:{name}"] = Figure(alone, f"AUC of {name} alone, pooled")
        figures[f"auc_minmax:{name}"] = Figure(scaled, "the same after per-video min-max")
    return figures


def match_labels(
    videos: Sequence[Scores], path: str | pathlib.Path | None, allow_missing: bool = False
) -> tuple[list[Scores], list[str]]:
    """The videos that have both scores and labels.

    Args:
      videos: scores, with labels or without.
      path: file of labels (`vadjax.formats.labels.read_labels`), which replace those of the score
        files; None to take those of the score files.
      allow_missing: leave out videos that lack one side, with a warning, instead of refusing.

    Returns:
      The videos with their labels, and the names of those that are left out.

    Raises:
      FileNotFoundError: no such file of labels.
      ValueError: videos lack one side, all of them do, or labels do not fit the scores.
    """
    if path is None:
        labels = {video.video: video.labels for video in videos if video.labels is not None}
    else:
        labels = read_labels(path)
    # Videos that lack one side are refused, or left out with a warning.
    names = [video.video for video in videos]
    unlabelled = [name for name in names if name not in labels]
    unscored = sorted(set(labels) - set(names))
    _check_both_sides(path, labels, unlabelled, unscored, allow_missing)
    kept = [
        dataclasses.replace(video, labels=labels[video.video])
        for video in videos
        if video.video in labels
    ]
    # Labels from another file may not fit the scores.
    if path is not None:
        with score_files.naming(path):
            kept = list(map(score_files.check, kept))
    return kept, unlabelled + unscored


def _check_both_sides(
    path: str | pathlib.Path | None,
    labels: Mapping[str, np.ndarray],
    unlabelled: Sequence[str],
    unscored: Sequence[str],
    allow_missing: bool,
) -> None:
    """Raises ValueError, or warns if that is allowed, where videos lack scores or labels."""
    sides = [f"no labels for {listed(unlabelled)}"] if unlabelled else []
    sides += [f"no scores for {listed(unscored)}, which have labels"] if unscored else []
    if not sides:
        return
    # Nothing can be measured without a single video that has both.
    matched, where = len(labels) - len(unscored), f"{path}: " if path is not None else ""
    if path is None and not labels:
        raise ValueError(f"{sides[0]}; give them with --labels")
    problem = f"{where}{' and '.join(sides)}"
    if not matched:
        raise ValueError(f"{problem}: no video has both; do the names agree?")
    # A class that is missing as a whole is named, since figures need both.
    for kind, all_of_kind in by_class(labels).items():
        if all_of_kind and set(all_of_kind) <= set(unscored):
            problem += f". All {len(all_of_kind):,} {kind} videos of the labels are among them"
    if not allow_missing:
        raise ValueError(
            f"{problem}. Figures of the other {matched:,} videos alone cannot be compared with "
            "those of the whole set; --allow_missing gives them"
        )
    warnings.warn(f"left out: {problem}. The figures are of {matched:,} videos", stacklevel=3)


def by_class(labels: Mapping[str, np.ndarray]) -> dict[str, list[str]]:
    """Names of the videos with an anomalous frame (`anomalous`) and of the others (`normal`)."""
    anomalous = [name for name, frame_labels in labels.items() if np.any(frame_labels)]
    return {"anomalous": anomalous, "normal": sorted(set(labels) - set(anomalous))}


def listed(names: Sequence[str], most: int = 5) -> str:
    """The first `most` names, and how many more there are."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return f"{', '.join(names[:most])}{more}"


def add_input_flags(parser: argparse.ArgumentParser) -> None:
    """Adds `--labels` and `--allow_missing`, for `match_labels`, and `--expansion`."""
    parser.add_argument(
        "--labels",
        help="labels of every video by name: .npz, .mat, .json, text, or a folder of files",
    )
    parser.add_argument(
        "--allow_missing",
        action="store_true",
        help="leave out videos that have scores but no labels, or labels but no scores, with a "
        "warning; without this they are an error",
    )
    parser.add_argument(
        "--expansion",
        choices=sorted(EXPANSIONS),
        help="spread segment scores over frames by this rule, even where frame scores are given "
        "(default: frame scores; without them snippets, if there is one score for every 16 "
        "frames, or segments, if there are 32). seed, matlab and paint are the original programs' "
        "rules, which give 0 to frames that no segment covers; segments and snippets give them "
        "the last score; even gives every score an equal part of the video; repeat is snippets "
        "with none missing",
    )


def run(args: argparse.Namespace) -> dict[str, float]:
    """Reads and measures score files, and returns the figures that the command prints."""
    videos = score_files.read_folder(args.scores, args.expansion)
    videos, left_out = match_labels(videos, args.labels, args.allow_missing)
    figures = evaluate(videos, args.threshold, args.pairings, args.seed)
    return figures | ({"left_out_videos": len(left_out)} if left_out else {})


def main(argv: list[str] | None = None) -> None:
    """Prints the figures of a folder of score files, as a table or as JSON."""
    parser = argparse.ArgumentParser(
        prog="python -m vadjax.metrics.frame",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("scores", help="folder of VIDEO.npz files")
    add_input_flags(parser)
    parser.add_argument("--threshold", type=float, default=0.5, help="for false alarms (0.5)")
    parser.add_argument("--pairings", type=int, default=10, help="drawings for auc_pairs (10)")
    parser.add_argument("--seed", type=int, default=0, help="of the drawings (0)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    args = parser.parse_args(argv)
    figures = command.report_errors(run, args)
    if args.json:
        finite = {k: None if v != v else v for k, v in figures.items()}  # NaN is not JSON
        print(json.dumps(finite, indent=1))
    else:
        for name, value in figures.items():
            print(f"{name:20} {value:.6f}" if isinstance(value, float) else f"{name:20} {value:,}")


if __name__ == "__main__":
    command.run(main)
