"""How the programs end: one way for all of them."""

import ast
import subprocess
import sys
import warnings

import numpy as np
import pytest

from conftest import ROOT
from vadjax import command

PROGRAMS = sorted(
    path
    for folder in ("vadjax", "data_prep")
    for path in (ROOT / folder).rglob("*.py")
    if '__name__ == "__main__"' in path.read_text()
)


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_program_ends_in_the_shared_way(path):
    last = ast.parse(path.read_text()).body[-1]
    assert isinstance(last, ast.If)
    assert ast.unparse(last.body[-1]).startswith("command.run("), "see vadjax/command.py"


@pytest.fixture
def score_files(tmp_path):
    rng, labels = np.random.default_rng(0), np.arange(40) % 2
    for name in "ab":
        np.savez(tmp_path / f"{name}.npz", frame_scores=rng.random(40), labels=labels)
    return tmp_path


PIPED = [
    "vadjax.metrics.frame {}",
    "vadjax.metrics.frame {} --expansion=none 2>&1",
    "vadjax.report.table {} 2>&1",
    "data_prep.tracks --help",
    "vadjax.main --helpfull",
]


@pytest.mark.parametrize("program", PIPED)
def test_a_reader_that_goes_away_ends_the_program_without_a_word(score_files, program):
    script = f"set -o pipefail; {sys.executable} -m {program.format(score_files)} | true"
    done = subprocess.run(["bash", "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (command.READER_GONE, "")


def test_with_a_reader_nothing_is_lost(score_files):
    script = f"{sys.executable} -m vadjax.metrics.frame {score_files} | cat"
    done = subprocess.run(["bash", "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1].split() == ["anomalous_frames", "40"]
    assert (done.returncode, done.stderr) == (0, "")


def test_an_error_is_one_line_and_warnings_are_lines(capsys):
    def fails():
        warnings.warn("doubtful", stacklevel=1)
        raise OSError("no such thing")

    with pytest.raises(SystemExit, match="^error: no such thing$"):
        command.report_errors(fails)
    assert capsys.readouterr().err == "warning: doubtful\n"
