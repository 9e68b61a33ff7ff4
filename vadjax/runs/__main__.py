"""Lists runs, and removes of them what can be made again.

    python -m vadjax.runs [FOLDER …]                 size, state and figures of the runs below
    python -m vadjax.runs [FOLDER …] --clean         what could be removed; nothing is
    python -m vadjax.runs [FOLDER …] --clean --yes   removes it

Only objects of finished runs, built-in toy sets, and what killed programs have left are removed,
never scores, reports, checkpoints or finished states; a run that a program uses is left alone.
"""

import argparse
import pathlib
from collections.abc import Sequence

from vadjax.report.table import print_rows
from vadjax.runs import cleaning, folders
from vadjax.runs.cleaning import Piece
from vadjax.runs.folders import RunFolder
from vadjax.runtime import command, layout, lock, space

HERE = "runs"  # the folder that is listed if none is named


def find(roots: Sequence[pathlib.Path]) -> list[pathlib.Path]:
    """The runs below all folders, each once.

    Raises:
      OSError: as `folders.find`.
    """
    paths = [path for root in roots for path in folders.find(root)]
    return list({path.resolve(): path for path in paths}.values())


def print_list(runs: Sequence[RunFolder]) -> None:
    """Prints the table of runs, and below it what is to be said of some."""
    title = f"Runs: {len(runs):,}, {space.size(sum(run.size for run in runs))}"
    columns = "run", "system", "dataset", "size", "state", "figures"
    rows = [
        (str(run.path), run.system, run.data, space.size(run.size), run.state, run.figures)
        for run in runs
    ]
    print_rows(columns, rows, ("size",), title)
    for run in runs:
        if run.detail:
            print(f"{run.path}: {run.state}: {run.detail}")


def clean(runs: Sequence[pathlib.Path], yes: bool) -> None:
    """Removes what can be made again, or says what would be removed."""
    # Run after run; those that are in use are left alone
    done, notes = "removed" if yes else "would remove", []
    pieces: list[Piece] = []
    for run in runs:
        try:
            if holder := lock.in_use(run / layout.LOCK):
                raise lock.Held(f"{run}: {holder}")
            found, kept = cleaning.remove(run) if yes else cleaning.find(run)
        except lock.Held as error:
            found, kept = [], [f"{run}: left alone ({str(error).removeprefix(f'{run}: ')})"]
        notes += kept
        pieces += found
        for piece in found:
            print(f"{done} {piece.path} ({piece.what}, {space.size(piece.size)})")
    # What was kept and why, and how much is free now
    for note in notes:
        print(note)
    freed = space.size(sum(piece.size for piece in pieces))
    if not pieces:
        print("Nothing to remove.")
    elif yes:
        print(f"Removed {freed}.")
    else:
        print(f"Nothing was removed. Give the command again with --yes to remove {freed}.")


def main(argv: list[str] | None = None) -> None:
    """Lists or cleans the runs below the folders of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m vadjax.runs",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "folders", nargs="*", type=pathlib.Path, metavar="FOLDER", help=f"where runs are ({HERE})"
    )
    parser.add_argument("--clean", action="store_true", help="say what can be made again")
    parser.add_argument("--yes", action="store_true", help="with --clean: remove it")
    args = parser.parse_args(argv)
    if args.yes and not args.clean:
        parser.error("--yes is for --clean, which removes what can be made again")
    roots = args.folders or [pathlib.Path(HERE)]
    paths = command.report_errors(find, roots)
    if not paths:
        print(f"No runs in {', '.join(map(str, roots))}.")
    elif args.clean:
        command.report_errors(clean, paths, args.yes)
    else:
        print_list(command.report_errors(lambda: [folders.read(path) for path in paths]))


if __name__ == "__main__":
    command.run(main)
