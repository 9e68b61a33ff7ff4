"""What the page is given, before any browser."""

import base64
import hashlib
import json
import re
import weakref
from functools import partial

import cv2
import numpy as np
import pytest

from tests.helpers.places import ROOT
from vadjax.report import candidates, footage, listing, packed, page, player, thumbnails
from vadjax.report.events import EventRule
from vadjax.report.footage import Footage
from vadjax.report.overlay import FrameSource
from vadjax.report.player import About, PageVideo
from vadjax.runtime import provenance
from vadjax.scores import files
from vadjax.scores.alarm import AlarmLine
from vadjax.scores.files import Scores

BROWSER = ROOT / "vadjax" / "report" / "browser"


def test_vendored_files_are_those_that_the_notice_names():
    notice = (BROWSER / "README.md").read_text("utf-8")
    rows = re.findall(r"\| `(\S+)` \|.*\| `([0-9a-f]{64})` \|", notice)
    assert {name for name, _ in rows} == {"uplot.js", "uplot.css", "uplot-license.txt"}
    for name, digest in rows:
        assert hashlib.sha256((BROWSER / name).read_bytes()).hexdigest() == digest
    assert "MIT License" in (BROWSER / "uplot-license.txt").read_text("utf-8")


def test_no_script_of_the_page_makes_markup_or_code_of_a_text():
    for name in ("index.html", "player.js", "timeline.js", "page.js"):
        text = (BROWSER / name).read_text("utf-8")
        assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|\beval\b", text)
        assert not re.search(r"https?:|fetch\(|XMLHttpRequest|import\(", text), name
        assert len(text.splitlines()) <= 500


def unpack(array: dict) -> np.ndarray:
    values = np.frombuffer(base64.b64decode(array["data"]), packed.TYPES[array["type"]])
    if "low" not in array:
        return values
    return array["low"] + values * (array["high"] - array["low"]) / packed.STEPS


def test_arrays_come_back():
    values = np.array([-3.0, 0.25, 7.5])
    np.testing.assert_allclose(unpack(packed.pack_fractions(values)), values, atol=1e-4)
    assert unpack(packed.pack_fractions(np.full(3, 2.0))).tolist() == [2, 2, 2]
    assert unpack(packed.pack(np.arange(4), "u32")).tolist() == [0, 1, 2, 3]


def test_boxes_that_there_is_no_room_for_are_the_lowest():
    rows = [[t, 0, 0, 9, 9, (7 * t) % 40] for t in range(0, 120, 3)]
    video = Scores("v", np.zeros(120), boxes=np.array(rows, float))
    data = packed.video(video, (20, 20), True, 10.0, 10 * packed.BOX_BYTES)
    boxes = data["boxes"]
    assert boxes["every"] == 3 and boxes["line"] is None
    kept = unpack(boxes["frames"]).tolist()
    best = sorted(sorted(rows, key=lambda row: -row[5])[:10])
    assert kept == [row[0] for row in best] == sorted(kept)


