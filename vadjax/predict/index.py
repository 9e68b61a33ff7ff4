"""The page over all videos that a run has scored: `index.html` in the folder of a prediction."""

import functools
import pathlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from vadjax.formats import json_files
from vadjax.predict import kept
from vadjax.predict.restore import Trained
from vadjax.report import events, player
from vadjax.report.events import EventRule
from vadjax.report.footage import extend_command
from vadjax.report.player import About, PageVideo
from vadjax.runtime import provenance, replacing
from vadjax.scores import files
from vadjax.scores.alarm import AlarmLine

PATTERN = {
    "video": str,
    "frames": int,
    "fps": float,
    "box_size": ([int], None),
    "files?": dict,
    ...: object,
}


def write(
    trained: Trained, folder: pathlib.Path, out: pathlib.Path, line: AlarmLine | None
) -> pathlib.Path:
    """Writes the page over all videos that have been scored to a folder, this time or before.

    Args:
      trained: the run.
      folder: its workdir.
      out: folder of the prediction, with `NAME.json` and `scores/NAME.npz` of every video.
      line: alarm line of the run; None if it has none.

    Returns:
      Path of the page.

    Raises:
      vadjax.runtime.space.NotWritten: the disk is full, or cannot be written.
    """
    # File by file: of each video only what the order, the line and the list of events need.
    found = [one for path in sorted(out.glob("*.json")) if (one := _of_file(path, line))]
    paths = {one.page.scores.video: one.path for one in found}
    # Where the system tells its alarm intervals itself, a video without one is quiet.
    told = any(one.tells for one in found)
    alarms = [event for one in found if one.tells or not told for event in one.events]

    def normal_command(video: str, start: int, stop: int) -> str | None:
        return extend_command(folder, [f"--video={paths[video]}"], start, stop)

    about = About(
        f"{trained.system.config.system} of {folder.resolve().name}: {len(found):,} videos",
        alarm=line,
        normal_command=normal_command if trained.system.extends else None,
        made=provenance.made_with(),
    )
    # The page beside its place, then the folder and the page that belongs to it.
    with replacing.beside(out / player.FOLDER) as work:
        player.write(work, [one.page for one in found], alarms, about, home=out)
        text = (work / player.INDEX).read_bytes()
        replacing.put(work / player.FOLDER, out / player.FOLDER)
    replacing.write(out / player.INDEX, text)
    return out / player.INDEX


class _Predicted(NamedTuple):
    """What the page needs of a video.

    Attributes:
      page: the video, whose boxes and maps are read when they are shown.
      path: of its file, or of the folder of its frames.
      tells: whether the system told its alarm intervals.
      events: these, without their boxes, which the page takes from the scores.
    """

    page: PageVideo
    path: str
    tells: bool
    events: Sequence[Mapping]


def _of_file(path: pathlib.Path, line: AlarmLine | None) -> _Predicted | None:
    """The video of a `NAME.json`; one whose files are damaged is left out, and said."""
    try:
        summary = json_files.read(path, PATTERN, nan=True)
        read = functools.partial(files.read, path.parent / "scores" / f"{path.stem}.npz")
        scores = read()
        if summary["frames"] != len(scores.frame_scores) or not summary["fps"] > 0:
            raise ValueError(f"{path}: not of the scores beside it; score the video again")
    except (ValueError, OSError) as error:
        print(f"{path.name}: left out of {player.INDEX}: {error}")
        return None
    # What the page says of it, and its events without the boxes of every frame
    size, fps = summary["box_size"], summary["fps"]
    page = PageVideo(
        player.outline(scores),
        fps,
        tuple(size) if size and len(size) == 2 else None,
        film=kept.film_of(summary, path),
        film_fps=fps,
        no_film="There is no film of this video: it was scored with --nofilm.",
        read=read,
    )
    found = events.of_video(scores, EventRule(line, fps, page.size))
    bare = [event | {"boxes": []} for event in found]
    return _Predicted(page, summary["video"], events.tells(scores), bare)
