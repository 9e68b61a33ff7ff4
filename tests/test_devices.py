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
    dataset = data[system.kind]
    config.data.dir = str(dataset.folder)
    system.optimizer = optax.sgd(RATES.get(config.system, 1e-3))
    devices = mesh.make(config.train.batch, config.train.devices)
    first = system.init(jax.random.key(0), dataset) if first is None else first
    return (
        system,
        Loop(config, system, dataset, devices),
        mesh.put_state(devices, first, config.train.fsdp),
    )


def steps(system, loop, state, first: int = 0, last: int = STEPS):
    """State and losses of the steps after `first`, up to `last`."""
    losses, update = [], None
    batches = iterate(system.batches(loop.data, Shard()), first=first)
    for step in range(first + 1, last + 1):
        arguments = state, mesh.put_batch(loop.devices, next(batches)), jax.random.key(step)
        update = update or loop.compile(*arguments)
        state, scalars = update(*arguments)
        losses.append(scalars["loss"])
    return state, np.array(losses)


def figures(name: str, devices: int, state, data) -> dict:
    """Figures of a state, every video scored once by so many devices."""
    config = config_of(name, devices)
    system = load_system(config)
    dataset = data[system.kind]
    config.data.dir = str(dataset.folder)
    final = system.finalize(mesh.local(state), dataset)
    if not system.scores_videos:
        return system.figures(final, dataset)
    videos = system.videos(dataset, "test")
    scores = list(system.score(final, videos))
    assert len({of_video.video for of_video in scores}) == len(scores) == len(videos)
    return evaluate.figures(config, scores)


@pytest.mark.parametrize("name", TRAINED)
def test_twenty_steps_and_the_figures(name, data, request):
    """One device and eight; with --whole two as well."""
    alone = start(config_of(name, 1), data)
    first = jax.device_get(alone[2])
    state, expected = steps(*alone)
    assert len(set(expected.tolist())) == STEPS
    expected_figures = figures(name, 1, state, data)
    for devices in (2, 8) if request.config.getoption("--whole") else (8,):
        _, losses = steps(*start(config_of(name, devices), data, first))
        np.testing.assert_allclose(losses, expected, rtol=1e-5)
        measured = figures(name, devices, state, data)
        assert measured.keys() == expected_figures.keys()
        np.testing.assert_allclose(
            list(measured.values()), list(expected_figures.values()), rtol=1e-6
        )


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
            state, new_losses = steps(system, loop, state, done, last)
            checkpoints.save(last, state)
        losses.extend(new_losses)
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
    state, losses = steps(system, loop, state)
    assert largest(state) == 1 / 8
    np.testing.assert_allclose(losses, expected, rtol=1e-5)
    local = mesh.local(state)
    assert {len(leaf.sharding.device_set) for leaf in jax.tree.leaves(local)} == {1}
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(STEPS, state)
        checkpoints.wait()
        restored, _ = checkpoints.restore(mesh.abstract(mesh.make(BATCH, 1), local))
    for leaf, restored_leaf in zip(jax.tree.leaves(local), jax.tree.leaves(restored), strict=True):
        np.testing.assert_array_equal(leaf, restored_leaf)
