"""NumPy's files, `.npy` and `.npz`, without pickles; a damaged one is a ValueError, always."""

import contextlib
import pathlib
import tokenize
import zipfile
import zlib
from collections.abc import Iterator

import numpy as np

MAX_BYTES = 1 << 34  # of the arrays of an .npz
OBJECTS = "it holds Python objects (a pickle), which can run code when they are opened"
ERRORS = (  # what NumPy and zipfile raise for damaged files
    *(ValueError, TypeError, AttributeError, KeyError, OSError, EOFError, SyntaxError),
    *(tokenize.TokenError, NotImplementedError, RuntimeError, MemoryError, OverflowError),
    *(zipfile.BadZipFile, zlib.error),
)


class HoldsObjects(ValueError):
    """An array of Python objects, which is a pickle."""


def read_npy(path: str | pathlib.Path) -> np.ndarray:
    """The array of an `.npy` file, mapped into memory.

    Raises:
      FileNotFoundError: no such file.
      HoldsObjects: an array of Python objects.
      ValueError: not such a file, or damaged.
    """
    with _naming(path, "array"):
        return np.load(path, mmap_mode="r", allow_pickle=False)


def read_npz(path: str | pathlib.Path, max_bytes: int = MAX_BYTES) -> dict[str, np.ndarray]:
    """The arrays of an `.npz` file by name; at most `max_bytes` of them.

    Raises:
      FileNotFoundError: no such file.
      HoldsObjects: an array of Python objects.
      ValueError: not such a file, damaged, or too large.
    """
    with _naming(path, ".npz of arrays"), open(path, "rb") as raw:
        with zipfile.ZipFile(raw) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
        if size > max_bytes:
            raise ValueError(f"arrays of {size:,} bytes; expected {max_bytes:,} at most")
        raw.seek(0)
        with np.load(raw, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}


@contextlib.contextmanager
def _naming(path: str | pathlib.Path, what: str) -> Iterator[None]:
    """Turns whatever is raised into an error that names the file."""
    try:
        yield
    except FileNotFoundError:
        raise
    except ERRORS as error:
        if "object" in str(error).lower() and isinstance(error, ValueError):
            raise HoldsObjects(f"{path}: not a readable {what}: {OBJECTS}") from error
        told = str(error) or type(error).__name__
        raise ValueError(
            f"{path}: not a readable {what} ({told}); copy or make it again"
        ) from error
