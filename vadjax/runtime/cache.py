"""What a run keeps for its system: `vadjax.data.store.cache.Cache` in the workdir."""

import pathlib
from collections.abc import Sequence
from contextlib import AbstractContextManager

from vadjax.data.store.cache import Cache
from vadjax.data.store.records import Description
from vadjax.runtime import processes, workdir


class RunCache(Cache):
    """Files that are made once a run. Processes of one run share them.

    Args:
      workdir: of the run.

    Attributes:
      workdir: of the run.
      folder: the same.
    """

    def __init__(self, workdir: pathlib.Path):
        self.workdir = self.folder = pathlib.Path(workdir)

    @property
    def began(self) -> bool:
        """Whether the run has saved a state."""
        return (self.workdir / workdir.FILE).is_file()

    def owns(self, data: Description) -> bool:
        """Whether files about a dataset belong here: it is the one that the run is trained on."""
        return not self.began or workdir.saved(self.workdir)[workdir.DATASET] == data.digest

    def fact(self, name: str) -> Description | None:
        """What is kept of a further dataset of the training (`System.facts`); None if nothing.

        Raises:
          OSError, ValueError: the file cannot be read.
        """
        return workdir.read_fact(self.workdir, name)

    @property
    def shared(self) -> bool:
        """Whether several processes make the files together."""
        return processes.count() > 1

    def share(self, items: Sequence) -> Sequence:
        """The items whose files this process makes."""
        return processes.own(items)

    def wait(self, what: str) -> None:
        """Returns when all processes have come here; `what` tells the places apart."""
        processes.wait(what)

    def first_then_others(self, what: str) -> AbstractContextManager:
        """The block is run by the first process; the others run it after, and find its files."""
        return processes.first_then_others(what)
