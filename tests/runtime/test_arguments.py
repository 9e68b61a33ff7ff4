"""What a command line gets in which something is misspelt, or called by an old name."""

import re
import subprocess
import sys

import pytest

from tests.helpers import commands
from tests.helpers.places import ROOT
from vadjax.config import descriptions

CONFIG = "--config=configs/ucf_mil.py:smoke"


def said(tmp_path, *options: str, module: str = "vadjax.main") -> str:
    """The one line that a program ends with."""
    code, out, errors = commands.run(module, f"--workdir={tmp_path / 'run'}", *options)
    assert (code, out) == (1, "") and errors.count("\n") == 1
    return errors.removesuffix("\n").removeprefix("error: ")


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ((CONFIG, "--config.train.stpes=3"), "no field train.stpes; did you mean train.steps?"),
        ((CONFIG, "--config.trian.steps=3"), "no field trian.steps; did you mean train.steps?"),
        ((CONFIG, "--config.stpes", "3"), "no field stpes; did you mean train.steps?"),
        ((CONFIG, "--config.dropout=0.1"), "no field dropout; did you mean model.dropout?"),
        ((CONFIG, "--config.sytem=s3r"), "no field sytem; did you mean system?"),
        ((CONFIG, "--config.optm={}"), "no field optm; did you mean optim?"),
        (
            (CONFIG, "--noconfig.eval.untraind"),
            "no field eval.untraind; did you mean eval.untrained?",
        ),
        (
            (CONFIG, "--config.train.steps=3", "--config.model.foo=1"),
            "no field model.foo; --config=FILE --help lists the fields",
        ),
        (
            ("--config", "configs/ucf_mil.py:smoek"),
            "no variant :smoek of this config; it has :mini, :demo, :smoke; did you mean :smoke?",
        ),
        (
            ("--config=configs/ucf_mli.py:smoke",),
            "no config file configs/ucf_mli.py; did you mean configs/ucf_mil.py?",
        ),
        (
            ("--config=ped2_lgn.py",),
            "no config file ped2_lgn.py; did you mean configs/ped2_lgn.py?",
        ),
        (("--config=nothing/like.it",), "no config file nothing/like.it"),
        (
            ("--config=configs",),
            "configs is a folder; --config names a file, such as configs/ucf_mil.py",
        ),
        (
            ("--config=configs/eval_appearance.py:cpu",),
            "configs/eval_appearance.py is now configs/exemplar_appearance_network.py",
        ),
        (
            ("--config=configs/eval_motion.py", "--config.train.steps=3"),
            "configs/eval_motion.py is now configs/exemplar_motion_network.py",
        ),
    ],
)
def test_names_that_are_not_there(options, line, tmp_path):
    assert said(tmp_path, *options) == line
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("field", "value", "hint"),
    [
        ("system", "mli", "mil"),
        ("train.precision", "flot32", "float32"),
        ("eval.select_by", "acu", "auc"),
        ("eval.expansion", "sed", "seed"),
        ("data.verify", "checksums", "checksum"),
    ],
)
def test_values_that_are_not_there(field, value, hint, toy_bags, tmp_path):
    line = said(tmp_path, CONFIG, f"--config.data.dir={toy_bags}", f"--config.{field}={value}")
    assert f"{field} is {value!r}; " in line
    assert line.endswith(f"; did you mean {hint!r}?")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("def get_config(:\n", r"SyntaxError: .*line 1\)"),
        ("import nothing_like_it\n", "ModuleNotFoundError: No module named 'nothing_like_it'"),
        ("def get_config():\n    return 1 / 0\n", "ZeroDivisionError: division by zero"),
        ("VALUE = 1\n", "KeyError: 'get_config'"),
    ],
)
def test_config_files_that_fail(text, line, tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(text)
    assert re.fullmatch(f"{re.escape(str(path))}: {line}", said(tmp_path, f"--config={path}"))


def test_the_stages_say_it_too(tmp_path):
    options = ("features", "--config=configs/ped2_exemplar.py", "--config.motion.tua=1.0")
    line = said(tmp_path, *options, module="vadjax.systems.exemplar")
    assert line == "no field motion.tua; did you mean motion.tau?"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("vadjax.stages", "vadjax.systems.exemplar STAGE …"),
        ("vadjax.systems.s3r.dictionary", "vadjax.systems.s3r dictionary …"),
        ("tests.benchmarks.lgn_step", "benchmarks.lgn_step"),
    ],
)
def test_programs_that_have_another_name(old, new):
    command = [sys.executable, "-m", old, "features", "--config=x"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    line = f"error: {old} is now: python -m {new}\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", line)


def test_help_lists_the_fields_of_a_config():
    code, out, errors = commands.run("vadjax.main", "--help", CONFIG)
    assert (code, errors) == (0, "")
    assert (
        "python -m vadjax.main:\n" in out and "\n  --config: " in out and "--workdir: Folder" in out
    )
    for field, text in descriptions("mil").items():
        assert f"  --config.{field}: {text}\n    (here: " in out
    assert "--config.train.steps: training steps; 0 = none\n    (here: 6)\n" in out


def test_help_of_the_stages_names_the_program():
    for flag in ("--help", "--helpfull"):
        code, out, errors = commands.run("vadjax.systems.exemplar", flag)
        assert (code, errors) == (0, "")
        assert "python -m vadjax.systems.exemplar:\n  --idx:" in out
        assert "__main__" not in out and "  show  " in out
