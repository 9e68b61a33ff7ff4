"""Which events are alerts: zones of the picture, hours of the day, classes to ignore.

A rules file is TOML (or JSON with the same keys):

    ignore = ["car", "dog"]                 # classes that make no alert

    [[zones]]
    name = "drive"
    points = [[0.1, 0.5], [0.9, 0.5], [0.9, 1.0], [0.1, 1.0]]   # shares of width and height
    camera = "door"                         # optional: of this camera alone
    alert = true                            # optional: false for a zone that makes no alert

    [[hours]]
    from = "22:00"
    to = "06:00"                            # the next morning
    days = ["fri", "sat"]                   # optional: days on which the time begins
    camera = "door"                         # optional

An object passes if its class is not ignored and the middle of its lower edge lies in a zone, if
there are zones that alert, and in no zone that does not. An event is an alert from the first frame
with such an object, while one of the hours holds, if there are any.
"""

import datetime
import json
import pathlib
import re
import tomllib
from collections.abc import Collection, Sequence
from typing import NamedTuple

from vadjax.formats import json_files
from vadjax.formats.names import shorten
from vadjax.formats.text import read_text

MOST_BYTES = 1 << 20  # of a file
MOST_ROWS, MOST_POINTS = 100, 200  # zones or hours of a file, points of a zone
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
TIME = re.compile(r"([01]\d|2[0-3]):([0-5]\d)")
PATTERN = {
    "ignore?": [str],
    "zones?": [{"name": str, "points": [[float]], "camera?": str, "alert?": bool}],
    "hours?": [{"from": str, "to": str, "days?": [str], "camera?": str}],
}
KEYS = {
    "": ("ignore", "zones", "hours"),
    "zones": ("name", "points", "camera", "alert"),
    "hours": ("from", "to", "days", "camera"),
}


class Zone(NamedTuple):
    """A part of the picture.

    Attributes:
      name: of the zone.
      points: corners (x, y) in shares of width and height.
      alert: whether objects in it make alerts, or none.
    """

    name: str
    points: tuple[tuple[float, float], ...]
    alert: bool

    def holds(self, x: float, y: float) -> bool:
        """Whether a point lies in it, in shares of width and height; by the even-odd rule."""
        inside = False
        for (x0, y0), (x1, y1) in zip(self.points, self.points[1:] + self.points[:1], strict=True):
            if (y0 > y) != (y1 > y) and x < x0 + (y - y0) / (y1 - y0) * (x1 - x0):
                inside = not inside
        return inside


class Hours(NamedTuple):
    """A time of the day.

    Attributes:
      start, stop: minutes since midnight; a stop that is not later is one of the next day.
      days: numbers of the days on which it begins, Monday is 0.
    """

    start: int
    stop: int
    days: frozenset[int]

    def holds(self, moment: datetime.datetime) -> bool:
        """Whether the local time of day lies in it."""
        minutes, day = 60 * moment.hour + moment.minute, moment.weekday()
        if self.start < self.stop:
            return day in self.days and self.start <= minutes < self.stop
        evening = day in self.days and minutes >= self.start
        return evening or ((day - 1) % 7 in self.days and minutes < self.stop)


class AlertRules(NamedTuple):
    """The rules of one camera; without any, all objects pass at all hours.

    Attributes:
      ignored: classes that make no alert.
      zones: of the picture.
      hours: at which there are alerts.
    """

    ignored: frozenset[str] = frozenset()
    zones: tuple[Zone, ...] = ()
    hours: tuple[Hours, ...] = ()

    def open_at(self, moment: datetime.datetime) -> bool:
        """Whether there are alerts at a moment of local time."""
        return not self.hours or any(hours.holds(moment) for hours in self.hours)

    def refuse(self, told: dict, size: tuple[int, int]) -> str | None:
        """Why an object makes no alert: `class` or `zone`; None if it may make one.

        What is told without a class or a box cannot be refused by it.

        Args:
          told: what is told of the object.
          size: (H, W) of the frame that its box is in.
        """
        if told.get("class") in self.ignored:
            return "class"
        if not self.zones or "box" not in told:
            return None
        x0, _, x1, y1 = told["box"]
        x, y = (x0 + x1) / 2 / size[1], min(y1 / size[0], 1 - 1e-9)
        within = [zone.alert for zone in self.zones if zone.holds(x, y)]
        wanted = any(zone.alert for zone in self.zones)
        return "zone" if False in within or (wanted and True not in within) else None


