"""`benchmarks.gpu` on a machine without a GPU: its parts at small size, its time and its table."""

import io
import json
import os
import subprocess
import sys
import types

import jax
import numpy as np
import pytest
from rich.console import Console

from benchmarks import gpu
from benchmarks.accelerators import DATA_SHEETS, Work
from benchmarks.gpu_parts import all_parts, forms, golden, steps, tables
from benchmarks.gpu_parts.settings import LeftOut, Settings
from tests.helpers.places import ROOT
from tests.helpers.systems import SYSTEMS, config_of
from vadjax.ops import conv
from vadjax.ops import forms as choices

SETTINGS = Settings(True, 2000, 100)


def run(*arguments: str) -> subprocess.CompletedProcess:
    environment = {name: own for name, own in os.environ.items() if name != "XLA_FLAGS"}
    command = [sys.executable, "-m", "benchmarks.gpu", "--small", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)


@pytest.mark.slow
def test_a_small_run_fills_the_file_and_the_tables(tmp_path):
    file = tmp_path / "gpu.json"
    patterns = ["device", "golden mil", "steps mil", "nearest", "select", "input mil", "torch mil"]
    done = run("--minutes=60", f"--json={file}", "--parts", *patterns)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(file.read_text())
    parts = {part["part"]: part for part in found["parts"]}
    assert sorted(parts) == sorted(patterns) and found["small"] and found["seconds"] > 0
    for name, part in parts.items():
        assert part["seconds"] > 0, name
        if name != "torch mil":  # which may not be installed
            assert (part["status"], part["reason"]) == ("ok", "") and part["rows"], name

    (device,) = parts["device"]["rows"]
    assert device["platform"] == "cpu" and device["data_sheet"] is None
    assert device["error_of_products"]["highest"] < 1e-5
    tests = parts["golden mil"]["rows"]
    assert [row["outcome"] for row in tests] == ["passed"] * 2 and tests[0]["seconds"] > 0
    single, half = parts["steps mil"]["rows"]
    assert [single["mode"], half["mode"]] == ["float32", "bfloat16"]
    for row in (single, half):
        assert row["per_s"] == pytest.approx(1e3 / row["ms"]) and row["runs"] >= 3
        assert row["flop"] > 0 and row["bytes_least"] < row["bytes_most"] and row["tflops"] > 0
        assert row["predicted_ms"] is None and row["device_peak_gb"] is None
        assert row["program_gb"] > 0 and row["compile_s"] > 0 and row["loss_first"] > 0
    assert half["speedup"] == pytest.approx(single["ms"] / half["ms"])
    assert 0 < half["difference_loss_last"] < 0.1
    kernels = parts["nearest"]["rows"] + parts["select"]["rows"]
    assert [row["kernel"] for row in kernels] == ["nearest"] * 3 + ["select"]
    assert all(row["s"] > 0 and row["volumes"] == 2000 for row in kernels)
    assert all(row["on_device_per_s"] > 0 for row in parts["input mil"]["rows"])
    titles = {line.strip() for line in done.stdout.splitlines()}
    assert {"parts", "steps", "exemplar kernels", "input"} <= titles
    assert "peak unknown" in done.stdout and "2 of 2 tests passed" in done.stdout


