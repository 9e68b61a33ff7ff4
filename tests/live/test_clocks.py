"""When frames were filmed: by the stream's clock, and by that of the machine."""

import numpy as np
import pytest

from vadjax.data.video.camera import StreamClock
from vadjax.live import observer
from vadjax.live.observer import FrameClock


def test_the_first_frames_of_a_stream_come_at_once_and_keep_their_times():
    clock = StreamClock("rtsp://gate/1")
    own = 7.0 + np.arange(40) / 10
    arrivals = np.maximum(0.0, np.arange(40) / 10 - 2)
    times = [clock(*one) for one in zip(own, arrivals, strict=True)]
    np.testing.assert_allclose(times, np.arange(40) / 10)


def test_a_clock_that_is_set_anew_counts_from_the_arrival():
    clock = StreamClock("rtsp://gate/1")
    assert [clock(own, at) for own, at in ((5, 0), (6, 1), (9_000, 2), (9_001, 3))] == [0, 1, 2, 3]


@pytest.mark.parametrize("name", ["0", "http://gate/video.mjpg"])
def test_of_other_cameras_the_arrival_counts(name):
    clock = StreamClock(name)
    assert clock(5.0, 0.25) == 0.25 and clock(None, 0.5) == 0.5


def test_the_age_of_a_frame_goes_by_those_with_the_least_delay(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(observer.time, "monotonic", lambda: now[0])
    clock = FrameClock()
    for seconds, at in ((0.0, 102.0), (1.0, 102.0), (2.0, 102.1), (3.0, 103.5)):  # first a burst
        now[0] = at
        clock.note(seconds)
    assert clock.age(3.0) == pytest.approx(0.4)
    # A camera whose clock is slow by 1 % is followed.
    for second in range(4, 1000):
        now[0] = 100.1 + second
        clock.note(3.0 + 0.99 * (second - 3))
    assert clock.age(3.0 + 0.99 * 996) < 2.0
