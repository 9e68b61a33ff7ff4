"""What the steps of a run spend their time on, by kind of operation of XLA.

    python -m vadjax.main --config=CONFIG --workdir=RUN --config.train.profile=True
    python -m benchmarks.trace RUN [--rows 20] [--operations]

reads the newest trace in `RUN/profile` and prints milliseconds of every kind of operation, summed
over all steps, and how many operations ran at once on average. One operation may keep several
cores busy; the trace does not tell. A kind is the name of an operation without its number:
`ynn_fusion` is a convolution or product of XLA's library of kernels, `dot` another product, `copy`
a change of layout, and any other `…_fusion` is one pass over arrays, named by what it does.
`--operations` has a line for every single operation instead.
"""

import argparse
import gzip
import json
import pathlib
import re
import zlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

OUTER = ("while", "call", "conditional")  # they contain operations that have events of their own
MOST = 1 << 30  # bytes of a trace, unpacked


class Event(NamedTuple):
    """One operation on one thread.

    Attributes:
      name: of the operation.
      start: microseconds.
      length: microseconds.
    """

    name: str
    start: float
    length: float


def read(run: pathlib.Path) -> list[Event]:
    """The operations in the newest trace of a run, by their start.

    Raises:
      ValueError: there is no trace, it is not one, or no operation is in it.
    """
    found = sorted((run / "profile").glob("plugins/profile/*/*.trace.json.gz"))
    if not found:
        raise ValueError(f"{run}: no trace; train with --config.train.profile=True")
    try:
        with gzip.open(found[-1]) as file:
            text = file.read(MOST + 1)
        if len(text) > MOST:
            raise ValueError("more than 1 GiB")
        rows = json.loads(text)["traceEvents"]
        rows = [row for row in rows if "hlo_op" in row.get("args", {}) and row.get("ph") == "X"]
        events = [Event(str(r["args"]["hlo_op"]), float(r["ts"]), float(r["dur"])) for r in rows]
    except (
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
        OSError,
        EOFError,
        zlib.error,
    ) as error:
        raise ValueError(f"{found[-1]}: not a trace of JAX ({error})") from None
    events = [event for event in events if kind(event.name) not in OUTER]
    if not events:
        raise ValueError(f"{found[-1]}: no operation is in it")
    return sorted(events, key=lambda event: event.start)


def kind(operation: str) -> str:
    """Name of an operation without its number: `copy.12.clone` → `copy`."""
    return re.sub(r"(\.(\d+|clone|remat))+$", "", operation)


def sums(names: Sequence[str], events: Sequence[Event]) -> Mapping[str, tuple[float, int]]:
    """Name → milliseconds and number of its events, the longest first."""
    total: dict[str, list[float]] = defaultdict(list)
    for name, event in zip(names, events, strict=True):
        total[name].append(event.length / 1e3)
    found = {name: (sum(lengths), len(lengths)) for name, lengths in total.items()}
    return dict(sorted(found.items(), key=lambda item: -item[1][0]))


def busy(events: Sequence[Event]) -> tuple[float, float]:
    """Milliseconds in which any operation ran, and how many ran at once then, on average."""
    # Whole nanoseconds: in floats, start + length - start is not always the length, and operations
    # one after another then seem to overlap, or to be less than one at once
    spans = [(round(event.start * 1e3), round(event.length * 1e3)) for event in events]
    covered, end = 0, spans[0][0]
    for start, length in spans:
        covered += max(0, start + length - max(end, start))
        end = max(end, start + length)
    return covered / 1e6, sum(length for _, length in spans) / max(covered, 1)


def main(argv: list[str] | None = None) -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=pathlib.Path, help="workdir of a run that has a profile")
    parser.add_argument("--rows", type=int, default=20, help="of the table (20)")
    parser.add_argument("--operations", action="store_true", help="single operations")
    args = parser.parse_args(argv)
    try:
        events = read(args.run)
    except ValueError as error:
        raise SystemExit(str(error)) from None
    names = [event.name if args.operations else kind(event.name) for event in events]
    found = sums(names, events)
    everything = sum(time for time, _ in found.values())
    # The rows that take longest, and all others together
    table = Table("operation", *("ms", "share", "times"))
    for name, (time, count) in list(found.items())[: args.rows]:
        table.add_row(name, f"{time:,.1f}", f"{time / everything:.1%}", f"{count:,}")
    rest = list(found.values())[args.rows :]
    if rest:
        time, count = (sum(column) for column in zip(*rest, strict=True))
        label = f"{len(rest)} others"
        table.add_row(label, f"{time:,.1f}", f"{time / everything:.1%}", f"{count:,}")
    Console(width=100).print(table)
    covered, at_once = busy(events)
    print(f"{everything:,.1f} ms of operations in {covered:,.1f} ms: {at_once:.2f} at once")


if __name__ == "__main__":
    main()
