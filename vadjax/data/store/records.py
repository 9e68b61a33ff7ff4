"""Datasets on disk: shards, their manifest, and random access to the records.

A dataset is a folder that `tfds.builder_from_directory` opens (`dataset_info.json`,
`features.json`, shards). Beside these files lies `manifest.json` with the kind of the dataset,
counts, and the size and SHA-256 of every shard and of the text files beside them, if there are any.
Shards are ArrayRecord or TFRecord; both are read here without TensorFlow.
"""

import hashlib
import pathlib
import struct
from collections.abc import Iterator, Sequence

import google_crc32c
import numpy as np
from array_record.python.array_record_data_source import ArrayRecordDataSource
from tensorflow_datasets.proto import tf_example_pb2

from vadjax.config import expect_one_of
from vadjax.data.store import manifest as manifests
from vadjax.formats.regular import check_regular, open_regular

FORMATS = ("array_record", "tfrecord")
MANIFEST = "manifest.json"
MEND = "copy the dataset again or prepare it again (data_prep/)"


class Description:
    """What a run knows of its dataset, so that it can be used where the dataset's files are not.

    Args:
      folder: where the dataset is, or was.
      manifest: manifest of the dataset; of each split only the counts are needed.
      digest: SHA-256 of the file of the whole manifest.
    """

    def __init__(self, folder: str | pathlib.Path, manifest: dict, digest: str):
        self.folder, self.manifest, self.digest = pathlib.Path(folder), manifest, digest

    @property
    def name(self) -> str:
        """Name that the preparing program gave the set."""
        return self.manifest["name"]

    @property
    def kind(self) -> str:
        """What a record holds: `"features"`, `"frames"`, `"images"`, `"objects"` or `"tracks"`."""
        return self.manifest["kind"]

    @property
    def splits(self) -> dict:
        """Split name → its counts, and its shards if there are any, as in the manifest."""
        return self.manifest["splits"]

    @property
    def source_size(self) -> tuple[int, int] | None:
        """(H, W) of the frames before they were resized; None if unknown, or of several sizes."""
        if "source_size" in self.manifest:
            return tuple(self.manifest["source_size"])
        videos = [video for split in self.splits.values() for video in split.get("videos", [])]
        sizes = {tuple(video["source_size"]) for video in videos if "source_size" in video}
        return sizes.pop() if len(sizes) == 1 else None

    def to_json(self) -> dict:
        """The description for `from_json`, without shards and lists of videos.

        The size of their source, where all videos have one, is kept as `source_size`.
        """
        # Of the entries of a split only the counts are whole numbers.
        splits = {
            name: {key: value for key, value in split.items() if isinstance(value, int)}
            for name, split in self.splits.items()
        }
        manifest = {**self.manifest, "splits": splits}
        if self.source_size:
            manifest["source_size"] = list(self.source_size)
        manifest.pop("files", None)
        return {"folder": str(self.folder.absolute()), "manifest": manifest, "digest": self.digest}

    @classmethod
    def from_json(cls, found: dict) -> "Description":
        """The dataset that `to_json` described."""
        return cls(**found)

    @classmethod
    def from_file(cls, path: pathlib.Path) -> "Description":
        """The dataset that `to_json` described in a file.

        Raises:
          OSError, ValueError: the file cannot be read (`manifest.read_description`).
        """
        return cls.from_json(manifests.read_description(path))


class Dataset(Description):
    """A dataset folder, checked when it is opened.

    Args:
      folder: folder with `manifest.json` and the shards.
      verify: `"checksum"` reads every shard and compares its SHA-256, `"size"` compares only the
        sizes (for sets of hundreds of gigabytes).

    Raises:
      FileNotFoundError: no such folder, no manifest, or a shard is missing.
      ValueError: a shard is not the one that was written.
    """

    def __init__(self, folder: str | pathlib.Path, verify: str = "checksum"):
        folder = pathlib.Path(folder)
        super().__init__(folder, read_manifest(folder), sha256(folder / MANIFEST))
        expect_one_of("data.verify", verify, ("checksum", "size"))
        verify_shards(self.folder, self.manifest, checksum=verify == "checksum")

    def records(self, split: str) -> Sequence[dict]:
        """Random access to the records of `split`, each a dict of NumPy values.

        Raises:
          ValueError: the dataset has no such split, or it is empty.
        """
        if split not in self.splits:
            raise ValueError(
                f"{self.folder}: no split {split!r}; this dataset has {', '.join(self.splits)}"
            )
        if not self.splits[split]["records"]:
            raise ValueError(f"{self.folder}: split {split!r} is empty; prepare the dataset again")
        return _Records(self.folder, self.manifest, split)


