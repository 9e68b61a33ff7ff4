"""Convolutions with bias and activation in machine code, beside the plain form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vadjax.ops import plain
from vadjax.ops.conv import conv_activated_inference, pack_inference
from vadjax.ops.cpu import direct
from vadjax.ops.pool import max_pool3d, max_pool_inference

CASES = {  # rows, columns; channels of every array; features; taps, stride
    "few channels": ((17, 24), (3,), 32, 3, 2),
    "last block overlaps": ((3, 5), (48,), 124, 1, 1),
    "one vector": ((9, 7), (16, 32), 16, 3, 2),
    "many terms": ((6, 5), (256,), 64, 3, 2),
    "places as far apart as cache sets": ((4, 3), (256, 256), 32, 1, 1),
    "wide row": ((5, 600), (16,), 48, 1, 1),
    "five taps": ((11, 30), (16,), 32, 5, 1),
    "minimal filtering": ((11, 16), (16, 48), 128, 3, 1),
    "tiles": ((10, 34), (64, 32), 96, 3, 1),
    "tiles, odd sides": ((7, 45), (64,), 64, 3, 1),
    "minimal filtering, one vector": ((8, 9), (32,), 16, 3, 1),
}


def draw(*shapes):
    rng = np.random.default_rng(0)
    return [jnp.asarray(rng.standard_normal(shape, np.float32)) for shape in shapes]


@pytest.mark.parametrize("slope", [None, 0.1])
@pytest.mark.parametrize("case", CASES)
def test_convolution_equals_the_plain_form(case, slope):
    size, channels, features, taps, stride = CASES[case]
    w, bias, *x = draw(
        (taps, taps, sum(channels), features), (features,), *((2, *size, c) for c in channels)
    )
    where = (stride, stride), ((taps // 2, taps // 2),) * 2
    assert direct.saves(x, w)
    wanted = plain.conv_activated(x, w, bias, strides=where[0], padding=where[1], slope=slope)
    for packed in (None, pack_inference(w, *where, size[1])):
        found = jax.jit(
            lambda x, packed: conv_activated_inference(x, w, bias, *where, slope, packed)
        )(x, packed)
        np.testing.assert_allclose(found, wanted, atol=2e-5 * abs(wanted).max(), rtol=0)


def test_a_kernel_packed_for_another_width_is_refused():
    w, bias, x = draw((3, 3, 64, 64), (64,), (1, 8, 40, 64))
    where = (1, 1), ((1, 1), (1, 1))
    packed = pack_inference(w, *where, 8)
    with pytest.raises(ValueError, match="packed for another width"):
        jax.jit(lambda: conv_activated_inference([x], w, bias, *where, 0.1, packed))()


@pytest.mark.parametrize(("size", "channels"), [((4, 4), (8, 8)), ((2, 3), (3,))])
def test_other_inputs_take_the_plain_form(size, channels):
    w, bias, *x = draw((3, 3, sum(channels), 32), (32,), *((1, *size, c) for c in channels))
    assert not direct.saves(x, w)
    found = conv_activated_inference(x, w, bias, (1, 1), ((1, 1), (1, 1)))
    wanted = plain.conv(jnp.concatenate(x, -1), w, (1, 1), ((1, 1), (1, 1))) + bias
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("shape", [(1, 8, 12, 32), (2, 2, 2, 16), (2, 4, 2, 5)])
def test_maximum_is_bitwise_that_of_the_plain_form(shape):
    (x,) = draw(shape)
    padding = ((0, 0), (1, 1), (1, 1))
    wanted = max_pool3d(x[:, None], (1, 3, 3), (1, 2, 2), padding)[:, 0]
    np.testing.assert_array_equal(jax.jit(max_pool_inference)(x), wanted)
