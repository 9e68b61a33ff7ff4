"""The stages of EVAL through the loop: figures, resume, cameras, other datasets, edge cases."""

import dataclasses
import json
import pathlib
import shutil
import time

import numpy as np
import pytest

from configs import ped2_exemplar
from tests.helpers.commands import Program
from tests.systems.exemplar.cases import (
    arrays,
    assert_same,
    config,
    figures,
    stage_files,
    test_video,
    times,
    two_and_two,
    video,
    write,
)
from vadjax import evaluate, train
from vadjax.data.clips import Videos
from vadjax.data.store.records import Dataset
from vadjax.data.video.grid import Grid
from vadjax.metrics import region
from vadjax.report import page
from vadjax.scores import files as scores
from vadjax.system import load_system
from vadjax.systems.exemplar import features, model, scoring
from vadjax.systems.exemplar.maps import pixel_maps
from vadjax.systems.exemplar.space import Space
from vadjax.systems.exemplar.stages import Stages

pytestmark = pytest.mark.usefixtures("without_reports")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return two_and_two(tmp_path_factory.mktemp("data") / "two")


@pytest.fixture(scope="module")
def finished(data, tmp_path_factory):
    """Workdir of a finished run; tests do not write to it."""
    workdir = tmp_path_factory.mktemp("runs") / "whole"
    train.run(config(data), workdir)
    return workdir


@pytest.fixture(scope="module")
def smoke(toy_scenes, tmp_path_factory, without_reports):
    """Workdir of a `:smoke` run on toy scenes; tests do not write to it."""
    made = ped2_exemplar.get_config("smoke")
    made.data.dir, made.data.threads = str(toy_scenes), 1
    workdir = tmp_path_factory.mktemp("runs") / "smoke"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(page, "build", without_reports)
        train.run(made, workdir)
    return made, workdir


def test_a_run_writes_what_the_specification_lists(finished, data):
    names = {str(name) for name in stage_files(finished)}
    assert names == {
        "scales_motion.npz",
        "exemplars_motion_merged.npz",
        *(f"features/train/{name}.npz" for name in "ab"),
        *(f"features/test/{name}.npz" for name in "xy"),
        *(f"clusters_motion/{name}{part}.npz" for name in "ab" for part in ("", "_counts")),
        *(f"anomaly_scores_motion/{name}" for name in ("x.npy", "y.npy")),
        *(f"anomaly_scores_motion/{name}_detail.npz" for name in "xy"),
    }
    own = arrays(finished / "features/test/x.npz")
    assert own["ang"].shape == own["mag"].shape == (5, 9, 12) and own["bkg"].shape == (5, 9, 1)
    assert own["t_start"].tolist() == [0, 2, 4, 6, 8] and own["n_frames"] == 12
    assert own["y_start"].tolist() == [0, 8, 16] and own["x_start"].tolist() == [0, 16, 32]
    assert own["window"].tolist() == [4, 16, 16] and own["frame_size"].tolist() == [32, 48]
    merged = arrays(finished / "exemplars_motion_merged.npz")
    volumes = 3 + 5  # of the training videos, each region
    counts = np.add.reduceat(merged["count"], merged["offsets"][:-1])
    assert counts.tolist() == [volumes] * 9
    assert model.from_bytes(merged["names"]) == ["a", "b"] and merged["Z"].shape == (4,)
    assert merged["threshold"] == np.float32(0.8)
    assert not list(finished.rglob(".*.np[yz]"))


