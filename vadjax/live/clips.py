"""Clips of events: some seconds before and after, H.264, written in a thread of their own."""

import collections
import contextlib
import fractions
import pathlib
import threading
from typing import NamedTuple

import av
import cv2
import numpy as np

from vadjax.live.pictures import to_jpeg
from vadjax.runtime import replacing

BEFORE, AFTER = 5.0, 5.0  # seconds around an event
SLACK = 4.0  # seconds more that are kept, because a score comes later than its frame
LONGEST = 120.0  # seconds of a clip; a longer event goes on without it
MOST_WIDTH = 1280  # of a clip; larger frames are made smaller
MOST_BYTES = 128 << 20  # of the frames that are kept before an event
MOST_WAITING = 32  # frames that wait to be compressed; further ones are left out of clips
LAST = 20.0  # seconds for a clip to be finished when the program ends
TICKS = 1000  # a second


class _Kept(NamedTuple):
    """A frame before an event: its seconds, and itself as JPEG."""

    seconds: float
    jpeg: bytes


class ClipRecorder(threading.Thread):
    """Keeps the last seconds of a camera, and writes the clips of its events.

    Args:
      name: of the camera, for messages.
      before, after: seconds around an event.

    Attributes:
      written: how many clips were written.
      left_out: frames that came too fast to be kept.
      failed: path of the last clip that could not be written; None without one.
    """

    def __init__(self, name: str, before: float = BEFORE, after: float = AFTER):
        super().__init__(daemon=True, name=f"clips of {name}")
        self._camera, self._before, self._after = name, before, after
        self._jobs: collections.deque[tuple] = collections.deque()
        self._changed, self._frames_waiting = threading.Condition(), 0
        self._closing = False
        # The clip that is being recorded, as the thread of the frames knows it.
        self._path: pathlib.Path | None = None
        self._start = self._until = 0.0
        # What the thread of the recorder knows.
        self._kept: collections.deque[_Kept] = collections.deque()
        self._bytes = 0
        self._film: _Film | None = None
        self._recording: pathlib.Path | None = None
        self.failed: pathlib.Path | None = None
        self.written = self.left_out = 0
        self.start()

    def add(self, pixels: np.ndarray, seconds: float) -> None:
        """Takes the next frame of the camera, uint8 [H, W, 3] RGB. Returns at once."""
        self._end_if_due(seconds)
        with self._changed:
            if self._frames_waiting >= MOST_WAITING:
                self.left_out += 1
                return
            self._frames_waiting += 1
        self._put("frame", pixels, seconds)

    def begin(self, path: pathlib.Path, seconds: float) -> pathlib.Path:
        """An event begins: the path of the clip that shows it.

        Args:
          path: of a new clip, if none is being recorded.
          seconds: of the event's first frame.
        """
        if self._path is None:
            self._path, self._start = path, seconds
            self._put("begin", path, seconds - self._before)
        self._until = float("inf")
        return self._path

    def over(self, seconds: float) -> None:
        """The event is over; its last frame was at so many seconds."""
        self._until = seconds + self._after

    def stop(self) -> None:
        """No frame comes for an unknown time: finishes the clip that is being recorded."""
        if self._path is not None:
            self._path = None
            self._put("end")

    def close(self, patience: float = LAST) -> bool:
        """Finishes the clip that is being recorded; whether that was done in time."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self.join(patience)
        return not self.is_alive()

    def run(self) -> None:
        """Does what is asked, until `close`."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._jobs or self._closing)
                if not self._jobs:
                    break
                what, *values = self._jobs.popleft()
                self._frames_waiting -= what == "frame"
            try:
                getattr(self, f"_{what}")(*values)
            except Exception as error:  # a full disk or the like; scoring and alerts go on
                self._give_up(error)
        try:
            self._end()
        except Exception as error:
            self._give_up(error)
        self._kept.clear()

    def _put(self, *job) -> None:
        with self._changed:
            self._jobs.append(job)
            self._changed.notify_all()

    def _end_if_due(self, seconds: float) -> None:
        """Ends the clip once the seconds after the event are over, or the clip is long."""
        if self._path is not None and seconds > min(self._until, self._start + LONGEST):
            self.stop()

    def _frame(self, pixels: np.ndarray, seconds: float) -> None:
        """Compresses a frame, and adds it to the clip."""
        height, width = pixels.shape[:2]
        if width > MOST_WIDTH:
            size = (MOST_WIDTH, round(height * MOST_WIDTH / width))
            pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
        if self._film is not None:
            self._film.add(pixels, seconds)
        self._kept.append(_Kept(seconds, to_jpeg(pixels)))
        self._bytes += len(self._kept[-1].jpeg)
        limit = seconds - self._before - SLACK
        while self._kept and (self._kept[0].seconds < limit or self._bytes > MOST_BYTES):
            self._bytes -= len(self._kept.popleft().jpeg)

    def _begin(self, path: pathlib.Path, since: float) -> None:
        """Begins a clip with the frames that are kept."""
        self._end()
        self._recording = path
        self._film = _Film(path)
        for kept in self._kept:
            if kept.seconds >= since:
                pixels = cv2.imdecode(np.frombuffer(kept.jpeg, np.uint8), cv2.IMREAD_COLOR)
                self._film.add(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), kept.seconds)

    def _end(self) -> None:
        """Finishes the clip, if there is one."""
        if self._film is not None and self._film.close():
            self.written += 1
        self._film = self._recording = None

    def _give_up(self, error: Exception) -> None:
        film, self._film = self._film, None
        path, self._recording = self._recording, None
        if path is not None:
            self.failed = path
        if film is not None:
            film.give_up()
        print(f"{self._camera}: {path or 'clip'} could not be written: {error}", flush=True)


