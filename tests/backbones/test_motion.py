import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vadjax.backbones.layers import pool_volume
from vadjax.backbones.motion import MotionNets, prepare


def test_parameters_of_the_full_width():
    x = jnp.zeros((1, 10, 64, 64, 3))
    shapes = jax.eval_shape(MotionNets().init, jax.random.key(0), x)
    channels, total = (3, 32, 64, 128, 128), 0
    for before, after in zip(channels, channels[1:], strict=False):
        total += 27 * before * after + 2 * after
    total = 3 * (total + 128 * 128 + 128) + (12 + 12 + 1) * (128 + 1)
    assert sum(np.prod(leaf.shape) for leaf in jax.tree.leaves(shapes["params"])) == total


@pytest.fixture(scope="module")
def small():
    net = MotionNets(0.1)
    x = jax.random.uniform(jax.random.key(0), (2, 5, 16, 16, 3), minval=-1)
    return net, jax.jit(net.init)(jax.random.key(1), x), x


def test_outputs(small):
    net, variables, x = small
    raw, features = jax.jit(net.apply)(variables, x)
    assert features.shape == (2, 3 * 128)
    motion = raw.motion
    assert motion.ang.shape == motion.mag.shape == (2, 12) and motion.bkg.shape == (2,)
    np.testing.assert_allclose(motion.ang.sum(-1), 1, rtol=1e-5)
    assert (motion.mag > 0).all() and ((motion.bkg > 0) & (motion.bkg < 1)).all()


def test_the_three_networks_share_nothing(small):
    net, variables, x = small

    def bkg(params):
        return net.apply({**variables, "params": params}, x)[0].bkg.sum()

    gradient = jax.jit(jax.grad(bkg))(variables["params"])
    for name in ("ang", "mag"):
        assert all((leaf == 0).all() for leaf in jax.tree.leaves(gradient[name]))
    first = np.asarray(gradient["block0"]["conv"]["kernel"])
    own = first.shape[-1] // 3
    assert (first[..., : 2 * own] == 0).all() and (first[..., 2 * own :] != 0).any()


def test_volumes_are_resized_to_the_range_of_the_networks():
    x = np.zeros((1, 2, 40, 30, 3), np.uint8)
    x[0, 1] = 255
    y = prepare(jnp.array(x), 16)
    assert y.shape == (1, 2, 16, 16, 3) and y.dtype == jnp.float32
    np.testing.assert_allclose(y[0, 0], -1, atol=1e-5)
    np.testing.assert_allclose(y[0, 1], 1, atol=1e-5)


@pytest.mark.parametrize("frames", [1, 2, 5])
def test_pooling_equals_a_window_of_two(frames):
    x = np.random.default_rng(0).standard_normal((2, frames, 6, 4, 3)).astype(np.float32)
    for in_time in (False, True):
        step = 2 if in_time and frames > 1 else 1
        kept = x[:, : frames // step * step].reshape(2, -1, step, 3, 2, 2, 2, 3)
        np.testing.assert_array_equal(pool_volume(jnp.array(x), in_time), kept.max((2, 4, 6)))
