"""Times in the names of recordings."""

import datetime

import pytest

from data_prep.lib import name_times

HALF_PAST_THREE = datetime.datetime(2026, 1, 31, 15, 30)


@pytest.mark.parametrize(
    ("name", "series"),
    [
        ("2026-01-31_15-30-00", "*-*-*_*-*-*"),
        ("front/20260131_153000", "front/***_***"),
        ("gate 2026-01-31 15.30.00", "gate *-*-* *.*.*"),
        ("20260131153000_20260131153010", "******_*"),  # the second time is the end
        ("192.168.1.10_01_20260131153000_TIMING", "192.168.1.10_01_******_TIMING"),
        ("2026/01/31/15/30/00", "*/*/*/*/*/*"),
        ("2026-01-31/15/front/30.00", "*-*-*/*/front/*.*"),
        ("2026-01-31/001/dav/15/15.30.00-15.30.10[M][0@0]", "*-*-*/001/dav/*/*.*.*-*[M][0@0]"),
    ],
)
def test_time_and_series(name, series):
    assert name_times.find(name) == (HALF_PAST_THREE, series)


@pytest.mark.parametrize(
    ("name", "offset"),
    [
        ("2026-01-31T15:30:00Z", 0),
        ("2026-01-31T15:30:00+01:00", 60),
        ("20260131T153000-0500", -300),
    ],
)
def test_zones(name, offset):
    zone = datetime.timezone(datetime.timedelta(minutes=offset))
    assert name_times.find(name).start == HALF_PAST_THREE.replace(tzinfo=zone)


def test_fractions_of_seconds():
    expected = HALF_PAST_THREE.replace(microsecond=123000)
    assert name_times.find("VID_20260131_153000123").start == expected
    assert name_times.find("2026-01-31_15-30-00.123").start == expected


def test_seconds_since_1970():
    expected = HALF_PAST_THREE.replace(tzinfo=datetime.UTC)
    assert name_times.find("cam/1769873400") == (expected, "cam/*")
    later = name_times.find("door-1769873400.25-x1").start
    assert later == expected.replace(microsecond=250000)


@pytest.mark.parametrize(
    "name", ["clip_0001", "20260131", "20260231_153000", "20260131_256000", "serial1234567890", ""]
)
def test_no_time(name):
    assert name_times.find(name) is None


def test_cameras_of_one_tree_are_two_series():
    front, back = (
        name_times.find(f"2026-01-31/15/{place}/30.00").series for place in ("front", "back")
    )
    assert front != back


def test_a_long_name_takes_no_time():
    """The pattern looks through folders; many of them must not take for ever."""
    assert name_times.find("2026-01-31/" + "9/" * 5000 + "a" * 5000) is None
