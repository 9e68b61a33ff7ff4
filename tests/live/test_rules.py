"""Zones, hours and classes: which objects make an alert, and what is wrong with a file."""

import datetime
import json

import pytest

from vadjax.live import rules

FILE = """
ignore = ["dog"]

[[zones]]
name = "drive"
points = [[0.0, 0.5], [0.5, 0.5], [0.5, 1.0], [0.0, 1.0]]

[[zones]]
name = "road"
camera = "door"
alert = false
points = [[0.4, 0.5], [1.0, 0.5], [1.0, 1.0], [0.4, 1.0]]

[[hours]]
from = "22:00"
to = "06:00"
days = ["fri"]

[[hours]]
camera = "yard"
from = "09:30"
to = "17:00"
"""


def read(tmp_path, text, name="rules.toml", cameras=("door", "yard")):
    (tmp_path / name).write_text(text, "utf-8")
    return rules.read(tmp_path / name, cameras, ("person", "dog"))


@pytest.fixture
def written(tmp_path):
    return read(tmp_path, FILE)


def told(x, y, name="person"):
    """An object whose lower edge has its middle there, in a picture of 100 × 200."""
    return {"class": name, "box": [x - 5, y - 20, x + 5, y]}


@pytest.mark.parametrize(
    ("camera", "x", "y", "why"),
    [
        ("door", 40, 80, None),
        ("door", 90, 80, "zone"),  # in both
        ("door", 150, 80, "zone"),  # in none that alerts
        ("door", 40, 20, "zone"),
        ("door", 40, 100, None),  # at the lower edge of the picture
        ("yard", 90, 80, None),  # the road is of the other camera
    ],
)
def test_an_object_passes_by_where_it_stands(written, camera, x, y, why):
    assert written.of_camera(camera).refuse(told(x, y), (100, 200)) == why


def test_classes_and_what_is_told_of_no_object(written):
    own = written.of_camera("yard")
    assert own.refuse(told(40, 80, "dog"), (100, 200)) == "class"
    assert own.refuse({"text": "unusual"}, (100, 200)) is None
    assert rules.AlertRules().refuse(told(40, 20), (100, 200)) is None


@pytest.mark.parametrize(
    ("camera", "moment", "open_at"),
    [
        ("door", "2026-11-27T21:59", False),  # a Friday
        ("door", "2026-11-27T22:00", True),
        ("door", "2026-11-28T05:59", True),
        ("door", "2026-11-28T06:00", False),
        ("door", "2026-11-28T22:30", False),
        ("door", "2026-11-27T05:00", False),
        ("yard", "2026-11-25T09:30", True),
        ("yard", "2026-11-25T17:00", False),
    ],
)
def test_hours(written, camera, moment, open_at):
    assert written.of_camera(camera).open_at(datetime.datetime.fromisoformat(moment)) is open_at
    assert rules.AlertRules().open_at(datetime.datetime.fromisoformat(moment))


def test_a_time_from_and_to_the_same_minute_is_a_whole_day(tmp_path):
    own = read(tmp_path, '[[hours]]\nfrom = "08:00"\nto = "08:00"\ndays = ["mon"]').of_camera(
        "door"
    )
    assert own.open_at(datetime.datetime(2026, 11, 30, 8)) and own.open_at(
        datetime.datetime(2026, 12, 1, 7, 59)
    )
    assert not own.open_at(datetime.datetime(2026, 12, 1, 8))


def test_json_says_the_same(tmp_path):
    text = json.dumps({"ignore": ["dog"], "hours": [{"from": "01:00", "to": "02:00"}]})
    own = read(tmp_path, text, "rules.json").of_camera("door")
    assert own.ignored == {"dog"} and own.hours[0].stop == 120 and not own.zones


SHARES = "a number is not from 0 to 1; they are shares of width and height"
ZONE = '[[zones]]\nname = "a"\npoints = '
WRONG = {
    'ignore = ["do"]': "rules.toml: ignore has 'do'; the classes are person, dog",
    "ignored = []": "rules.toml: 'ignored' is no key; expected ignore, zones, hours",
    ZONE + "[[0, 0], [1, 1]]": r"zones\[0\].points: 2 points; expected 3 to 200 of \[x, y\]",
    ZONE + "[[0, 0], [1, 1], [0, 100]]": SHARES,
    ZONE
    + '[[0, 0], [1, 1], [0, 1]]\ncamera = "gate"': "camera is 'gate'; the cameras here are door",
    '[[hours]]\nfrom = "24:00"\nto = "1:00"': "from is '24:00'; expected HH:MM, as 06:30",
    '[[hours]]\nfrom = "22:00"\nto = "06:00"\ndays = ["Mon"]': "days has 'Mon'; expected mon, tue",
    '[[hours]]\nfrom = "22:00"': "to",
    "ignore = [": "rules.toml: not TOML .*; see docs/camera.md",
    "ignore = 1999-01-01": "rules.toml: has values that no rule has",
    "[[zones]]\n" * 101: "zones",
}


@pytest.mark.parametrize("text", WRONG)
def test_a_file_that_could_never_hold_is_refused(tmp_path, text):
    with pytest.raises(ValueError, match=WRONG[text]):
        read(tmp_path, text)


def test_a_file_of_another_kind(tmp_path):
    with pytest.raises(ValueError, match="rules.yaml: expected a rules file that ends in .toml or"):
        read(tmp_path, "", "rules.yaml")
    with pytest.raises(FileNotFoundError):
        rules.read(tmp_path / "none.toml", (), ())
