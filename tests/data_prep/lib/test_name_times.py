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


@pytest.mark.parametrize("number", ["-0010", "-0030", "-0107"])
def test_a_number_is_no_zone(number):
    assert name_times.find(f"2026-01-31_15-30-00{number}").start == HALF_PAST_THREE


def names_of(pattern: str, count: int, first: int = 1, step: int = 10) -> list[str]:
    """Names with a time, each some seconds after the one before, and a number."""
    starts = (HALF_PAST_THREE + datetime.timedelta(seconds=step * n) for n in range(count))
    return [pattern.format(at, first + number) for number, at in enumerate(starts)]


@pytest.mark.parametrize(
    ("pattern", "first", "series"),
    [
        ("{:%Y-%m-%d_%H-%M-%S}-{:04}", 10, "*-*-*_*-*-*-*"),
        ("{:%Y-%m-%d_%H-%M-%S}-{:04}", 98, "*-*-*_*-*-*-*"),  # -0100 could be a zone
        ("cam_{1:04}_{0:%Y%m%d_%H%M%S}", 1, "cam_*_***_***"),
        ("cam2/{1}_{0:%Y%m%d_%H%M%S}", 8, "cam2/*_***_***"),
    ],
)
def test_a_number_that_counts_the_recordings(pattern, first, series):
    names = names_of(pattern, 5, first)
    found = name_times.find_all(names, [""] * 5)
    assert {named.series for named in found} == {series}
    assert [named.start for named in found] == [
        HALF_PAST_THREE + datetime.timedelta(seconds=10 * number) for number in range(5)
    ]


def test_numbers_of_cameras_count_nothing():
    """Several cameras record at once; two files of two cameras tell nothing."""
    pattern = "cam_{{}}_{:%Y%m%d_%H%M%S}_{}"
    names = [name.format(camera) for name in names_of(pattern, 4) for camera in (1, 2)]
    series = {named.series for named in name_times.find_all(names, [""] * 8)}
    assert series == {"cam_1_***_***_*", "cam_2_***_***_*"}
    names = names_of("cam_{1}_{0:%Y%m%d_%H%M%S}", 2)
    assert len({named.series for named in name_times.find_all(names, [""] * 2)}) == 2
    names = names_of("cam_{1}_{0:%Y%m%d_%H%M%S}", 3)
    assert len({named.series for named in name_times.find_all(names, [1, 2, 3])}) == 3


def test_zones_of_a_series():
    summer = ["2026-03-29T015950+0100", "2026-03-29T030000+0200", "clip", "2026-03-29T031000+0200"]
    found = name_times.find_all(summer, [""] * 4)
    assert found[2] is None and (found[1].start - found[0].start).total_seconds() == 10
    other = ["20260131_153000-0100", "20260131_154000-0300"]
    assert {named.start.tzinfo for named in name_times.find_all(other, [""] * 2)} == {None}


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
