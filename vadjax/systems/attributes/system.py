"""Objects and their attributes as a system: normal video in, a model of each camera out.

Nothing is trained: `init` finds the objects of the training videos and learns how fast they move
and what they look like; `score` and `stream` judge the objects of other videos (spec attributes).
"""

import dataclasses
import datetime
import itertools
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence

import jax
import ml_collections
import numpy as np

from vadjax import system
from vadjax.config import expect_one_of
from vadjax.data import clips, tracks
from vadjax.data.cameras import camera_of, cameras
from vadjax.data.clips import Video, Videos
from vadjax.data.store.cache import Cache
from vadjax.data.store.records import Dataset, Description
from vadjax.data.tracks import TrackedVideo, TrackedVideos
from vadjax.data.video.frame_stream import Frame, numbered
from vadjax.runtime import progress
from vadjax.scores.alarm import AlarmLine
from vadjax.scores.files import Scores, read_arrays
from vadjax.scores.streaming import PartialScores, join
from vadjax.systems.attributes import (
    alarm,
    extend,
    fit,
    judge,
    objects,
    pictures,
    reasons,
    stream,
    values,
)
from vadjax.systems.attributes.density import SELECTIONS
from vadjax.systems.attributes.fit import NormalVideo
from vadjax.systems.attributes.judge import Judged
from vadjax.systems.attributes.model import CameraModel, State
from vadjax.systems.attributes.objects import ObjectTable
from vadjax.systems.attributes.rate import measure
from vadjax.systems.attributes.smoothing import LINE
from vadjax.systems.attributes.source import object_source
from vadjax.systems.attributes.stream import FrameRate
from vadjax.systems.attributes.tracks import TRACKS

TRAIN = "train"
FPS = 10.0  # if the dataset does not say its rate
LEARNT = "attributes.npz"  # the states of all cameras, beside the saved one
FUSIONS = ("sum", "max")

CameraStates = dict[str, State]
AnyVideo = Video | TrackedVideo


