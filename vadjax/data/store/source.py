"""Opens the dataset that a config names, or the built-in toy set if it names none."""

import pathlib

import ml_collections

from vadjax.data.store.records import Dataset
from vadjax.data.toy import datasets
from vadjax.runtime import replacing

TOY_NOTICE = (
    "No dataset named (--config.data.dir): this runs on the built-in toy set; "
    "its figures say nothing about real video."
)


def open_dataset(config: ml_collections.ConfigDict, kind: str, workdir: pathlib.Path) -> Dataset:
    """The dataset of `config.data.dir`; if that is empty, a toy set made in the workdir.

    Args:
      config: config of the run.
      kind: what its system reads, as `Dataset.kind`.
      workdir: folder of the run, in which a toy set is made if it is not there yet.

    Raises:
      FileNotFoundError, ValueError: as `Dataset`; also if it holds another kind of records.
    """
    if config.data.dir:
        data = Dataset(config.data.dir, config.data.verify)
    else:
        # What a killed program left of the toy set is removed.
        folder = workdir / "toy_data"
        replacing.clear(folder)
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()  # left by an older vadjax that was killed
        if not folder.exists():
            datasets.WRITERS[kind](folder)
        data = Dataset(folder)
    if data.kind != kind:
        raise ValueError(
            f"{data.folder}: holds {data.kind!r} records, system {config.system!r} reads {kind!r}"
        )
    return data


def is_toy(config: ml_collections.ConfigDict) -> bool:
    """Whether the config names no dataset."""
    return not config.data.dir
