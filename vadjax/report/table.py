"""Tables in the terminal: one run, or several runs with mean and deviation.

    python -m vadjax.report.table runs/mini_0 runs/mini_1 runs/mini_2

prints the figures of each run's `metrics.json`, and mean ± standard deviation over them.
"""

import argparse
import json
import math
import pathlib
import statistics
import sys
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table

from vadjax import command

FIGURES = {
    "auc": "AUC, all frames pooled (micro)",
    "auc_anomalous": "AUC, anomalous videos only",
    "auc_macro": "AUC, mean of videos (macro; one-class videos left out)",
    "auc_macro_padded": "AUC, mean of videos (macro; padded)",
    "auc_pairs": "AUC, mean of random video pairs",
    "auc_pairs_deviation": "its deviation over the drawings of pairs",
    "auc_minmax": "AUC, pooled after per-video min-max",
    "ap": "Average precision",
    "pr_auc": "Precision-recall AUC (trapezoid)",
    "eer": "Equal error rate",
    "false_alarm_rate": "False-alarm rate on normal videos",
    "rbdc": "RBDC: area under the share of regions found, up to 1 false positive a frame",
    "tbdc": "TBDC: the same of tracks",
    "direction": "Main direction right, share of the moving volumes",
    "direction_baseline": "the same of the most frequent direction",
    "direction_near": "Main direction within 30 degrees, share of the moving volumes",
    "direction_near_baseline": "the same of the best constant",
    "speed_error": "Mean error of the speed of moving volumes, pixels a frame",
    "speed_error_baseline": "the same of the mean speed",
    "still_error": "Mean error of the share of still pixels",
    "still_error_baseline": "the same of the mean share",
    "mean_precision": "Average precision, mean of the classes",
    "mean_precision_grey": "the same without colour",
    "mean_precision_baseline": "the same of a guess",
}


def rows(summary: Mapping) -> list[tuple[str, str, str, str]]:
    """Rows (name, meaning, value, untrained value) of a summary; absent values as a dash."""
    trained, untrained = summary["metrics"], summary.get("untrained") or {}
    found = []
    for name, meaning in _meanings(trained).items():
        if name == "false_alarm_rate":
            meaning = f"{meaning}, score ≥ {trained['threshold']:g}"
        if name in ("rbdc", "tbdc") and "tracks" in trained:
            meaning = f"{meaning} ({trained['tracks']})"
        found.append((name, meaning, number(trained[name]), number(untrained.get(name))))
    return found


def _meanings(figures: Mapping) -> dict[str, str]:
    """Name → meaning of the figures that are there; those of a system's own explain themselves."""
    if "auc" not in figures:
        return {name: FIGURES.get(name, "") for name in figures}
    known = {name: meaning for name, meaning in FIGURES.items() if name in figures}
    return known | _alternatives(figures)


def _alternatives(figures: Mapping) -> dict[str, str]:
    """Name → meaning of the figures of alternative scores."""
    meanings = {"auc": "AUC of {} alone, pooled", "auc_minmax": "the same after per-video min-max"}
    parts = {name: name.split(":", 1) for name in figures if ":" in name}
    return {name: meanings[kind].format(of) for name, (kind, of) in parts.items()}


def number(value: float | None) -> str:
    """Four decimals, or a dash where there is no value."""
    return "–" if value is None or math.isnan(value) else f"{value:.4f}"


def print_table(summary: Mapping) -> None:
    """Prints the figures of one run, with the untrained ones beside."""
    table = Table(title=summary["title"], title_justify="left")
    table.add_column("figure")
    table.add_column("meaning")
    table.add_column("value", justify="right")
    if summary.get("untrained"):
        table.add_column("untrained", justify="right")
    for name, meaning, value, untrained in rows(summary):
        table.add_row(name, meaning, value, *([untrained] if summary.get("untrained") else []))
    _console().print(table)


def print_runs(summaries: Mapping[str, Mapping]) -> None:
    """Prints the figures of several runs side by side, with mean ± deviation over the runs."""
    kinds = dict.fromkeys(s["title"].rsplit(", seed", 1)[0] for s in summaries.values())
    table = Table(title="\n".join(kinds), title_justify="left")
    table.add_column("figure")
    for run in summaries:
        table.add_column(pathlib.Path(run).name, justify="right")
    table.add_column("mean ± deviation", justify="right", style="bold")
    table.add_column("untrained", justify="right")
    names = _meanings(next(iter(summaries.values()))["metrics"])
    for name in names:
        trained = [summary["metrics"].get(name) for summary in summaries.values()]
        untrained = [(summary["untrained"] or {}).get(name) for summary in summaries.values()]
        table.add_row(name, *map(number, trained), _spread(trained), _spread(untrained))
    _console().print(table)


def _spread(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None and not math.isnan(value)]
    if not known:
        return "–"
    deviation = statistics.pstdev(known)
    return f"{statistics.fmean(known):.3f} ± {deviation:.3f}"


def _console() -> Console:
    console = Console()
    return console if console.is_terminal else Console(width=140)


def main(argv: list[str] | None = None) -> None:
    """Prints the table of the runs named on the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m vadjax.report.table",
        description="Figures of several runs with mean and (population) standard deviation.",
    )
    parser.add_argument("runs", nargs="+", help="workdirs with a metrics.json")
    args = parser.parse_args(argv)
    summaries = {}
    for run in args.runs:
        path = pathlib.Path(run) / "metrics.json"
        if not path.is_file():
            sys.exit(f"error: {path}: no such file; has this run finished?")
        summaries[run] = json.loads(path.read_text())
    print_runs(summaries)


if __name__ == "__main__":
    command.run(main)
