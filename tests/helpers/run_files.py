"""Compares the files of two runs."""

import json
import pathlib

from vadjax.runtime import provenance


def measured(run: pathlib.Path) -> dict:
    """`metrics.json` of a run, without the entry that says with what and when it was made."""
    summary = json.loads((run / "metrics.json").read_text())
    assert summary.pop(provenance.KEY)["date"], "every metrics.json says with what it was made"
    return summary


def assert_same_figures(one: pathlib.Path, other: pathlib.Path) -> None:
    """Two runs have the same figures and the same steps, bit for bit."""
    assert measured(one) == measured(other)
    assert (one / "metrics.jsonl").read_bytes() == (other / "metrics.jsonl").read_bytes()
