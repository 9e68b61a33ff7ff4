"""A finished run from Python: what `--mode=predict` does, without files (docs/python.md).

`vadjax.load` gives a `LoadedRun`. It scores by the functions of `vadjax.predict.run`, so the scores
of a video file are those that the program writes, bit for bit. It prints the same lines too.
"""

import math
import numbers
import os
import pathlib
from collections.abc import Iterable, Iterator

import ml_collections
import numpy as np

from vadjax.data.video.camera import is_camera, without_login
from vadjax.data.video.pictures import not_for
from vadjax.data.video.reader import Picture, Reading, find_videos, open_frames
from vadjax.formats.names import check_name
from vadjax.predict import cameras
from vadjax.predict import run as predict
from vadjax.predict.restore import Trained, restore, timed
from vadjax.report import events
from vadjax.report.events import Event, EventRule
from vadjax.runtime import compiled
from vadjax.scores.alarm import AlarmLine
from vadjax.scores.files import Scores
from vadjax.scores.streaming import PartialScores

__all__ = ["Event", "LoadedRun", "PartialScores", "Scores", "load"]


class LoadedRun:
    """A finished run that scores video.

    Args:
      folder: its workdir.
      config: as for `restore.restore`; None takes all of the run's.

    Raises:
      FileNotFoundError, ValueError: as `restore.restore` and `alarm.read`.

    Attributes:
      folder: its workdir.
      system: name of its system, such as `"attributes"`.
      fps: frames a second of the video that it was trained on; None if unknown.
      size: (H, W) of the frames in whose pixels boxes are; None for a system without frames.
      alarm: its alarm line (docs/alarms.md); None if it has none.
      live_line: score of `stream` from which a frame is an alarm; None if its system has none.
    """

    folder: pathlib.Path
    system: str
    fps: float | None
    size: tuple[int, int] | None
    alarm: AlarmLine | None
    live_line: float | None

    def __init__(
        self, folder: str | os.PathLike[str], config: ml_collections.ConfigDict | None = None
    ):
        self.folder = pathlib.Path(folder)
        self._trained = trained = restore(config, self.folder)
        self.system, self.size = trained.system.config.system, trained.size
        self.fps = trained.system.frame_rate(trained.data)
        self.alarm = predict.alarm_line(trained, self.folder)
        self.live_line = trained.system.live_line

    def __repr__(self) -> str:
        return f"vadjax.load({str(self.folder)!r})  # {self.system}"

    def score(
        self,
        video: str | os.PathLike[str] | np.ndarray,
        fps: float | None = None,
        *,
        name: str | None = None,
        deinterlace: bool = False,
        strict: bool = False,
    ) -> Scores:
        """Scores a video.

        Args:
          video: a video file, a folder of pictures, or uint8 [T, H, W, 3], RGB.
          fps: frames a second. An array needs it. None takes what a file reports, and for pictures
            that of the training.
          name: of the video; None takes that of the file, and for an array `"video"`.
          deinterlace: make whole frames of an interlaced file, which is refused otherwise.
          strict: a file that is cut short or damaged is an error; else a warning.

        Returns:
          Scores of its T frames, high = anomalous, with their times.

        Raises:
          FileNotFoundError: no such video.
          TypeError: neither a path nor an array, or an array without `fps`.
          ValueError: an array of another shape or type; several videos; a camera; a rate that is
            none; a video that cannot be decoded, that is too short, or that the run cannot score.
        """
        if fps is not None:
            fps = _checked_fps(fps)
        if name is not None:
            check_name(name, "name")
        # An array, of a rate that the caller knows.
        if not isinstance(video, str | os.PathLike):
            frames = _checked_array("video", video, "[T, H, W, 3]")
            if fps is None:
                raise TypeError("fps is missing: an array does not say its frames a second")
            _check_frames(self._trained, "an array", fps)
            rate = predict.Rate(fps, "flag")
            return predict.score(self._trained, name or "video", _ArrayFrames(frames), rate)
        # A file or a folder, read as the program reads it.
        found, path = _one_video(video)
        own = predict.as_trained(self._trained, path, fps, Reading(deinterlace, strict))
        rate = predict.rate_of(self._trained, path, fps, own)
        return predict.score(self._trained, name or found, open_frames(path, own), rate)

    def stream(
        self, frames: Iterable[np.ndarray], fps: float, *, name: str = "stream"
    ) -> Iterator[PartialScores]:
        """Scores frames as they come, each as soon as possible, in constant memory.

        These are the scores of `--live`: they differ from those of `score` where a system smooths
        or scales a whole video. Frames that are too few to be scored have the score NaN.

        Args:
          frames: uint8 [H, W, 3] each, RGB, of one size. They are copied, so that the caller may
            use one buffer for all.
          fps: frames a second.
          name: of the video.

        Returns:
          Scores of the next frames, again and again.

        Raises:
          TypeError: `frames` is no iterable; from iterating: a frame is no array.
          ValueError: a rate that is none, or one that the run cannot score; from iterating: a frame
            of another shape, type or size.
        """
        fps = _checked_fps(fps)
        check_name(name, "name")
        _check_frames(self._trained, "a stream", fps)
        if isinstance(frames, str | os.PathLike) or not isinstance(frames, Iterable):
            raise TypeError(
                f"frames is {type(frames).__name__}; expected arrays uint8 [H, W, 3], RGB, one "
                "after the other. score() takes a file"
            )
        pictures = _pictures(frames)
        return self._trained.parts(name, timed(pictures, fps, trust=False), live=True)

    def events(self, scores: Scores) -> list[Event]:
        """The alarm intervals of a video, in the order of time.

        They go by the alarm line of the run. A run without one has the old rule, which finds an
        interval in every video (docs/camera.md); these have the key `rule`.

        Args:
          scores: of a video, by `score`.

        Raises:
          TypeError: other scores than those of a whole video.
        """
        if not isinstance(scores, Scores):
            raise TypeError(f"scores is {type(scores).__name__}; expected what score() returns")
        return events.of_any_video(scores, EventRule(self.alarm, None, self.size))


