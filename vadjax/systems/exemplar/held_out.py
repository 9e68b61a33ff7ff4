"""Scores of training videos by exemplars of the others, for an alarm line.

A training clip is its own exemplar and scores 0, so its scores say nothing of new normal video.
Here videos take turns: those of one part are scored by the exemplars of the others. One video alone
is cut into runs of frames; a run is scored by what is at least a second away from it.
"""

from collections.abc import Iterator

import numpy as np

from vadjax.data.clips import Video
from vadjax.data.store.records import Dataset
from vadjax.scores.alarm_rate import HeldOut
from vadjax.systems.exemplar import files, maps, scoring
from vadjax.systems.exemplar.features import Features
from vadjax.systems.exemplar.files import MEND
from vadjax.systems.exemplar.method import on_grid
from vadjax.systems.exemplar.model import Model
from vadjax.systems.exemplar.stages import TRAIN, Stages

PARTS = 5  # parts of the training videos, or runs of one video
APART = 1.0  # seconds between a run of a video and the exemplars that score it


def scores(stages: Stages, data: Dataset, fps: float) -> HeldOut:
    """Held-out scores of the training videos of a camera, from their file or computed now.

    Args:
      stages: of the camera.
      data: the dataset of the training.
      fps: frames a second.

    Returns:
      Scores of frames as `System.score` gives them; none if there is too little video.
    """
    # What the file depends on
    config, path = stages.config, stages.files.held_out
    meta = stages.made_with(data) | {
        "threshold": stages.method.threshold,
        "neighbours": config.model.neighbours,
        "map_rule": config.eval.map_rule,
        "sigma": config.eval.sigma,
        "fps": fps,
    }
    # Read, or made: scores of each video by the exemplars of other parts
    if path.is_file():
        arrays = files.read(path, meta, MEND, ("scores", "lengths"))
        if arrays["lengths"].sum() != len(arrays["scores"]):
            raise ValueError(f"{path}: scores and lengths do not fit. Remove it to make it anew")
    else:
        videos = stages.videos(data, TRAIN)
        made = _of_videos(stages, data) if len(videos) > 1 else _of_runs(stages, data, fps)
        pieces = list(made)
        arrays = {
            "scores": np.concatenate([np.zeros(0, np.float32), *pieces]),
            "lengths": np.array([len(piece) for piece in pieces], np.int64),
        }
        stages.files.write(path, arrays, meta)
    return HeldOut(arrays["scores"].astype(np.float64), arrays["lengths"], fps)


def _of_videos(stages: Stages, data: Dataset) -> Iterator[np.ndarray]:
    """Scores of the frames of each video, by the exemplars of videos of other parts."""
    videos, parts = stages.videos(data, TRAIN), stages.all_clusters(data)
    scales, count = stages.scales(data), min(PARTS, len(videos))
    for part in range(count):
        kept = [number for number in range(len(videos)) if number % count != part]
        others = [videos[number] for number in kept]
        learnt = stages.method.merge([parts[number] for number in kept], scales, others)
        for video in videos[part::count]:
            own = stages.features(video, data)
            yield _frame_scores(stages, video, own, learnt, 0, video.num_frames)


def _of_runs(stages: Stages, data: Dataset, fps: float) -> Iterator[np.ndarray]:
    """Scores of runs of frames of the only video, by exemplars of the rest of it."""
    (video,), scales = stages.videos(data, TRAIN), stages.scales(data)
    method, own = stages.method, stages.features(video, data)
    length, apart = method.extractor.window[0], int(np.ceil(APART * fps))
    first, last = own.t_start, own.t_start + length
    for run in np.array_split(np.arange(video.num_frames), PARTS):
        if not len(run):
            continue
        start, stop = int(run[0]), int(run[-1]) + 1
        inside = (first >= start) & (last <= stop)
        away = (last <= start - apart) | (first >= stop + apart)
        if not (inside.any() and away.any()):
            continue
        exemplars = method.select(video.name, _chosen(own, away), scales)
        learnt = method.merge([exemplars], scales, [video])
        stop = int(last[inside].max())  # no volume covers the frames behind it
        yield _frame_scores(stages, video, _chosen(own, inside), learnt, start, stop)


def _chosen(own: Features, which: np.ndarray) -> Features:
    """The features of some of the times."""
    return Features(*(array[which] for array in own))


def _frame_scores(
    stages: Stages, video: Video, own: Features, learnt: Model, start: int, stop: int
) -> np.ndarray:
    """Scores of frames `[start, stop)` of a video, float32, as `System.score` gives them."""
    config, places = stages.config.eval, stages.extractor.grid(video.size)
    found = stages.method.score(video, own, learnt)
    by_frame = maps.frame_scores(
        on_grid(found.score, places),
        own.t_start - start,
        places.window[0],
        stop - start,
        config.map_rule,
    )
    heat = scoring.cells(by_frame, places, config.map_rule)
    return scoring.smooth(heat.max((1, 2)), config.sigma)
