import json

import numpy as np
import pytest

from tests.report.reason_example import check_layout, places, told
from vadjax.report import panels, reasons, sheet

NOTHING = reasons.read({})


def test_everything_that_is_there_is_read():
    found = reasons.read(told())
    assert (found.frame, found.frames, found.box) == (3, (2, 5), (20, 10, 40, 25))
    assert (found.score, found.dominant, found.also) == (1.73, "speed", ("angle",))
    assert found.here.speed == 2.3 and found.here.directions[6] == 0.7 and not found.here.still
    assert found.normal.still and found.normal.direction is None
    assert found.origin == "training 03, frames 20-29 (stands for 41 volumes)"
    assert [t for t in range(9) if found.covers(t)] == [2, 3, 4]


def test_an_alarm_interval_is_a_reason():
    """With the fields of `docs/events.md`."""
    event = {"start": 27, "stop": 180, "frame": 109, "score": 0.72, "lead": "look"}
    event |= {"evidence": {"speed": 2.5, "look": 4.1}, "box": [1, 2, 30, 40], "text": "looks odd"}
    nearest = {"video": "01", "frame": 66, "box": [3, 4, 9, 20], "class": "person"}
    found = reasons.read(event | {"nearest": nearest})
    assert (found.frame, found.frames, found.dominant) == (109, (27, 180), "look")
    assert found.terms == {"speed": 2.5, "look": 4.1} and found.measure == reasons.RARITY
    assert found.origin == "training 01, frame 66, person" and found.normal_box == (3, 4, 9, 20)
    assert reasons.read(told()).measure == reasons.DISTANCE


@pytest.mark.parametrize(
    "odd",
    [
        {"text": 7, "score": "high", "frame": "012.jpg", "frames": [5], "box": [0, 0, 9]},
        {"text": " ", "score": float("nan"), "frames": [5, 5], "box": [9, 0, 9, 4]},
        {"score": True, "terms": [1, 2], "also": 3, "here": "person", "normal": None},
        {"terms": {"a": "b"}, "also": [1], "here": {"directions": [1] * 11, "probability": 1}},
        {"here": {"directions": [-1] * 12, "speed": None}, "normal": {"frames": "20-29"}},
    ],
)
def test_what_is_something_else_counts_as_missing(odd):
    found = reasons.read(odd)
    assert found.text == json.dumps(odd)
    assert found._replace(text="") == NOTHING._replace(text="")
    assert not panels.panels(found) and not found.covers(5)


def test_a_frame_without_an_interval_is_an_interval_and_the_other_way_round():
    assert reasons.read({"frame": 7}).frames == (7, 8)
    assert reasons.read({"frames": [4, 8]}).frame == 6
    assert NOTHING.frames is NOTHING.frame is None


def test_origins_say_what_is_known():
    def origin(**normal):
        return reasons.read({"normal": normal}).origin

    assert origin(sequence=3, count=1) == "training 3 (stands for 1 volume)"
    assert origin(frames=[0, 10], count=1200) == "frames 0-9 (stands for 1,200 volumes)"
    assert origin(count=2) == "(stands for 2 volumes)" and origin() == ""
    assert origin(sequence="a" * 30 + "b" * 30) == f"training {'a' * 20}…{'b' * 20}"


def test_lines_are_as_wide_as_they_are_drawn():
    text = "frame 105, region (3,4): unusual speed, moving left " + "W" * 90 + " at 2.3 px/frame"
    lines = sheet.wrap(text, 3.0, 9)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "") and len(lines) > 4
    drawn = sheet.Sheet(3.2, 3)
    drawn.text(0.1, 0.1, "\n".join(lines), 9)
    ((x0, y0, x1, y1),) = places(drawn.figure)
    assert 0.8 * 3 * sheet.DPI < x1 - x0 <= 3 * sheet.DPI + 1
    assert y1 - y0 <= sheet.height(lines, 9) * sheet.DPI + 3
    assert sheet.wrap("", 3, 9) == [] and sheet.wrap("a b", 3, 9) == ["a b"]


