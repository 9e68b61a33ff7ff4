"""MATLAB files: what SciPy writes comes back; damaged ones are refused, whatever is damaged."""

import numpy as np
import pytest
import scipy.io

from vadjax.formats import mat
from vadjax.formats.mat import read_mat

KINDS = ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"]


@pytest.mark.parametrize("compressed", [False, True])
def test_numbers_of_every_kind_and_shape(tmp_path, compressed):
    rng = np.random.default_rng(0)
    values = {
        f"{kind}_{axes}": rng.integers(0, 100, (2, 3, 4)[:axes]).astype(kind)
        for kind in KINDS
        for axes in (2, 3)
    }
    values |= {
        "small": np.array([[7]], np.uint8),
        "none": np.zeros((0, 3)),
        "yes": np.array([[True]]),
    }
    scipy.io.savemat(tmp_path / "a.mat", values, do_compression=compressed)
    found = read_mat(tmp_path / "a.mat")
    assert list(found) == list(values)
    for name, value in values.items():
        assert found[name].dtype == (np.uint8 if name == "yes" else value.dtype), name
        np.testing.assert_array_equal(found[name], value, err_msg=name)
    assert list(read_mat(tmp_path / "a.mat", "small")) == ["small"]
    shapes = {name: (value.shape, False) for name, value in values.items()}
    assert mat.shapes(tmp_path / "a.mat") == shapes


@pytest.mark.parametrize("compressed", [False, True])
def test_cells_and_structs(tmp_path, compressed):
    cells = np.empty((2, 2), object)
    for place, value in zip(
        np.ndindex(2, 2), ([[1, 2]], [[3], [4]], np.zeros((0, 0)), "text"), strict=True
    ):
        cells[place] = np.array(value)
    nested = {"a": {"Anno": np.array([[5, 6]])}, "long_name": np.array([[1.5]])}
    scipy.io.savemat(tmp_path / "a.mat", {"c": cells, "s": nested}, do_compression=compressed)
    found = read_mat(tmp_path / "a.mat")
    for place in np.ndindex(2, 2):
        np.testing.assert_array_equal(found["c"][place].reshape(-1), cells[place].reshape(-1))
    assert found["c"].shape == (2, 2) and found["c"][1, 0].shape == (0, 0)
    struct = found["s"][0, 0]
    assert list(struct) == ["a", "long_name"] and struct["long_name"] == 1.5
    np.testing.assert_array_equal(struct["a"][0, 0]["Anno"], [[5, 6]])
    assert mat.shapes(tmp_path / "a.mat") == {"c": ((2, 2), True), "s": ((1, 1), False)}


def test_equal_shapes_in_cells_stay_apart(tmp_path):
    cells = np.empty((1, 3), object)
    for i in range(3):
        cells[0, i] = np.full((4, 5), i)
    scipy.io.savemat(tmp_path / "a.mat", {"volLabel": cells})
    found = read_mat(tmp_path / "a.mat")["volLabel"]
    assert found.shape == (1, 3) and [int(cell[3, 4]) for cell in found[0]] == [0, 1, 2]


def test_the_other_byte_order(tmp_path):
    """A file of a machine that stores the first byte first, made by hand: x = [1 258]."""
    numbers = np.array([1, 258], ">u2").tobytes()
    parts = np.array([6, 8, 11, 0, 5, 8, 1, 2], ">u4").tobytes()
    parts += (
        (1 << 16 | 1).to_bytes(4, "big") + b"x\0\0\0" + (4 << 16 | 4).to_bytes(4, "big") + numbers
    )
    head = b"MATLAB 5.0".ljust(124) + b"\1\0MI"
    (tmp_path / "a.mat").write_bytes(head + np.array([14, len(parts)], ">u4").tobytes() + parts)
    np.testing.assert_array_equal(read_mat(tmp_path / "a.mat")["x"], [[1, 258]])


def test_classes_that_are_not_read(tmp_path):
    for value, message in (
        (scipy.sparse.csc_array(np.eye(3)), "v: an array of class 5; expected numbers or cells"),
        (np.array([[1j]]), "v: complex numbers"),
    ):
        scipy.io.savemat(tmp_path / "a.mat", {"v": value})
        with pytest.raises(ValueError, match=f"a.mat: not a readable .mat file .{message}"):
            read_mat(tmp_path / "a.mat")


def test_more_than_the_file_can_hold(tmp_path, monkeypatch):
    deep = np.array([[1.0]])
    for _ in range(mat.DEPTH + 2):
        deep = {"a": deep}
    scipy.io.savemat(tmp_path / "a.mat", {"v": deep})
    with pytest.raises(ValueError, match="deep in each other"):
        read_mat(tmp_path / "a.mat")
    scipy.io.savemat(tmp_path / "a.mat", {"v": np.zeros((300, 300))}, do_compression=True)
    monkeypatch.setattr(mat, "MAX_BYTES", 100_000)  # it is small on disk and large in memory
    with pytest.raises(ValueError, match="cut short or too large|array of shape"):
        read_mat(tmp_path / "a.mat")


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_damaged_files_are_read_or_refused(tmp_path, compressed, seed):
    """SciPy 1.16 ends the interpreter on some of these."""
    cells = np.empty((1, 2), object)
    cells[0, 0], cells[0, 1] = np.array([[1], [2]]), np.zeros((2, 0))
    content = {"v": np.arange(20), "gt": cells, "s": {"a": np.ones(9), "b": np.zeros(3)}}
    path = tmp_path / "a.mat"
    scipy.io.savemat(path, content, do_compression=compressed)
    whole, rng, refused = path.read_bytes(), np.random.default_rng(seed), 0
    for _ in range(300):
        damaged = bytearray(whole)
        for _ in range(rng.integers(1, 6)):
            damaged[rng.integers(len(damaged))] = rng.integers(256)
        path.write_bytes(damaged[: rng.integers(len(damaged) // 2, len(damaged) + 1)])
        try:
            read_mat(path)
        except ValueError as error:
            refused += 1
            assert str(error).startswith(f"{path}: ")
    assert refused > 100
