"""Which objects a run learns from: their dataset, its teachers, and what is kept for validation."""

import pathlib

import ml_collections
import numpy as np

from vadjax.data.objects import ObjectSource, outputs_of
from vadjax.data.store.records import Dataset, Description, read_manifest
from vadjax.systems.ssmtl import distillation
from vadjax.systems.ssmtl.finder import Finder
from vadjax.systems.ssmtl.samples import Samples

FACT = "objects"  # name of the dataset of objects among the facts of a run


class ObjectData:
    """The objects of a run's datasets of frames. Each dataset is opened and checked once.

    Args:
      config: of the run.
      described: what the run has kept of the dataset of objects that it was trained on; if None,
        the dataset that `data.objects` names is taken.

    Raises:
      FileNotFoundError: there is no such dataset.
      ValueError: it cannot be read, or no task can be learned from it.

    Attributes:
      described: the dataset of objects of the training; None if the frames hold boxes alone.
      outputs: teacher → number of its outputs for an object (`outputs_of`).
      tasks: the tasks that are trained.
      scored: those of them that have a score.
    """

    def __init__(self, config: ml_collections.ConfigDict, described: Description | None = None):
        self._config = config
        if described is None and (folder := config.data.objects):
            described = Description(folder, read_manifest(pathlib.Path(folder)), "")
        self.described, self.outputs = described, outputs_of(described)
        self.tasks = distillation.trained_tasks(config.model.tasks, self.outputs)
        self.scored = distillation.scored_tasks(self.tasks, self.outputs)
        self._sources: dict[str, ObjectSource] = {}  # of each dataset of frames, by its digest

    def source(self, data: Dataset) -> ObjectSource:
        """The objects in a dataset of frames.

        Raises:
          FileNotFoundError, ValueError: as `ObjectSource`; also if they have other teachers than
            those of the training.
        """
        if data.digest not in self._sources:
            folder = self._config.data.objects
            source = ObjectSource(data, folder, self._config.data.verify)
            if source.outputs != self.outputs:
                raise ValueError(
                    f"{folder or data.folder}: the teachers have {source.outputs} outputs, those "
                    f"of the training {self.outputs}"
                )
            self._sources[data.digest] = source
        return self._sources[data.digest]

    def samples(self, data: Dataset) -> Samples:
        """The training objects; with the outputs of the teachers if distillation is trained."""
        config = self._config
        distils = "distillation" in self.tasks
        return Samples(self.source(data), "train", config.model.size, config.seed, distils)

    def trained_on(self, samples: Samples) -> int:
        """How many of the objects are trained on: those of the last videos are held out.

        Raises:
          ValueError: none would be left.
        """
        # At least one video is held out, unless `eval.held_out` is 0.
        videos, share = int(samples.video[-1]) + 1, self._config.eval.held_out
        kept = videos - (max(1, round(share * videos)) if share else 0)
        if kept < 1 or not (count := samples.before(kept)):
            raise ValueError(f"eval.held_out is {share}: none of {videos} videos would be left")
        return count

    def held_out(self, samples: Samples) -> np.ndarray:
        """Numbers of `eval.held_out_objects` objects, spread evenly over the held-out videos."""
        first, most = self.trained_on(samples), self._config.eval.held_out_objects
        return spread_evenly(first, len(samples), most)

    def normal(self, samples: Samples) -> np.ndarray:
        """Numbers of `eval.normal_objects` objects that show what scores are normal.

        They are spread evenly over the training videos that are held out, or else over all.
        """
        first = self.trained_on(samples) % len(samples)  # 0 if all are trained on
        return spread_evenly(first, len(samples), self._config.eval.normal_objects)

    def notice(self) -> str:
        """What to tell the user of distillation (`distillation.notice`); else empty."""
        return distillation.notice(self._config.model.tasks, self.tasks, self.scored)

    def finder(self) -> Finder:
        """Finds the objects of new video as those of the training were found.

        Raises:
          FileNotFoundError, ValueError: as `Finder`.
        """
        return Finder(self._config.objects, self.described, self.outputs["detector"])


def spread_evenly(first: int, stop: int, count: int) -> np.ndarray:
    """At most `count` whole numbers from `first` to below `stop`, int64, rising."""
    return np.unique(np.linspace(first, stop - 1, min(count, stop - first)).astype(int))
