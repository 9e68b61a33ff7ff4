"""Checksums of the files of a folder, kept in a file among them: `checksums.json`.

They find what a disk, a copy or a person has changed by mistake. They do not protect against
intent: who can write the files can write the sums.
"""

import hashlib
import io
import json
import os
import pathlib
import threading
from collections.abc import Callable, Iterator

import google_crc32c

from vadjax.formats import json_files, names

FILE = "checksums.json"
CRC, SHA = "CRC-32C", "SHA-256"  # the first is fast; it misses a change with a chance of 2^-32
_TAIL = 8  # bytes that are kept as they are (`_crc`)
_CHUNK = 1 << 18  # bytes; fits a core's cache
_LOOK = 0.02  # seconds between two looks of `Early`; a file's time is exact to about 0.004


class Damaged(ValueError):
    """A file is not as it was when its sum was made; the message says which, and what differs."""


class Early:
    """Sums the files of a folder while others in it are still written.

    A file counts as written while it does not change between two looks. What changes later is
    summed again in the end. So the sums take the time in which the disk is waited for.

    Args:
      folder: the folder.
      kind: `CRC` or `SHA`.
    """

    def __init__(self, folder: pathlib.Path, kind: str):
        self.folder, self.kind = folder, kind
        # By the state of a file, not its name: tensorstore renames what it has written.
        self._sums: dict[tuple[int, int, int], str] = {}
        self._ended = threading.Event()
        # A daemon, so that a folder whose writing has failed does not keep the process.
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def write(self, left_out: tuple[str, ...] = ()) -> None:
        """Ends the early sums, makes those that are missing, and writes all.

        Args:
          left_out: names of files that may change later.
        """
        self._ended.set()
        self._thread.join()
        sums = {}
        for path in _files(self.folder):
            if path.name not in left_out:
                total = self._sums.get(_state(path)) or _sum(path, self.kind)
                sums[path.relative_to(self.folder).as_posix()] = [path.stat().st_size, total]
        content = json.dumps({"kind": self.kind, "files": sums}, indent=0) + "\n"
        (self.folder / FILE).write_text(content, "utf-8")

    def _look(self) -> None:
        """Sums whatever has not changed since the look before, until the end."""
        seen: set[tuple[int, int, int]] = set()
        while not self._ended.wait(_LOOK) and self.folder.exists():
            try:
                states = {_state(path): path for path in _files(self.folder)}
                for state in states.keys() & seen - self._sums.keys():
                    self._sums[state] = _sum(states[state], self.kind)
                seen = set(states)
            except OSError:  # a file was renamed meanwhile
                continue


def write(folder: pathlib.Path, kind: str, left_out: tuple[str, ...] = ()) -> None:
    """Writes the sums of all files below a folder, as `Early` does."""
    Early(folder, kind).write(left_out)


def check(folder: pathlib.Path, below: str = "") -> bool:
    """Compares the files below a folder with their sums.

    Args:
      folder: the folder.
      below: how the paths of the files in the folder begin that are compared; "" for all.

    Returns:
      Whether there are sums: a folder of an older vadjax has none.

    Raises:
      Damaged: a file is missing or differs, one is no regular file, or the sums cannot be read.
      OSError: a file may not be read.
    """
    # With sums or without: opening a FIFO would wait for ever.
    for path in folder.rglob("*"):
        if not path.is_dir() and not path.is_file():
            raise Damaged(f"{path.relative_to(folder)} is no regular file")
    if not (folder / FILE).is_file():
        return False
    # The size of each file first, which costs nothing, then its sum.
    kind, sums = _read(folder / FILE)
    for name, (size, expected) in sums.items():
        if not name.startswith(below):
            continue
        path = folder / name
        if not path.is_file():
            raise Damaged(f"{name} is missing, which {FILE} has")
        if (actual_size := path.stat().st_size) != size:
            raise Damaged(f"{name} has {actual_size:,} bytes, {FILE} says {size:,}")
        if (actual := _sum(path, kind)) != expected:
            same = len(os.path.commonprefix([actual, expected]))
            shown = slice(max(same - 4, 0), max(same - 4, 0) + 24)  # around the first difference
            raise Damaged(f"{name} has {kind} …{actual[shown]}…, {FILE} says …{expected[shown]}…")
    return True


def _read(path: pathlib.Path) -> tuple[str, dict[str, list]]:
    """Kind and sums of the file of sums; names that lead out of its folder are refused."""
    try:
        content = json_files.read(path, {"kind": str, "files": {...: [(int, str)]}})
        kind, sums = content["kind"], content["files"]
        if kind not in _SUMS:
            raise ValueError(f"{path}: kind {kind[:40]!r}, expected {' or '.join(_SUMS)}")
        for name, sums_of_file in sums.items():
            parts = pathlib.PurePosixPath(name).parts
            if not parts or parts[0] == "/" or ".." in parts:
                raise ValueError(f"{path}: {names.shorten(name)} is no file in its folder")
            if [type(part) for part in sums_of_file] != [int, str]:
                raise ValueError(f"{path}: {name}: {sums_of_file!r:.80}, expected size and sum")
    except (OSError, ValueError) as error:
        raise Damaged(f"{FILE} cannot be read: {error}") from error
    return kind, sums


def _files(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != FILE)


def _state(path: pathlib.Path) -> tuple[int, int, int]:
    """What changes with a file: its number on the disk, its size and its time."""
    stat = path.stat()
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


def _sum(path: pathlib.Path, kind: str) -> str:
    """The sum of a file, as hexadecimal text."""
    with path.open("rb", buffering=0) as file:
        return _SUMS[kind](file)


def _crc(file: io.FileIO) -> str:
    """CRC-32C of all but the last bytes, and these bytes themselves.

    Files of orbax end with their own CRC-32C. The CRC-32C of such a whole file is the same number
    for every file, so that a file in the place of another would not be noticed.
    """
    total, left = 0, max(os.fstat(file.fileno()).st_size - _TAIL, 0)
    while left and (chunk := file.read(min(left, _CHUNK))):
        total, left = google_crc32c.extend(total, chunk), left - len(chunk)
    return f"{total:08x}{file.read(_TAIL).hex()}"


def _sha(file: io.FileIO) -> str:
    return hashlib.file_digest(file, "sha256").hexdigest()


_SUMS: dict[str, Callable] = {CRC: _crc, SHA: _sha}
