"""Everything that runs on a device is exported for GPU and TPU, on a machine that has neither."""

import jax
import pytest

from tests.helpers import accelerator_cases
from tests.helpers.accelerator_cases import NAMES, PLATFORMS, PRECISIONS, SMALL, cases


def exported(case):
    """The function of a case, exported for every platform."""
    function = jax.export.export(jax.jit(case.function), platforms=PLATFORMS)
    return function(*case.arguments)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", NAMES)
def test_steps_and_scores_are_exported(name, precision):
    functions = list(cases(name, SMALL, precision))
    if precision == "float32":
        assert functions
    for case in functions:
        export = exported(case)
        assert export.platforms == PLATFORMS
        text = export.mlir_module()
        products = text.count("stablehlo.dot_general") + text.count("stablehlo.convolution")
        assert products >= 1 and ("bf16" in text) == (precision == "bfloat16")


def test_a_new_system_needs_no_case_of_its_own(monkeypatch):
    """Its step is exported on a batch of toy data, with the shapes that it makes itself."""
    (step, _) = cases("mil", SMALL, "float32")
    monkeypatch.setattr(accelerator_cases, "MAKERS", {})
    (by_itself,) = cases("mil", SMALL, "float32")
    bag = (8, 32, 32)  # train.batch of the config, segments, both streams
    assert {name: leaf.shape for name, leaf in by_itself.arguments[1].items()} == {
        "normal": bag,
        "anomalous": bag,
    }
    assert step.arguments[1]["normal"].shape == (4, 32, 32)
    assert exported(by_itself).platforms == PLATFORMS
