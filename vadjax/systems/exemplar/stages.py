"""The stages of EVAL, each from files to files; what is there already is not made again."""

import collections
import contextlib
import functools
import itertools
import pathlib
import shutil
import tempfile
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import jax
import ml_collections
import numpy as np

from vadjax.config import expect_one_of
from vadjax.data.clips import Video, Videos
from vadjax.data.store.records import Dataset
from vadjax.data.video.grid import Grid
from vadjax.formats.names import check_name
from vadjax.ops.distance import COMPONENTS, Exemplars
from vadjax.runtime import mesh, processes, progress
from vadjax.systems.exemplar import features, files, maps, model, scoring
from vadjax.systems.exemplar.features import Extractor, Features
from vadjax.systems.exemplar.model import MEND, Model
from vadjax.systems.exemplar.scoring import VolumeScores
from vadjax.systems.exemplar.space import Space

TRAIN, TEST = "train", "test"
ONE = "scene"  # name of the camera where there is only one
CAMERAS = ("one", "prefix")


class Stages:
    """The stages for one camera as a config has them, in a folder (`files.py` says what it holds).

    Args:
      config: of the run.
      folder: workdir; None takes a temporary one, which goes with the object.
      camera: name of the camera, where there are several.
      extractor: makes the features; a new one if None.

    Raises:
      ValueError, FileNotFoundError, ImportError: a field, or weights, that cannot be used.
    """

    def __init__(
        self,
        config: ml_collections.ConfigDict,
        folder: pathlib.Path | None = None,
        camera: str = ONE,
        extractor: Extractor | None = None,
    ):
        self.config, self.camera = config, camera
        self.space = Space.of(config)
        check(config)
        self.extractor = extractor or Extractor(config)
        self._folder = folder
        count = config.train.devices or jax.local_device_count()
        self.sharding = mesh.by_row(mesh.make(count, count, here=True)) if count > 1 else None

    @functools.cached_property
    def folder(self) -> pathlib.Path:
        """The workdir, or the temporary folder in its place."""
        if self._folder is not None:
            return self._folder
        made = tempfile.mkdtemp(prefix="vadjax_")
        weakref.finalize(self, shutil.rmtree, made, ignore_errors=True)
        return pathlib.Path(made)

    @property
    def threshold(self) -> float:
        """Of the selection."""
        return float(self.config.model.threshold)

    def path(self, name: str, *below: str) -> pathlib.Path:
        """A file or folder of a stage; `{version}` and `{camera}` in its name are filled in."""
        camera = "" if self.camera == ONE else f"_{self.camera}"
        return self.folder.joinpath(name.format(version=self.space.version, camera=camera), *below)

    def videos(self, data: Dataset, split: str) -> list[Video]:
        """The camera's videos of a split, sorted by name.

        Raises:
          ValueError: there are none.
        """
        found = cameras(data, split, self.config.data.cameras).get(self.camera, [])
        if not found:
            raise ValueError(
                f"{data.folder}: split {split!r} has no video of camera {self.camera!r}; its "
                f"exemplars need one (data.cameras is {self.config.data.cameras!r})"
            )
        return found

    @property
    def merged_path(self) -> pathlib.Path:
        """The file of the model."""
        return self.path("exemplars_{version}_merged{camera}.npz")

    def merged_cameras(self) -> list[str]:
        """Names of the cameras whose models the folder holds, sorted."""
        start = f"exemplars_{self.space.version}_merged"
        names = [path.stem.removeprefix(start) for path in self.folder.glob(f"{start}*.npz")]
        return sorted(name.removeprefix("_") or ONE for name in names)

    # Stage 1

    def features(self, video: Video, data: Dataset) -> Features:
        """Features of one video."""
        folder = pathlib.Path(self.config.features.dir or self.path("features"))
        path = folder / video.split / f"{video.name}.npz"
        return features.stage(path, video, self.extractor, data.digest)

    def all_features(self, data: Dataset, split: str) -> Iterator[Features]:
        """Features of the videos of a split in the order of their names; few are in memory."""
        videos = self.videos(data, split)
        workers = max(1, self.config.data.threads)
        with progress.bar(f"features {split}", len(videos)) as bar:
            with ThreadPoolExecutor(workers) as pool:
                todo, made = iter(videos), collections.deque()
                for done in range(1, len(videos) + 1):
                    for video in itertools.islice(todo, workers + 1 - len(made)):
                        made.append(pool.submit(self.features, video, data))
                    one = made.popleft().result()
                    bar.update(done, {})
                    yield one

    # Stage 2

    def made_with(self, data: Dataset) -> dict:
        """With what exemplars are made."""
        return {
            **self.extractor.settings(tuple(data.manifest["size"])),
            **self.space.settings(),
            "z_volumes": self.config.model.z_volumes,
            "camera": self.camera,
            "data": data.digest,
        }

    def scales(self, data: Dataset) -> np.ndarray:
        """Z of the training videos, float32 [4] (spec §5): of its file, or from all features."""
        path = self.path("scales_{version}{camera}.npz")
        meta = self.made_with(data) | {"seed": self.config.seed}  # of the draw
        if path.is_file():
            arrays = files.read(path, meta, MEND, ("Z",))
            files.check_lengths(path, arrays, {"Z": (len(COMPONENTS),)})
            return arrays["Z"]
        drawn, sizes = self._draw(data)
        found = self.space.scales(drawn, sizes)
        files.write(path, {"Z": found}, meta)
        return found

    def _draw(self, data: Dataset) -> tuple[np.ndarray, tuple[int, ...]]:
        """Rows of the training volumes, at most `model.z_volumes` drawn ones, and their sizes."""
        places = self.extractor.grid(tuple(data.manifest["size"]))
        counts = [
            len(places.times(video.num_frames)) * places.regions
            for video in self.videos(data, TRAIN)
        ]
        total, most = sum(counts), self.config.model.z_volumes
        chosen = np.arange(total)
        if total > most:
            rng = np.random.default_rng(self.config.seed)
            chosen = np.sort(rng.choice(total, most, replace=False))
        rows, sizes, end = [], (), 0
        for own, count in zip(self.all_features(data, TRAIN), counts, strict=True):
            here = chosen[(chosen >= end) & (chosen < end + count)] - end
            rows.append(self.space.rows(own).reshape(count, -1)[here])
            sizes, end = self.space.sizes(own), end + count
        return np.concatenate(rows), sizes

    def clusters(self, video: Video, data: Dataset) -> tuple[Exemplars, dict[str, np.ndarray]]:
        """Stage 2a: the exemplars of one training video."""
        scales, folder = self.scales(data), self.path("clusters_{version}")
        meta = self.made_with(data) | {"threshold": self.threshold, "video": video.name}
        meta |= {"Z": scales.tolist()}
        if (folder / f"{video.name}.npz").is_file():
            return model.read_clusters(folder, video.name, meta)
        own = self.features(video, data)
        metric = self.space.metric(self.space.sizes(own), scales)
        with _naming(video.name):
            found, arrays = model.select(own, self.space, metric, self.threshold, self.sharding)
        model.write_clusters(folder, video.name, found, arrays, meta)
        return found, arrays

    def all_clusters(self, data: Dataset) -> list[tuple[Exemplars, dict[str, np.ndarray]]]:
        """Stages 1 and 2a of all training videos."""
        self.scales(data)
        videos, parts = self.videos(data, TRAIN), []
        with progress.bar("exemplars", len(videos)) as bar:
            for done, video in enumerate(videos, 1):
                parts.append(self.clusters(video, data))
                bar.update(done, {})
        return parts

    def share(self, data: Dataset) -> None:
        """Stages 1 and 2a where there are several processes, each with its share of the videos.

        What `merge` needs is in files then.
        """
        if processes.count() == 1:
            return
        videos = processes.own(self.videos(data, TRAIN))
        for video in videos:
            self.features(video, data)
        processes.wait(f"features {self.camera}")
        with processes.first_then_others(f"scales {self.camera}"):
            self.scales(data)
        for video in videos:
            self.clusters(video, data)
        processes.wait(f"clusters {self.camera}")

    def merge(self, data: Dataset) -> Model:
        """Stage 2b: the exemplars of all training videos merged."""
        parts, scales = self.all_clusters(data), self.scales(data)
        sizes = self.space.sizes(model.as_features(parts[0][1]))
        metric = self.space.metric(sizes, scales)
        arrays = model.merge(parts, self.space, metric, self.threshold, self.sharding)
        found = Model(
            **arrays,
            Z=scales,
            threshold=np.array(self.threshold, np.float32),
            names=model.to_bytes([video.name for video in self.videos(data, TRAIN)]),
            classes=model.to_bytes(self.extractor.classes),
        )
        places = self.extractor.grid(tuple(data.manifest["size"]))
        geometry = {"y_start": places.rows, "x_start": places.columns}
        geometry |= {"window": np.array(places.window), "frame_size": np.array(places.frame_size)}
        meta = self.made_with(data) | {"threshold": self.threshold}
        files.write(self.merged_path, found._asdict() | geometry, meta)
        return found

    def read_model(self, data: Dataset) -> Model:
        """The merged exemplars of their file, for videos of `data`, whatever they were learnt on.

        Raises:
          FileNotFoundError: there is no such file; names the command.
          ValueError: of another geometry, version or threshold; gives both values.
        """
        if not self.merged_path.is_file():
            raise FileNotFoundError(
                f"{self.merged_path}: no merged exemplars; run the stages before (features, "
                "select, merge), or: python -m vadjax.main --config=… --workdir=…"
            )
        meta = self.made_with(data) | {"threshold": self.threshold}
        del meta["data"]
        arrays = files.read(self.merged_path, meta, MEND, Model._fields)
        rows = (*model.READABLE, "count", "source_sequence", "source_t")
        total = arrays["count"].size
        files.check_lengths(self.merged_path, arrays, dict.fromkeys(rows, (total,)))
        model.check_offsets(self.merged_path, arrays["offsets"], total)
        return Model(**{name: arrays[name] for name in Model._fields})

    # Stage 3

    def scores(self, video: Video, data: Dataset, found: Model) -> VolumeScores:
        """Scores of the volumes of one test video: of their files, or measured now."""
        folder = self.path("anomaly_scores_{version}")
        if video.split != TEST:  # videos of two splits may have the same name
            folder = folder / video.split
        detail, array = folder / f"{video.name}_detail.npz", folder / f"{video.name}.npy"
        meta = features.meta(video, self.made_with(data), data.digest) | {
            "threshold": self.threshold,
            "neighbours": self.config.model.neighbours,
            "model": model.digest(found),
        }
        if detail.is_file() and array.is_file():
            arrays = files.read(detail, meta, MEND, VolumeScores._fields)
            self._check_detail(detail, arrays, video, found)
            return VolumeScores(**{name: arrays[name] for name in VolumeScores._fields})
        places, learnt = self.extractor.grid(video.size), len(found.offsets) - 1
        if learnt != places.regions:
            raise ValueError(
                f"{video.name}: its frames of {video.size[0]} × {video.size[1]} have "
                f"{places.regions} regions, the exemplars are of {learnt}; they are for frames of "
                "the size that they were selected on"
            )
        with _naming(video.name):
            own = self.features(video, data)
            scores = self.nearest(own, found, places)
        by_frame = maps.frame_scores(
            on_grid(scores.score, places), own.t_start, places.window[0], video.num_frames
        )
        files.write_array(array, by_frame)
        files.write(detail, scores._asdict(), meta)
        return scores

    def _check_detail(self, path: pathlib.Path, arrays: dict, video: Video, found: Model) -> None:
        """Raises ValueError unless the arrays are of the volumes of a video and of that model."""
        places = self.extractor.grid(video.size)
        sides = len(places.times(video.num_frames)), places.regions
        files.check_lengths(path, arrays, dict.fromkeys(VolumeScores._fields, sides))
        nearest, total = arrays["nearest"], len(found.count)
        if nearest.dtype.kind not in "iu" or not ((nearest >= 0) & (nearest < total)).all():
            raise ValueError(
                f"{path}: nearest is not of the {total:,} exemplars. Remove it to make it anew"
            )

    def nearest(self, own: Features, found: Model, places: Grid) -> VolumeScores:
        """Distances of volumes to the exemplars of a model."""
        exemplars = found.features()
        return scoring.score(
            self.space.rows(own),
            self.space.rows(exemplars),
            found.offsets,
            self.space.metric(self.space.sizes(exemplars), found.Z),
            len(places.columns),
            self.config.model.neighbours,
            self.sharding,
        )


