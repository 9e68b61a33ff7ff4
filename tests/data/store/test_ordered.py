"""Records on their way to the shards: on the disk, in order, without TensorFlow."""

import numpy as np
import pytest
from tensorflow_datasets.core import shuffle

from vadjax.data.store import ordered
from vadjax.data.store.records import Dataset
from vadjax.data.toy.datasets import ToyBags, write_bags


def test_records_come_back_in_order_and_their_files_go(tmp_path, monkeypatch):
    monkeypatch.setattr(ordered, "PIECE", 1000)
    monkeypatch.setattr(ordered, "HELD", 2000)
    records = ordered.OrderedRecords(dirpath=tmp_path, hash_salt="x", disable_shuffling=True)
    contents = [bytes([number % 256]) * (number * 7 % 300) for number in range(100)]
    for number, content in enumerate(contents):
        records.add(number, content)
    assert records.num_examples == 100 and records.bucket_lengths == [100]
    assert records.size == sum(map(len, contents)) and len(list(tmp_path.iterdir())) > 10
    left = []
    for number, (key, content) in enumerate(records):
        assert (key, content) == (number, contents[number])
        left.append(len(list(tmp_path.iterdir())))
    assert left == sorted(left, reverse=True) and not list(tmp_path.iterdir())


def test_other_keys_are_refused(tmp_path):
    records = ordered.OrderedRecords(dirpath=tmp_path)
    with pytest.raises(ValueError, match="record 5 where 0 is expected"):
        records.add(5, b"")


def test_a_split_of_any_size_needs_no_tensorflow(tmp_path, monkeypatch):
    """What TFDS keeps in memory at most is far below the split; its files need TensorFlow."""
    monkeypatch.setattr(shuffle, "MAX_MEM_BUFFER_SIZE", 100)
    monkeypatch.setattr(ordered, "HELD", 100)
    write_bags(tmp_path / "toy", ToyBags(train=(12, 10), test=(5, 4), width=16), shards=2)
    records = Dataset(tmp_path / "toy").records("train")
    assert [np.size(records[number]["label"]) for number in range(len(records))] == 22 * [1]
    assert shuffle.Shuffler is not ordered.OrderedRecords
