"""SSMTL through the loop, on tiny toy scenes: samples, scores, new video, bad input."""

import json
import shutil

import cv2
import jax
import numpy as np
import pytest

from configs import avenue_ssmtl, ped2_ssmtl, shanghaitech_ssmtl
from data_prep import extract_objects
from tests.helpers.loop import run_in_two, same_figures
from tests.helpers.systems import check_shapes
from vadjax import train
from vadjax.data import objects
from vadjax.data.clips import Videos
from vadjax.data.store.loader import Shard, iterate
from vadjax.data.store.object_writer import VideoObjects, write_objects
from vadjax.data.store.records import Dataset
from vadjax.data.toy.datasets import write_scenes
from vadjax.data.toy.scenes import ToyScenes
from vadjax.data.video.crops import cut
from vadjax.data.video.frame_stream import numbered
from vadjax.ops import compilation
from vadjax.predict import run as predict
from vadjax.runtime import metric_writers
from vadjax.scores import files
from vadjax.system import load_system
from vadjax.systems.ssmtl import score, tasks
from vadjax.systems.ssmtl.samples import Samples
from vadjax.systems.ssmtl.stream import windows

FRAMES, SIDE = 20, 16
OUTPUTS = {"detector": 5, "classifier": 7}


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    out = tmp_path_factory.mktemp("data") / "scenes"
    recipe = ToyScenes(train=2, test=2, frames=FRAMES, height=48, width=64, events=1, crowd=5.0)
    write_scenes(out, recipe)
    return out


@pytest.fixture(scope="module")
def taught(scenes, tmp_path_factory):
    """The scenes' own boxes, with made-up teachers."""
    data, out = Dataset(scenes), tmp_path_factory.mktemp("data") / "objects"
    rng = np.random.default_rng(0)

    def found(split):
        for video in Videos(data, split):
            rows = video.boxes[np.lexsort((-video.boxes[:, 5], video.boxes[:, 0]))]
            outputs = [rng.normal(0, 1, (len(rows), count)) for count in OUTPUTS.values()]
            if split == "test":
                outputs[1] = np.zeros((len(rows), 0))
            yield VideoObjects(video.name, video.num_frames, rows, *outputs)

    write_objects(
        out,
        {split: found(split) for split in ("train", "test")},
        name="taught",
        frames=data,
        detector={"name": "boxes"},
        outputs=OUTPUTS,
        teachers={"detector": {"name": "none"}, "classifier": None},
    )
    return out


def of(scenes, taught=None):
    config = ped2_ssmtl.get_config("smoke")
    config.data.dir, config.train.devices = str(scenes), 1
    config.data.objects = str(taught or "")
    config.eval.batch = 16
    return config


@pytest.fixture(scope="module")
def finished(scenes, taught, tmp_path_factory):
    config, workdir = of(scenes, taught), tmp_path_factory.mktemp("runs") / "ssmtl"
    config.eval.flag = 0.5
    train.run(config, workdir)
    return config, workdir


