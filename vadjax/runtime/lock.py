"""Locks between programs: a file that says who holds it, and that a kill sets free.

The lock is the system's (`flock`) and ends with the program that holds it, however that ends; what
the file says is for people. The file goes with the lock; one that a kill leaves is taken over by
the next program. On file systems without locks nothing is held.
"""

import contextlib
import datetime
import json
import os
import pathlib
import socket
import stat
from collections.abc import Iterator

try:
    import fcntl
except ImportError:  # no POSIX system
    fcntl = None


class Held(ValueError):
    """Another program holds the lock; the message says which, and since when."""


@contextlib.contextmanager
def held(path: str | pathlib.Path, what: str, wait: bool = False) -> Iterator[bool]:
    """Holds the lock file `path` during the block, and removes it after that.

    Args:
      path: of the lock file; its folder must exist.
      what: what is locked, for the message: `runs/mine`.
      wait: until it is free.

    Yields:
      Whether it is held: False on a file system without locks.

    Raises:
      Held: another program holds it, and it is not to be waited for.
      OSError: the file cannot be made.
    """
    path = pathlib.Path(path)
    try:
        handle = take(path, wait)
    except BlockingIOError:
        raise Held(f"{what}: {holder(path)}. Wait for its end, or name another place") from None
    if handle is None:
        yield False
        return
    try:
        os.truncate(handle, 0)
        os.write(handle, (json.dumps(_self()) + "\n").encode())
        yield True
    finally:
        path.unlink(missing_ok=True)  # before the lock ends: `take` sees that it has gone
        os.close(handle)


def take(path: pathlib.Path, wait: bool = False) -> int | None:
    """Opens a file, made if need be, and locks it; closing the handle sets it free.

    Args:
      path: of the file.
      wait: until it is free.

    Returns:
      The handle; None where the file system has no locks.

    Raises:
      BlockingIOError: it is locked, and not to be waited for.
      OSError: it cannot be opened, or is a link or a device, which a stranger may have put there.
    """
    # The file may be removed by its holder between opening and locking it: then what is locked is
    # not what has the name, and another one is made.
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
        try:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise FileExistsError(f"{path}: not a regular file; it is left as it is")
            if not _lock(handle, wait):
                path.unlink(missing_ok=True)
                os.close(handle)
                return None
            if os.path.samestat(os.fstat(handle), os.stat(path)):
                return handle
        except FileNotFoundError:
            pass  # its holder has just removed it
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)


def in_use(path: pathlib.Path) -> str:
    """Who holds a lock file, in words; empty if nobody does, or where that cannot be known.

    Nothing is made or changed.
    """
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        handle = os.open(path, flags)
    except OSError:
        return ""
    try:
        if fcntl is not None and stat.S_ISREG(os.fstat(handle).st_mode):
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return holder(path)
    except OSError:
        pass  # no locks on this file system
    finally:
        os.close(handle)
    return ""


def holder(path: pathlib.Path) -> str:
    """Who holds a lock, in words."""
    try:
        with path.open("rb") as file:
            entry = json.loads(file.read(1000))
        who = f"process {entry['pid']} on {entry['host']} since {entry['since']}"
        who = "".join(filter(str.isprintable, who))
    except (OSError, ValueError, KeyError, TypeError):
        who = "another program"
    return f"in use by {who}"


def _lock(handle: int, wait: bool) -> bool:
    """Locks an open file; False where there are no locks."""
    if fcntl is None:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        raise
    except OSError:
        return False
    return True


def _self() -> dict[str, str | int]:
    """What a lock file says of this program."""
    since = datetime.datetime.now().astimezone().isoformat(" ", "seconds")
    return {"host": socket.gethostname(), "pid": os.getpid(), "since": since}