def cameras(data: Dataset, split: str, rule: str) -> dict[str, list[Video]]:
    """The videos of a split by camera, sorted by name.

    Args:
      data: the dataset.
      split: name of the split.
      rule: `"one"` for all, or `"prefix"`: the text before the first underscore of a video's name
        (`01_0014` is of camera 01, as in ShanghaiTech).

    Raises:
      ValueError: no such rule or split, or a name without an underscore.
    """
    expect_one_of("data.cameras", rule, CAMERAS)
    found: dict[str, list[Video]] = {}
    for video in sorted(Videos(data, split), key=lambda video: video.name):
        try:
            check_name(video.name, f"split {split!r}")  # it becomes that of files of all stages
            camera = camera_of(video.name, rule)
        except ValueError as error:
            raise ValueError(f"{data.folder}: {error}") from error
        found.setdefault(camera, []).append(video)
    return found


def camera_of(video: str, rule: str) -> str:
    """Name of a video's camera by a rule of `cameras`.

    Raises:
      ValueError: a name without an underscore.
    """
    camera, underscore, _ = video.partition("_")
    if rule == "prefix" and not (camera and underscore):
        raise ValueError(
            f"video {video}: no camera before an underscore in its name; expected for example "
            "01_0014, or data.cameras = 'one'"
        )
    return camera if rule == "prefix" else ONE


