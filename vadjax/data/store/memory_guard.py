"""Writing ArrayRecord with limited memory (`ulimit -v`): an error message in place of a hang.

When ArrayRecord's writer (0.8.6) runs out of memory it raises MemoryError, aborts the program, or
waits for ever, in a call that nothing can interrupt, for a thread that has ended. Which of these
happens is chance. So a limit that leaves too little memory is refused before writing, and a
program that stands still is ended.
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
SECONDS = 20  # seconds without processor time after which the writer counts as stuck
LEAST = 0.02  # processor seconds in a second that count as work; the watch itself takes less
NO_MEMORY = ("bad_alloc", "not enough memory", "Unable to allocate")

try:
    import resource
except ImportError:  # no POSIX system
    resource = None


@contextlib.contextmanager
def guarded(what: str | os.PathLike) -> Iterator[None]:
    """Watches a block that writes ArrayRecord, and ends the program if the writer is stuck.

    Without a limit of memory nothing is watched: the system ends a program that takes too much.

    Args:
      what: what is written, for messages.

    Raises:
      ValueError: too little memory to begin, or memory ran out in the block.
    """
    start = f"{what}: not written:"
    limit = _limit()
    done = threading.Event()
    if limit is not None:
        advice = f"this program's memory is limited to {space.size(limit)} (ulimit -v); raise that"
        # Too little memory is refused before the writer starts.
        free = limit - _taken()
        if free < NEEDED:
            raise ValueError(
                f"{start} {space.size(max(free, 0))} of memory are left, ArrayRecord's writer "
                f"needs {space.size(NEEDED)}; {advice}"
            )
        message = (
            f"error: {start} ArrayRecord's writer stands still, as where memory runs out; {advice}"
        )
        threading.Thread(target=_watch, args=(done, message), daemon=True).start()
    # What the writer raises for want of memory has many types; its text tells.
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
    """Bytes of address space that this program may take; None without a limit."""
    if resource is None:
        return None
    soft_limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return None if soft_limit == resource.RLIM_INFINITY else soft_limit


def _taken() -> int:
    """Bytes of address space that this program has; 0 if the system does not say."""
    try:
        pages = int(pathlib.Path("/proc/self/statm").read_text("ascii").split()[0])
    except (OSError, ValueError):
        return 0
    return pages * resource.getpagesize()


def _watch(done: threading.Event, line: str) -> None:
    """Ends the program with a line once it has taken hardly any processor time for `SECONDS`."""
    idle, last = 0, time.process_time()
    while not done.wait(1):
        now = time.process_time()
        idle, last = (idle + 1 if now - last < LEAST else 0), now
        if idle >= SECONDS:
            print(line, file=sys.stderr, flush=True)
            os._exit(1)
