"""EVAL as a system: normal video in, exemplars of every region out, and scores with reasons.

`init` walks stages 1 and 2, `score` stages 1 and 3 of each video (`stages.py`).
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

import jax
import ml_collections

from vadjax import system
from vadjax.data import clips
from vadjax.data.clips import Video, Videos
from vadjax.data.store.records import Dataset, Description
from vadjax.data.video.frame_stream import Frame
from vadjax.scores.files import Scores
from vadjax.scores.streaming import PartialScores
from vadjax.system import Cache
from vadjax.systems.exemplar import events, maps, scoring, stream
from vadjax.systems.exemplar.cameras import ONE, camera_of, cameras
from vadjax.systems.exemplar.method import Method, on_grid
from vadjax.systems.exemplar.model import Model, describe
from vadjax.systems.exemplar.reasons import Explainer
from vadjax.systems.exemplar.stages import TRAIN, Stages

State = dict[str, Model]  # of every camera


class System(system.System):
    """EVAL (spec eval); `vadjax.system.System` tells what each method is for."""

    kind = clips.KIND

    def __init__(self, config: ml_collections.ConfigDict, cache: Cache | None = None):
        super().__init__(config, cache)
        self.method = Method(config)  # checks the config; all cameras share its networks
        self.window = self.method.extractor.window[0]

    def init(self, rng: jax.Array, data: Dataset) -> State:
        """The exemplars of the training videos of every camera."""
        del rng  # nothing is random but the draw for Z, which has the config's seed
        columns = len(self.method.grid(data).columns)
        for camera in self.cameras(data, TRAIN):
            self.stages(camera).share(data)
        with self.cache.first_then_others("exemplars"):
            found = {name: self.stages(name).merge(data) for name in self.cameras(data, TRAIN)}
        for camera, model in found.items():
            print(f"Exemplars of {camera}:\n{describe(model.offsets, columns)}")
        return {camera: model.state() for camera, model in found.items()}

    def abstract_state(self, description: Description) -> State:
        """Shapes of the exemplars, which depend on the training videos: of the run's files.

        Raises:
          FileNotFoundError: the run has no merged exemplars.
          ValueError: they are of another geometry, version or threshold.
        """
        found = {
            camera: self.stages(camera).read_model(description).state() for camera in self._learnt()
        }
        return jax.eval_shape(lambda: found)

    def videos(self, data: Dataset, split: str) -> Videos:
        """The videos of the split."""
        return Videos(data, split)

    def score(self, state: State, videos: Sequence[Video]) -> Iterator[Scores]:
        """Scores of each video, with a map, and reasons for what scores `eval.flag` or more.

        Raises:
          ValueError: a video of a camera that the exemplars are not of.
        """
        data, models = videos[0].data, {name: Model.of(own) for name, own in state.items()}
        split = videos[0].split
        of_video = {
            video.name: camera for camera, own in self.cameras(data, split).items() for video in own
        }
        owned = self.cache.owns(data)
        make = self.stages if owned else self._elsewhere
        stages = {name: make(name) for name in models}
        training = _training(data) if owned else {}  # else not those of the exemplars
        for video in videos:
            camera = of_video[video.name]
            _check_camera(video.name, camera, models)
            yield self._score(video, stages[camera], models[camera], data, training)

    def stream(
        self,
        state: State,
        name: str,
        frames: Iterator[Frame],
        data: Description,
        live: bool,
    ) -> Iterator[PartialScores]:
        """Scores, maps and reasons; those of a frame come at most a volume's length later.

        Raises:
          ValueError: a video of a camera that the exemplars are not of.
        """
        camera = camera_of(name, self.config.data.cameras)
        _check_camera(name, camera, state)
        model, places = Model.of(state[camera]), self.method.grid(data)
        yield from stream.parts(name, frames, self.method, model, places, live)

    def postprocess(self, state: State, scores: Scores) -> Scores:
        """Smoothed over time."""
        del state
        smoothed = scoring.smooth(scores.frame_scores, self.config.eval.sigma)
        return dataclasses.replace(scores, frame_scores=smoothed)

    def _score(self, video: Video, stages: Stages, model: Model, data: Dataset, training) -> Scores:
        config, places = self.config, self.method.extractor.grid(video.size)
        found, own = stages.scores(video, data, model), stages.features(video, data)
        by_frame = maps.frame_scores(
            on_grid(found.score, places),
            own.t_start,
            places.window[0],
            video.num_frames,
            config.eval.map_rule,
        )
        heat = scoring.cells(by_frame, places, config.eval.map_rule)
        explainer = Explainer(model, places, config.motion.still_threshold, config.model.neighbours)
        reasons = tuple(explainer.of(own, found, config.eval.flag))
        return Scores(
            video.name,
            scoring.smooth(heat.max((1, 2)), config.eval.sigma),
            labels=video.labels,
            map=heat,
            reasons=reasons,
            examples=events.examples(reasons, video, training, config.eval.examples),
        )

    def cameras(self, data: Dataset, split: str) -> dict[str, list[Video]]:
        """The videos of a split by camera, sorted by name."""
        return cameras(data, split, self.config.data.cameras)

    def stages(self, camera: str) -> Stages:
        """The stages of a camera, through the files of the run."""
        return Stages(self.config, self.cache, camera, self.method)

    def _elsewhere(self, camera: str) -> Stages:
        """The stages of a camera for another dataset than the run's, whose files stay untouched."""
        config = self.config.copy_and_resolve_references()
        config.features.dir = ""
        return Stages(config, Cache(), camera, self.method)

    def _learnt(self) -> list[str]:
        """The cameras that the run has exemplars of."""
        if self.config.data.cameras == "one":
            return [ONE]
        found = self.stages(ONE).files.merged_cameras()
        if not found:
            raise FileNotFoundError(
                f"{self.cache.folder}: no merged exemplars of any camera; run: "
                "python -m vadjax.systems.exemplar merge --config=… --workdir=…"
            )
        return found


def _check_camera(video: str, camera: str, models: Mapping) -> None:
    """Raises ValueError if there is no model of the camera."""
    if camera not in models:
        raise ValueError(
            f"video {video}: no exemplars of camera {camera!r}; there are some of "
            f"{', '.join(models)}"
        )


def _training(data: Dataset) -> dict[str, Video]:
    """Training videos by name; none where the dataset has no such split."""
    return {video.name: video for video in Videos(data, TRAIN)} if TRAIN in data.splits else {}
