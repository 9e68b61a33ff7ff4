"""One run in a workdir, one evaluation in a folder; a kill sets them free."""

import json
import os
import re
import signal
import socket
import subprocess
import sys

import numpy as np
import pytest

from tests.helpers import commands
from tests.helpers.commands import Program
from tests.helpers.places import ROOT
from vadjax import evaluate, train
from vadjax.runtime import lock, metric_writers, workdir
from vadjax.scores import files

WHO = rf"in use by process \d+ on {re.escape(socket.gethostname())} since 20\d\d-"


def holding(path) -> subprocess.Popen:
    """A program that holds a lock until it is ended; returns when it has it."""
    script = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from vadjax.runtime import lock
with lock.held({str(path)!r}, "it"):
    print("held", flush=True)
    sys.stdin.read()
"""
    program = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert program.stdout.readline() == "held\n"
    return program


def test_a_lock_says_who_holds_it_and_goes_with_its_holder(tmp_path):
    path = tmp_path / "lock"
    with lock.held(path, "it") as locked:
        assert locked
        found = json.loads(path.read_text())
        assert (found["pid"], found["host"]) == (os.getpid(), socket.gethostname())
        with pytest.raises(lock.Held, match=rf"it: {WHO}.*name another place"):
            with lock.held(path, "it"):
                pass
        assert path.exists()
    assert not path.exists()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_kill_sets_a_lock_free(tmp_path, number):
    path = tmp_path / "lock"
    with holding(path) as program:
        with pytest.raises(lock.Held, match=f"process {program.pid} on"):
            with lock.held(path, "it"):
                pass
        program.send_signal(number)
        program.wait()
        assert path.exists()  # left behind, but free
        with lock.held(path, "it"):
            assert json.loads(path.read_text())["pid"] == os.getpid()
    assert not path.exists()


def test_a_lock_file_without_sense_is_taken_over_too(tmp_path):
    path = tmp_path / "lock"
    path.write_bytes(b"\xff\xfe[")
    assert lock.holder(path) == "in use by another program"
    with lock.held(path, "it"):
        pass
    assert not path.exists()


def test_a_file_system_without_locks_is_said(tmp_path, monkeypatch, capsys):
    def refuse(handle, operation):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(lock.fcntl, "flock", refuse)
    with workdir.hold(tmp_path):
        pass
    assert capsys.readouterr().out == (
        f"{tmp_path}: no locks on this file system; start no second run there\n"
    )
    assert not [*tmp_path.iterdir()]


def test_a_second_run_is_refused_in_one_line_and_changes_nothing(mil_config, tmp_path):
    (tmp_path / metric_writers.FILE).write_text('{"step": 1, "loss": 0.5}\n')
    with holding(tmp_path / workdir.LOCK) as program:
        with pytest.raises(lock.Held) as caught:
            train.run(mil_config, tmp_path)
        said = str(caught.value)
        assert re.match(rf"{tmp_path}: {WHO}", said) and f"process {program.pid} on" in said
        assert "\n" not in said and {path.name for path in tmp_path.iterdir()} == {
            metric_writers.FILE,
            workdir.LOCK,
        }
        program.kill()
    assert (tmp_path / metric_writers.FILE).read_text() == '{"step": 1, "loss": 0.5}\n'


def test_an_evaluation_takes_the_folder_of_a_killed_one_but_of_no_other(tmp_path):
    with evaluate._own_folder(tmp_path, 6) as first:
        with evaluate._own_folder(tmp_path, 6) as second:  # at the same time
            assert (first.name, second.name) == ("evaluate_6", "evaluate_6_2")
            files.write(second / "scores", files.Scores("v", np.zeros(3)))
        files.write(first / "scores", files.Scores("old", np.zeros(3)))
        (first / workdir.LOCK).rename(tmp_path / "kept")
    (tmp_path / "kept").rename(first / workdir.LOCK)  # as a kill leaves it
    with evaluate._own_folder(tmp_path, 6) as again:
        assert again == first and [path.name for path in again.iterdir()] == [workdir.LOCK]
        (again / "metrics.json").touch()
    with evaluate._own_folder(tmp_path, 6) as third:
        assert third.name == "evaluate_6_3"
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "evaluate_6",
        "evaluate_6_2",
        "evaluate_6_3",
    ]


@pytest.mark.slow
def test_two_runs_in_one_workdir(toy_bags, tmp_path):
    def options(steps: int) -> list[str]:
        return [
            "--config=configs/ucf_mil.py:smoke",
            f"--workdir={tmp_path}",
            f"--config.data.dir={toy_bags}",
            "--config.eval.untrained=False",
            "--config.train.evaluate_every=0",
            "--config.train.save_every=5",
            f"--config.train.steps={steps}",
        ]

    endless = 10**6
    running = Program("vadjax.main", *options(endless))
    while not any(row["step"] > 5 for row in metric_writers.read(tmp_path)):
        assert running.poll() is None, running.communicate()
    code, _, errors = commands.run("vadjax.main", *options(endless))
    assert code == 1 and errors.count("\n") == 1
    assert re.match(rf"error: {tmp_path}: {WHO}", errors), errors
    assert running.poll() is None
    running.kill()
    running.communicate()
    steps = [row["step"] for row in metric_writers.read(tmp_path)]
    assert steps == list(range(1, len(steps) + 1))
    again = Program("vadjax.main", *options(endless))
    while not any(row["step"] > len(steps) for row in metric_writers.read(tmp_path)):
        assert again.poll() is None, again.communicate()
    again.send_signal(signal.SIGTERM)
    assert "Stopped by SIGTERM" in again.communicate()[0]
    assert not (tmp_path / workdir.LOCK).exists()


@pytest.mark.slow
def test_several_processes_are_all_refused(mil_config, tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        where = f"127.0.0.1:{probe.getsockname()[1]}"
    options = [
        "--config=configs/ucf_mil.py:smoke",
        f"--workdir={tmp_path}",
        f"--config.data.dir={mil_config.data.dir}",
    ]
    with holding(tmp_path / workdir.LOCK) as program:
        running = [
            Program("vadjax.main", f"--distributed={where},2,{number}", *options)
            for number in range(2)
        ]
        found = [one.communicate(600)[1] for one in running]
        assert [one.returncode for one in running] == [1, 1], found
        assert re.search(rf"error: {tmp_path}: {WHO}", found[0]), found
        assert "error: the first process says why" in found[1], found
        assert not any("Traceback" in errors for errors in found)
        program.kill()
