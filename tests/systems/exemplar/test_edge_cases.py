"""Edge cases of the exemplar system (spec eval §11), through the loop."""

import numpy as np
import pytest

from tests.systems.exemplar.cases import (
    arrays,
    config,
    figures,
    test_video,
    texture,
    two_and_two,
    video,
    write,
)
from vadjax import train
from vadjax.data.clips import Videos
from vadjax.data.store.frame_writer import write_frames
from vadjax.data.store.records import Dataset
from vadjax.runtime.cache import RunCache
from vadjax.scores import files as scores
from vadjax.systems.exemplar import files
from vadjax.systems.exemplar.stages import Stages

pytestmark = pytest.mark.usefixtures("without_reports")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return two_and_two(tmp_path_factory.mktemp("data") / "two")


def test_videos_of_one_frame(tmp_path):
    data = write(
        tmp_path / "data",
        [video("a", 1, 1), video("b", 8, 1)],
        [test_video("x", 1, 2), test_video("y", 8, 2)],
    )
    train.run(config(data), tmp_path / "run")
    one = scores.read(tmp_path / "run/scores/x.npz")
    assert one.frame_scores.shape == (1,) and one.map.shape[0] == 1
    assert one.frame_scores[0] == 0  # like "a", it stands still


@pytest.mark.parametrize(("threshold", "expected"), [(1e3, 9), (0.0, None)])
def test_one_exemplar_a_region_or_every_distinct_volume(data, tmp_path, threshold, expected):
    train.run(config(data, model__threshold=threshold), tmp_path / "run")
    merged = arrays(tmp_path / "run/exemplars_motion_merged.npz")
    if expected is None:
        own = [arrays(tmp_path / f"run/features/train/{name}.npz") for name in "ab"]
        rows = np.concatenate(
            [np.concatenate([one[c] for c in ("ang", "mag", "bkg")], -1) for one in own]
        )
        expected = sum(len(np.unique(rows[:, region], axis=0)) for region in range(9))
    else:
        assert merged["source_t"].tolist() == [0] * 9 and not merged["source_sequence"].any()
    assert merged["offsets"][-1] == expected
    assert np.isfinite(figures(tmp_path / "run")["auc"])


def test_a_scene_without_any_motion_has_scales_of_one(tmp_path):
    data = write(tmp_path / "data", [video("a", 8, 0)], [test_video("x", 8, 2)])
    train.run(config(data), tmp_path / "run")
    merged = arrays(tmp_path / "run/exemplars_motion_merged.npz")
    assert merged["Z"].tolist() == [1] * 4 and merged["offsets"][-1] == 9
    one = scores.read(tmp_path / "run/scores/x.npz")
    assert all(reason["never_moved"] for reason in one.reasons) and one.reasons
    assert "No motion was ever seen here." in one.reasons[0]["text"]


def test_a_dataset_without_training_videos(tmp_path):
    with pytest.raises(ValueError, match="split 'train' would be empty"):
        write_frames(tmp_path / "a", {"test": [test_video("x", 8, 2)], "train": []}, name="a")
    write_frames(tmp_path / "b", {"test": [test_video("x", 8, 2)]}, name="b", shards=1)
    with pytest.raises(ValueError, match="no split 'train'; this dataset has test"):
        train.run(config(tmp_path / "b"), tmp_path / "run")
    assert not (tmp_path / "run/config.json").exists()


def test_files_that_are_read_back_are_what_was_measured(data, tmp_path):
    stages = Stages(config(data), RunCache(tmp_path))
    x = Videos(Dataset(data), "test")[1]
    made = stages.features(x, Dataset(data))
    read = stages.features(x, Dataset(data))
    for name, one, other in zip(made._fields, made, read, strict=True):
        np.testing.assert_array_equal(one, other, name)
        assert one.dtype == other.dtype, name
    assert files.read_meta(tmp_path, arrays(tmp_path / "features/test/x.npz"))["video"] == "x"
    assert texture(0, (4, 4)).shape == (4, 4)
