"""Compares the gradients of compiled training steps with plain reference forms.

    python -m tests.gradients [--of small|published|trained] [--only lgn,ssmtl] [--json FILE]
    python -m tests.gradients --of trained --save FOLDER
    python -m tests.gradients --of trained --beside FOLDER

Every system at its published width and three sizes: the gradient that its optimiser is handed in
the step as the training loop compiles it, beside that of plain `lax` operations without custom
gradients and without compiler options (`tests/gradients/plain.py`), on the same parameters and the
same batch. For every case the leaf with the largest error is named. Exits with 1 where a bound is
not kept: float64 within 1e-9; float32 within three times the distance of the plain float32 form
from the plain float64 form, leaf by leaf (`ratio`). A unit at the corner of a ReLU, a pooling or an
absolute difference changes sides by any rounding, and a leaf jumps with it. Where the ratio is
above three the two float32 forms are therefore each compared with the plain float64 form *on the
sides that they took* (`tests/gradients/sides.py`), and the bound holds for those (`on own sides`).

With `--save` the compiled gradients in float32 are kept. `--beside` compares those of an earlier
version, kept in a checkout of it to which this folder was copied, with this version's and with the
plain form in float64: had the earlier version lost a gradient, its error would be far above that of
the plain form in float32.
"""

import argparse
import json
import pathlib
import sys

import numpy as np

from tests.gradients import cases

SETS = {"small": cases.small, "published": cases.published, "trained": cases.trained}


def main(argv: list[str] | None = None) -> None:
    """Prints the table; exits with 1 where a bound is not kept."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.gradients",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", help="names of systems, with commas between")
    parser.add_argument(
        "--of",
        choices=SETS,
        default="published",
        help="narrow forms; published widths at three sizes; those of docs/results.md",
    )
    keep = parser.add_mutually_exclusive_group()
    keep.add_argument("--save", type=pathlib.Path, help="keep the compiled gradients here")
    keep.add_argument("--beside", type=pathlib.Path, help="compare them with those kept here")
    parser.add_argument("--json", type=pathlib.Path, help="file for the rows")
    args = parser.parse_args(argv)
    # The cases, by the names of their systems
    chosen = SETS[args.of]()
    names = {case.system for case in chosen}
    if args.only:
        wanted = set(args.only.split(","))
        if unknown := wanted - names:
            sys.exit(f"error: no {', '.join(unknown)}; expected {', '.join(sorted(names))}")
        chosen = [case for case in chosen if case.system in wanted]
    # One of three: gradients are kept, compared with kept ones, or with the plain forms
    if args.save:
        for case in chosen:
            save(case, args.save)
        return
    if args.beside:
        beside(chosen, args.beside, args.json)
        return
    sys.exit(0 if measure(chosen, args.json) else 1)


def measure(chosen: list[cases.Case], json_file: pathlib.Path | None) -> bool:
    """Prints the table of the errors of all cases; whether every bound is kept."""
    titles = "system, size, leaves, float64, float32, plain float32, ratio, of, on own sides"
    print(f"| {titles.replace(', ', ' | ')} |\n|{' --- |' * 9}")
    rows, kept = [], True
    for case in chosen:
        row = cases.measure(case)
        print(
            f"| {case.system} | {case.size} | {row.leaves} | {row.float64:.1e} | "
            f"{row.float32:.1e} | {row.plain32:.1e} | {row.ratio:,.2f} | `{row.worst32}` | "
            f"{described(row.sides)} |",
            flush=True,
        )
        kept &= row.holds
        # The file is written after every case: a campaign of hours may be stopped
        sides = row.sides and row.sides._asdict()
        row_of_file = {"system": case.system, "size": case.size, **row._asdict(), "sides": sides}
        rows.append(row_of_file)
        if json_file:
            json_file.write_text(json.dumps(rows, indent=1) + "\n")
    return kept


def described(sides: cases.Sides | None) -> str:
    """What the last column of the table says of the errors on the forms' own sides."""
    if not sides:
        return "–"
    return (
        f"{sides.float32:.1e}, plain {sides.plain32:.1e}, ratio {sides.ratio:.2f} "
        f"(`{sides.worst}`); {sides.changed} and {sides.changed_plain} units on another side"
    )


def save(case: cases.Case, folder: pathlib.Path) -> None:
    """Writes the compiled gradients of a case."""
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / f"{case.name}.npz", **cases.compiled_alone(case))
    print(f"{folder / case.name}.npz", flush=True)


def beside(chosen: list[cases.Case], folder: pathlib.Path, json_file: pathlib.Path | None) -> None:
    """Prints the table of this version beside the gradients of an earlier one in `folder`."""
    titles = "system, size, equal, apart, before, now, plain float32, ratio before, of"
    print(f"| {titles.replace(', ', ' | ')} |\n|{' --- |' * 9}")
    rows = []
    for case in chosen:
        with np.load(folder / f"{case.name}.npz") as file:
            row = cases.compare(case, dict(file))
        print(
            f"| {case.system} | {case.size} | {row.equal} of {row.leaves} | {row.apart:.1e} | "
            f"{row.before:.1e} | {row.now:.1e} | {row.plain32:.1e} | {row.ratio:.2f} | "
            f"`{row.worst}` |",
            flush=True,
        )
        rows.append({"system": case.system, "size": case.size, **row._asdict()})
        if json_file:
            json_file.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
