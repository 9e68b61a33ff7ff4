"""Files of weights are read without running their code; all of their arrays are used, or none."""

import collections
import io
import pickle

import numpy as np
import pytest

from vadjax.convert import arrays, torch

SHAPES = {"params": {"conv": {"kernel": np.zeros((1, 2, 3, 4, 5)), "bias": np.zeros(5)}}}


def name_of(path):
    return "/".join(path[1:])


def full():
    rng = np.random.default_rng(0)
    return {"conv/kernel": rng.random((5, 4, 1, 2, 3)), "conv/bias": rng.random((1, 1, 1, 1, 5))}


def test_every_array_is_taken_over():
    given = full() | {"conv/num_batches_tracked": np.array(3)}
    found = arrays.to_variables(given, SHAPES, name_of, "here")["params"]["conv"]
    np.testing.assert_array_equal(
        found["kernel"], given["conv/kernel"].astype(np.float32).transpose(2, 3, 4, 1, 0)
    )
    np.testing.assert_array_equal(found["bias"], given["conv/bias"].astype(np.float32).reshape(5))
    kept = {"conv/kernel": np.zeros((1, 2, 3, 4, 5))}
    without = arrays.to_variables(
        kept, SHAPES, lambda p: name_of(p) if p[-1] == "kernel" else None, "here", arrays.KEPT
    )
    np.testing.assert_array_equal(without["params"]["conv"]["bias"], np.ones(5))


def test_differences_are_named():
    given = full() | {f"more{i}": np.zeros(2) for i in range(6)}
    del given["conv/bias"]
    given["conv/kernel"] = np.zeros((5, 4, 1, 2, 9))
    with pytest.raises(ValueError) as caught:
        arrays.to_variables(given, SHAPES, name_of, "here")
    assert str(caught.value) == (
        "here: these are not the weights of this network; 1 missing: conv/bias; 6 of no use here: "
        "more0, more1, more2, more3 and 2 more; 1 of another shape: conv/kernel is "
        "(5, 4, 1, 2, 9), this network needs (5, 4, 1, 2, 3)"
    )


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("kind", ["f4", ">f8", "i8", "b1", "u1"])
def test_pickles_of_arrays(tmp_path, protocol, kind):
    array = np.arange(6).reshape(2, 3).astype(kind)
    content = {"a": {"b": array, "c": [array.T, 3, "text"]}}
    (tmp_path / "w.pkl").write_bytes(pickle.dumps(content, protocol))
    found = arrays.read_pickle(tmp_path / "w.pkl")
    np.testing.assert_array_equal(found["a"]["b"], array)
    np.testing.assert_array_equal(found["a"]["c"][0], array.T)
    assert found["a"]["b"].dtype == array.dtype and found["a"]["c"][1:] == [3, "text"]


