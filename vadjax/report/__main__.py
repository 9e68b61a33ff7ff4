"""Builds the report of a folder of score files, from any program.

python -m vadjax.report SCORES_DIR [--out REPORT_DIR] [--labels FILE] [--allow_missing]
    [--expansion RULE] [--videos 12] [--windows 4] [--reasons 6]
    [--frames DATASET] [--split test] [--fps 25] [--nofilm]

Score files without labels give a report without figures. With `--frames` the page plays the videos
of a prepared dataset of frames, whose names are those of the score files. The alarm line of the run
that the folder lies in is used, if it has one.
"""

import argparse
import pathlib

from vadjax.metrics import frame
from vadjax.report import page, table
from vadjax.report.events import EventRule
from vadjax.report.footage import Footage
from vadjax.report.overlay import FrameSource
from vadjax.runtime import command
from vadjax.scores import alarm, files


def run(args: argparse.Namespace) -> tuple[pathlib.Path, dict]:
    """Reads, measures and draws; returns the path of the page, and the summary it shows."""
    videos = files.read_folder(args.scores, args.expansion)
    unlabelled = args.labels is None and all(video.labels is None for video in videos)
    if unlabelled:
        summary = {"title": f"score files of {args.scores}", "data": str(args.scores)}
    else:
        videos, left_out = frame.match_labels(videos, args.labels, args.allow_missing)
        summary = page.summarize(args.scores, videos, left_out)
    # The frames of a dataset, and what is known of their rate.
    frames, fps, size = {}, args.fps, None
    if args.frames:
        frames, its_fps, size = dataset_frames(args.frames, args.split)
        fps = fps or its_fps
    rule = EventRule(alarm.read(args.scores.parent), fps, size)
    out = args.out or args.scores.parent / "report"
    counts = args.videos, args.windows, args.reasons
    return page.build(out, videos, summary, *counts, rule, Footage(frames, args.film)), summary


def dataset_frames(
    folder: pathlib.Path, split: str
) -> tuple[dict[str, FrameSource], float | None, tuple[int, int] | None]:
    """The videos of a split of a dataset of frames, its frames a second, and their source's size.

    Raises:
      FileNotFoundError, ValueError: no such dataset or split, or one of features.
    """
    from vadjax.data import clips
    from vadjax.data.store import records  # not at the top of the file: they import JAX

    data = records.Dataset(folder, verify="size")
    if data.kind != clips.KIND:
        raise ValueError(f"{folder}: holds {data.kind!r} records; --frames is a dataset of frames")
    videos = {
        video.name: FrameSource(video, len(video), video.source_size)
        for video in clips.Videos(data, split)
    }
    return videos, data.manifest.get("fps"), data.source_size


def main(argv: list[str] | None = None) -> None:
    """Parses the command line, prints the table and writes the page."""
    parser = argparse.ArgumentParser(
        prog="python -m vadjax.report",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("scores", type=pathlib.Path, help="folder of VIDEO.npz files")
    parser.add_argument("--out", type=pathlib.Path, help="folder to write (default: beside them)")
    # Labels and expansion are as of the frame metrics, which the report shows.
    frame.add_input_flags(parser)
    parser.add_argument("--videos", type=int, default=12, help="draw so many best and worst (12)")
    parser.add_argument(
        "--windows",
        type=int,
        default=4,
        help="show so many highest- and lowest-scoring pictures, if the score files have any (4)",
    )
    parser.add_argument(
        "--reasons",
        type=int,
        default=6,
        help="show why so many of the highest-scoring events were flagged, if the score files "
        "say so (6)",
    )
    parser.add_argument(
        "--frames", type=pathlib.Path, help="prepared dataset of the frames that were scored"
    )
    parser.add_argument("--split", default="test", help="its split (test)")
    parser.add_argument("--fps", type=float, help="frames a second (the dataset's, if it says)")
    parser.add_argument(
        "--nofilm", dest="film", action="store_false", help="leave the films of the page out"
    )
    args = parser.parse_args(argv)
    path, summary = command.report_errors(run, args)
    if "metrics" in summary:
        table.print_table(summary)
    print(f"Report: {path}")


if __name__ == "__main__":
    command.run(main)
