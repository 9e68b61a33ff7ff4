import jax
import numpy as np
import pytest

from vadjax.ops.cpu import words


@pytest.mark.parametrize("shape", [(3, 8), (3, 5), (2, 3, 6), (7,), (1, 1)])
def test_two_words_of_each_draw(shape):
    key = jax.random.key(7)
    pairs = np.asarray(jax.random.bits(key, (*shape[:-1], (shape[-1] + 1) // 2), np.uint32))
    halves = np.stack([pairs & 0xFFFF, pairs >> 16], -1).reshape(*shape[:-1], -1)
    found = words.draw(key, shape)
    assert found.dtype == np.uint16 and found.shape == shape
    np.testing.assert_array_equal(found, halves[..., : shape[-1]])
