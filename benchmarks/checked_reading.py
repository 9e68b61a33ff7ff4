"""What checks cost when datasets are read: this checkout against another, in turns.

    git worktree add /tmp/before REVISION
    python -m benchmarks.checked_reading --other /tmp/before --features DATASET --frames DATASET

DATASET is a folder that a program of `data_prep` made, of features and of frames. Both checkouts
read the same bags and the same windows, each in processes of its own, with no threads. Printed are
the median seconds of a pass, and the median of the ratios of neighbouring runs.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys

from benchmarks.table import show

LIMIT = 1.03  # times as long as before

# Runs in the other checkout too, so it uses what both have.
CHILD = """
import json, sys, time
from vadjax.data import bags, clips

features, frames, passes, windows = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
seconds = {"bags": [], "windows": []}
if features:
    data = bags.Dataset(features)
    for split in data.splits:
        for _ in range(passes + 1):
            start = time.perf_counter()
            for bag in bags.Bags(data, split):
                bag.features[0, 0, 0]
            seconds["bags"].append(time.perf_counter() - start)
        del seconds["bags"][-passes - 1]  # the first pass reads the disk
if frames:
    data = bags.Dataset(frames)
    batches = clips.window_batches(data, "train", 5, 4, 0, clips.loader.Shard())
    for run in range(passes + 1):
        start = time.perf_counter()
        for number in range(windows):
            batches[run * windows + number]
        seconds["windows"].append(time.perf_counter() - start)
    del seconds["windows"][0]
print(json.dumps({name: sum(times) / len(times) for name, times in seconds.items() if times}))
"""


def main(argv: list[str] | None = None) -> None:
    """Reads in turns and prints a table for bags and one for windows."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--other", type=pathlib.Path, required=True, help="another checkout")
    parser.add_argument("--features", default="", metavar="DATASET")
    parser.add_argument("--frames", default="", metavar="DATASET")
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--passes", type=int, default=5, help="passes of a run (default 5)")
    parser.add_argument("--batches", type=int, default=60, help="batches of a pass (default 60)")
    args = parser.parse_args(argv)
    checkouts = {"before": args.other, "now": pathlib.Path(__file__).parent.parent}
    options = [args.features, args.frames, str(args.passes), str(args.batches)]

    def run(checkout: pathlib.Path) -> dict[str, float]:
        environment = os.environ | {"PYTHONPATH": str(checkout.resolve())}
        command = [sys.executable, "-c", CHILD, *options]
        ended = subprocess.run(
            command, env=environment, cwd=checkout, stdout=subprocess.PIPE, check=True
        )
        return json.loads(ended.stdout.splitlines()[-1])

    # Turns; the order changes with every run, so that neither is always the second
    turns = []
    for number in range(args.runs):
        names = list(checkouts) if number % 2 else list(checkouts)[::-1]
        turns.append({name: run(checkouts[name]) for name in names})
    for what in turns[0]["now"]:
        times = {name: [turn[name][what] for turn in turns] for name in checkouts}
        show(f"Reading {what}", times, "before", 1, "pass")
        longer = [now / old for old, now in zip(*times.values(), strict=True)]
        print(f"{what}: {statistics.median(longer):.3f} × as long (bar: below {LIMIT})\n")


if __name__ == "__main__":
    main()
