"""OpenCV's threads, lent to work that is spread over threads call by call.

OpenCV can spread the rows of one call over threads. Many calls side by side keep the same threads
busier, so whoever has many takes all threads as a pool, and each call runs on one. All holders of
the process share the pool: together they never run more threads than OpenCV had by itself
(`cv2.setNumThreads`, by default one for each core).
"""

import contextlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import cv2


class _Lent:
    """The threads while somebody holds them, and the number that OpenCV gets back."""

    def __init__(self):
        # A generator that holds the threads may be collected while this thread has the lock.
        self._lock = threading.RLock()
        self._holders, self._count = 0, 1
        self._pool: ThreadPoolExecutor | None = None

    def take(self) -> ThreadPoolExecutor:
        with self._lock:
            if not self._holders:
                self._count = cv2.getNumThreads()
                cv2.setNumThreads(1)
                self._pool = ThreadPoolExecutor(self._count, "opencv")
            self._holders += 1
            return self._pool

    def give_back(self) -> None:
        with self._lock:
            self._holders -= 1
            if not self._holders:
                # Without waiting: the last holder may be collected in one of these threads.
                self._pool.shutdown(wait=False, cancel_futures=True)
                cv2.setNumThreads(self._count)


_LENT = _Lent()


@contextlib.contextmanager
def threads() -> Iterator[ThreadPoolExecutor]:
    """Lends OpenCV's threads as a pool; every call of OpenCV runs on one thread meanwhile.

    Work in the pool must not wait for other work in it.
    """
    pool = _LENT.take()
    try:
        yield pool
    finally:
        _LENT.give_back()
