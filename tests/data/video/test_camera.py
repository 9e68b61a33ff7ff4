"""Cameras: what waits, what is dropped, when they end."""

import itertools
import queue
import threading
import time

import cv2
import numpy as np
import pytest

from vadjax.data.video import camera


def write_video(path, count, size=(48, 64)):
    """A video whose frame i has the grey level 5 i, 25 a second."""
    code = cv2.VideoWriter.fourcc(*"MJPG")
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, code, 25, size[::-1])
    for i in range(count):
        writer.write(np.full((*size, 3), 5 * i, np.uint8))
    writer.release()
    return path


def test_what_is_a_camera(tmp_path, monkeypatch):
    assert camera.is_camera("0") and camera.is_camera("rtsp://gate:554/1")
    assert not camera.is_camera("gate.mp4")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "01").mkdir()
    assert camera.is_camera("1") and not camera.is_camera("01")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("rtsp://me:secret@gate:554/1", "rtsp://gate:554/1"),
        ("rtsp://me:sec@ret@gate/1", "rtsp://gate/1"),
        ("rtsp://me:sec/ret@gate/1", "rtsp://gate/1"),
        ("rtsp://secret@gate/1", "rtsp://gate/1"),
        ("rtsp://gate:554/a@b", "rtsp://gate:554/a@b"),
        (
            "rtsp://gate/user=me&password=sec/ret&channel=1: no route",
            "rtsp://gate/user=***&password=***&channel=***: no route",
        ),
        ("'http://gate/a?pwd=secret'; a=b", "'http://gate/a?pwd=***'; a=b"),
        ("file:///a/day=1/b.mp4", "file:///a/day=1/b.mp4"),
        ("two: http://a:secret@b/ http://c:secret@d/", "two: http://b/ http://d/"),
    ],
)
def test_messages_show_addresses_without_passwords(text, shown):
    assert camera.without_login(text) == shown


class Fed:
    """A camera that gives frames as the test feeds it; frame i has the grey level i."""

    ended, lost, seconds = "", 0, None

    def __init__(self):
        self._todo, self._fed, self._read = queue.Queue(), 0, 0

    def __iter__(self):
        while self._todo.get():
            yield camera.DecodedFrame(np.full((4, 6, 3), self._read, np.uint8), None)
            self._read += 1

    def feed(self, count):
        """Gives so many more, and returns when they were read."""
        for _ in range(count):
            self._todo.put(True)
        self._fed += count
        while self._read < self._fed:
            time.sleep(0.001)

    def end(self):
        """Gives no more."""
        self._todo.put(False)

    def close(self):
        """Nothing to do."""


def test_a_camera_drops_what_follows_when_the_program_is_slow(monkeypatch):
    """As many as may wait stay together, so that they can be scored."""
    monkeypatch.setattr(camera, "WAITING", 16)
    device = Fed()
    monkeypatch.setattr(camera, "Device", lambda number: device)
    source = camera.Camera("0")
    pictures = iter(source)
    device._todo.put(True)
    device._fed = 1
    found = [next(pictures)]
    device.feed(30)  # 1 to 16 wait
    found += itertools.islice(pictures, 10)
    device.feed(5)  # 11 to 16 still do
    found += itertools.islice(pictures, 6)
    device.feed(23)  # 36 to 51 wait
    device.end()
    found += pictures
    numbers = [int(picture.pixels[0, 0, 0]) for picture in found]
    assert numbers == [*range(17), *range(36, 52)]
    assert [picture.missing for picture in found] == [0] * 17 + [14 + 5] + [0] * 15
    times = [picture.time for picture in found]
    assert times[0] == 0 and times == sorted(times)
    assert source.ended == "ended; its last 7 frames were dropped"


