"""Date and time in the name of a recording, as recorders, cameras and telephones write them.

    find("front/2026-01-31/15-30-00")   → 15:30:00 of that day, and "front/*-*-*/*-*-*"

Known are a date (year, month, day) with a clock time (hours, minutes, seconds) behind it, with any
one of - _ . / : between their numbers or none, in one name or spread over the names of folders
(2026-01-31/15/front/30.00); the same with a second time behind it, at which the recording ends; and
seconds since 1970 with a fraction, or alone. Z and +hh:mm name a zone; without one it is local
time. A number that counts the recordings looks like a zone too (-0100), and gives every name
another form; the other names tell (`find_all`).
"""

import collections
import datetime
import itertools
import re
from collections.abc import Hashable, Sequence, Set
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
# Zones lie whole quarters of an hour from UTC, and none by less than an hour.
QUARTERS = r"(?:00:?00|(?:0[1-9]|1[0-4]):?(?:00|15|30|45))"
ZONE = rf"(?P<zone>Z(?![A-Za-z])|[+-]{QUARTERS}(?![\d.:]))?"
ANY_ZONE = re.compile(rf"(?<!\d){DATE}{BETWEEN % 'before'}{CLOCK}{ZONE}(?!\d)")
NO_ZONE = re.compile(rf"(?<!\d){DATE}{BETWEEN % 'before'}{CLOCK}(?P<zone>(?!))?(?!\d)")
LATER = re.compile(r"(?<!\d)(?:[01]\d|2[0-3])[.:-]?[0-5]\d[.:-]?[0-5]\d(?:[.,]\d{1,6})?(?!\d)")
HOURS = re.compile(r"(?<=/)\d\d(?=/)")  # folders that are named by the hour
SINCE_1970 = re.compile(r"(?<!\d)1\d{9}\.\d{1,9}(?!\d)|(?<![^/])1\d{9}(?:\d{3})?(?![^/])")
NUMBERS = ("year", "month", "day", "hour", "minute", "second", "fraction", "zone")
MOST = 400  # letters of a name that is searched
SUMMER = datetime.timedelta(hours=1)  # by which the two zones of a series may differ
COUNTED = 3  # recordings from which on a number that rises counts them
DIGITS = re.compile(r"\d+")


class NamedTime(NamedTuple):
    """Start of a recording by its name.

    Attributes:
      start: date and time; with a zone only where the name has one.
      series: the name with `*` for the times, the same for all recordings of a series.
    """

    start: datetime.datetime
    series: str


def find(name: str, zones: bool = True) -> NamedTime | None:
    """The time in a name with its folders, without its ending; None if there is none.

    Args:
      name: the name.
      zones: whether to look for a zone behind the time.
    """
    name, when = name[-MOST:], ANY_ZONE if zones else NO_ZONE
    for match in when.finditer(name):
        if (start := _date(match)) is not None:
            return NamedTime(start, _without(name, match, when))
    if match := SINCE_1970.search(name):
        digits, _, fraction = match[0].partition(".")
        seconds = int(digits[:10]) + float(f"0.{digits[10:] or fraction or 0}")
        start = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
        return NamedTime(start, SINCE_1970.sub("*", name))
    return None


def find_all(names: Sequence[str], places: Sequence[Hashable]) -> list[NamedTime | None]:
    """The times in several names, as `find`, where the names of a series explain each other.

    Zones count if all names of a form have them, the same one or two as of winter and summer. A
    number that is another in every name and rises with the time counts the recordings: it becomes
    `*` in the series. It takes `COUNTED` names to see that.

    Args:
      names: the names.
      places: what else names must have in common to be of one series, as their camera.
    """
    found, forms = [find(name, zones=False) for name in names], collections.defaultdict(list)
    for number, (named, place) in enumerate(zip(found, places, strict=True)):
        if named:
            forms[place, DIGITS.sub("#", named.series)].append(number)
    for numbers in forms.values():
        zoned = [find(names[number]) for number in numbers]
        if not _are_zones({named.start.utcoffset() for named in zoned}):
            zoned = [found[number] for number in numbers]
        for number, named in zip(numbers, _without_counter(zoned), strict=True):
            found[number] = named
    return found


def _are_zones(offsets: Set[datetime.timedelta | None]) -> bool:
    """Whether these can be the zones of one series; None stands for names without one."""
    if None in offsets or len(offsets) > 2:
        return False
    return max(offsets) - min(offsets) in (datetime.timedelta(0), SUMMER)


def _without_counter(named: Sequence[NamedTime]) -> list[NamedTime]:
    """The same times, with `*` for a number in the series that counts the recordings."""
    rows = [DIGITS.findall(one.series) for one in named]
    counters = [at for at in range(len(rows[0])) if _counts(named, rows, at)]
    if len(counters) != 1:
        return [*named]

    def starred(series: str) -> str:
        match = [*DIGITS.finditer(series)][counters[0]]
        return f"{series[: match.start()]}*{series[match.end() :]}"

    return [one._replace(series=starred(one.series)) for one in named]


def _counts(named: Sequence[NamedTime], rows: Sequence[Sequence[str]], at: int) -> bool:
    """Whether a number of some series rises with the time where all others are the same."""
    series = collections.defaultdict(list)
    for one, row in zip(named, rows, strict=True):
        series[(*row[:at], *row[at + 1 :])].append((one.start, int(row[at])))
    for listed in map(sorted, series.values()):
        for (start, number), (next_start, next_number) in itertools.pairwise(listed):
            if start >= next_start or number >= next_number:
                return False
    return max(map(len, series.values())) >= COUNTED


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


def _without(name: str, match: re.Match, when: re.Pattern) -> str:
    """The name with `*` for the numbers of the time, of folders of hours, and of a second time."""
    # From the last to the first, so that positions stay right.
    spans = sorted((match.span(part) for part in NUMBERS if match[part]), reverse=True)
    before, after = name[: match.start()], name[match.end() :]
    text = name[match.start() : match.end()]
    for start, stop in spans:
        text = f"{text[: start - match.start()]}*{text[stop - match.start() :]}"
    return before + HOURS.sub("*", text) + LATER.sub("*", when.sub("*", after))
