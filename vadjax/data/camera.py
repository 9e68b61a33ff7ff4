"""Cameras: frames as they come, for scoring live."""

import collections
import pathlib
import threading
import time
from collections.abc import Iterable, Iterator

import cv2

from vadjax.data.video import Picture

WAITING = 64  # frames that may wait for the program
WAITING_BYTES = 256 << 20  # … and what they may take, but 16 may always wait
PATIENCE = 10.0  # seconds without a frame after which a camera counts as gone


def is_camera(name: str) -> bool:
    """Whether `name` is the number of a camera of this machine or a stream's address; no path."""
    return not pathlib.Path(name).exists() and (name.isdecimal() or "://" in name)


class Camera(Iterable[Picture]):
    """The frames of a camera or stream, in order, until it ends.

    A thread takes them from the camera. If the program is slower than the camera, frames wait; when
    `WAITING` of them do (fewer of large ones), all are dropped, so that gaps are few.

    Args:
      name: number of a camera of this machine (`"0"`), or what OpenCV opens as a stream
        (`"rtsp://…"`).

    Raises:
      ValueError: it cannot be opened.

    Attributes:
      ended: why there are no more frames; empty while there are, or if the program stopped.
    """

    def __init__(self, name: str):
        self.name, self.ended = name, ""
        self._capture = cv2.VideoCapture(int(name) if name.isdecimal() else name)
        if not self._capture.isOpened():
            raise ValueError(
                f"camera {name}: OpenCV cannot open it; is it connected, and the number or address "
                "right? Numbers begin at 0"
            )
        self._waiting: collections.deque = collections.deque()
        self._changed, self._over, self._dropped = threading.Condition(), False, 0

    def __iter__(self) -> Iterator[Picture]:
        """The frames, with the seconds since the first and how many were dropped before."""
        threading.Thread(target=self._read, daemon=True).start()
        rank = 0
        try:
            while (taken := self._next()) is not None:
                pixels, at, missing = taken
                rgb = cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)
                yield Picture(rgb, f"{self.name}#{rank}", time=at, missing=missing)
                rank += 1
        finally:
            self._over = True  # the thread lets the camera go

    def _read(self) -> None:
        start = None
        while not self._over and (read := self._capture.read())[0]:
            now = time.monotonic()
            start = now if start is None else start
            with self._changed:
                if len(self._waiting) >= max(16, min(WAITING, WAITING_BYTES // read[1].nbytes)):
                    self._dropped += len(self._waiting)
                    self._waiting.clear()
                self._waiting.append((read[1], now - start))
                self._changed.notify()
        with self._changed:
            self._over = True
            self._changed.notify()
        self._capture.release()

    def _next(self) -> tuple | None:
        """The next frame, its time, and the frames that were dropped before it."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._waiting or self._over, PATIENCE):
                self.ended = f"gave no frame for {PATIENCE:.0f} s"
                return None
            if not self._waiting:
                self.ended = "ended"
                return None
            missing, self._dropped = self._dropped, 0
            return *self._waiting.popleft(), missing
