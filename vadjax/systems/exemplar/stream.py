"""Scores of a video as its frames come: the same as by way of the files of the stages."""

import itertools
from collections.abc import Iterable, Iterator

import numpy as np

from vadjax.data.video.frame_stream import Frame, Stamp
from vadjax.data.video.grid import Grid
from vadjax.scores.streaming import PartialScores
from vadjax.systems.exemplar import features, maps, scoring
from vadjax.systems.exemplar.method import Method, on_grid
from vadjax.systems.exemplar.model import Model
from vadjax.systems.exemplar.reasons import Explainer

TOGETHER = 4  # times whose volumes are compared at once


def parts(
    name: str,
    frames: Iterable[Frame],
    method: Method,
    model: Model,
    places: Grid,
    live: bool = False,
) -> Iterator[PartialScores]:
    """Scores of all frames, with maps and reasons; a frame's come when no later volume covers it.

    Args:
      name: of the video, for messages.
      frames: of the video.
      method: as the config has it.
      model: of the camera.
      places: grid of the volumes.
      live: compare the volumes of each time as soon as they are there.
    """
    config, length = method.config, places.window[0]
    explainer = Explainer(model, places, config.motion.still_threshold, config.model.neighbours)
    # Volumes (first frame, scores) that may cover frames to come, and frames without a score yet.
    recent: list[tuple[int, np.ndarray]] = []
    waiting: list[Stamp] = []
    volumes = method.extractor.stream(frames, places, 0 if live else features.AHEAD)
    while group := list(itertools.islice(volumes, 1 if live else TOGETHER)):
        own = features.join([features_of_time for features_of_time, _ in group])
        features.check_finite(name, own)
        found = method.nearest(own, model, places)
        recent += zip(own.t_start.tolist(), on_grid(found.score, places), strict=True)
        waiting += itertools.chain.from_iterable(since for _, since in group)
        # Frames before `stop` are in no volume to come.
        stop = recent[-1][0] + 1
        done = [frame for frame in waiting if frame.number < stop]
        reasons = tuple(explainer.of(own, found, config.eval.flag))
        yield _part(recent, done, places, config.eval.map_rule)._replace(reasons=reasons)
        recent = [(start, score) for start, score in recent if start + length > stop]
        waiting = waiting[len(done) :]
    if waiting:
        yield _part(recent, waiting, places, config.eval.map_rule)


def _part(
    recent: list[tuple[int, np.ndarray]], frames: list[Stamp], places: Grid, rule: str
) -> PartialScores:
    """Scores of consecutive frames from the volumes that cover them."""
    starts = np.array([start for start, _ in recent]) - frames[0].number
    scores = np.stack([score for _, score in recent])
    by_frame = maps.frame_scores(scores, starts, places.window[0], len(frames), rule)
    heat = scoring.cells(by_frame, places, rule)
    return PartialScores(heat.max((1, 2)), tuple(frames), map=heat)
