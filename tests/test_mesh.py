import jax
import numpy as np
import pytest

from vadjax import mesh
from vadjax.data.loader import Shard, iterate
from vadjax.data.records import Dataset
from vadjax.system import load
from vadjax.train import Loop

STEPS = 5


def losses(config, data, devices: int) -> list[float]:
    """Losses of the loop's own compiled update on so many devices."""
    system = load(config)
    grid = mesh.make(config.train.batch, devices)
    assert grid.size == devices
    loop = Loop(config, system, data, grid)
    state = mesh.put_state(grid, system.init(jax.random.key(0), data))
    batches = iterate(system.batches(data, Shard()))
    found = []
    for step in range(STEPS):
        batch = mesh.put_batch(grid, next(batches))
        state, scalars = loop.update(state, batch, jax.random.fold_in(jax.random.key(1), step))
        found.append(float(scalars["loss"]))
    return found


def test_gradients_are_summed_over_the_devices(mil_config, toy_bags):
    data, system = Dataset(toy_bags), load(mil_config)
    grid = mesh.make(8, 8)
    state = mesh.put_state(grid, system.init(jax.random.key(0), data))
    batch = mesh.put_batch(grid, next(iterate(system.batches(data, Shard()))))
    assert batch["normal"].sharding.shard_shape(batch["normal"].shape) == (1, 32, 32)
    loop = Loop(mil_config, system, data, grid)
    text = loop.update.lower(state, batch, jax.random.key(0)).compile().as_text()
    assert "all-reduce(" in text


def test_as_many_devices_as_share_the_batch_evenly():
    assert [mesh.make(batch).size for batch in (30, 32, 7, 1)] == [6, 8, 7, 1]
    assert mesh.make(30, devices=4).size == 3
    with pytest.raises(ValueError, match="train.devices is 9; this machine has 8"):
        mesh.make(8, devices=9)


def test_bfloat16_trains_to_nearly_the_same_loss(mil_config, toy_bags):
    data = Dataset(toy_bags)
    one = losses(mil_config, data, 1)
    mil_config.train.precision = "bfloat16"
    half = losses(mil_config, data, 1)
    assert one != half
    np.testing.assert_allclose(half, one, rtol=2e-2)
