"""The contract: what the base class gives, and finding a system by its name."""

import sys
import types

import jax
import numpy as np
import pytest

from configs import ucf_mil
from tests.helpers.systems import SYSTEMS
from vadjax.scores.files import Scores
from vadjax.system import System, load_system

HOSTILE = (
    *(
        "os.path",
        "a.b",
        "../x",
        "x/../../y",
        "",
        ".",
        "..",
        ".x",
        "x.",
        "a..b",
        "mil\n",
        "mil ",
        "a b",
    ),
    *("vadjax.systems.mil.system", "os.path\n", "ｏs.path", "__import__('os')", "a;b", "MIL"),
)


def config(name):
    made = ucf_mil.get_config("smoke")
    made.system = name
    return made


def known_modules() -> set:
    return {name for name in sys.modules if not name.startswith(("encodings", "vadjax.systems"))}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_from_a_run_is_looked_up_in_the_systems_alone(name):
    before = known_modules()
    with pytest.raises(ValueError, match=r"config.system is .*; expected the name of a folder in"):
        load_system(config(name))
    assert known_modules() == before


@pytest.mark.parametrize("name", ["nope", "_", "__init__", "__main__", "__pycache__", "system"])
def test_a_name_that_no_system_has(name):
    for any_module in (False, True):
        with pytest.raises(ValueError, match=f"is '{name}'; there is no vadjax.systems.{name}"):
            load_system(config(name), any_module=any_module)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("os.path", "os.path has no class System that is a vadjax.system.System"),
        ("a.b", "is 'a.b'; there is no a.b"),
        ("vadjax.nope", "there is no vadjax.nope"),
        ("vadjax.metrics.frame", "vadjax.metrics.frame has no class System"),
        ("../x", "or the dotted path of a module"),
        (".x.y", "or the dotted path of a module"),
        ("x.y\n", "or the dotted path of a module"),
        ("x..y", "or the dotted path of a module"),
    ],
)
def test_a_dotted_path_of_no_system(name, message):
    with pytest.raises(ValueError, match=message):
        load_system(config(name), any_module=True)


@pytest.mark.parametrize("content", [5, object, types.ModuleType("m"), lambda config, cache: None])
def test_only_a_subclass_is_a_system(content, monkeypatch):
    module = types.ModuleType("strange")
    module.System = content
    monkeypatch.setitem(sys.modules, "strange", types.ModuleType("strange"))
    monkeypatch.setitem(sys.modules, "strange.system", module)
    with pytest.raises(ValueError, match="strange.system has no class System"):
        load_system(config("strange.system"), any_module=True)


def test_a_dotted_path_of_a_system():
    assert isinstance(load_system(config("vadjax.systems.mil.system"), any_module=True), System)


def test_what_a_module_lacks_is_not_taken_for_the_module(tmp_path, monkeypatch):
    (tmp_path / "of_a_user").mkdir()
    (tmp_path / "of_a_user" / "system.py").write_text("import not_installed")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="not_installed"):
        load_system(config("of_a_user.system"), any_module=True)


@pytest.mark.parametrize("name", SYSTEMS)
def test_every_system_is_one(name):
    module = __import__(f"vadjax.systems.{name}.system", fromlist=["System"])
    assert issubclass(module.System, System)
    if module.System.scores_videos:
        for needed in ("videos", "score", "stream"):
            assert getattr(module.System, needed) is not getattr(System, needed)
    else:
        assert module.System.figures is not System.figures
    changed = module.System.validate is not System.validate
    assert changed == module.System.validates


class Least(System):
    """Has what has no default."""

    def init(self, rng, data):
        """As a system does."""
        return {"noise": jax.random.normal(rng, (data,))}


def test_the_defaults():
    system = Least(config("mil"))
    assert jax.tree.leaves(system.abstract_state(3))[0].shape == (3,)
    scores = Scores("x", np.zeros(2))
    assert system.postprocess(None, scores) is scores
    assert system.finalize(5, None) == 5 and system.parameters(5) is None
    assert (system.batches(None, None), system.validate(5, None), system.facts(None)) == (
        None,
        {},
        {},
    )
    assert not system.validates and not system.in_order and system.scores_videos
    assert system.cache.workdir is None and system.cache.folder.is_dir()
    with pytest.raises(NotImplementedError, match="is not trained by steps"):
        system.update(None, None, None)
