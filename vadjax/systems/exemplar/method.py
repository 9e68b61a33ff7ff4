"""The method of EVAL for one config: scales, selection, merging and scoring (spec eval §5-7).

This module knows no files; `stages.py` writes its results.
"""

import contextlib
import math
from collections.abc import Iterable, Iterator, Sequence

import jax
import ml_collections
import numpy as np

from vadjax.config import expect_one_of
from vadjax.data.clips import Video
from vadjax.data.store.records import Description
from vadjax.data.video.grid import Grid
from vadjax.ops.distance import Exemplars
from vadjax.runtime import mesh
from vadjax.systems.exemplar import maps, model, scoring
from vadjax.systems.exemplar.features import Extractor, Features
from vadjax.systems.exemplar.model import Model
from vadjax.systems.exemplar.scoring import VolumeScores
from vadjax.systems.exemplar.space import Space


class Method:
    """Selects, merges and compares exemplars with the settings of a config.

    Args:
      config: of the run. Networks are loaded at first use.

    Raises:
      ValueError, FileNotFoundError, ImportError: a field, or weights, that cannot be used.

    Attributes:
      space: the numbers of volumes that are compared.
      extractor: extracts the features of volumes.
      sharding: of regions over the devices; None is one device.
    """

    def __init__(self, config: ml_collections.ConfigDict):
        self.config, self.space = config, Space.of(config)
        check(config)
        self.extractor = Extractor(config)
        count = config.train.devices or jax.local_device_count()
        self.sharding = mesh.by_row(mesh.make(count, count, here=True)) if count > 1 else None

    @property
    def threshold(self) -> float:
        """Threshold of the selection, `th` of spec §6."""
        return float(self.config.model.threshold)

    def grid(self, data: Description) -> Grid:
        """The grid of the volumes in the frames of a dataset."""
        return self.extractor.grid(tuple(data.manifest["size"]))

    def settings(self, data: Description) -> dict:
        """All settings that the exemplars of a dataset's videos depend on."""
        return {
            **self.extractor.settings(tuple(data.manifest["size"])),
            **self.space.settings(),
            "z_volumes": self.config.model.z_volumes,
        }

    def scales(
        self, features: Iterable[Features], videos: Sequence[Video], data: Description
    ) -> np.ndarray:
        """Z of the training videos, float32 [4] (spec §5).

        Args:
          features: of the training videos, in their order.
          videos: the training videos.
          data: their dataset.
        """
        return self.space.scales(*self.draw(features, videos, data))

    def draw(
        self, features: Iterable[Features], videos: Sequence[Video], data: Description
    ) -> tuple[np.ndarray, tuple[int, ...]]:
        """Compared numbers [volumes, D] of training volumes, and the sizes of the components.

        Of more than `model.z_volumes` volumes, this number is drawn with the config's seed.
        """
        # Which volumes of all videos together.
        places = self.grid(data)
        counts = [len(places.times(video.num_frames)) * places.regions for video in videos]
        total, most = sum(counts), self.config.model.z_volumes
        chosen = np.arange(total)
        if total > most:
            rng = np.random.default_rng(self.config.seed)
            chosen = np.sort(rng.choice(total, most, replace=False))
        # Volumes are numbered through all videos; every video contributes those chosen of its own.
        rows, sizes, start = [], (), 0
        for of_video, count in zip(features, counts, strict=True):
            within = chosen[(chosen >= start) & (chosen < start + count)] - start
            rows.append(self.space.rows(of_video).reshape(count, -1)[within])
            sizes, start = self.space.sizes(of_video), start + count
        return np.concatenate(rows), sizes

    def select(
        self, video: str, own: Features, scales: np.ndarray
    ) -> tuple[Exemplars, dict[str, np.ndarray]]:
        """Selects the exemplars of one training video (spec §6).

        Args:
          video: its name, for messages.
          own: features of its volumes.
          scales: Z of the components.

        Returns:
          The exemplars, and their features and times by name.
        """
        metric = self.space.metric(self.space.sizes(own), scales)
        with _naming(video):
            return model.select(own, self.space, metric, self.threshold, self.sharding)

    def merge(
        self,
        parts: Sequence[tuple[Exemplars, dict[str, np.ndarray]]],
        scales: np.ndarray,
        videos: Sequence[Video],
    ) -> Model:
        """Merges the exemplars of all training videos (spec §6, "Merge").

        Args:
          parts: what `select` returned for each of the videos.
          scales: Z of the components.
          videos: the training videos.
        """
        sizes = self.space.sizes(model.as_features(parts[0][1]))
        metric = self.space.metric(sizes, scales)
        arrays = model.merge(parts, self.space, metric, self.threshold, self.sharding)
        return Model(
            **arrays,
            Z=scales,
            threshold=np.array(self.threshold, np.float32),
            names=model.to_bytes([video.name for video in videos]),
            classes=model.to_bytes(self.extractor.classes),
        )

    def score(self, video: Video, own: Features, learnt: Model) -> VolumeScores:
        """Scores of the volumes of a video, from its features and a model (spec §7)."""
        with _naming(video.name):
            return self.nearest(own, learnt, self.extractor.grid(video.size))

    def check_regions(self, video: Video, learnt: Model) -> None:
        """Raises ValueError if a video has another number of regions than the exemplars."""
        places, regions = self.extractor.grid(video.size), len(learnt.offsets) - 1
        if regions != places.regions:
            raise ValueError(
                f"{video.name}: its frames of {video.size[0]} × {video.size[1]} have "
                f"{places.regions} regions, the exemplars are of {regions}; they are for frames of "
                "the size that they were selected on"
            )

    def frame_scores(self, video: Video, t_start: np.ndarray, found: VolumeScores) -> np.ndarray:
        """Scores of the regions of every frame, float32 [frames, rows, columns] (spec §7)."""
        places = self.extractor.grid(video.size)
        scores = on_grid(found.score, places)
        return maps.frame_scores(scores, t_start, places.window[0], video.num_frames)

    def nearest(self, own: Features, found: Model, places: Grid) -> VolumeScores:
        """Distances of volumes to their nearest exemplars.

        Args:
          own: features of the volumes.
          found: the model.
          places: grid of the volumes.
        """
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


