"""LGN-Net and MNAD through the loop, on tiny toy scenes."""

import json

import jax
import numpy as np
import pytest

from configs import ped2_mnad
from tests.helpers.loop import run_in_two, same_figures
from tests.helpers.systems import check_shapes
from vadjax import train
from vadjax.data.clips import Videos
from vadjax.data.store.loader import Shard, iterate
from vadjax.data.store.records import Dataset
from vadjax.data.toy.datasets import write_scenes
from vadjax.data.toy.scenes import ToyScenes
from vadjax.ops import compilation
from vadjax.runtime import metric_writers
from vadjax.scores import files
from vadjax.system import load_system
from vadjax.systems.lgn import score

FRAMES = 12


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    out = tmp_path_factory.mktemp("data") / "scenes"
    write_scenes(out, ToyScenes(train=2, test=2, frames=FRAMES, height=32, width=40, events=1))
    return out


@pytest.fixture
def config(scenes):
    config = ped2_mnad.get_config("smoke")
    config.data.dir = str(scenes)
    config.train.devices = 1
    return config


@pytest.fixture(scope="module")
def finished(scenes, tmp_path_factory):
    config = ped2_mnad.get_config("smoke")
    config.data.dir, config.train.devices = str(scenes), 1
    workdir = tmp_path_factory.mktemp("runs") / "mnad"
    train.run(config, workdir)
    return config, workdir


@pytest.mark.slow
def test_a_run_scores_every_frame_and_prints_the_baseline(finished, scenes, capsys):
    config, workdir = finished
    figures = json.loads((workdir / "metrics.json").read_text())["metrics"]
    for name in ("online", "psnr", "distance", "copy_previous"):
        assert 0 <= figures[f"auc:{name}"] <= 1 and 0 <= figures[f"auc_minmax:{name}"] <= 1
    for video, found in zip(
        Videos(Dataset(scenes), "test"), files.read_folder(workdir / "scores"), strict=True
    ):
        assert found.video == video.name and len(found.frame_scores) == FRAMES
        assert found.scored.tolist() == [False] * 4 + [True] * (FRAMES - 4)
        np.testing.assert_array_equal(found.labels, video.labels)
        psnr = score.psnr(found.map[4:].astype(np.float64).mean((1, 2)))
        np.testing.assert_allclose(psnr, -found.alternatives["psnr"][4:], atol=0.02)
        pictures = found.pictures
        best, worst = (4 + function(found.frame_scores[4:]) for function in (np.argmin, np.argmax))
        assert pictures.frames.tolist() == sorted([best, worst])  # two would be too near
        for number, seen, predicted in zip(*pictures, strict=True):
            np.testing.assert_array_equal(seen, video[number])
            error = np.square((seen / 255.0) - predicted / 255.0).mean()
            assert score.psnr(error) == pytest.approx(-found.alternatives["psnr"][number], abs=0.1)
        assert found.frame_scores[4:].min() >= 0 and found.frame_scores[4:].max() <= 1
        whole = np.stack([frame[..., ::-1] for frame in video]).astype(np.float32) / 127.5 - 1
        expected = -score.psnr(score.copy_previous_error(whole))
        np.testing.assert_allclose(found.alternatives["copy_previous"][4:], expected, rtol=1e-5)
    assert figures["frames"] == 2 * (FRAMES - 4)
    rows = [row for row in metric_writers.read(workdir) if "loss" in row]
    assert len(rows) == config.train.steps and {"pixel", "compactness"} <= set(rows[0])


@pytest.mark.slow
def test_a_stopped_run_ends_with_the_same_bits(finished, config, tmp_path, monkeypatch):
    run_in_two(config, tmp_path, 1, monkeypatch)
    same_figures(tmp_path, finished[1])


def test_held_out_videos_are_not_trained_on_and_give_the_limits(config, scenes):
    data = Dataset(scenes)
    config.eval.held_out = 1
    system = load_system(config)
    batches = iterate(system.batches(data, Shard(0, 1)))
    assert {int(v) for _ in range(20) for v in next(batches)["video"]} == {0}
    state = system.init(jax.random.key(0), data)
    held = system.finalize(state, data).limits
    config.eval.held_out = 0
    config.eval.limit_videos = 2
    both = load_system(config).finalize(state, data).limits
    config.eval.limit_videos = 1
    first = load_system(config).finalize(state, data).limits
    joined = np.stack([np.minimum(held, first)[:, 0], np.maximum(held, first)[:, 1]], 1)
    np.testing.assert_allclose(joined, both, rtol=1e-6)
    assert not np.array_equal(held, first)
    config.eval.held_out = 2
    with pytest.raises(ValueError, match="2 of 2 videos cannot be left out"):
        load_system(config).batches(data, Shard(0, 1))


def test_shapes_of_the_state_need_no_compilation(config, scenes, monkeypatch):
    system, data = load_system(config), Dataset(scenes)
    state = system.init(jax.random.key(0), data)
    monkeypatch.delattr(compilation, "run_once")
    check_shapes(system.abstract_state(data), state)


def test_frames_of_a_size_that_the_network_cannot_take_are_refused(config, tmp_path):
    write_scenes(
        tmp_path / "s", ToyScenes(train=1, test=1, frames=8, height=36, width=40, events=1)
    )
    config.data.dir = str(tmp_path / "s")
    with pytest.raises(ValueError, match=r"frames of 36 × 40.*--size 32x40"):
        train.run(config, tmp_path / "run")


def test_videos_shorter_than_a_window_are_refused(config, tmp_path):
    write_scenes(
        tmp_path / "s", ToyScenes(train=1, test=1, frames=4, height=32, width=40, events=0)
    )
    config.data.dir = str(tmp_path / "s")
    with pytest.raises(ValueError, match="shorter than a window of 5 frames"):
        train.run(config, tmp_path / "run")


def test_a_dataset_of_features_is_refused(config, toy_bags, tmp_path):
    config.data.dir = str(toy_bags)
    with pytest.raises(ValueError, match="holds 'features' records, system 'lgn' reads 'frames'"):
        train.run(config, tmp_path)


def test_a_constant_video_divides_by_nothing():
    flat = np.zeros(9)
    assert (score.normality(flat + 30, flat + 0.1) == 0.4).all()
    assert np.isfinite(score.psnr(flat)).all()
