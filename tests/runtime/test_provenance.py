import hashlib
import json
import pathlib
import subprocess
import sys
import types

import jax
import pytest

import vadjax
from configs import ucf_mil
from vadjax import evaluate, train
from vadjax.runtime import provenance

pytestmark = pytest.mark.usefixtures("without_reports")


def git(folder: pathlib.Path, *options: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    return subprocess.check_output(["git", "-C", str(folder), *identity, *options], text=True)


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A checkout with a package that stands for vadjax."""
    file = tmp_path / "vadjax" / "__init__.py"
    file.parent.mkdir()
    file.touch()
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "-m", "first")
    monkeypatch.setattr(vadjax, "__file__", str(file))
    provenance.commit.cache_clear()
    yield file
    provenance.commit.cache_clear()


def test_the_commit_is_that_of_the_checkout_and_changes_are_told(checkout):
    head = git(checkout.parent, "rev-parse", "HEAD").strip()
    assert provenance.commit() == head[:12]
    checkout.write_text("changed")
    assert provenance.commit() == head[:12]  # that the program was started from
    provenance.commit.cache_clear()
    assert provenance.commit() == f"{head[:12]}+changes"


def test_an_installed_package_has_no_commit_even_inside_another_checkout(checkout, monkeypatch):
    installed = checkout.parent / "site-packages" / "vadjax" / "__init__.py"
    monkeypatch.setattr(vadjax, "__file__", str(installed))
    provenance.commit.cache_clear()
    assert provenance.commit() is None
    monkeypatch.setattr(vadjax, "__file__", str(checkout))
    monkeypatch.setenv("PATH", "")  # no git
    provenance.commit.cache_clear()
    assert provenance.commit() is None


def test_addresses_are_told_without_their_passwords(monkeypatch):
    typed = [
        "/venv/bin/python3",
        "-m",
        "vadjax.main",
        "--video=rtsp://me:sec@ret@camera/1",
        "--x=a b",
    ]
    monkeypatch.setattr(sys, "orig_argv", typed)
    told = provenance.command_line()
    assert told == "python3 -m vadjax.main --video=rtsp://***@camera/1 '--x=a b'"


def test_what_the_program_runs_with_is_told(monkeypatch):
    devices = jax.devices()  # which reads the flags
    monkeypatch.setenv("XLA_FLAGS", "--some_flag")
    data = types.SimpleNamespace(name="set", folder=pathlib.Path("here"), digest="aa")
    made = provenance.made_with(devices, data, {"seed": 1})
    assert made["vadjax"] == vadjax.__version__ and made["xla_flags"] == "--some_flag"
    assert made["packages"]["jax"] == jax.__version__
    assert made["python"] == sys.version.split()[0]
    described = {"platform": "cpu", "kind": "cpu", "count": jax.device_count(), "processes": 1}
    assert made["devices"] == described
    folder = str(pathlib.Path("here").absolute())
    assert made["dataset"] == {"name": "set", "folder": folder, "sha256": "aa"}
    assert json.loads(json.dumps(made)) == made
    assert provenance.made_with()["devices"] is None


def test_a_run_says_with_what_it_was_made_every_time_that_it_is_begun(tmp_path):
    config = ucf_mil.get_config("smoke")  # on the built-in set
    config.train.steps = config.train.evaluate_every = 2
    train.run(config, tmp_path)
    (first,) = json.loads((tmp_path / "provenance.json").read_text())
    manifest = pathlib.Path(first["dataset"]["folder"]) / "manifest.json"
    digest = hashlib.sha256(manifest.read_bytes()).hexdigest()
    assert first["from_step"] == 0 and first["dataset"]["sha256"] == digest
    assert first["config"]["optim"]["learning_rate"] == config.optim.learning_rate
    summary = json.loads((tmp_path / "metrics.json").read_text())
    assert summary["made_with"].items() >= {"config": first["config"]}.items()
    assert "made_with" not in summary["metrics"]
    train.run(config, tmp_path)
    entries = json.loads((tmp_path / "provenance.json").read_text())
    assert entries[0] == first and [entry["from_step"] for entry in entries] == [0, 2]
    config.eval.threshold = 0.25
    evaluate.run(config, tmp_path)
    evaluated = json.loads((tmp_path / "evaluate_2" / "metrics.json").read_text())
    assert evaluated["made_with"]["config"]["eval"]["threshold"] == 0.25
    (tmp_path / "provenance.json").write_text("{}")
    config.eval.threshold = 0.5
    with pytest.raises(ValueError, match="provenance.json: a dict, not a list of entries; move it"):
        train.run(config, tmp_path)
