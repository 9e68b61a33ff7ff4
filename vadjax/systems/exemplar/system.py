"""EVAL as a system: normal video in, exemplars of every region out, and scores with reasons.

The stages are functions of `Stages` and files in the workdir (`files.py`); `init` walks stages 1
and 2, `score` stages 1 and 3 of each video. What is there already is not made again.
"""

import pathlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

import jax
import ml_collections
import numpy as np

from vadjax import mesh, progress
from vadjax.data import clips
from vadjax.data.clips import Video, Videos
from vadjax.data.loader import Shard
from vadjax.data.records import Dataset
from vadjax.scores import Scores
from vadjax.systems.exemplar import features, files, grid, model, scoring
from vadjax.systems.exemplar.examples import examples
from vadjax.systems.exemplar.features import Extractor, Features
from vadjax.systems.exemplar.grid import Grid
from vadjax.systems.exemplar.model import MEND, Model
from vadjax.systems.exemplar.reasons import Explainer
from vadjax.systems.exemplar.scoring import VolumeScores
from vadjax.systems.exemplar.space import Space

TRAIN = "train"


class Stages:
    """The stages, each from files to files.

    Args:
      config: of the run.
      folder: workdir; None keeps no files.

    Raises:
      ValueError, FileNotFoundError, ImportError: a field, or weights, that cannot be used.
    """

    def __init__(self, config: ml_collections.ConfigDict, folder: pathlib.Path | None):
        self.config, self.folder = config, folder
        self.space = Space.of(config)
        _check(config)
        self.extractor = Extractor(config)
        self.sharding = mesh.by_row(mesh.make(1, 1))

    @property
    def threshold(self) -> float:
        """Of the selection."""
        return float(self.config.model.threshold)

    def path(self, *parts: str) -> pathlib.Path:
        """A file or folder of a stage; `{version}` in its name is the version's."""
        return self.folder.joinpath(*(part.format(version=self.space.version) for part in parts))

    def features(self, video: Video, data: str) -> Features:
        """Stage 1 of one video; `data` is the digest of its dataset."""
        if self.folder is None:
            return self.extractor.extract(video)
        path = self.feature_folder / video.split / f"{video.name}.npz"
        return features.stage(path, video, self.extractor, data)

    @property
    def feature_folder(self) -> pathlib.Path:
        """`features.dir`, or `features/` in the workdir."""
        return pathlib.Path(self.config.features.dir or self.path("features"))

    def all_features(self, data: Dataset, videos: Videos, title: str) -> Iterator[Features]:
        """Stage 1 of videos, in order, some at a time in threads."""
        workers = max(1, self.config.data.threads)
        with progress.bar(title, len(videos)) as bar, ThreadPoolExecutor(workers) as pool:
            found = pool.map(lambda video: self.features(video, data.digest), videos)
            for done, one in enumerate(found, 1):
                bar.update(done, {})
                yield one

    def made_with(self, data: Dataset) -> dict:
        """With what exemplars are made."""
        size = tuple(data.manifest["size"])
        return {
            **self.extractor.settings(size),
            **self.space.settings(),
            "threshold": self.threshold,
            "data": data.digest,
        }

    def scales(self, data: Dataset) -> np.ndarray:
        """Z of the training videos, float32 [4], of its file or of all stage-1 files."""
        meta = self.made_with(data) | {"z_volumes": self.config.model.z_volumes}
        del meta["threshold"]
        path = self.path("scales_{version}.npz")
        if path.is_file():
            return files.read(path, meta, MEND)["Z"]
        drawn, sizes = self._draw(data)
        found = self.space.scales(drawn, sizes, len(drawn), self.config.seed)
        files.write(path, {"Z": found}, meta)
        return found

    def _draw(self, data: Dataset) -> tuple[np.ndarray, tuple[int, ...]]:
        """Rows of the training volumes, at most `model.z_volumes` drawn ones, and their sizes."""
        videos = Videos(data, TRAIN)
        space = self.extractor.grid(tuple(data.manifest["size"]))
        counts = [len(space.times(video.num_frames)) * space.regions for video in videos]
        total, most = sum(counts), self.config.model.z_volumes
        chosen = np.arange(total)
        if total > most:
            rng = np.random.default_rng(self.config.seed)
            chosen = np.sort(rng.choice(total, most, replace=False))
        ends, rows, sizes = np.cumsum(counts), [], ()
        for own, end, count in zip(
            self.all_features(data, videos, "features train"), ends, counts, strict=True
        ):
            here = chosen[(chosen >= end - count) & (chosen < end)] - (end - count)
            compared = self.space.rows(own)
            rows.append(compared.reshape(count, -1)[here])
            sizes = self.space.sizes(own)
        return np.concatenate(rows), sizes

    def clusters(self, data: Dataset, video: Video):
        """Stage 2a of one video: its exemplars, of their files or selected now."""
        folder = self.path("clusters_{version}")
        meta = self.made_with(data) | {"Z": self.scales(data).tolist(), "video": video.name}
        if (folder / f"{video.name}.npz").is_file():
            return model.read_clusters(folder, video.name, meta)
        own = self.features(video, data.digest)
        metric = self.space.metric(self.space.sizes(own), self.scales(data))
        found, arrays = model.select(own, self.space, metric, self.threshold, self.sharding)
        model.write_clusters(folder, video.name, found, arrays, meta)
        return found, arrays

    def merge(self, data: Dataset, parts: list | None = None) -> Model:
        """Stage 2b: all exemplars merged; written, and returned."""
        videos = sorted(Videos(data, TRAIN), key=lambda video: video.name)
        parts = parts or [self.clusters(data, video) for video in videos]
        scales, size = self.scales(data), tuple(data.manifest["size"])
        sizes = self.space.sizes(_as_features(parts[0][1]))
        arrays = model.merge(
            parts, self.space, self.space.metric(sizes, scales), self.threshold, self.sharding
        )
        found = Model(
            **arrays,
            Z=scales,
            threshold=np.float32(self.threshold),
            names=model.to_bytes([video.name for video in videos]),
            classes=model.to_bytes(self.extractor.classes),
        )
        places = self.extractor.grid(size)
        geometry = {"t_start": found.source_t, "y_start": places.rows, "x_start": places.columns}
        geometry |= {"window": np.array(places.window), "frame_size": np.array(size)}
        files.write(self.merged_path, found._asdict() | geometry, self.made_with(data))
        return found

    @property
    def merged_path(self) -> pathlib.Path:
        """The file of the model."""
        return self.path("exemplars_{version}_merged.npz")

    def read_model(self, meta: dict) -> Model:
        """The model of its file, if it was made with `meta`.

        Raises:
          FileNotFoundError, ValueError: as `files.read`.
        """
        arrays = files.read(self.merged_path, meta, MEND)
        return Model(**{name: arrays[name] for name in Model._fields})

    def learn(self, data: Dataset) -> Model:
        """Stages 1 and 2 of the training videos."""
        videos = sorted(Videos(data, TRAIN), key=lambda video: video.name)
        self.scales(data)
        parts = []
        with progress.bar("exemplars", len(videos)) as bar:
            for done, video in enumerate(videos, 1):
                parts.append(self.clusters(data, video))
                bar.update(done, {})
        found = self.merge(data, parts)
        columns = self.extractor.grid(tuple(data.manifest["size"])).columns
        print(model.describe(found.offsets, len(columns)))
        return found

    def volume_scores(self, found: Model, own: Features, places: Grid) -> VolumeScores:
        """Stage 3 of one video: the scores of its volumes."""
        exemplars = found.features()
        return scoring.score(
            self.space.rows(own),
            self.space.rows(exemplars),
            np.asarray(found.offsets),
            self.space.metric(self.space.sizes(exemplars), found.Z),
            len(places.columns),
            self.config.model.neighbours,
            self.sharding,
        )


