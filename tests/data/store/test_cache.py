"""What a system keeps where there is no run: expensive files, until the program ends."""

import gc

import numpy as np

from vadjax.data.store.cache import Cache
from vadjax.data.store.records import Dataset


def test_arrays_are_written_in_one_move(tmp_path):
    cache, arrays = Cache(), {"b": np.arange(3), "a": np.eye(2, dtype=np.float32)}
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


def test_nothing_is_known_of_a_run(toy_bags):
    cache, data = Cache(), Dataset(toy_bags)
    assert cache.workdir is None and not cache.began
    assert cache.owns(data) and cache.fact("objects") is None


def test_one_process_has_all_to_itself():
    cache = Cache()
    assert not cache.shared and list(cache.share([1, 2, 3])) == [1, 2, 3]
    cache.wait("here")
    with cache.first_then_others("there"):
        pass
