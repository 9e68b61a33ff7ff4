"""The system that docs/new_system.md writes, through every program, without a line elsewhere."""

import csv
import json

import cv2
import numpy as np
import pytest

from docs.examples.frame_difference import config as example
from docs.examples.frame_difference.system import differences
from tests.helpers.commands import run
from tests.helpers.places import ROOT
from tests.systems.exemplar.cases import video, write
from vadjax.data.clips import Videos
from vadjax.data.store.records import Dataset, Description
from vadjax.scores import files
from vadjax.system import load_system

CONFIG = "docs/examples/frame_difference/config.py"


@pytest.fixture(scope="module")
def command(toy_scenes, tmp_path_factory):
    """Runs `vadjax.main` in the same workdir; returns that folder and the output."""
    folder = tmp_path_factory.mktemp("runs") / "difference"

    def main(*flags):
        options = (f"--config={CONFIG}", f"--workdir={folder}", f"--config.data.dir={toy_scenes}")
        code, out, errors = run("vadjax.main", *options, *flags)
        assert code == 0, errors
        return folder, out

    main()
    return main


def figures(folder) -> dict:
    return json.loads((folder / "metrics.json").read_text())["metrics"]


def test_differences_are_the_mean_of_all_pixels():
    grey = [np.full((2, 3, 3), level, np.uint8) for level in (10, 30, 25)]
    assert list(differences(grey)) == [20, 5]  # not modulo 256
    assert list(differences(grey[:1])) == []


def test_scores_are_deviations_from_normal_video(tmp_path):
    normal, new = [video("a", 6, 1), video("b", 6, 2)], [video("c", 6, 3)]
    data = Dataset(write(tmp_path / "data", normal, new))
    system = load_system(example.get_config(), any_module=True)
    state = system.init(None, data)
    known = np.concatenate([list(differences(v)) for v in Videos(data, "train")])
    (found,) = system.score(state, system.videos(data, "test"))
    expected = (np.array(list(differences(Videos(data, "test")[0]))) - known.mean()) / known.std()
    np.testing.assert_allclose(found.frame_scores, [expected[0], *expected], rtol=1e-5)
    shapes = system.abstract_state(Description.from_json(data.to_json()))
    assert [(one.shape, one.dtype) for one in shapes] == [((), np.float32)] * 2


def test_video_without_any_change_is_no_division_by_zero(tmp_path):
    data = Dataset(write(tmp_path / "data", [video("a", 4, 0)], [video("c", 4, 2)]))
    system = load_system(example.get_config(), any_module=True)
    (found,) = system.score(system.init(None, data), system.videos(data, "test"))
    assert np.isfinite(found.frame_scores).all() and (found.frame_scores > 0).all()


def test_it_trains_evaluates_and_reports(command, toy_scenes):
    folder, out = command()  # the same command again resumes
    assert "docs.examples.frame_difference.system on " in out
    assert 0 < figures(folder)["auc"] <= 1
    assert len(list((folder / "scores").glob("*.npz"))) == len(Videos(Dataset(toy_scenes), "test"))
    assert (folder / "report/figures.html").stat().st_size > 10_000
    command("--mode=evaluate")
    assert figures(folder / "evaluate_0") == figures(folder)


def test_it_predicts_new_video_and_live(command, toy_scenes, tmp_path):
    source = Videos(Dataset(toy_scenes), "test")[1]
    pictures = tmp_path / source.name
    pictures.mkdir()
    for number, frame in enumerate(source):
        cv2.imwrite(str(pictures / f"{number:03}.png"), cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    predict = ("--mode=predict", f"--video={pictures}", f"--out={tmp_path}", "--nofilm")
    folder, _ = command(*predict)
    found = files.read(tmp_path / "scores" / f"{source.name}.npz")
    expected = files.read(folder / "scores" / f"{source.name}.npz")
    np.testing.assert_array_equal(found.frame_scores, expected.frame_scores)
    command(*predict, "--live")
    with (tmp_path / f"{source.name}.live.csv").open() as rows:
        highest = [float(row["score"]) for row in csv.DictReader(rows)]
    groups = [expected.frame_scores[i : i + 16].max() for i in range(0, len(source), 16)]
    np.testing.assert_allclose(highest, groups, rtol=1e-4)


def test_the_page_shows_the_files_as_they_are():
    page = (ROOT / "docs/new_system.md").read_text()
    for name in ("system", "config"):
        assert (ROOT / f"docs/examples/frame_difference/{name}.py").read_text().strip() in page
