from types import SimpleNamespace

import numpy as np
import pytest

from vadjax import evaluate
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