def test_a_text_of_too_many_lines_says_that_it_goes_on():
    lines = sheet.wrap("word " * 100, 2.0, 9, most=2)
    assert len(lines) == 2 and lines[1].endswith(" …")
    assert sheet._wide(lines[1], 9) <= 2.0


def bars(drawn, title):
    """Lengths and colours of the bars below a title."""
    top = next(t for t in drawn.figure.texts if t.get_text().startswith(title)).get_position()[1]
    below = [axes for axes in drawn.figure.axes if axes.get_position().y1 < top]
    axes = max(below, key=lambda axes: axes.get_position().y1)
    return [(bar.get_width(), attributes_colour(bar)) for bar in axes.patches]


def attributes_colour(bar):
    return "#" + "".join(f"{round(255 * part):02x}" for part in bar.get_facecolor()[:3])


def column(reason):
    """The panels of a reason, drawn."""
    found = panels.panels(reason)
    drawn, top = sheet.Sheet(3.4, sum(p.height + panels.GAP for p in found)), 0
    for panel in found:
        panel.draw(drawn, 0.1, top)
        top += panel.height + panels.GAP
    return drawn


def test_the_dominant_term_is_the_dark_one():
    drawn = column(reasons.read(told()))
    assert bars(drawn, "Distance to the closest normal: 1.73") == [
        (0.31, panels.OTHER),
        (0.42, panels.ALSO),
        (0.78, panels.WHY),
        (0.22, panels.OTHER),
    ]
    labels = drawn.figure.axes[0].get_yticklabels()
    assert [label.get_text() for label in labels if label.get_weight() == "bold"] == ["speed"]
    never = column(reasons.read(told(dominant="background", also=[], never_moved=True)))
    dark = [colour == panels.WHY for _, colour in bars(never, "Distance")]
    assert dark == [False, False, False, True]
    assert any("nothing" in text.get_text() for text in never.figure.texts)


def test_here_and_normal_stand_side_by_side_in_their_colours():
    drawn = column(reasons.read(told()))
    here, normal = panels.HERE, panels.NORMAL
    assert bars(drawn, "Class") == [(0.83, here), (0, normal), (0.61, here), (0.93, normal)]
    motion = [axes for axes in drawn.figure.axes[1:3]]
    widths = [[bar.get_width() for bar in axes.patches] for axes in motion]
    assert widths == [[34, 1], [2.3, 0]]
    said = [text.get_text() for text in drawn.figure.texts]
    assert said[said.index("Here") + 1] == "mostly left"
    assert said[said.index("Closest normal") + 1] == "not moving"


def test_the_rose_points_where_the_pixels_move():
    drawn = column(reasons.read(told()))
    (rose,) = [axes for axes in drawn.figure.axes if axes.name == "polar"]
    longest = max(rose.patches, key=lambda bar: bar.get_height())
    angle = longest.get_x() + longest.get_width() / 2
    assert np.rad2deg(angle) == pytest.approx(195)  # bin 6 begins at "left", 180, clockwise
    assert rose.get_theta_direction() == -1
    still = {"directions": [0.0] * 12, "direction": None}
    drawn = column(reasons.read(told(here=still, normal=still)))
    assert not [axes for axes in drawn.figure.axes if axes.name == "polar"]


def test_no_bar_is_long_for_next_to_nothing():
    little = {"moving": 1, "speed": 0.1}
    drawn = column(reasons.read({"here": little, "normal": little, "terms": {"a": 0.01}}))
    for axes in drawn.figure.axes:
        assert max(bar.get_width() for bar in axes.patches) <= 0.1 * axes.get_xlim()[1]


def test_nothing_overlaps():
    reason = told(never_moved=True)
    reason["here"]["probability"] = {f"class number {i}": 0.9 - i / 10 for i in range(6)}
    check_layout(column(reasons.read(reason)).figure)
