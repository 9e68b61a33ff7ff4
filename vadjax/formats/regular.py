"""Opens input files: regular files only, and no more bytes than expected.

A device, a FIFO or a socket in place of a file could give bytes without end, or wait for ever.
"""

import os
import pathlib
import stat
from typing import BinaryIO

MOST_BYTES = 1 << 30  # of a file that is read whole, unless the caller names another limit
KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


class NotRegular(ValueError):
    """A device, a folder or the like where a regular file was expected."""


def is_there(path: str | os.PathLike) -> bool:
    """Whether something has that name, even if it is a link to nothing or to itself.

    For files that may be missing: one that is there but cannot be read is an error, and must not
    count as missing.
    """
    return os.path.lexists(path)


def check_regular(path: str | os.PathLike) -> pathlib.Path:
    """Returns the path, if it is that of a regular file, or of a link to one.

    Raises:
      FileNotFoundError: nothing is there.
      OSError: its status cannot be read.
      NotRegular: it is something else.
      ValueError: the path holds a zero byte.
    """
    path = pathlib.Path(path)
    _refuse_others(path, _status(path))
    return path


def open_regular(path: str | os.PathLike) -> BinaryIO:
    """Opens a regular file to read its bytes, and never waits for a writer.

    Raises:
      OSError: it is not there or cannot be read.
      NotRegular, ValueError: as `check_regular`.
    """
    # Checked before it is opened, since opening a device can have effects, and again after
    path = check_regular(path)
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        _refuse_others(path, os.fstat(handle))
    except ValueError:
        os.close(handle)
        raise
    return os.fdopen(handle, "rb")


def read_bytes(path: str | os.PathLike, most: int = MOST_BYTES) -> bytes:
    """Reads a regular file.

    Args:
      path: path of the file.
      most: most bytes that it may have.

    Raises:
      OSError: as `open_regular`.
      NotRegular, ValueError: as `open_regular`; or it has more bytes.
    """
    with open_regular(path) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise ValueError(f"{path}: more than {most:,} bytes; is it the right file?")
    return content


def _status(path: pathlib.Path) -> os.stat_result:
    try:
        return os.stat(path)
    except ValueError as error:  # a zero byte in it
        raise ValueError(f"{str(path)!r}: not a path of a file ({error})") from error


def _refuse_others(path: pathlib.Path, status: os.stat_result) -> None:
    if stat.S_ISREG(status.st_mode):
        return
    kind = next((what for is_kind, what in KINDS if is_kind(status.st_mode)), "no file")
    raise NotRegular(f"{path}: {kind}, expected a regular file; name one, or copy it into one")