def test_scores_are_those_of_the_volumes(finished, data):
    for one in Videos(Dataset(data), "test"):
        detail = arrays(finished / f"anomaly_scores_motion/{one.name}_detail.npz")
        grid = Grid((32, 48), (4, 16, 16), (2, 8, 16))
        assert detail["terms"].shape == (*detail["score"].shape, 4)
        np.testing.assert_allclose(detail["terms"].sum(-1), detail["score"], rtol=1e-5, atol=1e-6)
        assert not detail["terms"][..., 0].any()  # version motion
        pixels = pixel_maps(detail["score"].reshape(-1, 3, 3), grid, one.num_frames)
        by_frame = np.load(finished / f"anomaly_scores_motion/{one.name}.npy")
        assert by_frame.shape == (one.num_frames, 3, 3) and by_frame.dtype == np.float32
        np.testing.assert_array_equal(by_frame.max((1, 2)), pixels.max((1, 2)))
        found = scores.read(finished / f"scores/{one.name}.npz")
        np.testing.assert_array_equal(found.frame_scores, pixels.max((1, 2)))
        np.testing.assert_array_equal(found.labels, one.labels)
        factors = 32 // found.map.shape[1], 48 // found.map.shape[2]
        np.testing.assert_array_equal(found.map.repeat(factors[0], 1).repeat(factors[1], 2), pixels)
        high = [round(float(score), 4) for score in detail["score"][detail["score"] >= 0.5]]
        assert [reason["score"] for reason in found.reasons] == high and high


def test_scales_are_the_largest_distances_in_training(finished):
    own = [arrays(finished / f"features/train/{name}.npz") for name in "ab"]
    scales = arrays(finished / "scales_motion.npz")["Z"]
    for part, scale in zip(("ang", "mag", "bkg"), scales[1:], strict=True):
        rows = np.concatenate([one[part].reshape(-1, one[part].shape[-1]) for one in own])
        apart = np.linalg.norm(rows[:, None].astype(np.float64) - rows[None], axis=-1)
        np.testing.assert_allclose(scale, apart.max(), 1e-6)


def drawn(stages, data):
    own = stages.all_features(data, "train")
    return stages.method.draw(own, stages.videos(data, "train"), data)


def test_many_volumes_are_drawn_for_the_scales_by_the_seed(data, tmp_path):
    found = {}
    for seed in (0, 0, 1):
        made = config(data, model__z_volumes=20)
        made.seed = seed
        stages = Stages(made)
        rows, sizes = drawn(stages, Dataset(data))
        assert rows.shape == (20, sum(sizes))
        found.setdefault(seed, rows)
        np.testing.assert_array_equal(found[seed], rows)
    assert not np.array_equal(found[0], found[1])
    everything, _ = drawn(Stages(config(data)), Dataset(data))
    assert len(everything) == 8 * 9 and {*map(bytes, found[0])} <= {*map(bytes, everything)}


def test_two_runs_and_one_run_twice_are_identical(finished, data, tmp_path, capsys):
    train.run(config(data), tmp_path / "again")
    assert_same(finished, tmp_path / "again")
    before = times(tmp_path / "again")
    train.run(config(data), tmp_path / "again")
    assert times(tmp_path / "again") == before  # nothing is made anew, not even the merged file
    assert_same(finished, tmp_path / "again")


def test_the_order_of_the_videos_and_the_threads_change_nothing(finished, data, tmp_path):
    turned = write(
        tmp_path / "turned",
        [video("a", 11, 1, 1), video("b", 8, 1, 0)],
        [test_video("x", 12, 2, 0), test_video("y", 9, 3, 0)],
    )
    train.run(config(turned, data__threads=3), tmp_path / "run")
    one, other = (
        arrays(run / "exemplars_motion_merged.npz") for run in (finished, tmp_path / "run")
    )
    for name in one.keys() - {"meta"}:
        np.testing.assert_array_equal(one[name], other[name], name)
    assert figures(finished) == figures(tmp_path / "run")


def stopping(after: int, function):
    """The function, which is interrupted at a later call."""
    calls = []

    def wrapped(*args, **kwargs):
        calls.append(1)
        if len(calls) > after:
            raise KeyboardInterrupt
        return function(*args, **kwargs)

    return wrapped


