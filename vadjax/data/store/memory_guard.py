"""Writing ArrayRecord where memory is limited (`ulimit -v`): a line, not a hang.

Where ArrayRecord's writer (0.8.6) finds no memory it raises MemoryError, aborts the program, or
waits for ever for a thread that has ended, in a call that nothing can interrupt. Which of them
comes is chance, so too little memory is refused ahead, and a program that stands still is ended.
"""

import contextlib
import os
import pathlib
import sys
import threading
import time
from collections.abc import Iterator

from vadjax.runtime import space

NEEDED = 512_000_000  # bytes that the writer may still take
SECONDS = 20  # without any work of the processor, after which nothing will come
LEAST = 0.02  # seconds of work in a second that count as work; the watch itself takes less
NO_MEMORY = ("bad_alloc", "not enough memory", "Unable to allocate")

try:
    import resource
except ImportError:  # no POSIX system
    resource = None


@contextlib.contextmanager
def guarded(what: str | os.PathLike) -> Iterator[None]:
    """Ends the program with a line where the block, which writes ArrayRecord, has no memory.

    Without a limit nothing is watched: the system itself ends a program that takes too much.

    Args:
      what: what is written, for the line.

    Raises:
      ValueError: there is no memory, or too little to begin.
    """
    start = f"{what}: not written:"
    limit = _limit()
    done = threading.Event()
    if limit is not None:
        told = f"this program's memory is limited to {space.size(limit)} (ulimit -v); raise that"
        left = limit - _taken()
        if left < NEEDED:
            raise ValueError(
                f"{start} {space.size(max(left, 0))} of memory are left, ArrayRecord's writer "
                f"needs {space.size(NEEDED)}; {told}"
            )
        line = f"error: {start} ArrayRecord's writer stands still, as where memory runs out; {told}"
        threading.Thread(target=_watch, args=(done, line), daemon=True).start()
    try:
        yield
    except Exception as error:
        if isinstance(error, MemoryError) or any(words in str(error) for words in NO_MEMORY):
            reason = (str(error).strip() or "MemoryError").splitlines()[-1][:200]
            raise ValueError(f"{start} out of memory ({reason})") from error
        raise
    finally:
        done.set()


def _limit() -> int | None:
    """Bytes of address space that this program may take; None if any."""
    if resource is None:
        return None
    found = resource.getrlimit(resource.RLIMIT_AS)[0]
    return None if found == resource.RLIM_INFINITY else found


def _taken() -> int:
    """Bytes of address space that this program has; 0 where the system does not say."""
    try:
        pages = int(pathlib.Path("/proc/self/statm").read_text("ascii").split()[0])
    except (OSError, ValueError):
        return 0
    return pages * resource.getpagesize()


def _watch(done: threading.Event, line: str) -> None:
    idle, before = 0, time.process_time()
    while not done.wait(1):
        now = time.process_time()
        idle, before = (idle + 1 if now - before < LEAST else 0), now
        if idle >= SECONDS:
            print(line, file=sys.stderr, flush=True)
            os._exit(1)
