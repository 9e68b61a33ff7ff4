"""Area under a stored curve (spec metrics §3b).

    python -m vadjax.metrics.compute_auc FPR.npy TPR.npy

prints one number: the area under TPR(FPR) for FPR from 0 to 1. The files are curves that
`python -m vadjax.metrics.region --curves` wrote, or a frame-level ROC.
"""

import argparse
import pathlib

import numpy as np

from vadjax.formats.npy import read_npy
from vadjax.metrics.region_boxes import area
from vadjax.runtime import command


def main(argv: list[str] | None = None) -> None:
    """Prints the area under the curve in two files."""
    parser = argparse.ArgumentParser(
        prog="python -m vadjax.metrics.compute_auc",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("fpr", type=pathlib.Path, help=".npy [n], false-positive rates")
    parser.add_argument("tpr", type=pathlib.Path, help=".npy [n], true-positive rates")
    args = parser.parse_args(argv)
    auc = command.report_errors(measure, args.fpr, args.tpr)
    print(f"{auc:.12g}")


def measure(fpr: pathlib.Path, tpr: pathlib.Path) -> float:
    """The area of a curve in two files.

    Raises:
      ValueError: they hold no curve, or true-positive rates that are no shares; names the files.
    """
    rates = _load(fpr), _load(tpr)
    if len(rates[1]) and not 0 <= rates[1].min() <= rates[1].max() <= 1:
        raise ValueError(
            f"{tpr}: rates of {rates[1].min():g} to {rates[1].max():g}; expected shares, 0 to 1"
        )
    try:
        return area(*rates)
    except ValueError as error:
        raise ValueError(f"{fpr} and {tpr}: {error}") from error


def _load(path: pathlib.Path) -> np.ndarray:
    rates = read_npy(path)
    if rates.ndim != 1 or rates.dtype.kind not in "fiu" or not np.isfinite(rates).all():
        raise ValueError(f"{path}: {rates.dtype} {rates.shape}; expected finite numbers [n]")
    return rates


if __name__ == "__main__":
    command.run(main)
