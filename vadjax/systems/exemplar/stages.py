"""The stages of EVAL, each from files to files; what is there already is not made again."""

import collections
import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import ml_collections
import numpy as np

import vadjax
from vadjax.data.clips import Video
from vadjax.data.store.records import Dataset, Description
from vadjax.ops.distance import COMPONENTS, Exemplars
from vadjax.runtime import progress
from vadjax.system import Cache
from vadjax.systems.exemplar import features, files, model
from vadjax.systems.exemplar.cameras import ONE, cameras
from vadjax.systems.exemplar.features import Extractor, Features
from vadjax.systems.exemplar.files import MEND, StageFiles
from vadjax.systems.exemplar.method import Method
from vadjax.systems.exemplar.model import Model
from vadjax.systems.exemplar.scoring import VolumeScores

TRAIN = "train"
MEND_FEATURES = "Remove the folder to make features anew, or give the same settings"


class Stages:
    """The stages for one camera, through the files of a cache (`files.py` says what it holds).

    Args:
      config: of the run.
      cache: of the run; None takes a temporary one, which goes with the object.
      camera: name of the camera, where there are several.
      method: what the stages do; a new one if None.

    Raises:
      ValueError, FileNotFoundError, ImportError: as `Method`.
    """

    def __init__(
        self,
        config: ml_collections.ConfigDict,
        cache: Cache | None = None,
        camera: str = ONE,
        method: Method | None = None,
    ):
        self.config, self.camera = config, camera
        self.method = method or Method(config)
        self._cache = cache or Cache()
        version = self.method.space.version
        self.files = StageFiles(self._cache, version, camera, config.features.dir)

    @property
    def extractor(self) -> Extractor:
        """Makes the features."""
        return self.method.extractor

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

    # Stage 1

    def features(self, video: Video, data: Dataset) -> Features:
        """Features of one video.

        Raises:
          ValueError: its file was made of other data or with other settings.
        """
        path, extractor = self.files.features(video), self.extractor
        meta = features.meta(video, extractor.settings(video.size), data.digest)
        if path.is_file():
            arrays = files.read(path, meta, MEND_FEATURES, Features._fields)
            grid = extractor.grid(video.size)
            times = len(grid.times(video.num_frames))
            sides = dict.fromkeys(Features._fields, (times, grid.regions)) | {"t_start": (times,)}
            files.check_lengths(path, arrays, sides)
            return Features(**{name: arrays[name] for name in Features._fields})
        found, grid = extractor.extract(video), extractor.grid(video.size)
        places = {"y_start": grid.rows, "x_start": grid.columns, "window": np.array(grid.window)}
        places |= {
            "frame_size": np.array(grid.frame_size),
            "n_frames": np.array(video.num_frames),
        }
        meta |= {"classes": extractor.classes, "software": f"vadjax {vadjax.__version__}"}
        self.files.write(path, found._asdict() | places, meta)
        return found

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

    def made_with(self, data: Description) -> dict:
        """With what exemplars are made."""
        return {**self.method.settings(data), "camera": self.camera, "data": data.digest}

    def scales(self, data: Dataset) -> np.ndarray:
        """Z of the training videos, float32 [4] (spec §5): of its file, or from all features."""
        path = self.files.scales
        meta = self.made_with(data) | {"seed": self.config.seed}  # of the draw
        if path.is_file():
            arrays = files.read(path, meta, MEND, ("Z",))
            files.check_lengths(path, arrays, {"Z": (len(COMPONENTS),)})
            return arrays["Z"]
        own = self.all_features(data, TRAIN)
        found = self.method.scales(own, self.videos(data, TRAIN), data)
        self.files.write(path, {"Z": found}, meta)
        return found

    def clusters(self, video: Video, data: Dataset) -> tuple[Exemplars, dict[str, np.ndarray]]:
        """Stage 2a: the exemplars of one training video."""
        scales = self.scales(data)
        path, _ = self.files.clusters(video.name)
        meta = self.made_with(data) | {"threshold": self.method.threshold, "video": video.name}
        meta |= {"Z": scales.tolist()}
        if path.is_file():
            return self.files.read_clusters(video.name, meta)
        found, own = self.method.select(video.name, self.features(video, data), scales)
        self.files.write_clusters(video.name, found, own, meta)
        return found, own

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
        if not self._cache.shared:
            return
        videos = self._cache.share(self.videos(data, TRAIN))
        for video in videos:
            self.features(video, data)
        self._cache.wait(f"features {self.camera}")
        with self._cache.first_then_others(f"scales {self.camera}"):
            self.scales(data)
        for video in videos:
            self.clusters(video, data)
        self._cache.wait(f"clusters {self.camera}")

    def merge(self, data: Dataset) -> Model:
        """Stage 2b: the exemplars of all training videos merged."""
        parts, scales = self.all_clusters(data), self.scales(data)
        found = self.method.merge(parts, scales, self.videos(data, TRAIN))
        places = self.method.grid(data)
        geometry = {"y_start": places.rows, "x_start": places.columns}
        geometry |= {"window": np.array(places.window), "frame_size": np.array(places.frame_size)}
        meta = self.made_with(data) | {"threshold": self.method.threshold}
        self.files.write(self.files.merged, found._asdict() | geometry, meta)
        return found

    def read_model(self, data: Description) -> Model:
        """The merged exemplars of their file, for videos of `data`, whatever they were learnt on.

        Raises:
          FileNotFoundError: there is no such file; names the command.
          ValueError: of another geometry, version or threshold; gives both values.
        """
        path = self.files.merged
        if not path.is_file():
            raise FileNotFoundError(
                f"{path}: no merged exemplars; run the stages before (features, select, merge), "
                "or: python -m vadjax.main --config=… --workdir=…"
            )
        meta = self.made_with(data) | {"threshold": self.method.threshold}
        del meta["data"]
        arrays = files.read(path, meta, MEND, Model._fields)
        rows = (*model.READABLE, "count", "source_sequence", "source_t")
        total = arrays["count"].size
        files.check_lengths(path, arrays, dict.fromkeys(rows, (total,)))
        files.check_offsets(path, arrays["offsets"], total)
        return Model(**{name: arrays[name] for name in Model._fields})

    # Stage 3

    def scores(self, video: Video, data: Dataset, learnt: Model) -> VolumeScores:
        """Scores of the volumes of one test video: of their files, or measured now."""
        detail, by_frame = self.files.scores(video)
        meta = features.meta(video, self.made_with(data), data.digest) | {
            "threshold": self.method.threshold,
            "neighbours": self.config.model.neighbours,
            "model": model.digest(learnt),
        }
        if detail.is_file() and by_frame.is_file():
            arrays = files.read(detail, meta, MEND, VolumeScores._fields)
            self._check_detail(detail, arrays, video, learnt)
            return VolumeScores(**{name: arrays[name] for name in VolumeScores._fields})
        self.method.check_regions(video, learnt)
        own = self.features(video, data)
        found = self.method.score(video, own, learnt)
        self.files.write_array(by_frame, self.method.frame_scores(video, own.t_start, found))
        self.files.write(detail, found._asdict(), meta)
        return found

    def _check_detail(self, path, arrays: dict, video: Video, learnt: Model) -> None:
        """Raises ValueError unless the arrays are of the volumes of a video and of that model."""
        grid = self.extractor.grid(video.size)
        sides = len(grid.times(video.num_frames)), grid.regions
        files.check_lengths(path, arrays, dict.fromkeys(VolumeScores._fields, sides))
        nearest, total = arrays["nearest"], len(learnt.count)
        if nearest.dtype.kind not in "iu" or not ((nearest >= 0) & (nearest < total)).all():
            raise ValueError(
                f"{path}: nearest is not of the {total:,} exemplars. Remove it to make it anew"
            )
