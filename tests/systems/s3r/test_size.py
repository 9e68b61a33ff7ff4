"""The published S3R at full size, by shapes alone: memory of its step, accelerators."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import shanghaitech_s3r, ucf_s3r
from vadjax.runtime import mesh
from vadjax.system import load_system
from vadjax.systems.s3r.system import State
from vadjax.train import Loop

CROPS, SEGMENTS, WIDTH = 10, 32, 2048
NORMAL = {shanghaitech_s3r: 175, ucf_s3r: 800}  # normal training videos of the published splits
MOST = 16e9  # bytes


@pytest.mark.slow
@pytest.mark.parametrize("config", NORMAL, ids=lambda config: config.__name__)
def test_the_published_step_fits_16_gb_and_lowers_for_accelerators(config):
    """32 + 32 bags × 10 crops × 32 × 2048; 3.8 GB here, by the analysis of the CPU's compiler."""
    videos, config = NORMAL[config], config.get_config()
    system = load_system(config)
    rows = jax.ShapeDtypeStruct((int(videos * config.model.dictionary_ratio), WIDTH), np.float32)
    bag = jax.ShapeDtypeStruct((config.train.batch, CROPS, SEGMENTS, WIDTH), np.float32)
    batch = {"normal": bag, "anomalous": bag}

    def init(rng, rows):
        variables = system.model.init(rng, jnp.zeros((1, 1, 1, WIDTH)), rows)
        params = variables["params"]
        return State(params, variables["batch_stats"], system.optimizer.init(params), rows)

    state = jax.eval_shape(init, jax.random.key(0), rows)
    leaves, tree = jax.tree.flatten(state)

    def step(leaves, batch, rng):
        state, scalars = system.update(jax.tree.unflatten(tree, leaves), batch, rng)
        return jax.tree.leaves(state), scalars

    jitted = jax.jit(step, donate_argnums=0)
    rng = jax.eval_shape(lambda: jax.random.key(0))
    loop = Loop(config, system, None, mesh.make(config.train.batch, 1))
    memory = loop.compile(state, batch, rng).memory_analysis()
    needed = (
        memory.argument_size_in_bytes
        + memory.output_size_in_bytes
        - memory.alias_size_in_bytes
        + memory.temp_size_in_bytes
    )
    print(f"{needed / 1e9:.2f} GB")
    assert 4 * sum(np.prod(leaf.shape) for leaf in (*leaves, bag, bag)) < needed < MOST
    for platform in ("cuda", "tpu"):
        exported = jax.export.export(jitted, platforms=[platform])(leaves, batch, rng)
        assert exported.platforms == (platform,)
