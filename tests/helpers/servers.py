"""Servers that tests of live video talk to, each a process of its own on this machine."""

import contextlib
import pathlib
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence

import numpy as np

from tests.helpers.places import ROOT
from tests.required import missing

PYTHON = "/usr/bin/python3"  # of the distribution, which has GStreamer
STARTING = 30  # seconds
GSTREAMER = (
    "import gi; gi.require_version('Gst', '1.0'); gi.require_version('GstRtspServer', '1.0'); "
    "from gi.repository import Gst, GstRtspServer; Gst.init(None); "
    "raise SystemExit(0 if Gst.ElementFactory.find('x264enc') else 1)"
)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def wait_for(condition, seconds: float = STARTING) -> None:
    """Waits until it holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to be in time"
        time.sleep(0.02)


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


@contextlib.contextmanager
def started(command: Sequence[str], port: int) -> Iterator[subprocess.Popen]:
    """A server that listens on a port of this machine; it is killed at the end."""
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL) as process:
        try:
            wait_for(lambda: process.poll() is not None or _listens(port))
            assert process.poll() is None, f"{command[0]} ended with {process.returncode}"
            yield process
        finally:
            process.kill()


class RtspCamera:
    """A camera with RTSP that can be unplugged and plugged in again.

    Args:
      pictures: what it shows again and again, uint8 [n, H, W, 3].
      folder: for a file.
      fps: pictures a second.
      numbered: whether each has its number in it (`number_in`).
    """

    def __init__(
        self, pictures: np.ndarray, folder: pathlib.Path, fps: int, numbered: bool = False
    ):
        found = shutil.which(PYTHON) and subprocess.run([PYTHON, "-c", GSTREAMER], timeout=60)
        if not found or found.returncode:
            missing(
                "rtsp",
                "there is no GStreamer with an RTSP server and an encoder; install "
                "gir1.2-gst-rtsp-server-1.0 python3-gi gstreamer1.0-plugins-ugly",
            )
        self._path, self._fps, self._epoch = folder / "pictures.rgb", fps, time.time()
        self._size, self._numbered = (pictures.shape[2], pictures.shape[1]), int(numbered)
        pictures.tofile(self._path)
        self._port, self._running = free_port(), contextlib.ExitStack()
        self.url = f"rtsp://127.0.0.1:{self._port}/door"

    def __enter__(self) -> "RtspCamera":
        self.plug_in()
        return self

    def __exit__(self, *error) -> None:
        self.unplug()

    def plug_in(self) -> None:
        """It can be opened from now on."""
        numbers = (self._port, self._path, *self._size, self._fps, self._epoch, self._numbered)
        command = [PYTHON, "-m", "tests.helpers.rtsp_server", *map(str, numbers)]
        self._running.enter_context(started(command, self._port))

    def unplug(self) -> None:
        """It is gone at once."""
        self._running.close()


def number_in(pixels: np.ndarray) -> int:
    """The number that stands in a picture of `RtspCamera`."""
    rows = pixels[2:6].mean((0, 2))
    bits = rows.reshape(16, -1).mean(1) > 127
    return int((bits * (1 << np.arange(16))).sum())


@contextlib.contextmanager
def mqtt_broker(folder: pathlib.Path) -> Iterator[tuple[int, subprocess.Popen]]:
    """Port and process of a broker; whoever calls it may kill the process."""
    program = shutil.which("mosquitto") or shutil.which("/usr/sbin/mosquitto")
    if program is None:
        missing("mqtt", "there is no broker; install mosquitto")
    port, config = free_port(), folder / "mosquitto.conf"
    config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n", "utf-8")
    with started([program, "-c", str(config)], port) as process:
        yield port, process
