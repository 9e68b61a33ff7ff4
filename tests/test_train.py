import dataclasses
import json
import os
import pathlib
import random
import shutil
import signal
import time

import jax
import jax.numpy as jnp
import pytest

from tests.helpers.commands import Program
from tests.helpers.places import ROOT
from tests.helpers.run_files import assert_same_figures, measured
from vadjax import evaluate, train
from vadjax.data.store import source
from vadjax.data.toy.datasets import write_bags
from vadjax.report import page
from vadjax.runtime import mesh, metric_writers
from vadjax.runtime.workdir import open_for
from vadjax.systems.mil.system import System


def figures(workdir) -> dict:
    return json.loads((workdir / "metrics.json").read_text())


pytestmark = pytest.mark.usefixtures("without_reports")


@pytest.fixture
def drawn(without_reports, monkeypatch):
    """Reports are drawn."""
    monkeypatch.setattr(page, "build", without_reports)


@pytest.fixture(scope="module")
def finished(toy_bags, tmp_path_factory, without_reports):
    """Workdir of a finished `:smoke` run, with its config; tests do not write to it."""
    from configs import ucf_mil

    config = ucf_mil.get_config("smoke")
    config.data.dir = str(toy_bags)
    workdir = tmp_path_factory.mktemp("runs") / "smoke"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(page, "build", without_reports)
        train.run(config, workdir)
    return config, workdir


def test_a_run_leaves_everything_behind(finished, small_bags):
    config, workdir = finished
    assert len(list((workdir / "scores").glob("*.npz"))) == sum(small_bags.test)
    assert (workdir / "report" / "figures.html").stat().st_size > 50_000
    rows = metric_writers.read(workdir)
    losses = [row for row in rows if "loss" in row]
    assert [row["step"] for row in losses] == list(range(1, config.train.steps + 1))
    assert {"hinge", "sparsity", "smoothness", "margin"} <= set(losses[0])
    evaluated = [row["step"] for row in rows if "test/auc" in row]
    assert evaluated == [0, 3]  # untrained, and every 3 steps before the end
    summary = figures(workdir)
    assert summary["step"] == config.train.steps and not summary["selected_on_test"]
    assert summary["untrained"]["auc"] == rows[0]["test/auc"] != summary["metrics"]["auc"]
    assert list((workdir / "tensorboard").iterdir())


def test_a_trace_of_a_few_steps_is_written(mil_config, tmp_path, capsys):
    mil_config.train.profile, mil_config.eval.untrained = True, False
    train.run(mil_config, tmp_path)
    assert "Trace of steps 4 to 6" in capsys.readouterr().out
    found = {path.name.split(".", 1)[1] for path in (tmp_path / "profile").rglob("*.*")}
    assert {"json.gz", "xplane.pb"} <= found


def test_a_run_goes_on_with_other_fields_that_change_no_number(mil_config, tmp_path, capsys):
    save = train.Checkpoints.save
    mil_config.train.devices = 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train.Checkpoints, "save", lambda self, *rest: (save(self, *rest), stop()))
        with pytest.raises(KeyError, match="stopped"):
            train.run(mil_config, tmp_path)
    mil_config.train.devices, mil_config.train.save_every, mil_config.data.threads = 8, 1, 0
    train.run(mil_config, tmp_path)
    assert "Resuming after step 3 of 6" in capsys.readouterr().out


def stop():
    raise KeyError("stopped")


def test_the_same_command_again_changes_nothing(finished, capsys):
    config, workdir = finished
    before = measured(workdir), (workdir / "metrics.jsonl").read_bytes()
    train.run(config, workdir)
    assert "Resuming after step 6 of 6" in capsys.readouterr().out
    assert before == (measured(workdir), (workdir / "metrics.jsonl").read_bytes())


def test_another_config_is_refused_by_field(finished):
    config, workdir = finished
    other = config.copy_and_resolve_references()
    other.optim.learning_rate, other.seed = 0.5, 3
    with pytest.raises(ValueError) as caught:
        train.run(other, workdir)
    assert "optim.learning_rate: 0.001 there, 0.5 here" in str(caught.value)
    assert "seed: 0 there, 3 here" in str(caught.value)
    assert "train.steps" not in str(caught.value)


