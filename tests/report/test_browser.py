"""The page as a person works with it, in a real browser and from disk."""

import contextlib
import datetime
import json
import os
import pathlib
import re
import shutil

import cv2
import numpy as np
import pytest

from tests.helpers.browser import chromium, opened, until
from vadjax.report import film, page
from vadjax.report.events import EventRule
from vadjax.report.footage import Footage
from vadjax.report.overlay import FrameSource
from vadjax.scores.alarm import AlarmLine
from vadjax.scores.files import Examples, Scores

pytestmark = pytest.mark.slow
FPS, COUNT, SIZE = 10.0, 100, (96, 128)
SHOTS = os.environ.get("VADJAX_SHOTS")  # a folder for pictures of the page that a person looks at
HOSTILE = [
    "<script>document.title='owned'<!--",
    '"><img src=x onerror=alert(1)>',
    "كاميرا الباب الأمامي 123",
    "n" * 199 + "!",
]


def numbered(t: int) -> np.ndarray:
    """A frame that shows its number as eight black or white fields below a street."""
    frame = np.full((*SIZE, 3), (90, 110, 90), np.uint8)
    x = 8 + t % 90
    frame[30:50, x : x + 14] = (200, 60, 50)
    for bit in range(8):
        frame[64:, 16 * bit : 16 * bit + 16] = 255 * (t >> bit & 1)
    return frame


FRAMES = np.stack([numbered(t) for t in range(COUNT)])


def event(video: str, start: int, stop: int, score: float, lead: str, **more) -> dict:
    x = 8 + (start + 2) % 90
    return {
        "schema": 1,
        "video": video,
        "start": start,
        "stop": stop,
        "start_s": start / FPS,
        "stop_s": stop / FPS,
        "score": score,
        "boxes": [],
        "frame": start + 2,
        "box": [x, 30, x + 14, 50],
        "box_score": score,
        "lead": lead,
        "evidence": {lead: 4.0},
        "text": f"unusual {lead} of {video}",
        **more,
    }


def scored(name: str, events: list[dict], labels=None, **more) -> Scores:
    """Scores that are 0.2, and as high as its event within each."""
    scores = np.full(COUNT, 0.2)
    for one in events:
        scores[one["start"] : one["stop"]] = one["score"]
    x = 8 + np.arange(COUNT) % 90
    boxes = [[t, x[t], 30, x[t] + 14, 50, scores[t]] for t in range(COUNT)]
    return Scores(name, scores, labels, boxes=np.array(boxes, float), reasons=tuple(events), **more)


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """Three videos with labels, alarms and a recording's time of day; one of them is quiet."""
    day = datetime.datetime(
        2026, 3, 1, 23, 59, 58, tzinfo=datetime.timezone(-datetime.timedelta(hours=3))
    )
    truth = (np.arange(COUNT) // 10 == 3).astype(np.uint8)
    door = [
        event("door", 30, 40, 0.9, "speed", time=(day + datetime.timedelta(seconds=3)).isoformat()),
        event("door", 70, 80, 0.6, "look", time=(day + datetime.timedelta(seconds=7)).isoformat()),
    ]
    grey = FRAMES[:1]
    shown = Examples(np.array([0]), FRAMES[32:33], grey)
    heat = np.zeros((COUNT, 6, 8), np.float32)
    heat[20:60, 2:4, 3:5] = 1.0
    videos = [
        scored("door", door, truth, examples=shown),
        scored("yard", [event("yard", 50, 60, 0.7, "speed")], 0 * truth, map=heat),
        scored("hall", [], 0 * truth),
    ]
    rates = np.array([[0.2, 60.0], [0.5, 2.0], [0.9, 0.0]])
    frames = {one.video: FrameSource(FRAMES, COUNT) for one in videos}
    rule = EventRule(AlarmLine(0.5, False, 0.1, None, False, rates), FPS)
    seen = Footage(
        frames,
        normal_command=lambda video, start, stop: f"extend {video} {start} {stop}",
    )
    folder = tmp_path_factory.mktemp("page")
    # The title names the folder: that of a temporary one may take another line of a phone.
    summary = page.summarize(pathlib.Path("runs/door/scores"), videos)
    return page.build(folder / "report", videos, summary, 1, 0, 0, rule, seen)


@pytest.fixture(scope="module")
def browser():
    with chromium() as one:
        yield one


def shoot(tab, name: str) -> None:
    if SHOTS:
        tab.screenshot(path=pathlib.Path(SHOTS) / f"{name}.png")


def shown_number(tab) -> int:
    """The number of the picture that the film shows, read from the screen."""
    tab.evaluate("document.getElementById('boxes').checked = false")
    tab.evaluate("document.getElementById('heat').checked = false; vadjax.player.draw()")
    png = tab.locator("#film").screenshot()
    picture = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_GRAYSCALE)
    height, width = picture.shape
    scale = min(height / SIZE[0], width / SIZE[1])
    left, top = (width - scale * SIZE[1]) / 2, (height - scale * SIZE[0]) / 2
    row = picture[int(top + 80 * scale)]
    return sum(
        (row[int(left + scale * (16 * bit + 8))] > 128).astype(int) << bit for bit in range(8)
    )


