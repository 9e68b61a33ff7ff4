import jax
import numpy as np
import pytest

from vadjax.ops.cpu import pool


@pytest.mark.parametrize("window", [(3, 3, 3), (2, 1, 4)])
@pytest.mark.parametrize("strides", [(1, 1, 1), (2, 3, 1)])
@pytest.mark.parametrize("padding", [((0, 0),) * 3, ((1, 1), (0, 2), (1, 0))])
def test_passes_equal_reduce_window_to_the_bit(window, strides, padding):
    x = np.float32(np.random.default_rng(0).standard_normal((2, 5, 7, 6, 3)))
    expected = jax.lax.reduce_window(
        x, -np.inf, jax.lax.max, (1, *window, 1), (1, *strides, 1), ((0, 0), *padding, (0, 0))
    )
    np.testing.assert_array_equal(pool.passes(x, window, strides, padding), expected)


def test_windows_within_a_frame_are_left_as_they_are():
    assert pool.saves((2, 1, 1)) and not pool.saves((1, 3, 3))
