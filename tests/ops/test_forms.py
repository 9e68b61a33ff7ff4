import json
import pathlib
import re
import subprocess
import sys

import jax
import jax.numpy as jnp
import pytest

from tests.helpers.places import ROOT
from vadjax.ops import forms


def test_the_table_names_every_operation_that_asks_for_a_form():
    asked = set()
    for path in (ROOT / "vadjax").rglob("*.py"):
        asked |= set(re.findall(r'by_device\(\s*"(\w+)"', path.read_text("utf-8")))
    assert asked == set(forms.table())


def test_nothing_else_asks_which_device_it_runs_on():
    found = [
        path.relative_to(ROOT)
        for path in (ROOT / "vadjax").rglob("*.py")
        if "platform_dependent" in path.read_text("utf-8")
    ]
    assert found == [pathlib.Path("vadjax/ops/forms.py")]


@pytest.mark.parametrize("row", [{"gpu": "plain"}, {"cpu": "quick"}])
def test_a_table_with_an_unknown_word_is_refused(row):
    word = next(iter(set(row) - set(forms.PLATFORMS)), row.get("cpu"))
    with pytest.raises(ValueError, match=f"forms.json: conv: '{word}'; expected"):
        forms.check({"conv": row})


def test_a_platform_that_is_not_listed_gets_the_plain_form(monkeypatch):
    monkeypatch.setattr(forms, "table", lambda: {"conv": {"tpu": "special"}})
    answer = forms.by_device("conv", jnp.ones(2), special=lambda x: x + 1, plain=lambda x: x)
    assert answer.tolist() == [1, 1] and forms.platforms("conv") == ["tpu"]


def test_calls_of_equal_shapes_share_a_trace_that_another_table_does_not_take(monkeypatch):
    traced = []

    def special(x, by):
        traced.append("special")
        return x + by

    def plain(x, by):
        traced.append("plain")
        return x - by

    def both(x, by=1):
        given = {"special": special, "plain": plain, "options": {"by": by}}
        return forms.by_device("conv", forms.by_device("conv", x, **given), **given)

    here = jax.default_backend()
    monkeypatch.setattr(forms, "table", lambda: {"conv": {here: "special"}})
    assert jax.jit(both)(jnp.ones(2)).tolist() == [3, 3] and sorted(traced) == ["plain", "special"]
    assert jax.jit(lambda x: both(x, 2))(jnp.ones(2)).tolist() == [5, 5] and len(traced) == 4
    monkeypatch.setattr(forms, "table", lambda: {"conv": {}})
    assert jax.jit(lambda x: both(x))(jnp.ones(2)).tolist() == [-1, -1]


PROGRAM = """
import json, jax, jax.numpy as jnp
from configs import ucf_mil
from vadjax.ops import compilation, conv, forms
from vadjax.system import load_system

x, w = jnp.ones((1, 1, 16, 16, 128)), jnp.ones((3, 3, 3, 128, 128))
def text():
    step = jax.jit(lambda x, w: conv.conv_inference(x, w, (1, 1, 1), ((1, 1),) * 3))
    return step.lower(x, w).as_text()
config = ucf_mil.get_config("smoke")
load_system(config)
before = text().count("stablehlo.convolution"), compilation.step_options()
config.runtime.plain_ops = True
load_system(config)
print(json.dumps([*before, text().count("stablehlo.convolution"), compilation.step_options()]))
"""


def test_plain_ops_turns_the_special_forms_off_also_for_what_was_traced_before():
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, check=True
    )
    many, options, one, none = json.loads(done.stdout.splitlines()[-1])
    assert many == 18 and one == 1
    assert bool(options) == (jax.default_backend() == "cpu") and none == {}
