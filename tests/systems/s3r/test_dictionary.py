"""Dictionaries of S3R against those that the first authors' scripts made (spec s3r §3)."""

import itertools
import json
import pathlib
import pickle

import jax
import numpy as np
import pytest
from sklearn.decomposition import sparse_encode

from vadjax.data import bags
from vadjax.data.store.builder import write_dataset
from vadjax.data.store.records import Dataset
from vadjax.data.toy.datasets import ToyBags, write_bags
from vadjax.systems.s3r import __main__ as command
from vadjax.systems.s3r import dictionary, fit
from vadjax.systems.s3r.lasso import lasso
from vadjax.systems.s3r.omp import omp


@pytest.fixture(scope="module")
def settings(golden) -> dict:
    return json.loads((golden / "s3r" / "cases.json").read_text())["dictionary"]


def pytest_generate_tests(metafunc):
    """A test that asks for `case` runs once for each file of the golden folder."""
    if "case" in metafunc.fixturenames:
        folder = pathlib.Path(metafunc.config.getoption("--golden")) / "s3r"
        files = json.loads((folder / "cases.json").read_text())["dictionary"]["files"]
        metafunc.parametrize("case", files, indirect=True, scope="module")


@pytest.fixture(scope="module")
def case(golden, request):
    """What one of the files holds."""
    with np.load(golden / "s3r" / request.param) as file:
        return dict(file)


def stream(case, settings) -> np.random.RandomState:
    """The random stream behind the singular value decomposition that made `dict_init`."""
    rng = np.random.RandomState(settings["random_state"])
    rng.normal(size=(case["V"], case["n_slots"] + settings["svd_oversamples"]))
    return rng


def refit(case, rng, first, iterations):
    samples = case["video_mean"].T.astype(np.float64)
    order = fit.batches(len(samples), case["batch_size"], rng)

    def draw():
        return rng.standard_normal(samples.shape[1])

    size, alpha = int(case["batch_size"]), float(case["alpha"])
    return fit.fit(samples, first, order, draw, iterations, size, alpha)


def close(got, expected, tolerance, relative=0.0):
    np.testing.assert_allclose(got, expected, atol=tolerance, rtol=relative)


def reconstruction_error(case, codes, atoms) -> float:
    samples = case["video_mean"].T.astype(np.float64)
    return np.linalg.norm(samples - codes @ atoms) / np.linalg.norm(samples)


