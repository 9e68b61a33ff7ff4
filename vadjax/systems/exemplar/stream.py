"""Scores of a video as its frames come: the same as by way of the files of the stages."""

import itertools
from collections.abc import Iterable, Iterator

import numpy as np

from vadjax.data.video.grid import Grid
from vadjax.scores.streaming import Counted, PartialScores
from vadjax.systems.exemplar import features, maps, scoring
from vadjax.systems.exemplar.method import Method, on_grid
from vadjax.systems.exemplar.model import Model
from vadjax.systems.exemplar.reasons import Explainer

TOGETHER = 4  # times whose volumes are compared at once


def parts(
    name: str,
    frames: Iterable[np.ndarray],
    method: Method,
    model: Model,
    places: Grid,
    live: bool = False,
    first: int = 0,
) -> Iterator[PartialScores]:
    """Scores of all frames, with maps and reasons; a frame's come when no later volume covers it.

    Args:
      name: of the video, for messages.
      frames: uint8 [H, W, 3], RGB.
      method: as the config has it.
      model: of the camera.
      places: grid of the volumes.
      live: compare the volumes of each time as soon as they are there.
      first: number of the first frame in the whole video, by which reasons name frames.
    """
    config, length = method.config, places.window[0]
    explainer = Explainer(model, places, config.motion.still_threshold, config.model.neighbours)
    counted, recent, done = Counted(frames), [], 0
    volumes = method.extractor.stream(counted, places)
    while group := list(itertools.islice(volumes, 1 if live else TOGETHER)):
        own = features.join(group)
        features.check_finite(name, own)
        found = method.nearest(own, model, places)
        recent += zip(own.t_start.tolist(), on_grid(found.score, places), strict=True)
        stop = recent[-1][0] + 1  # the next volume may begin there
        numbered = own._replace(t_start=own.t_start + first)
        reasons = tuple(explainer.of(numbered, found, config.eval.flag))
        yield _part(recent, done, stop, places, config.eval.map_rule)._replace(reasons=reasons)
        recent = [(start, score) for start, score in recent if start + length > stop]
        done = stop
    if counted.count > done:
        yield _part(recent, done, counted.count, places, config.eval.map_rule)


def _part(
    recent: list[tuple[int, np.ndarray]], first: int, stop: int, places: Grid, rule: str
) -> PartialScores:
    """Scores of the frames `[first, stop)` from the volumes that cover them."""
    starts = np.array([start for start, _ in recent]) - first
    scores = np.stack([score for _, score in recent])
    by_frame = maps.frame_scores(scores, starts, places.window[0], stop - first, rule)
    heat = scoring.cells(by_frame, places, rule)
    return PartialScores(heat.max((1, 2)), map=heat)