def test_evaluate_mode_repeats_the_figures_and_keeps_the_run(finished):
    config, workdir = finished
    before = (workdir / "metrics.json").read_bytes()
    other = config.copy_and_resolve_references()
    other.eval.threshold = 0.4
    evaluate.run(other, workdir)
    again = json.loads((workdir / "evaluate_6" / "metrics.json").read_text())
    assert again["metrics"]["threshold"] == 0.4
    assert again["metrics"]["auc"] == figures(workdir)["metrics"]["auc"]
    assert (workdir / "metrics.json").read_bytes() == before
    with pytest.raises(FileNotFoundError, match="no checkpoint of step 5; it has 3, 6"):
        evaluate.run(config, workdir, step=5)
    evaluate.run(config, workdir, step=3)
    assert json.loads((workdir / "evaluate_3" / "metrics.json").read_text())["step"] == 3
    assert again["untrained"] == {} and "newest checkpoint" in again["title"]
    other.train.batch = 4
    with pytest.raises(ValueError, match="train.batch: 8 there, 4 here"):
        evaluate.run(other, workdir)


def test_evaluate_mode_takes_the_runs_own_dataset_unless_another_is_named(finished, small_bags):
    config, workdir = finished
    other = config.copy_and_resolve_references()
    other.data.dir = ""
    evaluate.run(other, workdir, step=6)
    own = json.loads(sorted(workdir.glob("evaluate_6*"))[-1].joinpath("metrics.json").read_text())
    assert own["metrics"] == figures(workdir)["metrics"] and own["untrained"]
    few = workdir.parent / "few"
    write_bags(few, dataclasses.replace(small_bags, test=(2, 2), seed=1))
    other.data.dir = str(few)
    before = len(list(workdir.glob("evaluate_6*")))
    evaluate.run(other, workdir, step=6)
    folders = sorted(workdir.glob("evaluate_6*"))
    assert len(folders) == before + 1  # nothing is overwritten
    summary = json.loads((folders[-1] / "metrics.json").read_text())
    assert summary["metrics"]["videos"] == 4 and summary["untrained"] == {}


def test_another_dataset_in_the_same_place_is_refused(finished, tmp_path, small_bags):
    config, workdir = finished
    copy = shutil.copytree(workdir, tmp_path / "run")
    other = config.copy_and_resolve_references()
    write_bags(tmp_path / "data", dataclasses.replace(small_bags, seed=9))
    record = json.loads((copy / "config.json").read_text())
    record["data"]["dir"] = other.data.dir = str(tmp_path / "data")
    (copy / "config.json").write_text(json.dumps(record))
    with pytest.raises(ValueError, match="dataset_digest"):
        train.run(other, copy)


def test_features_of_another_width_are_refused_by_a_checkpoint(finished, tmp_path, small_bags):
    config, workdir = finished
    write_bags(tmp_path / "wide", dataclasses.replace(small_bags, width=20))
    other = config.copy_and_resolve_references()
    other.data.dir = str(tmp_path / "wide")
    with pytest.raises(ValueError, match=r"hidden.kernel: saved float32\[32, 512\], wanted.*40"):
        evaluate.run(other, workdir)


def test_selection_on_the_test_split_takes_the_best_step_and_says_so(
    mil_config, tmp_path, capsys, drawn
):
    mil_config.eval.select_on_test = True
    mil_config.train.steps, mil_config.train.evaluate_every = 12, 2
    mil_config.optim.learning_rate = 0.05  # so that the figure goes up and down
    train.run(mil_config, tmp_path)
    rows = [row for row in metric_writers.read(tmp_path) if "test/auc" in row and row["step"]]
    best = max(rows, key=lambda row: row["test/auc"])
    summary = figures(tmp_path)
    assert summary["selected_on_test"] and summary["metrics"]["auc"] == best["test/auc"]
    assert best["step"] == summary["step"]
    assert "best step on the TEST split" in capsys.readouterr().out
    assert "selected on the test split" in (tmp_path / "report" / "figures.html").read_text()


