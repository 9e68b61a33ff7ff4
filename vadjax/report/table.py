"""Tables in the terminal: one run, or several runs with mean and deviation.

    python -m vadjax.report.table runs/mini_0 runs/mini_1 runs/mini_2

prints the figures of each run's `metrics.json`. If the runs differ in the seed alone, or in which
of the numbered splits of a set they used, it adds mean ± standard deviation; else it says in what
they differ. A figure that a run does not have is a dash.
"""

import argparse
import math
import re
import statistics
from collections.abc import Collection, Mapping, Sequence

from rich.table import Table

from vadjax.report import comparison
from vadjax.report.comparison import SPLIT, Run
from vadjax.runtime import command, terminal

NONE = "–"  # where there is no value
WIDTH = 140  # letters of a line if the output is no terminal


def rows(summary: Mapping) -> list[tuple[str, str, str, str]]:
    """Rows (name, label, value, untrained value) of a summary; absent values as a dash."""
    trained, untrained = summary["metrics"], summary.get("untrained") or {}
    return [
        (name, label, number(trained.get(name)), number(untrained.get(name)))
        for name, label in figure_labels(summary).items()
    ]


def figure_labels(summary: Mapping) -> dict[str, str]:
    """Name → label of the figures of a run and of its untrained state.

    Labels are empty for runs of an older vadjax, which stored none.
    """
    figures, first = summary["metrics"], summary.get("untrained") or {}
    unlabelled = {name: "" for name, value in figures.items() if isinstance(value, float)}
    return summary.get("labels", unlabelled) | {name: "" for name in first if name not in figures}


def number(value: float | None) -> str:
    """Four decimals, or a dash where there is no value."""
    return NONE if value is None or math.isnan(value) else f"{value:.4f}"


def print_table(summary: Mapping) -> None:
    """Prints the figures of one run, and beside them those of its untrained state."""
    table = Table(title=summary["title"], title_justify="left")
    table.add_column("figure")
    table.add_column("meaning")
    table.add_column("value", justify="right")
    if summary.get("untrained"):
        table.add_column("untrained", justify="right")
    for name, label, value, untrained in rows(summary):
        table.add_row(name, label, value, *([untrained] if summary.get("untrained") else []))
    terminal.console(width=WIDTH).print(table)


def print_rows(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    right: Collection[str] = (),
    title: str | None = None,
) -> None:
    """Prints rows of text below the names of their columns.

    Args:
      columns: their names; the text of the first is not broken into lines.
      rows: a text for each column.
      right: columns whose text stands right.
      title: of the table, if any.
    """
    table = Table(title=title, title_justify="left")
    for place, name in enumerate(columns):
        table.add_column(name, justify="right" if name in right else "left", no_wrap=not place)
    for row in rows:
        table.add_row(*row)
    terminal.console(width=WIDTH).print(table)


def print_runs(runs: Sequence[Run]) -> None:
    """Prints the figures of several runs side by side.

    If the runs differ only in the seed, or in the split of a set, a column has mean ± deviation;
    else lines below say in what they differ.
    """
    if not any(figure_labels(run.summary) for run in runs):
        names = ", ".join(run.name for run in runs)
        print(f"{names}: no figures; a run on videos without labels has none")
        return
    # One title if the runs differ in step and seed alone, and one for all splits of a set.
    differ, numbers = comparison.differences(runs), comparison.splits(runs)
    title = "\n".join(dict.fromkeys(_title_of_runs(run.summary["title"]) for run in runs))
    if not differ and len(numbers) > 1:
        name = runs[0].summary["data"]
        of_all = f"splits {', '.join(numbers)} of {SPLIT.sub('', name)}"
        title = title.splitlines()[0].replace(name, of_all)
    # A column for each run, and one for the mean.
    table = Table(title=title, title_justify="left")
    table.add_column("figure")
    for name in column_names(runs):
        table.add_column(name, justify="right")
    for name in ("mean ± deviation", "untrained") if not differ else ():
        table.add_column(name, justify="right", style="bold" if name != "untrained" else "")
    # A row for each figure that any run has.
    of_runs = [[run.summary["metrics"], run.summary.get("untrained") or {}] for run in runs]
    for name in dict.fromkeys(name for run in runs for name in figure_labels(run.summary)):
        trained, untrained = (
            [figures.get(name) for figures in side] for side in zip(*of_runs, strict=True)
        )
        means = [] if differ else [spread(trained), spread(untrained)]
        table.add_row(name, *map(number, trained), *means)
    terminal.console(width=WIDTH).print(table)
    # Below the table: why there is no mean, and in what the programs differ.
    if differ:
        print("No mean, which is for runs that differ in the seed alone. These differ in")
        print("".join(f"  {line}\n" for line in differ), end="")
    if made := comparison.versions(runs):
        print("note: the runs were made with different programs or devices:")
        print("".join(f"  {line}\n" for line in made), end="")


def _title_of_runs(title: str) -> str:
    """The title of a run without the number of the step and the seed, which are its own."""
    return re.sub(r", seed [^,]*$", "", re.sub(r", step [\d,]+ \((.*?)\)", r", \1", title))


def column_names(runs: Sequence[Run]) -> list[str]:
    """Names of the folders, numbered where two are the same."""
    names = [run.name for run in runs]
    return [
        f"{name} ({rank})" if names.count(name) > 1 else name for rank, name in enumerate(names, 1)
    ]


def spread(values: Sequence[float | None]) -> str:
    """Mean ± population deviation of the runs that have the figure, and how many these are."""
    present = [value for value in values if value is not None and not math.isnan(value)]
    if not present:
        return NONE
    of = f" ({len(present)} of {len(values)})" if len(present) < len(values) else ""
    return f"{statistics.fmean(present):.3f} ± {statistics.pstdev(present):.3f}{of}"


def main(argv: list[str] | None = None) -> None:
    """Prints the table of the runs named on the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m vadjax.report.table",
        description="Figures of several runs with mean and (population) standard deviation.",
    )
    parser.add_argument("runs", nargs="+", help="workdirs with a metrics.json")
    args = parser.parse_args(argv)
    runs = command.report_errors(lambda: [comparison.read_run(run) for run in args.runs])
    print_runs(runs)


if __name__ == "__main__":
    command.run(main)
