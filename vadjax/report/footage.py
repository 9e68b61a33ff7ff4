"""The frames behind a report, and the films of them that its page plays."""

import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from vadjax.report import film, overlay, player
from vadjax.report.overlay import FrameSource
from vadjax.report.player import PageVideo
from vadjax.runtime import space
from vadjax.scores.alarm import AlarmLine
from vadjax.scores.files import Scores

FOLDER = "films"
LEFT_OUT = "There is no film of this video: films are left out of this report."
NO_FRAMES = "There is no film of this video: its frames are not at hand."


class Footage(NamedTuple):
    """What a report can show beside scores.

    Attributes:
      frames: frames of the videos by their names; those that are missing have no film.
      fps: frames a second; None if unknown.
      films: whether to write films.
      alarm: the alarm line of the run; None if it has none.
      normal_command: as of `player.About`.
    """

    frames: Mapping[str, FrameSource] = {}
    fps: float | None = None
    films: bool = True
    alarm: AlarmLine | None = None
    normal_command: Callable[[str, int, int], str] | None = None


def prepare(work: pathlib.Path, videos: Sequence[Scores], footage: Footage) -> list[PageVideo]:
    """Writes the films of a report to `work/films/`, and returns its videos.

    The highest-scoring videos come first. When the films have `film.BYTES` together, the others
    get none, and the page says so.

    Raises:
      ValueError: a video has another number of frames than of scores.
      vadjax.runtime.space.NotWritten: the disk is full, or cannot be written.
    """
    left, prepared = film.BYTES, []
    lacking = film.lacks()
    for video in sorted(videos, key=lambda one: -player.highest(one)):
        source, path = footage.frames.get(video.video), None
        if source is None:
            why = NO_FRAMES
        elif not footage.films:
            why = LEFT_OUT
        elif lacking or left <= 0:
            why = lacking or (
                f"There is no film of this video: those of higher-scoring videos have the "
                f"{space.size(film.BYTES)} that the films of a report may have."
            )
        else:
            overlay.check_source(video, source)
            path = work / FOLDER / f"{video.video}.mp4"
            film.write(source, path, footage.fps or player.FILM_FPS, f"film {video.video}")
            left, why = left - path.stat().st_size, ""
        prepared.append(_page_video(video, source, footage, path, why))
    return prepared


def _page_video(
    video: Scores,
    source: FrameSource | None,
    footage: Footage,
    path: pathlib.Path | None,
    no_film: str,
) -> PageVideo:
    """A video of the page; frames that can be read in any order serve for its thumbnails."""
    frames = source.frames if source and hasattr(source.frames, "__getitem__") else None
    size = source and source.size
    if source and size is None and frames is not None and video.boxes is not None:
        size = frames[0].shape[:2]
    rate = footage.fps or player.FILM_FPS
    return PageVideo(video, footage.fps, size, frames, path, rate, no_film)
