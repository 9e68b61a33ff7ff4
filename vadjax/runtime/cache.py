"""What a run keeps for its system beside the state: expensive files, and facts about its data.

A system opens no file of the workdir by itself; it asks the cache that it was given.
"""

import functools
import pathlib
import shutil
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager

import numpy as np

from vadjax.data.store.records import Description
from vadjax.runtime import processes, replacing, workdir


class Cache:
    """Files that are made once a run. Processes of one run share them.

    Args:
      workdir: of the run; None takes a temporary folder, which goes with the object.

    Attributes:
      workdir: of the run; None where nothing is kept after the program.
    """

    def __init__(self, workdir: pathlib.Path | None = None):
        self.workdir = None if workdir is None else pathlib.Path(workdir)

    @functools.cached_property
    def folder(self) -> pathlib.Path:
        """The workdir, or the temporary folder in its place."""
        if self.workdir is not None:
            return self.workdir
        made = tempfile.mkdtemp(prefix="vadjax_")
        weakref.finalize(self, shutil.rmtree, made, ignore_errors=True)
        return pathlib.Path(made)

    @property
    def began(self) -> bool:
        """Whether the folder belongs to a run that has saved a state."""
        return self.workdir is not None and (self.workdir / workdir.FILE).is_file()

    def owns(self, data: Description) -> bool:
        """Whether files about a dataset belong here: it is the one that the run is trained on."""
        return not self.began or workdir.saved(self.workdir)[workdir.DATASET] == data.digest

    def fact(self, name: str) -> Description | None:
        """What is kept of a further dataset of the training (`System.facts`); None if nothing.

        Raises:
          OSError, ValueError: the file cannot be read.
        """
        return workdir.read_fact(self.workdir, name) if self.workdir is not None else None

    def write_arrays(self, path: pathlib.Path, arrays: Mapping[str, np.ndarray]) -> None:
        """Writes arrays as one `.npz`, in one move.

        Raises:
          vadjax.runtime.space.NotWritten: the disk is full, or cannot be written.
        """
        size = sum(np.asarray(array).nbytes for array in arrays.values())
        with replacing.file(path, size) as new, new.open("wb") as out:
            np.savez(out, **arrays)

    def write_array(self, path: pathlib.Path, array: np.ndarray) -> None:
        """Writes one array as `.npy`, in one move.

        Raises:
          vadjax.runtime.space.NotWritten: the disk is full, or cannot be written.
        """
        with replacing.file(path, array.nbytes) as new, new.open("wb") as out:
            np.save(out, array)

    @property
    def shared(self) -> bool:
        """Whether several processes make the files together."""
        return processes.count() > 1

    def share(self, items: Sequence) -> Sequence:
        """The items whose files this process makes."""
        return processes.own(items)

    def wait(self, what: str) -> None:
        """Returns when all processes have come here."""
        processes.wait(what)

    def first_then_others(self, what: str) -> AbstractContextManager:
        """The block is run by the first process; the others run it after, and find its files."""
        return processes.first_then_others(what)
