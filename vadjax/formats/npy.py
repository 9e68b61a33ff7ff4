"""Files of NumPy, `.npy` and `.npz`, without pickles; any damaged file raises a ValueError.

Before an array is read, its header is compared with the bytes that follow, and the directory of an
`.npz` with the size of the file. So no header can claim more memory than the file can fill.
"""

import contextlib
import math
import os
import pathlib
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

from vadjax.formats.names import wrong_with
from vadjax.formats.regular import NotRegular, open_regular
from vadjax.formats.zips import check_zip

MAX_BYTES = 1 << 34  # of the arrays of an .npz
MOST_ARRAYS = 100_000  # of an .npz
MOST_AXES = 16
MOST_HEADER = 10_000  # bytes of the header of an array
OBJECTS = "it holds Python objects (a pickle), which can run code when they are opened"
# What NumPy and zipfile raise for damaged files
ERRORS = (
    *(ValueError, TypeError, AttributeError, KeyError, IndexError, OSError, EOFError, SyntaxError),
    *(tokenize.TokenError, NotImplementedError, RuntimeError, MemoryError, OverflowError),
    *(zipfile.BadZipFile, zlib.error, RecursionError),
)


class HoldsObjects(ValueError):
    """An array of Python objects, which is a pickle."""


def read_npy(path: str | pathlib.Path) -> np.ndarray:
    """Opens the array of an `.npy` file, mapped into memory and read-only.

    Raises:
      FileNotFoundError: no such file.
      HoldsObjects: the array is of Python objects.
      ValueError: not such a file, damaged, or with more or fewer bytes than its header says.
    """
    with _naming(path, "array"), open_regular(path) as file:
        dtype, shape, by_columns = read_header(file)
        wanted, start = dtype.itemsize * math.prod(shape), file.tell()
        have = os.fstat(file.fileno()).st_size - start
        if have != wanted:
            raise ValueError(f"{have:,} bytes for {dtype} {shape}, which are {wanted:,}")
        order = "F" if by_columns else "C"
        if not wanted:  # an empty array cannot be mapped
            return np.zeros(shape, dtype)
        return np.memmap(file, dtype, "r", start, shape, order)


def read_header(file: BinaryIO) -> tuple[np.dtype, tuple[int, ...], bool]:
    """Reads type, shape and order (whether by columns) of the array at this place of a file.

    Raises:
      HoldsObjects: the array is of Python objects.
      ValueError, or another of `ERRORS`: the header is damaged.
    """
    dtype, shape, by_columns = skip_header(file)
    if dtype.hasobject:
        raise HoldsObjects(OBJECTS)
    if len(shape) > MOST_AXES or any(type(side) is not int or side < 0 for side in shape):
        raise ValueError(f"an array of shape {shape}"[:80])
    return dtype, shape, by_columns


def skip_header(file: BinaryIO) -> tuple[np.dtype, tuple[int, ...], bool]:
    """As `read_header`, but for any type; the file is then at the values, or at their pickle."""
    version = np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0), (3, 0)):
        raise ValueError(f"version {version}")
    read = np.lib.format.read_array_header_1_0
    if version > (1, 0):
        read = np.lib.format.read_array_header_2_0  # for 3.0 too, which has names in UTF-8
    shape, by_columns, dtype = read(file, max_header_size=MOST_HEADER)
    return dtype, shape, by_columns


def read_npz(path: str | pathlib.Path, max_bytes: int = MAX_BYTES) -> dict[str, np.ndarray]:
    """Reads the arrays of an `.npz` file by name.

    Args:
      path: path of the file.
      max_bytes: most bytes of all arrays together.

    Raises:
      FileNotFoundError: no such file.
      HoldsObjects: an array is of Python objects.
      ValueError: not such a file, damaged, encrypted, with names that no array may have, or with
        arrays of too many bytes (`zips.check_zip`).
    """
    with _naming(path, ".npz of arrays"), open_regular(path) as raw:
        return arrays_of(raw, max_bytes)


def arrays_of(raw: BinaryIO, max_bytes: int = MAX_BYTES) -> dict[str, np.ndarray]:
    """As `read_npz`, from an open file; errors do not name it."""
    arrays = {}
    with zipfile.ZipFile(raw) as archive:
        for member in check_zip(archive, max_bytes, MOST_ARRAYS):
            name = member.filename.removesuffix(".npy")
            if name == member.filename:
                raise ValueError(f"{name[:40]!r} is no array")
            if wrong := wrong_with(name, nested=True):
                raise ValueError(f"an array named {name[:80]!r}: {wrong}")
            with archive.open(member) as file:
                arrays[name] = _member(file, member.file_size)
    return arrays


def _member(file: BinaryIO, size: int) -> np.ndarray:
    """Reads the array of a member of an archive that has `size` bytes."""
    dtype, shape, by_columns = read_header(file)
    wanted, have = dtype.itemsize * math.prod(shape), size - file.tell()
    if have != wanted:
        raise ValueError(f"{have:,} bytes for {dtype} {shape}, which are {wanted:,}")
    content = bytearray(wanted)
    view, done = memoryview(content), 0
    while count := file.readinto(view[done:]):
        done += count
    if done != wanted or file.read(1):  # reading to the end also compares the checksum
        raise ValueError(f"{done:,} bytes, expected {wanted:,}")
    array = np.frombuffer(content, dtype)
    return array.reshape(shape, order="F" if by_columns else "C")


@contextlib.contextmanager
def _naming(path: str | pathlib.Path, what: str) -> Iterator[None]:
    """Turns the errors of damaged files into a ValueError that names the file."""
    try:
        yield
    except (FileNotFoundError, NotRegular):
        raise
    except ERRORS as error:
        reason = str(error).removeprefix(f"{path}: ") or type(error).__name__
        if isinstance(error, HoldsObjects):
            raise HoldsObjects(f"{path}: not a readable {what}: {reason}") from error
        raise ValueError(
            f"{path}: not a readable {what} ({reason[:300]}); copy or make it again"
        ) from error
