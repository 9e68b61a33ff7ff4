"""The alarm line of a camera by its held-out scores, and what is told of it."""

import dataclasses
import re

import jax
import numpy as np
import pytest

from configs import ped2_attributes
from vadjax.data.store.cache import Cache
from vadjax.data.store.records import Dataset
from vadjax.scores import alarm_rate
from vadjax.system import load_system
from vadjax.systems.attributes import alarm, smoothing
from vadjax.systems.attributes.model import CameraModel


@pytest.fixture(scope="module")
def model(toy_scenes):
    """A model with held-out scores of two hours, of eight videos."""
    system = load_system(ped2_attributes.get_config("smoke"), Cache())
    (state,) = system.init(jax.random.key(0), Dataset(toy_scenes)).values()
    model = CameraModel.of(state)
    frames = np.random.default_rng(0).exponential(size=72_000)
    return at(
        dataclasses.replace(
            model,
            fps=10.0,
            seconds=7200.0,
            videos=tuple("abcdefgh"),
            frames=frames,
            frames_live=frames[::-1],
            lengths=np.full(8, 9000),
        ),
        0.0,
    )


def at(model, per_hour):
    """The model with the line of a rate."""
    lines = smoothing.alarm_lines(
        model.frames, model.frames_live, model.lengths, model.fps, per_hour
    )
    return dataclasses.replace(model, lines=lines)


def test_without_a_rate_the_line_is_that_of_the_specification(model):
    assert model.lines[0] == np.quantile(model.frames, 0.999)
    line = alarm.alarm_line([model], 0.0)
    assert (line.line, line.reliable, line.per_hour) == (0.5, True, None)
    assert line.hours == 2 and not line.extrapolated
    alarms = alarm_rate.counts(alarm.held_out(model), [model.lines[0]])[0]
    assert line.rate_at(0.5) == alarms / 2
    told = " ".join(alarm.sentences("door", model, np.arange(1, 100), 0.0))
    assert "below which 999 of 1,000 held-out normal frames stay" in told
    assert "door: learned from 2 hours of normal video (8 videos)" in told
    assert "boxes are 1 to 99 pixels high" in told and "enough normal video to rely on" in told


@pytest.mark.parametrize("per_hour", [6.0, 12.0, 60.0])
def test_with_a_rate_held_out_video_has_it(model, per_hour):
    """Both lines; counted as the events of a video are made, in each piece by itself."""
    asked = at(model, per_hour)
    for line, frames in zip(asked.lines, (model.frames, model.frames_live), strict=True):
        reported = smoothing.reported(frames, line)
        pieces = np.split(reported, np.cumsum(model.lengths)[:-1])
        alarms = sum(len(smoothing.intervals(piece, model.fps)) for piece in pieces)
        assert alarms == 2 * per_hour
    line = alarm.alarm_line([asked], per_hour)
    assert line.rate_at(0.5) == per_hour and line.per_hour == per_hour
    told = " ".join(alarm.sentences("door", asked, np.zeros(0), per_hour))
    assert f"line for {per_hour:g} alarms an hour is the score" in told
    assert re.search(rf"gives {2 * per_hour:g} alarms, {per_hour:g} an hour", told)


def test_a_rate_that_is_too_low_to_be_counted_is_marked(model):
    asked = at(model, 0.1)
    line = alarm.alarm_line([asked], 0.1)
    assert line.extrapolated and line.reliable and asked.lines[0] > at(model, 1.0).lines[0]
    assert 0.02 < line.rate_at(0.5) <= 0.5
    told = alarm.sentences("door", asked, np.zeros(0), 0.1)
    assert any(
        one.startswith("extrapolated: 2 hours are too short to count 0.1 alarms an hour")
        for one in told
    )


def test_cameras_count_together(model):
    line = alarm.alarm_line([model, model], 0.0)
    assert line.hours == 4
    np.testing.assert_allclose(line.rates, alarm.alarm_line([model], 0.0).rates)


def test_a_run_that_did_not_keep_the_ends_of_its_videos(model):
    """As those of an older vadjax: all frames count as one video."""
    older = dataclasses.replace(model, lengths=np.zeros(0, np.int64))
    assert alarm.held_out(older).lengths.tolist() == [72_000]
    assert CameraModel.of(older.state()).lengths.tolist() == []
    assert CameraModel.of(model.state()).lengths.tolist() == [9000] * 8
