"""What can be made again goes, and nothing else."""

import json
import os
import pathlib

import pytest

from tests.helpers import commands
from tests.runs.run_folder import make
from vadjax.runs import __main__ as program
from vadjax.runtime import layout, lock


def cleaned(capsys, *options) -> str:
    program.main([*(str(option) for option in options), "--clean"])
    return capsys.readouterr().out


def content(run: pathlib.Path) -> dict[str, bytes]:
    return {
        path.relative_to(run).as_posix(): path.read_bytes()
        for path in run.rglob("*")
        if path.is_file()
    }


@pytest.fixture
def dataset(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "manifest.json").write_text("{}")
    return str(tmp_path / "data")


def test_without_yes_it_is_only_said(capsys, tmp_path, dataset):
    run = make(tmp_path / "run", dataset)
    before = content(run)
    out = cleaned(capsys, run)
    assert out.splitlines() == [
        f"would remove {run}/objects (objects of the videos, 1.0 kB)",
        "Nothing was removed. Give the command again with --yes to remove 1.0 kB.",
    ]
    assert content(run) == before


def test_what_can_be_made_again_goes_and_nothing_else(capsys, tmp_path, dataset):
    runs = make(tmp_path / "runs/own", dataset), make(tmp_path / "runs/toy")
    before = [content(run) for run in runs]
    out = cleaned(capsys, tmp_path / "runs", "--yes")
    for run, files in zip(runs, before, strict=True):
        gone = ("objects/", "toy_data/")
        assert content(run) == {
            name: data for name, data in files.items() if not name.startswith(gone)
        }
        assert f"removed {run}/objects (objects of the videos, 1.0 kB)\n" in out
    assert f"removed {runs[1]}/toy_data (the built-in toy set, 2 bytes)\n" in out
    assert out.endswith("Removed 2.0 kB.\n")
    assert cleaned(capsys, tmp_path / "runs", "--yes") == "Nothing to remove.\n"


STAGES = (
    *("features/train/a.npz", "clusters_speed/a.npz", "exemplars_speed_merged.npz"),
    *("anomaly_scores_speed/b.npy", "held_out_speed.npz", "clusters_app/a.npz"),
)


@pytest.mark.parametrize("features", ["", "elsewhere"])
def test_of_eval_features_and_exemplars_of_videos_go(capsys, tmp_path, dataset, features):
    """Model, scores and what another version has stay, and features that runs share too."""
    sections = {"model": {"version": "speed"}, "features": {"dir": features}}
    run = make(tmp_path / "run", dataset, system="exemplar", **sections)
    for name in STAGES:
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).write_text("made")
    before = content(run)
    out = cleaned(capsys, run, "--yes")
    gone = ("objects/", "clusters_speed/", *(() if features else ("features/",)))
    kept = {name: data for name, data in before.items() if not name.startswith(gone)}
    assert content(run) == kept
    assert f"removed {run}/clusters_speed (exemplars of each training video, 4 bytes)\n" in out
    assert (f"removed {run}/features (features of the videos, 4 bytes)\n" in out) is not bool(
        features
    )


@pytest.mark.parametrize(
    ("system", "version", "finished"),
    [("attributes", "speed", True), ("exemplar", "../x", True), ("exemplar", "speed", False)],
)
def test_folders_of_other_runs_stay(capsys, tmp_path, dataset, system, version, finished):
    """Those of another system, of a version that is none, and of a run that goes on with them."""
    sections = {"model": {"version": version}, "features": {"dir": ""}}
    run = make(tmp_path / "run", dataset, finished, system=system, **sections)
    for name in ("features/a.npz", "clusters_speed/a.npz"):
        (run / name).parent.mkdir()
        (run / name).write_text("made")
    before = content(run)
    out = cleaned(capsys, run, "--yes")
    assert {name for name in before if not name.startswith("objects/")} <= set(content(run))
    if not finished:
        assert f"{run}/features: kept, since the run is not finished and goes on with them" in out


def test_what_a_kill_has_left_goes(capsys, tmp_path, dataset):
    run = make(tmp_path / "run", dataset, finished=False)
    before = content(run)
    left = (
        ".scores.tmp/file",
        ".report.old/file",
        "predict/.films.gone/file",
        "scores/.02.npz.tmp",
        "predict/.a.mp4.tmp.mp4",
        f"checkpoints/10{layout.HALF}-7/file",
        "evaluating/file",
        "lock",
    )
    for name in left:
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).write_text("half")
    out = cleaned(capsys, run, "--yes")
    assert content(run) == before
    assert f"removed {run}/.report.old (unfinished, 4 bytes)\n" in out
    assert f"{run}/objects: kept, since the run is not finished and goes on with them\n" in out