def test_heat_that_there_is_no_room_for_is_of_every_nth_frame():
    cells = np.zeros((30, 100, 4), np.float32)
    cells[:, 10, 1] = 1.0
    video = Scores("v", np.zeros(30), map=cells)
    whole = packed.video(video, None, False, None, 10_000)["heat"]
    assert (whole["rows"], whole["columns"], whole["every"]) == (34, 4, 1)
    assert unpack(whole["cells"]).tolist() == [10 // 3 * 4 + 1] * 30
    part = packed.video(video, None, False, None, 70)["heat"]
    assert part["every"] == 3 and unpack(part["frames"]).tolist() == list(range(0, 30, 3))


def test_times_that_the_rate_gives_are_not_told():
    even = Scores("v", np.zeros(50), times=np.arange(50) / 10)
    gap = Scores("v", np.zeros(50), times=np.arange(50) / 10 + 5 * (np.arange(50) > 20))
    assert packed.video(even, None, False, 10.0, 0)["times"] is None
    np.testing.assert_allclose(
        unpack(packed.video(gap, None, False, 10.0, 0)["times"]), gap.times, rtol=1e-6
    )


def test_a_script_holds_nothing_but_its_values():
    text = packed.script("f", {"a": "</script>\u2028é", "b": float("nan"), "c": [1, np.inf, None]})
    assert text.isascii() and text.count("\n") == 1
    assert json.loads(text[2:-3]) == {"a": "</script>\u2028é", "b": None, "c": [1, None, None]}
    deep: dict = {}
    inner = deep
    for _ in range(50):
        inner["x"] = inner = {}
    assert len(packed.script("f", deep)) < 500
    assert len(packed.script("f", "x" * 100_000)) < 2 * packed.TEXT


def peaks(*spans, count=200):
    scores = np.full(count, 0.1)
    for start, stop, score in spans:
        scores[start:stop] = score
    return Scores("v", scores)


def test_a_lower_threshold_finds_more_and_keeps_what_there_was():
    video = peaks((10, 20, 0.9), (22, 30, 0.8), (60, 70, 0.4), (100, 104, 0.3))
    found = candidates.find(video, 0.5, 5)
    assert [(one.start, one.stop, one.score) for one in found] == [
        (10, 30, 0.9),
        (60, 70, 0.4),
        (100, 104, 0.3),
    ]
    # The alarm intervals that the system names stay as they are.
    named = candidates.find(video, 0.5, 5, [(10, 20), (22, 30)])
    assert [(one.start, one.stop) for one in named] == [(10, 20), (22, 30), (60, 70), (100, 104)]
    assert candidates.find(peaks(), 0.5, 5) == []
    assert len(candidates.find(video, 0.5, 5, most=2)) == 2


def test_frames_that_do_not_count_are_no_candidate():
    video = Scores("v", np.array([0.9, 0.9, 0.1, 0.6, 0.1]), scored=np.array([0, 0, 1, 1, 1], bool))
    assert [(one.start, one.stop) for one in candidates.find(video, 0.5, 0)] == [(3, 4)]
    nothing = Scores("v", np.ones(3), scored=np.zeros(3, bool))
    assert candidates.find(nothing, 0.5, 0) == []


def test_precision_and_recall_are_those_of_the_frames():
    rng = np.random.default_rng(0)
    videos = [
        Scores(name, rng.random(60), (rng.random(60) < 0.3).astype(np.uint8)) for name in "ab"
    ]
    table = candidates.measures(videos, 0.0, 1.0)
    scores = np.concatenate([video.frame_scores for video in videos])
    labels = np.concatenate([video.labels for video in videos]).astype(bool)
    for at in (0, 57, 120, 200):
        flagged = scores >= table["thresholds"][at]
        assert table["recall"][at] == pytest.approx(flagged[labels].mean(), abs=1e-4)
        expected = labels[flagged].mean() if flagged.any() else None
        assert table["precision"][at] == pytest.approx(expected, abs=1e-4)
    assert candidates.measures([Scores("c", rng.random(9)), *videos], 0, 1) is None
    assert candidates.measures([Scores("c", np.ones(9), np.zeros(9))], 0, 1) is None


def test_a_reason_without_times_or_with_odd_values_is_listed():
    odd = [
        {"schema": 1, "start": 3, "stop": 9, "time": "noon", "start_s": 1, "video": "v"},
        {"schema": 1, "start": 300, "stop": 900, "video": "v"},
        {"schema": 1, "start": "x", "stop": None, "video": "v", "score": float("nan")},
    ]
    video = Scores("v", np.array([0.1] * 3 + [0.7] * 6 + [0.1] * 11), reasons=tuple(odd))
    listed = listing.events(0, video, odd, True, 0.5, None)
    assert [event.interval[:2] for event in listed] == [(3, 9)]
    row = listing.row(listed[0], video, None, listing.started(video), 0.5, None)
    assert row["start_s"] is None and row["alarm"] and row["reasons"] == [listing.NO_REASON]


def test_a_page_of_files_has_one_of_them_in_memory_at_a_time(tmp_path, monkeypatch):
    """And it is the page of the same scores in memory, file by file."""
    rng = np.random.default_rng(0)
    monkeypatch.setattr(listing, "MOST", 2)
    for name in "abcdef":
        scores = np.repeat(rng.random(6).astype(np.float32), 20)
        boxes = np.array([[t, 1, 2, 9, 9, scores[t]] for t in range(0, 120, 4)])
        event = {
            "schema": 1,
            "video": name,
            "start": 8,
            "stop": 12,
            "frame": 9,
            "text": f"in {name}",
        }
        reasons = (event | {"boxes": boxes.tolist()},) if name in "ab" else ()
        map_ = rng.random((120, 3, 4)).astype(np.float32)
        files.write(tmp_path, Scores(name, scores, boxes=boxes, map=map_, reasons=reasons))
    paths = sorted(tmp_path.glob("*.npz"))
    whole = [files.read(path) for path in paths]
    found = [reason for scores in whole for reason in scores.reasons]
    alive: list[weakref.ref] = []

    def read(path):
        assert not [one for one in alive if one() is not None]
        scores = files.read(path)
        alive.append(weakref.ref(scores))
        return scores

    lazy = [
        PageVideo(player.outline(files.read(path)), 10.0, (20, 20), read=partial(read, path))
        for path in paths
    ]
    at_once = [PageVideo(scores, 10.0, (20, 20)) for scores in whole]
    about = About("six", alarm=AlarmLine(0.5, True, 2.0, 1.0, False, np.array([[0.5, 1.0]])))
    for folder, videos in (("lazy", lazy), ("at_once", at_once)):
        player.write(tmp_path / folder, videos, found, about)
    pages = [
        {path.relative_to(place).as_posix(): path.read_bytes() for path in place.rglob("*.*")}
        for place in (tmp_path / "lazy", tmp_path / "at_once")
    ]
    assert pages[0] == pages[1] and len(alive) == 6
    data = pages[0]["page/data.js"].decode()
    assert "The 2 highest-scoring events are listed; " in data
    slim = player.outline(whole[0])
    assert slim.boxes is None and slim.map is None and slim.reasons[0]["boxes"] == []


def test_a_thumbnail_shows_the_box_in_its_surroundings():
    picture = np.full((240, 320, 3), 80, np.uint8)
    picture[100:110, 300:306] = (250, 250, 250)
    data = thumbnails.draw(picture, (600, 200, 612, 220), (480, 640), thumbnails.SEEN)
    small = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert small.shape == pytest.approx((*thumbnails.SIZE, 3), abs=3)
    share = (small.min(2) > 200).mean()
    assert 0.001 < share < 0.02  # the object is small in what is around it
    whole = thumbnails.draw(picture, None, None, thumbnails.SEEN)
    assert cv2.imdecode(np.frombuffer(whole, np.uint8), cv2.IMREAD_COLOR).shape == (150, 200, 3)
    # A box that lies outside of the picture, or of another program, is no reason to fail.
    assert thumbnails.draw(picture, (-50, -50, 900, 900), None, thumbnails.SEEN)
    assert thumbnails.draw(picture, (400, 300, 500, 310), None, thumbnails.SEEN)


def test_the_command_of_an_event_has_the_config_of_the_run(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.orig_argv", ["python", "-m", "vadjax.main", "--mode=predict"])
    assert footage.extend_command(tmp_path, ["--video=a b.mp4"], 3, 9) is None
    entries = [{"command": "python -m vadjax.main --config 'my cam.py'"}, {"command": "x 'y"}, {}]
    (tmp_path / "provenance.json").write_text(json.dumps(entries))
    provenance._config_of_run.cache_clear()
    assert footage.extend_command(tmp_path, ["--video=a b.mp4"], 3, 9) == (
        f"python -m vadjax.main '--config=my cam.py' --workdir={tmp_path} --mode=extend "
        f"'--video=a b.mp4' --frames=3:9 --out={tmp_path}_extended"
    )
    assert provenance.config_of("python -m vadjax.main --config=a.py:b --config.seed=1") == "a.py:b"


def test_films_can_be_left_out(tmp_path):
    frames = {"v": FrameSource([np.zeros((8, 8, 3), np.uint8)] * 20, 20)}
    seen = Footage(frames, films=False)
    index = page.build(
        tmp_path / "report",
        [peaks(count=20)],
        {"title": "t", "data": "x"},
        1,
        0,
        0,
        EventRule(fps=10.0),
        seen,
    )
    assert not (index.parent / "films").exists()
    assert "films are left out of this report" in (index.parent / "page/data.js").read_text()


def test_the_command_shows_score_files_without_labels_and_the_frames_of_a_dataset(
    tmp_path, toy_scenes, capsys
):
    from vadjax.data.clips import Videos
    from vadjax.data.store.records import Dataset
    from vadjax.report import __main__ as command

    for video in Videos(Dataset(toy_scenes), "test"):
        files.write(tmp_path / "scores", Scores(video.name, np.linspace(0, 1, len(video))))
    command.main([str(tmp_path / "scores"), "--frames", str(toy_scenes)])
    assert len(list((tmp_path / "report/films").glob("*.mp4"))) == 2
    assert not (tmp_path / "report/figures.html").exists()
    text = (tmp_path / "report/page/data.js").read_text()
    assert '"fps": 10.0' in text and "0:00:02.0, 20 frames" in text
    with pytest.raises(SystemExit, match="no split 'none'|'none'"):
        command.main([str(tmp_path / "scores"), "--frames", str(toy_scenes), "--split=none"])
