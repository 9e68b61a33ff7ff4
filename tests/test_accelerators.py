"""Everything that runs on a device is exported for GPU and TPU, on a machine that has neither."""

import jax
import pytest

from tests.helpers.accelerator_cases import NAMES, PLATFORMS, PRECISIONS, SMALL, cases


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", NAMES)
def test_steps_and_scores_are_exported(name, precision):
    found = list(cases(name, SMALL, precision))
    if precision == "float32":
        assert found
    for case in found:
        function = jax.export.export(jax.jit(case.function), platforms=PLATFORMS)
        exported = function(*case.arguments)
        assert exported.platforms == PLATFORMS
        text = exported.mlir_module()
        products = text.count("stablehlo.dot_general") + text.count("stablehlo.convolution")
        assert products >= 1 and ("bf16" in text) == (precision == "bfloat16")
