"""What the checksums of a checkpoint cost: saving and restoring one of 200 MB, with and without.

    python -m benchmarks.checksums [--mb 200] [--runs 7] [--dir /tmp/vadjax_checksums]

The checkpoint holds random numbers, which do not compress. It is saved through
`vadjax.runtime.checkpoint`, in turns with and without the writing of the sums. Then the sums alone
are timed on the files that were written.
"""

import argparse
import pathlib
import shutil
import statistics

import jax
import numpy as np

from benchmarks.table import in_turns, show
from vadjax.runtime import checksums
from vadjax.runtime.checkpoint import Checkpoints

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
    write = checksums.write

    # Saving in turns; the module's function is replaced for those without sums
    def save(sums) -> None:
        checksums.write = sums
        shutil.rmtree(args.dir, ignore_errors=True)
        with Checkpoints(args.dir) as checkpoints:
            checkpoints.save(1, state)
            checkpoints.wait()

    programs = {
        "saved without": lambda: save(lambda *rest: None),
        "saved with CRC-32C": lambda: save(write),
    }
    times = in_turns(programs, args.runs)

    # Restoring, and the sums alone
    save(write)
    step = args.dir / "checkpoints" / "1"
    target = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), state)

    def restore() -> None:
        with Checkpoints(args.dir, read_only=True) as checkpoints:
            checkpoints.restore(target)

    alone = {
        "CRC-32C alone": lambda: checksums.check(step),
        "restored, checked": restore,
        "SHA-256 alone": lambda: write(step, checksums.SHA, ("_CHECKPOINT_METADATA",)),
    }
    for name in alone:  # the last one replaces the sums
        times |= in_turns({name: alone[name]}, args.runs)
    show(f"A checkpoint of {args.mb} MB", times, "saved without", args.mb, "MB")
    share = statistics.median(times["CRC-32C alone"]) / statistics.median(times["saved without"])
    print(f"CRC-32C: {100 * share:.1f} % of the saving time (bar: below {100 * LIMIT:g} %)")
    shutil.rmtree(args.dir, ignore_errors=True)


if __name__ == "__main__":
    main()
