"""What the list of runs says of each."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

from tests.helpers.places import ROOT
from tests.runs.run_folder import make
from vadjax.runs import __main__ as program
from vadjax.runs import folders
from vadjax.runtime import layout, lock


def listed(capsys, *options) -> str:
    program.main([str(option) for option in options])
    return capsys.readouterr().out


def row(out: str, run: pathlib.Path) -> list[str]:
    line = next(line for line in out.splitlines() if f"│ {run} " in line)
    return [cell.strip() for cell in line.strip("│").split("│")][1:]


def test_runs_are_listed_with_size_state_and_figures(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make(pathlib.Path("runs/b/new"), finished=False)
    make(pathlib.Path("runs/a"))
    make(pathlib.Path("runs/own"), auc=None)
    # Neither a run within a run, nor a hidden one, nor one behind a link is listed.
    make(pathlib.Path("runs/a/evaluate_5"))
    make(pathlib.Path("runs/.hidden"))
    os.symlink("a", "runs/link")
    out = listed(capsys)
    size = sum(path.stat().st_size for path in pathlib.Path("runs/a").rglob("*") if path.is_file())
    shown = f"{size / 1000:.1f} kB"
    assert row(out, "runs/a") == [
        *("attributes", "street", shown, "finished", "AUC 0.7500, TBDC 0.5000"),
    ]
    assert row(out, "runs/b/new")[3:] == ["unfinished", ""]
    assert row(out, "runs/own")[3:] == ["finished", "no labels, 3 videos"]
    assert out.startswith("Runs: 3, ") and "evaluate_5" not in out and "link" not in out
    assert "runs/b/new: unfinished: step 5 is saved\n" in out


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("config.json", "config.json:1: not JSON"),
        ("metrics.json", "metrics.json:1: not JSON"),
        ("finished/state", "finished: state has 9 bytes, checksums.json says 2,000"),
        ("finished/checksums.json", "checksums.json cannot be read"),
        ("checkpoints/5/file", "checkpoints/5: file has 9 bytes"),
    ],
)
def test_what_is_not_as_it_was_written_is_damaged(capsys, tmp_path, place, said):
    run = make(tmp_path / "run")
    (run / place).write_bytes(b"{ damaged")
    out = listed(capsys, tmp_path)
    assert row(out, run)[3] == "damaged"
    assert f"{run}: damaged: " in out and said in out.split("damaged: ", 1)[1]


def test_a_run_in_use_is_told_with_its_program(capsys, tmp_path):
    run = make(tmp_path / "run", finished=False)
    starting = tmp_path / "starting"
    starting.mkdir()
    with lock.held(run / layout.LOCK, "run"), lock.held(starting / layout.LOCK, "starting"):
        out = listed(capsys, tmp_path)
    assert row(out, run)[3] == row(out, starting)[3] == "in use"
    assert f"{run}: in use: in use by process {os.getpid()} on " in out


def test_a_lock_that_a_kill_has_left_is_not_in_use(tmp_path):
    run = make(tmp_path / "run", finished=False)
    (run / layout.LOCK).write_text(json.dumps({"host": "h", "pid": 1, "since": "s"}))
    assert folders.read(run).state == "unfinished" and (run / layout.LOCK).is_file()


def test_a_state_without_sums_is_said_not_to_be_checked(capsys, tmp_path):
    run = make(tmp_path / "run")
    (run / "finished" / "checksums.json").unlink()
    out = listed(capsys, run)
    assert f"{run}: finished: not checked, since a state of an older vadjax has no sums" in out


@pytest.mark.parametrize("names", [["config.json"], ["lock"], ["finished"], ["checkpoints"]])
def test_other_folders_are_no_runs(capsys, tmp_path, names):
    (tmp_path / "project").mkdir()
    for name in names:
        (tmp_path / "project" / name).write_text("mine")
    assert listed(capsys, tmp_path) == f"No runs in {tmp_path}.\n"


def test_folders_that_cannot_be_listed_end_in_a_line(tmp_path):
    (tmp_path / "file").write_text("")
    for name, said in (("none", "no such folder; name the"), ("file", "a file; name the folder")):
        with pytest.raises(SystemExit, match=f"^error: .*{name}: {said}"):
            program.main([str(tmp_path / name)])


def test_the_program_runs_without_jax(tmp_path):
    run = make(tmp_path / "run")
    code = (
        "import runpy, sys; sys.modules['jax'] = None; sys.argv = ['runs', sys.argv[1]]; "
        "runpy.run_module('vadjax.runs', run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(run)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0 and "finished" in done.stdout, done.stderr
