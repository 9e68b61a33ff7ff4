"""Cameras: frames at the time they arrive, for live scoring."""

import collections
import contextlib
import pathlib
import re
import threading
import time
from collections.abc import Iterable, Iterator

import cv2
import numpy as np

from vadjax.data.video.decode import DecodedFrame, VideoDecoder
from vadjax.data.video.reader import Picture

WAITING = 64  # frames that may wait for the program,
WAITING_BYTES = 256 << 20  # … as long as they take no more bytes; 16 may wait in any case
OPENING = 30.0  # seconds in which a stream must open
# A camera counts as gone after some time without a frame: the larger of `PATIENCE` and `SLOWER`
# times its longest interval, once `KNOWN` frames have arrived; until then `UNKNOWN`.
PATIENCE = 10.0  # seconds
SLOWER = 3.0  # times the longest interval between two frames so far
KNOWN = 16  # frames
UNKNOWN = 60.0  # seconds; a camera of 0.2 frames a second is silent for 5 between two frames
STOPPING = 2.0  # seconds for a read to end
# Streams whose packets say when their frame was filmed. Of others, and of cameras of this machine,
# the arrival of a frame is its time.
TIMED = ("rtsp", "rtsps", "rtmp", "rtmps", "rtp", "udp", "srt")
FAR = 10.0  # seconds between time and arrival from which a stream's clock was set anew


def is_camera(name: str) -> bool:
    """Whether `name` is a number of a camera of this machine or a stream's address, and no path."""
    return not pathlib.Path(name).exists() and (name.isdecimal() or "://" in name)


def without_login(text: str) -> str:
    """The text without users and passwords of addresses in it, for messages.

    Cameras take a password in the path or the query too, so of both the values (`key=value`) are
    left out. A password may hold `@`, and by mistake `/`.
    """
    return re.sub(r"(\w+)://(\S+)", _shown, text)


def _shown(address: re.Match) -> str:
    """An address as messages may show it."""
    scheme, rest = address.groups()
    # A user, a colon and no port: then a login goes to the last @. Else it ends before the path.
    rest = re.sub(r"^(?:[^/@:]+:(?!\d+(?:/|$))\S*@|[^/]*@)", "", rest)
    if scheme.lower() != "file":
        rest = re.sub(r"=[^&]*?(?=[]:;,.'\")]*(?:&|$))", "=***", rest)
    return f"{scheme}://{rest}"