def read_manifest(folder: pathlib.Path) -> dict:
    """The manifest of a dataset folder.

    Raises:
      FileNotFoundError: the folder or its manifest is missing.
      ValueError: the manifest cannot be used (`manifest.read`).
    """
    if not folder.is_dir():
        raise FileNotFoundError(
            f"{folder}: no such dataset folder. Prepare one with the programs in data_prep/, "
            "for example: python -m data_prep.ucf_crime --help"
        )
    path = folder / MANIFEST
    if not path.is_file():
        raise FileNotFoundError(
            f"{folder}: no {MANIFEST}, so this is not a prepared dataset. "
            "Prepare one with the programs in data_prep/, for example: "
            f"python -m data_prep.ucf_crime --features {folder} --out {folder}_records"
        )
    try:
        return manifests.read(path)
    except ValueError as error:
        raise ValueError(f"{error}; {MEND}") from error


def verify_shards(folder: pathlib.Path, manifest: dict, checksum: bool) -> None:
    """Compares every shard and file with the manifest: size, and SHA-256 if `checksum`.

    Raises:
      FileNotFoundError: a shard is missing.
      ValueError: a shard differs from the one that was written.
    """
    # The size of a shard is compared first: it tells a truncated file without reading it.
    shards = [shard for split in manifest["splits"].values() for shard in split["shards"]]
    for shard in shards + manifest.get("files", []):
        path = folder / shard["file"]
        if not path.exists():
            raise FileNotFoundError(
                f"{path}: shard is missing, which {folder / MANIFEST} lists; {MEND}"
            )
        size = check_regular(path).stat().st_size
        if size != shard["bytes"]:
            raise ValueError(
                f"{path}: {size:,} bytes, the manifest says {shard['bytes']:,}: truncated or "
                f"overwritten; {MEND}"
            )
        if checksum and (got := sha256(path)) != shard["sha256"]:
            raise ValueError(
                f"{path}: SHA-256 {got[:12]}…, the manifest says {shard['sha256'][:12]}…: "
                f"the shard is corrupt; {MEND}"
            )


def sha256(path: pathlib.Path) -> str:
    """SHA-256 of a regular file, as hexadecimal text."""
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class _Records:
    """Random access over the shards of one split; each record is a dict as `decode` makes it.

    Raises:
      ValueError: the shards cannot be read, or hold another number of records than the manifest
        says; on access: a damaged record.
    """

    def __init__(self, folder: pathlib.Path, manifest: dict, split: str):
        self._label = f"{folder} ({split})"
        # Damaged shards raise many types of errors; all of them get the name of the dataset.
        paths = [folder / shard["file"] for shard in manifest["splits"][split]["shards"]]
        try:
            if manifest["format"] == "array_record":
                self._source = ArrayRecordDataSource([str(path) for path in paths])
            else:
                self._source = TFRecordSource(paths)
        except Exception as error:
            raise ValueError(f"{self._label}: shards cannot be read ({error}); {MEND}") from error
        count = manifest["splits"][split]["records"]
        if len(self._source) != count:
            raise ValueError(
                f"{self._label}: its shards hold {len(self._source):,} records, the manifest says "
                f"{count:,}; {MEND}"
            )

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index: int) -> dict:
        try:
            return decode(self._source[int(index)])
        except Exception as error:
            raise self._damaged(index, error) from error

    def find_bytes(self, index: int, key: str) -> memoryview:
        """The bytes feature `key` of a record, without decoding the others (`find_bytes`)."""
        try:
            return find_bytes(self._source[int(index)], key)
        except Exception as error:
            raise self._damaged(index, error) from error

    def _damaged(self, index: int, error: Exception) -> ValueError:
        """The error with the dataset and the record in its message."""
        return ValueError(f"{self._label}: record {index} cannot be read ({error}); {MEND}")