@pytest.mark.golden
def test_the_fit_is_the_original_step_by_step(case, settings):
    order = fit.batches(int(case["C"]), case["batch_size"], stream(case, settings))
    once = itertools.islice(order, -(-case["C"] // case["batch_size"]))
    np.testing.assert_array_equal(np.concatenate(list(once)), case["sample_order"])
    for steps in settings["component_iters"]:
        found = refit(case, stream(case, settings), case["dict_init"], steps)
        close(found.atoms, case[f"components_iter{steps}"], 1e-6)
    found = refit(case, stream(case, settings), case["dict_init"], int(case["n_iter"]))
    close(found.atoms, case["components_final"], 1e-6)
    close(found.inner, case["A_final"], 1e-6 * np.abs(case["A_final"]).max())
    close(found.outer.T, case["B_final"], 1e-6 * np.abs(case["B_final"]).max())
    assert found.drawn == case["new_random_atoms"]


@pytest.mark.golden
def test_codes_of_given_atoms(case):
    samples, atoms = case["video_mean"].T.astype(np.float64), case["components_final"]
    alpha = float(case["alpha"])
    codes = lasso(samples, atoms, alpha)
    close(codes, case["lasso_codes_final"], 1e-9)
    objective = 0.5 * ((samples - codes @ atoms) ** 2).sum() + alpha * np.abs(codes).sum()
    close(objective, case["lasso_objective_final"], 0, 1e-9)
    codes = dictionary.encode(samples, atoms, int(case["n_nonzero"]))
    close(codes.T, case["codes_T"], 1e-9)
    close(reconstruction_error(case, codes, atoms), case["rel_recon_error"], 1e-6)


@pytest.mark.golden
def test_learning_from_the_means_alone(case, settings):
    atoms = dictionary.count_atoms(int(case["V"]), float(case["ratio"]) / 100)
    assert atoms == case["n_slots"]
    found = dictionary.learn(
        case["video_mean"],
        atoms,
        iterations=int(case["n_iter"]),
        seed=settings["random_state"],
    )
    same = (np.abs(found - case["codes_T"]) < 3e-4).all(0)
    assert same.mean() >= 0.98  # a channel between two atoms may fall to the other one


@pytest.mark.golden
def test_an_exact_decomposition_to_start_from_does_as_well(case, settings):
    samples = case["video_mean"].T.astype(np.float64)
    _, values, vectors = np.linalg.svd(samples, full_matrices=False)
    first = (values[:, None] * vectors)[: case["n_slots"]]
    found = refit(case, stream(case, settings), first, int(case["n_iter"]))
    codes = dictionary.encode(samples, found.atoms, int(case["n_nonzero"]))
    assert reconstruction_error(case, codes, found.atoms) <= 1.05 * case["rel_recon_error"]


@pytest.mark.golden
def test_universal_dictionary(golden):
    with np.load(golden / "s3r" / "universal.npz") as case:
        segments = case["regular_features"].mean(1).reshape(-1, case["memory"].shape[1])
        alike = dictionary.similarity(segments, case["memory"])
        close(alike, case["similarity"], 1e-6)
        chosen = np.argsort(-alike)[: len(case["selected"])]
        np.testing.assert_array_equal(chosen, case["selected"])
        close(dictionary.universal(segments, case["memory"]), case["output"], 1e-6)


def moved_one_by_one(atoms, inner, outer, draw):
    """The update of the spec as it is written there, over columns (§3.2)."""
    columns, inner = atoms.T.copy(), inner.copy()
    residual = outer.T - columns @ inner
    for k in range(len(atoms)):
        residual += np.outer(columns[:, k], inner[k])
        columns[:, k] = residual @ inner[k]
        if np.linalg.norm(columns[:, k]) < 1e-10:
            columns[:, k] = draw()
            inner[k] = 0
            columns[:, k] /= np.linalg.norm(columns[:, k])
        else:
            columns[:, k] /= np.linalg.norm(columns[:, k])
            residual -= np.outer(columns[:, k], inner[k])
    return columns.T, inner


def compare_moves(atoms, inner, outer) -> int:
    """Compares a move with the one above; returns the atoms drawn anew."""
    draws = [np.random.default_rng(3) for _ in range(2)]
    found = fit.Fit(atoms, lambda: draws[0].standard_normal(atoms.shape[1]))
    found.inner, found.outer = inner.copy(), outer
    found._move_atoms()
    expected = moved_one_by_one(
        atoms, inner, outer, lambda: draws[1].standard_normal(atoms.shape[1])
    )
    close(found.atoms, expected[0], 1e-12)
    np.testing.assert_array_equal(found.inner, expected[1])
    return found.drawn


def test_moving_atoms_in_blocks_is_moving_them_one_by_one():
    rng = np.random.default_rng(0)
    count = 2 * fit.BLOCK + 5
    inner = rng.standard_normal((count, count))
    inner[rng.permutation(count)[:20]] = 0  # rows alone: those drawn anew before
    atoms, outer = rng.standard_normal((count, 9)), rng.standard_normal((count, 9))
    assert compare_moves(atoms, inner, outer) == 20


def test_an_atom_that_vanishes_is_drawn_anew():
    atoms = np.eye(2, 5)
    inner, outer = np.array([[1, 0.5], [0.5, 1]]), np.stack([0.5 * atoms[1], atoms[1]])
    assert compare_moves(atoms, inner, outer) == 1


def test_lasso_is_exact_on_nearly_collinear_atoms():
    """Against scikit-learn's path, and by the conditions of the optimum."""
    rng = np.random.default_rng(0)
    common = rng.random(30)
    atoms = common + 0.05 * rng.standard_normal((40, 30))
    atoms[5] = 0
    samples = 4 * common * rng.random((25, 1)) + rng.standard_normal((25, 30))
    samples[3] = 0
    codes = lasso(samples, atoms, 0.1)
    expected = sparse_encode(samples, atoms, algorithm="lasso_lars", alpha=0.1, max_iter=4000)
    close(codes, expected, 1e-9)
    slopes = (samples - codes @ atoms) @ atoms.T
    assert np.abs(slopes).max() <= 0.1 + 1e-9
    close(slopes[codes != 0], 0.1 * np.sign(codes[codes != 0]), 1e-9)
    assert (codes != 0).sum() > 3 * len(samples) and not codes[3].any() and not codes[:, 5].any()


def test_lasso_of_equal_atoms_uses_one_of_them():
    atoms = np.random.default_rng(0).standard_normal((6, 10))
    samples = 3 * np.random.default_rng(1).standard_normal((20, 10))
    once = lasso(samples, atoms, 1.0)
    twice = lasso(samples, np.concatenate([atoms, atoms]), 1.0)
    close(twice[:, :6] + twice[:, 6:], once, 1e-9)


def test_pursuit_of_any_number_of_atoms():
    rng = np.random.default_rng(0)
    atoms, samples = rng.standard_normal((12, 8)), rng.standard_normal((15, 8))
    atoms /= np.linalg.norm(atoms, axis=1, keepdims=True)
    samples[2] = 2 * atoms[4]  # one atom is enough
    samples[5] = 0
    for nonzeros in (1, 3):
        codes = dictionary.encode(samples, atoms, nonzeros)
        expected = []
        for sample in samples:  # the greedy rule, one sample and one pick at a time
            chosen, fitted = [], np.zeros(0)
            for _ in range(nonzeros):
                slopes = atoms @ (sample - fitted @ atoms[chosen])
                if slopes[pick := np.abs(slopes).argmax()] ** 2 < 2.2e-16:
                    break
                chosen.append(pick)
                fitted = np.linalg.lstsq(atoms[chosen].T, sample)[0]
            expected.append(np.zeros(12))
            expected[-1][chosen] = fitted
        close(codes, expected, 1e-9)
        assert (codes[2] != 0).sum() == 1 and not codes[5].any()
    with jax.enable_x64(False):
        assert omp(np.float32(samples), np.float32(atoms), 2).dtype == np.float32


def test_atoms_in_the_space_of_the_features():
    """Samples of few kinds: the atoms point where the samples do."""
    rng = np.random.default_rng(0)
    kinds = rng.random((3, 50)) * 4
    samples = kinds[rng.integers(0, 3, 90)] + 0.1 * rng.standard_normal((90, 50))
    found = dictionary.learn(samples, 6, layout="atoms")
    assert found.shape == (6, 50)
    close(np.linalg.norm(found, axis=1), np.linalg.norm(samples, axis=1).mean(), 0, 1e-9)
    units = samples / np.linalg.norm(samples, axis=1, keepdims=True)
    atoms = found / np.linalg.norm(found, axis=1, keepdims=True)
    codes = dictionary.encode(units, atoms, 2)
    assert np.linalg.norm(units - codes @ atoms, axis=1).max() < 0.1


@pytest.mark.parametrize(
    ("means", "atoms", "layout", "message"),
    [
        (np.zeros((0, 8)), 2, "codes", r"\(0, 8\), expected .* at least one"),
        (np.ones(8), 2, "codes", r"\(8,\), expected \[videos, width\]"),
        (np.full((3, 8), np.nan), 2, "codes", "24 of 24 are NaN"),
        (np.zeros((3, 8)), 2, "atoms", "all values are 0"),
        (np.ones((3, 8)), 0, "codes", "0 atoms from 3 videos"),
        (np.ones((3, 8)), 2, "words", "dictionary_layout is 'words'; expected one of codes, atoms"),
    ],
)
def test_what_nothing_can_be_learned_from(means, atoms, layout, message):
    with pytest.raises(ValueError, match=message):
        dictionary.learn(means, atoms, layout=layout)


def test_files_of_dictionaries(tmp_path):
    found = np.random.default_rng(0).standard_normal((5, 8))
    np.save(tmp_path / "d.npy", found)
    (tmp_path / "d.pickle").write_bytes(pickle.dumps(found))
    np.save(tmp_path / "objects.npy", found.astype(object), allow_pickle=True)
    for name in ("d.npy", "d.pickle", "objects.npy"):
        got = dictionary.read(tmp_path / name, 8)
        assert got.dtype == np.float32
        np.testing.assert_array_equal(got, found.astype(np.float32))


class Code:
    """Pickles as a call."""

    def __reduce__(self):
        return print, ("this must not be printed",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (np.ones(8), r"\(8,\); a dictionary is \[rows, width\]"),
        (np.full((2, 8), np.nan), "16 of 16 values are NaN"),
        (np.ones((2, 6)), "2 rows of width 6, but the features have 8 columns"),
        (np.array(["a"]), "<U1; expected an array of numbers"),
        (np.array([[Code()]]), "refused.*it calls"),
    ],
)
def test_arrays_that_are_no_dictionary(tmp_path, content, message, capsys):
    np.save(tmp_path / "d.npy", content, allow_pickle=True)
    with pytest.raises(ValueError, match=message):
        dictionary.read(tmp_path / "d.npy", 8)
    assert not capsys.readouterr().out


def test_pickles_that_are_no_dictionary(tmp_path, capsys):
    (tmp_path / "d.pickle").write_bytes(pickle.dumps({"feature": {"a": np.ones((1, 2, 3))}}))
    with pytest.raises(ValueError, match="features of videos, not a dictionary. Learn one from"):
        dictionary.read(tmp_path / "d.pickle")
    (tmp_path / "d.pickle").write_bytes(pickle.dumps([Code()]))
    with pytest.raises(ValueError, match="refused"):
        dictionary.read(tmp_path / "d.pickle")
    (tmp_path / "d.npy").write_bytes(b"\x93NUMPY\x01\x00cut")
    with pytest.raises(ValueError, match="refused"):
        dictionary.read(tmp_path / "d.npy")
    with pytest.raises(FileNotFoundError, match="--out .*none.npy"):
        dictionary.read(tmp_path / "none.npy")
    assert not capsys.readouterr().out


def run(*flags) -> None:
    command.main(["dictionary", *map(str, flags)])


def test_command_on_a_dataset(toy_bags, small_bags, tmp_path, capsys):
    out = tmp_path / "made" / "d.npy"
    run("--data", toy_bags, "--out", out, "--ratio", "0.5")
    found = dictionary.read(out, 2 * small_bags.width)
    means = dictionary.normal_means(toy_bags)
    assert len(means) == Dataset(toy_bags).splits["train"]["normal"]
    assert len(found) == round(len(means) / 2) and ((found != 0).sum(0) <= 2).all()
    text = capsys.readouterr().out
    assert f"Wrote {out}: {len(found)} × {found.shape[1]} float64" in text
    with pytest.raises(SystemExit, match="exists and is left as it is"):
        run("--data", toy_bags, "--out", out)
    run("--data", toy_bags, "--out", tmp_path / "u.npy", "--universal", out)
    assert len(dictionary.read(tmp_path / "u.npy")) == len(found) // 2 + 1
    run("--data", toy_bags, "--out", tmp_path / "a.npy", "--layout", "atoms")
    assert [path.name for path in tmp_path.glob(".*")] == []


def test_command_on_the_pickle_of_the_first_authors(tmp_path):
    rng = np.random.default_rng(0)
    features = {f"v{i}": rng.random((2, 4, 16)).astype(np.float32) for i in range(8)}
    path = tmp_path / "regular_features.pickle"
    path.write_bytes(pickle.dumps({"feature": features}))
    run("--data", path, "--out", tmp_path / "d.npy", "--ratio", "0.5")
    means = np.stack([array.mean((0, 1)) for array in features.values()])
    expected = dictionary.learn(means, 4).astype(np.float32)
    close(dictionary.read(tmp_path / "d.npy"), expected, 1e-6)


def _with_nan() -> np.ndarray:
    found = np.ones((2, 4, 16), np.float32)
    found[1, 2, 3] = np.nan
    return found


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (_with_nan(), "'b': 1 of 128 values are NaN or infinite"),
        (np.full((2, 4, 16), 1e300), "'b': 128 of 128 values are NaN or infinite"),
        (np.ones((2, 4, 8)), r"'b' is \(2, 4, 8\); expected \[crops, segments, 16\]"),
        (np.ones((0, 4, 16)), r"'b' is \(0, 4, 16\); expected \[crops, segments, 16\]"),
        (np.ones((4, 16)), r"'b' is \(4, 16\)"),
        ([1, 2], "'b' is no array of numbers"),
    ],
)
@pytest.mark.parametrize("universal", [False, True])
def test_features_in_pickles_that_cannot_be_used(tmp_path, array, message, universal):
    path, memory = tmp_path / "features.pickle", tmp_path / "memory.npy"
    path.write_bytes(pickle.dumps({"feature": {"a": np.ones((2, 4, 16)), "b": array}}))
    np.save(memory, np.ones((4, 16)))
    more = ("--universal", memory) if universal else ()
    with pytest.raises(SystemExit, match=rf"features\.pickle: {message}"):
        run("--data", path, "--out", tmp_path / "d.npy", *more)