class RulesFile(NamedTuple):
    """What a rules file says for all cameras.

    Attributes:
      path: of the file.
      content: as `PATTERN`.
    """

    path: pathlib.Path
    content: dict

    def of_camera(self, name: str) -> AlertRules:
        """The rules of a camera: those that name it, and those that name none."""
        rows = {
            key: [row for row in self.content.get(key, ()) if row.get("camera", name) == name]
            for key in ("zones", "hours")
        }
        return AlertRules(
            frozenset(self.content.get("ignore", ())),
            tuple(map(_zone, rows["zones"])),
            tuple(map(_hours, rows["hours"])),
        )


def read(path: pathlib.Path, cameras: Collection[str], classes: Sequence[str]) -> RulesFile:
    """Reads a rules file and checks it.

    Args:
      path: of the file, `.toml` or `.json`.
      cameras: names that a rule may have.
      classes: classes that may be ignored.

    Raises:
      OSError: it cannot be read.
      ValueError: it is damaged, or has a rule that can never hold; the message names the place.
    """
    content = _parse(path)
    json_files.check_fields(content, {**PATTERN, ...: object}, path)
    _check_keys(content, KEYS[""], str(path))
    for key in ("zones", "hours"):
        if len(content.get(key, ())) > MOST_ROWS:
            raise ValueError(f"{path}: {len(content[key]):,} {key}; expected at most {MOST_ROWS}")
        for number, row in enumerate(content.get(key, ())):
            where = f"{path}: {key}[{number}]"
            _check_keys(row, KEYS[key], where)
            _check_zone(row, where) if key == "zones" else _check_hours(row, where)
            if row.get("camera", "") and row["camera"] not in cameras:
                raise ValueError(
                    f"{where}.camera is {shorten(row['camera'])}; the cameras here are "
                    f"{', '.join(sorted(cameras))}"
                )
    # A class that no object can have would never be ignored.
    for name in content.get("ignore", ()):
        if name not in classes:
            known = ", ".join(classes) if classes else "none: this system names no classes"
            raise ValueError(f"{path}: ignore has {shorten(name)}; the classes are {known}")
    return RulesFile(path, content)


def _parse(path: pathlib.Path) -> dict:
    """The content of a file, as JSON has it."""
    if path.suffix == ".json":
        return json_files.read(path, dict, MOST_BYTES)
    if path.suffix != ".toml":
        raise ValueError(f"{path}: expected a rules file that ends in .toml or .json")
    try:
        content = tomllib.loads(read_text(path, MOST_BYTES))
        return json.loads(json.dumps(content))  # dates and the like are no JSON
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path}: not TOML ({error}); see docs/camera.md") from error
    except (TypeError, RecursionError) as error:
        raise ValueError(f"{path}: has values that no rule has ({error})") from error


def _check_keys(row: dict, known: Sequence[str], where: str) -> None:
    """Raises ValueError at a key that means nothing: it would be a rule that never holds."""
    if unknown := sorted(set(row) - set(known)):
        raise ValueError(f"{where}: {shorten(unknown[0])} is no key; expected {', '.join(known)}")


def _check_zone(row: dict, where: str) -> None:
    points = row["points"]
    if not 3 <= len(points) <= MOST_POINTS or any(len(point) != 2 for point in points):
        raise ValueError(
            f"{where}.points: {len(points):,} points; expected 3 to {MOST_POINTS} of [x, y]"
        )
    if not all(0 <= side <= 1 for point in points for side in point):
        raise ValueError(
            f"{where}.points: a number is not from 0 to 1; they are shares of width and height"
        )


def _check_hours(row: dict, where: str) -> None:
    for key in ("from", "to"):
        if not TIME.fullmatch(row[key]):
            raise ValueError(f"{where}.{key} is {shorten(row[key])}; expected HH:MM, as 06:30")
    for day in row.get("days", ()):
        if day not in DAYS:
            raise ValueError(f"{where}.days has {shorten(day)}; expected {', '.join(DAYS)}")


def _zone(row: dict) -> Zone:
    points = tuple((float(x), float(y)) for x, y in row["points"])
    return Zone(row["name"], points, row.get("alert", True))


def _hours(row: dict) -> Hours:
    start, stop = (int(row[key][:2]) * 60 + int(row[key][3:]) for key in ("from", "to"))
    return Hours(start, stop, frozenset(DAYS.index(day) for day in row.get("days", DAYS)))
