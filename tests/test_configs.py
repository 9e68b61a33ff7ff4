import importlib
import re

import pytest

from tests.helpers.places import ROOT
from vadjax.system import load_system

NAMES = sorted(path.stem for path in (ROOT / "configs").glob("[a-z]*.py") if path.stem != "common")


@pytest.mark.parametrize("name", NAMES)
def test_every_variant_that_a_config_names_makes_a_system(name):
    module = importlib.import_module(f"configs.{name}")
    variants = {"", *re.findall(r"[ `]:(\w+)", module.__doc__)}
    assert "smoke" in variants
    for variant in variants:
        system = load_system(module.get_config(variant))
        assert system.kind in ("features", "frames", "images")
    with pytest.raises(ValueError, match="no variant :nope of this config"):
        module.get_config("nope")


@pytest.mark.parametrize("name", NAMES)
def test_docstrings_hold_command_and_figures(name):
    text = importlib.import_module(f"configs.{name}").__doc__
    assert f"python -m vadjax.main --config=configs/{name}.py" in text
    assert "paper" in text and "original program" in text and "here" in text
