"""A camera that drops and comes back."""

import itertools
import threading

import numpy as np
import pytest

from tests.helpers.servers import RtspCamera, number_in, wait_for
from vadjax.data.video import camera
from vadjax.data.video.reader import Picture
from vadjax.data.video.reconnecting import ReconnectingCamera

DAMAGED = -1  # number of a frame that cannot be decoded


class Scripted:
    """Connections of a camera, one after the other: numbers of frames, or why it fails."""

    def __init__(self, *connections, live=True):
        self._connections, self._live, self.opened = iter(connections), live, 0

    def __call__(self, name, deinterlace):
        """Opens the next one."""
        self.opened += 1
        one = next(self._connections)
        if isinstance(one, str):
            raise ValueError(f"camera rtsp://user:secret@gate: {one}")
        return Connection(one, self._live)


class Connection:
    """Frames of these numbers."""

    ended = "broke off (timed out)"

    def __init__(self, numbers, live):
        self._numbers, self.live = numbers, live

    def __iter__(self):
        for rank, number in enumerate(self._numbers):
            if number == DAMAGED:
                raise ValueError("camera rtsp://user:secret@gate: no frame can be decoded")
            pixels = np.full((*self.size_of(number), 3), number, np.uint8)
            yield Picture(pixels, "", time=rank / 10)

    def size_of(self, number):
        """Height and width of a frame."""
        return 4, 6

    def close(self):
        """Nothing to do."""


def test_frames_go_on_after_an_interruption_which_is_a_gap(capsys):
    make = Scripted(range(3), "no route", range(10, 12), range(20, 21))
    with ReconnectingCamera("rtsp://gate", "gate", first_pause=0.02, make=make) as source:
        found = list(itertools.islice(source, 6))
    assert [int(one.pixels[0, 0, 0]) for one in found] == [0, 1, 2, 10, 11, 20]
    assert [one.missing for one in found] == [0, 0, 0, 1, 0, 1]
    assert [one.source.split("#")[1] for one in found] == list("012345")
    times = [one.time for one in found]
    assert times == sorted(times) and source.interruptions == 2 and source.ended == ""
    said = capsys.readouterr().out
    assert "gate: the camera broke off (timed out); connecting again" in said
    assert "gate: the camera is back after 0 s" in said
    assert "attempt 1: camera rtsp://gate: no route" in said and "secret" not in said


def test_pauses_grow_while_nothing_comes_and_few_lines_are_printed(capsys, monkeypatch):
    pauses = []
    make = Scripted(range(1), *["refused"] * 9, range(0), range(1))
    source = ReconnectingCamera("rtsp://gate", "gate", make=make)
    monkeypatch.setattr(source._stopped, "wait", lambda pause: pauses.append(pause))
    assert len(list(itertools.islice(source, 2))) == 2
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60, 60, 60]
    assert capsys.readouterr().out.count("refused") == 4  # attempts 1, 2, 4 and 8


def test_a_stream_with_an_end_is_over_at_it():
    make = Scripted(range(3), range(3), live=False)
    source = ReconnectingCamera("http://gate/film.mp4", "gate", make=make)
    assert len(list(source)) == 3 and make.opened == 1
    assert source.ended == "broke off (timed out)" and not source.live


def test_a_camera_that_never_opened_is_an_error_unless_others_run_beside_it(capsys):
    with pytest.raises(ValueError, match="no route"):
        ReconnectingCamera("rtsp://gate", "gate", make=Scripted("no route"))
    make = Scripted("no route", range(2))
    source = ReconnectingCamera("rtsp://gate", "gate", patient=True, first_pause=0.01, make=make)
    found = list(itertools.islice(source, 2))
    assert [one.missing for one in found] == [0, 0]
    assert "gate: camera rtsp://gate: no route; trying again" in capsys.readouterr().out


def test_a_camera_whose_first_frame_is_damaged_is_an_error_unless_others_run_beside_it(capsys):
    source = ReconnectingCamera("rtsp://gate", "gate", make=Scripted([DAMAGED]))
    with pytest.raises(ValueError, match="no frame can be decoded"):
        next(iter(source))
    make, options = Scripted([DAMAGED], range(2)), {"patient": True, "first_pause": 0.01}
    source = ReconnectingCamera("rtsp://gate", "gate", make=make, **options)
    found = list(itertools.islice(source, 2))
    assert [one.missing for one in found] == [0, 0] and make.opened == 2
    said = capsys.readouterr().out
    assert "no frame can be decoded; connecting again" in said and "secret" not in said


def test_another_size_of_frames_is_resized_to_the_first_and_is_a_gap(capsys, monkeypatch):
    sizes = {2: (8, 12), 3: (8, 12), 4: (4, 4)}
    monkeypatch.setattr(Connection, "size_of", lambda _, number: sizes.get(number, (4, 6)))
    make = Scripted(range(2), range(2, 6))
    source = ReconnectingCamera("rtsp://gate", "gate", first_pause=0.01, make=make)
    found = list(itertools.islice(source, 6))
    assert [one.pixels.shape for one in found] == [(4, 6, 3)] * 6
    assert [one.missing for one in found] == [0, 0, 1, 0, 1, 1]
    assert [int(one.pixels[0, 0, 0]) for one in found] == list(range(6))
    said = capsys.readouterr().out.splitlines()
    assert "gate: frames are 8 × 12 now; they are resized to 4 × 6, as at first" in said
    assert any(
        line.startswith("gate: frames are 4 × 4 now") and "stretches" in line for line in said
    )
    assert "gate: frames are 4 × 6 now" in said


def test_it_stops_while_it_waits():
    source = ReconnectingCamera("rtsp://gate", "gate", make=Scripted(range(1), *["gone"] * 99))
    frames = []
    thread = threading.Thread(target=lambda: frames.extend(source))
    thread.start()
    wait_for(lambda: frames or not source.connected)
    source.close()
    thread.join(10)
    assert not thread.is_alive() and source.ended == ""


def test_a_real_stream_that_is_killed_and_comes_back(tmp_path, monkeypatch):
    """Every frame is given once, in order, and the first after the gap says that it is one."""
    monkeypatch.setattr(camera, "PATIENCE", 2.0)
    shown = np.full((1, 96, 128, 3), 90, np.uint8)
    with RtspCamera(shown, tmp_path, 10, numbered=True) as gate:
        with ReconnectingCamera(gate.url, "gate", first_pause=0.2) as source:
            pictures = iter(source)
            found = list(itertools.islice(pictures, 20))
            gate.unplug()
            plugged = threading.Timer(1.0, gate.plug_in)
            plugged.start()
            found += itertools.islice(pictures, 20)
            while not found[-1].missing and source.interruptions < 1:
                found.append(next(pictures))
            found += itertools.islice(pictures, 10)
            plugged.join()
    numbers = [number_in(picture.pixels) for picture in found]
    assert (np.diff(numbers) > 0).all()
    gaps = [rank for rank, picture in enumerate(found) if picture.missing]
    assert source.interruptions == 1 and len(gaps) == 1
    assert numbers[gaps[0]] - numbers[gaps[0] - 1] >= 10
    times = np.array([picture.time for picture in found])
    assert (np.diff(times) > 0).all()
    np.testing.assert_allclose(times[-1] - times[0], (numbers[-1] - numbers[0]) / 10, atol=0.7)
