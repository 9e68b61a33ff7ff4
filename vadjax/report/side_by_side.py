"""Scores of several runs on the same videos, side by side.

Runs have scores of different scales. So they are compared by ranks: the rank of a frame is the
share of all compared frames that the run scores lower, ties counting one half. Two runs that order
all frames in the same way do not differ.
"""

import pathlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from vadjax.report import comparison
from vadjax.report.comparison import Run
from vadjax.scores import files
from vadjax.scores.contents import Scores

STRETCH = 25  # frames over which differences are averaged to find where they are largest


class RunRow(NamedTuple):
    """Runs that differ in the seed alone.

    Attributes:
      name: heading of the row, unlike those of all others.
      runs: numbers of the runs.
    """

    name: str
    runs: tuple[int, ...]


class SharedVideo(NamedTuple):
    """A video that all runs have scored.

    Attributes:
      name: of the video.
      labels: bool [T], 1 = anomalous; None if unknown.
      compared: bool [T], frames that count in all runs.
      scores: float64 [runs, T].
      ranks: float64 [runs, T] from 0 to 1, among the compared frames of all videos; NaN elsewhere.
    """

    name: str
    labels: np.ndarray | None
    compared: np.ndarray
    scores: np.ndarray
    ranks: np.ndarray


class Difference(NamedTuple):
    """How much two rows differ on a video.

    Attributes:
      video: number of the video.
      mean: of the absolute differences of ranks over the compared frames, 0 to 1.
      frame: middle of the `STRETCH` frames in which it is largest.
    """

    video: int
    mean: float
    frame: int


def rows(runs: Sequence[Run], names: Sequence[str]) -> list[RunRow]:
    """The runs in rows; those of a row differ in the seed alone.

    Args:
      runs: of the same split of the same dataset.
      names: their names, all different.
    """
    grouped: list[list[int]] = []
    for number, run in enumerate(runs):
        for group in grouped:
            if not comparison.differences([*(runs[one] for one in group), run]):
                group.append(number)
                break
        else:
            grouped.append([number])
    return [RunRow(_name(group, runs, names), tuple(group)) for group in grouped]


def _name(group: Sequence[int], runs: Sequence[Run], names: Sequence[str]) -> str:
    """The name of the first run, with all seeds where there are several."""
    first = names[group[0]]
    seeds = ", ".join(str(runs[number].summary.get("seed")) for number in group)
    return first if len(group) == 1 else f"{first} and others (seeds {seeds})"


def read_scores(folder: str | pathlib.Path) -> dict[str, Scores]:
    """Scores, labels and counted frames of a run by video, without what else its files hold.

    Raises:
      FileNotFoundError: the run has no scores.
      ValueError: a file that is no score file.
    """
    place = pathlib.Path(folder) / "scores"
    if not place.is_dir():
        raise FileNotFoundError(
            f"{place}: no such folder; only runs whose system scores videos can be compared. Give "
            "the training command again, which scores what is not scored yet"
        )
    return {
        video.video: Scores(video.video, video.frame_scores, video.labels, video.scored)
        for video in files.read_folder(place)
    }


def missing(of_runs: Mapping[str, Mapping[str, Scores]]) -> dict[str, list[str]]:
    """Name of a run → videos that it lacks and another run has; only runs that lack some."""
    every = sorted(set().union(*of_runs.values()))
    lacks = {run: [name for name in every if name not in has] for run, has in of_runs.items()}
    return {run: names for run, names in lacks.items() if names}


def align(of_runs: Mapping[str, Mapping[str, Scores]]) -> list[SharedVideo]:
    """The videos that all runs have scored, by name.

    Args:
      of_runs: name of a run → its videos (`read_scores`).

    Raises:
      ValueError: no video, or no frame, is common to all; or a video has other frames or labels in
        one of the runs.
    """
    common = sorted(set.intersection(*(set(videos) for videos in of_runs.values())))
    if not common:
        counts = ", ".join(f"{run} has {len(videos):,}" for run, videos in of_runs.items())
        raise ValueError(
            f"no video was scored by all runs ({counts}, none of the same name); name runs of the "
            "same dataset and split"
        )
    for name in common:
        _check_alike(name, {run: videos[name] for run, videos in of_runs.items()})
    # Which frames count in all runs, and the ranks among these frames of all videos.
    sides = [[videos[name] for videos in of_runs.values()] for name in common]
    compared = [np.logical_and.reduce([_counting(one) for one in side]) for side in sides]
    scores = [np.stack([np.asarray(one.frame_scores, float) for one in side]) for side in sides]
    if not any(part.any() for part in compared):
        raise ValueError("no frame counts in all runs, so there is nothing to compare")
    pooled = np.concatenate([of[:, part] for of, part in zip(scores, compared, strict=True)], 1)
    ordered = np.sort(pooled, 1)
    shared = []
    for name, side, part, of in zip(common, sides, compared, scores, strict=True):
        ranks = np.full(of.shape, np.nan)
        ranks[:, part] = [_ranks(*pair) for pair in zip(ordered, of[:, part], strict=True)]
        labels = None if side[0].labels is None else np.asarray(side[0].labels, bool)
        shared.append(SharedVideo(name, labels, part, of, ranks))
    return shared


def _check_alike(name: str, of_runs: Mapping[str, Scores]) -> None:
    """Raises ValueError if a video has other frames or labels in one of the runs."""
    (first, one), *others = of_runs.items()
    for run, other in others:
        counts = len(one.frame_scores), len(other.frame_scores)
        if counts[0] != counts[1]:
            raise ValueError(
                f"video {name}: {counts[0]:,} frames in {first}, {counts[1]:,} in {run}; these are "
                "not the same video. Score both runs on the same dataset"
            )
        labelled = one.labels is not None, other.labels is not None
        if labelled[0] != labelled[1] or (
            labelled[0] and not np.array_equal(one.labels, other.labels)
        ):
            raise ValueError(
                f"video {name}: its labels in {first} are not those in {run}; score both runs on "
                "the same dataset"
            )


def _counting(scores: Scores) -> np.ndarray:
    """The frames that count, bool [T]."""
    if scores.scored is None:
        return np.ones(len(scores.frame_scores), bool)
    return np.asarray(scores.scored, bool)


def _ranks(ordered: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """The share of `ordered` scores below each of `scores`, those that are equal by one half."""
    below = np.searchsorted(ordered, scores, "left") + np.searchsorted(ordered, scores, "right")
    return below / (2 * len(ordered))


def differences(
    videos: Sequence[SharedVideo], one: Sequence[int], other: Sequence[int]
) -> list[Difference]:
    """How much two rows differ on each video, the largest difference first.

    Args:
      videos: of `align`; those without a compared frame are left out.
      one: numbers of the runs of a row, whose ranks are averaged.
      other: the same of the other row.
    """
    measured = []
    for number, video in enumerate(videos):
        if not video.compared.any():
            continue
        sides = (video.ranks[list(side)].mean(0) for side in (one, other))
        apart = np.nan_to_num(np.abs(np.subtract(*sides)))
        width = min(STRETCH, len(apart))
        # Of equal stretches the first.
        frame = int(np.argmax(np.convolve(apart, np.ones(width), "same").round(9)))
        measured.append(Difference(number, float(apart[video.compared].mean()), frame))
    return sorted(measured, key=lambda one: (-round(one.mean, 9), videos[one.video].name))