class _Film:
    """A film in H.264 with the times of its frames, a key frame a second; in place when closed."""

    def __init__(self, path: pathlib.Path):
        self.path, self._files = path, contextlib.ExitStack()
        self._stream, self._start, self._last, self._key = None, 0.0, -1, -TICKS
        hidden = self._files.enter_context(replacing.file(path, ending=".tmp.mp4"))
        try:
            options = {"movflags": "+faststart"}
            self._container = av.open(str(hidden), "w", format="mp4", options=options)
        except BaseException:
            self._files.close()
            raise

    def add(self, pixels: np.ndarray, seconds: float) -> None:
        """Adds a frame; one that is not later than the one before is left out."""
        if self._stream is None:
            self._start = seconds
            self._stream = self._container.add_stream("libx264", rate=25)
            even = tuple(side - side % 2 for side in pixels.shape[:2])
            self._stream.height, self._stream.width = even
            self._stream.pix_fmt = "yuv420p"
            self._stream.options = {"preset": "veryfast", "crf": "25", "bf": "0"}
            self._stream.codec_context.time_base = fractions.Fraction(1, TICKS)
        tick = round((seconds - self._start) * TICKS)
        if tick <= self._last:
            return
        height, width = self._stream.height, self._stream.width
        frame = av.VideoFrame.from_ndarray(
            np.ascontiguousarray(pixels[:height, :width]), format="rgb24"
        )
        frame.pts, frame.time_base = tick, fractions.Fraction(1, TICKS)
        if tick - self._key >= TICKS:
            frame.pict_type, self._key = av.video.frame.PictureType.I, tick
        self._last = tick
        self._container.mux(self._stream.encode(frame))

    def close(self) -> bool:
        """Finishes the film; False if it has no frame and is not kept."""
        if self._stream is None:
            self.give_up()
            return False
        self._container.mux(self._stream.encode(None))
        self._container.close()
        self._files.close()
        return True

    def give_up(self) -> None:
        """Leaves no file."""
        with contextlib.suppress(Exception):
            self._container.close()
        error = _Unfinished()
        with contextlib.suppress(_Unfinished, OSError):
            self._files.__exit__(type(error), error, None)


class _Unfinished(Exception):
    """A film that is not kept."""
