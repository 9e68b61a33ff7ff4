"""The stages of the exemplar system as programs of their own."""

import dataclasses
import json
import re
import sys
import warnings

import numpy as np
import pytest
from absl import flags
from absl.testing import flagsaver

from tests.helpers import commands
from tests.helpers.places import ROOT
from tests.helpers.run_files import measured
from vadjax import train
from vadjax.data.store import source
from vadjax.data.toy import datasets
from vadjax.metrics.compute_auc import area
from vadjax.report import page
from vadjax.scores import files as scores
from vadjax.systems.exemplar import __main__ as stages

CONFIG = f"--config={ROOT}/configs/ped2_exemplar.py:smoke"


@pytest.fixture(scope="module", autouse=True)
def no_report():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(page, "build", lambda out, *_: out)
        yield


def program(data, workdir, *arguments: str) -> None:
    """`python -m vadjax.systems.exemplar` with that command line, in this process."""
    line = [
        "vadjax.systems.exemplar",
        CONFIG,
        f"--workdir={workdir}",
        f"--config.data.dir={data}",
        *arguments,
    ]
    with flagsaver.flagsaver(), pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        for flag in ("config", "workdir", "idx", "split", "thresh", "mode", "step"):
            flags.FLAGS[flag].unparse()
        patch.setattr(sys, "argv", line)  # where the fields of the config are looked for
        warnings.filterwarnings("ignore", "the load_module", DeprecationWarning)  # to load it
        stages.main(stages.parse_flags(line))


@pytest.fixture(scope="module")
def whole(toy_scenes, tmp_path_factory):
    """Workdir of the one command."""
    from configs import ped2_exemplar

    config = ped2_exemplar.get_config("smoke")
    config.data.dir = str(toy_scenes)
    workdir = tmp_path_factory.mktemp("runs") / "whole"
    train.run(config, workdir)
    return workdir


@pytest.fixture(scope="module")
def staged(toy_scenes, tmp_path_factory):
    """Workdir of the stages, one after the other; some videos of each were done on their own."""
    workdir = tmp_path_factory.mktemp("runs") / "staged"
    program(toy_scenes, workdir, "features", "--split=train", "--idx=1")
    assert names(workdir / "features") == ["train", "train/train_01.npz"]
    program(toy_scenes, workdir, "features")
    program(toy_scenes, workdir, "select", "--idx=1")
    clusters = ["train_01.npz", "train_01_counts.npz"]
    assert names(workdir / "clusters_speed") == clusters
    program(toy_scenes, workdir, "select")
    program(toy_scenes, workdir, "merge")
    program(toy_scenes, workdir, "score", "--idx=0")
    assert names(workdir / "anomaly_scores_speed") == ["test_00.npy", "test_00_detail.npz"]
    program(toy_scenes, workdir, "score")
    program(toy_scenes, workdir, "evaluate")
    return workdir


def names(folder) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_the_programs_give_what_the_one_command_gives(whole, staged):
    files = sorted(path.relative_to(whole) for path in whole.rglob("*.np[yz]"))
    assert len(files) >= 20
    for name in files:
        one, other = (np.load(run / name) for run in (whole, staged))
        if name.suffix == ".npy":
            np.testing.assert_array_equal(one, other, str(name))
            continue
        assert one.files == other.files
        for key in one.files:
            np.testing.assert_array_equal(one[key], other[key], f"{name}: {key}")
    for name in ("scores/test_00.reasons.jsonl", "scores/test_01.reasons.jsonl"):
        assert (whole / name).read_text() == (staged / name).read_text()
    one, other = (json.loads((run / "metrics.json").read_text()) for run in (whole, staged))
    assert one["metrics"] == other["metrics"] and "merged exemplars" in other["title"]
    assert (whole / "alarm.json").read_text() == (staged / "alarm.json").read_text()


def test_the_curves_of_frames_have_the_area_of_the_figures(staged):
    found = json.loads((staged / "metrics.json").read_text())["metrics"]
    for name, figure in (("speed_frame", "auc"), ("region_bbox", "rbdc"), ("track_bbox", "tbdc")):
        fpr, tpr = (np.load(staged / f"{name}_{rate}.npy") for rate in ("fpr", "tpr"))
        assert (np.diff(fpr) >= 0).all() or name != "speed_frame"
        assert area(fpr, tpr) == pytest.approx(found[figure], abs=1e-9), name


def test_the_one_command_goes_on_where_the_programs_stopped(toy_scenes, whole, staged, tmp_path):
    import shutil

    from configs import ped2_exemplar

    run = shutil.copytree(staged, tmp_path / "run")
    config = ped2_exemplar.get_config("smoke")
    config.data.dir = str(toy_scenes)
    kept = [*run.glob("features/*/*.npz"), *run.glob("clusters_*/*"), *run.glob("anomaly_*/*")]
    before = {path: path.stat().st_mtime_ns for path in kept}
    train.run(config, run)
    assert {path: path.stat().st_mtime_ns for path in kept} == before
    assert measured(run) == measured(whole)