def on_grid(scores: np.ndarray, places: Grid) -> np.ndarray:
    """[n_t, R] → [n_t, rows, columns]."""
    return scores.reshape(len(scores), len(places.rows), len(places.columns))


@contextlib.contextmanager
def _naming(video: str) -> Iterator[None]:
    """Names the video in an error about its volumes."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{video}: {error}") from error


def check(config: ml_collections.ConfigDict) -> None:
    """Refuses fields out of their range."""
    if config.train.steps:
        raise ValueError(
            f"train.steps is {config.train.steps}; exemplars are selected, not trained by steps: "
            "leave it 0"
        )
    for name, value, least in (
        ("model.threshold", config.model.threshold, 0),
        ("model.neighbours", config.model.neighbours, 0),
        ("model.z_volumes", config.model.z_volumes, 2),
        ("motion.tau", config.motion.tau, 0),
        ("eval.sigma", config.eval.sigma, 0),
        ("eval.examples", config.eval.examples, 0),
    ):
        if not value >= least:
            raise ValueError(f"{name} is {value}; expected at least {least}")
    still = config.motion.still_threshold
    if still is not None and not 0 < still <= 1:
        raise ValueError(
            f"motion.still_threshold is {still}; expected a share of the pixels above 0, up to 1, "
            "or None"
        )
    expect_one_of("eval.map_rule", config.eval.map_rule, maps.RULES)
