"""Attributes as a system: datasets and new video alike, few objects, events, sentences."""

import dataclasses
import json

import jax
import numpy as np
import pytest

from configs import ped2_attributes
from tests.helpers.systems import check_shapes
from vadjax.data.store.cache import Cache
from vadjax.data.store.records import Dataset
from vadjax.data.video.frame_stream import Stamp, numbered
from vadjax.report import page
from vadjax.scores.streaming import join
from vadjax.system import load_system
from vadjax.systems.attributes import alarm, bank, judge, objects, reasons, smoothing
from vadjax.systems.attributes.events import Events, ScoredFrame, Strongest
from vadjax.systems.attributes.model import CameraModel, Speeds
from vadjax.systems.attributes.motion import Motions
from vadjax.systems.attributes.source import stored_detections
from vadjax.systems.attributes.stream import FrameRate


@pytest.fixture(scope="module")
def data(toy_scenes):
    return Dataset(toy_scenes)


def learn(data, variant="smoke", **fields):
    config = ped2_attributes.get_config(variant)
    config.update_from_flattened_dict(fields)
    system = load_system(config, Cache())
    return system, system.init(jax.random.key(0), data)


@pytest.fixture(scope="module")
def learnt(data):
    return learn(data)


def test_new_video_has_the_scores_of_the_dataset(data, learnt):
    system, state = learnt
    videos = list(system.videos(data, "test"))[:2]
    for video, scores in zip(videos, system.score(state, videos), strict=True):
        parts = system.stream(state, video.name, numbered(video), data, live=False)
        again = join(video.name, parts)
        np.testing.assert_array_equal(scores.frame_scores, again.frame_scores)
        for name, values in scores.alternatives.items():
            np.testing.assert_array_equal(values, again.alternatives[name], err_msg=name)
        np.testing.assert_allclose(scores.boxes, again.boxes)
        assert json.dumps(scores.reasons) == json.dumps(again.reasons)
        assert scores.frame_scores.min() >= 0 and scores.frame_scores.max() < 1


