"""EVAL as a system: normal video in, exemplars of every region out, and scores with reasons.

`init` runs stages 1 and 2, `score` runs stages 1 and 3 for each video (`stages.py`).
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

import jax
import ml_collections

from vadjax import system
from vadjax.data import clips
from vadjax.data.cameras import ONE, camera_of, cameras
from vadjax.data.clips import Video, Videos
from vadjax.data.store.records import Dataset, Description
from vadjax.data.video.frame_stream import Frame
from vadjax.scores import alarm, alarm_rate
from vadjax.scores.alarm import AlarmLine
from vadjax.scores.files import Scores
from vadjax.scores.streaming import PartialScores
from vadjax.system import Cache
from vadjax.systems.exemplar import events, held_out, maps, scoring, stream
from vadjax.systems.exemplar.method import Method, on_grid
from vadjax.systems.exemplar.model import Model, describe
from vadjax.systems.exemplar.reasons import Explainer
from vadjax.systems.exemplar.stages import TRAIN, Stages

FPS = 25.0  # if the dataset does not say its rate
State = dict[str, Model]  # of every camera


class System(system.System):
    """EVAL (spec eval); `vadjax.system.System` explains the methods."""

    kind = clips.KIND

    def __init__(self, config: ml_collections.ConfigDict, cache: Cache | None = None):
        super().__init__(config, cache)
        self.method = Method(config)  # checks the config; all cameras share its networks
        self.window = self.method.extractor.window[0]

    def init(self, rng: jax.Array, data: Dataset) -> State:
        """The exemplars of the training videos of every camera."""
        del rng  # only the draw for Z is random, and it uses the config's seed
        columns = len(self.method.grid(data).columns)
        for camera in self.cameras(data, TRAIN):
            self.stages(camera).share(data)
        with self.cache.first_then_others("exemplars"):
            models = {name: self.stages(name).merge(data) for name in self.cameras(data, TRAIN)}
        for camera, model in models.items():
            print(f"Exemplars of {camera}:\n{describe(model.offsets, columns)}")
        return {camera: model.state() for camera, model in models.items()}

    def abstract_state(self, description: Description) -> State:
        """Shapes of the exemplars, from the run's files: they depend on the training videos.

        Raises:
          FileNotFoundError: the run has no merged exemplars.
          ValueError: they have another geometry, version or threshold.
        """
        state = {
            camera: self.stages(camera).read_model(description).state() for camera in self._learnt()
        }
        return jax.eval_shape(lambda: state)

    def alarm_line(self, state: State, data: Dataset) -> AlarmLine | None:
        """The alarm line of all cameras together; None where there is too little normal video."""
        fps = self.frame_rate(data) or FPS
        videos = {camera: held_out.scores(self.stages(camera), data, fps) for camera in state}
        normal = self.cameras(data, TRAIN)
        reliable = all(
            alarm_rate.enough(3600 * held.hours, len(normal[camera]))
            for camera, held in videos.items()
        )
        joined = alarm_rate.joined([*videos.values()])
        line = alarm_rate.line_of(joined, self.config.alarm.per_hour, reliable)
        if line is None:
            print("note: too little normal video for an alarm line; give more of it")
        else:
            print(alarm.told(line))
        return line

    def videos(self, data: Dataset, split: str) -> Videos:
        """The videos of the split."""
        return Videos(data, split)

    def score(self, state: State, videos: Sequence[Video]) -> Iterator[Scores]:
        """Scores of each video, with a map, and reasons for volumes that score `eval.flag` or more.

        Raises:
          ValueError: a video of a camera without exemplars.
        """
        data, models = videos[0].data, {name: Model.of(part) for name, part in state.items()}
        split = videos[0].split
        camera_of_video = {
            video.name: camera
            for camera, of_camera in self.cameras(data, split).items()
            for video in of_camera
        }
        # Another dataset than the run's leaves the run's files alone, and has no training videos
        # to show beside the reasons.
        is_own = self.cache.owns(data)
        make = self.stages if is_own else self._elsewhere
        stages = {name: make(name) for name in models}
        training = _training(data) if is_own else {}
        for video in videos:
            camera = camera_of_video[video.name]
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
        """The frame scores smoothed over time."""
        del state
        smoothed = scoring.smooth(scores.frame_scores, self.config.eval.sigma)
        return dataclasses.replace(scores, frame_scores=smoothed)

    def _score(self, video: Video, stages: Stages, model: Model, data: Dataset, training) -> Scores:
        """Scores of a video, with map, reasons and the frames of the strongest ones."""
        # Volumes → regions of every frame → cells of the map → frames (spec §7).
        config, places = self.config, self.method.extractor.grid(video.size)
        scores, features = stages.scores(video, data, model), stages.features(video, data)
        by_frame = maps.frame_scores(
            on_grid(scores.score, places),
            features.t_start,
            places.window[0],
            video.num_frames,
            config.eval.map_rule,
        )
        heat = scoring.cells(by_frame, places, config.eval.map_rule)
        # Reasons of the flagged volumes (spec §8).
        explainer = Explainer(model, places, config.motion.still_threshold, config.model.neighbours)
        reasons = tuple(explainer.of(features, scores, config.eval.flag))
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
        return cameras(Videos(data, split), self.config.data.cameras, data.folder)

    def stages(self, camera: str) -> Stages:
        """The stages of a camera, through the files of the run."""
        return Stages(self.config, self.cache, camera, self.method)

    def _elsewhere(self, camera: str) -> Stages:
        """The stages of a camera for another dataset than the run's, in a temporary folder."""
        config = self.config.copy_and_resolve_references()
        config.features.dir = ""
        return Stages(config, Cache(), camera, self.method)

    def _learnt(self) -> list[str]:
        """The cameras that the run has exemplars of."""
        if self.config.data.cameras == "one":
            return [ONE]
        names = self.stages(ONE).files.merged_cameras()
        if not names:
            raise FileNotFoundError(
                f"{self.cache.folder}: no merged exemplars of any camera; run: "
                f"python -m vadjax.systems.exemplar merge {self.cache.flags}"
            )
        return names


def _check_camera(video: str, camera: str, models: Mapping) -> None:
    """Raises ValueError if there is no model of the camera."""
    if camera not in models:
        raise ValueError(
            f"video {video}: no exemplars of camera {camera!r}; there are some of "
            f"{', '.join(models)}"
        )


def _training(data: Dataset) -> dict[str, Video]:
    """Training videos by name; {} if the dataset has no such split."""
    return {video.name: video for video in Videos(data, TRAIN)} if TRAIN in data.splits else {}