@pytest.mark.slow
def test_a_part_that_fails_is_one_line_and_the_next_one_runs(tmp_path):
    file = tmp_path / "gpu.json"
    nowhere = str(tmp_path / "nothing")
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu", "--small", "--minutes=60"]
        + ["--parts", "golden exemplar", "device", f"--json={file}"],
        cwd=ROOT,
        env={**os.environ, "PYTEST_ADDOPTS": f"--golden={nowhere}"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1 and "error: failed: golden exemplar" in done.stderr
    device, exemplar = json.loads(file.read_text())["parts"]
    assert device["status"] == "ok" and exemplar["status"] == "failed"
    assert exemplar["reason"].startswith("AssertionError: 2 of 2 tests: ")
    assert "\n" not in exemplar["reason"]


def test_an_unknown_part_is_refused_with_the_names_of_all():
    with pytest.raises(SystemExit, match="no part 'nearst'; expected patterns of: device, golden"):
        gpu.main(["--small", "--parts", "nearst"])


def test_every_system_has_golden_tests_and_all_of_them_exist():
    covered = {config_of(name).system for name in golden.NODES if name != "i3d"}
    assert covered == set(SYSTEMS)
    nodes = [node for first, more in golden.NODES.values() for node in first + more]
    command = [sys.executable, "-m", "pytest", *golden.OPTIONS, "--collect-only", *nodes]
    own = {key: value for key, value in os.environ.items() if key != "PYTEST_ADDOPTS"}
    done = subprocess.run(command, cwd=ROOT, env=own, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert all(node in done.stdout for node in nodes)


def test_small_shapes_do_not_change_the_table(capsys):
    with pytest.raises(SystemExit):
        gpu.main(["--small", "--rewrite"])
    assert "leave out --small" in capsys.readouterr().err


# Processes and time


def parts_of(monkeypatch, **functions) -> list[all_parts.Part]:
    made = [all_parts.Part(name, 60, run, "group") for name, run in functions.items()]
    monkeypatch.setattr(all_parts, "parts", lambda: made)
    return made


def test_a_worker_tells_rows_and_how_each_part_ended(monkeypatch, capsys):
    def good(settings):
        yield {"small": settings.small}

    def absent(settings):
        raise LeftOut("no torch")
        yield

    def broken(settings):
        yield {"number": 1}
        raise ValueError("first\n second")

    parts_of(monkeypatch, good=good, broken=broken, absent=absent)
    monkeypatch.setattr(sys, "stdin", io.StringIO("broken\nabsent\ngood\n"))
    gpu.serve(SETTINGS)
    lines = [
        json.loads(line.removeprefix(gpu.MARK))
        for line in capsys.readouterr().out.split("\n")
        if line
    ]
    assert lines == [
        {"row": {"number": 1}},
        {"status": "failed", "reason": "ValueError: first · second"},
        {"status": "left out", "reason": "no torch"},
        {"row": {"small": True}},
        {"status": "ok", "reason": ""},
    ]


class Slow(gpu.Worker):
    """A worker whose process answers nothing, or ends."""

    program = "import time; time.sleep(60)"

    def __init__(self, group, options):
        popen = subprocess.Popen

        def start(command, **more):
            return popen([sys.executable, "-c", self.program], **more)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(subprocess, "Popen", start)
            super().__init__(group, options)


class Dead(Slow):
    """A worker whose process has ended."""

    program = "import sys; sys.exit('CUDA is out of order')"


@pytest.mark.parametrize(
    ("worker", "status", "reason"),
    [(Slow, "failed", "took longer than 0 s"), (Dead, "failed", "the process ended with 1: CUDA")],
)
def test_a_part_that_hangs_or_dies_is_a_line(worker, status, reason):
    process = worker("group", [])
    if worker is Dead:
        process.process.wait()
    found = process.run("part", 0.3 if worker is Slow else 30)
    assert found["status"] == status and found["reason"].startswith(reason)
    assert process.process.returncode is not None
    process.end()  # once more does no harm


@pytest.mark.parametrize(
    ("cores", "order"),
    [
        (2, ["a", "end of a", "b", "end of b"]),
        (8, ["a", "b", "end of a", "end of b"]),  # the next one imports its modules meanwhile
    ],
)
def test_parts_without_time_are_said_and_groups_have_processes_of_their_own(
    cores, order, monkeypatch
):
    clock, started = [0.0], []

    class Fake:
        process = types.SimpleNamespace(returncode=None)

        def __init__(self, group, options):
            self.group = group
            started.append(group)

        def run(self, name, seconds):
            clock[0] += min(seconds, 40)
            late = f"took longer than {seconds:.0f} s"
            ended = ("failed", late) if seconds < 40 else ("ok", "")
            return {**gpu.EMPTY, "status": ended[0], "reason": ended[1]}

        def end(self):
            started.append(f"end of {self.group}")

    monkeypatch.setattr(gpu, "Worker", Fake)
    monkeypatch.setattr(gpu.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(gpu.os, "cpu_count", lambda: cores)
    parts = [all_parts.Part(name, 60, None, name[0]) for name in ("a1", "a2", "b1", "b2", "b3")]
    parts[1] = parts[1]._replace(seconds=20)
    found = list(gpu.run_parts(parts, [], 95.0, lambda part: None))
    assert [(row["part"], row["status"], row["reason"]) for row in found] == [
        ("a1", "ok", ""),
        ("a2", "failed", "took longer than 20 s"),  # of its own time
        ("b1", "no time", "cut off after 35 s"),
        ("b2", "no time", "0 s were left"),
        ("b3", "no time", "0 s were left"),
    ]
    assert started == order


def test_golden_tests_ask_for_the_highest_precision(monkeypatch):
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
    first, second = all_parts.environment("golden"), all_parts.environment("steps lgn")
    assert first["JAX_DEFAULT_MATMUL_PRECISION"] == "highest"
    assert first["VADJAX_TEST_PLATFORMS"] == "" and "JAX_PLATFORMS" not in first
    assert "JAX_DEFAULT_MATMUL_PRECISION" not in second
    assert all_parts.environment("torch")["JAX_PLATFORMS"] == "cpu"


# Predictions


def test_predictions_are_of_the_data_sheet_of_the_device(monkeypatch):
    def of(kind, mode):
        monkeypatch.setattr(jax, "devices", lambda: [types.SimpleNamespace(device_kind=kind)])
        return steps.predicted(Work(2e12, 1e9, 1e12), mode, 0.01)

    found = of("NVIDIA H200", "bfloat16")
    assert found["predicted_ms"] == pytest.approx([1e3 * 2e12 / 989e12, 1e3 * 1e12 / 4.8e12])
    assert found["of_peak"] == pytest.approx(2e14 / 989e12) and found["tflops"] == 200
    assert of("NVIDIA H200", "highest")["predicted_ms"][0] == pytest.approx(1e3 * 2e12 / 67e12)
    for kind, mode in (("Tesla T4", "bfloat16"), ("some GPU", "float32")):
        assert of(kind, mode)["predicted_ms"] is None and of(kind, mode)["of_peak"] is None
    for chip in DATA_SHEETS.values():
        assert (
            chip.peak.get("highest", 0) <= chip.peak["float32"] <= chip.peak.get("bfloat16", 1e99)
        )


def test_tables_of_all_kinds_of_rows():
    step = {
        **{"system": "mil", "what": "train", "mode": "float32", "ms": 2.0, "per_s": 500.0},
        **{"predicted_ms": [0.5, 1.5], "of_peak": 0.25, "compile_s": 3.0, "from_disk": True},
        **{"program_gb": 1.0, "device_peak_gb": 2.0},
    }
    form = {"operation": "conv", "form": "plain", "ms": 1.0, "error": 0.0, "wrong": ""}
    form["temporary_mb"] = 7.0
    results = {
        "steps mil": [step],
        "torch mil": [{"system": "mil", "ms": 3.0}],
        "input mil": [
            {
                "system": "mil",
                "threads": 2,
                "batch": 4,
                "batches_per_s": 9.0,
                "on_device_per_s": 750.0,
            }
        ],
        "forms": [{**form, "now": False, "better": True}],
    }
    parts = [
        {"part": name, "status": "ok", "reason": "", "seconds": 1.0, "rows": rows}
        for name, rows in results.items()
    ]
    written = io.StringIO()
    tables.show({"parts": parts, "seconds": 4.0, "minutes": 8}, Console(file=written, width=200))
    lines = written.getvalue()
    for text in ("0.5 … 1.5", "25.0%", "1.5", "3.0 (disk)", "should be in use", "4 s of 480 s"):
        assert text in lines
    (row,) = [line for line in lines.splitlines() if "mil" in line and "750" in line]
    assert row.split("│")[-2].strip() == "1.50"  # batches for each of 500 steps


# Forms


@pytest.mark.slow
def test_every_operation_has_samples_and_both_forms_agree_with_the_plain_one():
    timed = lambda run: (float(len(jax.tree.leaves(run()))), 1)  # noqa: E731
    rows = list(forms.run(True, timed))
    assert {row["operation"] for row in rows} == set(choices.table())
    assert [row["form"] for row in rows] == list(choices.NAMES) * len(choices.table())
    assert not [row for row in rows if row["wrong"]]
    assert all(row["platform"] == "cpu" for row in rows)
    assert not forms.changes(rows)  # all are as fast by that clock


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda x, w, **_: 1.01 * conv.plain.conv(x, w, **_), "wrong: "),
        (lambda x, w, **_: jax.numpy.nan * conv.plain.conv(x, w, **_), "wrong: nan"),
        (lambda x, w, **_: x @ w, "ValueError: Incompatible types"),
    ],
)
def test_a_wrong_form_is_never_chosen(wrong, said, monkeypatch):
    monkeypatch.setattr(conv.on_cpu, "forward", wrong)
    found = forms.measure("conv", "special", "cpu", True, lambda run: (1e-9, 1))
    assert found["wrong"].startswith(said) and found["ms"] is None
    both = {"special": found, "plain": {"ms": 1e9, "temporary_mb": 1e9, "wrong": ""}}
    assert forms.better(both, "special") == forms.better(both, "plain") == "plain"