def on_grid(scores: np.ndarray, places: Grid) -> np.ndarray:
    """Scores [n_t, R] → [n_t, rows, columns] of the grid."""
    return scores.reshape(len(scores), len(places.rows), len(places.columns))


@contextlib.contextmanager
def _naming(video: str) -> Iterator[None]:
    """Names the video in an error about its volumes."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{video}: {error}") from error


def check(config: ml_collections.ConfigDict) -> None:
    """Refuses fields with values out of their range.

    Raises:
      ValueError: there is one; the message names it.
    """
    if config.train.steps:
        raise ValueError(
            f"train.steps is {config.train.steps}; exemplars are selected, not trained by steps: "
            "leave it 0"
        )
    # Fields with a smallest value; `not value >= least` refuses NaN too.
    for name, value, least in (
        ("model.threshold", config.model.threshold, 0),
        ("model.neighbours", config.model.neighbours, 0),
        ("model.z_volumes", config.model.z_volumes, 2),
        ("motion.tau", config.motion.tau, 0),
        ("eval.sigma", config.eval.sigma, 0),
        ("eval.examples", config.eval.examples, 0),
        ("alarm.per_hour", config.alarm.per_hour, 0),
    ):
        if not least <= value < math.inf:
            raise ValueError(f"{name} is {value}; expected at least {least}, and finite")
    still = config.motion.still_threshold
    if still is not None and not 0 < still <= 1:
        raise ValueError(
            f"motion.still_threshold is {still}; expected a share of the pixels above 0, up to 1, "
            "or None"
        )
    expect_one_of("eval.map_rule", config.eval.map_rule, maps.RULES)