def test_selection_on_held_out_training_videos(mil_config, tmp_path, capsys):
    mil_config.eval.held_out, mil_config.train.batch = 0.2, 4
    mil_config.train.steps, mil_config.train.evaluate_every = 12, 2
    mil_config.optim.learning_rate = 0.05  # so that the figure goes up and down
    train.run(mil_config, tmp_path)
    rows = [row for row in metric_writers.read(tmp_path) if "held_out/auc" in row and row["step"]]
    assert [row["step"] for row in rows] == [2, 4, 6, 8, 10, 12]
    best = max(row["held_out/auc"] for row in rows)
    chosen = figures(tmp_path)["step"]
    assert next(row for row in rows if row["step"] == chosen)["held_out/auc"] == best
    assert not figures(tmp_path)["selected_on_test"]
    assert "best step on held-out training videos" in capsys.readouterr().out
    evaluate.run(mil_config, tmp_path)
    assert json.loads((tmp_path / f"evaluate_{chosen}/metrics.json").read_text())["step"] == chosen
    mil_config.eval.held_out = 0.01
    with pytest.raises(ValueError, match="eval.held_out is 0.01: 0 of 10 bags of label 1"):
        train.run(mil_config, tmp_path / "other")


def test_imported_weights_are_scored_by_zero_steps(mil_config, tmp_path):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    layers = [torch.nn.Linear(i, o) for i, o in ((32, 512), (512, 32), (32, 1))]
    state = {
        f"classifier.{n}.{part}": getattr(layer, part).detach()
        for n, layer in zip((0, 3, 6), layers, strict=True)
        for part in ("weight", "bias")
    }
    torch.save({"net": state}, tmp_path / "head.pth")
    mil_config.model.weights, mil_config.train.steps = str(tmp_path / "head.pth"), 0
    train.run(mil_config, tmp_path / "run")
    summary = figures(tmp_path / "run")
    assert summary["step"] == 0
    assert summary["metrics"] == summary["untrained"]
    # Where a training that was begun with them fails, their file is named
    mil_config.train.steps, mil_config.optim.learning_rate = 9, 1e30
    with pytest.raises(FloatingPointError, match=rf"get {tmp_path}/head\.pth again, if"):
        train.run(mil_config, tmp_path / "again")


@pytest.mark.parametrize(("what", "at"), [("loss", 5), ("parameters", 6)])
def test_a_step_that_is_not_finite_ends_the_run(mil_config, tmp_path, monkeypatch, what, at):
    update = System.update

    def poisoned(self, state, batch, rng):
        state, scalars = update(self, state, batch, rng)
        bad = jnp.where(state.optimizer.count == at, jnp.nan, 0.0)
        if what == "loss":
            return state, scalars | {"loss": scalars["loss"] + bad}
        return state._replace(params=jax.tree.map(lambda p: p + bad, state.params)), scalars

    monkeypatch.setattr(System, "update", poisoned)
    with pytest.raises(FloatingPointError, match=rf"at step {at}; last good checkpoint: .*/3\."):
        train.run(mil_config, tmp_path)
    assert not (tmp_path / "metrics.json").exists()
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["3"]


@pytest.mark.parametrize("bad", [jnp.nan, jnp.inf, -jnp.inf])
@pytest.mark.parametrize("place", ["small", "large"])
def test_any_number_that_is_not_finite_is_found(place, bad):
    largest = jnp.finfo(jnp.float32).max  # of which a sum is infinite
    shapes = {"small": (3,), "large": (mesh.FSDP_SMALLEST,)}
    state = {name: jnp.full(shape, largest) for name, shape in shapes.items()}
    state |= {"count": jnp.int32(7), "half": jnp.ones(2, jnp.bfloat16)}
    finite = jax.jit(train._all_finite)
    assert finite(state)
    assert not finite(state | {place: state[place].at[-1].set(bad)})


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("eval.select_by", "speed", "eval.select_by is 'speed'; expected one of auc"),
        ("eval.expansion", "none", "eval.expansion is 'none'; expected one of seed"),
        ("eval.split", "train", "'train', which has video-level labels only"),
        ("eval.split", "val", "no split 'val'"),
        ("train.batch", 0, "train.batch is 0; expected at least 1"),
        ("model.dropout", 1.0, "model.dropout is 1.0"),
        ("loss.pairing", "some", "loss.pairing is 'some'; expected one of diagonal, all"),
        ("train.precision", "float64", "needs JAX_ENABLE_X64=1"),
    ],
)
def test_wrong_fields_are_found_before_training_and_leave_the_folder_free(
    mil_config, tmp_path, field, value, message
):
    right = mil_config.copy_and_resolve_references()
    mil_config.update_from_flattened_dict({field: value})
    mil_config.eval.untrained = False
    with pytest.raises(ValueError, match=message):
        train.run(mil_config, tmp_path)
    assert not (tmp_path / "config.json").exists()
    open_for(tmp_path, right)