def load(
    folder: str | os.PathLike[str], config: ml_collections.ConfigDict | None = None
) -> LoadedRun:
    """The finished run in a folder, ready to score video.

    Args:
      folder: its workdir, such as `"runs/door"`.
      config: only where a field is to differ from the run's, as `--config` of `--mode=predict`:
        such as `features.weights` of a system that learns from features. None takes all of the
        run's, and needs no more for a system of vadjax.

    Raises:
      FileNotFoundError: no finished run there.
      ValueError: a run of another system than `config`, of one that scores no videos, or one whose
        files are damaged.
    """
    compiled.use()
    return LoadedRun(folder, config)


class _ArrayFrames(Iterable[Picture]):
    """The frames of an array uint8 [T, H, W, 3], as those of a file."""

    def __init__(self, frames: np.ndarray):
        self._frames = frames

    def __len__(self) -> int:
        return len(self._frames)

    def __iter__(self) -> Iterator[Picture]:
        return _pictures(self._frames)


def _pictures(frames: Iterable[np.ndarray]) -> Iterator[Picture]:
    """Copies of the frames, each checked."""
    for number, frame in enumerate(frames):
        pixels = _checked_array(f"frame {number}", frame, "[H, W, 3]")
        yield Picture(np.array(pixels, order="C"), f"frame {number}")


def _checked_array(what: str, array: object, shape: str) -> np.ndarray:
    """The array, if it is uint8 of a shape such as `[H, W, 3]`.

    Raises:
      TypeError: no array.
      ValueError: an array of another type or shape.
    """
    if not isinstance(array, np.ndarray):
        paths = "a path, or " if what == "video" else ""
        raise TypeError(
            f"{what} is {type(array).__name__}; expected {paths}a NumPy array uint8 {shape}, RGB "
            "(numpy.asarray makes one of other arrays)"
        )
    fits = array.ndim == shape.count(",") + 1 and array.shape[-1] == 3 and array.size
    if array.dtype != np.uint8 or not fits:
        raise ValueError(
            f"{what} is {array.dtype} {list(array.shape)}; expected uint8 {shape}, RGB, of values "
            "from 0 to 255. Convert it first"
        )
    return array


def _checked_fps(fps: float) -> float:
    """The frames a second as a float; raises ValueError if they are no such number."""
    is_number = isinstance(fps, numbers.Real) and not isinstance(fps, bool)
    if not is_number or not 0 < fps < math.inf:
        raise ValueError(f"fps is {fps!r:.40}; expected a number more than 0, and finite")
    return float(fps)


def _check_frames(trained: Trained, what: str, fps: float) -> None:
    """Raises ValueError if frames of 8 bits at a rate are not what the run was trained on."""
    if trained.levels:
        raise ValueError(not_for(what, trained.levels))
    rate = cameras.trained_rate(trained)
    if rate is not None and fps != rate:
        raise ValueError(
            f"fps is {fps:g}, but the run was trained on video that was resampled to {rate:g} "
            "frames a second. Give the video file, which is resampled, or frames at that rate"
        )


def _one_video(where: str | os.PathLike[str]) -> tuple[str, pathlib.Path]:
    """Name and path of the only video at a path.

    Raises:
      FileNotFoundError: nothing there.
      ValueError: several videos, none, or a camera.
    """
    text = os.fspath(where)
    if is_camera(text):
        raise ValueError(
            f"{without_login(text)} is a camera; give its frames to stream(), or watch it with "
            "--mode=predict --live"
        )
    videos = predict.named_videos(find_videos(where))
    if len(videos) > 1:
        raise ValueError(f"{text} holds {len(videos):,} videos; give one of them")
    return next(iter(videos.items()))
