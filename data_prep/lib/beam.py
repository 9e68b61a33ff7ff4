"""Work on many items as an Apache Beam pipeline: on one machine, or on many that share a disk.

    failed = each(videos, functools.partial(make_worker, settings), out, ["--runner=FlinkRunner"])
    with folder_beside(out) as shared:
        for result in in_order(videos, functools.partial(make_worker, settings), shared):
            for arrays in result: ...

Needs the extra `beam`.
"""

import contextlib
import functools
import io
import json
import pathlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from vadjax.data.store import builder
from vadjax.data.store.records import TFRecordSource, write_tfrecord
from vadjax.runtime import replacing

Worker = Callable[[str, Any], None]  # does the work for a name and an item
Arrays = Mapping[str, np.ndarray]  # by their names
Maker = Callable[[Any], Iterable[Arrays]]  # makes the results of an item


def folder_beside(out: str | pathlib.Path) -> contextlib.AbstractContextManager[pathlib.Path]:
    """Folder for `in_order`, on the disk of `out`; it is removed at the end of the `with`."""
    return replacing.beside(builder.parts_of(out))


def in_order(
    items: Sequence,
    make: Callable[[], Maker],
    shared: str | pathlib.Path,
    options: Sequence[str] = (),
) -> list[Iterator[dict[str, np.ndarray]]]:
    """Makes arrays of every item by Beam, in any order, and returns them in the items' order.

    Args:
      items: whatever Beam can send to a machine.
      make: as for `each`; returns the function of an item that yields arrays by their names.
      shared: folder that all machines see, in which the results wait.
      options: as for `each`.

    Returns:
      An iterator for each item over what its function yielded. The arrays are read from `shared`
      as they are asked for; the file of an item is removed after its last.

    Raises:
      FileNotFoundError: a result was written elsewhere.
      ImportError: Beam is not installed.
      ValueError: what the function raised, for the first item for which it did.
    """
    # Each item gets a file, whose name is its rank
    shared = pathlib.Path(shared)
    by_name = {f"{rank:06d}": item for rank, item in enumerate(items)}
    failed = each(by_name, functools.partial(_writer, make, shared), shared, options)
    if failed:
        raise ValueError(failed[min(failed)])
    # A machine that does not see the folder has written into one of its own
    paths = [shared / name for name in by_name]
    if missing := [path for path in paths if not path.is_file()]:
        raise FileNotFoundError(f"{missing[0]}: not there; do all machines see {shared.parent}?")
    return [_read(path) for path in paths]


def _writer(make: Callable[[], Maker], shared: pathlib.Path) -> Worker:
    """A function of name and item that writes all arrays as a TFRecord file of .npz records."""
    arrays_of = make()

    def write(name: str, item: Any) -> None:
        with replacing.file(shared / name) as new:  # Beam may give an item to two machines
            write_tfrecord(new, map(_pack, arrays_of(item)))

    return write


def _pack(arrays: Arrays) -> bytes:
    """The bytes of an .npz file of the arrays."""
    content = io.BytesIO()
    np.savez(content, **arrays)
    return content.getvalue()


def _read(path: pathlib.Path) -> Iterator[dict[str, np.ndarray]]:
    """Yields the arrays of each record of a file that `_writer` wrote, then removes the file."""
    for record in TFRecordSource([path]):
        with np.load(io.BytesIO(record), allow_pickle=False) as arrays:
            yield dict(arrays)
    path.unlink()


def each(
    items: Mapping[str, Any],
    make: Callable[[], Worker],
    shared: str | pathlib.Path,
    options: Sequence[str] = (),
) -> dict[str, str]:
    """Does the same work for every item, in the order that Beam chooses.

    Args:
      items: name → item, for example a path, which must mean the same on every machine.
      make: called once in a process; returns the function of name and item that does the work.
        Beam sends it to the machines: take a function of a module with plain arguments.
      shared: folder that all machines see; notes of failures pass through it.
      options: options of Beam, as on a command line; empty: this machine, one process.

    Returns:
      Name and reason of every item for which the work raised ValueError or OSError. Any other
      error ends the pipeline.

    Raises:
      ImportError: Beam is not installed.
    """
    try:
        import apache_beam as beam
    except ImportError as error:
        raise ImportError("this needs Apache Beam: pip install 'vadjax[beam]'") from error

    # The machines write [name, reason] of what fails into files, which are read at the end
    with replacing.beside(pathlib.Path(shared) / "failed") as notes:
        with beam.Pipeline(argv=[*(options or ["--runner=FnApiRunner"])]) as pipeline:
            _ = (
                pipeline
                | beam.Create([*items.items()])
                | beam.Reshuffle()  # else one machine may get them all
                | beam.ParDo(_do_fn(beam, make))
                | beam.io.WriteToText(f"{notes}/part", file_name_suffix=".jsonl")
            )
        parts = sorted(notes.glob("*.jsonl"))
        lines = [line for part in parts for line in part.read_text("utf-8").splitlines()]
        return dict(sorted(map(json.loads, lines)))


def _do_fn(beam, make: Callable[[], Worker]):
    """A DoFn that works on (name, item) and yields [name, reason] as JSON if that fails."""

    class Work(beam.DoFn):  # here, because Beam is imported only where it is used
        def setup(self):
            self._worker = make()

        def process(self, element):
            name, item = element
            try:
                self._worker(name, item)
            except (ValueError, OSError) as error:
                yield json.dumps([name, str(error)])

    return Work()
