"""ResNet-50 I3D, without and with non-local blocks, against numbers of the original network."""

import functools

import jax
import numpy as np
import pytest

from tests.backbones import golden_i3d
from vadjax.backbones import resnet3d, resnet3d_weights
from vadjax.backbones.resnet3d import ResNet50I3D

ATTENTION = "layer2.1.attn_"
NETWORKS = {"resnet50_base": False, "resnet50_nl": True}


def pytest_generate_tests(metafunc):
    golden_i3d.parametrize(metafunc, "case", lambda name, case: case["network"] in NETWORKS)


@functools.partial(jax.jit, static_argnums=(2, 3))
def run(variables, x, non_local, endpoints):
    return ResNet50I3D(non_local).apply(variables, x, endpoints=endpoints)


@pytest.fixture(scope="module")
def variables_of():
    """Function: random weights of a case's network → variables, kept."""
    kept = {}

    def get(case):
        if case.network not in kept:
            arrays, non_local = case.weights(), NETWORKS[case.network]
            kept[case.network] = resnet3d_weights.to_variables(arrays, non_local, case.network)
        return kept[case.network]

    return get


@pytest.mark.golden
def test_random_weights(case, variables_of):
    stored, non_local = case.stored(), NETWORKS[case.network]
    variables = variables_of(case)
    maps, whole = golden_i3d.probes(stored), ("features", "logits")
    attention = [f"{ATTENTION.removesuffix('attn_')}attention"] if non_local else []
    found = run(variables, case.inputs(), non_local, (*maps, *whole, *attention))
    for name in maps:
        golden_i3d.check_probe(stored, name, found[name])
    for name in whole:
        golden_i3d.check_array(stored[name], found[name], name)
    for name in attention:
        check_attention(stored, found[name][0])
    keys = {name.split("/")[0] for name in stored if not name.startswith(ATTENTION)}
    assert keys == {*maps, *whole}


def check_attention(stored, attention):
    assert attention.shape == tuple(stored[f"{ATTENTION}shape"])
    entropy = -(attention * np.log(attention)).sum(1)
    got = {"rowmax_mean": attention.max(1).mean(), "entropy_mean": entropy.mean()}
    for key, value in got.items():
        assert value == pytest.approx(float(stored[ATTENTION + key]), rel=golden_i3d.TOLERANCE)


@pytest.mark.parametrize(
    ("non_local", "count", "arrays"), [(False, 28_043_472, 267), (True, 35_401_936, 327)]
)
def test_parameters(non_local, count, arrays):
    shapes = resnet3d.variable_shapes(non_local)
    assert sum(np.prod(leaf.shape) for leaf in jax.tree.leaves(shapes["params"])) == count
    assert len(jax.tree.leaves(shapes)) == arrays


def test_what_it_refuses():
    shapes = resnet3d.variable_shapes()

    def maps(frames, *endpoints):
        clip = jax.ShapeDtypeStruct((1, frames, 32, 32, 3), np.float32)
        apply = functools.partial(ResNet50I3D().apply, endpoints=endpoints)
        return jax.eval_shape(apply, shapes, clip)

    assert maps(7, "layer4")["layer4"].shape == (1, 1, 1, 1, 2048)
    with pytest.raises(ValueError, match="clips of 6 frames; this network needs 7"):
        maps(6, "features")
    with pytest.raises(ValueError, match=r"endpoints \['layer2.1.nl_in'\]; expected some of conv1"):
        maps(7, "layer2.1.nl_in")


def test_training_updates_all_statistics_and_a_new_non_local_block_changes_nothing():
    net, clip = ResNet50I3D(True), jax.ShapeDtypeStruct((2, 8, 32, 32, 3), np.float32)
    shapes = resnet3d.variable_shapes(True)

    def train(variables, clip, key):
        return net.apply(
            variables, clip, True, ("logits",), rngs={"dropout": key}, mutable=["batch_stats"]
        )

    _, updated = jax.eval_shape(train, shapes, clip, jax.random.key(0))
    assert jax.tree.structure(updated["batch_stats"]) == jax.tree.structure(shapes["batch_stats"])
    block, x = resnet3d.NonLocal(), np.ones((1, 2, 4, 4, 8), np.float32)

    def fresh(key, x):
        return block.apply(block.init(key, x, False), x, False)[0]

    np.testing.assert_array_equal(jax.jit(fresh)(jax.random.key(0), x), x)
