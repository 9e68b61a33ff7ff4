"""Watches cameras: one in this thread, or several, each in a thread of its own."""

import contextlib
import pathlib
import re
import threading
from collections.abc import Iterable, Iterator, Mapping

import cv2
import ml_collections

from vadjax.data.video.camera import is_camera, without_login
from vadjax.data.video.pictures import not_for
from vadjax.data.video.reader import Picture, Reading, open_frames
from vadjax.data.video.reconnecting import ReconnectingCamera
from vadjax.live.options import LiveOptions
from vadjax.live.session import LiveSession
from vadjax.predict import live
from vadjax.predict.restore import Trained, restore
from vadjax.predict.turns import Turns

DEFAULT_FPS = 25.0  # of video that reports none
MOST_DIGITS = 3  # of a number in the path of an address that is in the name of its camera
STOPPING = 60.0  # seconds for all cameras to be released, and their last frames to be scored


def name_of(video: str) -> str:
    """Name of a camera that was given none.

    Of an address it has the host, the port and numbers such as that of a channel, but nothing that
    may be a password: the name is in file names and alerts.
    """
    scheme, colon, rest = video.partition("://")
    if colon and scheme.lower() != "file":
        host, *path = re.split("[/?#]", rest.rpartition("@")[2])
        numbers = [part for part in path if part.isdecimal() and len(part) <= MOST_DIGITS]
        video = "_".join([scheme, host, *numbers])
    return "camera_" + re.sub(r"\W+", "_", video).strip("_")


def session(
    trained: Trained, options: LiveOptions, names: Iterable[str], out: pathlib.Path
) -> LiveSession:
    """What watches the cameras of these names with a run."""
    system = trained.system
    return LiveSession(options, tuple(names), out, system.live_line, trained.size, system.classes)


def watch_one(
    config: ml_collections.ConfigDict,
    folder: pathlib.Path,
    video: str,
    out: pathlib.Path,
    name: str,
    options: LiveOptions,
    deinterlace: bool = False,
) -> dict[str, str]:
    """Watches a camera until it ends; its name and why it ended, or nothing if it was stopped.

    Raises:
      ValueError: it cannot be opened, or has pictures that the run cannot score.
    """
    with ReconnectingCamera(video, name, deinterlace) as source:
        trained = restore(config, folder)
        _check_levels(trained, video)
        _say_rate(trained, name)
        with session(trained, options, [name], out) as watching:
            # The camera is open and waits, so that its first frames are not lost to the compiler.
            live.warm_up(trained, name)
            observer = watching.observe(name, source.live)
            count = live.watch(trained, name, source, DEFAULT_FPS, out, observer=observer)
    if not source.ended:
        return {}
    print(f"Camera {without_login(video)} {source.ended} after {count:,} frames.")
    return {name: source.ended}


def watch_several(
    config: ml_collections.ConfigDict,
    folder: str | pathlib.Path,
    sources: Mapping[str, str],
    out: str | pathlib.Path | None = None,
    options: LiveOptions = LiveOptions(),  # noqa: B008 (immutable)
    reading: Reading = Reading(),  # noqa: B008 (immutable)
) -> dict[str, str]:
    """Watches several cameras or video files at once, until all have ended.

    One of them is scored at a time, frame by frame in turn. A camera that cannot be opened is
    tried again and again, and one that fails does not end the others.

    Args:
      config: as for `restore`.
      folder: workdir of the run.
      sources: name → number or address of a camera, or path of a video file.
      out: where to write; `folder/predict` if None.
      options: what is done with events.
      reading: how files are read.

    Returns:
      Name and reason of those that ended other than at the end of a file.

    Raises:
      FileNotFoundError: no finished run.
      ValueError: nothing can be scored, or options that cannot be.
    """
    folder = pathlib.Path(folder)
    out = pathlib.Path(out or folder / "predict")
    trained = restore(config, folder)
    # What can never be watched is said before anything runs.
    for name, source in sources.items():
        if is_camera(source):
            _check_levels(trained, source)
        elif not pathlib.Path(source).is_file():
            raise ValueError(f"--live {name}={source}: no such file, and no camera's address")
        elif trained_rate(trained):
            raise ValueError(
                f"--live {name}={source}: the run was trained on resampled video; give this file "
                "alone, with --video"
            )
    _say_rate(trained, ", ".join(sources))
    live.warm_up(trained, next(iter(sources)))
    # A thread for each camera; they score in turn, and all of them use the one session.
    turns, failed = Turns(), {}
    with session(trained, options, sources, out) as watching:
        threads = [
            _Watcher(trained, name, source, out, watching, turns, reading, failed)
            for name, source in sources.items()
        ]
        # Until all have ended; this thread waits in short steps, so that signals come through.
        try:
            for thread in threads:
                thread.start()
            while any(thread.is_alive() for thread in threads):
                for thread in threads:
                    thread.join(0.1)
        finally:
            # All are told first, so that they end at the same time.
            for thread in threads:
                thread.stop()
            for thread in threads:
                thread.join(STOPPING)
    return failed


