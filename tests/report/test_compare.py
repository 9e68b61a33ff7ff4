"""What the page of several runs says, which runs it refuses, and the page in a browser."""

import json
import pathlib
import re

import numpy as np
import pytest

from tests.helpers.browser import chromium, opened, until
from tests.report.test_table import write
from vadjax.report import compare, side_by_side
from vadjax.scores import files
from vadjax.scores.files import Scores

COUNT = 60
HOSTILE = "</script><script>alert(1)</script>"


def curve(video: int, run: int) -> np.ndarray:
    """Scores that rise; in video 1 those of run 2 fall, on another scale."""
    rising = np.linspace(0, 1, COUNT) + video / 10
    return 5 * (rising.max() - rising) - 2 if (video, run) == (1, 2) else (1 + run) * rising


def made(folder: pathlib.Path, run: int, videos=("a", "b"), labels=True, count=COUNT, **more):
    """A run with scores of the videos."""
    path = write(folder, run, **more)
    truth = (np.arange(count) >= 40).astype(np.uint8) if labels is True else labels
    for number, name in enumerate(videos):
        scores = Scores(name, curve(number, run)[:count], truth)
        files.write(folder / "scores", scores)
    return path


@pytest.fixture
def three(tmp_path):
    """Two seeds of one config, and another config that orders video b the other way round."""
    other = {"loss": {"name": HOSTILE}}
    return [
        made(tmp_path / "mil_0", 0),
        made(tmp_path / "mil_1", 1),
        made(tmp_path / "other", 2, fields=other),
    ]


def compared(capsys, tmp_path, *runs) -> tuple[str, dict, str]:
    """What is printed, the data of the page, and the page."""
    out = tmp_path / "page.html"
    compare.main([*runs, "--out", str(out)])
    text = out.read_text("utf-8")
    data = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    return capsys.readouterr().out, json.loads(data[1]), text


def refused(tmp_path, *runs) -> str:
    with pytest.raises(SystemExit) as end:
        compare.main([*runs, "--out", str(tmp_path / "page.html")])
    assert not (tmp_path / "page.html").exists()
    return str(end.value)


def cells(text: str, name: str) -> list[str]:
    line = re.search(
        rf"<tr>(?:<td>[^<]*</td>)?<td>(?:<code>)?{name}(?:</code>)?</td>(.*?)</tr>", text
    )
    return re.findall(r'<td class="n">(.*?)</td>', line[1])


def test_seeds_are_one_row_and_what_differs_is_named(capsys, tmp_path, three):
    printed, data, text = compared(capsys, tmp_path, *three)
    assert data["rows"] == ["mil_0 and others (seeds 0, 1)", "other"]
    assert [run["row"] for run in data["runs"]] == [0, 0, 1]
    assert cells(text, "auc") == ["0.750\u00a0±\u00a00.050", "0.9000", "+0.1500"]
    escaped = "&lt;/script&gt;&lt;script&gt;alert(1)&lt;/script&gt;"
    assert cells(text, "loss.name") == ["absent", escaped] and "<script>alert" not in text
    assert cells(text, "seed") == ["0, 1", "2"] and cells(text, "runs") == ["mil_0, mil_1", "other"]
    assert "They differ in the fields of this table." in text
    assert printed.splitlines()[:2] == [
        "mil_0 and others (seeds 0, 1) and other differ most on",
        f"  b: {data['pairs'][0]['videos'][0][1]:.3f} of the ranks, most at frame 47",
    ]


def test_videos_are_ordered_by_the_difference_of_ranks(capsys, tmp_path, three):
    _, data, _ = compared(capsys, tmp_path, *three)
    first, second = data["pairs"][0]["videos"]
    assert [data["videos"][found[0]]["name"] for found in (first, second)] == ["b", "a"]
    assert first[1] > 0.3 > second[1]
    # Ranks of video b by hand: among all frames of both videos.
    video = data["videos"][first[0]]
    pooled = np.concatenate([curve(0, 2), curve(1, 2)])
    by_hand = [np.mean(pooled < score) + np.mean(pooled == score) / 2 for score in curve(1, 2)]
    np.testing.assert_allclose(np.array(video["ranks"][2]) / 1000, by_hand, atol=5e-4)
    assert video["labels"] == [[40, 60]] and video["auc"] == ["1.000 ± 0.000", "0.0000"]


