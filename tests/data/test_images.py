import dataclasses
import json

import numpy as np
import pytest

from vadjax.data import images
from vadjax.data.store.records import Dataset
from vadjax.data.toy.datasets import write_images
from vadjax.data.toy.drawing import Canvas
from vadjax.data.toy.images import CLASSES, LEAST_SEEN, UNKNOWN, ToyImages, _place, ground

SMALL = ToyImages(train=40, test=12, size=32)


def test_an_image_depends_on_its_number_alone():
    train, test = SMALL.images("train"), SMALL.images("test")
    assert len(train) == 40 and len(test) == 12
    one, again = train[7], ToyImages(size=32).images("train")[7]
    assert one["image"].shape == (32, 32, 3) and one["image"].dtype == np.uint8
    np.testing.assert_array_equal(one["image"], again["image"])
    assert not np.array_equal(one["image"], test[7]["image"])
    assert not np.array_equal(one["image"], train[8]["image"])
    other = dataclasses.replace(SMALL, seed=1).images("train")[7]
    assert not np.array_equal(one["image"], other["image"])
    with pytest.raises(IndexError, match="image 40 of 40"):
        train[40]


def test_labels_show_no_object_one_or_two():
    labels = np.stack([item["labels"] for item in ToyImages(train=150, size=16).images("train")])
    assert labels.dtype == np.float32 and set(np.unique(labels)) == {0, 1}
    assert set(labels.sum(1)) == {0, 1, 2} and (labels.sum(0) > 0).all()


@pytest.mark.parametrize("name", [*CLASSES, *UNKNOWN])
def test_every_object_leaves_its_mark(name):
    seen = []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        canvas = Canvas(ground(64, rng))
        before = canvas.image.copy()
        canvas.current = 1
        _place(canvas, name, rng)
        changed = (canvas.image != before).any(-1)
        seen.append((canvas.ids == 1).mean())
        assert changed[canvas.ids == 1].mean() > 0.6 or not seen[-1]
    assert np.mean(np.array(seen) >= LEAST_SEEN) >= 0.5


def test_some_classes_only():
    few = ToyImages(train=80, size=16, classes=("dog", "car"))
    labels = np.stack([few.images("train")[i]["labels"] for i in range(80)])
    assert labels.shape == (80, 2) and labels.any(0).all()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"classes": ("person", "boat")}, "no drawing of boat; .*labelled_images"),
        ({"classes": ()}, "expected at least 1"),
        ({"size": 8}, "of 16 pixels or more"),
        ({"train": 0}, "expected at least 1"),
    ],
)
def test_recipes_that_cannot_be_drawn(fields, message):
    with pytest.raises(ValueError, match=message):
        ToyImages(**fields)


def test_a_dataset_may_be_a_recipe(tmp_path):
    manifest = write_images(tmp_path / "toy", SMALL)
    data = Dataset(tmp_path / "toy")
    assert data.kind == images.KIND and data.splits["test"]["records"] == 12
    assert json.loads(json.dumps(manifest)) == data.manifest
    found = images.open_split(data, "test", tuple(CLASSES))
    np.testing.assert_array_equal(found[3]["image"], SMALL.images("test")[3]["image"])
    with pytest.raises(ValueError, match="no split 'valid'"):
        images.open_split(data, "valid", tuple(CLASSES))
    with pytest.raises(ValueError, match="its classes are person, .* model.classes is dog"):
        images.open_split(data, "test", ("dog",))
    with pytest.raises(FileExistsError):
        write_images(tmp_path / "toy", SMALL)


@pytest.mark.parametrize("file_format", ["array_record", "tfrecord"])
def test_stored_images_come_back(tmp_path, file_format):
    rng = np.random.default_rng(0)
    examples = [
        {"image": rng.integers(0, 256, (8, 6, 3), np.uint8), "labels": np.array([i % 2, 1])}
        for i in range(5)
    ]
    out = tmp_path / "set"
    images.write_images(
        out,
        {"train": examples[:3], "test": examples[3:]},
        name="some",
        classes=("a", "b"),
        size=(8, 6),
        file_format=file_format,
    )
    data = Dataset(out)
    assert data.splits["train"]["images"] == {"a": 1, "b": 3}
    found = images.open_split(data, "train", ("a", "b"))
    assert len(found) == 3
    for item, example in zip(found, examples, strict=False):
        np.testing.assert_array_equal(item["image"], example["image"])
        np.testing.assert_array_equal(item["labels"], example["labels"])
