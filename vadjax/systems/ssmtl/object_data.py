"""Which objects a run learns from: their dataset, its teachers, and what is kept for validation."""

import pathlib

import ml_collections

from vadjax.data.objects import ObjectSource, outputs_of
from vadjax.data.store.records import Dataset, Description, read_manifest
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
      FileNotFoundError, ValueError: there is no such dataset, or it cannot be read.

    Attributes:
      described: the dataset of objects of the training; None where frames hold boxes alone.
      outputs: teacher → number of its outputs for an object (`outputs_of`).
    """

    def __init__(self, config: ml_collections.ConfigDict, described: Description | None = None):
        self._config = config
        if described is None and (folder := config.data.objects):
            described = Description(folder, read_manifest(pathlib.Path(folder)), "")
        self.described, self.outputs = described, outputs_of(described)
        self._sources: dict[str, ObjectSource] = {}  # of each dataset of frames, by its digest

    def source(self, data: Dataset) -> ObjectSource:
        """The objects in a dataset of frames.

        Raises:
          FileNotFoundError, ValueError: as `ObjectSource`; also if they have other teachers than
            those of the training.
        """
        if data.digest not in self._sources:
            folder = self._config.data.objects
            found = ObjectSource(data, folder, self._config.data.verify)
            if found.outputs != self.outputs:
                raise ValueError(
                    f"{folder or data.folder}: the teachers have {found.outputs} outputs, those of "
                    f"the training {self.outputs}"
                )
            self._sources[data.digest] = found
        return self._sources[data.digest]

    def samples(self, data: Dataset, distills: bool) -> Samples:
        """The training objects; with the outputs of the teachers if `distills`."""
        config = self._config
        return Samples(self.source(data), "train", config.model.size, config.seed, distills)

    def trained_on(self, samples: Samples) -> int:
        """How many of the objects are trained on: those of the last videos are held out.

        Raises:
          ValueError: none would be left.
        """
        videos, share = int(samples.video[-1]) + 1, self._config.eval.held_out
        kept = videos - (max(1, round(share * videos)) if share else 0)
        if kept < 1 or not (count := samples.before(kept)):
            raise ValueError(f"eval.held_out is {share}: none of {videos} videos would be left")
        return count

    def finder(self) -> Finder:
        """Finds the objects of new video as those of the training were found.

        Raises:
          FileNotFoundError, ValueError: as `Finder`.
        """
        return Finder(self._config.objects, self.described, self.outputs["detector"])
