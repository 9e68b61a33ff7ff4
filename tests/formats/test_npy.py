"""NumPy's files: damaged ones are refused, whatever is damaged, and pickles always."""

import io
import tracemalloc
import warnings
import zipfile

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


def header(shape: tuple, kind: str = "<f8") -> bytes:
    """The first bytes of an `.npy` file of that shape."""
    file = io.BytesIO()
    about = {"descr": kind, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, about)
    return file.getvalue()


@pytest.mark.parametrize("count", [-1, 1, 8, 1000])
def test_bytes_are_as_many_as_the_header_says(tmp_path, count):
    np.save(tmp_path / "a.npy", np.arange(4.0))
    content = (tmp_path / "a.npy").read_bytes()
    content = content[:count] if count < 0 else content + bytes(count)
    (tmp_path / "a.npy").write_bytes(content)
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("x.npy", content)
    for read, name in ((read_npy, "a.npy"), (read_npz, "a.npz")):
        have = 32 + count
        with pytest.raises(ValueError, match=rf"{name}: .*{have:,} bytes for float64 \(4,\)"):
            read(tmp_path / name)


def test_headers_for_terabytes(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("x.npy", header((1 << 40,)))
    with pytest.raises(ValueError, match=r"a\.npz: .*0 bytes for float64 \(1099511627776,\)"):
        read_npz(tmp_path / "a.npz")


def test_an_archive_that_claims_a_thousand_times_its_bytes(tmp_path):
    """Refused by its directory: reading it would make 400 MB from 400 kB."""
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("x.npy", "w") as file:
            file.write(header((50, 1 << 20)))
            for _ in range(50):
                file.write(bytes(8 << 20))
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"a\.npz: .*419,4\d\d,\d\d\d bytes unpacked from"):
        read_npz(tmp_path / "a.npz")
    assert tracemalloc.get_traced_memory()[1] < 10e6
    tracemalloc.stop()


def test_archives_that_are_refused(tmp_path):
    content, path = header((0,)), tmp_path / "a.npz"

    def refused(message, change=lambda raw: raw, names=("x.npy",), method=zipfile.ZIP_STORED):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a name that is there twice
            with zipfile.ZipFile(path, "w", method) as archive:
                for name in names:
                    archive.writestr(name, content)
        path.write_bytes(change(bytearray(path.read_bytes())))
        with pytest.raises(ValueError, match=rf"a\.npz: not a readable .*{message}"):
            read_npz(path)

    def encrypted(raw):
        raw[raw.index(b"PK\1\2") + 8] |= 1
        return raw

    def unknown_method(raw):
        raw[raw.index(b"PK\1\2") + 10] = 99
        return raw

    def claims(raw):
        at = raw.index(b"PK\1\2") + 24
        raw[at : at + 4] = (1 << 31).to_bytes(4, "little")
        return raw

    refused("'x.npy' is encrypted", encrypted)
    refused("'x.npy' is not stored or compressed by deflate", unknown_method)
    refused("is not stored", method=zipfile.ZIP_LZMA)
    refused("'x.npy' claims 2,147,483,648 bytes", claims)
    refused("'x.npy' is there twice", names=("x.npy", "x.npy"))
    refused("leads out of the folder", names=("../x.npy",))
    refused("absolute path", names=("/x.npy",))
    refused("cannot be shown", names=("x\nb.npy",))
    refused("'x.txt' is no array", names=("x.txt",))


def test_orders_and_empty_arrays(tmp_path):
    for array in (np.asfortranarray(np.arange(6).reshape(2, 3)), np.zeros((0, 4)), np.array(5)):
        np.save(tmp_path / "a.npy", array)
        np.savez_compressed(tmp_path / "a.npz", x=array)
        np.testing.assert_array_equal(read_npy(tmp_path / "a.npy"), array)
        np.testing.assert_array_equal(read_npz(tmp_path / "a.npz")["x"], array)
