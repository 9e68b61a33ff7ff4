"""One thread scores at a time; the others wait for their cameras or for their turn."""

import collections
import threading
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


class Turns:
    """A lock that is given in the order in which it was asked for.

    A thread that gives it back and asks again at once comes after all that wait, so that a camera
    whose frames are always there does not keep the others waiting.
    """

    def __init__(self):
        self._changed = threading.Condition()
        self._waiting: collections.deque[object] = collections.deque()
        self._taken = False

    def __enter__(self) -> "Turns":
        ticket = object()
        with self._changed:
            self._waiting.append(ticket)
            self._changed.wait_for(lambda: not self._taken and self._waiting[0] is ticket)
            self._waiting.popleft()
            self._taken = True
        return self

    def __exit__(self, *error) -> None:
        with self._changed:
            self._taken = False
            self._changed.notify_all()

    def between(self, items: Iterable[Item]) -> Iterator[Item]:
        """The same items; the lock, which the caller holds, is given back while one is awaited."""
        iterator = iter(items)
        while True:
            self.__exit__()
            try:
                item = next(iterator)
            except StopIteration:
                return
            finally:
                self.__enter__()
            yield item
