"""Writing a dataset: a TFDS builder, shards in either format, the manifest."""

import contextlib
import io
import json
import pathlib
import sys
from collections.abc import Iterable, Iterator, Mapping

import tensorflow_datasets as tfds
from array_record.python.array_record_data_source import ArrayRecordDataSource
from array_record.python.array_record_module import ArrayRecordWriter
from tensorflow_datasets.proto import tf_example_pb2

from vadjax.data.store import memory_guard, records
from vadjax.formats.names import check_name
from vadjax.runtime import lock, replacing, space


class LabelNotes:
    """What the manifest says of a split; sees each example on its way to the shards.

    This one, the default, counts labels: every example has a `label`, 0 or 1. Other kinds of
    records bring their own notes with the same methods.
    """

    def __init__(self):
        self.labels = []

    def add(self, example: Mapping) -> None:
        """Notes one example; called in the order of the records."""
        self.labels.append(example["label"])

    def entries(self) -> dict:
        """Manifest entries; `labels` has one hexadecimal byte a record: no reader scans."""
        return {
            "records": len(self.labels),
            "anomalous": sum(self.labels),
            "normal": len(self.labels) - sum(self.labels),
            "labels": bytes(self.labels).hex(),
        }

    def files(self) -> dict[str, bytes]:
        """Files to lay beside the shards, by their path in the dataset folder."""
        return {}


class RecordBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """TFDS builder over examples that a program of `data_prep` yields, in their order."""

    name = "vadjax_records"
    VERSION = tfds.core.Version("1.0.0")

    def __init__(
        self,
        *,
        data_dir: str,
        features: Mapping,
        splits: Mapping[str, Iterable[dict]],
        description: str,
    ):
        self._spec, self._splits, self._description = features, splits, description
        super().__init__(data_dir=data_dir, file_format="array_record")

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description=self._description,
            features=tfds.features.FeaturesDict(dict(self._spec)),
            disable_shuffling=True,  # keep the order of the list files
        )

    def _split_generators(self, dl_manager):
        del dl_manager
        return {name: enumerate(examples) for name, examples in self._splits.items()}

    def _generate_examples(self):
        raise NotImplementedError("the splits are given as iterables")


def check_target(out: str | pathlib.Path, file_format: str, shards: int | None) -> None:
    """Refuses, before any work, what `write_dataset` would refuse.

    Raises:
      FileExistsError: `out` exists.
      ValueError: unknown format, no shard, or another program writes `out`.
    """
    if file_format not in records.FORMATS:
        raise ValueError(f"format {file_format!r}; expected one of {', '.join(records.FORMATS)}")
    check_new(out)
    if shards is not None and shards < 1:
        raise ValueError(f"--shards {shards}; expected at least 1")


def parts_of(out: str | pathlib.Path) -> pathlib.Path:
    """The folder beside which machines that share the work lay their parts of `out`."""
    out = pathlib.Path(out).absolute()
    return out.with_name(f"{out.name}.parts")


def check_new(out: str | pathlib.Path) -> None:
    """Removes what a killed program has left of `out`, and refuses one that exists.

    Raises:
      FileExistsError: `out` exists.
      vadjax.runtime.lock.Held: another program writes it.
    """
    replacing.clear(out)
    with contextlib.suppress(lock.Held):  # by this very program
        replacing.clear(parts_of(out))
    if pathlib.Path(out).exists():
        raise FileExistsError(
            f"{out} exists and is left as it is; name another folder or remove it"
        )


