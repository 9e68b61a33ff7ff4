"""The program with a real camera and a real broker, as people run it."""

import contextlib
import datetime
import os
import pathlib
import re
import shlex
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from tests.helpers.places import ROOT
from tests.helpers.servers import RtspCamera, free_port, mqtt_broker, wait_for
from tests.live.cases import FPS, door, film, lines_of
from tests.live.test_sinks import subscribed
from tests.predict.cases import rows_of
from vadjax.predict import cameras

TIME = 120  # seconds for a program to start or end on a busy machine
SHOWN = 100  # pictures of the film that the camera shows again and again; in some somebody runs
RUNNING = range(60, 75)


def start(folder, out, *flags):
    """The program, watching."""
    command = [
        *(sys.executable, "-m", "vadjax.main", "--config=configs/camera.py:smoke"),
        *(f"--workdir={folder}", "--mode=predict", f"--out={out}", "--live", *flags),
    ]
    environment = os.environ | {"JAX_PLATFORMS": "cpu"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    return subprocess.Popen(command, cwd=ROOT, env=environment, text=True, **pipes)


@contextlib.contextmanager
def ended(process):
    """Kills it if something went wrong."""
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.mark.slow
def test_a_camera_that_is_unplugged_and_alerts_by_mqtt(door_run, tmp_path):
    """One alert for each event, no frame twice, and a gap where the camera was away."""
    _, folder = door_run
    shown = np.stack([door(number, (RUNNING,)) for number in range(SHOWN)])
    out, lines = tmp_path / "out", tmp_path / "out/gate.live.csv"
    events = out / "gate.events.jsonl"
    with (
        mqtt_broker(tmp_path) as (port, _),
        subscribed(port, "door") as got,
        RtspCamera(shown, tmp_path, FPS) as camera,
    ):
        flags = (f"--video={camera.url}", "--name=gate", "--cool_down=1")
        alerts = (f"--alert=mqtt://127.0.0.1:{port}/door", "--alert=false")
        with ended(start(folder, out, *flags, *alerts)) as process:
            began = datetime.datetime.now().astimezone()
            wait_for(lambda: lines_of(events), TIME)
            camera.unplug()
            time.sleep(0.5)
            camera.plug_in()
            count = len(rows_of(lines))
            wait_for(lambda: len(rows_of(lines)) > count + 2, TIME)
            before = len(lines_of(events))
            wait_for(lambda: len(lines_of(events)) > before, TIME)
            process.send_signal(signal.SIGTERM)
            said, _ = process.communicate(timeout=TIME)
        wait_for(lambda: len(got) >= sum(one["alert"] for one in lines_of(events)))
    # What it says, and how it ends.
    assert process.returncode == 143 and said.splitlines()[-1] == "Stopped by SIGTERM.", said
    assert "gate: the camera is back after" in said and f"Lines: {lines}" in said
    assert f"gate: {len(lines_of(events))} events in {events}" in said
    assert "alerts to command false: 0 delivered" in said and "exit code 1; trying again" in said
    # Each event has one alert, whose time is that of its first frame.
    records, told = lines_of(events), [record for _, record in got]
    assert len({one["id"] for one in told}) == len(told) >= 2
    assert [one["id"] for one in told] == [one["id"] for one in records if one["alert"]]
    for record in told:
        at = datetime.datetime.fromisoformat(record["time"])
        noticed = datetime.datetime.fromisoformat(record["noticed"])
        assert began < at <= noticed < at + datetime.timedelta(seconds=10)
        assert pathlib.Path(record["snapshot"]).read_bytes()[:2] == b"\xff\xd8"
    # Frames are numbered on, none twice, and the gap is one.
    rows = rows_of(lines)
    spans = np.array([[int(row["first_frame"]), int(row["last_frame"])] for row in rows])
    np.testing.assert_array_equal(spans[1:, 0], spans[:-1, 1] + 1)
    assert sum(int(row["missing"]) > 0 for row in rows) == 1
    assert (np.diff([float(row["seconds"]) for row in rows]) > 0).all()


@pytest.mark.slow
def test_several_cameras_at_once(door_run, tmp_path):
    """Each has the lines that it has alone; one that is not there does not hold the others up."""
    _, folder = door_run
    films = {
        name: film(tmp_path / f"{name}.avi", 80, running, seed=seed)
        for name, running, seed in (("door", (range(40, 52),), 0), ("yard", (), 1))
    }
    gone = f"rtsp://me:secret@127.0.0.1:{free_port()}/x"
    sources = (f"door={films['door']}", f"yard=file://{films['yard']}", f"gone={gone}")
    with ended(start(folder, tmp_path / "out", *sources, "--clips")) as process:
        paths = [tmp_path / f"out/{name}.live.csv" for name in films]
        wait_for(lambda: all(p.is_file() and len(rows_of(p)) == 5 for p in paths), TIME)
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=TIME)
    assert process.returncode == 143 and "secret" not in said
    assert "gone: camera rtsp://127.0.0.1" in said and "trying again" in said
    assert "door  0:00:00.0  frames 0-15  score" in said and "yard  0:00:00.0  frames" in said
    (event,) = lines_of(tmp_path / "out/door.events.jsonl")
    assert event["clip"].startswith(str(tmp_path / "out/events/door/door-"))
    assert not lines_of(tmp_path / "out/yard.events.jsonl")
    # The same as each alone.
    for name, path in films.items():
        with ended(start(folder, tmp_path / "alone", f"{name}={path}")) as process:
            said, _ = process.communicate(timeout=TIME)
        assert process.returncode == 0, said
        together, alone = (rows_of(tmp_path / f"{way}/{name}.live.csv") for way in ("out", "alone"))
        assert [{**row, "clock": ""} for row in together] == [{**row, "clock": ""} for row in alone]


