"""Labelled images: each shows some of a list of classes, or none (spec eval §3.1).

A dataset of kind `"images"` holds one record for each image. All images have one size, and each
has a label, 0 or 1, for every class; the manifest lists the classes. In place of records the
manifest may hold a recipe (`vadjax.data.toy.images`): then every image is drawn when it is read.
"""

import math
import pathlib
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from vadjax.data.store import builder
from vadjax.data.store.records import MANIFEST, MEND, Dataset
from vadjax.data.toy.images import DRAWN, ToyImages
from vadjax.data.video.pictures import Levels

KIND = "images"


class StoredImages(Sequence):
    """The stored images of a split, read on access.

    Element i is `{"image": uint8 [H, W, 3], "labels": float32 [classes]}`, RGB.

    Args:
      data: dataset of kind `"images"`, with records.
      split: name of the split.

    Raises:
      ValueError: no such split; on access: a record of another size or number of labels.
    """

    def __init__(self, data: Dataset, split: str):
        self._records, self._label = data.records(split), f"{data.folder} ({split})"
        self._shape = (*data.manifest["size"], 3)
        self._classes = len(data.manifest["classes"])

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, index: int) -> dict:
        if not 0 <= index < len(self):
            raise IndexError(f"image {index} of {len(self)}")
        # Pixels are stored as bare bytes, so their number is all that can be compared.
        record = self._records[index]
        image = np.frombuffer(record.get("image", b""), np.uint8)
        labels = np.asarray(record.get("labels", ()))
        if image.size != math.prod(self._shape) or labels.shape != (self._classes,):
            raise ValueError(
                f"{self._label}: record {index} has {image.size:,} bytes of pixels and labels "
                f"{labels.shape}; expected {self._shape} and ({self._classes},); {MEND}"
            )
        return {"image": image.reshape(self._shape), "labels": labels.astype(np.float32)}


def open_split(data: Dataset, split: str, classes: Sequence[str]) -> Sequence[dict]:
    """The images of a split with random access, stored or drawn.

    Args:
      data: dataset of kind `"images"`.
      split: name of the split.
      classes: the classes that the caller expects, in the order of the labels.

    Raises:
      ValueError: the dataset has other classes, or no such split.
    """
    # Labels have no names: the order of the classes is their only meaning.
    have = data.manifest["classes"]
    if list(classes) != list(have):
        raise ValueError(
            f"{data.folder}: its classes are {', '.join(have)}; model.classes is "
            f'{", ".join(classes)}. Give the same: --config.model.classes="{tuple(have)}"'
        )
    if data.manifest["format"] == DRAWN:
        if split not in data.splits:
            raise ValueError(f"{data.folder}: no split {split!r}; it has {', '.join(data.splits)}")
        return _recipe(data).images(split)
    return StoredImages(data, split)


def _recipe(data: Dataset) -> ToyImages:
    """The recipe of the manifest; raises ValueError if its fields are not those of a recipe."""
    try:
        return ToyImages(**data.manifest["recipe"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{data.folder / MANIFEST}: no usable recipe ({error}); {MEND}") from error


def batch(images: Sequence[dict], numbers: Iterable[int]) -> dict:
    """The images of those numbers, stacked: image uint8 [B, H, W, 3], labels [B, classes]."""
    chosen = [images[int(number)] for number in numbers]
    return {name: np.stack([element[name] for element in chosen]) for name in ("image", "labels")}


class LabelCounts:
    """Counts the images of every class for the manifest."""

    def __init__(self, classes: Sequence[str]):
        self._classes, self._rows = classes, []

    def add(self, example: Mapping) -> None:
        """Notes one image."""
        self._rows.append(example["labels"])

    def entries(self) -> dict:
        """Number of images, and of those that show each class."""
        total = np.sum(self._rows, 0, int).tolist()
        shown = dict(zip(self._classes, total, strict=True))
        return {"records": len(self._rows), "images": shown}

    def files(self) -> dict[str, bytes]:
        """No files beside the shards."""
        return {}


def write_images(
    out: str | pathlib.Path,
    splits: Mapping[str, Iterable[dict]],
    *,
    name: str,
    classes: Sequence[str],
    size: tuple[int, int],
    file_format: str = "array_record",
    shards: int | None = None,
    levels: Levels | None = None,
    count: int = 0,
) -> dict:
    """Writes a dataset of images and returns its manifest.

    Args:
      out: folder to make; must not exist.
      splits: split name → `{"image": uint8 [H, W, 3], "labels": 0 or 1 [classes]}`.
      name: name of the set.
      classes: names of the classes.
      size: (H, W) of all images.
      file_format: `"array_record"` or `"tfrecord"`.
      shards: shards per split; None lets TFDS choose by size.
      levels: values of 16-bit pictures that became black and white; kept in the manifest.
      count: number of images, if known, to check the free disk space before the work.

    Raises:
      FileExistsError, ValueError: as `vadjax.data.store.builder.write_dataset`.
    """
    # Labels are counted by class for the manifest; the size is that of all pixels.
    return builder.write_dataset(
        out,
        name=name,
        kind=KIND,
        features=_tfds_features(size, len(classes)),
        splits=splits,
        file_format=file_format,
        shards=shards,
        extra={
            "classes": list(classes),
            "size": list(size),
            **({"levels": list(levels)} if levels else {}),
        },
        notes={split: LabelCounts(classes) for split in splits},
        size=3 * size[0] * size[1] * count,
    )


def _tfds_features(size: tuple[int, int], classes: int) -> dict:
    import tensorflow_datasets as tfds  # only writers need it

    as_bytes = tfds.features.Encoding.BYTES
    return {
        "image": tfds.features.Tensor(shape=(*size, 3), dtype=np.uint8, encoding=as_bytes),
        "labels": tfds.features.Tensor(shape=(classes,), dtype=np.int64),
    }
