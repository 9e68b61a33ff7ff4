import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vadjax.ops import plain
from vadjax.ops.cpu.depthwise import shifted


@pytest.mark.parametrize(
    ("size", "stride", "padding"),
    [((3, 3), 1, "SAME"), ((5, 5), 2, "SAME"), ((3, 3), 2, "VALID"), ((3, 1), 2, ((1, 2), (0, 1)))],
)
def test_equals_the_grouped_convolution(size, stride, padding):
    rng = np.random.default_rng(0)
    x = jnp.array(rng.standard_normal((2, 9, 8, 6)), jnp.float32)
    w = jnp.array(rng.standard_normal((*size, 1, 6)), jnp.float32)
    strides = (stride, stride)
    if isinstance(padding, str):
        padding = jax.lax.padtype_to_pads((9, 8), size, strides, padding)

    @jax.jit
    def both(x, w):
        results = []
        for form, more in ((shifted, ()), (plain.conv, (6,))):
            y, back = jax.vjp(lambda x, w: form(x, w, strides, padding, *more), x, w)  # noqa: B023
            results.append((y, *back(jnp.cos(jnp.arange(y.size, dtype=y.dtype)).reshape(y.shape))))
        return results

    for found, expected in zip(*both(x, w), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-4)