@pytest.mark.parametrize(
    ("where", "name", "calls", "written", "missing"),
    [
        (features.Extractor, "extract", 1, "features/train/a.npz", "features/train/b.npz"),
        (Space, "scales", 0, "features/train/b.npz", "scales_motion.npz"),
        (model, "select", 1, "clusters_motion/a.npz", "clusters_motion/b.npz"),
        (model, "merge", 0, "clusters_motion/b.npz", "exemplars_motion_merged.npz"),
        # The two training videos are scored first, by the exemplars of each other.
        (scoring, "score", 1, "exemplars_motion_merged.npz", "held_out_motion.npz"),
        (scoring, "score", 3, "anomaly_scores_motion/y.npy", "anomaly_scores_motion/x.npy"),
    ],
    ids=["features", "scales", "clusters", "merge", "held out", "scores"],
)
def test_an_interrupted_run_goes_on_with_the_next_video(
    finished, data, tmp_path, monkeypatch, where, name, calls, written, missing
):
    made = config(data)
    made.data.threads = 1
    with monkeypatch.context() as patch:
        patch.setattr(where, name, stopping(calls, getattr(where, name)))
        with pytest.raises(KeyboardInterrupt):
            train.run(made, tmp_path)
    before = times(tmp_path)
    names = {str(path) for path in before}
    assert written in names and missing not in names
    train.run(made, tmp_path)
    after = times(tmp_path)
    if name != "score":  # before that the merge is made again, as the run was not finished
        before.pop("exemplars_motion_merged.npz", None)
    assert before.items() <= after.items()
    assert_same(finished, tmp_path)


def test_half_written_files_are_never_read(finished, data, tmp_path, monkeypatch):
    save, made = np.savez, config(data)

    def half(file, **own):
        if "count" in own and "app" not in own:
            file.write(b"PK half")
            raise OSError("disk full")
        save(file, **own)

    with monkeypatch.context() as patch:
        patch.setattr(np, "savez", half)
        with pytest.raises(OSError, match="disk full"):
            train.run(made, tmp_path)
    assert not list((tmp_path / "clusters_motion").iterdir())
    for name in stage_files(finished):  # what kill -9 leaves behind
        rest = tmp_path / name.with_name(f".999.{name.name}")
        rest.parent.mkdir(exist_ok=True)
        rest.write_bytes((finished / name).read_bytes()[:100])
    train.run(made, tmp_path)
    for rest in tmp_path.rglob(".999.*"):
        rest.unlink()
    assert_same(finished, tmp_path)


def test_counts_without_exemplars_are_made_again(finished, data, tmp_path):
    run = shutil.copytree(finished, tmp_path / "run")
    for name in ("config.json", "clusters_motion/a.npz", "exemplars_motion_merged.npz"):
        (run / name).unlink()
    shutil.rmtree(run / "checkpoints")
    train.run(config(data), run)
    assert_same(finished, run)


def test_few_features_are_in_memory_at_a_time(tmp_path, monkeypatch):
    data = write(tmp_path / "d", [video(f"{i}", 4, 1) for i in range(7)], [test_video("x", 8, 2)])
    started = []
    monkeypatch.setattr(Stages, "features", lambda self, video, data: started.append(video.name))
    made = config(data)
    made.data.threads = 2
    for taken, _ in enumerate(Stages(made).all_features(Dataset(data), "train"), 1):
        assert len(started) <= taken + 2
    assert sorted(started) == [str(i) for i in range(7)]


@pytest.fixture(scope="module")
def long(tmp_path_factory):
    """A dataset with some work, and the folder of an undisturbed run of `COMMAND`."""
    root = tmp_path_factory.mktemp("long")
    videos = [video(f"{i:02}", 40, 1, i, (96, 128)) for i in range(6)]
    tests = [test_video(f"t{i:02}", 40, 2, i, (96, 128)) for i in range(6)]
    data = write(root / "data", videos, tests)
    process = start(data, root / "run")
    said = process.communicate()
    assert process.returncode == 0, said
    return data, root / "run"


