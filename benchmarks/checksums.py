"""What the checksums of a checkpoint cost: saving and restoring one of 200 MB, with and without.

    python -m benchmarks.checksums [--mb 200] [--runs 7] [--dir /tmp/vadjax_checksums]

The checkpoint holds random numbers, which do not compress. It is saved through
`vadjax.runtime.checkpoint`, in turns with and without the writing of the sums; what earlier turns
left to the disk is written before. The sums are made while other files are still written, so what
counts is how long a saving waits for them in the end.
"""

import argparse
import os
import pathlib
import shutil
import time

import jax
import numpy as np

from benchmarks.table import in_turns, median, show
from benchmarks.workers import Turn
from vadjax.runtime import checksums
from vadjax.runtime.checkpoint import UNSUMMED, Checkpoints

WARM = 2  # savings before those that count
LIMIT = 0.03  # of the saving time


def main(argv: list[str] | None = None) -> None:
    """Saves, restores, sums and prints the table and the shares."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mb", type=int, default=200)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--dir", type=pathlib.Path, default=pathlib.Path("/tmp/vadjax_checksums"))
    args = parser.parse_args(argv)
    rng = np.random.default_rng(0)
    state = {str(i): rng.standard_normal(2_500_000, np.float32) for i in range(args.mb // 10)}
    waits: list[float] = []  # seconds that each saving waited for its sums

    class Timed(checksums.Early):
        def write(self, left_out: tuple[str, ...] = ()) -> None:
            start = time.perf_counter()
            super().write(left_out)
            waits.append(time.perf_counter() - start)

    class NoSums:
        def __init__(self, folder: pathlib.Path, kind: str): ...

        def write(self, left_out: tuple[str, ...] = ()) -> None: ...

    # Saving in turns; the module's class is replaced
    def save(sums: type) -> float:
        checksums.Early = sums
        shutil.rmtree(args.dir, ignore_errors=True)
        os.sync()
        start = time.perf_counter()
        with Checkpoints(args.dir) as checkpoints:
            checkpoints.save(1, state)
            checkpoints.wait()
        return time.perf_counter() - start

    forms = {"saved without": NoSums, "saved with CRC-32C": Timed}
    turns = [{name: save(sums) for name, sums in forms.items()} for _ in range(WARM + args.runs)]
    seconds = {name: [turn[name] for turn in turns[WARM:]] for name in forms}
    seconds["waited for CRC-32C"] = waits[WARM:]
    times = {name: [*map(Turn, of_form)] for name, of_form in seconds.items()}

    # Restoring, and the sums alone
    step = args.dir / "checkpoints" / "1"
    target = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), state)

    def restore() -> None:
        with Checkpoints(args.dir, read_only=True) as checkpoints:
            checkpoints.restore(target)

    alone = {
        "CRC-32C compared": lambda: checksums.check(step),
        "restored, checked": restore,
        "SHA-256 alone": lambda: checksums.write(step, checksums.SHA, UNSUMMED),
    }
    for name in alone:  # the last one replaces the sums
        times |= in_turns({name: alone[name]}, args.runs)
    show(f"A checkpoint of {args.mb} MB", times, "saved without", args.mb, "MB")
    share = median(times["waited for CRC-32C"]) / median(times["saved without"])
    print(f"CRC-32C: {100 * share:.1f} % of the saving time (bar: below {100 * LIMIT:g} %)")
    shutil.rmtree(args.dir, ignore_errors=True)


if __name__ == "__main__":
    main()
