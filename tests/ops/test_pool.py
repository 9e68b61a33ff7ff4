import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vadjax.ops.pool import _plain, max_pool, max_pool3d

CASES = [  # those of the I3D networks, and odd ones
    ((3, 3, 3), (1, 1, 1), "SAME"),
    ((3, 3, 3), (2, 2, 2), "SAME"),
    ((2, 2, 2), (2, 2, 2), "SAME"),
    ((1, 3, 3), (1, 2, 2), "SAME"),
    ((2, 3, 3), (2, 2, 2), "VALID"),
    ((2, 1, 1), (2, 1, 1), "VALID"),
    ((3, 2, 5), (1, 3, 2), ((1, 0), (0, 1), (2, 2))),
]


@pytest.mark.parametrize(("window", "strides", "padding"), CASES)
@pytest.mark.parametrize("size", [(4, 6, 8), (5, 7, 9)])
def test_equals_reduce_window(window, strides, padding, size):
    values = np.random.default_rng(0).standard_normal((2, *size, 5)).astype(np.float32)
    pads = padding
    if isinstance(padding, str):
        pads = tuple(jax.lax.padtype_to_pads(size, window, strides, padding))

    @jax.jit
    def both(x):
        results = []
        for form, pad in ((max_pool3d, padding), (_plain, pads)):
            y, back = jax.vjp(
                functools.partial(form, strides=strides, window=window, padding=pad), x
            )
            results.append((y, *back(jnp.cos(jnp.arange(y.size, dtype=y.dtype)).reshape(y.shape))))
        return results

    for x in (values, np.maximum(np.round(values), 0)):  # without and with equal values
        for found, expected in zip(*both(x), strict=True):
            np.testing.assert_allclose(found, expected, atol=2e-6)


def test_accelerators_get_the_plain_form():
    x = jax.ShapeDtypeStruct((1, 4, 8, 8, 3), jnp.float32)
    pool = jax.jit(functools.partial(max_pool3d, window=(3, 3, 3), strides=(1, 1, 1)))
    for platform, plain in (("cuda", True), ("tpu", True), ("cpu", False)):
        module = jax.export.export(pool, platforms=[platform])(x).mlir_module()
        assert ("reduce_window" in module) == plain


@pytest.mark.parametrize("window", [(2, 2), (1, 2, 2), (2, 2, 2), (3, 1, 1), (1, 3, 5)])
@pytest.mark.parametrize("ties", [False, True])
def test_windows_side_by_side_equal_reduce_window(window, ties):
    """Values and gradients, where ties go to the first place of a window."""
    rng = np.random.default_rng(len(window))
    x = rng.standard_normal((2, *(4 * k for k in window), 3)).astype(np.float32)
    x = np.round(x) if ties else x
    sizes = (1, *window, 1)

    def plain(x):
        return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, sizes, sizes, "VALID")

    @jax.jit
    def both(x, cotangent):
        forms = (functools.partial(max_pool, window=window), plain)
        return [(y, *back(cotangent)) for y, back in (jax.vjp(form, x) for form in forms)]

    cotangent = rng.standard_normal(jax.eval_shape(plain, x).shape).astype(np.float32)
    found, expected = both(x, cotangent)
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_array_equal(found[1], expected[1])


def test_first_of_equal_values_by_hand():
    x = jnp.array([[1.0, 3.0, 2.0, 2.0], [3.0, 0.0, 2.0, 2.0]])[None, :, :, None]
    gradient = jax.grad(lambda x: (max_pool(x) * jnp.array([5.0, 7.0])[:, None]).sum())(x)
    expected = [[0, 5, 7, 0], [0, 0, 0, 0]]
    np.testing.assert_array_equal(gradient[0, :, :, 0], expected)


@pytest.mark.parametrize("shape", [(1, 3, 4, 2), (1, 4, 5, 2), (1, 4, 4, 4, 2)])
def test_sides_that_are_no_multiples_are_refused(shape):
    with pytest.raises(ValueError, match=r"multiples of the window \(2, 2\)"):
        max_pool(jnp.zeros(shape))