class Device(Iterable[DecodedFrame]):
    """The frames of a camera of this machine, by OpenCV.

    Args:
      number: number of the camera, from 0.

    Raises:
      ValueError: the camera cannot be opened.

    Attributes:
      ended, lost, seconds: as of `VideoDecoder`; constant, since OpenCV reports none of them.
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
        """Releases the camera."""
        self._capture.release()


class StreamClock:
    """Times of the frames of a live stream: by its own clock, if it has one.

    FFmpeg holds the first frames of a stream back for some seconds and then gives all of them at
    once, so that their arrival does not tell the rate of the frames.

    Args:
      name: number or address of the camera.
    """

    def __init__(self, name: str):
        self._timed, self._shift = name.split("://")[0].lower() in TIMED, None

    def __call__(self, own: float | None, arrival: float) -> float:
        """Seconds since the first frame.

        Args:
          own: time of the frame by the stream, seconds; None if it has none.
          arrival: seconds since the first frame arrived.
        """
        if own is None or not self._timed:
            return arrival
        if self._shift is None or abs(own + self._shift - arrival) > FAR:
            self._shift = arrival - own
        return own + self._shift


def most_waiting(pixels: np.ndarray) -> int:
    """How many frames of the size of this one may wait."""
    return max(16, min(WAITING, WAITING_BYTES // pixels.nbytes))


class Reader(threading.Thread):
    """Thread that opens a camera and reads its frames, so that Ctrl-C works during a read.

    Attributes that both threads use are read and written under `changed`, which is notified of
    every change.

    Args:
      name, deinterlace: as for `Camera`.

    Attributes:
      changed: condition that guards the attributes that follow.
      live: whether the source has no end that is known.
      waiting: frames that were read and not yet taken: uint8 [H, W, 3], seconds since the first
        frame (`StreamClock`), and how many frames are missing before it.
      patience: seconds that the next frame may take.
      opened: whether the camera is open.
      wanted: set to True to have frames read.
      late: frames that were dropped or lost since the newest frame in `waiting`.
      over: whether there are no more frames; set to True to stop reading.
      error: exception that ended the thread; None if there was none.
      ended: why there are no more frames.
      abandoned: whether it hangs in a read that nothing can interrupt (`vadjax.runtime.command`).
    """

    def __init__(self, name: str, deinterlace: bool = False):
        super().__init__(daemon=True)
        self._camera, self._deinterlace = name, deinterlace
        self.changed, self.patience = threading.Condition(), UNKNOWN
        self.waiting: collections.deque[tuple[np.ndarray, float, int]] = collections.deque()
        self._clock = StreamClock(name)
        self.late, self._dropping = 0, False
        self.opened = self.wanted = self.over = self.abandoned = self.live = False
        self.error: Exception | None = None
        self.ended = "ended"

    def run(self) -> None:
        """Opens the camera, reads once `wanted` is set, and releases the camera."""
        try:
            with contextlib.closing(self._open()) as source:
                self._set(opened=True, live=source.seconds is None)
                with self.changed:
                    self.changed.wait_for(lambda: self.wanted or self.over)
                self._read(source)
                if source.ended:
                    self.ended = f"broke off ({source.ended})"
        except Exception as error:  # raised in the thread that takes the frames
            if isinstance(error, ValueError):
                error.args = (without_login(str(error)),)
            self.error = error
        finally:
            self._set(over=True)

    def _open(self) -> Device | VideoDecoder:
        """The camera or stream; raises ValueError if it cannot be opened."""
        if self._camera.isdecimal():
            return Device(int(self._camera))
        try:
            options = {"deinterlace": self._deinterlace, "timeout": (OPENING, UNKNOWN)}
            return VideoDecoder(self._camera, **options)
        except ValueError as error:
            raise ValueError(f"camera {error}; is it connected, and the address right?") from error

    def _read(self, source: Device | VideoDecoder) -> None:
        """Reads frames until the source ends or `over` is set."""
        start, longest, arrivals, lost = None, 0.0, 0, 0
        for frame in source:
            # The longest interval between two arrivals says how long the next frame may take.
            now = time.monotonic()
            if start is None:
                start = last = now
            longest, last, arrivals = max(longest, now - last), now, arrivals + 1
            with self.changed:
                self.late, lost = self.late + source.lost - lost, source.lost
                # Without a duration it is live: frames go on coming, and may have to be dropped.
                if source.seconds is None:
                    self._put_or_drop(frame.pixels, self._clock(frame.time, now - start))
                else:
                    self._put_when_possible(frame.pixels, frame.time)
                if self.over:
                    return
                if arrivals >= KNOWN:
                    self.patience = max(PATIENCE, SLOWER * longest)
                self.changed.notify_all()

    def _put_or_drop(self, pixels: np.ndarray, at: float) -> None:
        """Adds a frame of a live camera to `waiting`, or drops it.

        Once too many frames wait, all that follow are dropped until every waiting one is taken.
        """
        self._dropping = len(self.waiting) >= (1 if self._dropping else most_waiting(pixels))
        if self._dropping:
            self.late += 1
            return
        self.waiting.append((pixels, at, self.late))
        self.late = 0

    def _put_when_possible(self, pixels: np.ndarray, at: float) -> None:
        """Adds a frame of a stream with an end to `waiting`, as soon as there is room."""
        limit = most_waiting(pixels)
        self.changed.wait_for(lambda: len(self.waiting) < limit or self.over)
        self.waiting.append((pixels, at, self.late))
        self.late = 0

    def _set(self, **values: bool) -> None:
        """Sets attributes of these names under `changed`."""
        with self.changed:
            vars(self).update(values)
            self.changed.notify_all()

    def stop(self) -> None:
        """Stops reading, and waits up to `STOPPING` seconds until the camera is released."""
        self._set(over=True)
        self.abandoned = True  # until it is seen to end, which Ctrl-C may prevent
        self.join(STOPPING)
        self.abandoned = self.is_alive()


class Camera(Iterable[Picture]):
    """The frames of a camera or stream, in order, until it ends.

    A thread takes the frames from the camera. If the program is slower than the camera, frames
    wait. When `WAITING` of them wait (fewer if they are large), the frames that follow are dropped
    until all waiting ones have been taken. So at least as many frames lie between two gaps, which
    is enough for the windows of any system. A stream with an end, such as a file on a server, is
    read no faster than its frames are taken; nothing of it is dropped.

    Args:
      name: number of a camera of this machine (`"0"`), or address of a stream (`"rtsp://…"`).
      deinterlace: for a stream, as for `VideoDecoder`.

    Raises:
      ValueError: it cannot be opened; while iterating: its video cannot be decoded.

    Attributes:
      name: number or address of the camera.
      ended: why there are no more frames; empty while there are, or if the program stopped.
    """

    def __init__(self, name: str, deinterlace: bool = False):
        self.name, self.ended = name, ""
        self._reader = Reader(name, deinterlace)
        self._reader.start()
        # Wait until the camera is open, so that an error is raised here and not at the first frame.
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
        rank, shown = 0, without_login(self.name)
        try:
            while (taken := self._next()) is not None:
                pixels, at, missing = taken
                yield Picture(pixels, f"{shown}#{rank}", time=at, missing=missing)
                rank += 1
        finally:
            self.close()

    @property
    def live(self) -> bool:
        """Whether its frames come when they are filmed; not so for a file on a server."""
        return self._reader.live

    def close(self) -> None:
        """Releases the camera."""
        self._reader.stop()

    def _next(self) -> tuple[np.ndarray, float, int] | None:
        """The next frame, its time, and how many are missing before it; None after the last.

        Raises:
          Exception: what ended the reader.
        """
        reader = self._reader
        with reader.changed:
            patience = reader.patience
            if not reader.changed.wait_for(lambda: reader.waiting or reader.over, patience):
                self.ended = f"gave no frame for {patience:.0f} s"
                return None
            if reader.waiting:
                frame = reader.waiting.popleft()
                reader.changed.notify_all()
                return frame
        # All frames are taken, and the reader has ended.
        if reader.error:
            raise reader.error
        dropped = f"; its last {reader.late:,} frames were dropped" if reader.late else ""
        self.ended = reader.ended + dropped
        return None
