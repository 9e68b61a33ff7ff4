"""The commands for a camera of one's own, from films to scores of new film."""

import numpy as np
import pytest

from tests.data_prep.own_films import street
from tests.helpers import commands
from tests.helpers.video_files import write
from vadjax.scores import files

SIZE = (96, 128)


@pytest.fixture
def films(tmp_path):
    for number in range(3):
        frames = street(60, 13 * number, SIZE)
        write(tmp_path / f"normal/{number}.mp4", frames, rate=10)
    write(tmp_path / "new/later.mp4", street(40, 5, SIZE), rate=10)
    return tmp_path


def run(module, *options) -> str:
    """Output of a program that ends well."""
    code, output, errors = commands.run(module, *map(str, options), timeout=200)
    assert code == 0, output + errors
    return output


def test_normal_footage_alone_and_new_film_later(films):
    """Nothing is scored at first; the command that scores a film is said."""
    run("data_prep.videos", "--normal", films / "normal", "--out", films / "data")
    common = ["--config=configs/camera.py:nodetector", f"--workdir={films / 'run'}"]
    said = run("vadjax.main", *common, f"--config.data.dir={films / 'data'}")
    assert "data has no new footage, so nothing is scored. Score some:" in said
    run("vadjax.main", *common, "--mode=predict", f"--video={films / 'new/later.mp4'}", "--nofilm")
    scores = files.read(films / "run/predict/scores/later.npz")
    assert len(scores.frame_scores) == 40 and np.isfinite(scores.frame_scores).all()
