"""One, two and eight devices give the same losses and the same figures."""

import jax
import numpy as np
import optax
import pytest

from tests.helpers import systems
from vadjax import evaluate
from vadjax.data.store.loader import Shard, iterate
from vadjax.data.store.records import Dataset
from vadjax.runtime import mesh
from vadjax.runtime.checkpoint import Checkpoints
from vadjax.system import load_system
from vadjax.train import Loop

STEPS, BATCH = 20, 8
RATES = {"lgn": 1e-5}  # its memory would make more of rounding noise
WHOLE = {"lgn"}  # MNAD is the same system; tests/systems/lgn/test_units.py has LGN-Net's loss


def marked(name: str):
    """A method for `parametrize`: convolutions take long to compile."""
    marks = [pytest.mark.slow] * (systems.kind_of(name) != "features")
    return pytest.param(name, marks=[*marks, *[pytest.mark.whole] * (name in WHOLE)])


TRAINED = [marked(name) for name in systems.METHODS if systems.trains_by_steps(name)]


@pytest.fixture(scope="module")
def data(toy_bags, tmp_path_factory) -> dict[str, Dataset]:
    """A toy set of every kind; the scenes are small, for what a convolution takes to compile."""
    from vadjax.data.toy.datasets import write_images, write_scenes
    from vadjax.data.toy.images import ToyImages
    from vadjax.data.toy.scenes import ToyScenes

    work = tmp_path_factory.mktemp("data")
    write_scenes(work / "scenes", ToyScenes(train=2, test=2, frames=12, height=32, width=40))
    write_images(work / "images", ToyImages(train=16, test=8, size=32))
    folders = {"features": toy_bags, "frames": work / "scenes", "images": work / "images"}
    return {kind: Dataset(folder) for kind, folder in folders.items()}


def config_of(name: str, devices: int, **fields):
    config = systems.config_of(name)
    fields = {"train.batch": BATCH, "train.devices": devices, **fields}
    if name == "motion":
        fields["model.window"], fields["data.step"] = (4, 16, 16), (4, 16, 16)
    config.update_from_flattened_dict(fields)
    return config


def start(config, data, first=None):
    """System, loop and first state (`first` if given), for plain gradient descent.

    Adam would turn rounding noise into whole steps.
    """
    system = load_system(config)
    own = data[system.kind]
    config.data.dir = str(own.folder)
    system.optimizer = optax.sgd(RATES.get(config.system, 1e-3))
    grid = mesh.make(config.train.batch, config.train.devices)
    first = system.init(jax.random.key(0), own) if first is None else first
    return system, Loop(config, system, own, grid), mesh.put_state(grid, first, config.train.fsdp)


def steps(system, loop, state, first: int = 0, last: int = STEPS):
    """State and losses of the steps after `first`, up to `last`."""
    found, update = [], None
    batches = iterate(system.batches(loop.data, Shard()), first=first)
    for step in range(first + 1, last + 1):
        given = state, mesh.put_batch(loop.devices, next(batches)), jax.random.key(step)
        update = update or loop.compile(*given)
        state, scalars = update(*given)
        found.append(scalars["loss"])
    return state, np.array(found)


def figures(name: str, devices: int, state, data) -> dict:
    """Figures of a state, every video scored once by so many devices."""
    config = config_of(name, devices)
    system = load_system(config)
    own = data[system.kind]
    config.data.dir = str(own.folder)
    final = system.finalize(mesh.local(state), own)
    if not system.scores_videos:
        return system.figures(final, own)
    videos = system.videos(own, "test")
    found = list(system.score(final, videos))
    assert len({one.video for one in found}) == len(found) == len(videos)
    return evaluate.figures(config, found)


@pytest.mark.parametrize("name", TRAINED)
def test_twenty_steps_and_the_figures(name, data, request):
    """One device and eight; with --whole two as well."""
    alone = start(config_of(name, 1), data)
    first = jax.device_get(alone[2])
    state, expected = steps(*alone)
    assert len(set(expected.tolist())) == STEPS
    known = figures(name, 1, state, data)
    for devices in (2, 8) if request.config.getoption("--whole") else (8,):
        _, found = steps(*start(config_of(name, devices), data, first))
        np.testing.assert_allclose(found, expected, rtol=1e-5)
        measured = figures(name, devices, state, data)
        assert measured.keys() == known.keys()
        np.testing.assert_allclose(list(measured.values()), list(known.values()), rtol=1e-6)


def test_a_checkpoint_of_one_device_goes_on_on_eight_and_back(data, tmp_path):
    _, expected = steps(*start(config_of("mil", 1), data))
    state, done, losses = None, 0, []
    for devices, last in ((1, 5), (8, 12), (1, STEPS)):
        system, loop, state = start(config_of("mil", devices), data)
        with Checkpoints(tmp_path) as checkpoints:
            if done:
                state, saved = checkpoints.restore(mesh.abstract(loop.devices, state))
                assert saved == done
                sets = {len(leaf.sharding.device_set) for leaf in jax.tree.leaves(state)}
                assert sets == {devices}
            state, found = steps(system, loop, state, done, last)
            checkpoints.save(last, state)
        losses.extend(found)
        done = last
    np.testing.assert_allclose(losses, expected, rtol=1e-5)


def test_shared_parameters_train_as_whole_ones(data, tmp_path, monkeypatch):
    monkeypatch.setattr(mesh, "FSDP_SMALLEST", 64)
    _, expected = steps(*start(config_of("s3r", 1), data))
    system, loop, state = start(config_of("s3r", 8, **{"train.fsdp": True}), data)

    def largest(state):
        leaf = max(jax.tree.leaves(state.params), key=np.size)
        return np.prod(leaf.sharding.shard_shape(leaf.shape)) / leaf.size

    assert largest(state) == 1 / 8
    state, found = steps(system, loop, state)
    assert largest(state) == 1 / 8
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    whole = mesh.local(state)
    assert {len(leaf.sharding.device_set) for leaf in jax.tree.leaves(whole)} == {1}
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(STEPS, state)
        checkpoints.wait()
        restored, _ = checkpoints.restore(mesh.abstract(mesh.make(BATCH, 1), whole))
    for one, other in zip(jax.tree.leaves(whole), jax.tree.leaves(restored), strict=True):
        np.testing.assert_array_equal(one, other)
