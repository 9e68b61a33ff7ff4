"""Cameras: frames as they come, for scoring live."""

import collections
import contextlib
import pathlib
import threading
import time
from collections.abc import Iterable, Iterator

import cv2
import numpy as np

from vadjax.data.video.decode import DecodedFrame, VideoDecoder
from vadjax.data.video.reader import Picture

WAITING = 64  # frames that may wait for the program
WAITING_BYTES = 256 << 20  # … and what they may take, but 16 may always wait
OPENING = 30.0  # seconds in which a stream must open
PATIENCE = 10.0  # seconds without a frame after which a camera counts as gone,
SLOWER = 3.0  # … or so many times its longest interval, which is known
KNOWN = 16  # … after so many frames; until then
UNKNOWN = 60.0  # … seconds; at 0.2 frames a second 5 are nothing
STOPPING = 2.0  # seconds for a read to end


def is_camera(name: str) -> bool:
    """Whether `name` is the number of a camera of this machine or a stream's address; no path."""
    return not pathlib.Path(name).exists() and (name.isdecimal() or "://" in name)


class Device(Iterable[DecodedFrame]):
    """The frames of a camera of this machine, by OpenCV.

    Args:
      number: of the camera.

    Raises:
      ValueError: it cannot be opened.

    Attributes:
      ended, lost, seconds: as of `VideoDecoder`; a device knows none of them.
    """

    ended, lost, seconds = "", 0, None

    def __init__(self, number: int):
        self._capture = cv2.VideoCapture(number)
        if not self._capture.isOpened():
            raise ValueError(
                f"camera {number}: OpenCV cannot open it; is it connected, and the number right? "
                "Numbers begin at 0"
            )

    def __iter__(self) -> Iterator[DecodedFrame]:
        while (read := self._capture.read())[0]:
            yield DecodedFrame(cv2.cvtColor(read[1], cv2.COLOR_BGR2RGB), None)

    def close(self) -> None:
        """Lets the camera go."""
        self._capture.release()


