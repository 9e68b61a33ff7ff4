"""Builds the report of a folder of score files, from any program.

python -m vadjax.report SCORES_DIR [--out REPORT_DIR] [--labels FILE] [--allow_missing]
    [--expansion RULE] [--videos 12] [--windows 4] [--reasons 6]
"""

import argparse
import pathlib

from vadjax.metrics import frame
from vadjax.report import page, table
from vadjax.runtime import command
from vadjax.scores import files


def run(args: argparse.Namespace) -> tuple[pathlib.Path, dict]:
    """Reads, measures and draws; returns the path of the page, and the summary it shows."""
    videos = files.read_folder(args.scores, args.expansion)
    videos, left_out = frame.match_labels(videos, args.labels, args.allow_missing)
    summary = page.summarize(args.scores, videos, left_out)
    out = args.out or args.scores.parent / "report"
    counts = args.videos, args.windows, args.reasons
    return page.build(out, videos, summary, *counts), summary


def main(argv: list[str] | None = None) -> None:
    """Parses the command line, prints the table and writes the page."""
    parser = argparse.ArgumentParser(prog="python -m vadjax.report", description=__doc__)
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
    args = parser.parse_args(argv)
    path, summary = command.report_errors(run, args)
    table.print_table(summary)
    print(f"Report: {path}")


if __name__ == "__main__":
    command.run(main)
