"""The page over all videos that a run has scored."""

import json

import numpy as np
import pytest

from tests.helpers.browser import chromium, opened, until
from tests.helpers.pictures import write_pictures
from vadjax.data.clips import Videos
from vadjax.data.store.records import Dataset
from vadjax.predict import run as predict
from vadjax.scores import alarm, files
from vadjax.scores.alarm import AlarmLine

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def predicted(exemplars, toy_scenes, tmp_path_factory):
    """Both test videos of a run whose line only the higher one reaches."""
    (config, folder), out = exemplars, tmp_path_factory.mktemp("predicted")
    frames = tmp_path_factory.mktemp("own")
    for video in Videos(Dataset(toy_scenes), "test"):
        write_pictures(video, frames / video.name)
    own = (folder / alarm.FILE).read_bytes()
    (folder / alarm.FILE).unlink()  # as of an older run
    predict.run(config, folder, str(frames), out / "first")
    tops = sorted(one.frame_scores.max() for one in files.read_folder(out / "first" / "scores"))
    assert tops[0] < tops[1]
    level = float(np.mean(tops))
    line = AlarmLine(level, True, 2.0, 1.0, False, np.array([[level, 1.0]]))
    alarm.write(folder, line)
    try:
        for path in sorted(frames.iterdir()):  # one after the other: the page has both
            predict.run(config, folder, str(path), out / "second")
    finally:
        (folder / alarm.FILE).write_bytes(own)
    return out


def test_videos_are_ranked_and_one_below_the_line_has_nothing_unusual(predicted):
    index = predicted / "second" / "index.html"
    scores = files.read_folder(index.parent / "scores")
    ranked = sorted(scores, key=lambda one: -one.frame_scores.max())
    with chromium() as browser, opened(browser, index) as tab:
        rows = tab.locator("#videos > li").all_inner_texts()
        assert [row.splitlines()[0] for row in rows] == [one.video for one in ranked]
        assert "nothing unusual" not in rows[0] and "nothing unusual" in rows[1]
        # The first event plays in its film, with its picture beside the list.
        assert tab.evaluate("document.body.dataset.video") == ranked[0].video
        until(tab, "document.getElementById('film').readyState >= 2")
        until(tab, "document.querySelector('#events li:not([hidden]) img').naturalWidth > 50")
        tab.locator("#videos button").nth(1).click()
        until(tab, f"document.body.dataset.video === {json.dumps(ranked[1].video)}")
        assert tab.locator("#verdict").inner_text() == "nothing unusual at this threshold"
        until(tab, "document.getElementById('film').readyState >= 2")


def test_without_a_line_the_page_says_so_and_ranks_alike(predicted):
    text = (predicted / "first" / "page" / "data.js").read_text()
    assert "This run has no calibrated alarm line" in text and '"line": null' in text


def test_a_damaged_video_is_left_out_and_said(predicted, exemplars, capsys):
    config, folder = exemplars
    out = predicted / "first"
    name = sorted(out.glob("*.json"))[0].stem
    before = (out / "scores" / f"{name}.npz").read_bytes()
    other = sorted(out.glob("*.json"))[1].stem
    path = json.loads((out / f"{other}.json").read_text())["video"]
    (out / "scores" / f"{name}.npz").write_bytes(before[:100])
    try:
        predict.run(config, folder, path, out, film=False)
        assert f"{name}.json: left out of index.html" in capsys.readouterr().out
        assert f'"name": "{name}"' not in (out / "page/data.js").read_text()
    finally:
        (out / "scores" / f"{name}.npz").write_bytes(before)
