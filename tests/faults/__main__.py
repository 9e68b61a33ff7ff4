"""Faults that programs must bear: damaged inputs, kills, full disks and read-only places.

    python -m tests.faults fuzz --count 1000 [--seed 0] [--only NAME] [--json FILE]
    python -m tests.faults kills --count 100 [--seed 0] [--only NAME] [--json FILE]
    python -m tests.faults disk [--seed 0] [--only NAME] [--json FILE]

fuzz    files of every format with seeded damage, read by the programs as users run them
kills   `kill -9` before a random change of a file or at a random time; then the same command again
        must make the same files, and leave nothing hidden behind
disk    twenty full disks and ten read-only places (needs root, to mount): one line, exit code 1,
        and the same command goes on when there is space

The program prints a table of what became of them: survived (the same result), named (refused in a
line that names the file), unnamed, traceback, silent (accepted with another result), hang (30 s or
2 GB), outside (something written elsewhere). It exits with 1 if one is unnamed, a traceback, a hang
or outside; of kills and disks, if one did not survive.
"""

import argparse
import pathlib
import sys
import tempfile
import time

from tests.faults import disk, fuzz, kills, outcomes
from tests.faults.process import Worker


def main(argv: list[str] | None = None) -> None:
    """Runs a campaign and prints its table."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("what", choices=("fuzz", "kills", "disk"))
    parser.add_argument("--count", type=int, help="faults (fuzz: 1000, kills: 100)")
    parser.add_argument("--seed", type=int, default=0, help="(0)")
    parser.add_argument("--only", default="", help="cases whose names hold this")
    parser.add_argument("--json", type=pathlib.Path, help="file for all outcomes")
    args = parser.parse_args(argv)
    start, results = time.monotonic(), []
    # Each outcome is told and kept as it comes: a campaign of hours may be stopped
    with tempfile.TemporaryDirectory() as folder, Worker() as worker:
        root = pathlib.Path(folder) / "campaign"
        root.mkdir()
        for outcome in _campaign(args, root, worker):
            results.append(outcome)
            if outcome.kind not in ("survived", "named"):
                print(
                    f"{outcome.kind}: {outcome.case}: {outcome.fault}: {outcome.note}", flush=True
                )
            if args.json:
                outcomes.write_json(args.json, results)
    # What counts as wrong depends on the campaign
    print(outcomes.table(results))
    if args.what == "fuzz":
        print(f"\nAccepted with another result:\n{outcomes.silent(results)}")
    print(f"\n{len(results)} faults in {time.monotonic() - start:.0f} s")
    wrong = outcomes.BAD if args.what == "fuzz" else set(outcomes.KINDS) - {"survived"}
    sys.exit(int(any(outcome.kind in wrong for outcome in results)))


def _campaign(args: argparse.Namespace, root: pathlib.Path, worker: Worker):
    if args.what == "fuzz":
        inputs = [one for one in fuzz.INPUTS if args.only in one.name]
        return fuzz.run(args.count or 1000, args.seed, root, worker, inputs)
    if args.what == "kills":
        return kills.run(args.count or 100, args.seed, root, worker, args.only)
    return disk.run(args.seed, root, worker, args.only)


if __name__ == "__main__":
    main()
