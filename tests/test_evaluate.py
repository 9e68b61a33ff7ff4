from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from docs.examples.frame_difference import config as example
from vadjax import evaluate, train
from vadjax.data.bags import Bag
from vadjax.predict import run as predict
from vadjax.scores.files import Scores
from vadjax.system import System


class Forgetful(System):
    """Scores every video but those that are called `lost`."""

    def score(self, state, videos):
        """As a system does."""
        del state
        for video in videos:
            if video.name != "lost":
                yield Scores(video.name, np.zeros(4))


def videos(*names):
    return [SimpleNamespace(name=name) for name in names]


def test_every_video_is_scored(tmp_path):
    found = evaluate.write_scores(Forgetful(None), None, videos("b", "a"), "test", tmp_path)
    assert [one.video for one in found] == ["a", "b"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a", "lost"], "2 videos, but scores of 1: the system gave none for lost"),
        (["a", "b", "a"], "3 videos, but scores of 2: two videos or more are called a. Prepare"),
    ],
)
def test_videos_that_were_not_scored_are_named(tmp_path, names, message):
    with pytest.raises(ValueError, match=message):
        evaluate.write_scores(Forgetful(None), None, videos(*names), "test", tmp_path)


def test_scores_with_maps_of_data_without_places_have_no_region_figures(tmp_path):
    bag = Bag("a", 1, "", 4, np.zeros((0, 2), np.int32), np.zeros((1, 1, 2), np.float32))
    assert bag.name == "a" and bag.region_truth is None
    scores = [Scores("a", np.zeros(4), map=np.ones((4, 2, 2)))]
    assert evaluate.region_figures(None, scores, [bag], tmp_path) == {}


def test_no_program_changes_its_callers_config(toy_scenes, tmp_path, without_reports):
    """An empty `data.dir` is filled in, for evaluation and prediction, but in a copy."""
    config, run = example.get_config(), tmp_path / "run"
    config.data.dir = str(toy_scenes)
    before = config.copy_and_resolve_references()
    train.run(config, run)
    assert config == before
    config.data.dir = before.data.dir = ""
    evaluate.run(config, run)
    assert config == before
    (tmp_path / "new").mkdir()
    for number in range(3):
        picture = np.full((48, 64, 3), 40 * number, np.uint8)
        cv2.imwrite(str(tmp_path / "new" / f"{number}.png"), picture)
    assert predict.run(config, run, str(tmp_path / "new"), tmp_path / "out", film=False) == {}
    assert config == before
