"""Finished runs of several systems, and frames to score."""

import shutil

import pytest

from configs import ped2_exemplar, ped2_mnad, ucf_mil
from tests.helpers.pictures import write_pictures
from tests.predict.cases import Net, finish
from vadjax.data.clips import Videos
from vadjax.data.store.records import Dataset
from vadjax.extractors import clips as clip_features
from vadjax.report import page


@pytest.fixture(scope="module")
def no_report():
    """Runs go without a report, which takes longer than all else."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(page, "build", lambda out, *_: out)
        yield


@pytest.fixture(scope="module")
def exemplars(no_report, toy_scenes, tmp_path_factory):
    config = ped2_exemplar.get_config("smoke")
    config.eval.sigma, config.eval.flag = 1.5, 0.05
    return finish(config, toy_scenes, tmp_path_factory.mktemp("runs") / "exemplar")


@pytest.fixture(scope="module")
def predictor(no_report, toy_scenes, tmp_path_factory):
    config = ped2_mnad.get_config("smoke")
    config.eval.test_update, config.eval.gamma = "per_video_reset", 1e6  # the memory learns
    return finish(config, toy_scenes, tmp_path_factory.mktemp("runs") / "mnad")


@pytest.fixture(scope="module")
def frames(toy_scenes, tmp_path_factory):
    """The second test video as a folder of pictures."""
    return write_pictures(Videos(Dataset(toy_scenes), "test")[1], tmp_path_factory.mktemp("frames"))


@pytest.fixture(scope="module")
def finished_ranker(no_report, toy_bags, tmp_path_factory):
    config = ucf_mil.get_config("smoke")
    config.features.weights = "w"
    return finish(config, toy_bags, tmp_path_factory.mktemp("runs") / "mil")


@pytest.fixture
def ranker(finished_ranker, tmp_path, monkeypatch):
    monkeypatch.setattr(clip_features, "load_i3d", lambda *args: Net())
    config, folder = finished_ranker
    return config.copy_and_resolve_references(), shutil.copytree(folder, tmp_path / "mil")
