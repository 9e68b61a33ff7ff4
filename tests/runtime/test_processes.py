"""Two real processes with the CPU collectives."""

import json
import pathlib
import random
import signal
import socket
import time

import numpy as np
import pytest

from tests.helpers import commands
from tests.helpers.commands import Program
from tests.helpers.systems import METHODS, kind_of
from vadjax.runtime import metric_writers, processes

LIMIT = 900  # seconds for what takes a fraction of it on an idle machine
ENDLESS = 10**6  # steps
STEPS = {"mil": 30}  # of a short run on bags; four otherwise
SHOWN = {"lgn", "appearance"}  # by MNAD and the motion networks, which are the same systems
LONG = {"s3r", "mnad", "motion"}  # RTFM is S3R's system, SSMTL scores frames too
RUN = [
    pytest.param(name, marks=[pytest.mark.whole] * (name in LONG))
    for name in METHODS
    if name not in SHOWN
]


def address() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


def start(count: int, *options: str) -> list[Program]:
    """`--distributed` processes of the command line program."""
    where = address()
    return [
        Program("vadjax.main", f"--distributed={where},{count},{number}", *options)
        for number in range(count)
    ]


def ends(running: list[Program], limit: float = LIMIT) -> list[tuple[int, str, str]]:
    """Exit code, output and errors of each."""
    try:
        outputs = [program.communicate(limit) for program in running]
    finally:
        for program in running:
            program.kill()
    return [
        (program.returncode, said(out), errors)
        for program, (out, errors) in zip(running, outputs, strict=True)
    ]


def said(out: str) -> str:
    """Without the lines that the collectives' library writes there."""
    return "".join(line for line in out.splitlines(True) if not line.startswith("[Gloo]"))


def mil(folder: pathlib.Path, data: pathlib.Path, **fields) -> list[str]:
    fields = {"data.dir": data, "eval.untrained": False, "train.evaluate_every": 0, **fields}
    return [
        "--config=configs/ucf_mil.py:smoke",
        f"--workdir={folder}",
        *(f"--config.{name}={value}" for name, value in fields.items()),
    ]


def saved(folder: pathlib.Path) -> int:
    """The newest checkpoint whose save has finished, 0 if none."""
    folders = (folder / "checkpoints").glob("[0-9]*")
    return max((int(path.name) for path in folders if path.name.isdigit()), default=0)


def saved_after(step: int, folder: pathlib.Path, running: list[Program]) -> int:
    """Waits for a checkpoint after `step`; returns its step."""
    end = time.monotonic() + LIMIT
    while saved(folder) <= step:
        assert time.monotonic() < end and all(process.poll() is None for process in running), [
            process.communicate() if process.poll() is not None else "runs" for process in running
        ]
        time.sleep(0.02)
    return saved(folder)


def fields_of(name: str, bags: pathlib.Path, scenes: pathlib.Path) -> tuple[str, dict]:
    """Module of `configs/` and the fields of a short run of a method."""
    folders, kind = {"features": bags, "frames": scenes}, kind_of(name)
    # A kind that is not there has a built-in set
    fields: dict = {"data.dir": str(folders[kind])} if kind in folders else {}
    if kind == "features":
        fields["train.steps"], fields["train.batch"] = STEPS.get(name, 4), 4
        fields["train.evaluate_every"] = 2
    if name == "mnad":  # Adam turns rounding into whole steps, which its figures show
        fields["optim.learning_rate"] = 1e-7
    return METHODS[name], fields


def trained(
    module: str, fields: dict, folder: pathlib.Path, count: int, devices: int = 1
) -> list[Program]:
    """The `:smoke` run by so many processes, which have just been started."""
    options = [
        f"--config=configs/{module}.py:smoke",
        f"--workdir={folder}",
        *(f"--config.{name}={value}" for name, value in fields.items()),
    ]
    if count > 1:
        return start(count, *options)
    return [Program("vadjax.main", *options, devices=devices)]


@pytest.mark.slow
@pytest.mark.parametrize("name", RUN)
def test_two_processes_are_as_one(name, toy_bags, toy_scenes, tmp_path):
    module, fields = fields_of(name, toy_bags, toy_scenes)
    one, two = tmp_path / "one", tmp_path / "two"
    # A single device has machine code where several have XLA's operations. SSMTL's steps of Adam
    # make much of the rounding between them, so its one process has two devices too.
    devices = 2 if name == "ssmtl" else 1
    for code, _, errors in ends(
        [*trained(module, fields, two, 2), *trained(module, fields, one, 1, devices)]
    ):
        assert code == 0, errors
    rows, others = metric_writers.read(one), metric_writers.read(two)
    assert [row["step"] for row in rows] == [row["step"] for row in others]
    for row, other in zip(rows, others, strict=True):
        assert row.keys() == other.keys()
        for key, value in row.items():
            np.testing.assert_allclose(other[key], value, rtol=1e-4, atol=1e-6, err_msg=key)
    figures, expected = (json.loads((run / "metrics.json").read_text()) for run in (two, one))
    assert figures["metrics"].keys() == expected["metrics"].keys()
    for key, value in expected["metrics"].items():
        assert figures["metrics"][key] == pytest.approx(value, abs=1e-4), key  # or both None
    names = [sorted(path.name for path in (run / "scores").glob("*")) for run in (one, two)]
    assert names[0] == names[1] and not (two / "evaluating").exists()