@pytest.mark.slow
def test_a_run_scores_every_object_and_frame(finished, scenes):
    config, workdir = finished
    figures = json.loads((workdir / "metrics.json").read_text())["metrics"]
    series = {*tasks_of(config), "highest_object", "not_smoothed", "smoothed_offset"}
    assert {name[4:] for name in figures if name.startswith("auc:")} == series
    assert {"rbdc", "tbdc", "auc_macro_padded"} <= set(figures)
    for video, found in zip(
        Videos(Dataset(scenes), "test"), files.read_folder(workdir / "scores"), strict=True
    ):
        rows = video.boxes[np.lexsort((-video.boxes[:, 5], video.boxes[:, 0]))]
        np.testing.assert_array_equal(found.boxes[:, :5], rows[:, :5])
        raw = score.frame_scores(
            rows[:, 0].astype(int), rows[:, 1:5], found.boxes[:, 5], FRAMES, (48, 64)
        )
        smoothed = score.smooth(raw, config.eval.sigma, config.eval.length)
        np.testing.assert_allclose(found.frame_scores, smoothed, rtol=1e-6)
        np.testing.assert_array_equal(found.labels, video.labels)
        assert found.reasons and all(own["dominant"] in tasks_of(config) for own in found.reasons)
        assert [own["frames"][0] for own in found.reasons] == sorted(
            {16 * (own["frame"] // 16) for own in found.reasons}
        )
    rows = [row for row in metric_writers.read(workdir) if "loss" in row]
    assert len(rows) == config.train.steps and set(tasks_of(config)) <= set(rows[0])
    expected = sum(rows[0][task] for task in ("arrow", "irregularity", "middle"))
    assert rows[0]["loss"] == pytest.approx(expected + 0.2 * rows[0]["distillation"], rel=1e-5)


def tasks_of(config):
    return ("arrow", "irregularity", "middle", "distillation")


@pytest.mark.slow
def test_a_stopped_run_ends_with_the_same_bits(finished, tmp_path, monkeypatch):
    config, whole = finished
    run_in_two(config, tmp_path, 2, monkeypatch)
    same_figures(tmp_path, whole)


@pytest.mark.slow
def test_other_objects_in_the_same_place_are_refused(finished, tmp_path):
    config, workdir = finished
    copy = shutil.copytree(workdir, tmp_path / "run")
    kept = json.loads((copy / "objects.json").read_text())
    (copy / "objects.json").write_text(json.dumps(kept | {"digest": "of another dataset"}))
    with pytest.raises(ValueError, match="not the objects that the run in .* began with"):
        train.run(config, copy)


def test_samples_are_those_of_the_draws(scenes, taught):
    data = Dataset(scenes)
    source = objects.ObjectSource(data, str(taught))
    found = Samples(source, "train", SIDE, 5, True)
    assert found.frame.min() >= 3 and found.frame.max() <= FRAMES - 4
    video = Videos(data, "train")
    known = Dataset(taught).records("train")
    boxes = [one.objects for one in source.videos("train")]
    chosen = [0, 11, len(found) - 1]
    for epoch in (0, 3):
        batch = found.batch(np.full(3, epoch), chosen)
        for place, index in enumerate(chosen):
            number, frame = int(found.video[index]), int(found.frame[index])
            drawn = tasks.draw(5, epoch, number, frame, int(found.number[index]))
            assert batch["backward"][place] == drawn.backward
            frames = [video[number][t] for t in range(FRAMES)]
            own = boxes[number].rectangles[found.row[index]]
            regular = tasks.regular_frames(frame, FRAMES)
            expected = cut([frames[t] for t in regular], own, SIDE)
            np.testing.assert_allclose(batch["crops"][place], expected, atol=1e-6)
            jumps = tasks.task_frames(frame, drawn, FRAMES).irregularity
            expected = cut([frames[t] for t in jumps], own, SIDE)
            np.testing.assert_allclose(batch["irregular_crops"][place], expected, atol=1e-6)
            row = len(boxes[0]) * number + int(found.row[index])
            outputs = np.concatenate(
                [np.frombuffer(known[row][name], np.float16) for name in OUTPUTS]
            )
            np.testing.assert_array_equal(batch["teachers"][place], outputs)
    draws = [found.batch(np.full(len(found), e), range(len(found)))["irregular"] for e in (0, 1)]
    assert (draws[0] != draws[1]).any()


def test_every_epoch_has_every_object_once(scenes):
    config = of(scenes)
    data, system = Dataset(scenes), load_system(config)
    count = len(Samples(objects.ObjectSource(data), "train", SIDE, 0, False))
    config.train.batch = count
    batches = iterate(load_system(config).batches(data, Shard()))
    one, two = next(batches), next(batches)
    sums = [np.sort(batch["crops"].sum((1, 2, 3, 4))) for batch in (one, two)]
    np.testing.assert_allclose(*sums, rtol=1e-6)
    assert not np.array_equal(one["crops"], two["crops"])
    config.eval.held_out = 0.5
    assert system.objects.trained_on(system.objects.samples(data)) < count


def test_windows_repeat_the_ends():
    for count in (1, 2, 5, 9):
        found = [(list(around), last) for around, last in windows(iter(range(count)))]
        assert [around for around, _ in found] == [
            tasks.regular_frames(t, count).tolist() for t in range(count)
        ]
        assert [last for _, last in found] == [False] * (count - 1) + [True]
    assert not list(windows(iter([])))


@pytest.mark.slow
def test_new_video_has_the_scores_of_the_dataset(scenes, tmp_path):
    """With objects that a detector finds, frame by frame or many at once."""
    made = tmp_path / "motion"
    extract_objects.main(
        ["--data", str(scenes), "--out", str(made), "--detector", "motion", "--min_size", "2"]
    )
    config, workdir = of(scenes, made), tmp_path / "run"
    config.eval.flag = 0.5
    train.run(config, workdir)
    shutil.rmtree(made)
    video = Videos(Dataset(scenes), "test")[1]
    folder = tmp_path / video.name
    folder.mkdir()
    for number, frame in enumerate(video):
        cv2.imwrite(str(folder / f"{number:03}.png"), cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    assert predict.run(config, workdir, str(folder), tmp_path / "out", film=False) == {}
    found = files.read(tmp_path / "out" / "scores" / f"{video.name}.npz")
    expected = files.read(workdir / "scores" / f"{video.name}.npz")
    np.testing.assert_array_equal(found.boxes, expected.boxes)
    np.testing.assert_array_equal(found.frame_scores, expected.frame_scores)
    assert found.reasons == expected.reasons
    predict.run(config, workdir, str(folder), tmp_path / "live", as_it_comes=True)
    lines = (tmp_path / "live" / f"{video.name}.live.csv").read_text().splitlines()
    assert len(lines) == 1 + -(-FRAMES // 16)


def test_new_video_needs_a_detector(scenes, taught):
    config = of(scenes, taught)
    system, data = load_system(config), Dataset(scenes)
    state = system.init(jax.random.key(0), data)
    with pytest.raises(ValueError, match="came from files.*--config.objects.detector"):
        list(
            system.stream(state, "v", numbered([np.zeros((48, 64, 3), np.uint8)] * 9), data, False)
        )


def test_a_frame_without_objects_scores_0_and_the_ends_are_scored(scenes):
    """Objects of the first and last frames are scored, not trained on (spec §3)."""
    config = of(scenes)
    config.eval.sigma, config.eval.length, config.eval.filter = 0.01, 1, 1
    data, system = Dataset(scenes), load_system(config)
    state = system.init(jax.random.key(0), data)
    video = system.videos(data, "test")[0]
    rows = np.array([[0, 1, 2, 9, 12, 1], [FRAMES - 1, -5, 3, 8, 20, 1], [4, 10, 10, 10, 12, 1]])
    video.objects = objects.of_rows(rows[np.argsort(rows[:, 0])], (48, 64), (48, 64))
    (found,) = system.score(state, [video])
    assert np.flatnonzero(found.frame_scores).tolist() == [0, 4, FRAMES - 1]
    assert found.boxes[:, 0].tolist() == [0, 4, FRAMES - 1]
    assert found.boxes[1, 1:5].tolist() == [10, 10, 11, 12]  # it had no area
    video.objects = objects.of_rows(np.zeros((0, 6)), (48, 64), (48, 64))
    (found,) = system.score(state, [video])
    assert not found.frame_scores.any() and found.boxes.shape == (0, 6) and not found.reasons


def test_shapes_of_the_state_need_no_compilation(scenes, taught, monkeypatch):
    system, data = load_system(of(scenes, taught)), Dataset(scenes)
    state = system.init(jax.random.key(0), data)
    monkeypatch.delattr(compilation, "run_once")
    check_shapes(system.abstract_state(data), state)


def test_distillation_is_off_without_teachers(scenes, taught, capsys):
    system = load_system(of(scenes))
    system.batches(Dataset(scenes), Shard())
    assert "Distillation is off" in capsys.readouterr().out
    assert "distillation" not in system.model.tasks
    config = of(scenes)
    config.model.tasks = ("distillation",)
    with pytest.raises(ValueError, match="nothing to learn without teachers"):
        load_system(config)
    assert load_system(of(scenes, taught)).scored == tasks_of(None)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("model.size", 40, "model.size is 40; expected a multiple of 16"),
        ("model.trunk", "wide", "model.trunk is 'wide'; expected one of"),
        ("model.tasks", ("arow",), "model.tasks is 'arow'; .*; did you mean 'arrow'"),
        (
            "optim.schedule",
            "linear",
            "optim.schedule is 'linear'; expected one of constant, cos",
        ),
        ("eval.gaussian", "left", "eval.gaussian is 'left'"),
        ("eval.object_score", "sum", "eval.object_score is 'sum'; expected one of mean, stand"),
        ("eval.held_out", 1.0, "none of 2 videos would be left"),
        ("eval.distillation_space", "p", "eval.distillation_space is 'p'"),
    ],
)
def test_fields_that_cannot_be_used(field, value, message, scenes, taught):
    config = of(scenes, taught)
    section, name = field.split(".")
    config[section][name] = value
    with pytest.raises(ValueError, match=message):
        system, data = load_system(config), Dataset(scenes)
        system.batches(data, Shard())
        system.finalize(system.init(jax.random.key(0), data), data)


def test_objects_that_cannot_be_used(scenes, taught, tmp_path):
    other = tmp_path / "other"
    write_scenes(other, ToyScenes(train=1, test=1, frames=9, height=48, width=64))
    system = load_system(of(other, taught))
    with pytest.raises(ValueError, match="objects of the frames in .*scenes .* not of .*other"):
        system.batches(Dataset(other), Shard())
    with pytest.raises(ValueError, match="holds 'frames' records; data.objects takes 'objects'"):
        objects.ObjectSource(Dataset(scenes), str(other))
    with pytest.raises(FileNotFoundError, match="no such dataset"):
        load_system(of(scenes, tmp_path / "none"))
    data = Dataset(other)
    data.splits["train"]["videos"][0]["boxes"] = False
    with pytest.raises(ValueError, match="no boxes of objects for video .*extract_objects"):
        load_system(of(other)).batches(data, Shard())
    data = Dataset(other)
    data.splits["train"]["videos"][0]["frames"] = 6
    with pytest.raises(ValueError, match="boxes of frames 0 to 8, but it has 6 frames"):
        load_system(of(other)).batches(data, Shard())


def test_videos_too_short_to_train_on(tmp_path):
    write_scenes(tmp_path / "short", ToyScenes(train=1, test=1, frames=6, height=48, width=64))
    with pytest.raises(ValueError, match="none in a frame with 3 frames before and after it"):
        load_system(of(tmp_path / "short")).batches(Dataset(tmp_path / "short"), Shard())


def test_the_lowest_held_out_loss_selects(scenes, taught):
    config = of(scenes, taught)
    config.eval.held_out = 0.5
    system, data = load_system(config), Dataset(scenes)
    found = system.validate(system.init(jax.random.key(0), data), data)
    assert "auc" not in found and {"loss", "arrow_accuracy", *tasks_of(config)} <= set(found)


@pytest.mark.parametrize("module", [ped2_ssmtl, avenue_ssmtl, shanghaitech_ssmtl])
def test_published_configs(module):
    config = module.get_config()
    assert config.model.trunk == "deep_wide" and config.optim.schedule == "constant"
    assert config.train.steps // config.train.evaluate_every == 30
