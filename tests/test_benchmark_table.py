"""The programs that print the tables of docs/performance.md."""

import json
import os
import subprocess
import sys

import pytest

from benchmarks import workers
from tests.helpers.places import ROOT


def run(*arguments: str) -> None:
    environment = {name: own for name, own in os.environ.items() if name != "XLA_FLAGS"}
    command = [sys.executable, "-m", *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.whole
def test_every_speed_is_beside_its_baseline(tmp_path):
    pytest.importorskip("torch")
    run("benchmarks.all", "--systems", "mil", "--runs=1", f"--json={tmp_path / 'all.json'}")
    rows = {row["what"]: row for row in json.loads((tmp_path / "all.json").read_text())}
    assert list(rows) == ["training", "scoring", "input"]
    for row in rows.values():
        assert row["rate"] > 0 and row["peak_gb"] > 0.1 and row["compile"] >= 0
    for what in ("training", "scoring"):
        ratio = rows[what]["rate"] / rows[what]["baseline_rate"]
        assert rows[what]["ratio"] == pytest.approx(ratio, rel=1e-6)


class Hidden:
    """Finds no torch, as where it is not installed."""

    def find_spec(self, name, path=None, target=None):
        """As of every finder."""
        if name == "torch":
            raise ModuleNotFoundError("No module named 'torch'", name="torch")


@pytest.mark.parametrize("system", ["mil", "s3r"])
def test_without_torch_the_speeds_are_measured_without_it(system, monkeypatch, capsys):
    from benchmarks import all as benchmarks

    for name in [name for name in sys.modules if name.split(".")[0] == "torch"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Hidden(), *sys.meta_path])
    for work in benchmarks.SYSTEMS[system]():
        row = benchmarks.beside(work._replace(ours=None), lambda: None, 1)
        assert row["rate"] > 0 and "ratio" not in row and "baseline_rate" not in row
        said = capsys.readouterr().err
        if work.baseline is None:
            assert "baseline" not in row and not said
        else:
            assert row["baseline"] == f"{work.name} (not installed)"
            assert said == f"note: torch is not installed: {work.what} has no baseline\n"


COUNTING = """
import sys
from benchmarks import workers

count = 0

def turn():
    global count
    count += 1
    print("a line of a library")
    if count == 3:
        sys.exit()
    return {"program": sys.argv[2], "options": sys.argv[3:], "count": count}

workers.serve(turn)
"""


def test_programs_in_processes_of_their_own_take_turns(tmp_path, monkeypatch):
    (tmp_path / "counting.py").write_text(COUNTING)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), str(ROOT)]))
    programs = {name: workers.Worker("counting", name, size=64, batch=1) for name in ("a", "b")}
    options = ["--size=64", "--batch=1"]
    assert programs["a"].run() == {"program": "a", "options": options, "count": 1}
    assert workers.in_turns(programs, 1) == {
        "a": [{"program": "a", "options": options, "count": 2}],
        "b": [{"program": "b", "options": options, "count": 1}],
    }
    assert [worker.process.returncode for worker in programs.values()] == [0, 0]


def test_a_program_that_ends_is_an_error(tmp_path, monkeypatch):
    (tmp_path / "counting.py").write_text(COUNTING)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), str(ROOT)]))
    program = workers.Worker("counting", "a")
    with pytest.raises(RuntimeError, match="ended without an answer"):
        for _ in range(3):
            program.run()
    program.close()


def test_another_package_that_is_missing_is_no_missing_baseline(monkeypatch):
    from benchmarks import all as benchmarks

    def baseline():
        import no_such_package  # noqa: F401

    with pytest.raises(ModuleNotFoundError, match="no_such_package"):
        benchmarks.open_baseline(benchmarks.Work("training", 1, "bags", None, baseline, "torch"))


def test_costs_by_analysis_are_those_of_the_network(tmp_path):
    file = tmp_path / "costs.json"
    run("benchmarks.accelerators", "--systems", "mil", f"--json={file}")
    rows = [row for row in json.loads(file.read_text()) if row["what"].startswith("score")]
    assert [row["precision"] for row in rows] == ["float32", "bfloat16"]
    products = 512 * 32 * (2048 * 512 + 512 * 32 + 32)  # bags × segments × the ranker's layers
    for row in rows:
        assert row["flop"] == pytest.approx(2 * products, rel=0.01)
        assert 4 * 512 * 32 * 2048 < row["bytes_least"] < row["bytes_most"]
        peak = {"float32": 494e12, "bfloat16": 989e12}[row["precision"]]
        longest = max(row["bytes_least"] / 3.35e12, row["flop"] / peak)
        assert row["H100 least"] == pytest.approx(longest)
