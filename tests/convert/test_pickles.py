"""Pickles are bounded: in the number of values, in depth, in what is made of them."""

import contextlib
import io
import pickle
import time
import tracemalloc
import zipfile
from collections import OrderedDict

import numpy as np
import pytest

from tests.helpers import special_files
from vadjax.convert import arrays, pickles

TRACED = 2.0  # so many times as long it takes, at the most, where memory is traced


def doubled(kind: bytes, times: int = 40) -> bytes:
    """A pickle of a list, tuple or dict that holds two of the one before, so many times."""
    content = b"]" if kind == b"l" else b"K\x01"
    for i in range(times):
        memo = bytes([i])
        if kind == b"l":  # (x x l
            content += b"q" + memo + b"0(h" + memo + b"h" + memo + b"l"
        elif kind == b"d":  # {"a": x, "b": x}
            content += b"q" + memo + b"0(U\x01ah" + memo + b"U\x01bh" + memo + b"d"
        else:
            content += b"q" + memo + b"h" + memo + b"\x86"
    return content


BOMBS = {
    "lists": b"\x80\x02" + doubled(b"l") + b".",
    "tuples": b"\x80\x02" + doubled(b"t") + b".",
    "dicts": b"\x80\x02" + doubled(b"d") + b".",
    "tuples behind a million values": b"\x80\x02]("
    + 1_000_000 * b"N"
    + b"e0"
    + doubled(b"t")
    + b".",
    "arguments": b"\x80\x02c_codecs\nencode\nq\x00("
    + 200_000 * b"N"
    + b"tq\x01"
    + 100_000 * b"h\x00h\x01R"
    + b".",
    "arguments that are a list": b"\x80\x02c_codecs\nencode\n]R.",
    "a key": b"\x80\x02}" + doubled(b"t") + b"K\x01s.",
    "keys": b"\x80\x02}(" + doubled(b"t") + b"K\x01u.",
    "keys of the old kind": b"\x80\x02(" + doubled(b"t") + b"K\x01d.",
    "a set": b"\x80\x04\x8f(" + doubled(b"t") + b"\x90.",
    "a frozen set": b"\x80\x04(" + doubled(b"t") + b"\x91.",
    "deep": b"\x80\x02" + 2000 * b"(" + b"K\x01" + 2000 * b"l" + b".",
    "itself": b"\x80\x02]q\x00h\x00a.",
    "bytes that are not there": b"\x80\x05\x96" + (1 << 40).to_bytes(8, "little") + b".",
    "a text that is not there": b"\x80\x04\x8d" + (1 << 40).to_bytes(8, "little") + b".",
    "a frame that is not there": b"\x80\x04\x95" + (1 << 50).to_bytes(8, "little") + b"N",
    "a state of a function": b"\x80\x02c_codecs\nencode\n}b.",
    "a state of a class": b"\x80\x02cnumpy\nndarray\n}b.",
}


@pytest.mark.parametrize("name", BOMBS)
def test_pickles_without_end(tmp_path, name):
    path = tmp_path / "w.pkl"
    path.write_bytes(BOMBS[name])
    with bounded(), pytest.raises(ValueError, match=r"w\.pkl: refused, not a pickle"):
        arrays.read_pickle(path)


@contextlib.contextmanager
def bounded(seconds: float = 2.0, megabytes: float = 200.0):
    """Fails where the block works longer, or takes more memory at a time."""
    tracemalloc.start()
    start = time.process_time()
    try:
        with special_files.within(60):
            yield
        assert time.process_time() - start < seconds * TRACED
        assert tracemalloc.get_traced_memory()[1] < megabytes * 1e6
    finally:
        tracemalloc.stop()


def test_what_is_named_again_counts_again(tmp_path):
    """As often as it is named, with all that it holds; and so does not take memory again."""
    path = tmp_path / "w.pkl"
    part = list(range(1000))
    path.write_bytes(pickle.dumps([part] * 99))
    found = arrays.read_pickle(path)
    assert found == [part] * 99 and found[0] is found[98]
    path.write_bytes(pickle.dumps([part] * 102))
    with pytest.raises(ValueError, match=r"w\.pkl: refused, .*100,000 values in containers"):
        arrays.read_pickle(path)
    path.write_bytes(pickle.dumps([[*part] for _ in range(102)]))
    assert arrays.read_pickle(path) == [part] * 102


def test_depth_counts_what_was_walked_before(tmp_path):
    """A chain of 60 that is named at a depth of 50."""
    deep = inner = []
    for _ in range(60):
        inner.append(inner := [])
    outer = [deep]
    for _ in range(50):
        outer = [outer]
    path = tmp_path / "w.pkl"
    path.write_bytes(pickle.dumps([deep, [deep]]))
    assert arrays.read_pickle(path) == [deep, [deep]]
    path.write_bytes(pickle.dumps([deep, outer]))
    with pytest.raises(ValueError, match=r"w\.pkl: refused, .*100 containers in each other"):
        arrays.read_pickle(path)