def write_dataset(
    out: str | pathlib.Path,
    *,
    name: str,
    kind: str,
    features: Mapping,
    splits: Mapping[str, Iterable[dict]],
    file_format: str = "array_record",
    shards: int | None = None,
    extra: Mapping | None = None,
    notes: Mapping[str, LabelNotes] | None = None,
    size: int | None = None,
) -> dict:
    """Writes a dataset beside `out`, then renames it into place.

    Args:
      out: folder to make; must not exist.
      name: name of the set, shown in reports.
      kind: what a record holds (`"features"`, `"frames"`, `"images"` or `"objects"`).
      features: TFDS feature connectors of a record.
      splits: split name → its examples, in order; may be a generator.
      file_format: `"array_record"` or `"tfrecord"` (written without TensorFlow).
      shards: shards per split; None lets TFDS choose by size.
      extra: more entries for the manifest, for example the streams of the features.
      notes: split name → what its manifest entry is made of; None counts labels.
      size: bytes of all records, at least, if known: too little room is found before the work.

    Returns:
      The manifest.

    Raises:
      FileExistsError: `out` exists.
      ValueError: unknown format, a split without examples, or another program writes `out`.
      vadjax.runtime.space.NotWritten: the disk is full, or cannot be written.
    """
    out = pathlib.Path(out)
    check_target(out, file_format, shards)
    if size:
        space.check(out, size, "the dataset")
    with replacing.beside(out) as work, memory_guard.guarded(out):
        notes = notes or {split: LabelNotes() for split in splits}
        builder = RecordBuilder(
            data_dir=str(work),
            features=features,
            splits={split: _noting(splits[split], notes[split], split) for split in splits},
            description=f"{name}: {kind} prepared by vadjax",
        )
        if not sys.stderr.isatty():
            tfds.disable_progress_bar()
        with contextlib.redirect_stdout(io.StringIO()):  # it speaks of downloads; there are none
            builder.download_and_prepare(
                download_config=tfds.download.DownloadConfig(num_shards=shards)
            )
        made = pathlib.Path(builder.data_path)
        _rewrite_shards(made, file_format)
        files = _write_files(made, notes)
        manifest = {
            "name": name,
            "kind": kind,
            "format": file_format,
            **(extra or {}),
            "splits": {
                split: {**notes[split].entries(), "shards": _describe_shards(made, split)}
                for split in splits
            },
            **({"files": files} if files else {}),
        }
        replacing.write(made / records.MANIFEST, json.dumps(manifest, indent=1) + "\n")
        replacing.put(made, out)
    return manifest


def _noting(examples: Iterable[dict], notes: LabelNotes, split: str) -> Iterator[dict]:
    empty = True
    for example in examples:
        notes.add(example)
        empty = False
        yield example
    if empty:
        raise ValueError(f"split {split!r} would be empty; nothing was written")


def _write_files(folder: pathlib.Path, notes: Mapping[str, LabelNotes]) -> list[dict]:
    files = {name: data for note in notes.values() for name, data in note.files().items()}
    for name, content in files.items():
        check_name(name, folder, "file", nested=True)
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return [_describe(folder, folder / name) for name in sorted(files)]


def _describe_shards(folder: pathlib.Path, split: str) -> list[dict]:
    return [_describe(folder, path) for path in sorted(folder.glob(f"*-{split}.*-of-*"))]


def _describe(folder: pathlib.Path, path: pathlib.Path) -> dict:
    return {
        "file": path.relative_to(folder).as_posix(),
        "bytes": path.stat().st_size,
        "sha256": records.sha256(path),
    }


def _rewrite_shards(folder: pathlib.Path, file_format: str) -> None:
    """Rewrites the shards that TFDS wrote as TFRecord, or as ArrayRecord without compression.

    The features of a record are put in the order of their names, which TFDS leaves to chance, so
    that the same examples give the same bytes.

    Float features hardly compress, and reading them back is faster without.
    """
    for path in sorted(folder.glob("*.array_record-*")):
        source = ArrayRecordDataSource(str(path))
        serialized = (_in_order(source[i]) for i in range(len(source)))
        if file_format == "tfrecord":
            target = folder / path.name.replace(".array_record-", ".tfrecord-")
            records.write_tfrecord(target, serialized)
            path.unlink()
        else:
            target = folder / f"{path.name}.tmp"
            writer = ArrayRecordWriter(str(target), "group_size:1,uncompressed")
            for record in serialized:
                writer.write(record)
            writer.close()
            target.replace(path)
    if file_format == "tfrecord":
        info = folder / "dataset_info.json"
        text = info.read_text("utf-8").replace('"array_record"', '"tfrecord"')
        info.write_text(text.replace("{FILEFORMAT}", "tfrecord"), "utf-8")


def _in_order(serialized: bytes) -> bytes:
    example = tf_example_pb2.Example.FromString(serialized)
    return example.SerializeToString(deterministic=True)