def wait_for_frame(tab, frame: int) -> None:
    until(
        tab,
        f"document.body.dataset.shown === '{frame}' && document.body.dataset.frame === '{frame}'"
        " && !document.getElementById('film').seeking",
    )


def click_curve(tab, frame: int) -> None:
    """Clicks the curve in the middle of a frame's time."""
    curve = tab.locator(".u-over").bounding_box()
    x = curve["x"] + curve["width"] * (frame + 0.5) / (COUNT - 1)
    tab.mouse.click(x, curve["y"] + curve["height"] / 2)


def visible_events(tab) -> list[str]:
    return tab.locator("#events > li:visible .text").all_inner_texts()


def test_a_click_on_the_curve_finds_the_exact_frame(browser, report):
    with opened(browser, report, viewport={"width": 1300, "height": 850}) as tab:
        wait_for_frame(tab, 32)  # the strongest object of the highest event
        for frame in (3, 97, 41, 40, 59):
            click_curve(tab, frame)
            wait_for_frame(tab, frame)
            assert shown_number(tab) == frame
        assert tab.locator("#clock").inner_text() == (
            "0:05.9 · 2026-03-02 00:00:03 -03:00 · frame 59 · score 0.20"
        )
        shoot(tab, "seek")
        # One frame on and back, a second on, and playing.
        for key, frame in (("ArrowRight", 60), ("ArrowLeft", 59), ("Shift+ArrowRight", 69)):
            tab.keyboard.press(key)
            wait_for_frame(tab, frame)
            assert shown_number(tab) == frame
        tab.keyboard.press("Space")
        until(tab, "Number(document.body.dataset.frame) >= 74")
        tab.keyboard.press("Space")
        assert tab.evaluate("document.getElementById('film').paused")


def test_the_keys_go_to_the_next_and_the_previous_event(browser, report):
    with opened(browser, report) as tab:
        wait_for_frame(tab, 32)
        places = []
        for key in "nnnpp":
            tab.keyboard.press(key)
            tab.wait_for_timeout(50)
            chosen = tab.locator("#events > li.chosen .text").inner_text()
            places.append((chosen, tab.evaluate("document.body.dataset.video")))
        shoot(tab, "next_event")
        yard, look = ("unusual speed of yard", "yard"), ("unusual look of door", "door")
        assert places == [yard, look, look, yard, ("unusual speed of door", "door")]
        wait_for_frame(tab, 32)
        tab.select_option("#sort", "time")
        assert visible_events(tab)[-2:] == ["unusual speed of door", "unusual look of door"]


def test_the_last_of_quick_keys_counts_while_a_video_is_still_loading(browser, tmp_path):
    """Two events of a video that is not loaded yet: its second one is what is shown."""
    yard = [event("yard", 10, 20, 0.8, "speed"), event("yard", 50, 60, 0.7, "look")]
    videos = [scored("door", [event("door", 30, 40, 0.9, "speed")]), scored("yard", yard)]
    frames = {one.video: FrameSource(FRAMES, COUNT) for one in videos}
    report = page.build(
        *(tmp_path / "report", videos, {"title": "t", "data": "x"}),
        rule=EventRule(fps=FPS),
        seen=Footage(frames),
    )
    with opened(browser, report) as tab:
        wait_for_frame(tab, 32)
        tab.evaluate(
            "for (const key of 'nn') document.body.dispatchEvent("
            "new KeyboardEvent('keydown', { key, bubbles: true }))"
        )
        until(tab, "document.body.dataset.video === 'yard'")
        wait_for_frame(tab, 52)
        assert shown_number(tab) == 52
        chosen = tab.locator("#events > li.chosen .text").inner_text()
        assert chosen == "unusual look of yard"


def test_reason_and_video_filter_the_list(browser, report):
    with opened(browser, report) as tab:
        assert tab.locator("#count").inner_text() == "3 events"
        tab.select_option("#reason", "look")
        assert visible_events(tab) == ["unusual look of door"]
        tab.keyboard.press("n")
        shoot(tab, "filter")
        tab.select_option("#where", label="yard")
        assert visible_events(tab) == []
        assert tab.locator("#count").inner_text() == "No event of this kind"


