"""Compares the gradients of compiled training steps with plain reference forms.

    python -m tests.gradients [--only lgn,ssmtl] [--small] [--json FILE]

Every system at its published width and three sizes: the gradient that its optimiser is handed in
the step as the training loop compiles it, beside that of plain `lax` operations without custom
gradients and without compiler options (`tests/gradients/plain.py`), on the same parameters and the
same batch. For every case the leaf with the largest error is named. Exits with 1 where a bound is
not kept: float64 within 1e-9; float32 within three times the distance of the plain float32 form
from the plain float64 form, leaf by leaf. A unit at the corner of a ReLU changes sides by any
rounding, and one float32 number may so be near or far by luck: both forms are drawn five times,
four of them with all parameters moved by up to 1, 4, 16 and 64 roundings, and the smallest distance
of the compiled step is compared with the largest of the plain form (`ratio (drawn)`); `ratio` is of
the first draw alone.
"""

import argparse
import json
import pathlib
import sys

from tests.gradients import cases

FLOAT64, TIMES = 1e-9, 3.0


def main(argv: list[str] | None = None) -> None:
    """Prints the table; exits with 1 where a bound is not kept."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.gradients",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", help="names of systems, with commas between")
    parser.add_argument("--small", action="store_true", help="narrow forms, a minute or two")
    parser.add_argument("--json", type=pathlib.Path, help="file for the rows")
    args = parser.parse_args(argv)
    chosen = cases.small() if args.small else cases.published()
    names = {case.system for case in chosen}
    if args.only:
        wanted = set(args.only.split(","))
        if unknown := wanted - names:
            sys.exit(f"error: no {', '.join(unknown)}; expected {', '.join(sorted(names))}")
        chosen = [case for case in chosen if case.system in wanted]
    titles = "system, size, leaves, float64, float32, plain float32, ratio, ratio (drawn), of"
    print(f"| {titles.replace(', ', ' | ')} |\n|{' --- |' * 9}")
    rows, failed = [], False
    for case in chosen:
        row = cases.measure(case)
        print(
            f"| {case.system} | {case.size} | {row.leaves} | {row.float64:.1e} | "
            f"{row.float32:.1e} | {row.plain32:.1e} | {row.ratio:.2f} | {row.ratio_drawn:.2f} | "
            f"`{row.worst32}` |",
            flush=True,
        )
        rows.append({"system": case.system, "size": case.size, **row._asdict()})
        failed |= row.float64 > FLOAT64 or row.ratio_drawn > TIMES
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1) + "\n")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