def start(data, run) -> Program:
    return Program(
        "vadjax.main",
        "--config=configs/ped2_exemplar.py:smoke",
        f"--config.data.dir={data}",
        "--config.volume.step=(4,20,40)",
        f"--workdir={run}",
        "--config.report.videos=1",
        "--config.data.threads=1",
    )


@pytest.mark.slow
def test_kill_9_and_the_same_command_again(long, tmp_path):
    """Killed in every stage, one after the other."""
    data, whole = long
    before = {}
    for stage in ("features/train", "clusters_speed", "anomaly_scores_speed", None):
        process = start(data, tmp_path)
        while stage and process.poll() is None and not list((tmp_path / stage).glob("[!.]*.npz")):
            time.sleep(0.002)
        if stage:
            process.kill()
        said = process.communicate()
        assert process.returncode == (-9 if stage else 0), said
        assert (tmp_path / "metrics.json").exists() == (not stage), said
        after = times(tmp_path)
        print(f"killed with {len(after)} files of stages")
        anew = {name for name in before if before[name] != after[name]}
        # At most the first of the two files of one video, whose second was not there yet.
        assert all(not second_of(name, before) for name in anew) and len(anew) <= 1
        before = after
        if stage != "anomaly_scores_speed":
            before.pop(pathlib.Path("exemplars_speed_merged.npz"), None)
    for rest in tmp_path.rglob(".*.np[yz]"):
        rest.unlink()
    assert_same(whole, tmp_path)


def second_of(name: pathlib.Path, there) -> bool:
    """Whether the file is complete: stages 2a and 3 write two, by the second they are done."""
    if name.stem.endswith("_counts"):
        return name.with_name(f"{name.stem.removesuffix('_counts')}.npz") in there
    return name.suffix != ".npy" or name.with_name(f"{name.stem}_detail.npz") in there


def test_region_figures_are_those_of_the_program(smoke, toy_scenes, capsys):
    _, workdir = smoke
    found = figures(workdir)
    assert 0 < found["rbdc"] < 1 and 0 < found["tbdc"] < 1
    capsys.readouterr()
    region.main(
        [
            str(workdir / "scores"),
            str(toy_scenes / "tracks/test"),
            "--frame_size",
            "48x64",
            "--json",
        ]
    )
    program = json.loads(capsys.readouterr().out)
    assert program["rbdc"] == found["rbdc"] and program["tbdc"] == found["tbdc"]
    for name in ("region", "track"):
        fpr, tpr = (np.load(workdir / f"{name}_bbox_{rate}.npy") for rate in ("fpr", "tpr"))
        area = region.region_boxes.area(fpr, tpr)
        assert area == pytest.approx(found["rbdc" if name == "region" else "tbdc"])


def test_tracks_without_a_box_give_no_region_figures(tmp_path):
    nothing = dataclasses.replace(test_video("x", 8, 2), tracks=np.zeros((0, 6), np.int64))
    unknown = dataclasses.replace(test_video("y", 8, 2), tracks=None)
    data = write(tmp_path / "data", [video("a", 8, 1)], [nothing, unknown])
    train.run(config(data), tmp_path / "run")
    assert "auc" in figures(tmp_path / "run") and "rbdc" not in figures(tmp_path / "run")