class System(system.System):
    """Attributes of objects (spec attributes); `vadjax.system.System` explains the methods."""

    kind = clips.KIND
    same_aspect = True
    live_line = LINE
    classes = reasons.NAMES

    def __init__(self, config: ml_collections.ConfigDict, cache: Cache | None = None):
        super().__init__(config, cache)
        chosen = config.attributes
        expect_one_of("attributes.direction", chosen.direction, values.DIRECTIONS)
        expect_one_of("attributes.divide_by_height", chosen.divide_by_height, values.DIVISION)
        expect_one_of("bank.selection", config.bank.selection, SELECTIONS)
        expect_one_of("fusion", config.fusion, FUSIONS)
        if not (chosen.speed or chosen.look or chosen.geometry):
            raise ValueError("attributes: none of speed, look and geometry counts")
        if chosen.geometry and config.objects.camera == "moving":
            raise ValueError(
                "attributes.geometry counts, but objects.camera is moving: a place in the frame is "
                "no place of the scene then (spec attributes §3.3); give objects.camera=fixed or "
                "attributes.geometry=False"
            )
        if config.bank.most < 1 or config.bank.threshold < 0:
            most, threshold = config.bank.most, config.bank.threshold
            raise ValueError(
                f"bank.most is {most}, bank.threshold {threshold}; expected at least 1 and 0"
            )
        if config.data.fps < 0:
            raise ValueError(f"data.fps is {config.data.fps}; expected 0 (the dataset's) or more")
        if not 0 <= config.alarm.per_hour < np.inf:
            raise ValueError(
                f"alarm.per_hour is {config.alarm.per_hour}; expected alarms an hour, such as 1, "
                "or 0 for the line that 999 of 1,000 normal frames stay below"
            )
        objects.taken(config.data.every, FPS)
        self.source = object_source(config, self.cache)
        if config.objects.source == TRACKS:
            self.kind = tracks.KIND
        self._named_rates: set[str] = set()  # videos whose other rate was said

    def init(self, rng: jax.Array, data: Dataset) -> CameraStates:
        """The models of all cameras, from the objects of their training videos."""
        del rng  # what is drawn has the config's seed
        rate = self._frame_rate(data)
        by_camera = self._cameras(data)
        videos = [video for own in by_camera.values() for video in own]
        with self.cache.first_then_others("weights"):
            _ = self.source.network  # is fetched once
        # every process finds the objects of its own videos
        own = self.cache.share(videos)
        with progress.bar("objects train", len(own)) as bar:
            for done, video in enumerate(own, 1):
                self.source.of_video(video, rate.every, data)
                bar.update(done, {})
        self.cache.wait("objects")
        with self.cache.first_then_others("attributes"):
            states, told = {}, []
            with progress.bar("models", len(by_camera)) as bar:
                for camera, own in by_camera.items():
                    model, sentences = self._fit(camera, own, data, rate)
                    states[camera] = model.state()
                    told += sentences
                    bar.update(len(states), {})
            self._keep(states)
        print("\n".join(told))
        return states

    def alarm_line(self, state: CameraStates, data: Dataset) -> AlarmLine:
        """The alarm line of all cameras: a reported score of 0.5, and how often that is reached."""
        del data
        models = [CameraModel.of(own) for own in state.values()]
        return alarm.alarm_line(models, self.config.alarm.per_hour)

    def extend(self, state: CameraStates, data: Dataset) -> CameraStates:
        """The models with the normal videos of another dataset of the same cameras (§8b)."""
        # What the dataset says of its rate holds, whatever the run's config has declared.
        declared = data.manifest.get("fps")
        if declared and self.config.data.fps and not np.isclose(declared, self.config.data.fps):
            raise ValueError(
                f"{data.folder}: {declared:g} frames a second, the run's data.fps is "
                f"{self.config.data.fps:g}; prepare the dataset with the --fps that is right"
            )
        rate, by_camera = self._frame_rate(data), self._cameras(data)
        models = {name: self._model(own) for name, own in state.items()}
        source = self.source.without_files()
        # The objects of each camera's videos, then its model.
        count, done = sum(map(len, by_camera.values())), 0
        with progress.bar("objects", count) as bar:
            for camera, videos in by_camera.items():
                model = models[self._camera(videos[0].name, models)]
                normal = []
                for video in videos:
                    _check_size(video, model)
                    table = source.of_video(video, rate.every, data)
                    scaled = _at_rate(table, _ratio(rate, model))
                    name = _new_name(f"{data.folder.name}/{video.name}", model.videos)
                    normal.append(NormalVideo(name, video.num_frames, scaled, _reader(video)))
                    done += 1
                    bar.update(done, {})
                models[camera] = after = extend.extend(
                    model, normal, self.config, rate.fps, rate.every
                )
                print(
                    f"{camera}: {model.seconds:.0f} + {after.seconds - model.seconds:.0f} seconds "
                    f"of normal video, {after.objects:,} objects; alarm line at "
                    f"{model.lines[0]:.2f} before, {after.lines[0]:.2f} now"
                )
        states = {name: model.state() for name, model in models.items()}
        self._keep(states)
        return states

    def _keep(self, states: CameraStates) -> None:
        """Writes the states beside the saved one, for their shapes."""
        arrays = {
            f"{camera}:{name}": array
            for camera, state in states.items()
            for name, array in state.items()
        }
        self.cache.write_arrays(self._learnt, _storable(arrays))

    def abstract_state(self, description: Description) -> CameraStates:
        """Shapes of the models, from the run's file: they depend on the training videos.

        Raises:
          FileNotFoundError: the run has learned nothing.
          ValueError: the file is damaged.
        """
        del description
        if not self._learnt.is_file():
            raise FileNotFoundError(
                f"{self._learnt}: no such file; run: python -m vadjax.main {self.cache.flags}"
            )
        states: CameraStates = {}
        for name, array in read_arrays(self._learnt).items():
            camera, _, field = name.replace("__", "/").rpartition(":")
            states.setdefault(camera, {})[field] = jax.ShapeDtypeStruct(array.shape, array.dtype)
        return states

    def videos(self, data: Dataset, split: str) -> Sequence[AnyVideo]:
        """The videos of a split."""
        return (TrackedVideos if self.kind == tracks.KIND else Videos)(data, split)

    def _cameras(self, data: Dataset) -> dict[str, list[AnyVideo]]:
        """The training videos by camera, sorted by name."""
        return cameras(self.videos(data, TRAIN), self.config.data.cameras, data.folder)

    def score(self, state: CameraStates, videos: Sequence[AnyVideo]) -> Iterator[Scores]:
        """Scores of each video, with boxes, and an event for every alarm interval."""
        data, models = videos[0].data, {name: self._model(own) for name, own in state.items()}
        # files of objects, and frames of the training, only of the run's own dataset
        owned = self.cache.owns(data)
        source = self.source if owned else self.source.without_files()
        training = {}
        if owned and TRAIN in data.splits:
            training = {video.name: video for video in self.videos(data, TRAIN)}
        rate = self._frame_rate(data)
        for video in videos:
            model = models[self._camera(video.name, models)]
            _check_size(video, model)
            # the same way as new video, but for the objects, which are known
            table = source.of_video(video, rate.every, data)
            parts = self._parts(
                model,
                video.name,
                numbered(_nothing(video.num_frames)),
                rate,
                lambda taken, table=table: _by_frame(table, taken),
                live=False,
                clock=_clock(video.start),
            )
            found = join(video.name, parts)
            count = self.config.eval.examples
            yield dataclasses.replace(
                found,
                labels=video.labels,
                boxes=_in_source(found.boxes, video),
                examples=pictures.examples(found.reasons, video, model, training, count),
            )

    def stream(
        self,
        state: CameraStates,
        name: str,
        frames: Iterator[Frame],
        data: Description,
        live: bool,
    ) -> Iterator[PartialScores]:
        """Scores of a video as its frames come, two seconds later; live at once."""
        self.source.check_new_video(name)
        model, finder = self._model(state[self._camera(name, state)]), self.source.finder()
        # the rate by the times of the first frames; without times that of the training
        fps, frames = measure(frames, self.frame_rate(data))
        rate = FrameRate(fps, self.scored_every(fps))
        yield from self._parts(model, name, frames, rate, lambda taken: finder(taken, live), live)

    def _parts(self, model, name, frames, rate, find, live, clock=None) -> Iterator[PartialScores]:
        # speeds are compared in pixels a frame of the training's rate
        line = model.lines[1 if live else 0]
        faster = _ratio(rate, model)
        if faster != 1 and name not in self._named_rates:  # said once, whatever gaps a camera has
            self._named_rates.add(name)
            print(
                f"{name}: {rate.taken:g} frames a second are taken, {model.fps:g} in the training"
            )

        def find_scaled(taken) -> Iterator[ObjectTable]:
            return (_at_rate(table, faster) for table in find(taken))

        def judged(table: ObjectTable) -> Judged:
            return judge.judge(model, self._rows(model, table), self.config.fusion)

        def tell(frame: stream.JudgedFrame, number: int) -> dict:
            geometry = self._rows(model, frame.objects).get("geometry")
            direction = self.config.attributes.direction
            return reasons.fields(
                model, frame.objects, frame.judged, geometry, number, direction, line
            )

        reporter = stream.Reporter(name, model, tell, rate, live, clock)
        yield from stream.parts(frames, rate.every, find_scaled, judged, reporter)

    def frame_rate(self, data: Description) -> float:
        """Frames a second of the videos of a dataset: by the config, the manifest, or 10."""
        return float(self.config.data.fps or super().frame_rate(data) or FPS)

    def scored_every(self, fps: float) -> int:
        """Every how many frames one is taken (§1)."""
        return objects.taken(self.config.data.every, fps)

    def _frame_rate(self, data: Description) -> FrameRate:
        """How fast the frames of a dataset's videos follow one another, and which are taken."""
        fps = self.frame_rate(data)
        return FrameRate(fps, self.scored_every(fps))

    def _rows(self, model: CameraModel, table: ObjectTable) -> dict[str, np.ndarray]:
        """Attributes of objects."""
        return judge.rows(table, self.config.attributes, model.size, model.divide, model.deviations)

    def _fit(
        self, camera: str, videos: Sequence[AnyVideo], data: Dataset, rate: FrameRate
    ) -> tuple[CameraModel, list[str]]:
        """The model of a camera, and what is told of it."""
        normal = [
            NormalVideo(
                video.name,
                video.num_frames,
                self.source.of_video(video, rate.every, data),
                _reader(video),
            )
            for video in videos
        ]
        size = tuple(videos[0].size)
        model = fit.fit(normal, self.config, size, rate.fps, rate.every, self._network)
        boxes = np.concatenate([video.objects.boxes for video in normal])
        heights = boxes[:, 3] - boxes[:, 1]
        return model, alarm.sentences(camera, model, heights, self.config.alarm.per_hour)

    @property
    def _network(self) -> str:
        """SHA-256 of the detector and its settings; "" without one."""
        return self.source.network.digest if self.source.network else ""

    def _model(self, state: State) -> CameraModel:
        """The model of a camera's state.

        Raises:
          ValueError: it was learned with another detector than is here.
        """
        model = CameraModel.of(state)
        if model.network != self._network:
            raise ValueError(
                f"objects.weights: other weights than the run was trained with (SHA-256 "
                f"{self._network[:12] or 'none'}…, the run's {model.network[:12] or 'none'}…)"
            )
        return model

    def _camera(self, video: str, models: Mapping) -> str:
        """The camera of a video.

        Raises:
          ValueError: there is no model of it.
        """
        camera = camera_of(video, self.config.data.cameras)
        if camera not in models:
            raise ValueError(
                f"video {video}: no model of camera {camera!r}; there are some of "
                f"{', '.join(models)}"
            )
        return camera

    @property
    def _learnt(self) -> pathlib.Path:
        return self.cache.folder / LEARNT


