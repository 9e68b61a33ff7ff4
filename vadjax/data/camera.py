"""Cameras: frames as they come, for scoring live."""

import collections
import threading
import time
from collections.abc import Iterable, Iterator

import cv2

from vadjax.data.video import Picture

WAITING = 64  # frames that may wait for the program
PATIENCE = 10.0  # seconds without a frame after which a camera counts as gone


def is_camera(name: str) -> bool:
    """Whether `name` is the number of a camera of this machine or a stream's address."""
    return name.isdecimal() or "://" in name


class Camera(Iterable[Picture]):
    """The frames of a camera or stream, in order, until it ends.

    A thread takes them from the camera. If the program is slower than the camera, frames wait; of
    more than `waiting`, the oldest are dropped.

    Args:
      name: number of a camera of this machine (`"0"`), or what OpenCV opens as a stream
        (`"rtsp://…"`).
      waiting: frames that may wait.

    Raises:
      ValueError: it cannot be opened.

    Attributes:
      dropped: frames that were dropped.
    """

    def __init__(self, name: str, waiting: int = WAITING):
        self.name, self.dropped = name, 0
        self._capture = cv2.VideoCapture(int(name) if name.isdecimal() else name)
        if not self._capture.isOpened():
            raise ValueError(
                f"camera {name}: OpenCV cannot open it; is it connected, and the number or address "
                "right? Numbers begin at 0"
            )
        self._waiting: collections.deque = collections.deque(maxlen=waiting)
        self._changed, self._over = threading.Condition(), False

    def __iter__(self) -> Iterator[Picture]:
        """The frames, with the seconds since the first.

        Raises:
          ValueError: no frame came.
        """
        reader = threading.Thread(target=self._read, daemon=True)
        reader.start()
        rank = 0
        try:
            while (picture := self._next(rank)) is not None:
                yield picture
                rank += 1
        finally:
            self._over = True
            reader.join(PATIENCE)
            self._capture.release()
        if not rank:
            raise ValueError(f"camera {self.name}: no frame came from it")

    def _read(self) -> None:
        start = None
        while not self._over and (read := self._capture.read())[0]:
            now = time.monotonic()
            start = now if start is None else start
            with self._changed:
                self.dropped += len(self._waiting) == self._waiting.maxlen
                self._waiting.append((read[1], now - start))
                self._changed.notify()
        with self._changed:
            self._over = True
            self._changed.notify()

    def _next(self, rank: int) -> Picture | None:
        with self._changed:
            if not self._changed.wait_for(lambda: self._waiting or self._over, PATIENCE):
                raise ValueError(f"camera {self.name}: no frame for {PATIENCE:.0f} s")
            if not self._waiting:
                return None
            pixels, at = self._waiting.popleft()
        return Picture(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), f"{self.name}#{rank}", time=at)
