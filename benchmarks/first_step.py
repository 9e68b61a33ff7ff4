"""The first step of every system: seconds until it is compiled, the first time and again.

    python -m benchmarks.first_step [--systems lgn mnad …] [--json FILE]

Each start is a process of its own that compiles the update of the published size as the loop does;
nothing is trained. The cold start finds no compiled program, the warm one what the cold one has
kept (`vadjax.runtime.compiled`). Both trace the update and lower it to XLA's operations; then the
one compiles and the other reads. CPU seconds are of all threads: they tell the work also where the
machine does other work.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import jax
from jax import monitoring
from rich.console import Console
from rich.progress import track
from rich.table import Table

from tests.helpers.accelerator_cases import NAMES, PUBLISHED, cases
from vadjax.runtime import compiled, mesh
from vadjax.train import Loop

TRAINED = [name for name in NAMES if name not in ("attributes", "camera", "exemplar", "i3d")]
STARTS = ("cold", "warm")
MARK = "seconds "
PARTS = {  # of a compilation, by the names of JAX's events
    "/jax/core/compile/jaxpr_trace_duration": "trace",
    "/jax/core/compile/jaxpr_to_mlir_module_duration": "lower",
    "/jax/core/compile/backend_compile_duration": "compile",
}


def first_step(name: str) -> dict[str, float]:
    """Seconds that the training step of a system takes to compile: in all, of CPU, and in parts."""
    compiled.use()
    case = next(case for case in cases(name, PUBLISHED, "float32") if case.system is not None)
    batch = case.arguments[1]
    grid = mesh.make(jax.tree.leaves(batch)[0].shape[0], 1)
    loop = Loop(case.system.config, case.system, None, grid)
    # Shapes stand for the arrays; the key is one, and its own program is compiled before
    seconds, key = dict.fromkeys(PARTS.values(), 0.0), jax.random.key(0)

    def note(event: str, duration: float, **_) -> None:
        if event in PARTS:
            seconds[PARTS[event]] += duration

    monitoring.register_event_duration_secs_listener(note)
    wall, cpu = time.perf_counter(), time.process_time()
    loop.compile(case.state, batch, key)
    seconds["all"], seconds["cpu"] = time.perf_counter() - wall, time.process_time() - cpu
    return seconds


def start(name: str, folder: str) -> dict[str, float]:
    """`first_step` in a process of its own, with compiled programs in a folder."""
    environment = {k: v for k, v in os.environ.items() if k != "JAX_COMPILATION_CACHE_DIR"}
    command = [sys.executable, "-m", "benchmarks.first_step", "--worker", name]
    environment["VADJAX_CACHE"] = folder
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    last = next(line for line in done.stdout.splitlines() if line.startswith(MARK))
    return json.loads(last.removeprefix(MARK))


def show(rows: dict[str, dict]) -> None:
    """Prints the table."""
    table = Table(title="seconds until the first step is compiled", title_justify="left")
    parts = "all", *PARTS.values(), "cpu"
    table.add_column("system")
    for head in STARTS:
        for part in parts:
            table.add_column(f"{head}, {part}", justify="right")
    for name, row in rows.items():
        table.add_row(name, *(f"{row[head][part]:.1f}" for head in STARTS for part in parts))
    Console(width=160).print(table)


def main() -> None:
    """Starts every system twice and prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--systems", nargs="+", choices=TRAINED, default=TRAINED)
    parser.add_argument("--json", type=pathlib.Path, help="write the rows to this file")
    parser.add_argument("--worker", choices=TRAINED, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        print(MARK + json.dumps(first_step(args.worker)))
        return
    rows = {}
    for name in track(args.systems, "systems"):
        with tempfile.TemporaryDirectory() as folder:
            rows[name] = {which: start(name, folder) for which in STARTS}
    show(rows)
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
