import jax
import numpy as np

from vadjax.ops.cpu.blocks import in_blocks

WIDTH = 2048


def test_sums_of_many_products():
    rng = np.random.default_rng(0)
    for columns in (WIDTH, 1000, 17):
        x = np.maximum(rng.standard_normal((96, columns)), 0).astype(np.float32) / 2
        kernel = (rng.standard_normal((columns, 512)) * 0.028).astype(np.float32)
        exact = x.astype(np.float64) @ kernel.astype(np.float64)
        difference = np.abs(jax.jit(in_blocks)(x, kernel) - exact)
        assert difference.max() < 1.2e-6
