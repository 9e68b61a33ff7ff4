"""Writes snapshots of events in a thread of its own, and removes what is too old."""

import pathlib
import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import cv2
import numpy as np

from vadjax.live.pictures import to_jpeg, with_boxes
from vadjax.runtime import replacing

MOST_WAITING = 16  # snapshots; a further event goes without one
EVERY = 3600.0  # seconds between two looks for old files
DAY = 86_400.0  # seconds
LAST = 10.0  # seconds for what waits when the program ends
ENDINGS = (".jpg", ".mp4", ".tmp")


class Snapshot(NamedTuple):
    """A picture to be written.

    Attributes:
      path: of the file.
      pixels: uint8 [H, W, 3], RGB.
      boxes: rows x0, y0, x1, y1 that are drawn.
      size: (H, W) of the frames that the boxes are in; None for that of the pixels.
    """

    path: pathlib.Path
    pixels: np.ndarray
    boxes: Sequence[Sequence[float]]
    size: tuple[int, int] | None


class SnapshotWriter(threading.Thread):
    """Writes snapshots one after the other.

    Args:
      name: of the camera, for messages.
      folder: of its snapshots and clips.
      keep_days: days after which files of the folder are removed; None keeps them.
    """

    def __init__(self, name: str, folder: pathlib.Path, keep_days: float | None = None):
        super().__init__(daemon=True, name=f"snapshots of {name}")
        self._camera, self._folder, self._keep_days = name, folder, keep_days
        self._jobs: queue.Queue = queue.Queue(MOST_WAITING)
        self.start()

    def put(self, snapshot: Snapshot | None, then: Callable[[pathlib.Path | None], None]) -> None:
        """Writes a snapshot, and calls `then` with its path, or None if there is none.

        Returns at once. If too many wait, `then` is called at once.
        """
        try:
            self._jobs.put_nowait((snapshot, then))
        except queue.Full:
            print(f"{self._camera}: {MOST_WAITING} snapshots wait; an event has none", flush=True)
            then(None)

    def run(self) -> None:
        """Writes until `close`."""
        looked = -EVERY
        while True:
            if self._keep_days is not None and time.monotonic() - looked >= EVERY:
                looked = time.monotonic()
                self._remove_old()
            try:
                job = self._jobs.get(timeout=EVERY)
            except queue.Empty:
                continue
            if job is None:
                return
            snapshot, then = job
            then(self._write(snapshot) if snapshot is not None else None)

    def close(self, patience: float = LAST) -> None:
        """Writes what waits, for `patience` seconds at most."""
        end = time.monotonic() + patience
        try:
            self._jobs.put(None, timeout=patience)
        except queue.Full:
            return
        self.join(max(0.0, end - time.monotonic()))

    def _write(self, snapshot: Snapshot) -> pathlib.Path | None:
        try:
            picture = with_boxes(snapshot.pixels, snapshot.boxes, snapshot.size)
            replacing.write(snapshot.path, to_jpeg(picture))
        except (OSError, ValueError, cv2.error) as error:  # the alert goes without it
            print(f"{self._camera}: {snapshot.path} could not be written: {error}", flush=True)
            return None
        return snapshot.path

    def _remove_old(self) -> None:
        try:
            count = remove_old(self._folder, time.time() - self._keep_days * DAY)
        except OSError as error:
            print(f"{self._camera}: old files could not be removed: {error}", flush=True)
            return
        if count:
            print(
                f"{self._camera}: {count:,} snapshots and clips older than {self._keep_days:g} "
                "days removed",
                flush=True,
            )


def remove_old(folder: pathlib.Path, before: float) -> int:
    """Removes the snapshots and clips of a folder that were last written before a time.

    Args:
      folder: of one camera; need not be there.
      before: seconds since 1970.

    Returns:
      How many were removed.
    """
    if not folder.is_dir() or folder.is_symlink():
        return 0
    count = 0
    for path in folder.iterdir():
        if path.suffix in ENDINGS and path.is_file() and not path.is_symlink():
            if path.stat().st_mtime < before:
                path.unlink(missing_ok=True)
                count += 1
    return count