def test_seeds_alone_are_compared_run_by_run(capsys, tmp_path):
    runs = [made(tmp_path / f"mil_{seed}", seed) for seed in range(2)]
    printed, data, text = compared(capsys, tmp_path, *runs)
    assert data["rows"] == ["mil_0", "mil_1"] and data["one_scale"]
    assert printed.startswith("mil_0 and mil_1 order all frames in the same way\n")
    # The same order of frames on another scale is no difference.
    assert [found[1] for found in data["pairs"][0]["videos"]] == [0.0, 0.0]
    assert cells(text, "auc") == ["0.750\u00a0±\u00a00.050"]
    assert "They differ in the seed alone." in text


def test_runs_of_one_seed_are_not_averaged(capsys, tmp_path):
    runs = [made(tmp_path / name, 0) for name in "xy"]
    _, data, text = compared(capsys, tmp_path, *runs)
    assert data["rows"] == ["x", "y"] and "±" not in cells(text, "auc")[0]
    assert "in no field that is known; runs of one seed are not averaged" in text


def test_missing_videos_are_said(capsys, tmp_path):
    runs = [made(tmp_path / "x", 0, "abc"), made(tmp_path / "y", 1, "ab")]
    printed, data, text = compared(capsys, tmp_path, *runs)
    said = "y lacks scores of videos that another run has (1): c. Curves"
    assert said in printed and said in text
    assert [video["name"] for video in data["videos"]] == ["a", "b"]


def test_frames_that_do_not_count_are_left_out(capsys, tmp_path):
    runs = [made(tmp_path / "x", 0), made(tmp_path / "y", 1)]
    path = tmp_path / "y" / "scores"
    files.write(path, Scores("a", curve(0, 1), np.arange(COUNT) >= 40, np.arange(COUNT) >= 10))
    _, data, _ = compared(capsys, tmp_path, *runs)
    for kind in ("ranks", "scores"):
        for run in data["videos"][0][kind]:
            assert run[:10] == [None] * 10 and None not in run[10:]


def test_long_curves_keep_their_peaks(monkeypatch):
    monkeypatch.setattr(compare, "MOST_POINTS", 20)
    scores = np.zeros((2, COUNT))
    scores[1, 31] = 7.0
    video = side_by_side.SharedVideo("a", None, np.ones(COUNT, bool), scores, scores / 7)
    shown = compare._curves(video, 20)
    assert shown["step"] == 3 and len(shown["scores"][1]) == 20
    assert shown["scores"][1][10] == 7.0 and shown["ranks"][1][10] == 1000


def test_runs_without_labels_are_compared(capsys, tmp_path):
    runs = [made(tmp_path / name, seed, labels=None) for seed, name in enumerate("xy")]
    for run in runs:
        path = pathlib.Path(run) / "metrics.json"
        summary = json.loads(path.read_text())
        more = {"metrics": {"videos": 2}, "labels": {}, "untrained": {}}
        path.write_text(json.dumps(summary | more))
    _, data, text = compared(capsys, tmp_path, *runs)
    assert "No figures: the videos have no labels." in text
    assert data["videos"][0]["auc"] is None


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (
            {"data": "avenue"},
            r"x was measured on ped2 \(aa\), split test, y was .* avenue .*not the",
        ),
        ({"digest": "bb"}, r"ped2 \(aa\), split test, y was measured on ped2 \(bb\)"),
        ({"videos": "cd"}, r"no video was scored by all runs \(x has 2, y has 2"),
        ({"count": 50}, r"video a: 60 frames in x, 50 in y; these are not the same video"),
        ({"labels": None}, r"video a: its labels in x are not those in y"),
        ({"labels": np.zeros(COUNT, np.uint8)}, r"video a: its labels in x are not those in y"),
    ],
)
def test_runs_of_other_videos_are_refused(tmp_path, other, said):
    runs = made(tmp_path / "x", 0), made(tmp_path / "y", **{"run": 1, **other})
    assert re.match(f"error: .*{said}", refused(tmp_path, *runs))


def test_runs_of_another_split_are_refused(tmp_path):
    runs = made(tmp_path / "x", 0), made(tmp_path / "y", 1)
    path = tmp_path / "y" / "metrics.json"
    path.write_text(path.read_text().replace('"split": "test"', '"split": "train"'))
    assert "split test, y was measured on ped2 (aa), split train" in refused(tmp_path, *runs)


