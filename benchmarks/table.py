"""Programs in turns, and the table that every benchmark prints."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence

from rich.console import Console
from rich.table import Table

from benchmarks import workers
from benchmarks.workers import Turn, Worker

PAUSE = 0.3  # seconds


def in_turns(
    programs: Mapping[str, Callable | Worker], runs: int, warm: int = 2
) -> dict[str, list[Turn]]:
    """Turns of each program, run A B C A B C …, so that a slow minute hits all alike.

    A pause before each run lets the threads of the one before come to rest, which keep a core busy
    for a while after their work. On two idle cores that was, by the CPU time of the process after a
    call, 10 ms at most for torch, 120 ms for OpenBLAS under NumPy, and nothing for XLA.

    Args:
      programs: functions of this process, or programs of other processes.
      runs: turns of each that count.
      warm: turns of each before them.
    """
    turns: dict[str, list[Turn]] = {name: [] for name in programs}
    for _ in range(warm + runs):
        for name, program in programs.items():
            time.sleep(PAUSE)
            alone = isinstance(program, Worker)
            turns[name].append(program.run() if alone else workers.measure(program))
    return {name: of_program[warm:] for name, of_program in turns.items()}


def ratio(baseline: Sequence[Turn], turns: Sequence[Turn]) -> float:
    """How many times faster than the baseline by the wall clock: the median over the turns.

    Turns of the same round are compared, so that what disturbs both does not count.
    """
    pairs = zip(baseline, turns, strict=True)
    return statistics.median(base.wall / turn.wall for base, turn in pairs)


def median(turns: Sequence[Turn], kind: str = "wall") -> float:
    """Median seconds of a program, of `"wall"` clock or `"cpu"`."""
    return statistics.median(getattr(turn, kind) for turn in turns)


def show(title: str, turns: Mapping[str, list[Turn]], baseline: str, work: float, unit: str):
    """Prints median, spread, CPU time, rate, and the `ratio` to `baseline`.

    Args:
      title: what was done.
      turns: of every program, as from `in_turns`.
      baseline: the program that the others are compared with.
      work: units done in one run.
      unit: name of the unit.

    Returns:
      Ratio of every program.
    """
    table = Table(title=title, title_justify="left")
    heads = "program", "median ms", "min … max ms", "CPU ms", f"{unit}/s", f"times {baseline}"
    for head in heads:
        table.add_column(head, justify="left" if head == "program" else "right")
    ratios = {name: ratio(turns[baseline], of_program) for name, of_program in turns.items()}
    for name, of_program in turns.items():
        walls = [turn.wall for turn in of_program]
        table.add_row(
            name,
            f"{1e3 * median(of_program):.1f}",
            f"{1e3 * min(walls):.1f} … {1e3 * max(walls):.1f}",
            f"{1e3 * median(of_program, 'cpu'):.1f}",
            f"{work / median(of_program):,.0f}",
            f"{ratios[name]:.2f}",
        )
    Console(width=120).print(table)
    return ratios
