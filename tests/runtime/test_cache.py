"""What a run keeps for its system: facts about its data, and expensive files."""

import gc
import json

import numpy as np
import pytest

from vadjax.data.store.records import Dataset, Description
from vadjax.runtime import workdir
from vadjax.runtime.cache import Cache


@pytest.fixture
def fact(toy_bags):
    return Dataset(toy_bags)


def other(fact) -> Description:
    return Description("/elsewhere", fact.manifest, "another digest")


def begin(folder, digest="d"):
    content = {"system": "mil", workdir.DATASET: digest}
    (folder / workdir.FILE).write_text(json.dumps(content))


def test_facts_are_kept_and_found(tmp_path, fact):
    cache = Cache(tmp_path)
    assert cache.fact("objects") is None and Cache().fact("objects") is None
    workdir.keep_facts(tmp_path, {"objects": fact})
    assert json.loads((tmp_path / "objects.json").read_text()) == fact.to_json()
    assert cache.fact("objects").digest == fact.digest


def test_a_run_does_not_go_on_with_other_facts(tmp_path, fact):
    workdir.keep_facts(tmp_path, {"objects": other(fact)})
    workdir.keep_facts(tmp_path, {"objects": fact})  # nothing is saved yet
    begin(tmp_path)
    workdir.keep_facts(tmp_path, {"objects": fact})
    with pytest.raises(ValueError, match="/elsewhere: not the objects that the run in .* began"):
        workdir.keep_facts(tmp_path, {"objects": other(fact)})
    assert Cache(tmp_path).fact("objects").digest == fact.digest


@pytest.mark.parametrize("name", ["config", "dataset", "metrics", "provenance"])
def test_a_fact_takes_no_name_of_the_run(tmp_path, fact, name):
    with pytest.raises(ValueError, match=f"a fact '{name}'; the run has a file of this name"):
        workdir.keep_facts(tmp_path, {name: fact})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"\xff", b"[" * 100_000])
def test_facts_that_cannot_be_read(tmp_path, content):
    (tmp_path / "objects.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"objects\.json"):
        Cache(tmp_path).fact("objects")


def test_files_belong_to_the_dataset_of_the_run(tmp_path, fact):
    cache = Cache(tmp_path)
    assert not cache.began and cache.owns(fact) and cache.owns(other(fact))
    begin(tmp_path, fact.digest)
    assert cache.began and cache.owns(fact) and not cache.owns(other(fact))
    assert Cache().owns(fact) and not Cache().began


def test_arrays_are_written_in_one_move(tmp_path):
    cache, arrays = Cache(tmp_path), {"b": np.arange(3), "a": np.eye(2, dtype=np.float32)}
    cache.write_arrays(tmp_path / "deep" / "x.npz", arrays)
    cache.write_array(tmp_path / "deep" / "y.npy", arrays["a"])
    with np.load(tmp_path / "deep" / "x.npz", allow_pickle=False) as found:
        assert found.files == ["b", "a"]
        np.testing.assert_array_equal(found["b"], arrays["b"])
    np.testing.assert_array_equal(np.load(tmp_path / "deep" / "y.npy"), arrays["a"])
    assert sorted(path.name for path in (tmp_path / "deep").iterdir()) == ["x.npz", "y.npy"]


def test_a_temporary_folder_goes_with_the_cache():
    cache = Cache()
    folder = cache.folder
    cache.write_array(folder / "x.npy", np.zeros(1))
    assert cache.folder == folder
    del cache
    gc.collect()
    assert not folder.exists()


def test_one_process_has_all_to_itself():
    cache = Cache()
    assert not cache.shared and list(cache.share([1, 2, 3])) == [1, 2, 3]
    cache.wait("here")
    with cache.first_then_others("there"):
        pass
