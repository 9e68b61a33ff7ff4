"""Recordings → videos, by times alone: nothing is decoded."""

import datetime
import pathlib
import time

import numpy as np
import pytest

from data_prep.lib.recording_join import make_videos
from data_prep.lib.recording_scan import How, Scan
from data_prep.lib.recordings import Recording

NOON = datetime.datetime(2026, 1, 31, 12)
RATE = 10
HOW = How(None, False, None, None, lambda picture: 0)


def scan_at(start: datetime.datetime, seconds: float = 10.0, times=None) -> Scan:
    """A recording of a series that was looked through; its name is its start."""
    if times is None:
        times = np.arange(round(seconds * RATE)) / RATE
    name = f"{start:%d_%H%M%S}"
    recording = Recording(pathlib.Path(name), name, name, start=start, series=".mp4:*_*")
    ranks = np.arange(len(times))
    return Scan(recording, HOW, np.array(times), ranks, (48, 64), RATE, False, None, [], [])


def names(scans) -> list[list[str]]:
    """Names of the recordings of each video."""
    return [[part.scan.recording.name for part in video.parts] for video in make_videos(scans)[0]]


@pytest.fixture
def berlin(monkeypatch):
    """The machine's zone is that of Berlin."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def test_the_zone_of_the_machine_does_not_count(berlin):
    """There is no half past two in Berlin on that day, but a camera may not know."""
    starts = [(2, 29, 50), (2, 30, 0), (3, 29, 50), (3, 30, 0)]
    scans = [scan_at(datetime.datetime(2026, 3, 29, *start)) for start in starts]
    assert names(scans) == [["29_022950", "29_023000"], ["29_032950", "29_033000"]]


def test_times_that_no_calendar_has():
    """A damaged file may say that a frame is shown in ten thousand years."""
    scans = [scan_at(NOON, times=[0.0, 0.1, 3e11, 3e11 + 0.1]), scan_at(NOON, 10)]
    videos, _ = make_videos(scans)
    assert [video.start for video in videos] == [NOON, None, NOON]


@pytest.mark.parametrize(("seconds", "lengths"), [(9.7, [7, 5]), (10.3, [7, 5]), (10.0, [12])])
def test_a_video_stays_within_two_seconds_of_the_clock(seconds, lengths):
    """Every joint is near enough, but what each lacks, or has twice, adds up."""
    scans = [scan_at(NOON + datetime.timedelta(seconds=10 * n), seconds) for n in range(12)]
    videos, gaps = make_videos(scans)
    assert [len(video.parts) for video in videos] == lengths
    for video in videos:
        end = video.parts[-1].start + datetime.timedelta(seconds=video.parts[-1].seconds)
        assert abs((end - video.start).total_seconds() - video.seconds) <= 2
    assert [gap.seconds for gap in gaps] == ([pytest.approx(2.1)] if seconds < 10 else [])


def test_starts_in_whole_seconds_do_not_add_up():
    """The names of segments of 10.4 s, rounded, are now 10 and now 11 s apart."""
    starts = (int(10.4 * number) for number in range(200))
    scans = [scan_at(NOON + datetime.timedelta(seconds=start), 10.4) for start in starts]
    assert [len(video.parts) for video in make_videos(scans)[0]] == [200]
