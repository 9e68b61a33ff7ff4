"""How watching a camera ends, as a program that reads a stream over HTTP."""

import contextlib
import csv
import http.server
import os
import signal
import subprocess
import sys
import threading
import time

import cv2
import numpy as np
import pytest

from configs import ped2_exemplar
from tests.helpers.places import ROOT
from vadjax import train
from vadjax.data.clips import Videos
from vadjax.data.store.records import Dataset

PART = b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%b\r\n"
TIME = 120  # seconds for a program to start on a busy machine


class Gate(http.server.BaseHTTPRequestHandler):
    """A camera: `/FRAMES` gives so many at 50 a second, and then nothing; `/mute` not even those.

    Attributes:
      frames: JPEG files, shown again and again.
      asked: set when a program connects.
      closed: set when all handlers are to end.
    """

    frames: list[bytes]
    asked: threading.Event
    closed: threading.Event

    def do_GET(self):
        """Answers."""
        self.asked.set()
        if self.path == "/mute":
            self.closed.wait()
            return
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        with contextlib.suppress(OSError):
            for number in range(int(self.path[1:])):
                frame = self.frames[number % len(self.frames)]
                self.wfile.write(PART % (len(frame), frame))
                self.closed.wait(0.02)
            self.closed.wait()

    def log_message(self, *args):
        """Says nothing."""


@pytest.fixture(scope="module")
def finished(toy_scenes, tmp_path_factory, without_reports):
    config = ped2_exemplar.get_config("smoke")
    config.data.dir, config.train.devices = str(toy_scenes), 1
    folder = tmp_path_factory.mktemp("runs") / "exemplar"
    train.run(config, folder)
    return folder


@pytest.fixture
def gate(toy_scenes):
    """Address of a camera that shows a toy video."""
    video = list(Videos(Dataset(toy_scenes), "test")[0])
    Gate.frames = [cv2.imencode(".jpg", frame[..., ::-1])[1].tobytes() for frame in video]
    Gate.asked, Gate.closed = threading.Event(), threading.Event()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Gate)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    Gate.closed.set()
    server.shutdown()
    server.server_close()


@contextlib.contextmanager
def watching(folder, url, out):
    """The program, in an interpreter of its own, which must wind itself up."""
    command = [
        sys.executable,
        "-m",
        "vadjax.main",
        "--config=configs/ped2_exemplar.py:smoke",
        f"--workdir={folder}",
        "--mode=predict",
        f"--video={url}",
        f"--out={out}",
        "--name=gate",
    ]
    environment = os.environ | {"JAX_PLATFORMS": "cpu"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, cwd=ROOT, env=environment, text=True, **pipes) as process:
        try:
            yield process
        finally:
            process.kill()


def rows_of(path) -> list[list[str]]:
    if not path.is_file():
        return []
    with path.open() as file:
        return list(csv.reader(file))


def wait_for(condition, process):
    """Waits until it holds, while the program runs."""
    end = time.monotonic() + TIME
    while not condition():
        assert process.poll() is None and time.monotonic() < end, process.communicate()
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("frames", "number", "said"),
    [
        pytest.param(10**6, signal.SIGINT, "Stopped.", id="Ctrl-C"),
        pytest.param(100, signal.SIGINT, "Stopped.", id="Ctrl-C in a read that hangs"),
        pytest.param(
            10**6, signal.SIGTERM, "Stopped by SIGTERM.", id="SIGTERM", marks=pytest.mark.slow
        ),
    ],
)
def test_a_signal_ends_it_with_its_code_and_the_lines_stay(
    finished, gate, tmp_path, frames, number, said
):
    lines = tmp_path / "gate.live.csv"
    with watching(finished, f"{gate}/{frames}", tmp_path) as process:
        wait_for(lambda: len(rows_of(lines)) > 3, process)
        if frames == 100:
            time.sleep(3)  # all frames came
        before = rows_of(lines)
        process.send_signal(number)
        out, errors = process.communicate(timeout=TIME)
    assert (process.returncode, errors.splitlines()) == (128 + number, [said])
    assert f"Lines: {lines}" in out.splitlines()
    after = rows_of(lines)
    assert after[: len(before)] == before and {len(row) for row in after} == {7}
    spans = np.array([[int(row[2]), int(row[3])] for row in after[1:]])
    np.testing.assert_array_equal(spans[1:, 0], spans[:-1, 1] + 1)


@pytest.mark.slow
def test_ctrl_c_is_heard_while_a_camera_does_not_answer(finished, gate, tmp_path):
    with watching(finished, f"{gate}/mute", tmp_path) as process:
        wait_for(Gate.asked.is_set, process)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=TIME)
    assert (process.returncode, errors.splitlines()) == (130, ["Stopped."])


def test_a_reader_that_goes_away_ends_it(finished, gate, tmp_path):
    lines = tmp_path / "gate.live.csv"
    with watching(finished, f"{gate}/{10**6}", tmp_path) as process:
        wait_for(lambda: len(rows_of(lines)) > 1, process)
        process.stdout.readline()
        process.stdout.close()
        assert (process.stderr.read(), process.wait(TIME)) == ("", 141)
    assert len(rows_of(lines)) > 1 and {len(row) for row in rows_of(lines)} == {7}
