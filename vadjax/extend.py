"""Finished run + further normal video → another finished run, without training again."""

import pathlib
import shutil

import jax
import ml_collections

from vadjax import evaluate
from vadjax.data.store.records import Dataset
from vadjax.predict.restore import restore
from vadjax.runtime import checkpoint, provenance, replacing, workdir
from vadjax.runtime.cache import RunCache
from vadjax.runtime.checkpoint import Checkpoints
from vadjax.scores import alarm
from vadjax.system import load_system

OF_RUN = (workdir.FILE, workdir.DESCRIPTION, provenance.FILE)  # files that the new run begins with


def run(
    config: ml_collections.ConfigDict, folder: str | pathlib.Path, out: str | pathlib.Path
) -> None:
    """Writes a run that also knows the training split of the dataset `config.data.dir`.

    The run in `folder` stays as it is. The new one belongs to the same config and dataset, so it is
    evaluated and used as that one.

    Args:
      config: of the same system; `data.dir` is the further dataset.
      folder: workdir of a finished run.
      out: workdir of the new run; there must be nothing yet.

    Raises:
      FileNotFoundError, ValueError: no such run or dataset, the system cannot be extended, the
        dataset is another camera's, or `out` is there already.
      vadjax.runtime.space.NotWritten: the disk is full, or cannot be written.
    """
    folder, out = pathlib.Path(folder), pathlib.Path(out)
    if out.exists():
        raise ValueError(f"{out} exists; --out names the folder of a new run")
    if not config.data.dir:
        raise ValueError(
            "--mode=extend needs --config.data.dir=DATASET, whose training split is learned too"
        )
    # The run and the further dataset.
    data = Dataset(config.data.dir, config.data.verify)
    config = config.copy_and_resolve_references()
    config.data.dir = workdir.saved(folder)["data"]["dir"]
    trained = restore(config, folder)
    if data.kind != trained.system.kind:
        raise ValueError(
            f"{data.folder}: holds {data.kind!r} records, system {config.system!r} reads "
            f"{trained.system.kind!r}"
        )
    if data.digest == trained.data.digest:
        raise ValueError(f"{data.folder}: {folder} was trained on this dataset")
    # The new run, whole or not at all.
    with replacing.folder(out) as work:
        for name in OF_RUN:
            shutil.copyfile(folder / name, work / name)
        system = load_system(trained.system.config, RunCache(work), any_module=True)
        state = system.extend(jax.device_get(trained.state), data)
        with Checkpoints(work) as checkpoints:
            checkpoints.save(0, state)
        checkpoint.write_finished(work, state)
        if (line := system.alarm_line(state, data)) is not None:
            alarm.write(work, line)
        extended = {"run": str(folder), "dataset": str(data.folder), "digest": data.digest}
        entry = {"extended": extended, **evaluate.made_with(trained.system.config, trained.data)}
        workdir.add_provenance(work, entry)
    print(f"Wrote {out}. Score with it: --workdir={out} and --mode=evaluate, or --mode=predict")
