"""The frames behind a report, and the films of them that its page plays."""

import pathlib
import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from vadjax.report import events, film, overlay, player
from vadjax.report.events import EventRule
from vadjax.report.overlay import FrameSource
from vadjax.report.player import PageVideo
from vadjax.runtime import provenance, space
from vadjax.scores.files import Scores

FOLDER = "films"
LEFT_OUT = "There is no film of this video: films are left out of this report."
NO_FRAMES = "There is no film of this video: its frames are not at hand."


class Footage(NamedTuple):
    """What a report can show beside scores.

    Attributes:
      frames: frames of the videos by their names; those that are missing have no film.
      films: whether to write films.
      normal_command: as of `player.About`.
    """

    frames: Mapping[str, FrameSource] = {}
    films: bool = True
    normal_command: Callable[[str, int, int], str | None] | None = None


NO_FOOTAGE = Footage()


def extend_command(
    workdir: pathlib.Path, source: Sequence[str], start: int, stop: int
) -> str | None:
    """The command that adds frames `[start, stop)` of a video to what a run knows as normal.

    The config is that of the command that runs now, or of one that the run was made with; None if
    no command names any.

    Args:
      workdir: of the run.
      source: flags that name the video.
      start: first frame.
      stop: one past the last.
    """
    config = provenance.config_named(workdir)
    if config is None:
        return None
    return shlex.join(
        [
            *("python", "-m", "vadjax.main", f"--config={config}", f"--workdir={workdir}"),
            *("--mode=extend", *source, f"--frames={start}:{stop}", f"--out={workdir}_extended"),
        ]
    )


def prepare(
    work: pathlib.Path, videos: Sequence[Scores], rule: EventRule, footage: Footage
) -> list[PageVideo]:
    """Writes the films of a report to `work/films/`, and returns its videos.

    The highest-scoring videos come first. When the films have `film.BYTES` together, the others
    get none, and the page says so.

    Raises:
      ValueError: a video has another number of frames than of scores.
      vadjax.runtime.space.NotWritten: the disk is full, or cannot be written.
    """
    # The highest-scoring first, while there is room
    left, prepared = film.BYTES, []
    lacking = film.lacks()
    for video in sorted(videos, key=lambda one: -player.highest(one)):
        fps = _rate(video, rule)
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
            film.write(source, path, fps or player.FILM_FPS, f"film {video.video}")
            left, why = left - path.stat().st_size, ""
        prepared.append(_page_video(video, source, fps, path, why))
    return prepared


def _rate(video: Scores, rule: EventRule) -> float | None:
    """Frames a second of a video; None if neither it nor the rule knows them."""
    if video.times is None and rule.fps is None:
        return None
    return events.frames_a_second(video, rule)


def _page_video(
    video: Scores,
    source: FrameSource | None,
    fps: float | None,
    path: pathlib.Path | None,
    no_film: str,
) -> PageVideo:
    """A video of the page; frames that can be read in any order serve for its thumbnails."""
    frames = source.frames if source and hasattr(source.frames, "__getitem__") else None
    size = source and source.size
    if source and size is None and frames is not None and video.boxes is not None:
        size = frames[0].shape[:2]
    rate = fps or player.FILM_FPS
    return PageVideo(video, fps, size, frames, path, rate, no_film)
