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

from vadjax.data.store import memory_guard, ordered, records
from vadjax.formats.names import check_name
from vadjax.runtime import lock, replacing, space


class LabelNotes:
    """Collects what the manifest says of a split; sees each example on its way to the shards.

    This class, the default, counts labels: every example has a `label`, 0 or 1. Other kinds of
    records have note classes of their own with the same methods.
    """

    def __init__(self):
        self.labels = []

    def add(self, example: Mapping) -> None:
        """Notes one example; called in the order of the records."""
        self.labels.append(example["label"])

    def entries(self) -> dict:
        """Entries of the split in the manifest.

        `labels` has two hexadecimal digits for each record, so that readers need not scan them.
        """
        return {
            "records": len(self.labels),
            "anomalous": sum(self.labels),
            "normal": len(self.labels) - sum(self.labels),
            "labels": bytes(self.labels).hex(),
        }

    def files(self) -> dict[str, bytes]:
        """Files to write beside the shards: path in the dataset folder → content."""
        return {}


class RecordBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """TFDS builder that writes given examples in their order.

    Args:
      data_dir: folder for the shards.
      features: TFDS feature connectors of a record.
      splits: split name → its examples, in order.
      description: description of the dataset, for TFDS.
    """

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
        # TFDS asks for these in its own constructor.
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
    """Checks the arguments of `write_dataset` before any work is done.

    Args:
      out: folder to make.
      file_format: `"array_record"` or `"tfrecord"`.
      shards: shards per split; None lets TFDS choose by size.

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
    """The folder, beside `out`, into which machines that share the work write their parts."""
    out = pathlib.Path(out).absolute()
    return out.with_name(f"{out.name}.parts")


def check_new(out: str | pathlib.Path) -> None:
    """Removes what a killed program has left of `out`, and raises if `out` exists.

    Raises:
      FileExistsError: `out` exists.
      vadjax.runtime.lock.Held: another program writes `out`.
    """
    # What a killed program left: the unfinished folder, and the parts of several machines.
    replacing.clear(out)
    with contextlib.suppress(lock.Held):  # held by this program itself
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
      kind: what a record holds (`"features"`, `"frames"`, `"images"`, `"objects"` or `"tracks"`).
      features: TFDS feature connectors of a record.
      splits: split name → its examples, in order; may be a generator.
      file_format: `"array_record"` or `"tfrecord"` (written without TensorFlow).
      shards: shards per split; None lets TFDS choose by size.
      extra: more entries for the manifest, for example the streams of the features.
      notes: split name → object that makes its entry of the manifest; None counts labels.
      size: least number of bytes of all records, if known, to check the free disk space before
        the work.

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
        # TFDS writes ArrayRecord shards from the examples, which the notes see on their way.
        notes = notes or {split: LabelNotes() for split in splits}
        builder = RecordBuilder(
            data_dir=str(work),
            features=features,
            splits={split: _noting(splits[split], notes[split], split) for split in splits},
            description=f"{name}: {kind} prepared by vadjax",
        )
        if not sys.stderr.isatty():
            tfds.disable_progress_bar()
        # TFDS prints that it downloads; nothing is downloaded.
        with contextlib.redirect_stdout(io.StringIO()), ordered.in_order():
            builder.download_and_prepare(
                download_config=tfds.download.DownloadConfig(num_shards=shards)
            )
        # The shards get their final format, the notes add their files, and the manifest goes last.
        folder = pathlib.Path(builder.data_path)
        _rewrite_shards(folder, file_format)
        files = _write_files(folder, notes)
        manifest = {
            "name": name,
            "kind": kind,
            "format": file_format,
            **(extra or {}),
            "splits": {
                split: {**notes[split].entries(), "shards": _describe_shards(folder, split)}
                for split in splits
            },
            **({"files": files} if files else {}),
        }
        replacing.write(folder / records.MANIFEST, json.dumps(manifest, indent=1) + "\n")
        replacing.put(folder, out)
    return manifest


def _noting(examples: Iterable[dict], notes: LabelNotes, split: str) -> Iterator[dict]:
    """Passes the examples of a split on and notes each; raises ValueError if there are none."""
    empty = True
    for example in examples:
        notes.add(example)
        empty = False
        yield example
    if empty:
        raise ValueError(f"split {split!r} would be empty; nothing was written")


def _write_files(folder: pathlib.Path, notes: Mapping[str, LabelNotes]) -> list[dict]:
    """Writes the files of the notes and returns their entries in the manifest."""
    files = {name: data for note in notes.values() for name, data in note.files().items()}
    for name, content in files.items():
        check_name(name, folder, "file", nested=True)
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return [_describe(folder, folder / name) for name in sorted(files)]


def _describe_shards(folder: pathlib.Path, split: str) -> list[dict]:
    """Entries of the shards of a split in the manifest."""
    return [_describe(folder, path) for path in sorted(folder.glob(f"*-{split}.*-of-*"))]


def _describe(folder: pathlib.Path, path: pathlib.Path) -> dict:
    """Entry of a shard or another file in the manifest."""
    return {
        "file": path.relative_to(folder).as_posix(),
        "bytes": path.stat().st_size,
        "sha256": records.sha256(path),
    }


def _rewrite_shards(folder: pathlib.Path, file_format: str) -> None:
    """Rewrites the shards of TFDS as TFRecord, or as ArrayRecord without compression.

    TFDS leaves the order of a record's features to chance. They are put in the order of their
    names, so that the same examples give the same bytes. Compression hardly makes float features
    smaller, and makes reading slower.
    """
    for path in sorted(folder.glob("*.array_record-*")):
        source = ArrayRecordDataSource(str(path))
        serialized = (_in_order(source[i]) for i in range(len(source)))
        # Group size 1: every record is a chunk of its own, for random access.
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
    # TFDS opens the folder by what `dataset_info.json` says of the format and the files' names.
    if file_format == "tfrecord":
        info = folder / "dataset_info.json"
        text = info.read_text("utf-8").replace('"array_record"', '"tfrecord"')
        info.write_text(text.replace("{FILEFORMAT}", "tfrecord"), "utf-8")


def _in_order(serialized: bytes) -> bytes:
    """The same `tf.train.Example`, its features in the order of their names."""
    example = tf_example_pb2.Example.FromString(serialized)
    return example.SerializeToString(deterministic=True)
