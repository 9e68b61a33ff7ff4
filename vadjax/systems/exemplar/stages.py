"""The stages of EVAL, each from files to files; existing files are kept (spec eval §1)."""

import collections
import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import ml_collections
import numpy as np

import vadjax
from vadjax.data.cameras import ONE, cameras
from vadjax.data.clips import Video, Videos
from vadjax.data.store.records import Dataset, Description
from vadjax.ops.distance import COMPONENTS, Exemplars
from vadjax.runtime import progress
from vadjax.scores.files import read_arrays
from vadjax.system import Cache
from vadjax.systems.exemplar import features, files, model
from vadjax.systems.exemplar.features import Extractor, Features
from vadjax.systems.exemplar.files import MEND, StageFiles
from vadjax.systems.exemplar.method import Method
from vadjax.systems.exemplar.model import Model
from vadjax.systems.exemplar.scoring import VolumeScores

TRAIN = "train"
MEND_FEATURES = "Remove the folder to make features anew, or give the same settings"


class Stages:
    """The stages for one camera, through the files of a cache (listed in `files.py`).

    Args:
      config: of the run.
      cache: of the run; None uses a temporary one, which is deleted with the object.
      camera: name of the camera, if there are several.
      method: computes the results of the stages; a new one if None.

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
        """Extracts the features of videos."""
        return self.method.extractor

    def videos(self, data: Dataset, split: str) -> list[Video]:
        """The camera's videos of a split, sorted by name.

        Raises:
          ValueError: there are none.
        """
        by_camera = cameras(Videos(data, split), self.config.data.cameras, data.folder)
        videos = by_camera.get(self.camera, [])
        if not videos:
            raise ValueError(
                f"{data.folder}: split {split!r} has no video of camera {self.camera!r}; its "
                f"exemplars need one (data.cameras is {self.config.data.cameras!r})"
            )
        return videos

    # Stage 1

    def features(self, video: Video, data: Dataset) -> Features:
        """Features of one video, from its file or extracted now.

        Raises:
          ValueError: its file was made from other data or with other settings.
        """
        path, extractor = self.files.features(video), self.extractor
        meta = features.meta(video, extractor.settings(video.size), data.digest)
        # An existing file must be of the same data and settings, and of this grid.
        if path.is_file():
            arrays = files.read(path, meta, MEND_FEATURES, Features._fields)
            grid = extractor.grid(video.size)
            times = len(grid.times(video.num_frames))
            sides = dict.fromkeys(Features._fields, (times, grid.regions)) | {"t_start": (times,)}
            files.check_lengths(path, arrays, sides)
            return Features(**{name: arrays[name] for name in Features._fields})
        # The file holds the features, and where the volumes lie (spec §4).
        extracted, grid = extractor.extract(video), extractor.grid(video.size)
        places = {"y_start": grid.rows, "x_start": grid.columns, "window": np.array(grid.window)}
        places |= {
            "frame_size": np.array(grid.frame_size),
            "n_frames": np.array(video.num_frames),
        }
        meta |= {"classes": extractor.classes, "software": f"vadjax {vadjax.__version__}"}
        self.files.write(path, extracted._asdict() | places, meta)
        return extracted

    def all_features(self, data: Dataset, split: str) -> Iterator[Features]:
        """Features of the videos of a split in the order of their names, with few in memory."""
        # Threads work on the next videos while the caller uses the features of one.
        videos = self.videos(data, split)
        workers = max(1, self.config.data.threads)
        with progress.bar(f"features {split}", len(videos)) as bar:
            with ThreadPoolExecutor(workers) as pool:
                waiting, started = iter(videos), collections.deque()
                for done in range(1, len(videos) + 1):
                    for video in itertools.islice(waiting, workers + 1 - len(started)):
                        started.append(pool.submit(self.features, video, data))
                    features_of_video = started.popleft().result()
                    bar.update(done, {})
                    yield features_of_video

    # Stage 2

    def made_with(self, data: Description) -> dict:
        """All that exemplars depend on: settings, camera and dataset."""
        return {**self.method.settings(data), "camera": self.camera, "data": data.digest}

    def scales(self, data: Dataset) -> np.ndarray:
        """Z of the training videos, float32 [4] (spec §5), from its file or from all features."""
        path = self.files.scales
        meta = self.made_with(data) | {"seed": self.config.seed}  # of the draw
        if path.is_file():
            arrays = files.read(path, meta, MEND, ("Z",))
            files.check_lengths(path, arrays, {"Z": (len(COMPONENTS),)})
            return arrays["Z"]
        of_videos = self.all_features(data, TRAIN)
        scales = self.method.scales(of_videos, self.videos(data, TRAIN), data)
        self.files.write(path, {"Z": scales}, meta)
        return scales

    def clusters(self, video: Video, data: Dataset) -> tuple[Exemplars, dict[str, np.ndarray]]:
        """Stage 2a: the exemplars of one training video, and their features by name."""
        scales = self.scales(data)
        path, _ = self.files.clusters(video.name)
        meta = self.made_with(data) | {"threshold": self.method.threshold, "video": video.name}
        meta |= {"Z": scales.tolist()}
        if path.is_file():
            return self.files.read_clusters(video.name, meta)
        exemplars, arrays = self.method.select(video.name, self.features(video, data), scales)
        self.files.write_clusters(video.name, exemplars, arrays, meta)
        return exemplars, arrays

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
        """Stages 1 and 2a with several processes, each for its share of the videos.

        All that `merge` needs is in files afterwards.
        """
        if not self._cache.shared:
            return
        # Z needs the features of all processes, and the exemplars need Z.
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
        merged = self.method.merge(parts, scales, self.videos(data, TRAIN))
        # The file holds the model, and the geometry that stage 3 must have too.
        places = self.method.grid(data)
        geometry = {"y_start": places.rows, "x_start": places.columns}
        geometry |= {"window": np.array(places.window), "frame_size": np.array(places.frame_size)}
        meta = self.made_with(data) | {"threshold": self.method.threshold}
        self.files.write(self.files.merged, merged._asdict() | geometry, meta)
        return merged

    def read_model(self, data: Description) -> Model:
        """Reads the merged exemplars, for videos of any dataset `data` with the same frame size.

        Raises:
          FileNotFoundError: there is no such file; the message names the command.
          ValueError: the file has another geometry, version or threshold; the message gives both.
        """
        path = self.files.merged
        if not path.is_file():
            raise FileNotFoundError(
                f"{path}: no merged exemplars; run the stages before (features, select, merge), "
                f"or: python -m vadjax.main {self._cache.flags}"
            )
        meta = self.made_with(data) | {"threshold": self.method.threshold}
        del meta["data"]  # the exemplars may have been selected on another dataset
        arrays = files.read(path, meta, MEND, Model._fields)
        rows = (*model.READABLE, "count", "source_sequence", "source_t")
        total = arrays["count"].size
        files.check_lengths(path, arrays, dict.fromkeys(rows, (total,)))
        files.check_offsets(path, arrays["offsets"], total)
        return Model(**{name: arrays[name] for name in Model._fields})

    def were_selected_on(self, data: Description) -> bool:
        """Whether the merged exemplars are of this dataset; False too if there are none.

        Raises:
          ValueError: the file is damaged.
        """
        path = self.files.merged
        if not path.is_file():
            return False
        return files.read_meta(path, read_arrays(path)).get("data") == data.digest

    # Stage 3

    def scores(self, video: Video, data: Dataset, learnt: Model) -> VolumeScores:
        """Stage 3: scores of the volumes of one test video, from its files or computed now."""
        detail, by_frame = self.files.scores(video)
        meta = features.meta(video, self.made_with(data), data.digest) | {
            "threshold": self.method.threshold,
            "neighbours": self.config.model.neighbours,
            "model": model.digest(learnt),
        }
        # Existing files must be of the same video, settings and model.
        if detail.is_file() and by_frame.is_file():
            arrays = files.read(detail, meta, MEND, VolumeScores._fields)
            self._check_detail(detail, arrays, video, learnt)
            return VolumeScores(**{name: arrays[name] for name in VolumeScores._fields})
        # Scores of frames first: the file of the volumes completes the stage.
        self.method.check_regions(video, learnt)
        of_video = self.features(video, data)
        scores = self.method.score(video, of_video, learnt)
        frame_scores = self.method.frame_scores(video, of_video.t_start, scores)
        self.files.write_array(by_frame, frame_scores)
        self.files.write(detail, scores._asdict(), meta)
        return scores

    def _check_detail(self, path, arrays: dict, video: Video, learnt: Model) -> None:
        """Raises ValueError unless the arrays fit the volumes of a video and the model."""
        grid = self.extractor.grid(video.size)
        sides = len(grid.times(video.num_frames)), grid.regions
        files.check_lengths(path, arrays, dict.fromkeys(VolumeScores._fields, sides))
        nearest, total = arrays["nearest"], len(learnt.count)
        if nearest.dtype.kind not in "iu" or not ((nearest >= 0) & (nearest < total)).all():
            raise ValueError(
                f"{path}: nearest is not of the {total:,} exemplars. Remove it to make it anew"
            )