def test_exemplars_of_another_dataset_ask_for_no_line_of_this_one(staged, small_scenes, tmp_path):
    """Its normal video was not what they were selected on; its features are not even made."""
    import shutil

    other = dataclasses.replace(small_scenes, seed=small_scenes.seed + 1)
    datasets.write_scenes(tmp_path / "other", other, shards=1)
    run = tmp_path / "run"
    run.mkdir()
    shutil.copy(staged / "exemplars_speed_merged.npz", run)
    program(tmp_path / "other", run, "evaluate")
    assert (run / "metrics.json").is_file() and not (run / "features/train").exists()
    assert not (run / "alarm.json").exists() and not list(run.glob("held_out*"))
    # A line that the run has already stays as it is.
    shutil.copy(staged / "alarm.json", run)
    before = (run / "alarm.json").read_bytes()
    program(tmp_path / "other", run, "evaluate")
    assert (run / "alarm.json").read_bytes() == before and not list(run.glob("held_out*"))


def test_show_marks_the_frames_that_reach_the_threshold(toy_scenes, staged):
    one = scores.read(staged / "scores/test_01.npz")
    highest = np.sort(one.map.max((1, 2)))
    program(toy_scenes, staged, "show", "--idx=1", f"--thresh={highest[-5]:.9g}")
    folder = staged / "viz/speed/test_01"
    hot = np.flatnonzero(one.map.max((1, 2)) >= float(f"{highest[-5]:.9g}"))
    assert [path.stem for path in sorted(folder.glob("*.png"))] == [f"{t:06d}" for t in hot]
    assert len(hot) >= 5 and not (staged / "viz/speed/test_00").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("train",), "name one stage: features, select, merge, score, evaluate, show; got"),
        ((), "name one stage: .* got none"),
        (("select", "merge"), "name one stage"),
        (("select", "--idx=2"), "--idx is 2; split 'train' has 2 videos"),
        (("score", "--idx=-1"), "--idx is -1; split 'test' has 2 videos"),
        (("merge", "--idx=1"), "--idx is not for stage 'merge', but only for features, select, "),
        (("evaluate", "--idx=0"), "--idx is not for stage 'evaluate'"),
        (("select", "--split=test"), "--split is not for stage 'select', but only for features"),
        (("score", "--thresh=1"), "--thresh is not for stage 'score', but only for show"),
        (("score", "--mode=evaluate"), "--mode is not for stage 'score', but for no stage"),
        (("score",), "exemplars_speed_merged.npz: no merged exemplars; run the stages before"),
        (("evaluate",), "exemplars_speed_merged.npz: no merged exemplars; run the stages before"),
        (
            ("show",),
            "scores/test_00.npz: no scores of this video; run: .*vadjax.systems.exemplar evaluate",
        ),
        (("score", "--config.data.cameras=two"), "data.cameras is 'two'; expected one of"),
        (("features", "--config.eval.split=val"), "no split 'val'"),
    ],
)
def test_what_the_programs_refuse_in_one_line(toy_scenes, tmp_path, arguments, message):
    with pytest.raises(SystemExit) as caught:
        program(toy_scenes, tmp_path / "new", *arguments)
    text = str(caught.value)
    assert text.startswith("error: ") and "\n" not in text
    assert re.search(message, text), text


def test_other_settings_in_the_folder_of_a_run_are_refused(toy_scenes, whole, staged):
    with pytest.raises(SystemExit, match="model.threshold: 0.0 there, 0.5 here"):
        program(toy_scenes, whole, "score", "--config.model.threshold=0.5")
    with pytest.raises(SystemExit, match="exemplars_speed_merged.npz: made with threshold 0.0 the"):
        program(toy_scenes, staged, "score", "--config.model.threshold=0.5")


def test_only_the_exemplar_system_has_stages(toy_scenes, tmp_path):
    with pytest.raises(SystemExit, match="config.system is 'mil'; only 'exemplar' has stages"):
        program(toy_scenes, tmp_path, "features", "--config.system=mil")


def test_the_toy_set_is_announced_first_and_last(tmp_path, small_scenes, monkeypatch, capsys):
    monkeypatch.setitem(
        datasets.WRITERS, "frames", lambda out: datasets.write_scenes(out, small_scenes)
    )
    program("", tmp_path, "features", "--split=test", "--idx=0")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == lines[-1] == source.TOY_NOTICE


@pytest.mark.slow
def test_the_program_in_a_process_of_its_own(toy_scenes, staged, tmp_path):
    def run(*arguments):
        code, out, errors = commands.run("vadjax.systems.exemplar", *arguments)
        assert "Traceback" not in errors
        return code, out + errors

    common = [f"--config.data.dir={toy_scenes}", f"--workdir={tmp_path}"]
    code, out = run("features", "--config=configs/ped2_exemplar.py:smoke", *common, "--idx=0")
    assert code == 0, out
    written = [path.name for path in sorted(tmp_path.rglob("*.npz"))]
    assert written == ["test_00.npz", "train_00.npz"]
    for name in ("train/train_00", "test/test_00"):
        one, other = (np.load(root / f"features/{name}.npz") for root in (tmp_path, staged))
        assert one.files == other.files
        assert all(np.array_equal(one[key], other[key]) for key in one.files)
    code, out = run("features", "--config=configs/ped2_exemplar.py:nope", *common)
    assert code == 1 and "no variant :nope" in out.strip().splitlines()[-1]
    code, out = run("--help")
    assert "select     exemplars of every training video" in out
