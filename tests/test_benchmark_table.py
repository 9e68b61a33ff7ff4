"""The programs that print the tables of docs/performance.md."""

import importlib.util
import json
import os
import subprocess
import sys

import jax
import numpy as np
import pytest
from jax import lax

from benchmarks import accelerators, table, workers
from benchmarks import all as benchmarks
from benchmarks.systems import SYSTEMS, Work
from benchmarks.workers import Turn
from tests.helpers.accelerator_cases import Case
from tests.helpers.places import ROOT


def run(*arguments: str) -> None:
    environment = {name: own for name, own in os.environ.items() if name != "XLA_FLAGS"}
    command = [sys.executable, "-m", *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def rows_of(tmp_path, *arguments: str) -> tuple[dict, dict]:
    """Head and rows (by system and what) of the table at tiny sizes."""
    file = tmp_path / "all.json"
    run("benchmarks.all", "--tiny=1", "--runs=1", f"--json={file}", *arguments)
    head = json.loads(file.read_text())
    return head, {(row["system"], row["what"]): row for row in head.pop("rows")}


def check(row: dict) -> None:
    """A row has our figures, and with a baseline those of both."""
    programs = ["", "baseline_"] if "baseline" in row else [""]
    for name in programs:
        assert row[f"{name}rate"] > 0 and row[f"{name}peak_gb"] > 0.1
        assert row[f"{name}cpu"] > 0
    assert row["first"] >= row["compile"] >= 0 and row["again"] > 0
    if "baseline" in row:  # of one turn
        ratio = row["rate"] / row["baseline_rate"]
        assert row["ratio"] == pytest.approx(ratio, rel=1e-6)


def test_a_speed_is_beside_its_baseline(tmp_path):
    pytest.importorskip("torch")
    head, rows = rows_of(tmp_path, "--systems", "mil", "--what", "scoring", "--cores=1")
    assert head["cores"] == 1 and head["jax"] == jax.__version__ and head["processor"]
    (row,) = rows.values()
    check(row)
    assert row["baseline"] == "torch, video by video" and row["compile"] > 0


@pytest.mark.whole
def test_all_speeds(tmp_path):
    pytest.importorskip("torch")
    _, rows = rows_of(tmp_path)
    assert {system for system, _ in rows} == set(SYSTEMS)
    trained = {"mil", "s3r", "lgn", "mnad", "ssmtl"}
    assert {system for system, what in rows if what == "training"} == trained
    for row in rows.values():
        check(row)
    for system in trained:
        row = rows[system, "training"]
        assert row["baseline"] == "torch"
        assert row["compile"] > 0 and row["first"] > row["again"]


def test_a_row_that_is_not_there_is_named_with_those_that_are():
    with pytest.raises(SystemExit, match="--what 'input'; these systems have selection, scoring"):
        benchmarks.main(["--systems", "exemplar", "--what", "input", "--tiny", "1"])


def test_without_torch_its_rows_have_no_baseline(monkeypatch, capsys):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "torch" else find(name)
    )
    monkeypatch.setattr(benchmarks, "measure", lambda name, work, _: unmeasured(name, work))
    benchmarks.main(["--systems", "mil", "lgn"])
    said = capsys.readouterr()
    assert said.err.count("note: torch is not installed") == 1
    assert "torch not installed" in said.out and "ratio" not in said.out
    # A baseline of another package keeps the columns, and torch's rows have dashes in them
    benchmarks.main(["--systems", "mil", "exemplar"])
    said = capsys.readouterr()
    rows = [[cell.strip() for cell in line.split("│")] for line in said.out.splitlines()]
    what = {row[2]: row[4:7] for row in rows if len(row) > 7}
    assert what["training"] == ["–", "–", "–"]
    assert what["selection"][1:] == ["31,603.0", "3.00"]


def unmeasured(name: str, work: Work) -> dict:
    """A row as `measure` gives it, of turns of one second."""
    turns = {benchmarks.OURS: [Turn(1.0, 2.0, 0.5)] * 3}
    if work.baseline is not None and not benchmarks.missing(work):
        turns[benchmarks.BASELINE] = [Turn(3.0, 2.0, 0.5)] * 3
    row = {"system": name, "what": work.what, "unit": work.unit}
    return row | {"compile": 0.0, "first": 1.0, "again": 0.5} | benchmarks.figures(work, turns)


def test_ratios_are_of_the_wall_clock_and_of_neighbours():
    base, ours = [Turn(4.0), Turn(40.0), Turn(4.0)], [Turn(2.0), Turn(20.0), Turn(1.0)]
    assert table.ratio(base, ours) == 2
    assert table.median(ours) == 2 and table.median([Turn(1.0, 8.0)], "cpu") == 8


COUNTING = """
import os
import sys
import time
from benchmarks import workers

def make():
    time.sleep(0.5)
    calls = []

    def program():
        calls.append(None)
        print("a line of a library")
        if len(calls) == 3:
            sys.exit()
        return len(calls)

    return program

workers.serve(make, lambda count: [os.environ["SAID"], sys.argv[1:], count])
"""


def test_programs_in_processes_of_their_own_take_turns(tmp_path, monkeypatch):
    (tmp_path / "counting.py").write_text(COUNTING)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), str(ROOT)]))
    monkeypatch.setattr(table, "PAUSE", 0)
    programs = {
        name: workers.Worker("counting", {"SAID": name}, worker=name, size=64) for name in "ab"
    }
    turns = table.in_turns(programs, 2, warm=0)
    for name, (first, second) in turns.items():
        options = [f"--worker={name}", "--size=64"]
        assert [first.result, second.result] == [[name, options, 1], [name, options, 2]]
        # The first turn makes the program too, which takes half a second
        assert first.wall > 0.5 > second.wall > 0 and second.cpu >= 0
        programs[name].close()
        assert programs[name].process.returncode == 0


def test_a_program_that_ends_is_an_error(tmp_path, monkeypatch):
    (tmp_path / "counting.py").write_text(COUNTING)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), str(ROOT)]))
    program = workers.Worker("counting", {"SAID": "a"})
    with pytest.raises(RuntimeError, match="ended without an answer"):
        for _ in range(3):
            program.run()
    program.close()


def test_as_many_cores_as_asked_for():
    code = (
        "from benchmarks import workers; workers.use_cores(1); print(workers.cores()); "
        "workers.use_cores(2)"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "1\n" and "--cores 2: this process may use 1" in done.stderr


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


def test_costs_count_every_round_of_a_loop():
    """Also of loops in loops, and in the branch of the platform alone."""

    def thrice(x):
        return lax.scan(lambda x, _: (x @ x, None), x, None, 3)[0]

    def function(x):
        def body(x, _):
            return lax.platform_dependent(x, cpu=lambda x: thrice(thrice(x)), default=thrice), None

        return jax.jit(lambda x: lax.scan(body, x, None, 5)[0])(x) @ x

    case = Case("products", "sixteen", function, (jax.ShapeDtypeStruct((64, 64), np.float32),))
    assert accelerators.work(case).flop == pytest.approx(16 * 2 * 64**3, rel=0.01)
