"""The alarm line of EVAL: training videos scored by the exemplars of others."""

import dataclasses

import jax
import numpy as np
import pytest

from configs import ped2_exemplar
from vadjax import evaluate, train
from vadjax.data.store.cache import Cache
from vadjax.data.store.records import Dataset
from vadjax.data.toy.datasets import write_scenes
from vadjax.data.toy.scenes import FPS
from vadjax.scores import alarm, alarm_rate, files
from vadjax.system import load_system
from vadjax.systems.exemplar import held_out
from vadjax.systems.exemplar.system import ONE


class Kept(Cache):
    """Files in a folder that stays."""

    def __init__(self, folder):
        self.folder = folder


def learn(data, folder, **fields):
    config = ped2_exemplar.get_config("smoke")
    config.train.devices = 1
    config.update_from_flattened_dict(fields)
    system = load_system(config, Kept(folder))
    return system, system.init(jax.random.key(0), data)


@pytest.fixture(scope="module")
def scenes(small_scenes):
    return dataclasses.replace(small_scenes, train=3, test=1, frames=60)


@pytest.fixture(scope="module")
def data(tmp_path_factory, scenes):
    out = tmp_path_factory.mktemp("data") / "scenes"
    write_scenes(out, scenes, shards=1)
    return Dataset(out)


def test_a_video_is_scored_by_the_exemplars_of_the_others(data, tmp_path, monkeypatch):
    system, state = learn(data, tmp_path)
    stages = system.stages(ONE)
    found = held_out.scores(stages, data, FPS)
    assert found.lengths.tolist() == [60] * 3 and found.hours == pytest.approx(18 / 3600)
    # A video is its own exemplar, and scores nothing; by the others it does.
    own = [scores.frame_scores for scores in system.score(state, system.videos(data, "train"))]
    assert found.scores.max() > 10 * max(scores.max() for scores in own)
    # The first video, of the first part, as a model without it scores it.
    parts, videos = stages.all_clusters(data), stages.videos(data, "train")
    learnt = stages.method.merge(parts[1:], stages.scales(data), videos[1:])
    (score,) = system.score({ONE: learnt.state()}, [without_files(system, videos[0])])
    np.testing.assert_array_equal(score.frame_scores, found.scores[:60].astype(np.float32))
    # It is kept, and not made again.
    monkeypatch.setattr(held_out, "_of_videos", None)
    np.testing.assert_array_equal(held_out.scores(stages, data, FPS).scores, found.scores)
    path = stages.files.held_out
    arrays = dict(np.load(path))
    np.savez(path, **arrays | {"lengths": arrays["lengths"][:1]})
    with pytest.raises(ValueError, match=r"scores and lengths do not fit\. Remove it to make"):
        held_out.scores(stages, data, FPS)


def without_files(system, video):
    """The video, whose scores by another model the system keeps nowhere."""
    system.cache.owns = lambda data: False
    return video


def test_one_video_is_cut_into_runs(tmp_path, scenes):
    out = tmp_path / "one"
    write_scenes(out, dataclasses.replace(scenes, train=1, frames=100), shards=1)
    data = Dataset(out)
    system, _ = learn(data, tmp_path)
    found = held_out.scores(system.stages(ONE), data, FPS)
    assert len(found.lengths) == held_out.PARTS and (found.lengths <= 20).all()
    assert found.lengths.sum() == len(found.scores) and found.scores.max() > 0
    line = system.alarm_line({ONE: None}, data)
    assert not line.reliable and line.line == pytest.approx(np.quantile(found.scores, 0.999))


def test_too_little_video_has_no_line(tmp_path, scenes, capsys):
    out = tmp_path / "one"
    write_scenes(out, dataclasses.replace(scenes, train=1, frames=12), shards=1)
    system, _ = learn(Dataset(out), tmp_path)
    assert system.alarm_line({ONE: None}, Dataset(out)) is None
    assert "too little normal video for an alarm line; give more" in capsys.readouterr().out


def test_a_run_has_the_line_of_the_rate(data, tmp_path, capsys):
    config = ped2_exemplar.get_config("smoke")
    config.data.dir, config.train.devices, config.alarm.per_hour = str(data.folder), 1, 800.0
    train.run(config, tmp_path)
    line = alarm.read(tmp_path)
    assert line.per_hour == 800 and line.rate_at(line.line) == pytest.approx(4 / line.hours)
    assert f"The alarm line is the score {line.line:.3g}, by 0.3 minutes" in capsys.readouterr().out
    # The events of the report are those of the line.
    (scores,) = files.read_folder(tmp_path / "scores")
    spans = alarm_rate.intervals(scores.frame_scores, line.line, alarm_rate.gap_frames(FPS))
    text = (tmp_path / "report/events.jsonl").read_text()
    assert len(text.splitlines()) == len(spans)
    # Scores that are made otherwise have another line.
    config.eval.map_rule = "max" if config.eval.map_rule == "mean" else "mean"
    evaluate.run(config, tmp_path)
    said = capsys.readouterr().out
    assert "note: without the alarm line of the run, where eval.map_rule had other values" in said


def test_a_rate_below_zero_is_refused():
    with pytest.raises(ValueError, match=r"alarm\.per_hour is -1\.0; expected at least 0"):
        config = ped2_exemplar.get_config("smoke")
        config.alarm.per_hour = -1.0
        load_system(config)
