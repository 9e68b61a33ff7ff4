"""Compiled programs are kept on disk: what was compiled once is read when it is needed again.

JAX has such a cache and finds the key of a program: its operations, the compiler's options and
version. `use` gives it a place, `$VADJAX_CACHE/xla/JAXLIB-PROCESSOR`, and files of our own, because
those of JAX (0.10) stay damaged for ever after a full disk or a kill, and are bounded only with a
further package and locks. A program that is read computes the same bits as when it was compiled.

Whoever writes into that folder decides what this user's programs do. So it is closed to others,
and one that is open to them is not used.
"""

import contextlib
import hashlib
import os
import pathlib
import platform
import stat
import sys
import tempfile
import threading

import jax
import jaxlib
from jax._src import compilation_cache
from jax._src.compilation_cache_interface import CacheInterface

from vadjax.runtime import space
from vadjax.runtime.home import cache_folder

FOLDER = "xla"  # in the cache folder
MOST = 2 * 10**9  # bytes of all programs; beyond it the least recently used go
ROOM = 200 * 10**6  # bytes that must be free on the disk
PROCESSORS = pathlib.Path("/proc/cpuinfo")
FEATURES = ("flags", "Features")  # their line in it: x86, ARM


def use() -> None:
    """Lets JAX keep compiled programs. To be called before anything is compiled.

    A folder that the user has named (`JAX_COMPILATION_CACHE_DIR`) stays, and
    `JAX_ENABLE_COMPILATION_CACHE=false` keeps nothing. Where nothing can be kept, one line says
    why, and programs are compiled each time.
    """
    if jax.config.jax_compilation_cache_dir or not jax.config.jax_enable_compilation_cache:
        return
    root = cache_folder() / FOLDER
    try:
        folder = _prepare(root / f"{jaxlib.__version__}-{_processor()}")
    except OSError as error:
        _note(space.told(error) or str(error))
        return
    keep(folder)


def keep(folder: pathlib.Path) -> None:
    """Keeps compiled programs in a folder, which must be closed to others.

    Args:
      folder: exists; what lies in the folders beside it counts as compiled programs too.
    """
    compilation_cache.get_file_cache = lambda path: (Files(pathlib.Path(path), MOST), path)
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)


def _processor() -> str:
    """A word for the instructions that this processor has, which compiled code may use."""
    try:
        lines = PROCESSORS.read_text("utf-8", errors="replace").splitlines()
    except OSError:  # no Linux: what is compiled here is for this machine alone
        lines = []
    pairs = (line.partition(":")[::2] for line in lines)
    features = next((words for name, words in pairs if name.strip() in FEATURES), platform.node())
    known = " ".join([platform.machine(), *sorted(features.split())])
    return hashlib.sha256(known.encode()).hexdigest()[:16]


def _prepare(folder: pathlib.Path) -> pathlib.Path:
    """The folder, made and closed to others.

    Raises:
      OSError: it cannot be made or written, its disk is full, or others can write into it.
    """
    places = folder.parent.parent, folder.parent, folder
    for place in places:
        place.mkdir(mode=0o700, parents=place is places[0], exist_ok=True)
        _check_closed(place)
    tempfile.TemporaryFile(dir=folder).close()
    space.check(folder, ROOM, "compiled programs")
    return folder


def _check_closed(place: pathlib.Path) -> None:
    """Raises PermissionError if another user but root can change what is in a folder."""
    if not hasattr(os, "geteuid"):  # no POSIX system
        return
    status = place.stat()
    if status.st_uid not in (0, os.geteuid()):
        raise PermissionError(f"{place} belongs to another user, who could change them")
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise PermissionError(f"others can write into {place}; close it: chmod go-w {place}")


def _note(reason: str) -> None:
    print(f"note: compiled programs are not kept: {reason}", file=sys.stderr)


class Files(CacheInterface):
    """Compiled programs as files, whole or not there, for several threads and processes at once.

    Args:
      folder: where they are.
      most: bytes of all files in the folder beside it and in it; beyond it the least recently used
        are removed.
    """

    def __init__(self, folder: pathlib.Path, most: int):
        self._path, self._most, self._writes = folder, most, True

    def get(self, key: str) -> bytes | None:
        """A program; None if it is not there, or not as it was written."""
        path = self._path / key
        try:
            digest, data = _split(path.read_bytes())
        except OSError:
            return None
        if hashlib.sha256(data).digest() != digest:
            return None  # it is compiled again, and `put` replaces the file
        with contextlib.suppress(OSError):
            os.utime(path)
        return data

    def put(self, key: str, data: bytes) -> None:
        """Keeps a program. If it cannot be written, a line says so, and nothing more is kept."""
        if not self._writes:
            return
        path = self._path / key
        temporary = self._path / f".{key}.{os.getpid()}.{threading.get_ident()}.tmp"
        try:
            self._make_room(len(data))
            temporary.write_bytes(hashlib.sha256(data).digest() + data)
            os.replace(temporary, path)
        except OSError as error:
            self._writes = False
            with contextlib.suppress(OSError):
                temporary.unlink()
            _note(f"{path.parent}: {error.strerror}")

    def _make_room(self, size: int) -> None:
        """Removes what was not used for the longest time, also of other processors and versions."""
        files = []
        for path in self._path.parent.glob("*/*"):
            with contextlib.suppress(OSError):  # another process has removed it
                status = path.stat()
                files.append((status.st_mtime_ns, status.st_size, path))
        left = size + sum(length for _, length, _ in files)
        for _, length, path in sorted(files):
            if left <= self._most:
                return
            with contextlib.suppress(OSError):
                path.unlink()
            left -= length


def _split(content: bytes) -> tuple[bytes, bytes]:
    """The sum of a file, and what it is of."""
    return content[: hashlib.sha256().digest_size], content[hashlib.sha256().digest_size :]
