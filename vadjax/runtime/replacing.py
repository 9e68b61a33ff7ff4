"""Files and folders that are whole or not there: written beside their place, then moved into it.

    with replacing.file(path) as new: ...        # `path` is as it was until the block ends well
    with replacing.folder(path) as work: ...     # the same for a folder

What is written to is hidden, `.NAME.tmp`. A kill may leave it behind, or the folder that was being
replaced as `.NAME.old` or `.NAME.gone`: whoever writes the same next puts that right and removes
it. A lock keeps it from taking what another program still writes. Nothing here needs NumPy.
"""

import contextlib
import io
import os
import pathlib
import shutil
import socket
from collections.abc import Iterator

from vadjax.runtime import lock, space

LEFT = ("tmp", "old", "gone", "lock")  # what a kill can leave of a folder


@contextlib.contextmanager
def file(
    path: str | pathlib.Path, size: int | None = None, ending: str = ".tmp", sync: bool = False
) -> Iterator[pathlib.Path]:
    """A path beside `path` to write to; that file takes the place of `path`.

    Several programs that write the same file do it one after the other.

    Args:
      path: what to make or replace; folders above it are made.
      size: its bytes, at least, if known: too little room is found before the writing.
      ending: of the name to write to, for libraries that go by it.
      sync: on the disk before it is in its place, so that a power cut leaves it whole too.

    Raises:
      vadjax.runtime.space.NotWritten: the disk is full, or cannot be written.
    """
    # Room and the lock first, then the block, then the move.
    path = pathlib.Path(path)
    with space.naming(path, needed=size):
        path.parent.mkdir(parents=True, exist_ok=True)
        if size:
            space.check(path, size, "the file")
        temporary = path.with_name(f".{path.name}{ending}")
        handle = lock.take(temporary, wait=True)
        if handle is None:  # without locks, a name that no other program uses
            temporary = path.with_name(f".{path.name}.{socket.gethostname()}.{os.getpid()}{ending}")
        try:
            yield temporary
            if sync:
                _sync(temporary)
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        finally:
            if handle is not None:
                os.close(handle)


def write(path: str | pathlib.Path, content: str | bytes, sync: bool = False) -> None:
    """Writes a whole file; text in UTF-8.

    Raises:
      vadjax.runtime.space.NotWritten: the disk is full, or cannot be written.
    """
    data = content.encode() if isinstance(content, str) else content
    with file(path, len(data), sync=sync) as new:
        new.write_bytes(data)


def append(file: io.FileIO, data: bytes) -> None:
    """Adds data to a file that was opened unbuffered: all of it, or none if there is no room."""
    before = file.seek(0, os.SEEK_END)
    try:
        while data:
            data = data[file.write(data) :]
    except OSError:
        file.truncate(before)
        raise


@contextlib.contextmanager
def folder(path: str | pathlib.Path) -> Iterator[pathlib.Path]:
    """An empty folder beside `path` to write to; it takes the place of `path`.

    Raises:
      vadjax.runtime.lock.Held: another program writes it.
      vadjax.runtime.space.NotWritten: the disk is full, or cannot be written.
    """
    with beside(path) as work:
        yield work
        put(work, path)


@contextlib.contextmanager
def beside(path: str | pathlib.Path) -> Iterator[pathlib.Path]:
    """An empty folder beside `path`, on its disk, that goes with the end of the block.

    Raises:
      FileExistsError: `path` is a link, which a stranger may have put there.
      vadjax.runtime.lock.Held: another program writes `path`.
      vadjax.runtime.space.NotWritten: the disk is full, or cannot be written.
    """
    if pathlib.Path(path).is_symlink():
        raise FileExistsError(f"{path} is a link and is left as it is; name where it leads to")
    with space.naming(path):
        hidden(path, "tmp").parent.mkdir(parents=True, exist_ok=True)
        with lock.held(hidden(path, "lock"), str(path)):
            _recover(path)
            work = hidden(path, "tmp")
            work.mkdir()
            try:
                yield work
            except space.NotWritten as error:  # a file in it: name it as in its final place
                raise space.NotWritten(str(error).replace(str(work), str(path))) from error
            finally:
                shutil.rmtree(work, ignore_errors=True)


def put(made: pathlib.Path, path: str | pathlib.Path) -> None:
    """Moves a folder of the same disk into its place, and removes the folder that is there.

    The old folder is moved away before it is removed: at no moment is half of it in its place.
    """
    place, old, gone = _place(path), hidden(path, "old"), hidden(path, "gone")
    if place.is_dir():
        place.rename(old)
    made.rename(place)
    if old.is_dir():
        old.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)


def clear(path: str | pathlib.Path) -> None:
    """Puts right and removes what a killed program has left of a folder, if it has left anything.

    Raises:
      vadjax.runtime.lock.Held: another program writes it now.
    """
    if any(hidden(path, kind).exists() for kind in LEFT):
        with lock.held(hidden(path, "lock"), str(path)):
            _recover(path)


def hidden(path: str | pathlib.Path, kind: str) -> pathlib.Path:
    """Where a folder is while it is made (`tmp`) or replaced (`old`, `gone`), and its lock."""
    place = _place(path)
    return place.with_name(f".{place.name}.{kind}")


def _recover(path: str | pathlib.Path) -> None:
    """Puts back the old folder where the new one did not come, and removes the rest."""
    place, old = _place(path), hidden(path, "old")
    if old.is_dir() and not old.is_symlink() and not place.exists():
        old.rename(place)
    for kind in ("tmp", "old", "gone"):
        left = hidden(path, kind)
        if left.is_symlink():
            left.unlink()
        shutil.rmtree(left, ignore_errors=True)


def _place(path: str | pathlib.Path) -> pathlib.Path:
    """The absolute path of a folder; a link in its place is not followed."""
    path = pathlib.Path(path)
    return path.parent.resolve() / path.name if path.name not in ("", "..") else path.resolve()


def _sync(path: pathlib.Path) -> None:
    with path.open("rb") as written:
        os.fsync(written.fileno())
