"""Folders as runs leave them, small and quick to make."""

import json
import pathlib

from vadjax.runtime import checksums, layout, provenance


def make(
    folder: pathlib.Path,
    data: str = "",
    finished: bool = True,
    auc: float | None = 0.75,
    system: str = "attributes",
    **config: dict,
) -> pathlib.Path:
    """A run with objects, scores and a report.

    Args:
      folder: of the run.
      data: folder of its dataset; "" for a built-in toy set.
      finished: whether it has a finished state and figures.
      auc: its figure; None without labels.
      system: of its config.
      config: further sections of it.
    """
    for name in ("objects/train", "checkpoints/5", "scores", "report"):
        (folder / name).mkdir(parents=True)
        (folder / name / "file").write_bytes(bytes(1000))
    checksums.write(folder / "checkpoints" / "5", checksums.CRC)
    config |= {"system": system, "data": {"dir": data}}
    (folder / layout.CONFIG).write_text(json.dumps(config))
    (folder / provenance.FILE).write_text("[]")
    place = data or folder / layout.TOY
    described = {"folder": str(place), "manifest": {"name": "street"}, "digest": "aa"}
    (folder / layout.DATASET).write_text(json.dumps(described))
    if not data:
        (folder / layout.TOY).mkdir()
        (folder / layout.TOY / "manifest.json").write_text("{}")
    if finished:
        (folder / layout.FINISHED).mkdir()
        (folder / layout.FINISHED / "state").write_bytes(bytes(2000))
        checksums.write(folder / layout.FINISHED, checksums.SHA)
        metrics = {"videos": 3} | ({} if auc is None else {"auc": auc, "tbdc": 0.5, "ap": None})
        summary = {"title": "attributes on street (test)", "metrics": metrics}
        (folder / layout.METRICS).write_text(json.dumps(summary))
    return folder
