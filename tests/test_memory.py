"""The peak that benchmarks print."""

import subprocess
import sys

import numpy as np

from benchmarks import memory
from tests.helpers.places import ROOT

SHOW = "from benchmarks import memory; print(memory.peak())"


def test_peak_is_that_of_the_process_alone():
    before = memory.peak()
    ballast = np.ones(2**26)  # half a GB, gone before the other process starts
    assert memory.peak() > 0.5 and memory.peak() >= before
    del ballast
    command = [sys.executable, "-c", SHOW]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert 0.003 < float(found.stdout) < 0.2