def test_one_text_in_many_arrays_is_made_into_bytes_once(tmp_path):
    """As Python 2 wrote arrays: a text of a megabyte, and a thousand arrays of it."""
    head = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntU\x01btR"
    kind = b"cnumpy\ndtype\n(U\x02u1I0\nI1\ntR(I3\nU\x01|NNNI-1\nI-1\nI0\ntbq\x01"
    text = b"T" + (1 << 20).to_bytes(4, "little") + bytes(1 << 20) + b"q\x00"
    first = head + b"(I1\n(I1048576\nt" + kind + b"I0\n" + text + b"tb"
    more = head + b"(I1\n(I1048576\nth\x01I0\nh\x00tb"
    path = tmp_path / "w.pkl"
    path.write_bytes(b"\x80\x02(" + first + 999 * more + b"l.")
    with bounded():
        found = arrays.read_pickle(path)
    assert len(found) == 1000 and all(array.shape == (1 << 20,) for array in found)


def test_one_text_named_often_is_made_into_bytes_once():
    text = b"X" + (1 << 20).to_bytes(4, "little") + bytes([65]) * (1 << 20)
    once = b"c_codecs\nencode\nh\x00X\x06\x00\x00\x00latin1\x86R"
    content = b"\x80\x02(" + text + b"q\x00" + 2000 * once + b"l."
    found = pickles._ArrayUnpickler(io.BytesIO(content), encoding="latin1").load()
    assert len({id(item) for item in found[1:]}) == 1 and found[1] == bytes([65]) * (1 << 20)


def test_an_array_named_twice_is_one_array(tmp_path):
    array = np.arange(5.0)
    (tmp_path / "w.pkl").write_bytes(pickle.dumps({"a": array, "b": [array, array]}))
    found = arrays.read_pickle(tmp_path / "w.pkl")
    assert found["a"] is found["b"][0] and found["b"][0] is found["b"][1]
    np.testing.assert_array_equal(found["a"], array)


def test_keys_may_be_numbers_and_a_few_of_them(tmp_path):
    (tmp_path / "w.pkl").write_bytes(pickle.dumps({1: 2, (1, "a"): 3, None: 4, b"x": 5}))
    found = arrays.read_pickle(tmp_path / "w.pkl")
    assert found == {"1": 2, "(1, 'a')": 3, "None": 4, "b'x'": 5}


def test_arrays_of_objects_are_bounded_too(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, np.array([[1.0, 2.0], [3.0, 4.0]], object), allow_pickle=True)
    np.testing.assert_array_equal(arrays.read_npy(path), np.float32([[1, 2], [3, 4]]))
    np.save(path, np.zeros((3, 0), object), allow_pickle=True)
    path.write_bytes(path.read_bytes().replace(b"K\x03K\x00\x86", b"J\x00\x00\x00\x08K\x00\x86"))
    with bounded():  # 134 million lists of nothing
        assert arrays.read_npy(path).size == 0
    np.save(path, np.array([[1.0, 2.0], [3.0, 4.0]], object), allow_pickle=True)
    start = path.read_bytes().index(b"\n") + 1
    path.write_bytes(path.read_bytes()[:start] + BOMBS["lists"])
    with bounded(), pytest.raises(ValueError, match=r"a\.npy: refused"):
        arrays.read_npy(path)


@pytest.mark.parametrize("old", [False, True])
def test_torch_files_without_end(tmp_path, old):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    path = tmp_path / "w.pth"
    torch.save(OrderedDict(a=torch.ones(2)), path, _use_new_zipfile_serialization=not old)
    np.testing.assert_array_equal(arrays.read(path)["a"], np.ones(2))
    if old:
        content = path.read_bytes()
        starts = [at for at in range(len(content)) if content[at : at + 2] == b"\x80\x02"]
        path.write_bytes(content[: starts[3]] + BOMBS["a key"] + content[starts[4] :])
    else:
        with zipfile.ZipFile(path) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in members.items():
                archive.writestr(name, BOMBS["a key"] if name.endswith("data.pkl") else content)
    with bounded(), pytest.raises(ValueError, match=r"w\.pth: refused"):
        arrays.read(path)


def test_a_tensor_of_more_numbers_than_its_file(tmp_path):
    """Its shape is in the pickle: a stride of 0 makes terabytes of one number."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    path = tmp_path / "w.pth"
    torch.save({"a": torch.ones(1).expand(1 << 40)}, path)
    with pytest.raises(ValueError, match=r"w\.pth: refused, .*more numbers than are stored"):
        arrays.read(path)
    torch.save({"a": torch.ones(3, dtype=torch.bfloat16)}, path)
    np.testing.assert_array_equal(arrays.read(path)["a"], np.ones(3, np.float32))


DAMAGE = [
    (b"\x80\x02\xf0.", r"an instruction 240 that is unknown or not allowed, at byte 3\)"),
    (b"\x80\x02]\xb5.", r"an instruction 181 that is unknown or not allowed, at byte 4\)"),
    (b"\x80\x02", r"it ends early \(.*\), at byte 2\)"),
    (b"\x80\x020.", r"it takes a value that is not there \(.*\), at byte 3\)"),
    (b"\x80\x02G\x00\x00", r"it ends within a number \(.*\), at byte 5\)"),
    (b"\x80\x02X\x01\x00\x00\x00\xff.", r"text that is none \(.*\), at byte 8\)"),
    (b"\x80\x02h\x05.", r"Memo value not found at index 5, at byte 4\)"),
    (b"\x80\x04\x95\x0a\0\0\0\0\0\0\0NNN\xf0NNNNN.", r"an instruction 240 .*, at byte 15\)"),
]


@pytest.mark.parametrize(("content", "message"), DAMAGE)
def test_damage_is_said_in_words_and_with_its_place(tmp_path, content, message):
    path = tmp_path / "x.pkl"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"x\.pkl: refused, .*\({message}"):
        arrays.read_pickle(path)
