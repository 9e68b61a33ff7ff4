"""A camera that is opened again whenever it drops."""

import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from vadjax.data.video.camera import Camera, without_login
from vadjax.data.video.reader import Picture, resize

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0  # seconds between attempts; each is twice the one before
STRETCH = 0.01  # difference of the aspects of two sizes from which pictures are stretched
LEAST = 0.001  # seconds from the last frame before an interruption to the first one after it


class ReconnectingCamera(Iterable[Picture]):
    """The frames of a camera or stream, across its interruptions, until `close`.

    After an interruption the first frame counts one frame as missing, because it is unknown how
    many were: scoring begins anew there. Only frames that the camera has sent since are given, so
    none comes twice. Times go on by the clock. If a live camera sends another size of frames, they
    are resized to that of the first, and scoring begins anew there too. A stream with an end is not
    opened again at its end.

    Args:
      name: number or address, as for `Camera`.
      shown: what messages call it.
      deinterlace: as for `Camera`.
      patient: whether a camera that cannot be opened at first, or whose first frames cannot be
        decoded, is tried again and again too.
      first_pause: seconds before the second attempt.
      make: what opens it.

    Raises:
      ValueError: it cannot be opened at first, and is not `patient`; while iterating: its first
        frames cannot be decoded, and it is not.

    Attributes:
      name: as above.
      ended: why there are no more frames; empty while there are, or if the program stopped.
      live: whether its frames come when they are filmed.
      interruptions: how often it has dropped and come back.
      connected: whether it is open now.
    """

    def __init__(
        self,
        name: str,
        shown: str,
        deinterlace: bool = False,
        patient: bool = False,
        first_pause: float = FIRST_PAUSE,
        make: Callable[[str, bool], Camera] = Camera,
    ):
        self.name, self.ended, self.live = name, "", True
        self.interruptions, self.connected = 0, False
        self._shown, self._deinterlace, self._make = shown, deinterlace, make
        self._patient = patient
        self._first_pause = self._pause = first_pause
        self._attempts = 0  # since the last frame
        self._stopped = threading.Event()
        self._camera: Camera | None = None
        self._sizes: tuple[tuple[int, int], tuple[int, int]] | None = None  # first and last frame
        try:
            self._take(make(name, deinterlace))
        except ValueError as error:
            if not patient:
                raise
            print(f"{shown}: {without_login(str(error))}; trying again", flush=True)

    def __enter__(self) -> "ReconnectingCamera":
        return self

    def __exit__(self, *error) -> None:
        self.close()

    def __iter__(self) -> Iterator[Picture]:
        return (picture for picture in self.with_drops() if picture is not None)

    def with_drops(self) -> Iterator[Picture | None]:
        """The frames, and None as soon as the camera is gone for an unknown time."""
        start: float | None = None
        count, last = 0, -LEAST
        while not self._stopped.is_set():
            if self._camera is None and not self._open_again():
                break
            # Times of this connection, as seconds since the first frame of all.
            shift, missing = None, int(count > 0)
            try:
                for picture in self._camera:
                    now = time.monotonic()
                    start = now if start is None else start
                    if shift is None:
                        shift = max(now - start, last + LEAST) - picture.time
                    at = picture.time + shift if self.live else picture.time
                    pixels, changed = self._fitted(picture.pixels)
                    missing, lost = 0, picture.missing + max(missing, int(changed))
                    source, last = f"{without_login(self.name)}#{count}", at
                    self._pause, self._attempts = self._first_pause, 0
                    picture = picture._replace(pixels=pixels, source=source)
                    yield picture._replace(time=at, missing=lost)
                    count += 1
            except ValueError as error:
                if not count and not self._patient:
                    raise
                reason = without_login(str(error))
            else:
                reason = self._camera.ended
            live, self._camera, self.connected = self.live, None, False
            if self._stopped.is_set():
                break
            if not live:
                self.ended = reason
                break
            self._say(f"the camera {reason}; connecting again")
            yield None
        self.close()

    def close(self) -> None:
        """Releases the camera; iterating then ends."""
        self._stopped.set()
        camera = self._camera
        if camera is not None:
            camera.close()

    def _fitted(self, pixels: np.ndarray) -> tuple[np.ndarray, bool]:
        """A frame in the size of the first one, and whether the size has just changed."""
        size = pixels.shape[:2]
        first, before = self._sizes or (size, size)
        self._sizes = (first, size)
        if not self.live:
            return pixels, False
        if size == before:
            return resize(pixels, first), False
        told = ""
        if size != first:
            told = f"; they are resized to {first[0]} × {first[1]}, as at first"
        if abs(math.log(size[0] * first[1] / (size[1] * first[0]))) > STRETCH:
            told += ", which stretches them, so that scores are wrong: set the camera as it was"
        print(f"{self._shown}: frames are {size[0]} × {size[1]} now{told}", flush=True)
        return resize(pixels, first), True

    def _take(self, camera: Camera) -> None:
        self._camera, self.live, self.connected = camera, camera.live, True
        if self._stopped.is_set():
            camera.close()

    def _open_again(self) -> bool:
        """Tries until the camera is open; False if the program stops."""
        start = time.monotonic()
        while not self._stopped.wait(self._pause):
            # A camera that opens and gives no frame is no success: the next pause is longer too.
            self._pause = min(2 * self._pause, LONGEST_PAUSE)
            try:
                self._take(self._make(self.name, self._deinterlace))
            except ValueError as error:
                self._say(f"attempt {self._attempts + 1}: {without_login(str(error))}")
                self._attempts += 1
                continue
            self.interruptions += 1
            self._say(f"the camera is back after {time.monotonic() - start:.0f} s")
            self._attempts += 1
            return True
        return False

    def _say(self, text: str) -> None:
        """Prints a line; of attempts without a frame between them only for some (1, 2, 4, 8)."""
        if self._attempts & (self._attempts + 1) == 0:
            print(f"{self._shown}: {text}", flush=True)
