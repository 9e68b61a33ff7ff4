"""Inception I3D against numbers of the original torch network, and its published weights."""

import functools
import json

import jax
import numpy as np
import pytest

from data_prep import weights
from tests.backbones import golden_i3d
from vadjax.backbones import i3d, i3d_weights
from vadjax.backbones.i3d import InceptionI3D
from vadjax.extractors.batched import digest_of
from vadjax.extractors.clips import load_i3d

PACKAGE = "i3d_rgb_kinetics400"


def pytest_generate_tests(metafunc):
    def random(name, case):
        return case["network"] in ("inception_rgb400", "inception_flow600")

    golden_i3d.parametrize(
        metafunc, "case", lambda name, case: random(name, case) and len(case["clip_seeds"]) == 1
    )
    golden_i3d.parametrize(
        metafunc,
        "batch_case",
        lambda name, case: random(name, case) and len(case["clip_seeds"]) > 1,
    )
    golden_i3d.parametrize(
        metafunc, "real_case", lambda name, case: case["network"] == "inception_real_rgb400"
    )
    golden_i3d.parametrize(
        metafunc,
        "one_real_case",
        lambda name, case: case["network"] == "inception_real_rgb400" and "clip_seeds" in case,
    )


@pytest.fixture(scope="module")
def folder(kinetics_i3d, tmp_path_factory):
    """What data_prep.weights makes of it."""
    out = tmp_path_factory.mktemp("weights") / "i3d"
    weights.main([PACKAGE, "--out", str(out), "--file", str(kinetics_i3d)])
    found = json.loads((out / "provenance.json").read_text())
    assert (found["network"], found["stream"], found["classes"]) == ("inception_i3d", "rgb", 400)
    assert found["sha256"] == weights.PUBLISHED[PACKAGE].sha256
    return out


@pytest.fixture(scope="module")
def variables_of():
    """Function: random weights of a case's network → variables, kept."""
    kept = {}

    def get(case):
        if case.network not in kept:
            stream = "flow" if "flow" in case.network else "rgb"
            arrays = case.weights()
            kept[case.network] = i3d_weights.to_variables(arrays, stream, case.network)
        return kept[case.network]

    return get


@functools.partial(jax.jit, static_argnums=2)
def run(variables, x, endpoints):
    classes = len(variables["params"]["logits"]["bias"])
    return InceptionI3D(classes).apply(variables, x, endpoints=endpoints)


def check(case, variables):
    """Compares all that is stored for a case."""
    stored = case.stored()
    maps = golden_i3d.probes(stored)
    whole = {name: name.removesuffix("/full") for name in stored if name.endswith("/full")}
    whole |= {name: name.rstrip("0123456789") for name in stored if "/" not in name}
    whole.pop("crop_checksum", None)
    assert whole
    found = run(variables, case.inputs(), tuple(sorted({*maps, *whole.values()})))
    for name in maps:
        golden_i3d.check_probe(stored, name, found[name])
    for name, endpoint in whole.items():
        golden_i3d.check_array(stored[name], found[endpoint], name)


@pytest.mark.parametrize(
    ("stream", "classes", "count"),
    [("rgb", 400, 12_697_264), ("flow", 400, 12_675_312), ("flow", 600, 12_880_312)],
)
def test_parameters(stream, classes, count):
    shapes = i3d.variable_shapes(stream, classes)
    assert sum(np.prod(leaf.shape) for leaf in jax.tree.leaves(shapes["params"])) == count


@pytest.mark.golden
def test_random_weights(case, variables_of):
    check(case, variables_of(case))


@pytest.fixture(scope="module")
def published_variables(kinetics_i3d):
    """The published weights."""
    return i3d_weights.read(kinetics_i3d)


@pytest.mark.golden
@pytest.mark.slow
def test_published_weights(real_case, published_variables):
    stored = real_case.stored()
    if "crop_checksum" in stored:
        clip = real_case.clips()[0]
        pixels = clip[0, 0, 0, 0], clip[5, 100, 100, 1], clip[15, 223, 223, 2]
        assert [clip.sum(dtype=np.int64), *pixels] == stored["crop_checksum"].tolist()
    check(real_case, published_variables)


@pytest.mark.golden
@pytest.mark.slow
def test_the_prepared_folder_gives_the_same(one_real_case, folder, published_variables):
    """The same weights, bit for bit; and one clip."""
    net = load_i3d(folder, batch=1)
    assert (net.width, net.stream, net.normalisation) == (1024, "rgb", "pm1")
    about = {"network": "inception_i3d", "stream": "rgb", "normalisation": "pm1"}
    assert net.digest == digest_of(published_variables, about)
    features = one_real_case.stored()["features"]
    golden_i3d.check_array(features, net(one_real_case.clips()), "features")


@pytest.mark.golden
@pytest.mark.parametrize("unbiased", [True, False])
def test_training_of_a_unit(batch_case, variables_of, unbiased):
    stored, name = batch_case.stored(), next(iter(i3d.LAYERS))
    variables = {kind: tree[name] for kind, tree in variables_of(batch_case).items()}
    unit = i3d.Unit(*i3d.LAYERS[name], unbiased)

    @jax.jit
    def train(variables, x):
        return unit.apply(variables, x, True, mutable=["batch_stats"])

    y, updated = train(variables, batch_case.inputs())
    for i in range(len(y)):
        golden_i3d.check_probe(stored, f"clip{i}", y[i : i + 1])
    statistics = updated["batch_stats"]["norm"]
    np.testing.assert_allclose(statistics["mean"], stored["running_mean"], rtol=0, atol=1e-6)
    off = np.abs(statistics["var"] - stored["running_var"]).max()
    assert off < 1e-6 if unbiased else 2e-6 < off < 6e-6


@functools.cache
def small():
    """Variables (all 0 or 1) and a clip of the smallest size with features."""
    shapes = i3d.variable_shapes()
    variables = jax.tree.map(lambda leaf: np.ones(leaf.shape, leaf.dtype), shapes)
    return variables, jax.ShapeDtypeStruct((1, 9, 193, 193, 3), np.float32)


def test_endpoints_by_name():
    variables, clip = small()

    def shapes(clip, **options):
        apply = functools.partial(InceptionI3D().apply, **options)
        return jax.eval_shape(apply, variables, clip)

    found = shapes(clip, endpoints=i3d.ENDPOINTS)
    assert set(found) == set(i3d.ENDPOINTS)
    assert found["features"].shape == (1, 1, 1, 1, 1024)
    assert found["logits"].shape == (1, 1, 1, 1, 400)
    tiny = jax.ShapeDtypeStruct((2, 5, 20, 30, 3), np.float32)
    assert shapes(tiny, endpoints=("Mixed_5c",))["Mixed_5c"].shape == (2, 1, 1, 1, 1024)
    with pytest.raises(ValueError, match="at least 9 frames of 193 × 193"):
        shapes(tiny)
    with pytest.raises(ValueError, match="'Mixed_9'.*expected some of Conv3d_1a_7x7"):
        shapes(tiny, endpoints=("Mixed_9",))


def test_training_needs_a_key_and_updates_all_statistics():
    variables, clip = small()

    def apply(variables, clip, key):
        return InceptionI3D().apply(
            variables, clip, True, ("logits",), rngs={"dropout": key}, mutable=["batch_stats"]
        )

    _, updated = jax.eval_shape(apply, variables, clip, jax.random.key(0))
    assert jax.tree.structure(updated["batch_stats"]) == jax.tree.structure(
        variables["batch_stats"]
    )
