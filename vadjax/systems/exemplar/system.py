"""EVAL as a system: normal video in, exemplars of every region out, and scores with reasons.

`init` walks stages 1 and 2, `score` stages 1 and 3 of each video (`stages.py`).
"""

import pathlib
from collections.abc import Iterator

import jax
import ml_collections
import numpy as np

from vadjax import workdir
from vadjax.data import clips
from vadjax.data.clips import Video, Videos
from vadjax.data.loader import Shard
from vadjax.data.records import Dataset
from vadjax.scores import Scores
from vadjax.systems.exemplar import events, scoring
from vadjax.systems.exemplar.model import Model
from vadjax.systems.exemplar.reasons import Explainer
from vadjax.systems.exemplar.stages import TRAIN, Stages, by_name, on_grid


class System:
    """EVAL (spec eval); `vadjax.system.System` tells what each method is for."""

    kind = clips.KIND

    def __init__(self, config: ml_collections.ConfigDict, folder: pathlib.Path | None = None):
        self.config, self._folder = config, folder
        self.stages = Stages(config, folder)

    def batches(self, data: Dataset, shard: Shard) -> None:
        """None: all is learnt in `init`."""
        del data, shard

    def init(self, rng: jax.Array, data: Dataset) -> Model:
        """The exemplars of the training videos.

        A finished run keeps its own, so that it can score videos of another dataset.
        """
        del rng  # nothing is random but the draw for Z, which has the config's seed
        finished = self._folder is not None and (self._folder / workdir.FILE).is_file()
        return self.stages.read_model(data) if finished else self.stages.merge(data)

    def update(self, state: Model, batch, rng: jax.Array):
        """Never called: `train.steps` is 0."""
        raise NotImplementedError("exemplars are selected, not trained by steps")

    def finalize(self, state: Model, data: Dataset) -> Model:
        """Nothing to do."""
        del data
        return state

    def videos(self, data: Dataset, split: str) -> Videos:
        """The videos of the split."""
        return Videos(data, split)

    def score(self, state: Model, videos: Videos) -> Iterator[Scores]:
        """Scores of each video, with a map, and reasons for what scores `eval.flag` or more."""
        state, data = Model(*map(np.asarray, state)), videos.data
        stages = self._stages_for(data)
        training = _training(data)
        config = self.config.eval
        for video in videos:
            places = stages.extractor.grid(video.size)
            found = stages.scores(video, data, state)
            scores = on_grid(found.score, places)
            heat = scoring.cells(scores, places, video.num_frames, config.map_rule)
            explainer = Explainer(
                state, places, self.config.motion.still_threshold, self.config.model.neighbours
            )
            own = stages.features(video, data)
            reasons = tuple(explainer.of(own, found, config.flag))
            yield Scores(
                video.name,
                scoring.smooth(heat.max((1, 2)), config.sigma),
                labels=video.labels,
                map=heat,
                reasons=reasons,
                examples=events.examples(reasons, video, training, self.config.report.reasons),
            )

    def _stages_for(self, data: Dataset) -> Stages:
        """The run's own stages, or temporary ones for videos of another dataset."""
        if self._folder is None or not (self._folder / workdir.FILE).is_file():
            return self.stages
        own = workdir.saved(self._folder).get(workdir.DATASET) == data.digest
        return self.stages if own else Stages(self.config)


def _training(data: Dataset) -> dict[str, Video]:
    """Training videos by name; none where the dataset has no such split."""
    return {video.name: video for video in by_name(data, TRAIN)} if TRAIN in data.splits else {}
