"""NumPy's files: damaged ones are refused, whatever is damaged, and pickles always."""

import numpy as np
import pytest

from vadjax.formats.npy import HoldsObjects, read_npy, read_npz


def test_arrays_come_back(tmp_path):
    np.save(tmp_path / "a.npy", np.arange(6).reshape(2, 3))
    np.savez(tmp_path / "a.npz", x=np.arange(3), y=np.ones((2, 2)))
    np.testing.assert_array_equal(read_npy(tmp_path / "a.npy"), [[0, 1, 2], [3, 4, 5]])
    found = read_npz(tmp_path / "a.npz")
    assert list(found) == ["x", "y"] and found["y"].shape == (2, 2)


def test_pickles_are_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{}]), allow_pickle=True)
    np.savez(tmp_path / "a.npz", x=np.array([{}]), allow_pickle=True)
    for read, name in ((read_npy, "a.npy"), (read_npz, "a.npz")):
        with pytest.raises(
            HoldsObjects, match=f"{name}: not a readable .*: it holds Python objects"
        ):
            read(tmp_path / name)
        with pytest.raises(FileNotFoundError):
            read(tmp_path / f"none_{name}")


def test_more_than_is_expected(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", x=np.zeros(10_000))
    with pytest.raises(ValueError, match=r"a\.npz: .*arrays of 80,\d\d\d bytes; expected 1,000"):
        read_npz(tmp_path / "a.npz", 1000)


@pytest.mark.parametrize("name", ["a.npy", "a.npz"])
@pytest.mark.parametrize("seed", range(3))
def test_damaged_files_are_read_or_refused(tmp_path, name, seed):
    read, path = (read_npy, tmp_path / name) if name == "a.npy" else (read_npz, tmp_path / name)
    (np.save if name == "a.npy" else np.savez)(path, np.arange(9))
    whole, rng, refused = path.read_bytes(), np.random.default_rng(seed), 0
    for _ in range(300):
        damaged = bytearray(whole)
        for _ in range(rng.integers(1, 6)):
            damaged[rng.integers(len(damaged))] = rng.integers(256)
        path.write_bytes(damaged[: rng.integers(len(damaged) // 2, len(damaged) + 1)])
        try:
            read(path)
        except ValueError as error:
            refused += 1
            assert str(error).startswith(f"{path}: not a readable")
    assert refused > 50
