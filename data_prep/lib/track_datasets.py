"""Tracks of everything that moves, as text → a dataset of tracks (`vadjax.data.tracks`)."""

import argparse
import pathlib
from collections.abc import Mapping

import numpy as np

from vadjax.data.store import builder
from vadjax.data.store.track_writer import VideoTracks, write_tracks
from vadjax.formats import labels as label_files
from vadjax.formats.boxes import read_files
from vadjax.formats.columns import ASSUMED, GIVEN, Layout, delimiter
from vadjax.formats.files import TEXT, list_files
from vadjax.formats.text import note, read_lines

from . import command

MOT = ("frame", "track", "x", "y", "w", "h")  # of MOTChallenge; what follows is not read
MOST_MORE = 4  # columns of MOTChallenge that follow
FLAGS = ("--columns", "--first_frame")


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of `python -m data_prep.tracks dataset`."""
    add = parser.add_argument
    add("--train", type=pathlib.Path, required=True, help="folder of normal videos' tracks")
    add("--test", type=pathlib.Path, help="folder of the other videos' tracks")
    add("--labels", type=pathlib.Path, help="of the frames of the test videos")
    add("--size", type=command.parse_size, required=True, metavar="HxW", help="of the frames")
    add("--fps", type=float, help="frames a second (the attributes system takes 10 without it)")
    add("--name", default="tracks", help="of the dataset, shown in reports (tracks)")
    add(
        "--columns",
        type=command.parse_columns,
        metavar="NAMES",
        help=f"in their order ({','.join(MOT)} and up to {MOST_MORE} more)",
    )
    add("--first_frame", type=int, default=1, help="number of the first frame (1)")
    add("--drop_degenerate", action="store_true", help="leave out empty boxes")
    command.add_output_flags(parser)


def prepare(args: argparse.Namespace) -> None:
    """Reads the tracks that the command line asks for, writes the dataset and prints its counts."""
    builder.check_target(args.out, args.format, args.shards)
    if args.labels and not args.test:
        raise ValueError("--labels are of the test videos; give --test too")
    labels = label_files.read_labels(args.labels) if args.labels else {}
    folders = {"train": args.train} | ({"test": args.test} if args.test else {})
    options = (args.columns, args.first_frame, args.drop_degenerate)
    splits = {
        split: read_videos(folder, labels, args.size, *options) for split, folder in folders.items()
    }
    _check_labels(args.labels, labels, splits)
    manifest = write_tracks(
        args.out,
        splits,
        name=args.name,
        size=args.size,
        fps=args.fps,
        file_format=args.format,
        shards=args.shards,
    )
    command.print_summary(args.out, manifest)


def read_videos(
    folder: pathlib.Path,
    labels: Mapping[str, np.ndarray],
    size: tuple[int, int],
    columns: tuple[str, ...] | None = None,
    first_frame: int = 1,
    drop_degenerate: bool = False,
) -> list[VideoTracks]:
    """The tracks of all videos of a folder, sorted by name.

    Args:
      folder: of one file a video.
      labels: video → labels of its frames, where they are known.
      size: (H, W) of the frames.
      columns: what the columns hold, in order; None: a heading says it, or MOTChallenge.
      first_frame: number that the files give to the first frame.
      drop_degenerate: leave out boxes without a pixel inside.

    Raises:
      FileNotFoundError, ValueError: no such files, or a line that cannot be used.
    """
    paths = list_files(folder, TEXT)
    named = columns or _columns(paths)
    layout = Layout(named, "track", first_frame, GIVEN if columns else ASSUMED, FLAGS)
    frames = {name: len(labels[name]) for name in paths if name in labels}
    found = read_files(paths, layout, frames, drop_degenerate, size)
    videos = []
    for name in sorted(paths):
        track, frame, *corners = found[name].T
        x0, y0, x1, y1 = corners[0], corners[1], corners[2] + 1, corners[3] + 1
        rows = np.stack([frame, track, x0, y0, x1, y1], 1)
        rows = rows[np.lexsort((track, frame))]
        last = int(frame.max(initial=0)) + 1
        videos.append(VideoTracks(name, frames.get(name, last), rows, labels.get(name)))
    if unknown := [video for video in videos if video.name not in frames]:
        note(
            f"{folder}: the numbers of frames of {len(unknown):,} videos are not known; each is "
            "taken to end with its last box"
        )
    return videos


def _columns(paths: Mapping[str, pathlib.Path]) -> tuple[str, ...]:
    """The columns of MOTChallenge, as many as the files have."""
    for path in paths.values():
        for line in read_lines(path)[:1]:
            more = len(line.text.split(delimiter(line.text))) - len(MOT)
            if not 0 <= more <= MOST_MORE:
                raise ValueError(
                    f"{path}:{line.number}: {more + len(MOT)} columns; expected {','.join(MOT)} "
                    f"and up to {MOST_MORE} more. Name them in their order with {FLAGS[0]}, - for "
                    "one to pass over"
                )
            return (*MOT, *("-" * more))
    return MOT


def _check_labels(
    path: pathlib.Path | None,
    labels: Mapping[str, np.ndarray],
    splits: Mapping[str, list[VideoTracks]],
) -> None:
    """Both sides of the comparison are counted: test videos, and videos with labels.

    Raises:
      ValueError: a test video has no labels, or there are labels of a video that is not there.
    """
    names = {split: {video.name for video in videos} for split, videos in splits.items()}
    if path is None:
        return
    missing = sorted(names["test"] - set(labels))
    extra = sorted(set(labels) - names["test"] - names["train"])
    if missing or extra:
        sides = [f"no labels for {', '.join(missing[:5])}"] if missing else []
        sides += [f"labels for {', '.join(extra[:5])}, not among the videos"] if extra else []
        raise ValueError(
            f"{path}: of {len(names['test']):,} test videos {len(names['test']) - len(missing):,} "
            f"have labels: {' and '.join(sides)}"
        )
    if anomalous := [video.name for video in splits["train"] if np.any(video.labels)]:
        raise ValueError(
            f"{path}: {len(anomalous):,} training videos have anomalous frames, the first "
            f"{anomalous[0]}; training videos are normal ones"
        )