def decode(serialized: bytes) -> dict:
    """One serialized `tf.train.Example` → dict of bytes, int64 [n] or float32 [n]."""
    feature = tf_example_pb2.Example.FromString(serialized).features.feature
    # A bytes feature has one value here; a feature without a kind is an empty list.
    values = {}
    for key, value in feature.items():
        match value.WhichOneof("kind"):
            case "bytes_list":
                values[key] = value.bytes_list.value[0] if value.bytes_list.value else b""
            case "int64_list":
                numbers = value.int64_list.value
                values[key] = np.fromiter(numbers, np.int64, len(numbers))
            case "float_list":
                numbers = value.float_list.value
                values[key] = np.fromiter(numbers, np.float32, len(numbers))
            case None:
                values[key] = np.zeros(0, np.int64)
    return values


def find_bytes(serialized: bytes, key: str) -> memoryview:
    """First value of a bytes feature of a serialized `tf.train.Example`, not copied.

    This walks protobuf's wire format, in which everything from the Example down to the value is
    length-delimited. For records of many kilobytes it is several times faster than parsing them.

    Args:
      serialized: the Example.
      key: name of the feature.

    Returns:
      The value; empty if the feature has none.

    Raises:
      ValueError: the example has no such feature, or is corrupt.
    """
    data, key_bytes = memoryview(serialized), key.encode()
    for _, start, stop in _fields(data, 0, len(data)):  # Example.features
        for _, entry, end in _fields(data, start, stop):  # Features.feature: a map
            (_, name, name_end), (_, feature, feature_end) = _fields(data, entry, end)
            if data[name:name_end] != key_bytes:
                continue
            for _, values, values_end in _fields(data, feature, feature_end):  # Feature.bytes_list
                for _, value, value_end in _fields(data, values, values_end):
                    return data[value:value_end]
            return data[:0]
    raise ValueError(f"no feature {key!r}")


def _fields(data: memoryview, at: int, stop: int) -> Iterator[tuple[int, int, int]]:
    """Tag, start and end of the length-delimited fields in `data[at:stop]`."""
    while at < stop:
        # A tag of one byte, then the size as a varint: 7 bits a byte, lowest first, and the highest
        # bit of a byte says that more follow.
        tag, size, shift = data[at], 0, 0
        while data[at := at + 1] >= 128 and shift < 64:
            size |= (data[at] & 127) << shift
            shift += 7
        size |= data[at] << shift
        at += 1
        if at + size > stop:
            raise ValueError("a field ends past the record")
        yield tag, at, at + size
        at += size


class TFRecordSource:
    """Random access to TFRecord files, whose positions are found once; both CRCs are checked.

    A record is its size (8 bytes), the CRC of the size (4), the content, and its CRC (4).

    Raises:
      ValueError: a CRC is wrong.
    """

    def __init__(self, paths: Sequence[pathlib.Path]):
        self._paths = list(paths)
        self._positions = [(i, at) for i, path in enumerate(paths) for at in _record_starts(path)]

    def __len__(self) -> int:
        return len(self._positions)

    def __getitem__(self, index: int) -> bytes:
        shard, start = self._positions[index]
        with self._paths[shard].open("rb") as file:
            file.seek(start)
            head = file.read(12)
            _check_crc(head[:8], head[8:], self._paths[shard])
            body = file.read(struct.unpack("<Q", head[:8])[0])
            _check_crc(body, file.read(4), self._paths[shard])
        return body


def _record_starts(path: pathlib.Path) -> list[int]:
    """Positions of the records of a TFRecord file, by walking from size to size."""
    starts, size, at = [], path.stat().st_size, 0
    with path.open("rb") as file:
        while at < size:
            file.seek(at)
            head = file.read(12)
            _check_crc(head[:8], head[8:], path)
            starts.append(at)
            at += 16 + struct.unpack("<Q", head[:8])[0]
    return starts


def masked_crc(data: bytes) -> bytes:
    """CRC-32C of `data` in the masked form of TFRecord, 4 bytes, little-endian."""
    # Rotated right by 15 bits, plus a constant, modulo 2^32.
    crc = google_crc32c.value(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def _check_crc(data: bytes, crc: bytes, path: pathlib.Path) -> None:
    if masked_crc(data) != crc:
        raise ValueError(f"{path}: wrong CRC, the file is corrupt")


def write_tfrecord(path: pathlib.Path, records: Sequence[bytes]) -> None:
    """Writes serialized records as a TFRecord file."""
    with path.open("wb") as file:
        for record in records:
            head = struct.pack("<Q", len(record))
            file.write(head + masked_crc(head) + record + masked_crc(record))
