"""Timing in turns, and the table that every benchmark prints."""

import statistics
import time
from collections.abc import Callable, Mapping

from rich.console import Console
from rich.table import Table

PAUSE = 0.3  # seconds


def in_turns(programs: Mapping[str, Callable], runs: int, warm: int = 2) -> dict[str, list[float]]:
    """Seconds of each program, run A B C A B C …, so that a slow minute hits all alike.

    A pause before each run lets the threads of the one before come to rest: some libraries' keep
    a core busy for a while after their work.
    """
    for _ in range(warm):
        for program in programs.values():
            program()
    times = {name: [] for name in programs}
    for _ in range(runs):
        for name, program in programs.items():
            time.sleep(PAUSE)
            start = time.perf_counter()
            program()
            times[name].append(time.perf_counter() - start)
    return times


def show(title: str, times: Mapping[str, list[float]], baseline: str, work: float, unit: str):
    """Prints median, spread, rate, and the median of the turn-by-turn ratios to `baseline`.

    Args:
      title: what was done.
      times: seconds, as from `in_turns`.
      baseline: the program that the others are compared with.
      work: units done in one run.
      unit: name of the unit.

    Returns:
      Ratio of every program: how many times faster than the baseline.
    """
    table = Table(title=title, title_justify="left")
    for column in ("program", "median ms", "min … max ms", f"{unit}/s", f"times {baseline}"):
        table.add_column(column, justify="left" if column == "program" else "right")
    # Ratios are of the same turn, so that what disturbs both does not count
    ratios = {}
    for name, seconds in times.items():
        median = statistics.median(seconds)
        pairs = zip(times[baseline], seconds, strict=True)
        ratios[name] = statistics.median(base / this for base, this in pairs)
        table.add_row(
            name,
            f"{1e3 * median:.1f}",
            f"{1e3 * min(seconds):.1f} … {1e3 * max(seconds):.1f}",
            f"{work / median:,.0f}",
            f"{ratios[name]:.2f}",
        )
    Console(width=120).print(table)
    return ratios
