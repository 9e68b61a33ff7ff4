"""The page over all videos that a run has scored: `index.html` in the folder of a prediction."""

import pathlib
from collections.abc import Iterator

from vadjax.formats import json_files
from vadjax.predict.restore import Trained
from vadjax.report import events, player
from vadjax.report.events import EventRule
from vadjax.report.footage import extend_command
from vadjax.report.player import About, PageVideo
from vadjax.runtime import provenance, replacing
from vadjax.scores import files
from vadjax.scores.alarm import AlarmLine

PATTERN = {"video": str, "frames": int, "fps": float, "box_size": ([int], None), ...: object}


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
    videos = list(_videos(out))
    # Where the system tells its alarm intervals itself, a video without one is quiet.
    told = any(events.tells(video.scores) for video in videos)
    found = [
        event
        for video in videos
        for event in events.of_video(video.scores, EventRule(line, video.fps, video.size))
        if not told or events.tells(video.scores)
    ]

    def normal_command(video: str, start: int, stop: int) -> str | None:
        path = json_files.read(out / f"{video}.json", PATTERN, nan=True)["video"]
        return extend_command(folder, [f"--video={path}"], start, stop)

    about = About(
        f"{trained.system.config.system} of {folder.resolve().name}: {len(videos):,} videos",
        alarm=line,
        normal_command=normal_command if trained.system.extends else None,
        made=provenance.made_with(),
    )
    # The page beside its place, then the folder and the page that belongs to it.
    with replacing.beside(out / player.FOLDER) as work:
        player.write(work, videos, found, about, home=out)
        text = (work / player.INDEX).read_bytes()
        replacing.put(work / player.FOLDER, out / player.FOLDER)
    replacing.write(out / player.INDEX, text)
    return out / player.INDEX


def _videos(out: pathlib.Path) -> Iterator[PageVideo]:
    """The videos of a prediction; one whose files are damaged is left out, and said."""
    for path in sorted(out.glob("*.json")):
        try:
            summary = json_files.read(path, PATTERN, nan=True)
            scores = files.read(out / "scores" / f"{path.stem}.npz")
            if summary["frames"] != len(scores.frame_scores) or not summary["fps"] > 0:
                raise ValueError(f"{path}: not of the scores beside it; score the video again")
        except (ValueError, OSError) as error:
            print(f"{path.name}: left out of {player.INDEX}: {error}")
            continue
        size, film = summary["box_size"], path.with_suffix(".mp4")
        yield PageVideo(
            scores,
            summary["fps"],
            tuple(size) if size and len(size) == 2 else None,
            film=film if film.is_file() else None,
            film_fps=summary["fps"],
            no_film="There is no film of this video: it was scored with --nofilm.",
        )
