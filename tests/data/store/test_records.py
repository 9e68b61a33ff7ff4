import json
import shutil

import numpy as np
import pytest
import tensorflow_datasets as tfds

from vadjax.data import bags
from vadjax.data.store import records
from vadjax.data.store.records import Dataset
from vadjax.data.toy import datasets


@pytest.fixture(scope="module", params=records.FORMATS)
def folder(request, tmp_path_factory, small_bags):
    out = tmp_path_factory.mktemp(request.param) / "set"
    datasets.write_bags(out, small_bags, request.param, shards=2)
    return out


def test_records_come_back_in_order(folder, small_bags):
    read = bags.Bags(Dataset(folder), "test")
    expected = list(small_bags.bags("test"))
    assert len(read) == len(expected) == sum(small_bags.test)
    for got, want in zip(read, expected, strict=True):
        assert (got.video, got.label, got.class_name) == (want.video, want.label, want.class_name)
        assert got.num_frames == want.num_frames
        np.testing.assert_array_equal(got.intervals, want.intervals)
        np.testing.assert_array_equal(got.features, want.features)


def test_manifest_counts_and_checksums(folder, small_bags):
    manifest = json.loads((folder / "manifest.json").read_text())
    normal, anomalous = small_bags.train
    train = manifest["splits"]["train"]
    assert (train["records"], train["normal"], train["anomalous"]) == (22, normal, anomalous)
    for shard in train["shards"]:
        assert records.sha256(folder / shard["file"]) == shard["sha256"]
    assert len(train["shards"]) == 2 and len(Dataset(folder).records("train")) == 22


def test_tfds_opens_the_folder(folder):
    builder = tfds.builder_from_directory(folder)
    assert builder.info.splits["train"].num_examples == 22
    assert builder.info.features["features"].shape == (None, None, 32)


def test_tfds_reads_array_records_as_we_do(toy_bags):
    theirs = tfds.builder_from_directory(toy_bags).as_data_source("test")
    ours = bags.Bags(Dataset(toy_bags), "test")
    for a, b in zip(theirs, ours, strict=True):
        np.testing.assert_array_equal(a["features"], b.features)
        np.testing.assert_array_equal(a["intervals"], b.intervals)
        assert a["video"].decode() == b.video


def test_grain_reads_our_tfrecords(tmp_path, small_bags):
    import grain

    datasets.write_bags(tmp_path / "set", small_bags, "tfrecord", shards=1)
    path = next((tmp_path / "set").glob("*-train.tfrecord-*"))
    theirs = list(grain.experimental.TFRecordIterDataset(str(path)))
    assert theirs == list(records.TFRecordSource([path]))


def test_training_records_have_no_frame_labels(toy_bags):
    train = bags.Bags(Dataset(toy_bags), "train")
    assert all(bag.num_frames == bags.UNKNOWN_LENGTH and not len(bag.intervals) for bag in train)
    assert any(bag.label for bag in train)


def test_same_recipe_same_bytes(tmp_path, toy_bags, small_bags):
    datasets.write_bags(tmp_path / "again", small_bags, shards=2)
    assert (tmp_path / "again" / "manifest.json").read_text() == (
        toy_bags / "manifest.json"
    ).read_text()


@pytest.fixture
def copy(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "copy")


def shard(folder):
    return sorted(folder.glob("*-test.*-of-*"))[0]


def test_a_truncated_shard_is_found_at_the_start(copy):
    shard(copy).write_bytes(shard(copy).read_bytes()[:-7])
    with pytest.raises(ValueError, match="manifest says .* truncated or overwritten"):
        Dataset(copy, verify="size")


def flip_a_byte(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_a_corrupt_shard_is_found_at_the_start(copy):
    flip_a_byte(shard(copy))
    with pytest.raises(ValueError, match="the shard is corrupt"):
        Dataset(copy)


def test_a_corrupt_record_is_found_when_read(copy):
    flip_a_byte(shard(copy))
    data = Dataset(copy, verify="size")  # which does not read the shards
    with pytest.raises(ValueError, match=r"(record \d+|shards) cannot be read"):
        for bag in bags.Bags(data, "test"):
            assert bag.features.shape


def test_a_missing_shard_folder_manifest_or_split(copy, tmp_path):
    with pytest.raises(ValueError, match="no split 'val'; this dataset has train, test"):
        Dataset(copy).records("val")
    shard(copy).unlink()
    with pytest.raises(FileNotFoundError, match=r"shard is missing, which .*manifest\.json lists"):
        Dataset(copy)
    with pytest.raises(FileNotFoundError, match="no such dataset folder"):
        Dataset(tmp_path / "none")
    (copy / "manifest.json").unlink()
    with pytest.raises(FileNotFoundError, match="not a prepared dataset"):
        Dataset(copy)


def test_an_empty_split_is_refused(copy):
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["splits"]["test"] = {"records": 0, "anomalous": 0, "normal": 0, "shards": []}
    (copy / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ValueError, match="split 'test' is empty"):
        Dataset(copy).records("test")


def test_nothing_is_overwritten_and_nothing_is_left_behind(toy_bags, tmp_path):
    with pytest.raises(FileExistsError, match="exists and is left as it is"):
        datasets.write_bags(toy_bags)
    with pytest.raises(ValueError, match="split 'test' would be empty"):
        datasets.write_bags(
            tmp_path / "x" / "set", datasets.ToyBags(train=(2, 2), test=(0, 0), width=4)
        )
    assert list((tmp_path / "x").iterdir()) == []


@pytest.mark.parametrize(("argument", "message"), [("verify", "expected one of checksum, size")])
def test_unknown_options(toy_bags, argument, message):
    with pytest.raises(ValueError, match=message):
        Dataset(toy_bags, **{argument: "other"})