def test_of_a_stream_with_an_end_nothing_is_dropped(tmp_path, monkeypatch):
    """It waits until the program takes its frames, which have its own times."""
    monkeypatch.setattr(camera, "WAITING", 16)
    source = camera.Camera(f"file://{write_video(tmp_path / 'street.avi', 50)}")
    pictures = iter(source)
    found = [next(pictures)]
    time.sleep(0.5)  # the thread would read on
    found += pictures
    assert [round(picture.pixels.mean() / 5) for picture in found] == list(range(50))
    assert not any(picture.missing for picture in found) and source.ended == "ended"
    np.testing.assert_allclose([picture.time for picture in found], np.arange(50) / 25)


def test_a_camera_that_gives_nothing_counts_as_gone(tmp_path, monkeypatch):
    monkeypatch.setattr(camera, "UNKNOWN", 0.2)
    monkeypatch.setattr(camera, "STOPPING", 0.1)
    held = threading.Event()
    monkeypatch.setattr(camera, "Device", lambda number: Held(held))
    source = camera.Camera("0")
    assert list(source) == [] and source.ended == "gave no frame for 0 s"
    assert source._reader.abandoned
    held.set()
    source.close()
    assert not source._reader.abandoned


class Held:
    """A camera that gives nothing until it is let go."""

    ended, lost, seconds = "", 0, None

    def __init__(self, event):
        self._event = event

    def __iter__(self):
        self._event.wait(10)
        return iter(())

    def close(self):
        """Nothing to do."""


@pytest.mark.parametrize(("seconds", "patience"), [(0.0, 10), (5.0, 15)])
def test_slow_cameras_are_waited_for(monkeypatch, seconds, patience):
    """Once its intervals are known; before that for a minute."""
    clock = iter(np.arange(40) * seconds)
    monkeypatch.setattr(camera.time, "monotonic", lambda: next(clock))
    reader = camera.Reader("0")
    found = []

    class Slow(Held):
        def __iter__(self):
            for _ in range(20):
                found.append(reader.patience)
                yield camera.DecodedFrame(np.zeros((4, 6, 3), np.uint8), None)

    reader._read(Slow(None))
    assert found[: camera.KNOWN] == [60] * 16 and found[-1] == patience
    assert [time for _, time, _ in reader.waiting] == [seconds * n for n in range(20)]


def test_frames_that_a_stream_loses_are_missing_too(monkeypatch):
    """Whether they cannot be decoded or come too late; each is missing from one frame alone."""
    monkeypatch.setattr(camera, "WAITING", 16)
    reader = camera.Reader("0")

    class Loses(Held):
        def __iter__(self):
            for number in range(40):
                self.lost += {3: 2, 20: 5}.get(number, 0)
                if number == 25:
                    reader.waiting.clear()  # all were taken
                yield camera.DecodedFrame(np.full((4, 6, 3), number, np.uint8), None)

    reader._read(Loses(None))
    found = [(pixels[0, 0, 0], missing) for pixels, _, missing in reader.waiting]
    assert found == [(25, 9 + 5)] + [(number, 0) for number in range(26, 40)]


def test_what_goes_wrong_in_the_thread_is_raised_where_frames_are_taken(monkeypatch, tmp_path):
    class Breaks(Held):
        def __iter__(self):
            yield camera.DecodedFrame(np.zeros((4, 6, 3), np.uint8), None)
            raise ValueError("frame 1 is interlaced")

    monkeypatch.setattr(camera, "Device", lambda number: Breaks(None))
    pictures = iter(camera.Camera("0"))
    assert next(pictures).source == "0#0"
    with pytest.raises(ValueError, match="frame 1 is interlaced"):
        next(pictures)
    monkeypatch.undo()
    address = f"{tmp_path}/none.avi?user=me&password=secret"
    with pytest.raises(ValueError, match=r"user=\*\*\*&password=\*\*\*: cannot be opened"):
        camera.Camera(f"rtsp://127.0.0.1:1{address}")
    with pytest.raises(ValueError, match="camera 977: OpenCV cannot open it; .* Numbers begin at"):
        camera.Camera("977")
