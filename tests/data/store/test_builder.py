"""Writing a dataset: what the manifest says, what is refused, what is left behind."""

import json

import numpy as np
import pytest
import tensorflow_datasets as tfds

from vadjax.data.store import builder, records

FEATURES = {
    "label": tfds.features.Scalar(np.int64),
    "numbers": tfds.features.Tensor(shape=(None,), dtype=np.float32),
}


def example(label: int, *numbers: float) -> dict:
    return {"label": label, "numbers": np.array(numbers, np.float32)}


SPLITS = {
    "train": [example(0, 1, 2), example(1, 3), example(1), example(0, 4, 5, 6)],
    "test": [example(1, 7), example(0, 8, 9)],
}


def write(out, splits=SPLITS, **options) -> dict:
    options = {"name": "three words here", "kind": "numbers", "features": FEATURES, **options}
    return builder.write_dataset(out, splits=splits, **options)


def read(out, split: str) -> list[list[float]]:
    found = records.Dataset(out).records(split)
    return [found[number]["numbers"].tolist() for number in range(len(found))]


@pytest.mark.parametrize("file_format", ["array_record", "tfrecord"])
def test_examples_come_back_in_their_order(tmp_path, file_format):
    manifest = write(tmp_path / "set", file_format=file_format, shards=2)
    assert read(tmp_path / "set", "train") == [[1, 2], [3], [], [4, 5, 6]]
    assert read(tmp_path / "set", "test") == [[7], [8, 9]]
    train = manifest["splits"]["train"]
    assert train["labels"] == "00010100"
    assert (train["records"], train["anomalous"], train["normal"]) == (4, 2, 2)
    assert len(train["shards"]) == 2
    assert json.loads((tmp_path / "set/manifest.json").read_text()) == manifest


def test_shards_are_described_by_their_sums(tmp_path):
    manifest = write(tmp_path / "set", extra={"streams": {"rgb": 3}})
    assert manifest["streams"] == {"rgb": 3}
    for split in manifest["splits"].values():
        for shard in split["shards"]:
            path = tmp_path / "set" / shard["file"]
            assert shard["bytes"] == path.stat().st_size
            assert shard["sha256"] == records.sha256(path)


def test_the_same_examples_give_the_same_bytes(tmp_path):
    assert write(tmp_path / "a")["splits"] == write(tmp_path / "b")["splits"]


class Notes(builder.LabelNotes):
    """Lays the labels beside the shards."""

    def files(self):
        """One byte a record."""
        return {"notes/of/labels.txt": bytes(self.labels)}


def test_notes_may_lay_files_beside_the_shards(tmp_path):
    notes = {split: Notes() for split in ("train",)}
    manifest = write(tmp_path / "set", {"train": SPLITS["train"]}, notes=notes)
    assert [one["file"] for one in manifest["files"]] == ["notes/of/labels.txt"]
    assert (tmp_path / "set/notes/of/labels.txt").read_bytes() == b"\x00\x01\x01\x00"


def test_a_folder_that_is_there_is_left_as_it_is(tmp_path):
    (tmp_path / "set").mkdir()
    with pytest.raises(FileExistsError, match="set exists and is left as it is"):
        write(tmp_path / "set")
    assert not list((tmp_path / "set").iterdir())


def fails():
    yield example(0, 1)
    raise ValueError("no second example")


@pytest.mark.parametrize(
    "splits, options, message",
    [
        (SPLITS, {"file_format": "zip"}, "format 'zip'; expected one of"),
        (SPLITS, {"shards": 0}, "--shards 0; expected at least 1"),
        ({**SPLITS, "test": []}, {}, "split 'test' would be empty; nothing was written"),
        ({"train": fails()}, {}, "no second example"),
    ],
)
def test_what_cannot_be_written_leaves_nothing(tmp_path, splits, options, message):
    with pytest.raises(ValueError, match=message):
        write(tmp_path / "set", splits, **options)
    assert not list(tmp_path.iterdir())


def test_too_little_room_is_said_before_the_first_example(tmp_path):
    with pytest.raises(OSError, match="the dataset"):
        write(tmp_path / "set", {"train": fails()}, size=2**62)
    assert not list(tmp_path.iterdir())