def test_features_that_nothing_can_be_learned_from_are_named(tmp_path):
    path = tmp_path / "features.pickle"
    path.write_bytes(pickle.dumps({"feature": {"a": np.zeros((2, 4, 16))}}))
    with pytest.raises(SystemExit, match=r"all values are 0 \(.*features\.pickle\)"):
        run("--data", path, "--out", tmp_path / "d.npy", "--ratio", "1")
    np.save(tmp_path / "m.npy", np.ones((4, 8)))
    with pytest.raises(SystemExit, match=r"of the same width \(.*m\.npy, .*features\.pickle\)"):
        run("--data", path, "--out", tmp_path / "d.npy", "--universal", tmp_path / "m.npy")


def test_features_of_a_dataset_that_are_not_finite_are_named(tmp_path):
    bag = bags.Bag("v1", 0, "n", bags.UNKNOWN_LENGTH, np.zeros((0, 2)), _with_nan())
    write_dataset(
        tmp_path / "data",
        name="x",
        kind=bags.KIND,
        features=bags.tfds_features(16),
        splits={"train": [bag.to_example()]},
        extra={"streams": {"features": 16}},
    )
    with pytest.raises(SystemExit, match=r"data \(train\): v1: 1 of 128 values are NaN"):
        run("--data", tmp_path / "data", "--out", tmp_path / "d.npy")


def test_command_without_normal_videos(tmp_path):
    write_bags(tmp_path / "data", ToyBags(train=(0, 3), test=(1, 1), width=4))
    with pytest.raises(SystemExit, match="no normal training video"):
        run("--data", tmp_path / "data", "--out", tmp_path / "d.npy")
    assert not (tmp_path / "d.npy").exists()
