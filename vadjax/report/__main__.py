"""Builds the report of a folder of score files, from any program.

python -m vadjax.report SCORES_DIR [--out REPORT_DIR] [--labels FILE] [--videos 12] [--windows 4]
    [--reasons 6]
"""

import argparse
import pathlib
import sys

from vadjax import scores
from vadjax.metrics import frame
from vadjax.report import page, table


def main(argv: list[str] | None = None) -> None:
    """Parses the command line, prints the table and writes the page."""
    parser = argparse.ArgumentParser(prog="python -m vadjax.report", description=__doc__)
    parser.add_argument("scores", type=pathlib.Path, help="folder of VIDEO.npz files")
    parser.add_argument("--out", type=pathlib.Path, help="folder to write (default: beside them)")
    parser.add_argument("--labels", help=".npz with one label array per video name")
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
    try:
        videos = scores.read_folder(args.scores)
        if args.labels:
            videos = frame.with_labels(videos, args.labels)
        summary = page.summarize(args.scores, videos)
        out = args.out or args.scores.parent / "report"
        path = page.build(out, videos, summary, args.videos, args.windows, args.reasons)
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
    table.print_table(summary)
    print(f"Report: {path}")


if __name__ == "__main__":
    main()
