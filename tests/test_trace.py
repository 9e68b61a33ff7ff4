"""The table of a profile: a trace written by hand, and the trace of a real program."""

import gzip
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import trace


def event(name, start, length, **more):
    return {"ph": "X", "ts": start, "dur": length, "args": {"hlo_op": name}, **more}


def write(run, data: bytes):
    folder = run / "profile/plugins/profile/2026_01_01"
    folder.mkdir(parents=True)
    (folder / "vm.trace.json.gz").write_bytes(data)


def test_kinds_are_summed_and_loops_left_out(tmp_path, capsys):
    events = [
        event("dot.1", 0, 1000),
        event("dot.2.clone", 500, 1000),
        event("add_fusion.3", 3000, 500),
        event("while.4", 0, 9000),
        {"ph": "M", "name": "thread_name", "args": {"name": "main"}},
    ]
    write(tmp_path, gzip.compress(json.dumps({"traceEvents": events}).encode()))
    trace.main([str(tmp_path)])
    out = capsys.readouterr().out
    found = trace.read(tmp_path)
    assert trace.sums([trace.kind(e.name) for e in found], found) == {
        "dot": (2.0, 2),
        "add_fusion": (0.5, 1),
    }
    assert trace.busy(found) == (2.0, 1.25)
    assert "2.5 ms of operations in 2.0 ms: 1.25 at once" in out


def test_operations_one_after_another_are_one_at_once():
    """With starts of real traces, which no float adds a length to exactly."""
    ends = 123_456_789.123 + 0.1 * np.arange(1000)
    events = [trace.Event("dot.1", float(start), 0.1) for start in ends]
    assert trace.busy(events) == (0.1, 1.0)


def test_rows_beyond_those_asked_for_are_summed(tmp_path, capsys):
    events = [event(f"op{n}.1", 10 * n, 1000 * n) for n in range(1, 5)]
    write(tmp_path, gzip.compress(json.dumps({"traceEvents": events}).encode()))
    trace.main([str(tmp_path), "--rows", "2", "--operations"])
    rows = [line.replace("│", " ").split() for line in capsys.readouterr().out.splitlines()]
    assert ["op4.1", "4.0", "40.0%", "1"] in rows
    assert ["2", "others", "3.0", "30.0%", "2"] in rows


@pytest.mark.parametrize("data", [b"no gzip", b"{}", b"[1]"], ids=["plain", "empty", "list"])
def test_what_is_no_trace_says_so(tmp_path, data):
    write(tmp_path, data if data == b"no gzip" else gzip.compress(data))
    with pytest.raises(SystemExit, match="not a trace of JAX"):
        trace.main([str(tmp_path)])


def test_no_trace_says_how_to_get_one(tmp_path):
    with pytest.raises(SystemExit, match=r"no trace; train with --config\.train\.profile=True"):
        trace.main([str(tmp_path)])


def test_a_real_trace_has_the_product(tmp_path):
    product = jax.jit(lambda a: jnp.tanh(a @ a.T))
    product(jnp.ones((64, 64)))
    with jax.profiler.trace(str(tmp_path / "profile"), create_perfetto_trace=True):
        jax.block_until_ready(product(jnp.ones((64, 64))))
    found = trace.read(tmp_path)
    assert any("dot" in event.name or "fusion" in event.name for event in found)
    covered, at_once = trace.busy(found)
    assert covered > 0 and at_once >= 1
