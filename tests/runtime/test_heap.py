"""Memory of a step that is kept, in processes of their own: it is a matter of the whole process."""

import json
import os
import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import pytest

from tests.helpers.places import ROOT
from vadjax.runtime import heap

# A step with temporaries of 64 MB; prints its page faults, when the heap has come to rest after
# some steps, and its result.
PROGRAM = """
import json, resource, sys
import jax, jax.numpy as jnp, numpy as np
from vadjax.runtime import heap

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

if "late" in sys.argv:
    jax.devices()
if "prepared" in sys.argv:
    heap.prepare()
x, w = np.ones((16384, 8), np.float32), np.ones((8, 1024), np.float32)
step = jax.jit(lambda x, w: jnp.sin(x @ w) @ w.T).lower(x, w).compile()
assert step.memory_analysis().temp_size_in_bytes >= 64 * 2**20
kept, w = heap.keeping(step), jax.device_put(w)
found = []
for _ in range(21):
    before = faults()
    result = kept(jax.device_put(x), w)
    float(result.sum())
    found.append(faults() - before)
taken = len(heap._taken)
heap.release()
told = [sorted(found)[10], float(np.abs(result).sum()), kept is not step, resident()]
print(json.dumps([*told, taken, len(heap._taken)]))
""".replace(
    "\ndef faults",
    """
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()

def faults""",
    1,
)
# The program that users run; prints how many steps had their memory kept.
TRAINING = """
import runpy, sys
from vadjax.runtime import heap

calls, in_heap = [], heap._in_heap
heap._in_heap = lambda sizes: calls.append(1) or in_heap(sizes)
try:
    runpy.run_module("vadjax.main", run_name="__main__", alter_sys=True)
except SystemExit as end:
    assert not end.code
print(len(calls))
"""
GLIBC = heap._glibc() is not None


def printed(program: str, *words: str, **environment: str):
    """What the last line that a program prints says, with one device and no settings."""
    plain = {k: v for k, v in os.environ.items() if not k.startswith(("XLA_", *heap.SETTINGS))}
    command = [sys.executable, "-c", program, *words]
    done = subprocess.run(
        command, cwd=ROOT, env=plain | environment, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def outcome(*words: str, **environment: str) -> list:
    """What is known after some steps.

    Page faults of a step, the median; its result; whether memory is kept; memory at the end; blocks
    that are taken between steps, and at the end.
    """
    return printed(PROGRAM, *words, **environment)


@pytest.mark.skipif(not GLIBC, reason="for glibc")
@pytest.mark.parametrize("plain", [False, True])
def test_training_keeps_memory_but_with_plain_operations(tmp_path, plain):
    flags = ["--config=configs/ucf_mil.py:smoke", f"--workdir={tmp_path}/run"]
    flags += ["--config.train.steps=2", f"--config.runtime.plain_ops={plain}"]
    assert printed(TRAINING, *flags) == (0 if plain else 2)


@pytest.mark.skipif(not GLIBC, reason="for glibc")
def test_a_steps_memory_is_kept_and_then_given_back_and_the_bits_stay():
    faults, result, kept, resident, *taken = outcome("prepared")
    faults_before, result_before, kept_before, resident_before, *taken_before = outcome()
    assert taken == [2, 0] and taken_before == [0, 0]  # for temporary memory, for results
    assert kept and faults < 2000 and result == result_before
    assert not kept_before and resident < resident_before + 32 * 2**20
    huge = pathlib.Path("/sys/kernel/mm/transparent_hugepage/enabled").read_text()
    if not huge.split("[")[1].startswith("always"):
        assert faults_before > 15_000


@pytest.mark.skipif(not GLIBC, reason="for glibc")
@pytest.mark.parametrize(
    "words, environment",
    [
        (("late", "prepared"), {}),
        (("prepared",), {"GLIBC_TUNABLES": "glibc.malloc.arena_max=2"}),
        (("prepared",), {"JAX_CPU_ENABLE_ASYNC_DISPATCH": "true"}),
        (("prepared",), {"XLA_FLAGS": f"--{heap.SEVERAL}=2"}),
    ],
)
def test_nothing_changes_after_jax_has_started_or_with_settings_of_the_user(words, environment):
    assert not outcome(*words, **environment)[2]


def test_nothing_changes_without_glibc(monkeypatch):
    step = jax.jit(lambda x: x).lower(jnp.ones(3)).compile()
    monkeypatch.delenv("XLA_FLAGS")
    monkeypatch.setattr(heap.xla_bridge, "backends_are_initialized", lambda: False)
    monkeypatch.setattr(heap.sys, "platform", "darwin")
    heap.prepare()
    assert heap.keeping(step) is step
    heap.release()
    monkeypatch.setattr(heap.sys, "platform", "linux")
    monkeypatch.setattr(heap.ctypes, "CDLL", lambda name: object())  # musl has no version of glibc
    heap.prepare()
    assert heap.keeping(step) is step
    heap.release()


def test_several_devices_and_other_platforms_are_left_alone(monkeypatch):
    step = jax.jit(lambda x: x).lower(jnp.ones(3)).compile()
    monkeypatch.setattr(heap, "_prepared", True)
    assert heap.keeping(step, 2) is step
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert heap.keeping(step) is step
