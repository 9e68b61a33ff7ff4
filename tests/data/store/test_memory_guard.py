"""Writing a dataset where memory is limited ends, in one line, whatever the writer does."""

import subprocess
import sys

import pytest

from tests.helpers.places import ROOT
from vadjax.data.store import memory_guard

LIMITED = """
import resource, sys
sys.path.insert(0, {root!r})
from vadjax.runtime import command
from vadjax.data.store import memory_guard
from vadjax.data.toy.datasets import ToyBags, write_bags
taken = memory_guard._taken()
assert taken > 1e8
resource.setrlimit(resource.RLIMIT_AS, (taken + {more}, taken + {more}))
command.run(lambda: command.report_errors(write_bags, sys.argv[1], ToyBags(train=(40, 40))))
"""

HANGS = """
import resource, sys, threading
sys.path.insert(0, {root!r})
from vadjax.data.store import memory_guard
memory_guard.SECONDS = 2
resource.setrlimit(resource.RLIMIT_AS, (8_000_000_000, -1))
with memory_guard.guarded("data/mine"):
    threading.Event().wait()
"""


def ended(script: str, *arguments: str) -> list[str]:
    """The lines with which a program ends that has been refused."""
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    return done.stderr.splitlines()


@pytest.mark.slow
def test_too_little_memory_is_refused_ahead(tmp_path):
    lines = ended(LIMITED.format(root=str(ROOT), more=50_000_000), str(tmp_path / "out"))
    assert len(lines) == 1 and lines[0].startswith(f"error: {tmp_path / 'out'}: not written: ")
    assert "needs 512.0 MB" in lines[0] and "(ulimit -v); raise that" in lines[0]
    assert not [*tmp_path.iterdir()]


def test_a_program_that_stands_still_is_ended():
    lines = ended(HANGS.format(root=str(ROOT)))
    assert len(lines) == 1 and lines[0].startswith("error: data/mine: not written: ")
    assert "stands still" in lines[0] and "limited to 8.0 GB (ulimit -v)" in lines[0]


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("ZSTD_compressStream2() failed: not enough memory"),
        RuntimeError("std::bad_alloc"),
    ],
    ids=str,
)
def test_no_memory_is_one_line(error):
    with pytest.raises(ValueError, match=r"data/mine: not written: out of memory \("):
        with memory_guard.guarded("data/mine"):
            raise error


def test_other_errors_pass():
    with pytest.raises(RuntimeError, match="other"), memory_guard.guarded("data/mine"):
        raise RuntimeError("other")