def most_waiting(pixels: np.ndarray) -> int:
    """How many frames like this one may wait."""
    return max(16, min(WAITING, WAITING_BYTES // pixels.nbytes))


class Reader(threading.Thread):
    """Opens a camera and takes its frames, in a thread, so that Ctrl-C is heard while it waits.

    What it shares is used under `changed`, which it notifies.

    Args:
      name, deinterlace: as of `Camera`.

    Attributes:
      changed: lock of what follows.
      waiting: frames that nobody has taken yet: uint8 [H, W, 3], seconds since the first, and how
        many are missing before each.
      patience: seconds that the next frame may take.
      opened: whether the camera is open.
      wanted: set it to have frames read.
      late: frames that were dropped since the last one that waits.
      over: whether there are no more frames; set it to stop reading.
      error: what ended it; None where nothing went wrong.
      ended: why there are no more frames.
      abandoned: whether it hangs in a read that nothing can interrupt (`vadjax.runtime.command`).
    """

    def __init__(self, name: str, deinterlace: bool = False):
        super().__init__(daemon=True)
        self._camera, self._deinterlace = name, deinterlace
        self.changed, self.patience = threading.Condition(), UNKNOWN
        self.waiting: collections.deque[tuple[np.ndarray, float, int]] = collections.deque()
        self.late, self._full = 0, False
        self.opened = self.wanted = self.over = self.abandoned = False
        self.error: Exception | None = None
        self.ended = "ended"

    def run(self) -> None:
        """Opens the camera, reads when that is wanted, and lets it go."""
        try:
            with contextlib.closing(self._open()) as source:
                self._set(opened=True)
                with self.changed:
                    self.changed.wait_for(lambda: self.wanted or self.over)
                self._read(source)
                if source.ended:
                    self.ended = f"broke off ({source.ended})"
        except Exception as error:  # for the thread that takes the frames
            self.error = error
        finally:
            self._set(over=True)

    def _open(self) -> Device | VideoDecoder:
        if self._camera.isdecimal():
            return Device(int(self._camera))
        try:
            options = {"deinterlace": self._deinterlace, "timeout": (OPENING, UNKNOWN)}
            return VideoDecoder(self._camera, **options)
        except ValueError as error:
            raise ValueError(f"camera {error}; is it connected, and the address right?") from error

    def _read(self, source: Device | VideoDecoder) -> None:
        start, longest, arrivals, lost = None, 0.0, 0, 0
        for frame in source:
            now = time.monotonic()
            if start is None:
                start = last = now
            longest, last, arrivals = max(longest, now - last), now, arrivals + 1
            with self.changed:
                self.late, lost = self.late + source.lost - lost, source.lost
                if source.seconds is None:
                    self._put_or_drop(frame.pixels, now - start)
                else:
                    self._put_when_possible(frame.pixels, frame.time)
                if self.over:
                    return
                if arrivals >= KNOWN:
                    self.patience = max(PATIENCE, SLOWER * longest)
                self.changed.notify_all()

    def _put_or_drop(self, pixels: np.ndarray, at: float) -> None:
        """Has a camera's frame wait, unless too many did and not all of them are taken."""
        self._full = len(self.waiting) >= (1 if self._full else most_waiting(pixels))
        if self._full:
            self.late += 1
            return
        self.waiting.append((pixels, at, self.late))
        self.late = 0

    def _put_when_possible(self, pixels: np.ndarray, at: float) -> None:
        """Has the frame of a stream wait that has an end and can wait itself."""
        most = most_waiting(pixels)
        self.changed.wait_for(lambda: len(self.waiting) < most or self.over)
        self.waiting.append((pixels, at, self.late))
        self.late = 0

    def _set(self, **values: bool) -> None:
        with self.changed:
            vars(self).update(values)
            self.changed.notify_all()

    def stop(self) -> None:
        """Has it stop reading; waits a little until it has let the camera go."""
        self._set(over=True)
        self.abandoned = True  # until it is seen to end, which Ctrl-C may prevent
        self.join(STOPPING)
        self.abandoned = self.is_alive()


class Camera(Iterable[Picture]):
    """The frames of a camera or stream, in order, until it ends.

    A thread takes them from the camera. If the program is slower than the camera, frames wait; when
    `WAITING` of them do (fewer of large ones), those that follow are dropped until all have been
    taken. So there are at least as many frames between two gaps, enough for the windows of any
    system. A stream with an end, a file on a server, waits itself: nothing of it is dropped.

    Args:
      name: number of a camera of this machine (`"0"`), or address of a stream (`"rtsp://…"`).
      deinterlace: of a stream: as of `VideoDecoder`.

    Raises:
      ValueError: it cannot be opened; while iterating: its video cannot be decoded.

    Attributes:
      ended: why there are no more frames; empty while there are, or if the program stopped.
    """

    def __init__(self, name: str, deinterlace: bool = False):
        self.name, self.ended = name, ""
        self._reader = Reader(name, deinterlace)
        self._reader.start()
        try:
            with self._reader.changed:
                self._reader.changed.wait_for(lambda: self._reader.opened or self._reader.over)
        except BaseException:
            self.close()
            raise
        if not self._reader.opened:
            raise self._reader.error

    def __enter__(self) -> "Camera":
        return self

    def __exit__(self, *error) -> None:
        self.close()

    def __iter__(self) -> Iterator[Picture]:
        """The frames, with the seconds since the first and how many are missing before."""
        self._reader._set(wanted=True)
        rank = 0
        try:
            while (taken := self._next()) is not None:
                pixels, at, missing = taken
                yield Picture(pixels, f"{self.name}#{rank}", time=at, missing=missing)
                rank += 1
        finally:
            self.close()

    def close(self) -> None:
        """Lets the camera go."""
        self._reader.stop()

    def _next(self) -> tuple[np.ndarray, float, int] | None:
        """The next frame, its time, and how many are missing before it."""
        reader = self._reader
        with reader.changed:
            patience = reader.patience
            if not reader.changed.wait_for(lambda: reader.waiting or reader.over, patience):
                self.ended = f"gave no frame for {patience:.0f} s"
                return None
            if reader.waiting:
                taken = reader.waiting.popleft()
                reader.changed.notify_all()
                return taken
        if reader.error:
            raise reader.error
        dropped = f"; its last {reader.late:,} frames were dropped" if reader.late else ""
        self.ended = reader.ended + dropped
        return None
