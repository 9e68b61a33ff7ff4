"""How the programs end: one way for all of them."""

import ast
import shlex
import signal
import subprocess
import sys
import warnings

import numpy as np
import pytest

from tests.helpers.places import ROOT
from vadjax.runtime import command

CHILD = ROOT / "vadjax/backbones/net_trial.py"  # its parent reads what it says
PROGRAMS = sorted(
    path
    for folder in ("vadjax", "data_prep")
    for path in (ROOT / folder).rglob("*.py")
    if '__name__ == "__main__"' in path.read_text() and path != CHILD
)


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_program_ends_in_the_shared_way(path):
    last = ast.parse(path.read_text()).body[-1]
    assert isinstance(last, ast.If)
    end = ast.unparse(last.body[-1])
    if " is now: python -m " not in end:  # else no program any more: it says its new name
        assert end.startswith("command.run("), "see vadjax/runtime/command.py"


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


SLEEPS = """
import sys, time
from vadjax.runtime import command
def main():
    print("working", flush=True)
    time.sleep(60)
command.run(main)
"""


def test_ctrl_c_is_one_line_and_130():
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", SLEEPS], cwd=ROOT, **pipes) as process:
        assert process.stdout.readline() == "working\n"
        process.send_signal(signal.SIGINT)
        assert (process.stderr.read(), process.wait(60)) == ("Stopped.\n", 130)


IN_A_THREAD = """
import sys, threading, time
from vadjax.runtime import command
def talk():
    for _ in range(3):
        time.sleep(0.3)
        print("line", flush=True)
    print("the thread went on", file=sys.stderr)
def main():
    thread = threading.Thread(target=talk)
    thread.start()
    try:
        time.sleep(60)
    finally:
        thread.join()
        print("closed", file=sys.stderr)
with command.terminable():
    command.run(main)
"""


@pytest.mark.parametrize(
    ("where", "code", "said"),
    [
        ("| true", command.READER_GONE, ""),
        ("> /dev/full", 1, "error: what the program prints could not be written: No space left"),
    ],
)
@pytest.mark.parametrize("before", ["", "trap '' INT; "], ids=["", "Ctrl-C ignored"])
def test_output_that_is_lost_in_a_thread_ends_the_program_and_not_the_thread(
    where, code, said, before
):
    shell = f"{before}set -o pipefail; {sys.executable} -c {shlex.quote(IN_A_THREAD)} {where}"
    done = subprocess.run(
        ["bash", "-c", shell], cwd=ROOT, capture_output=True, text=True, timeout=50
    )
    lines = done.stderr.splitlines()
    assert done.returncode == code and lines[:2] == ["the thread went on", "closed"], done
    assert "".join(lines[2:]).startswith(said) and len(lines) == 2 + bool(said)


HANGS = """
import atexit, sys, threading, time
from vadjax.runtime import command
atexit.register(print, "wound up")
thread = threading.Thread(target=time.sleep, args=(60,), daemon=True)
thread.abandoned = {}
thread.start()
def main():
    print("half", end="")
    sys.exit("error: bad")
command.run(main)
"""


@pytest.mark.parametrize("abandoned", [True, False])
def test_a_thread_that_hangs_is_left_at_once(abandoned):
    """With all that was printed, and the exit code."""
    script = HANGS.format(abandoned)
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (1, "error: bad\n")
    assert done.stdout == ("half" if abandoned else "halfwound up\n")


def test_an_error_is_one_line_and_warnings_are_lines(capsys):
    def fails():
        warnings.warn("doubtful", stacklevel=1)
        raise OSError("no such thing")

    with pytest.raises(SystemExit, match="^error: no such thing$"):
        command.report_errors(fails)
    assert capsys.readouterr().err == "warning: doubtful\n"


NO_MEMORY = """
import sys
import numpy as np
from vadjax.runtime import command
def main():
    {}
command.run(main)
"""


@pytest.mark.parametrize(
    ("asks", "said"),
    [
        ("bytearray(1 << 60)", "there is not enough memory."),
        ("np.zeros((1 << 25, 1 << 25))", "there is not enough memory: 8.00 PiB more."),
        (
            "import jax; jax.numpy.zeros((10**9, 10**4)).block_until_ready()",
            "there is not enough memory: 40.0 TB more.",
        ),
        (
            "from vadjax.ops import pool; raise ValueError('x') from MemoryError()",
            "there is not enough memory.",
        ),
    ],
)
def test_memory_that_is_used_up_is_one_line(asks, said):
    script = NO_MEMORY.format(asks)
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr.startswith(f"error: {said}"), done.stderr
    assert done.stderr.count("\n") == 1


def test_memory_is_said_with_the_part_of_the_program_that_asked():
    from vadjax.formats import text

    with pytest.raises(MemoryError) as raised:
        text.split(Unsplittable())
    assert ", in vadjax.formats.text. Are the sizes" in command.memory_told(raised.value)
    assert command.memory_told(RuntimeError("RESOURCE_EXHAUSTED")) is None


class Unsplittable(str):
    """Text for which there is no memory."""

    def __getattribute__(self, name):
        raise MemoryError