def test_a_smoke_run_finds_and_explains_what_is_new(smoke, toy_scenes, capsys):
    _, workdir = smoke
    assert figures(workdir)["auc"] > 0.6
    one = scores.read(workdir / "scores/test_00.npz")
    assert one.reasons and all("moving" in reason["text"] for reason in one.reasons)
    assert {reason["normal"]["sequence"] for reason in one.reasons} <= {"train_00", "train_01"}
    training = {own.name: own for own in Videos(Dataset(toy_scenes), "train")}
    for number, normal in zip(one.examples.reason, one.examples.normal, strict=True):
        origin = one.reasons[number]["normal"]
        own = training[origin["sequence"]]
        frame = min(sum(origin["frames"]) // 2, own.num_frames - 1)
        np.testing.assert_array_equal(normal, own[frame])
    page = (workdir / "report/figures.html").read_text()
    assert "RBDC" in page and "seen" in page


def snapshot(folder) -> dict:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_evaluate_mode_repeats_the_figures(finished, data, tmp_path):
    run = shutil.copytree(finished, tmp_path / "run")
    before = snapshot(run)
    evaluate.run(config(), run)  # no dataset named: the run's own
    assert figures(run / "evaluate_0") == figures(run)
    assert snapshot(run).items() >= before.items()
    other = config(data, eval__sigma=1.0, eval__flag=0.7, eval__map_rule="mean")
    evaluate.run(other, run)
    smoothed = scores.read(run / "evaluate_0_2/scores/x.npz")
    rough = scores.read(run / "scores/x.npz")
    expected = scoring.smooth(smoothed.map.max((1, 2)), 1.0)
    np.testing.assert_array_equal(smoothed.frame_scores, expected)
    assert smoothed.map.mean() < rough.map.mean()
    assert 0 < len(smoothed.reasons) < len(rough.reasons)
    assert snapshot(run).items() >= before.items()


@pytest.mark.parametrize("shared", [False, True], ids=["own_features", "shared_features"])
def test_evaluate_mode_on_another_dataset_leaves_the_run_alone(data, tmp_path, shared):
    fields = {"features__dir": str(tmp_path / "shared")} if shared else {}
    run = tmp_path / "run"
    train.run(config(data, **fields), run)
    same_tests = [test_video("y", 9, 3, 0), test_video("x", 12, 2, 0)]
    other = write(tmp_path / "other", [video("a", 11, 4, 7)], same_tests, "other")
    before = snapshot(tmp_path / "run") | snapshot(tmp_path / "shared")
    evaluate.run(config(other, **fields), run)
    after = snapshot(tmp_path / "run") | snapshot(tmp_path / "shared")
    assert after.items() >= before.items()
    assert {path.relative_to(run).parts[0] for path in after.keys() - before} == {"evaluate_0"}
    for name in "xy":  # same videos, same exemplars
        own, there = (scores.read(run / f"{part}scores/{name}.npz") for part in ("", "evaluate_0/"))
        np.testing.assert_array_equal(own.map, there.map)
        assert own.reasons == there.reasons
        assert own.examples is not None and there.examples is None  # its "a" is not ours
    summary = json.loads((run / "evaluate_0/metrics.json").read_text())
    assert summary["data"] == "other" and summary["metrics"] == figures(run)


def test_scores_of_another_split_are_its_own(tmp_path):
    normal = video("a", 8, 1, labels=np.arange(8) % 2)  # of the length of the test video
    data = write(tmp_path / "data", [normal, video("b", 12, 1, labels=0)], [test_video("a", 8, 3)])
    train.run(config(data), tmp_path / "run")
    before = snapshot(tmp_path / "run")
    evaluate.run(config(data, eval__split="train"), tmp_path / "run")
    own = scores.read(tmp_path / "run/evaluate_0/scores/a.npz")
    assert own.frame_scores.max() < 0.8  # within the threshold of selection
    assert scores.read(tmp_path / "run/scores/a.npz").frame_scores.max() > 0.8
    assert snapshot(tmp_path / "run").items() >= before.items()
    assert (tmp_path / "run/anomaly_scores_motion/train/a.npy").is_file()


def test_a_run_without_a_folder_leaves_nothing_behind(data, finished, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    system = load_system(config(data))
    found = list(
        system.score(system.init(None, Dataset(data)), system.videos(Dataset(data), "test"))
    )
    assert {one.video for one in found} == {"x", "y"} and list(tmp_path.iterdir())
    for one in found:
        expected = scores.read(finished / f"scores/{one.video}.npz")
        np.testing.assert_array_equal(one.map, expected.map)
        assert one.reasons == expected.reasons
    del system
    assert not list(tmp_path.iterdir())
