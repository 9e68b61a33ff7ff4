import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vadjax.backbones.layers import ConvNorm, pool_volume


@pytest.mark.parametrize("train", [False, True])
def test_pooled_is_the_same_as_relu_and_pooling_after_it(train):
    x = jnp.asarray(np.random.default_rng(0).standard_normal((2, 3, 4, 6, 5)), jnp.float32)
    plain, pooled = (ConvNorm(8, (3, 3, 3), padding=1, pooled=pooled) for pooled in (False, True))
    variables = pooled.init(jax.random.key(0), x, train)
    variables["batch_stats"]["norm"]["mean"] = jnp.full(8, 0.1)
    variables["params"]["norm"]["scale"] = jnp.linspace(-1, 1, 8)

    def run(net, then):
        y, changed = net.apply(variables, x, train, mutable=["batch_stats"])
        return then(y), changed

    ours = run(pooled, lambda y: y)
    exact = run(plain, lambda y: pool_volume(nn.relu(y), in_time=False))
    assert jax.tree.structure(ours) == jax.tree.structure(exact)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-6), ours, exact)