def test_live_scores_come_with_their_frames(data, learnt):
    """They depend on the frames so far alone; the first frame has no motion."""
    system, state = learnt
    video = system.videos(data, "test")[0]
    whole = join("v", system.stream(state, "v", numbered(video), data, live=True))
    half = [video[number] for number in range(len(video) // 2)]
    part = join("v", system.stream(state, "v", numbered(half), data, live=True))
    np.testing.assert_array_equal(part.frame_scores, whole.frame_scores[: len(half)])
    assert part.frame_scores[0] == 0


def test_frames_between_those_that_are_taken(data):
    system, state = learn(data, **{"data.every": 3})
    video = system.videos(data, "test")[0]
    (scores,) = system.score(state, [video])
    assert len(scores.frame_scores) == len(video)
    for start in range(0, len(video), 3):
        assert len(set(scores.frame_scores[start : start + 3].tolist())) == 1
    assert set(scores.boxes[:, 0].astype(int) % 3) <= {0}


def test_a_state_is_its_model(data, learnt):
    system, state = learnt
    (camera,) = state
    model = CameraModel.of(state[camera])
    assert model.videos == tuple(video.name for video in system.videos(data, "train"))
    again = CameraModel.of(model.state())
    for name, array in model.state().items():
        np.testing.assert_array_equal(array, again.state()[name], err_msg=name)
    check_shapes(system.abstract_state(data), state)


def test_where_almost_nothing_was_ever_seen(data):
    """Fewer than twenty objects: everything is as rare as so few can say, and the line is 2."""
    system, _ = learn(data)
    videos = [video for video in system.videos(data, "train")]
    table = system.source.of_video(videos[0], 1, data)
    few = objects.ObjectTable(
        *(part[:7] for part in table[:4]),
        type(table.motions)(*(part[:7] for part in table.motions)),
        table.look[:7],
    )
    system.source.of_video = lambda *given: few
    model, told = system._fit("scene", videos[:1], data, FrameRate(10.0, 1))
    assert model.densities == {} and model.lines == (2.0, 2.0)
    assert "Almost nothing was ever seen: the alarm line is the score 2." in told
    line = alarm.alarm_line([model], 12.0)
    assert (line.hours, len(line.rates), line.extrapolated) == (0, 0, False)
    rows = judge.rows(few, system.config.attributes, model.size, False, model.deviations)
    judged = judge.judge(model, rows, "sum")
    np.testing.assert_allclose(judged.scores, np.log10(10) + 1)
    told = reasons.fields(model, few, judged, None, 0, "off", 2.0)
    assert told["text"] == f"{reasons.ALMOST_NOTHING}, {told['place']}"
    assert CameraModel.of(model.state()).densities == {}


def test_files_of_objects_that_were_made_otherwise_are_refused(data, learnt, tmp_path):
    system, _ = learnt
    video = system.videos(data, "test")[0]
    cache = Cache()
    cache.folder = tmp_path
    for threshold in (0.25, 0.3):
        config = ped2_attributes.get_config("smoke")
        config.objects.threshold = threshold
        source = load_system(config, cache).source
        if threshold == 0.25:
            first = source.of_video(video, 1, data)
            np.testing.assert_array_equal(source.of_video(video, 1, data).boxes, first.boxes)
        else:
            with pytest.raises(ValueError, match=r"npz: made with threshold 0\.25 there"):
                source.of_video(video, 1, data)


def test_stored_boxes_are_objects():
    boxes = np.array(
        [
            [4, 0, 0, 10, 10, 0.4],  # not confident
            [4, 5, 5, 25, 30, 0.6],
            [4, 90, 10, 120, 40, 0.9],  # over the edge
            [4, 50, 50, 52, 80, 0.9],  # too narrow
            [5, 5, 5, 25, 30, 0.9],
        ]
    )
    found = stored_detections(boxes, 4, (60, 100))
    np.testing.assert_array_equal(found.boxes, [[90, 10, 100, 40], [5, 5, 25, 30]])
    np.testing.assert_allclose(found.scores, [0.9, 0.6], rtol=1e-6)


def test_a_stored_box_is_called_object_and_a_moving_one_moving_object():
    assert reasons.class_name(objects.UNKNOWN) == "object"
    assert reasons.class_name(objects.MOVING) == "moving object"
    assert reasons.class_name(1) == "bicycle"


def test_a_run_on_stored_boxes_scores_no_new_video(data):
    system, state = learn(data, "smoke", **{"objects.source": "stored"})
    video = system.videos(data, "test")[0]
    with pytest.raises(ValueError, match="v: the run was trained on stored boxes"):
        next(system.stream(state, "v", numbered(video), data, live=False))


class Half:
    """A video whose stored frames have half of the sides of the source."""

    def __init__(self, video):
        self._video = video
        self.name, self.split, self.num_frames = video.name, video.split, video.num_frames
        self.size = tuple(side // 2 for side in video.size)
        self.source_size, self.boxes = video.source_size, video.boxes

    def __getitem__(self, number):
        return np.ascontiguousarray(self._video[number][::2, ::2])


def test_stored_boxes_belong_to_the_source(data):
    """A dataset whose frames were resized has boxes of the original size."""
    system, _ = learn(data, "smoke", **{"objects.source": "stored", "objects.moving": False})
    video = system.videos(data, "test")[0]
    whole = system.source.of_video(video, 1, data)
    half = load_system(system.config, Cache()).source.of_video(Half(video), 1, data)
    assert whole.count and half.count
    halves = {
        (int(f), *np.round(2 * box, 3)) for f, box in zip(half.frame, half.boxes, strict=True)
    }
    wholes = {(int(f), *np.round(box, 3)) for f, box in zip(whole.frame, whole.boxes, strict=True)}
    assert halves <= wholes  # those that are not too small by now


def test_frames_of_another_size_are_refused(data, learnt):
    system, state = learnt
    (camera,) = state
    model = dataclasses.replace(CameraModel.of(state[camera]), size=(10, 12))
    with pytest.raises(ValueError, match=r"has frames of .*training had \(10, 12\)"):
        next(system.score({camera: model.state()}, [system.videos(data, "test")[0]]))


def test_a_state_keeps_all_digits(learnt):
    """A covariance that is only just positive definite stays so."""
    _, state = learnt
    model = CameraModel.of(next(iter(state.values())))
    covariance = np.array([[[1.0, 1 - 1e-12], [1 - 1e-12, 1.0]]])
    mixture = model.densities["speed"]._replace(
        covariances=covariance, means=np.zeros((1, 2)), weights=np.ones(1)
    )
    again = CameraModel.of(dataclasses.replace(model, densities={"speed": mixture}).state())
    kept = again.densities["speed"].covariances
    np.testing.assert_allclose(kept, covariance, rtol=1e-14, atol=1e-14)
    assert np.isfinite(np.linalg.cholesky(kept[0])).all()
    assert all(array.dtype != np.float64 for array in model.state().values())


def test_live_scores_are_told_before_the_next_frame_is_read(data, learnt):
    system, state = learnt
    read = []

    def reading(video):
        for frame in numbered(video):
            read.append(frame.number)
            yield frame

    video = system.videos(data, "test")[0]
    parts = system.stream(state, "v", reading(video), data, live=True)
    for number in range(5):
        assert next(parts).frames[0].number == number and read[-1] == number


def test_exemplars_far_from_zero_are_told_apart():
    rng = np.random.default_rng(0)
    rows = np.repeat(5000 + 1e-3 * rng.standard_normal((50, 4)), 10, axis=0)
    chosen, left = bank.farthest_first(rows, 500)
    assert len(chosen) == 50 and left < 1e-6


def frames(scores, fps=10.0):
    for number, score in enumerate(scores):
        box = np.array([[number, 0, 0, 5, 5, score]])
        fields = {"frame": number, "text": "fast, there; odd, there", "place": "there"}
        strongest = Strongest(score, fields) if score >= 0.5 else None
        yield ScoredFrame((Stamp(number, number / fps),), score, box, strongest)


def told(scores, fps=10.0):
    events = Events("v", fps)
    found = [event for frame in frames(scores, fps) for event in events.add(frame)]
    return found + list(events.end())


def test_events_are_the_alarm_intervals():
    rng = np.random.default_rng(0)
    for fps in (5.0, 10.0, 25.0):
        scores = np.convolve(rng.random(400), np.ones(5) / 5, "same")
        spans = [(event["start"], event["stop"]) for event in told(scores, fps)]
        np.testing.assert_array_equal(spans, smoothing.intervals(scores, fps))


def test_an_event_is_told_by_its_strongest_object():
    first, second = told([0, 0.6, 0.9, 0.2, 0.9, 0, 0, 0, 0, 0, 0, 0.7])
    assert (first["start"], first["stop"], first["frame"], first["score"]) == (1, 5, 2, 0.9)
    assert [row[0] for row in first["boxes"]] == [1, 2, 4]  # not that of the quiet frame
    assert (first["start_s"], first["stop_s"]) == (0.1, 0.5)
    # The sentence has the time of that object, before its place.
    assert first["text"] == "fast, at 0:00.2, there; odd, there"
    assert second["start"] == 11 and second["schema"] == 1 and second["video"] == "v"


def test_events_of_every_third_frame_have_the_times_of_the_video():
    events = Events("v", 10.0, 30.0)
    for number, score in enumerate([0.1, 0.9, 0.9, 0.1]):
        stamps = tuple(Stamp(3 * number + k) for k in range(3))
        box = np.array([[3 * number, 0, 0, 5, 5, score]])
        list(
            events.add(ScoredFrame(stamps, score, box, Strongest(score, {"text": "", "place": ""})))
        )
    (event,) = events.end()
    assert (event["start"], event["stop"]) == (3, 9)
    assert (event["start_s"], event["stop_s"]) == (0.1, 0.3)


def test_a_quiet_frame_may_have_the_strongest_object():
    """It lies between two alarms; its own score is smoothed away."""
    events = Events("v", 10.0)
    for number, (score, strongest) in enumerate([(0.6, 5.0), (0.4, 9.0), (0.6, 4.0)]):
        box = np.array([[number, 0, 0, 5, 5, 0.8]])
        told = Strongest(strongest, {"frame": number, "text": "", "place": ""})
        list(events.add(ScoredFrame((Stamp(number),), score, box, told)))
    (event,) = events.end()
    assert event["frame"] == 1


def test_the_report_writes_events(tmp_path, data, learnt):
    system, state = learnt
    videos = list(system.score(state, list(system.videos(data, "test"))))
    event = {"schema": 1, "video": videos[0].video, "start": 0, "stop": 5, "frame": 2}
    event |= {"score": 0.9, "lead": "speed", "evidence": {"speed": 3.1}, "text": "moves"}
    event["box"] = [1, 2, 30, 40]
    videos[0] = dataclasses.replace(videos[0], reasons=(event,))
    summary = {"title": "t", "metrics": {"auc": 0.5}, "labels": {"auc": "AUC"}, "data": "street"}
    summary |= {"selected_on_test": False, "untrained": {}}
    summary["metrics"] |= {name: 1 for name in page.COUNTS}
    page.build(tmp_path / "report", videos, summary, 1, 0, 2)
    lines = (tmp_path / "report" / "events.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [event]


def test_speeds_of_normal_objects():
    speeds = Speeds.of(np.linspace(0, 2, 2001))
    assert speeds.largest == 2 and speeds.top == pytest.approx(1.998)
    assert speeds.share_below(0.5) == pytest.approx(0.25, abs=1e-3)
    assert (speeds.share_below(-1), speeds.share_below(9)) == (0, 1)


@pytest.mark.parametrize(("evidence", "number"), [(2.0, 100), (4.3, 20_000), (3.97, 9_000)])
def test_one_in(evidence, number):
    assert reasons.one_in(evidence) == number


def test_smoothing_as_frames_come_is_that_of_the_whole_video():
    rng = np.random.default_rng(1)
    for count, fps in ((1, 10), (7, 10), (60, 10), (200, 25)):
        scores = rng.random(count)
        deviation = fps / 2
        t = np.arange(count)
        taps = np.exp(-np.square((t[:, None] - t) / deviation) / 2)
        taps[np.abs(t[:, None] - t) > np.ceil(4 * deviation)] = 0
        wanted = (taps * scores).sum(1) / taps.sum(1)
        np.testing.assert_allclose(smoothing.gaussian(scores, fps), wanted, rtol=1e-12)


def test_fields_that_cannot_be_used():
    for field, value in (
        ("objects.source", "yolo"),
        ("attributes.direction", "up"),
        ("bank.selection", "nearest"),
        ("data.every", -1),
        ("fusion", "mean"),
        ("bank.most", 0),
        ("data.fps", -1.0),
        ("objects.input_mode", "areal"),
        ("alarm.per_hour", -1.0),
        ("alarm.per_hour", float("inf")),
    ):
        config = ped2_attributes.get_config("smoke")
        config.update_from_flattened_dict({field: value})
        with pytest.raises(ValueError, match=field):
            load_system(config)
    config = ped2_attributes.get_config("smoke")
    config.attributes.speed = False
    with pytest.raises(ValueError, match="none of speed, look and geometry"):
        load_system(config)


def test_sentences_say_how_much_where_and_when(learnt):
    """The numbers behind them are in the record."""
    _, (state,) = learnt[0], learnt[1].values()
    model = CameraModel.of(state)
    largest, top = model.speeds.largest, model.speeds.top
    slow = float(model.speeds.quantiles[100])
    box = np.array([[0.0, 40, 12, 48]])  # at the lower left of 48 x 64
    for speed, text in (
        (3 * largest, "about 3.0 × faster than anything seen here, at 0:15.5, at the lower left"),
        (
            (largest + top) / 2,
            " the speed that 999 of 1,000 normal objects here stay below, at 0:1",
        ),
        (1.05 * largest, "a little faster than anything seen here, at 0:15.5, at the lower left"),
        (slow, "slower than 90.0 % of normal objects here, at 0:15.5, at the lower left"),
    ):
        height = 8.0 if model.divide else 1.0
        motions = Motions(np.array([speed * height]), np.zeros((1, 8)), np.zeros((1, 2)))
        one = objects.ObjectTable(
            np.array([155]), box, np.zeros(1, "f"), np.array([-1]), motions, np.zeros((1, 0), "f")
        )
        rows = judge.rows(one, learnt[0].config.attributes, model.size, model.divide, None)
        judged = judge.judge(model, rows, "sum")
        fields = reasons.fields(model, one, judged, None, 0, "off", model.lines[0])
        assert text in reasons.at(fields, 15.5)
        assert "px" not in fields["text"]
        assert fields["speed"] == pytest.approx(speed, abs=1e-3)
        assert fields["speed_max"] == pytest.approx(largest, abs=1e-3)
