import io
import re

import matplotlib.image
import numpy as np
import pytest

from tests.report.reason_example import check_layout, told
from vadjax.report import __main__ as command
from vadjax.report import curves, explain, page
from vadjax.report import panels as attributes
from vadjax.scores import files as score_files
from vadjax.scores.files import Examples, Scores

SIZE = (48, 64)


def pictures(count, size=SIZE, level=100):
    return np.full((count, *size, 3), level, np.uint8)


def video(name, reasons, labels=(0, 0, 0, 1, 0), shown=None, size=SIZE):
    """Scores with reasons, and pictures of those whose numbers are `shown` (all)."""
    shown = range(len(reasons)) if shown is None else shown
    seen, normal = pictures(len(shown), size), pictures(len(shown), size, 200)
    examples = Examples(np.array(shown, int), seen, normal) if len(shown) else None
    labels = None if labels is None else np.array(labels, np.uint8)
    return Scores(name, np.linspace(0, 1, 5), labels, reasons=tuple(reasons), examples=examples)


def event(reason, **more):
    return explain.choose([video("v", [reason], **more)], 1)[0]


def rectangles(axes):
    """Edges `x0, y0, x1, y1` of the boxes on a picture, as pixel counts, and their colours."""
    found = [patch for patch in axes.patches if not patch.get_fill()]
    return [
        ((x := p.get_x() + 0.5), (y := p.get_y() + 0.5), x + p.get_width(), y + p.get_height())
        for p in found
    ], [p.get_edgecolor() for p in found]


def drawn(figure):
    """The figure as pixels, float [H, W, 4], and the place of axes in it."""
    image = matplotlib.image.imread(io.BytesIO(curves.to_png(figure)))

    def place(axes):
        found = axes.get_position()
        rows, columns = image.shape[:2]
        return image[
            round((1 - found.y1) * rows) : round((1 - found.y0) * rows),
            round(found.x0 * columns) : round(found.x1 * columns),
        ]

    return image, place