@pytest.mark.slow
def test_two_processes_evaluate_as_one(toy_bags, toy_scenes, tmp_path):
    module, fields = fields_of("mil", toy_bags, toy_scenes)
    for code, _, errors in ends(trained(module, fields, tmp_path, 1)):
        assert code == 0, errors
    options = [f"--config=configs/{module}.py:smoke", f"--workdir={tmp_path}", "--mode=evaluate"]
    fields = [f"--config.{name}={value}" for name, value in fields.items()]
    for code, _, errors in ends(start(2, *options, *fields)):
        assert code == 0, errors
    figures, expected = (
        json.loads((run / "metrics.json").read_text())
        for run in (tmp_path / "evaluate_30", tmp_path)
    )
    assert figures["metrics"] == expected["metrics"]
    assert (tmp_path / "evaluate_30" / "report" / "index.html").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
def test_when_one_is_killed_the_other_ends_and_the_same_command_goes_on(tmp_path, toy_bags, victim):
    options = mil(tmp_path, toy_bags, **{"train.save_every": 5, "train.steps": ENDLESS})
    running = start(2, *options)
    saved_after(0, tmp_path, running)
    running[victim].kill()
    running[victim].communicate()
    began = time.monotonic()
    code, _, errors = ends([running[1 - victim]], 60)[0]
    assert time.monotonic() - began < 60 and code not in (0, None)
    assert "go on from the last checkpoint" in errors or "another task died" in errors, errors
    done = saved(tmp_path)
    again = start(2, *options)
    saved_after(done, tmp_path, again)
    again[0].send_signal(signal.SIGTERM)  # one of them is enough
    (_, told, _), (_, silent, _) = outputs = ends(again, 60)
    assert [code for code, *_ in outputs] == [128 + signal.SIGTERM] * 2, outputs
    assert "Stopped by SIGTERM" in told and not silent
    rows = [row["step"] for row in metric_writers.read(tmp_path)]
    assert rows == list(range(1, saved(tmp_path) + 1))


@pytest.mark.slow
def test_killed_again_and_again_while_saving(tmp_path, toy_bags, request):
    """Both are killed at any moment of a run that always saves; one process ends the run.

    Three times, with --whole ten times.
    """
    rng, done = random.Random(0), 0
    for _ in range(10 if request.config.getoption("--whole") else 3):
        options = mil(tmp_path, toy_bags, **{"train.save_every": 1, "train.steps": ENDLESS})
        running = start(2, *options)
        saved_after(done, tmp_path, running)
        time.sleep(rng.uniform(0, 0.3))
        for process in running:
            process.kill()
        for process in running:
            process.communicate()
        assert saved(tmp_path) > done
        done = saved(tmp_path)
    steps = [row["step"] for row in metric_writers.read(tmp_path)]
    assert steps == list(range(1, len(steps) + 1)) and len(steps) >= done
    undisturbed = tmp_path / "undisturbed"
    fields = {"train.save_every": 0, "train.steps": done + 3}
    assert ends(start(1, *mil(undisturbed, toy_bags, **fields)))[0][0] == 0
    config = json.loads((tmp_path / "config.json").read_text())
    config["train"]["steps"] = done + 3  # the endless run ends here
    (tmp_path / "config.json").write_text(json.dumps(config))
    code, out, errors = ends(start(1, *mil(tmp_path, toy_bags, **fields)))[0]
    assert code == 0 and f"Resuming after step {done:,}" in out, errors
    rows, others = metric_writers.read(undisturbed), metric_writers.read(tmp_path)
    assert len(rows) == len(others) == done + 3
    for row, other in zip(rows, others, strict=True):
        np.testing.assert_allclose(other["loss"], row["loss"], rtol=1e-5)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("here", "expected 'auto' or HOST:PORT,COUNT,ID"),
        ("127.0.0.1:1234,2,2", "ID is from 0 to COUNT - 1"),
        ("127.0.0.1,2,0", "expected 'auto' or HOST:PORT,COUNT,ID"),
        ("auto", "--distributed=auto: coordinator_address"),
    ],
)
def test_what_cannot_be_joined_ends_in_one_line(tmp_path, spec, message):
    code, _, errors = commands.run(
        "vadjax.main",
        f"--distributed={spec}",
        "--config=configs/ucf_mil.py:smoke",
        f"--workdir={tmp_path}",
        timeout=LIMIT,
    )
    assert code == 1 and message in errors and errors.count("\n") == 1


def test_a_batch_that_the_processes_cannot_share_ends_both_in_one_line(tmp_path, toy_bags):
    running = start(2, *mil(tmp_path, toy_bags, **{"train.batch": 5}))
    for code, out, errors in ends(running):
        lines = [line for line in errors.splitlines() if line.startswith("error:")]
        assert code == 1 and not out, errors
        assert lines == [
            "error: train.batch is 5; 2 devices of 2 processes need a multiple of 2, "
            "for example 4 or 6"
        ]


def test_predicting_is_for_one_process(tmp_path):
    code, _, errors = commands.run(
        "vadjax.main",
        "--distributed=127.0.0.1:1234,1,0",
        "--mode=predict",
        "--video=x.mp4",
        "--config=configs/ucf_mil.py:smoke",
        f"--workdir={tmp_path}",
    )
    assert code == 1 and "--distributed is for --mode=train and --mode=evaluate" in errors


def test_a_broken_connection_is_told_as_a_lost_process(monkeypatch):
    broken = ValueError("UNKNOWN: Gloo AllGather failed: Connection reset by peer")
    assert processes.told(broken) == f"error: {broken}"
    monkeypatch.setattr(processes, "count", lambda: 2)
    assert "(UNKNOWN: Gloo AllGather failed" in processes.told(broken)
    assert "go on from the last checkpoint" in processes.told(broken)
    assert processes.told(ValueError("train.batch is 5")) == "error: train.batch is 5"
