import jax
import jax.numpy as jnp
import numpy as np

from vadjax.ops.cpu import pieces as on_cpu
from vadjax.ops.pieces import by_sample


def test_a_batch_is_divided_on_cpu_alone(monkeypatch):
    monkeypatch.setattr(on_cpu, "CACHE", 2 * 100)
    run = jax.jit(lambda x: by_sample(lambda x: jnp.cos(x).sum(1), x, 100))
    x = np.float32(np.random.default_rng(0).standard_normal((6, 5)))
    np.testing.assert_allclose(run(x), np.cos(x).sum(1), rtol=1e-5)
    for platform, loops in (("cuda", False), ("tpu", False), ("cpu", True)):
        text = jax.export.export(run, platforms=[platform])(x).mlir_module()
        assert ("stablehlo.while" in text) == loops
