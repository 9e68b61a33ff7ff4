import jax
import pytest

from vadjax.data.store.loader import Shard, iterate
from vadjax.data.store.records import Dataset
from vadjax.runtime import mesh
from vadjax.system import load_system
from vadjax.train import Loop


def test_gradients_are_summed_over_the_devices(mil_config, toy_bags):
    data, system = Dataset(toy_bags), load_system(mil_config)
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