def test_a_signal_during_an_evaluation_saves(mil_config, tmp_path, monkeypatch, capsys):
    calls, measure_figures = [], evaluate.figures

    def interrupted(config, results):
        calls.append(1)
        if len(calls) == 2:  # the first is the untrained state
            os.kill(os.getpid(), signal.SIGTERM)
        return measure_figures(config, results)

    monkeypatch.setattr(evaluate, "figures", interrupted)
    mil_config.train.save_every = 1000
    with pytest.raises(SystemExit):
        train.run(mil_config, tmp_path)
    assert "Stopped by SIGTERM after step 3; saved" in capsys.readouterr().out
    assert (tmp_path / "checkpoints" / "3").is_dir()
    train.run(mil_config, tmp_path)
    assert "Resuming after step 3 of 6" in capsys.readouterr().out


def test_selection_survives_a_stop(mil_config, tmp_path):
    mil_config.eval.select_on_test = True
    mil_config.train.steps, mil_config.train.evaluate_every = 12, 2
    mil_config.optim.learning_rate = 0.05
    save = train.Checkpoints.save

    def stopping(self, step, *rest):
        save(self, step, *rest)
        if step == 5:
            os.kill(os.getpid(), signal.SIGTERM)

    mil_config.train.save_every = 5
    whole = mil_config.copy_and_resolve_references()
    train.run(whole, tmp_path / "whole_5")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train.Checkpoints, "save", stopping)
        with pytest.raises(SystemExit):
            train.run(mil_config, tmp_path / "parts")
    train.run(mil_config, tmp_path / "parts")
    assert_same_figures(tmp_path / "parts", tmp_path / "whole_5")


def test_an_unknown_system_modality_or_dataset(mil_config, tmp_path):
    config = mil_config.copy_and_resolve_references()
    config.system = "none"
    with pytest.raises(ValueError, match="'none'; there is no vadjax.systems.none.system"):
        train.run(config, tmp_path / "a")
    config.system = "s3rr"
    with pytest.raises(ValueError, match="there is no .*; did you mean 's3r'"):
        train.run(config, tmp_path / "a")
    config = mil_config.copy_and_resolve_references()
    config.data.modality = "AUDIO"
    with pytest.raises(ValueError, match="AUDIO"):
        train.run(config, tmp_path / "b")
    config = mil_config.copy_and_resolve_references()
    config.data.dir = str(tmp_path / "none")
    with pytest.raises(FileNotFoundError, match="no such dataset folder"):
        train.run(config, tmp_path / "c")


def test_a_wrong_dataset_leaves_the_folder_free(mil_config, tmp_path, toy_bags):
    mil_config.data.dir = str(tmp_path / "wrong")
    with pytest.raises(FileNotFoundError):
        train.run(mil_config, tmp_path / "run")
    mil_config.data.dir = str(toy_bags)
    mil_config.train.steps = 0
    train.run(mil_config, tmp_path / "run")
    assert (tmp_path / "run" / "metrics.json").exists()


def test_the_toy_set_is_announced_first_and_last(tmp_path, capsys, monkeypatch, small_bags, drawn):
    from configs import ucf_mil
    from vadjax.data.toy import datasets

    monkeypatch.setitem(
        datasets.WRITERS, "features", lambda out: datasets.write_bags(out, small_bags)
    )
    train.run(ucf_mil.get_config("smoke"), tmp_path)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == lines[-1] == source.TOY_NOTICE
    assert "Built-in toy set" in (tmp_path / "report" / "figures.html").read_text()


# The whole command, in processes of its own.

STEPS = 40


