"""Date and time in the name of a recording, as recorders, cameras and telephones write them.

    find("front/2026-01-31/15-30-00")   → 15:30:00 of that day, and "front/*-*-*/*-*-*"

Known are a date (year, month, day) with a clock time (hours, minutes, seconds) behind it, with any
one of - _ . / : between their numbers or none, in one name or spread over the names of folders
(2026-01-31/15/front/30.00); the same with a second time behind it, at which the recording ends; and
seconds since 1970 with a fraction, or alone. Z and +hh:mm name a zone; without one it is local
time.
"""

import datetime
import re
from typing import NamedTuple

DATE = (
    r"(?P<year>(?:19|20)\d\d)[-_./:]?(?P<month>0[1-9]|1[0-2])[-_./:]?"
    r"(?P<day>0[1-9]|[12]\d|3[01])"
)
# Between date and hour, and between hour and minute, there may be names of folders.
BETWEEN = r"(?P<%s>[^0-9]{0,60}|[^0-9]{0,60}/(?:[^/]{0,60}/){0,4})"
CLOCK = (
    r"(?P<hour>[01]\d|2[0-3])" + BETWEEN % "inside" + r"(?P<minute>[0-5]\d)[-_.:m/]?"
    r"(?P<second>[0-5]\d)(?P<fraction>[.,]\d{1,6}(?!\d)|\d{3}(?!\d))?"
)
ZONE = r"(?P<zone>Z(?![A-Za-z])|[+-](?:0\d|1[0-4]):?[0-5]\d(?![\d.:]))?"
WHEN = re.compile(rf"(?<!\d){DATE}{BETWEEN % 'before'}{CLOCK}{ZONE}(?!\d)")
LATER = re.compile(r"(?<!\d)(?:[01]\d|2[0-3])[.:-]?[0-5]\d[.:-]?[0-5]\d(?:[.,]\d{1,6})?(?!\d)")
HOURS = re.compile(r"(?<=/)\d\d(?=/)")  # folders that are named by the hour
SINCE_1970 = re.compile(r"(?<!\d)1\d{9}\.\d{1,9}(?!\d)|(?<![^/])1\d{9}(?:\d{3})?(?![^/])")
NUMBERS = ("year", "month", "day", "hour", "minute", "second", "fraction", "zone")
MOST = 400  # letters of a name that is searched


class NamedTime(NamedTuple):
    """Start of a recording by its name.

    Attributes:
      start: date and time; with a zone only where the name has one.
      series: the name with `*` for the times, the same for all recordings of a series.
    """

    start: datetime.datetime
    series: str


def find(name: str) -> NamedTime | None:
    """The time in a name with its folders, without its ending; None if there is none."""
    name = name[-MOST:]
    for match in WHEN.finditer(name):
        if (start := _date(match)) is not None:
            return NamedTime(start, _without(name, match))
    if match := SINCE_1970.search(name):
        digits, _, fraction = match[0].partition(".")
        seconds = int(digits[:10]) + float(f"0.{digits[10:] or fraction or 0}")
        start = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
        return NamedTime(start, SINCE_1970.sub("*", name))
    return None


def _date(match: re.Match) -> datetime.datetime | None:
    """The date and time of a match; None for a day that the month does not have."""
    digits = re.sub(r"\D", "", match["fraction"] or "")
    zone = match["zone"]
    if zone and zone != "Z":
        sign, hours, minutes = -1 if zone[0] == "-" else 1, int(zone[1:3]), int(zone[-2:])
        offset = datetime.timedelta(minutes=sign * (60 * hours + minutes))
    try:
        return datetime.datetime(
            *(int(match[part]) for part in ("year", "month", "day", "hour", "minute", "second")),
            int(f"{digits:0<6}"),
            tzinfo=None if not zone else datetime.UTC if zone == "Z" else datetime.timezone(offset),
        )
    except ValueError:
        return None


def _without(name: str, match: re.Match) -> str:
    """The name with `*` for the numbers of the time, of folders of hours, and of a second time."""
    # From the last to the first, so that positions stay right.
    spans = sorted((match.span(part) for part in NUMBERS if match[part]), reverse=True)
    before, after = name[: match.start()], name[match.end() :]
    text = name[match.start() : match.end()]
    for start, stop in spans:
        text = f"{text[: start - match.start()]}*{text[stop - match.start() :]}"
    return before + HOURS.sub("*", text) + LATER.sub("*", WHEN.sub("*", after))