def test_the_only_copy_of_a_folder_is_kept(capsys, tmp_path, dataset):
    run = make(tmp_path / "run", dataset)
    (run / "scores").rename(run / ".scores.old")
    cleaned(capsys, run, "--yes")
    assert (run / ".scores.old" / "file").is_file()


def test_objects_whose_dataset_has_gone_are_kept(capsys, tmp_path):
    run = make(tmp_path / "run", str(tmp_path / "gone"))
    out = cleaned(capsys, run, "--yes")
    assert (run / "objects/train/file").is_file()
    place = tmp_path / "gone"
    assert f"objects: kept, since the dataset that they were found in is not there ({place})" in out


def test_a_dataset_of_the_user_in_the_place_of_the_toy_set_is_kept(capsys, tmp_path):
    run = make(tmp_path / "run", str(tmp_path / "run" / layout.TOY))
    (run / layout.TOY).mkdir()
    out = cleaned(capsys, run, "--yes")
    assert (run / layout.TOY).is_dir()
    assert "toy_data: kept, since no config here says that it is the built-in one" in out


def test_objects_of_a_damaged_run_are_kept(capsys, tmp_path, dataset):
    run = make(tmp_path / "run", dataset)
    (run / "finished" / "state").write_bytes(b"")
    assert "kept, since the run is not finished" in cleaned(capsys, run, "--yes")
    assert (run / "objects/train/file").is_file()


@pytest.mark.parametrize("options", [[], ["--yes"]])
def test_a_run_in_use_is_left_alone(capsys, tmp_path, dataset, options):
    run = make(tmp_path / "run", dataset)
    with lock.held(run / layout.LOCK, "run"):
        out = cleaned(capsys, run, *options)
        assert f"{run}: left alone (in use by process {os.getpid()} on " in out
        assert (run / "objects/train/file").is_file()


def test_what_another_program_writes_now_is_kept(capsys, tmp_path, dataset):
    run = make(tmp_path / "run", dataset)
    (run / ".report.tmp").mkdir()
    (run / ".report.tmp" / "file").write_text("half")
    handle = lock.take(run / "scores" / ".a.npz.tmp")
    try:
        with lock.held(run / ".report.lock", "report"):
            out = cleaned(capsys, run, "--yes")
    finally:
        os.close(handle)
    for name in (".report.tmp", "scores/.a.npz.tmp"):
        assert f"{run}/{name}: kept, since a program writes it now\n" in out
        assert (run / name).exists()


def test_without_locks_nothing_is_removed(capsys, tmp_path, dataset, monkeypatch):
    run = make(tmp_path / "run", dataset)
    monkeypatch.setattr(lock, "fcntl", None)
    assert "kept, since this file system has no locks" in cleaned(capsys, run, "--yes")
    assert (run / "objects/train/file").is_file()


def test_links_are_left(capsys, tmp_path, dataset):
    run, elsewhere = make(tmp_path / "run", dataset), make(tmp_path / "elsewhere")
    os.rename(run / "objects", tmp_path / "objects")
    for name, target in (("objects", tmp_path / "objects"), (".x.tmp", elsewhere)):
        os.symlink(target, run / name)
    os.symlink(elsewhere / "config.json", run / ".y.tmp")
    assert cleaned(capsys, run, "--yes") == "Nothing to remove.\n"
    assert (tmp_path / "objects/train/file").is_file() and (elsewhere / "config.json").is_file()


def test_yes_alone_is_refused(capsys, tmp_path):
    with pytest.raises(SystemExit):
        program.main([str(tmp_path), "--yes"])
    assert "--yes is for --clean" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("config", ["camera", "ped2_exemplar"])
def test_a_cleaned_run_is_scored_again_with_the_same_figures(tmp_path, config):
    """The real program: what was removed is made again when it is needed."""
    run = tmp_path / "run"
    made = ("objects",) if config == "camera" else ("features", "clusters_speed")
    options = (f"--config=configs/{config}.py:smoke", f"--workdir={run}")
    options += ("--config.report.film=false",)
    code, _, errors = commands.run("vadjax.main", *options)
    assert code == 0, errors
    code, out, errors = commands.run("vadjax.runs", str(tmp_path))
    assert code == 0 and "finished" in out and "AUC" in out, errors
    kept = [path for path in run.rglob("*") if "toy_data" not in path.parts and path.is_file()]
    kept = {path: path.read_bytes() for path in kept if not {*made} & {*path.parts}}
    code, out, errors = commands.run("vadjax.runs", str(tmp_path), "--clean", "--yes")
    assert code == 0, errors
    assert all(f"removed {run}/{name} (" in out for name in (*made, "toy_data"))
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == kept
    code, _, errors = commands.run("vadjax.main", *options, "--mode=evaluate")
    assert code == 0, errors
    first, again = (
        json.loads((place / "metrics.json").read_text())["metrics"]
        for place in (run, run / "evaluate_0")
    )
    assert first == again
