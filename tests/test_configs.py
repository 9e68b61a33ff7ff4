import importlib
import pathlib
import re
import sys

import ml_collections
import pytest
from absl import flags
from ml_collections import config_flags

from tests.helpers.places import ROOT
from tests.helpers.systems import METHODS, SYSTEMS, config_of, method_of
from vadjax.config import FIELDS, apply_variant, base, descriptions, expect_one_of
from vadjax.runtime.provenance import flatten
from vadjax.system import load_system

PATHS = sorted((ROOT / "configs").glob("[a-z]*.py"))
NAMES = [path.stem for path in PATHS]


def module_of(name: str):
    return importlib.import_module(f"configs.{name}")


def variants_of(name: str) -> list[str]:
    """All variants of a config, that without a name first; the error of a wrong one lists them."""
    with pytest.raises(ValueError, match="^no variant :nope of this config; it has :") as raised:
        module_of(name).get_config("nope")
    return ["", *re.findall(r":(\w+)", str(raised.value).split("it has")[1])]


def configs_of(system: str) -> list[ml_collections.ConfigDict]:
    found = [module_of(name).get_config(one) for name in NAMES for one in variants_of(name)]
    return [config for config in found if config.system == system]


def fields_of(config: ml_collections.ConfigDict) -> set[str]:
    return set(flatten(config.to_dict()))


@pytest.mark.parametrize("name", NAMES)
def test_every_variant_makes_a_system(name):
    told = set(re.findall(r"[ `]:(\w+)", module_of(name).__doc__))
    assert "smoke" in told <= set(variants_of(name))
    for variant in variants_of(name):
        system = load_system(module_of(name).get_config(variant))
        assert system.kind in ("features", "frames", "images", "tracks")


@pytest.mark.parametrize("name", NAMES)
def test_docstrings_hold_command_and_figures(name):
    text = module_of(name).__doc__
    assert f"python -m vadjax.main --config=configs/{name}.py" in text
    assert "paper" in text and "original program" in text and "here" in text


def test_every_system_has_a_method_and_every_method_one_system():
    """So tests of all methods (`tests.helpers.systems`) leave no system out."""
    assert {config_of(method).system for method in METHODS} == set(SYSTEMS)
    for name in NAMES:
        assert module_of(name).get_config().system == config_of(method_of(name)).system


def by_path(path: pathlib.Path, variant: str, monkeypatch) -> ml_collections.ConfigDict:
    """The config as `--config=PATH:VARIANT` loads it."""
    argument = f"--config={path}" + (f":{variant}" if variant else "")
    monkeypatch.setattr(sys, "argv", ["program", argument])
    values = flags.FlagValues()
    holder = config_flags.DEFINE_config_file("config", None, flag_values=values)
    values(sys.argv)
    return holder.value


@pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")  # ml_collections
@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_a_config_file_alone_in_another_folder_is_the_same_config(path, tmp_path, monkeypatch):
    inside = {one: module_of(path.stem).get_config(one) for one in variants_of(path.stem)}
    copy = tmp_path / "mine" / "copy.py"
    copy.parent.mkdir()
    copy.write_bytes(path.read_bytes())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "configs", None)  # cannot be imported
    for variant, config in inside.items():
        found = by_path(copy, variant, monkeypatch)
        assert found.to_json() == config.to_json() and found.to_dict() == config.to_dict()
        assert by_path(copy.relative_to(tmp_path), variant, monkeypatch) == found


@pytest.mark.parametrize("system", SYSTEMS)
def test_every_field_is_described(system):
    known = descriptions(system)
    for config in configs_of(system):
        assert fields_of(config) <= known.keys()
    for text in known.values():
        assert len(text.splitlines()) == 1 and not text.endswith(".")


@pytest.mark.parametrize("system", SYSTEMS)
def test_no_description_is_of_a_field_that_is_gone(system):
    fields = set().union(*map(fields_of, configs_of(system)))
    assert descriptions(system).keys() <= fields
    assert FIELDS.keys() <= fields_of(base(system))


def test_what_is_misspelt_is_named_with_the_nearest():
    message = "^train.precision is 'flot32'; expected one of float32, int8; did you mean 'float32'?"
    with pytest.raises(ValueError, match=re.escape(message[1:]) + "$"):
        expect_one_of("train.precision", "flot32", ("float32", "int8"))
    with pytest.raises(ValueError, match="^a.b is 'xyz'; expected one of float32, int8$"):
        expect_one_of("a.b", "xyz", ("float32", "int8"))
    expect_one_of("a.b", "int8", {"float32": 1, "int8": 2})
    message = "no variant :smoek of this config; it has :demo, :smoke; did you mean :smoke?"
    with pytest.raises(ValueError, match=re.escape(message) + "$"):
        apply_variant(base("mil"), "smoek", {"demo": print, "smoke": print})