def colour(pixels, code, near=0.02):
    wanted = [int(code[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    return (np.abs(pixels[..., :3] - wanted) < near).all(-1)


def test_the_same_box_is_drawn_four_times_in_the_colour_of_its_side():
    figure = explain.draw(event(told()))
    seen, seen_crop, normal, normal_crop = figure.axes[:4]
    assert [int(axes.images[0].get_array()[0, 0, 0]) for axes in figure.axes[:4]] == [
        100,
        100,
        200,
        200,
    ]
    _, place = drawn(figure)
    for axes, code in (
        (seen, attributes.HERE),
        (seen_crop, attributes.HERE),
        (normal, attributes.NORMAL),
        (normal_crop, attributes.NORMAL),
    ):
        (box,), (edge,) = rectangles(axes)
        assert box == (20, 10, 40, 25)
        inner = colour(place(axes), code)[6:-6, 6:-6]  # without the edge of the picture
        if axes is seen:
            inner[: int(10 / 48 * len(inner)) - 4] = False  # the plate with the score
        rows, columns = np.nonzero(inner)
        (x0, x1), (y1, y0) = axes.get_xlim(), axes.get_ylim()
        wide = (columns.min() + 6, columns.max() + 6) / np.float64(place(axes).shape[1])
        assert x0 + 0.5 + wide * (x1 - x0) == pytest.approx([20, 40], abs=1)
        assert y0 + 0.5 + (rows.max() + 6) / place(axes).shape[0] * (y1 - y0) == pytest.approx(
            25, abs=1
        )
    assert [text.get_text() for text in seen.texts] == ["1.73"] and not normal.texts


@pytest.mark.parametrize("size", [(48, 64), (240, 360), (720, 1280), (200, 100)])
@pytest.mark.parametrize("corner", [(0, 0), (1, 0), (0, 1), (1, 1), (0.5, 0.5)])
def test_crops_hold_the_box_and_stay_inside(size, corner):
    high, wide = size[0] // 4, size[1] // 4
    x, y = round(corner[0] * (size[1] - wide)), round(corner[1] * (size[0] - high))
    box = x, y, x + wide, y + high
    (x0, x1), (y0, y1) = explain.window(box, size, 1.3)
    assert 0 <= x0 <= box[0] and box[2] <= x1 <= size[1] + 1e-6
    assert 0 <= y0 <= box[1] and box[3] <= y1 <= size[0] + 1e-6
    if size[1] > size[0]:
        assert (x1 - x0) / (y1 - y0) == pytest.approx(1.3)
    assert (x1 - x0) * (y1 - y0) < 0.7 * size[0] * size[1]


@pytest.mark.parametrize("size", [(48, 64), (720, 1280), (300, 100)])
@pytest.mark.parametrize(
    "box", [[0, 0, 16, 16], [40, 30, 64, 48], [0, 0, 64, 48], [70, 50, 90, 60]]
)
def test_no_text_overlaps_whatever_the_size_and_the_box(size, box):
    reason = told(box=box, text="a long sentence about a place " * 30, never_moved=True)
    reason["normal"]["sequence"] = "a_training_sequence_with_a_very_long_name_of_" + "x" * 40
    check_layout(explain.draw(event(reason, size=size)))


@pytest.mark.parametrize(
    ("stored", "panels"),
    [
        ({}, 2),
        ({"text": "A car. $x$"}, 2),
        ({"why": "fast", "frame": 99, "box": [3, 3, 9, 9]}, 4),
        ({"terms": {"left": 1, "right": 0}, "dominant": "right"}, 3),
        ({"box": [1, 2], "here": {"speed": 3.0}}, 4),
    ],
)
def test_dicts_that_lack_keys_are_drawn_with_what_they_have(stored, panels):
    found = event(stored)
    figure = explain.draw(found)
    assert len(figure.axes) == panels and found.anomalous is None
    curves.to_png(figure)
    assert found.reason.text in "\n".join(text.get_text() for text in figure.texts)


def test_the_figure_says_what_is_unusual_and_where_the_normal_is_from():
    said = [text.get_text().replace("\n", " ") for text in explain.draw(event(told())).texts]
    assert said[0] == "Unusual speed (and angle)"
    assert said[1] == "v · frame 3 · score 1.73 · labelled anomalous"
    assert "training 03, frames 20-29 (stands for 41 volumes)" in said
    assert "frame 3, of frames 2-4" in said
    never = explain.draw(event(told(also=[], never_moved=True))).texts[0].get_text()
    assert never == "Unusual speed: nothing ever moved here"


def test_the_highest_examples_of_all_videos_come_first():
    videos = [
        video("a", [told(score=1.0), told(score=3.0), told(score=9.0)], shown=[1, 0]),
        video("b", [told(score=2.0), {"text": "no score"}]),
        video("c", [told(score=8.0)], shown=[]),
    ]
    chosen = explain.choose(videos, 9)
    assert [(e.video, e.reason.score) for e in chosen] == [
        ("a", 3.0),
        ("b", 2.0),
        ("a", 1.0),
        ("b", None),
    ]
    assert len(explain.choose(videos, 2)) == 2 and explain.choose(videos, 0) == []
    (text,) = explain.choose(videos[2:], 4)
    assert text.seen is None and text.reason.score == 8.0


def test_labels_are_those_of_the_frame():
    assert event(told()).anomalous is True
    assert event(told(frame=2)).anomalous is False
    assert event(told(), labels=None).anomalous is event(told(frame=5)).anomalous is None


def test_the_page_holds_the_sentences_and_the_labels(tmp_path):
    videos = [
        video("a <i>", [told(score=1.0, frame=2), told(score=3.0)]),
        video("b", [told(score=2.0, text="second of all")]),
    ]
    built = page.build(tmp_path / "report", videos, page.summarize(tmp_path, videos))
    text = (built.parent / page.FIGURES).read_text()
    section = text.split("Why: the highest-scoring events")[1].split("All videos")[0]
    assert re.findall("<h3>(.*?)</h3>", section) == [
        "1. a &lt;i&gt; · frame 3 · score 3.00 · labelled anomalous",
        "2. b · frame 3 · score 2.00 · labelled anomalous",
        "3. a &lt;i&gt; · frame 2 · score 1.00 · labelled normal",
    ]
    assert section.count("unusual speed. Here: cyclist &lt;fast&gt;.") == 4  # text, and in its JSON
    assert section.index("&lt;fast&gt;") < section.index("second of all")
    assert section.count("<figure>") == 3 and explain.NOTE in section
    assert (tmp_path / "report" / "why_3.png").is_file()


@pytest.mark.parametrize(("count", "figures"), [("0", 0), ("1", 1)])
def test_the_command_shows_as_many_reasons_as_asked(tmp_path, count, figures):
    score_files.write(tmp_path / "scores", video("a", [told(), told()]))
    command.main([str(tmp_path / "scores"), "--reasons", count])
    text = (tmp_path / "report" / "figures.html").read_text()
    assert text.count("<summary>as text") == figures
    assert ("Why: the highest" in text) == bool(figures)


def test_reasons_without_pictures_are_shown_as_text(tmp_path):
    videos = [video("a", [{"text": "A <car>."}, {"why": 3, "score": 2}], shown=[])]
    built = page.build(tmp_path / "report", videos, page.summarize(tmp_path, videos))
    text = (built.parent / page.FIGURES).read_text()
    section = text.split("Why: the highest-scoring events")[1].split("All videos")[0]
    assert re.findall("<p>(.*?)</p>", section) == [
        "{&quot;why&quot;: 3, &quot;score&quot;: 2}",
        "A &lt;car&gt;.",
    ]
    assert "<figure>" not in section and explain.NOTE not in section