def start(workdir, data, *more) -> Program:
    return Program(
        "vadjax.main",
        "--config=configs/ucf_mil.py:smoke",
        f"--workdir={workdir}",
        f"--config.data.dir={data}",
        f"--config.train.steps={STEPS}",
        "--config.train.log_every=1",
        "--config.train.save_every=7",
        "--config.train.evaluate_every=10",
        *more,
    )


def wait_for_step(process, workdir, step: int) -> None:
    while process.poll() is None:
        rows = metric_writers.read(workdir)
        if rows and rows[-1]["step"] >= step:
            return
        time.sleep(0.005)
    raise AssertionError(f"ended before step {step}: {process.communicate()}")


@pytest.fixture(scope="module")
def undisturbed(toy_bags, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("runs") / "undisturbed"
    process = start(workdir, toy_bags)
    said = process.communicate()
    assert process.returncode == 0, said
    return workdir


@pytest.mark.slow
def test_kill_9_and_resume_is_bit_identical(undisturbed, toy_bags, tmp_path):
    step = random.randint(1, STEPS - 5)
    process = start(tmp_path, toy_bags)
    wait_for_step(process, tmp_path, step)
    process.kill()
    process.communicate()
    print(f"killed after step {step}")
    assert not (tmp_path / "metrics.json").exists()
    again = start(tmp_path, toy_bags)
    said = again.communicate()
    assert again.returncode == 0, said
    assert_same_figures(tmp_path, undisturbed)


@pytest.mark.slow
def test_sigterm_saves_and_stops_and_resumes(undisturbed, toy_bags, tmp_path):
    process = start(tmp_path, toy_bags, "--config.train.save_every=1000")
    wait_for_step(process, tmp_path, 5)
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate()
    assert process.returncode == 128 + signal.SIGTERM, out
    assert "Stopped by SIGTERM after step" in out and "Run the same command again" in out
    again = start(tmp_path, toy_bags, "--config.train.save_every=1000")
    out, _ = again.communicate()
    assert again.returncode == 0 and "Resuming after step" in out
    assert_same_figures(tmp_path, undisturbed)


@pytest.mark.slow
def test_bad_input_ends_the_command_in_one_line(toy_bags, tmp_path):
    for number, (extra, message) in enumerate(
        (
            ("--config.data.dir=/no/such/place", "error: /no/such/place: no such dataset folder"),
            (
                "--config.train.precision=float7",
                "error: train.precision is 'float7'; expected one of",
            ),
            ("--config.train.devices=99", "error: train.devices is 99; this machine has 1"),
            ("--config.train.stepz=3", "stepz"),
            ("--config=configs/ucf_mil.py:nope", "no variant :nope of this config; it has :mini"),
            (f"--workdir={ROOT / 'README.md'}", "README.md is a file; --workdir names a folder"),
        )
    ):
        process = start(tmp_path / str(number), toy_bags, extra)
        out, errors = process.communicate()
        assert process.returncode == 1, out
        assert message in errors.strip().splitlines()[-1] and "Traceback" not in errors, errors


@pytest.mark.slow
def test_a_damaged_checkpoint_is_named_and_the_run_goes_on_from_the_one_before(
    undisturbed, toy_bags, tmp_path
):
    copy = shutil.copytree(undisturbed, tmp_path / "run")
    steps = sorted((copy / "checkpoints").iterdir(), key=lambda path: int(path.name))
    newest = copy / "checkpoints" / str(STEPS)
    assert steps[-1] == newest
    shutil.rmtree(copy / "finished")

    def damage(step: pathlib.Path) -> None:
        for path in (step / "state").rglob("d/*"):
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    damage(newest)
    process = start(copy, toy_bags)
    out, errors = process.communicate()
    assert process.returncode == 0, errors
    assert f"{newest}: damaged (state/" in out and f"Going on from step {steps[-2].name}." in out
    assert f"Resuming after step {steps[-2].name} of {STEPS}." in out
    assert_same_figures(copy, undisturbed)
    for step in (copy / "checkpoints").iterdir():
        damage(step)
    process = start(copy, toy_bags)
    _, errors = process.communicate()
    assert process.returncode == 1 and errors.count("\n") == 1
    assert f"error: {newest}: cannot be read" in errors and "Remove this folder" in errors
