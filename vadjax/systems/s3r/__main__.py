"""The program of S3R: makes a dictionary of normal patterns (spec s3r §3).

    python -m vadjax.systems.s3r dictionary --data DATASET --out FILE.npy [--ratio 0.9]
        [--layout codes|atoms] [--universal MEMORY.npy]

DATASET is a dataset of features, of which the normal training videos are used, or the pickle of
the first authors, `{"feature": {video: [crops, segments, D]}}`, which holds nothing else.

Layout "codes" is that of the published dictionaries, "atoms" what the publication describes
(vadjax/systems/s3r/dictionary.py). With --universal the rows of another dictionary that are most
like the normal segments are kept, and their mean is added.
"""

import argparse
import pathlib

import numpy as np

from vadjax.runtime import command, progress, replacing
from vadjax.scores.files import naming
from vadjax.systems.s3r import dictionary


def make(args: argparse.Namespace) -> np.ndarray:
    """The dictionary that the command line asks for.

    Raises:
      FileNotFoundError: an input is not there.
      FileExistsError: the output is.
      ValueError: an input that cannot be used.
    """
    if args.out.exists():
        raise FileExistsError(f"{args.out} exists and is left as it is; name another file")
    # From another dictionary: those of its rows that are most like the normal segments.
    if args.universal:
        memory = dictionary.read(args.universal)
        bags = dictionary.normal_bags(args.data, args.modality)
        segments = [features.mean(0) for features in bags]  # the mean over the crops
        with naming(f"{args.universal}, {args.data}"):
            return dictionary.universal(np.concatenate(segments), memory)
    # From the videos alone.
    means = dictionary.normal_means(args.data, args.modality)
    atoms = dictionary.count_atoms(len(means), args.ratio)
    print(f"{len(means)} normal training videos of width {means.shape[1]}: {atoms} atoms")
    with progress.bar("dictionary", dictionary.ITERATIONS) as bar, naming(args.data):
        return dictionary.learn(
            means, atoms, layout=args.layout, watch=lambda step: bar.update(step, {})
        )


def save(rows: np.ndarray, path: pathlib.Path) -> None:
    """Writes a dictionary as `.npy`: beside `path`, then renames it."""
    with replacing.file(path, rows.nbytes) as new, new.open("wb") as out:
        np.save(out, rows)


def main(argv: list[str] | None = None) -> None:
    """Learns a dictionary, writes it and says what it is."""
    parser = argparse.ArgumentParser(
        prog="python -m vadjax.systems.s3r",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "program", choices=("dictionary",), help="what to run; S3R has no other program"
    )
    parser.add_argument("--data", type=pathlib.Path, required=True, help="features of videos")
    parser.add_argument("--out", type=pathlib.Path, required=True, help=".npy file to write")
    parser.add_argument(
        "--ratio", type=float, default=0.9, help="atoms per normal video (default 0.9; UCF: 0.5)"
    )
    parser.add_argument(
        "--layout",
        choices=dictionary.LAYOUTS,
        default=dictionary.LAYOUTS[0],
        help="default: codes",
    )
    parser.add_argument("--universal", type=pathlib.Path, help="dictionary of other videos")
    parser.add_argument("--modality", default="TWO", help="stream of the features (default: all)")
    args = parser.parse_args(argv)
    # Make it, write it, and say what it is. The codes of an atom that no channel uses are all 0.
    rows = command.report_errors(make, args)
    command.report_errors(save, rows, args.out)
    empty = int((rows == 0).all(1).sum())
    print(f"Wrote {args.out}: {rows.shape[0]} × {rows.shape[1]} {rows.dtype}, {empty} rows of 0")


if __name__ == "__main__":
    command.run(main)