class _Watcher(threading.Thread):
    """Watches one of several cameras; `failed` gets why it ended."""

    def __init__(
        self,
        trained: Trained,
        name: str,
        source: str,
        out: pathlib.Path,
        watching: LiveSession,
        turns: Turns,
        reading: Reading,
        failed: dict[str, str],
    ):
        super().__init__(daemon=True, name=f"camera {name}")
        self._trained, self._camera, self._source, self._out = trained, name, source, out
        self._watching, self._turns, self._reading, self._failed = watching, turns, reading, failed
        self._stopped, self._open = threading.Event(), None

    def run(self) -> None:
        """Watches until the end, or until `stop`."""
        try:
            self._watch()
        except (ValueError, OSError, cv2.error) as error:
            self._failed[self._camera] = without_login(str(error).strip())
            print(f"{self._camera}: {self._failed[self._camera]}", flush=True)
        except BaseException as error:  # SystemExit too, of which nothing would be said
            self._failed[self._camera] = f"{type(error).__name__}: {error}"
            raise

    def stop(self) -> None:
        """No further frame is read."""
        self._stopped.set()
        if self._open is not None:
            self._open.close()

    def _watch(self) -> None:
        name, options = self._camera, {"tell_name": True, "turns": self._turns}
        if is_camera(self._source):
            deinterlace = self._reading.deinterlace
            self._open = ReconnectingCamera(self._source, name, deinterlace, patient=True)
            with self._open as source:
                if self._stopped.is_set():
                    return
                options["observer"] = self._watching.observe(name, source.live)
                live.watch(self._trained, name, source, DEFAULT_FPS, self._out, **options)
            if source.ended:
                self._failed[name] = source.ended
                print(f"{name}: the camera {source.ended}", flush=True)
        else:
            frames = open_frames(pathlib.Path(self._source), self._reading)
            fps = frames.fps or DEFAULT_FPS
            options["observer"] = self._watching.observe(name, live=False)
            live.watch(self._trained, name, self._until(frames), fps, self._out, **options)

    def _until(self, frames: Iterable[Picture]) -> Iterator[Picture]:
        """The frames of a file, until `stop`."""
        with contextlib.closing(iter(frames)) as pictures:
            for picture in pictures:
                if self._stopped.is_set():
                    return
                yield picture


def trained_rate(trained: Trained) -> float | None:
    """Frames a second to which the video of the training was resampled; None if it was not."""
    # A dataset of features says under `extraction` how they were made, one of frames directly.
    described = trained.data.manifest.get("extraction") or trained.data.manifest
    return described.get("resample_fps")


def _say_rate(trained: Trained, name: str) -> None:
    if rate := trained_rate(trained):
        print(f"{name}: frames as they come; the run was trained on {rate:g} a second")


def _check_levels(trained: Trained, video: str) -> None:
    """Raises ValueError if the run was trained on 16-bit pictures, which no camera gives."""
    if trained.levels:
        raise ValueError(not_for(f"camera {without_login(video)}", trained.levels))