def test_the_slider_shows_alarms_an_hour_precision_and_recall(browser, report):
    with opened(browser, report) as tab:
        assert tab.locator("#rate").inner_text() == (
            "2.00 alarms an hour on normal footage (measured on 6.00 minutes held out; too short "
            "to count so few, extrapolated; too little footage, not reliable)"
        )
        assert "precision 0.33, recall 1.00" in tab.locator("#quality").inner_text()
        quiet = tab.locator("#videos > li", has_text="hall")
        assert "nothing unusual (highest score 0.20)" in quiet.inner_text()
        # Above the weaker events; then above all; then back to the line.
        slider = tab.locator("#threshold")
        slider.fill("0.8")
        assert visible_events(tab) == ["unusual speed of door"]
        assert "precision 1.00, recall 1.00" in tab.locator("#quality").inner_text()
        assert tab.locator("#rate").inner_text().startswith("0.50 alarms an hour")
        shoot(tab, "slider")
        slider.fill("0.95")
        assert visible_events(tab) == []
        assert tab.locator("#count").inner_text().startswith("Nothing unusual")
        tab.click("#line")
        assert len(visible_events(tab)) == 3


def test_boxes_and_heat_lie_over_the_film_and_do_not_hide_it(browser, report):
    with opened(browser, report) as tab:
        tab.locator("#videos button", has_text="yard").click()
        until(tab, "document.body.dataset.video === 'yard'")  # its curve is there now
        click_curve(tab, 55)
        wait_for_frame(tab, 55)
        shoot(tab, "heat")
        lit = (
            "(() => { const c = document.getElementById('overlay'), p = c.getContext('2d')"
            ".getImageData(0, 0, c.width, c.height).data; let full = 0, any = 0;"
            "for (let i = 3; i < p.length; i += 4) { any += p[i] > 0; full += p[i] > 100; }"
            "return [any / p.length * 4, full / p.length * 4]; })()"
        )
        covered, opaque = tab.evaluate(lit)
        assert 0.08 < covered < 0.25  # 4 of 48 cells and a box
        assert opaque < 0.05  # their outlines alone
        tab.keyboard.press("h")
        assert tab.evaluate(lit)[0] < covered
        tab.keyboard.press("b")
        assert tab.evaluate(lit)[0] == 0


def luminance(tab) -> float:
    """Mean grey of the page, 0 to 255."""
    png = tab.screenshot()
    return float(cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_GRAYSCALE).mean())


def test_light_and_dark_are_as_the_system_has_it_or_as_chosen(browser, report):
    with opened(browser, report, color_scheme="dark") as tab:
        tab.wait_for_timeout(200)
        shoot(tab, "dark")
        assert luminance(tab) < 90
        tab.click("#theme")  # light
        assert luminance(tab) > 150
        # What is written is told from what is behind it.
        tab.reload()
        assert tab.locator("#theme").inner_text() == "Theme: light"
        assert luminance(tab) > 150


def test_a_phone_shows_all_of_it_without_scrolling_sideways(browser, report):
    phone = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}
    with opened(browser, report, **phone) as tab:
        wait_for_frame(tab, 32)
        assert tab.evaluate("document.documentElement.scrollWidth") <= 360
        shoot(tab, "phone")
        # The film and the curve fit on one screen, and a tap seeks.
        curve = tab.locator(".u-over").bounding_box()
        assert curve["y"] + curve["height"] < 740
        tab.touchscreen.tap(curve["x"] + curve["width"] * 50.5 / (COUNT - 1), curve["y"] + 20)
        wait_for_frame(tab, 50)
        tab.locator("#events > li").nth(1).scroll_into_view_if_needed()
        shoot(tab, "phone_list")
        for button in tab.locator("button:visible").all():
            assert button.bounding_box()["height"] >= 24


def test_a_long_title_takes_two_lines_and_leaves_the_curve_on_a_phone(browser, report, tmp_path):
    """The whole of it is what a pointer over it shows, and the name of the tab."""
    title = "exemplar on the yard behind the house, in the wind " * 12
    folder = shutil.copytree(report.parent, tmp_path / "report")
    data = folder / "page/data.js"
    written = re.sub(r'"title": "[^"]*"', f'"title": "{title}"', data.read_text("utf-8"), count=1)
    data.write_text(written, "utf-8")
    phone = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}
    with opened(browser, folder / "index.html", **phone) as tab:
        wait_for_frame(tab, 32)
        heading, curve = tab.locator("#title"), tab.locator(".u-over").bounding_box()
        assert heading.get_attribute("title") == title and title.strip() in tab.title() + " "
        line = tab.evaluate(
            "parseFloat(getComputedStyle(document.getElementById('title')).lineHeight)"
        )
        assert 1.5 * line < heading.bounding_box()["height"] < 2.1 * line
        assert heading.evaluate("h => h.scrollHeight > 3 * h.clientHeight")  # the rest is cut off
        assert curve["y"] + curve["height"] < 740
        assert tab.evaluate("document.documentElement.scrollWidth") <= 360
        shoot(tab, "phone_long_title")