def test_a_pickle_of_python_2(tmp_path):
    """Bytes are text there; written as such, since nothing here writes it."""
    array = np.array([1.5, -2.0], "f4")
    text = (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR(I1\n(I2\ntcnumpy\n"
        b"dtype\n(S'f4'\nI0\nI1\ntR(I3\nS'<'\nNNNI-1\nI-1\nI0\ntbI00\nS"
        + repr(array.tobytes())[1:].encode()
        + b"\ntb."
    )
    (tmp_path / "w.pkl").write_bytes(text)
    np.testing.assert_array_equal(arrays.read_pickle(tmp_path / "w.pkl"), array)


class Code:
    """Pickles as a call."""

    def __reduce__(self):
        return print, ("this must not be printed",)


def refused():
    yield "a call", pickle.dumps({"a": Code()}), "it calls builtins.print"
    yield "a class", pickle.dumps(collections.Counter()), "it calls collections.Counter"
    objects = np.array([{}], object)
    yield "objects", pickle.dumps({"a": objects}), "arrays of type 'O8'"
    yield "not a pickle", b"weights", "refused, not a pickle"
    yield "an empty file", b"", "refused, not a pickle"
    short = pickle.dumps(np.zeros(9, "f4"))
    yield "a part", short[: len(short) // 2], "refused, not a pickle"


@pytest.mark.parametrize(
    ("content", "message"), [pytest.param(*case, id=name) for name, *case in refused()]
)
def test_what_is_refused(tmp_path, capsys, content, message):
    (tmp_path / "w.pkl").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        arrays.read(tmp_path / "w.pkl")
    assert not capsys.readouterr().out


def test_other_files(tmp_path):
    np.savez(tmp_path / "w.npz", **full())
    assert arrays.read(tmp_path / "w.npz").keys() == full().keys()
    np.savez(tmp_path / "o.npz", a=np.array([{}], object))
    with pytest.raises(ValueError, match="o.npz: refused, not a file of plain arrays"):
        arrays.read(tmp_path / "o.npz")
    with pytest.raises(FileNotFoundError, match="no such file of weights"):
        arrays.read(tmp_path / "none.pkl")
    (tmp_path / "list.pkl").write_bytes(pickle.dumps([1]))
    with pytest.raises(ValueError, match="holds a list, not a dict of arrays"):
        arrays.read(tmp_path / "list.pkl")
    (tmp_path / "text.pkl").write_bytes(pickle.dumps({"a": {"b": "text"}}))
    with pytest.raises(ValueError, match=r"not arrays: \['a/b'\]"):
        arrays.read(tmp_path / "text.pkl")


def test_torch_files(tmp_path):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    torch.save({"module.a": torch.ones(2)}, tmp_path / "w.pt")
    np.testing.assert_array_equal(arrays.read(tmp_path / "w.pt")["a"], np.ones(2))
    buffer = io.BytesIO()
    torch.save({"a": Code()}, buffer)
    (tmp_path / "code.pt").write_bytes(buffer.getvalue())
    with pytest.raises(ValueError, match="code.pt: refused, not a file of plain tensors"):
        arrays.read(tmp_path / "code.pt")


def test_a_torch_file_has_the_checksums_that_it_says(tmp_path):
    """One byte of a weight: torch itself reads it as another number."""
    torch_ = pytest.importorskip("torch", reason="torch is not installed")
    torch_.save({"a": torch_.full((64,), 1.0)}, tmp_path / "w.pt")
    content = bytearray((tmp_path / "w.pt").read_bytes())
    at = content.index(np.full(64, 1.0, "f").tobytes())
    content[at + 4] ^= 1
    (tmp_path / "w.pt").write_bytes(content)
    with pytest.raises(ValueError, match=r"w\.pt: refused.*Bad CRC-32 for file 'w/data/0'"):
        arrays.read(tmp_path / "w.pt")


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_weights_are_finite(value):
    shapes = {"params": {"bias": np.zeros(3, np.float32)}}
    bad = {"b": np.array([1.0, value, 3.0])}
    with pytest.raises(ValueError, match="from here: b: 1 of 3 values are not finite"):
        arrays.to_variables(bad, shapes, lambda path: "b", "from here")
    with pytest.raises(ValueError, match="from here: b: 1 of 3 values are not finite"):
        torch.Weights(bad, "from here").take("b", (3,))


@pytest.mark.parametrize("value", [-2e8, 2e8, 1e30])
def test_weights_have_sizes_that_training_makes(value):
    """A byte that was changed in a file without checksums is most often seen by them."""
    shapes = {"params": {"bias": np.zeros(3, np.float32)}}
    bad, told = (
        {"b": np.array([1.0, value, 3.0])},
        r"from here: b: 1 of 3 values are beyond ±1e\+08",
    )
    with pytest.raises(ValueError, match=told):
        arrays.to_variables(bad, shapes, lambda path: "b", "from here")
    with pytest.raises(ValueError, match=told):
        torch.Weights(bad, "from here").take("b", (3,))
    fine = {"b": np.array([1.0, np.sign(value) * 1e7, 3.0])}
    torch.Weights(fine, "from here").take("b", (3,))
    arrays.to_variables(fine, shapes, lambda path: "b", "from here")


def test_variances_are_not_below_0():
    shapes = {"batch_stats": {"var": np.zeros(2, np.float32)}}
    bad, told = {"a.running_var": np.array([1.0, -0.5])}, "1 of 2 values are below 0"
    with pytest.raises(ValueError, match=f"from here: a.running_var: {told}"):
        arrays.to_variables(bad, shapes, lambda path: "a.running_var", "from here")
    with pytest.raises(ValueError, match=f"from here: a.running_var: {told}"):
        torch.Weights(bad, "from here").take("a.running_var", (2,))
    torch.Weights({"a.weight": np.array([1.0, -0.5])}, "from here").take("a.weight", (2,))


def test_a_changed_byte_in_a_torch_file_without_checksums(tmp_path):
    """The highest bit of an exponent: 0.5 becomes 2e38."""
    torch_ = pytest.importorskip("torch", reason="torch is not installed")
    path = tmp_path / "old.pth"
    torch_.save({"a": torch_.full((64,), 0.5)}, path, _use_new_zipfile_serialization=False)
    content = bytearray(path.read_bytes())
    content[content.index(np.full(64, 0.5, "f").tobytes()) + 7] ^= 0x40
    path.write_bytes(content)
    weights = torch.Weights(torch.load_state(path), str(path))
    with pytest.raises(ValueError, match=r"old\.pth: a: 1 of 64 values are beyond"):
        weights.take("a", (64,))
