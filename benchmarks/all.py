"""One table of speeds: every system's training, scoring and input beside a baseline. Run it alone.

    python -m benchmarks.all [--systems mil s3r …] [--what training …] [--cores N] [--runs 3]
        [--json FILE]

Every program has a process of its own, so that its memory, its threads and its compiled code are
its own. Ours starts twice, alone: with nothing compiled before, and again with the code that the
first start kept on the disk. Then it takes turns with the baseline. Both use all cores, or the
first N of them. Where torch is not installed, its baselines are left out, with a note.
docs/performance.md tells what each number is, `benchmarks/systems.py` what is done.
"""

import argparse
import importlib.metadata
import importlib.util
import json
import math
import pathlib
import sys
import tempfile
import time
from typing import Any

from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks import table, workers
from benchmarks.systems import SYSTEMS, Work
from vadjax.runtime import command

OURS, BASELINE = "ours", "baseline"
MISSING = "not installed"
CACHE = {  # variables of JAX for the second start: also what compiles quickly is kept
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
}
COLUMNS = ("rate", "baseline", "its rate", "ratio", "CPU s", "its CPU s", "compile s", "first s")
COLUMNS = (*COLUMNS, "again s", "peak GB", "its peak GB")
OF_BASELINE = ("baseline", "its rate", "ratio", "its CPU s", "its peak GB")


def head() -> dict[str, Any]:
    """What the speeds depend on: cores, processor, versions."""
    packages = {
        name: importlib.metadata.version(name) if importlib.util.find_spec(name) else MISSING
        for name in ("jax", "torch")
    }
    return {"cores": workers.cores(), "processor": processor(), **packages}


def processor() -> str:
    """Name of the processor, as Linux tells it."""
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return "unknown processor"
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else "unknown processor"


def measure(name: str, work: Work, args: argparse.Namespace) -> dict[str, Any]:
    """One row of the table."""
    options = {"system": name, "work": work.what, "cores": args.cores, "tiny": int(args.tiny)}

    def start(program: str, environment: dict | None = None) -> workers.Worker:
        return workers.Worker("benchmarks.all", environment, worker=program, **options)

    # Ours alone, twice. The first start finds nothing that was compiled before
    with tempfile.TemporaryDirectory() as cache:
        environment = CACHE | {"JAX_COMPILATION_CACHE_DIR": cache}
        cold = start(OURS, environment)
        first = cold.run()
        cold.close()
        programs = {OURS: start(OURS, environment)}
        again = programs[OURS].run()
        # Then in turns
        if work.baseline is not None and not missing(work):
            programs[BASELINE] = start(BASELINE)
            programs[BASELINE].run()
        turns = table.in_turns(programs, args.runs, warm=1)
        for program in programs.values():
            program.close()
    row = {"system": name, "what": work.what, "unit": work.unit, "compile": first.compiled}
    row |= {"first": first.wall, "again": again.wall, "compile_again": again.compiled}
    return row | figures(work, turns)


def figures(work: Work, turns: dict[str, list[workers.Turn]]) -> dict[str, Any]:
    """Rates, CPU seconds and peaks of the turns; what there is no baseline for is left out."""
    row = {}
    for program, prefix in ((OURS, ""), (BASELINE, "baseline_")):
        if program in turns:
            own = turns[program]
            row[f"{prefix}rate"] = work.amount / table.median(own)
            row[f"{prefix}cpu"] = table.median(own, "cpu")
            row[f"{prefix}peak_gb"] = own[-1].peak
    if BASELINE in turns:
        row["baseline"] = work.name
        row["ratio"] = table.ratio(turns[BASELINE], turns[OURS])
    return row


def missing(work: Work) -> bool:
    """Whether the package that the baseline needs is not installed."""
    return bool(work.needs) and importlib.util.find_spec(work.needs) is None


def cells(row: dict[str, Any]) -> dict[str, str]:
    """Column → text of a row; what was not measured is a dash."""

    def number(name: str, form: str) -> str:
        value = row.get(name, math.nan)
        return "–" if math.isnan(value) else format(value, form)

    def rate(name: str) -> str:
        return number(name, ",.3g" if row.get(name, math.nan) < 10 else ",.1f")

    texts = (f"{rate('rate')} {row['unit']}/s", row.get("baseline", "–"), rate("baseline_rate"))
    texts = (*texts, number("ratio", ".2f"), number("cpu", ".3g"), number("baseline_cpu", ".3g"))
    texts = (*texts, number("compile", ".1f"), number("first", ".1f"), number("again", ".1f"))
    texts = (*texts, number("peak_gb", ".2f"), number("baseline_peak_gb", ".2f"))
    return dict(zip(COLUMNS, texts, strict=True))


def show(facts: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    """Prints the head and the table; without any baseline's rate its columns are left out."""
    console = Console(width=170)
    title = "speeds, medians of the wall clock: {cores} core(s) of {processor}; jax {jax}, "
    printed = Table(title=(title + "torch {torch}").format(**facts), title_justify="left")
    compared = any("baseline_rate" in row for row in rows)
    columns = [name for name in COLUMNS if compared or name not in OF_BASELINE]
    for name in ("system", "what", *columns):
        printed.add_column(name, justify="left" if name in ("system", "what") else "right")
    for row in rows:
        texts = cells(row)
        printed.add_row(row["system"], row["what"], *(texts[name] for name in columns))
    console.print(printed)


def work_for(program: str, work: Work) -> None:
    """Serves the turns of a program, in its own process."""
    if program == OURS:
        workers.watch_compiler()
        if work.what == "training":
            workers.train_as_main()
    data = work.data()
    make = work.ours if program == OURS else work.baseline
    workers.serve(lambda: make(*data))


def chosen(args: argparse.Namespace) -> list[tuple[str, Work]]:
    """System and work of every row."""
    works = [(name, work) for name in args.systems for work in SYSTEMS[name](args.tiny)]
    known = list(dict.fromkeys(work.what for _, work in works))
    for what in args.what:
        if what not in known:
            sys.exit(f"error: --what {what!r}; these systems have {', '.join(known)}")
    return [(name, work) for name, work in works if not args.what or work.what in args.what]


def main(argv: list[str] | None = None) -> None:
    """Measures every system and prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=list(SYSTEMS))
    parser.add_argument("--what", nargs="+", default=[], help="rows, such as training (all)")
    parser.add_argument("--cores", type=int, default=0, help="that each program may use (all)")
    parser.add_argument("--runs", type=int, default=3, help="timed turns of each program (3)")
    parser.add_argument("--json", type=pathlib.Path, help="write head and rows to this file")
    parser.add_argument("--tiny", type=int, default=0, help=argparse.SUPPRESS)
    for name in ("worker", "system", "work"):
        parser.add_argument(f"--{name}", help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    workers.use_cores(args.cores)
    # A program of a row, in the process that was started for it
    if args.worker:
        works = {work.what: work for work in SYSTEMS[args.system](args.tiny)}
        work_for(args.worker, works[args.work])
        return
    # All rows, each in processes of its own
    rows, facts = [], head()
    works = chosen(args)
    for package in sorted({work.needs for _, work in works if missing(work)}):
        print(f"note: {package} is {MISSING}: nothing is compared with it", file=sys.stderr)
    for name, work in track(works, "speeds"):
        try:
            rows.append(measure(name, work, args))
        except RuntimeError as error:
            sys.exit(f"error: {name}, {work.what}: {error}")
        time.sleep(table.PAUSE)
    show(facts, rows)
    if args.json:
        args.json.write_text(json.dumps(facts | {"rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    command.run(main)