def _check_size(video: AnyVideo, model: CameraModel) -> None:
    """Raises ValueError if a video of a dataset has frames of another size than the training."""
    if tuple(video.size) != model.size:
        raise ValueError(
            f"{video.data.folder}: video {video.name} has frames of {tuple(video.size)}, the "
            f"training had {model.size}; prepare the dataset with that --size"
        )


def _clock(start: str | None) -> datetime.datetime | None:
    """The time at which a video began, local where it names no zone; None where unknown."""
    if start is None:
        return None
    moment = datetime.datetime.fromisoformat(start)
    return moment if moment.tzinfo else moment.astimezone()


def _reader(video: AnyVideo) -> Callable[[int], np.ndarray] | None:
    """Number of a frame → its picture; None of a video without pixels."""
    return None if isinstance(video, TrackedVideo) else video.__getitem__


def _ratio(rate: FrameRate, model: CameraModel) -> float:
    """How many times as many frames a second are taken as in the training."""
    faster = rate.taken / model.fps
    return 1.0 if np.isclose(faster, 1) else faster


def _new_name(name: str, taken: Sequence[str]) -> str:
    """The name, with a number behind it if it is taken."""
    numbers = (f"{name} ({number})" for number in itertools.count(2))
    return name if name not in taken else next(other for other in numbers if other not in taken)


def _at_rate(table: ObjectTable, faster: float) -> ObjectTable:
    """The objects with speeds in pixels a frame of the training's rate."""
    if faster == 1:
        return table
    return table._replace(motions=type(table.motions)(*(part * faster for part in table.motions)))


def _storable(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Names without a slash, as names of files in a zip."""
    return {name.replace("/", "__"): array for name, array in arrays.items()}


def _nothing(count: int) -> Iterator[None]:
    """Frames whose objects are known already."""
    return iter([None] * count)


def _by_frame(table: ObjectTable, taken) -> Iterator[ObjectTable]:
    """The objects of each frame that is taken."""
    for number, _ in taken:
        first, last = np.searchsorted(table.frame, (number, number + 1))
        yield ObjectTable(
            *(part[first:last] for part in table[:4]),
            type(table.motions)(*(part[first:last] for part in table.motions)),
            table.look[first:last],
        )


def _in_source(boxes: np.ndarray, video: AnyVideo) -> np.ndarray:
    """Boxes of the stored frames in pixels of the source."""
    scale = np.array(video.source_size[::-1]) / np.array(video.size[::-1])
    boxes = np.array(boxes, np.float64)
    boxes[:, 1:5] *= np.tile(scale, 2)
    return boxes