def _check(config: ml_collections.ConfigDict) -> None:
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
        ("eval.sigma", config.eval.sigma, 0),
    ):
        if not value >= least:
            raise ValueError(f"{name} is {value}; expected at least {least}")
    grid.check_rule(config.eval.map_rule)


def _as_features(own: dict) -> Features:
    return Features(**{name: own[name] for name in model.READABLE}, t_start=own["source_t"])


class System:
    """EVAL (spec eval); `vadjax.system.System` tells what each method is for."""

    kind = clips.KIND

    def __init__(self, config: ml_collections.ConfigDict, folder: pathlib.Path | None = None):
        self.config = config
        self.stages = Stages(config, folder)
        self.training: Dataset | None = None  # for the frames of the nearest exemplars

    def batches(self, data: Dataset, shard: Shard) -> None:
        """None: all is learnt in `init`."""
        del data, shard

    def init(self, rng: jax.Array, data: Dataset) -> Model:
        """The exemplars of the training videos (stages 1 and 2).

        A folder that was claimed by a finished run keeps its model, whatever `data` is.
        """
        del rng  # nothing is random but the draw for Z, which has the config's seed
        if self.stages.finished:
            return self.stages.read_model(self.stages.free_of_data(data))
        self.training = data
        return self.stages.learn(data)

    def finalize(self, state: Model, data: Dataset) -> Model:
        """Nothing to do."""
        del data
        return state
