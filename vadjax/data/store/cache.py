"""What a system keeps beside its state: expensive files, and facts about its data.

A system opens no file of a workdir by itself; it asks the cache that it was given. `Cache` is what
a system may ask for, and serves one process for as long as the program runs;
`vadjax.runtime.cache.RunCache` keeps the same with a run, for all its processes.
"""

import contextlib
import functools
import pathlib
import shutil
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager

import numpy as np

from vadjax.data.store.records import Description
from vadjax.runtime import replacing


class Cache:
    """Files in a temporary folder, which goes with the object.

    Attributes:
      workdir: folder of the run that keeps the files; None where nothing is kept after the program.
    """

    workdir: pathlib.Path | None = None

    @functools.cached_property
    def folder(self) -> pathlib.Path:
        """Where the files are."""
        made = tempfile.mkdtemp(prefix="vadjax_")
        weakref.finalize(self, shutil.rmtree, made, ignore_errors=True)
        return pathlib.Path(made)

    @property
    def flags(self) -> str:
        """The flags that name the run and its config, for commands in messages."""
        return "--config=… --workdir=…"

    @property
    def began(self) -> bool:
        """Whether the folder belongs to a run that has saved a state."""
        return False

    def owns(self, data: Description) -> bool:
        """Whether files about a dataset belong here: it is the one that the run is trained on."""
        del data
        return True

    def fact(self, name: str) -> Description | None:
        """What is kept of a further dataset of the training (`System.facts`); None if nothing."""
        del name
        return None

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
        return False

    def share(self, items: Sequence) -> Sequence:
        """The items whose files this process makes."""
        return items

    def wait(self, what: str) -> None:
        """Returns when all processes have come here; `what` tells the places apart."""
        del what

    def first_then_others(self, what: str) -> AbstractContextManager:
        """The block is run by the first process; the others run it after, and find its files."""
        del what
        return contextlib.nullcontext()
