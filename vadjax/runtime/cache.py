"""What a run keeps for its system: `vadjax.data.store.cache.Cache` in the workdir."""

import contextlib
import pathlib
import shlex
from collections.abc import Sequence
from contextlib import AbstractContextManager

from vadjax.data.store.cache import Cache
from vadjax.data.store.records import Description
from vadjax.runtime import processes, provenance, workdir


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
    def flags(self) -> str:
        """The flags that name the run and its config, for commands in messages."""
        return flags_of(self.workdir)

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


def flags_of(folder: pathlib.Path) -> str:
    """`--config=FILE --workdir=FOLDER` of a run; `…` in place of a config that nothing names."""
    named = None
    with contextlib.suppress(OSError, ValueError):  # it is for a message on something else
        named = provenance.config_named(folder)
    config = f"--config={named}" if named else "--config=…"
    return f"{shlex.quote(config) if named else config} {shlex.quote(f'--workdir={folder}')}"