@pytest.mark.slow
def test_sigterm_says_what_is_finished(door_run, tmp_path):
    _, folder = door_run
    (tmp_path / "new").mkdir()
    for name, count in (("a", 20), ("b", 1500), ("c", 20)):
        film(tmp_path / f"new/{name}.avi", count)
    flags = ("--live=false", f"--video={tmp_path / 'new'}", "--film=false")
    with ended(start(folder, tmp_path / "out", *flags)) as process:
        wait_for((tmp_path / "out/a.png").is_file, TIME)
        time.sleep(0.2)
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=TIME)
    assert process.returncode == 143, said
    told = "Finished: a (1 of 3). Not finished: b, c; give the command again for these"
    assert "Stopped by SIGTERM." in said
    assert told in said.splitlines() and not (tmp_path / "out/b.json").exists()
    # The same command goes on, here without the long one.
    (tmp_path / "new/b.avi").unlink()
    before = (tmp_path / "out/a.json").read_bytes()
    with ended(start(folder, tmp_path / "out", *flags)) as process:
        said, _ = process.communicate(timeout=TIME)
    assert process.returncode == 0 and "kept 1 of 2 videos, scored before; another --out" in said
    assert (tmp_path / "out/a.json").read_bytes() == before and (tmp_path / "out/c.json").is_file()


def test_a_source_that_is_nothing(door_run, tmp_path):
    config, folder = door_run
    message = f"--live gate={tmp_path}/none.mp4: no such file, and no camera's address"
    with pytest.raises(ValueError, match=message):
        cameras.watch_several(config, folder, {"gate": f"{tmp_path}/none.mp4"}, tmp_path)


WRONG = {
    ("door",): "--live: 'door'; expected NAME=SOURCE, as door=rtsp://192.168.1.20/stream",
    ("a=0", "a=1"): "--live: two cameras are called a; give each its own name",
    ("../a=0",): "--live: camera name '../a' cannot be the name of a file",
    ("a=0", "--name=x"): "--name is not for --live NAME=SOURCE, which says it all",
    ("--live=false", "--video=x.mp4", "--clips"): "--clips is for video as it comes; say --live",
    ("--mode=evaluate", "--alert=x"): "--alert is only for --mode=predict",
    ("--mode=evaluate", "a=0"): "unexpected arguments ['a=0']; every flag is --name=value",
}


@pytest.mark.parametrize("flags", WRONG)
def test_names_of_cameras_and_flags_that_do_not_fit(tmp_path, flags):
    command = [sys.executable, "-m", "vadjax.main", "--config=configs/camera.py"]
    command += [f"--workdir={tmp_path}", "--mode=predict", *flags]
    command += [] if "--live=false" in flags or "--alert=x" in flags else ["--live"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=TIME)
    assert done.returncode == 1 and done.stderr.startswith(f"error: {WRONG[flags]}")


def test_the_unit_for_systemd_starts_a_program_that_there_is():
    """Its flags are known, and it comes back whatever ends it."""
    text = (ROOT / "docs/examples/systemd/vadjax-live.service").read_text("utf-8")
    joined = text.replace("\\\n", " ")
    unit = dict(line.split("=", 1) for line in joined.splitlines() if re.match(r"\w+=", line))
    assert unit["Restart"] == "always" and unit["KillSignal"] == "SIGTERM"
    python, *arguments = shlex.split(unit["ExecStart"])
    assert arguments[:2] == ["-m", "vadjax.main"] and python.endswith("bin/python")
    # A flag that does not go with prediction ends it once all others are read.
    command = [sys.executable, *arguments, "--distributed=auto"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=TIME)
    assert done.stderr.startswith("error: --distributed is for --mode=train")