def test_another_form_must_be_a_twentieth_faster_within_the_memory():
    def best(special, plain, now, memory=(1.0, 1.0)):
        times = zip(choices.NAMES[::-1], (special, plain), memory, strict=True)
        both = {form: {"ms": ms, "temporary_mb": mb, "wrong": ""} for form, ms, mb in times}
        return forms.better(both, now)

    assert best(1.0, 1.04, "plain") == "plain" and best(1.0, 1.06, "plain") == "special"
    assert best(1.04, 1.0, "special") == "special" and best(1.06, 1.0, "special") == "plain"
    # nor if it needs much more memory
    assert best(9.0, 1.0, "special", (1.0, 2.9)) == "plain"
    assert best(9.0, 1.0, "special", (1.0, 3.1)) == "special"
    nothing = {form: {"ms": None, "wrong": "wrong"} for form in choices.NAMES}
    assert forms.better(nothing, "special") == "special"


def test_the_table_is_rewritten_line_by_line(tmp_path, monkeypatch):
    source = ROOT / "vadjax" / "ops" / choices.TABLE
    (tmp_path / choices.TABLE).write_text(source.read_text())
    monkeypatch.setattr(forms.importlib.resources, "files", lambda _: tmp_path)
    rows = [
        {"operation": "conv", "platform": "cuda", "form": form, "now": form == "plain"}
        | {"better": form == "special"}
        for form in choices.NAMES
    ]
    assert forms.rewrite(forms.changes(rows)) == tmp_path / choices.TABLE
    before, after = (path.read_text().splitlines() for path in (source, tmp_path / choices.TABLE))
    (changed,) = [i for i, line in enumerate(before) if line != after[i]]
    assert len(before) == len(after)
    assert after[changed] == before[changed].replace('"cuda": "plain"', '"cuda": "special"')
    with pytest.raises(ValueError, match="conv"):
        forms.rewrite({"conv": {"cuda": "fast"}})


def test_errors_are_of_the_largest_value():
    right = {"a": np.array([1.0, -4.0]), "b": np.zeros(2)}
    assert forms.error({"a": np.array([1.0, -3.0]), "b": np.zeros(2)}, right) == 0.25
    assert np.isnan(forms.error({"a": np.array([np.nan, -4.0]), "b": np.zeros(2)}, right))
