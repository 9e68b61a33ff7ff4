"""State + split → score files → metrics → report."""

import pathlib
from collections.abc import Sequence

import jax
import ml_collections

from vadjax import mesh, progress, scores, workdir, writers
from vadjax.checkpoint import Checkpoints
from vadjax.data import source
from vadjax.data.records import Dataset
from vadjax.metrics import frame
from vadjax.report import page, table
from vadjax.scores import Scores
from vadjax.system import System, load

FREE = ("eval.", "report.", "data.dir", "data.verify", "data.threads", "train.devices")


def run(
    config: ml_collections.ConfigDict, folder: str | pathlib.Path, step: int | None = None
) -> None:
    """Scores a checkpoint of the run in `folder` again and writes `folder/evaluate_STEP`.

    Args:
      config: the run's config; `eval.*`, `report.*` and `data.dir` may differ.
      folder: workdir of the run.
      step: which checkpoint; the newest, or the best under `eval.select_on_test`, if None.

    Raises:
      FileNotFoundError, ValueError: no such run or checkpoint, or the config differs.
    """
    folder = pathlib.Path(folder)
    workdir.check(folder, config, FREE)
    if source.is_toy(config):
        print(source.TOY_NOTICE)
    system = load(config)
    data = source.open_dataset(config, system.kind, folder)
    devices = mesh.make(config.train.batch, config.train.devices)
    target = mesh.abstract(
        devices, jax.eval_shape(lambda: system.init(jax.random.key(config.seed), data))
    )
    with Checkpoints(folder, config.eval.select_on_test, read_only=True) as checkpoints:
        if step is None and config.eval.select_on_test:
            step = checkpoints.best
        state, step = checkpoints.restore(target, step=step)
    measure(config, system, data, state, step, folder, out=folder / f"evaluate_{step}")


def measure(
    config: ml_collections.ConfigDict,
    system: System,
    data: Dataset,
    state,
    step: int,
    folder: pathlib.Path,
    out: pathlib.Path | None = None,
) -> dict:
    """Scores a split, writes `scores/`, `metrics.json` and `report/` to `out`, prints the figures.

    Args:
      config: of the run.
      system: scores the videos.
      data: holds the split `eval.split`.
      state: trained state, before `finalize`.
      step: of the state.
      folder: workdir, whose `metrics.jsonl` holds the figures of the untrained state.
      out: where to write; the workdir if None.

    Returns:
      What is in `metrics.json`.
    """
    out = out or folder
    state = system.finalize(state, data)
    videos = system.videos(data, config.eval.split)
    with progress.bar(f"score {config.eval.split}", len(videos)) as bar:
        for done, result in enumerate(system.score(state, videos), 1):
            scores.write(out / "scores", result)
            bar.update(done, {})
    results = scores.read_folder(out / "scores")
    split = config.eval.split
    untrained = {
        name.removeprefix(f"{split}/"): value
        for row in writers.read(folder)
        if row["step"] == 0
        for name, value in row.items()
        if name.startswith(f"{split}/")
    }
    summary = {
        "system": config.system,
        "data": data.name,
        "split": split,
        "step": step,
        "seed": config.seed,
        "selected_on_test": config.eval.select_on_test,
        "metrics": figures(config, results),
        "untrained": untrained,
    }
    writers.write_json(out / "metrics.json", summary)
    path = page.build(out / "report", results, summary, config.report.videos)
    table.print_table(summary)
    print(f"Report: {path}")
    return summary


def figures(config: ml_collections.ConfigDict, results: Sequence[Scores]) -> dict:
    """Frame-level figures with the thresholds and pairings of the config."""
    return frame.evaluate(
        results, config.eval.threshold, config.eval.pairings, config.eval.pair_seed
    )