def test_what_cannot_be_compared_is_refused(tmp_path):
    one, other = made(tmp_path / "x", 0), write(tmp_path / "y", 1)
    assert "x: one run; name two or more" in refused(tmp_path, one)
    assert "x is named twice; name each run once" in refused(tmp_path, one, one)
    assert "y/scores: no such folder; only runs whose system" in refused(tmp_path, one, other)
    assert "none/metrics.json: no such file" in refused(tmp_path, one, str(tmp_path / "none"))
    assert "33 runs; a page has 32 at most" in refused(tmp_path, *[one] * 33)
    rates = [write(tmp_path / f"r{n}", 0, fields={"optim": {"rate": float(n)}}) for n in range(9)]
    assert "are 9 rows; a page has 8 at most" in refused(tmp_path, *rates)


def test_other_files_are_left(tmp_path, three):
    out = tmp_path / "notes.html"
    out.write_text("mine")
    for place, said in ((out, "no page of this program"), (tmp_path, "a folder; --out names")):
        with pytest.raises(SystemExit, match=said):
            compare.main([*three, "--out", str(place)])
    assert out.read_text() == "mine"


@pytest.mark.slow
def test_the_page_in_a_browser(capsys, tmp_path, three):
    """Curves of all pairs, hidden rows, both kinds of curves, dark, and a phone's width."""
    hostile = "<img src=x onerror=alert(1)>\u202e"
    for run in three:
        files.write(pathlib.Path(run) / "scores", Scores(hostile, np.arange(9.0), np.zeros(9)))
    compared(capsys, tmp_path, *three)
    width = {"viewport": {"width": 390, "height": 900}}
    with (
        chromium() as browser,
        opened(browser, tmp_path / "page.html", "ready", color_scheme="dark", **width) as tab,
    ):
        names = tab.locator("#curves h3").all_inner_texts()
        assert names[0] == "b" and sorted(names)[0] == "<img src=x onerror=alert(1)>\\u202e"
        tab.locator("#curves .curve").first.scroll_into_view_if_needed()
        until(tab, "document.querySelectorAll('#curves .uplot').length >= 1")
        assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 24, 29)"
        # Each control redraws the curves.
        canvas = "document.querySelector('#curves canvas').toDataURL()"
        drawn = [tab.evaluate(canvas)]
        tab.locator("#kind").select_option("scores")
        drawn.append(tab.evaluate(canvas))
        tab.locator("#rows input").first.uncheck()
        drawn.append(tab.evaluate(canvas))
        assert len(set(drawn)) == 3
        tab.locator("#one").select_option("1")
        assert tab.evaluate("[one.value, other.value, document.body.dataset.pair]") == [
            *("1", "0", "0 1"),
        ]
        tab.locator("#theme").click()
        assert (
            tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        )


def test_what_limits_the_comparison_is_said(capsys, tmp_path):
    runs = made(tmp_path / "x", 0, data="toy"), made(tmp_path / "y", 1, data="toy")
    path = tmp_path / "y" / "metrics.json"
    summary = json.loads(path.read_text())
    older = {name: value for name, value in summary.items() if name != "made_with"}
    path.write_text(json.dumps(older))
    printed, _, text = compared(capsys, tmp_path, *runs)
    for said in (
        "some runs do not say of which dataset they are",
        "built-in toy set: these figures say nothing about real video",
    ):
        assert said in printed and said in text
    assert "The config of y is not known." in text
    summary["made_with"]["packages"]["jax"] = "0.9"
    path.write_text(json.dumps(summary))
    said = "made with different programs or devices: jax: 0.10.2, 0.9"
    assert f"note: {said}\n" in compared(capsys, tmp_path, *runs)[0]


def test_runs_without_a_common_frame_are_refused(tmp_path):
    runs = made(tmp_path / "x", 0, "a"), made(tmp_path / "y", 1, "a")
    for name, scored in (("x", np.arange(COUNT) < 9), ("y", np.arange(COUNT) >= 9)):
        files.write(
            tmp_path / name / "scores", Scores("a", curve(0, 0), np.arange(COUNT) >= 40, scored)
        )
    assert "no frame counts in all runs" in refused(tmp_path, *runs)