def test_this_was_normal_copies_the_command(browser, report):
    with opened(browser, report, permissions=["clipboard-read", "clipboard-write"]) as tab:
        tab.locator("#events > li").first.locator(".normal").click()
        tab.wait_for_selector(".command")
        assert tab.locator(".command").inner_text() == "extend door 30 40"
        assert tab.evaluate("navigator.clipboard.readText()") == "extend door 30 40"
        assert "Copied" in tab.locator("#events > li .normal").first.inner_text()


def test_names_from_strangers_are_shown_and_not_run(browser, tmp_path):
    videos = [
        scored(name.replace("/", "_"), [event(name, 10, 20, 0.9, name, text=name)])
        for name in HOSTILE
    ]
    frames = {one.video: FrameSource(FRAMES, COUNT) for one in videos[:3]}
    summary = {"title": HOSTILE[1], "data": HOSTILE[0]}
    index = page.build(
        tmp_path / "report", videos, summary, rule=EventRule(fps=FPS), seen=Footage(frames)
    )
    with opened(browser, index, viewport={"width": 1300, "height": 850}) as tab:
        assert tab.locator("#title").inner_text() == HOSTILE[1]
        for name, video in zip(HOSTILE, videos, strict=True):
            row = tab.locator("#events > li").filter(has=tab.get_by_text(name, exact=True))
            row.first.locator(".open").click()
            until(tab, f"document.body.dataset.video === {json.dumps(video.video)}")
            assert tab.locator("#name").inner_text() == video.video
            tab.select_option("#reason", label=f"{name} (1)")
            tab.select_option("#reason", "")
            assert tab.evaluate("document.documentElement.scrollWidth") <= 1300
        shoot(tab, "hostile")
        tab.wait_for_timeout(200)
        assert tab.title() == HOSTILE[1]
        assert tab.locator("img[src=x]").count() == 0


def test_the_address_names_a_frame(browser, report):
    with opened(browser, report.with_name("index.html")) as tab:
        tab.goto(report.as_uri() + "#video=yard&frame=12")
        tab.reload()
        wait_for_frame(tab, 12)
        assert tab.evaluate("document.body.dataset.video") == "yard"


def test_a_video_without_a_film_has_its_curve_and_says_why(browser, tmp_path):
    videos = [Scores("bag", np.linspace(0, 1, 50))]
    index = page.build(tmp_path / "report", videos, {"title": "bags", "data": "x"})
    assert not (index.parent / "films").exists()
    with opened(browser, index) as tab:
        assert "its frames are not at hand" in tab.locator("#nofilm").inner_text()
        assert "no calibrated alarm line" in tab.locator("#notes").inner_text()
        curve = tab.locator(".u-over").bounding_box()
        tab.mouse.click(curve["x"] + curve["width"] * 20.5 / 49, curve["y"] + 30)
        until(tab, "document.body.dataset.frame === '20'")
        assert tab.locator("#clock").inner_text() == "frame 20 · score 0.41"


def test_a_file_that_is_missing_is_said(browser, tmp_path):
    videos = [Scores("bag", np.linspace(0, 1, 50)), Scores("other", np.linspace(0.5, 0, 50))]
    index = page.build(tmp_path / "report", videos, {"title": "bags", "data": "x"})
    data = index.parent / "page" / "video0001.js"
    content = data.read_bytes()
    data.unlink()
    with contextlib.closing(browser.new_page()) as tab:
        tab.goto(index.as_uri())
        until(tab, "document.body.dataset.frame !== undefined")
        tab.locator("#videos button", has_text="other").click()
        missing = tab.locator("#notes >> text=video0001.js is missing; copy the whole folder")
        missing.wait_for()
        # Asked for again, it is not taken for the video that is shown; once it is there it comes.
        tab.locator("#videos button", has_text="other").click()
        tab.wait_for_timeout(200)
        shown = "document.body.dataset.video + document.body.dataset.frame"
        assert tab.evaluate(shown) == "bag49" and missing.count() == 1
        data.write_bytes(content)
        tab.locator("#videos button", has_text="other").click()
        until(tab, f"{shown} === 'other0'")


def test_films_of_a_report_have_a_bound(tmp_path, monkeypatch):
    monkeypatch.setattr(film, "BYTES", 1)
    videos = [scored("high", [event("high", 10, 20, 0.9, "look")]), scored("low", [])]
    frames = {one.video: FrameSource(FRAMES, COUNT) for one in videos}
    index = page.build(
        tmp_path / "report",
        videos,
        {"title": "t", "data": "x"},
        rule=EventRule(fps=FPS),
        seen=Footage(frames),
    )
    assert [path.name for path in (index.parent / "films").iterdir()] == ["high.mp4"]
    assert "those of higher-scoring videos" in (index.parent / "page/data.js").read_text()
