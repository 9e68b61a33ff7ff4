"""State + split → score files → metrics → report."""

import contextlib
import itertools
import json
import pathlib
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence

import jax
import ml_collections
import numpy as np

from vadjax.config import expect_one_of
from vadjax.data.scored_video import ScoredVideo
from vadjax.data.store import source
from vadjax.data.store.records import MANIFEST, Dataset, sha256
from vadjax.metrics import frame, region, region_files
from vadjax.report import page, table
from vadjax.runtime import (
    lock,
    mesh,
    metric_writers,
    processes,
    progress,
    provenance,
    space,
    workdir,
)
from vadjax.runtime.cache import RunCache
from vadjax.runtime.checkpoint import Checkpoints
from vadjax.scores import files
from vadjax.scores.figures import labels
from vadjax.scores.files import Scores
from vadjax.system import System, load_system

BEST = "best step on the TEST split"
HELD_OUT = "best step on held-out training videos"


def run(
    config: ml_collections.ConfigDict, folder: str | pathlib.Path, step: int | None = None
) -> None:
    """Scores a checkpoint of the run in `folder` again, into a new folder `evaluate_STEP` there.

    Args:
      config: the run's config; `vadjax.runtime.policy` says what may differ. An empty `data.dir`
        means the run's own dataset. It stays as it is.
      folder: workdir of the run.
      step: which checkpoint; the newest, or the best if one was selected, if None.

    Raises:
      FileNotFoundError, ValueError: no such run or checkpoint, or the config differs.
    """
    folder = pathlib.Path(folder)
    config = config.copy_and_resolve_references()
    config.data.dir = config.data.dir or workdir.saved(folder)["data"]["dir"]
    workdir.check(folder, config, use="evaluate")
    if source.is_toy(config):
        print(source.TOY_NOTICE)
    system = load_system(config, RunCache(folder), any_module=True)
    data = source.open_dataset(config, system.kind, folder)
    target = mesh.abstract(mesh.of_run(config), system.abstract_state(data))
    chosen = "newest checkpoint" if step is None else "chosen step"
    selection = selects(config, system)
    with Checkpoints(folder, bool(selection), read_only=True) as checkpoints:
        if step is None and selection and checkpoints.best is not None:
            step, chosen = checkpoints.best, selection
        state, step = checkpoints.restore(target, step=step)
    same = not workdir.differences(folder, config, data)
    before = untrained(folder) if same else {}
    state = system.finalize(mesh.local(state), data)
    with _own_folder(folder, step) as out:
        measure(config, system, data, state, step, chosen, out, before)


@contextlib.contextmanager
def _own_folder(folder: pathlib.Path, step: int) -> Iterator[pathlib.Path]:
    """`folder/evaluate_STEP`, with a number behind it if that is taken; held during the block.

    What a killed evaluation has left is taken, emptied: it has its lock still, or nothing yet.
    """
    with contextlib.ExitStack() as held:

        def take() -> int:
            for number in itertools.count(1):
                out = _numbered(folder, step, number)
                if out.exists() and any(out.iterdir()) and not (out / workdir.LOCK).exists():
                    continue  # a whole one
                try:
                    with space.naming(out):
                        out.mkdir(exist_ok=True)
                        held.enter_context(lock.held(out / workdir.LOCK, str(out)))
                        _empty(out)
                except lock.Held:
                    continue
                return number
            raise AssertionError("not reached")

        yield _numbered(folder, step, processes.once(take, space.NotWritten))


def _numbered(folder: pathlib.Path, step: int, number: int) -> pathlib.Path:
    return folder / (f"evaluate_{step}" + (f"_{number}" if number > 1 else ""))


def _empty(folder: pathlib.Path) -> None:
    """Removes all in a folder but its lock."""
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != workdir.LOCK:
            path.unlink()


def measure(
    config: ml_collections.ConfigDict,
    system: System,
    data: Dataset,
    state,
    step: int,
    chosen: str,
    out: pathlib.Path,
    before: Mapping[str, float],
) -> dict:
    """Scores a split, writes `scores/`, `metrics.json` and `report/` to `out`, prints the figures.

    Args:
      config: of the run.
      system: scores the videos.
      data: holds the split `eval.split`.
      state: trained state, after `finalize`.
      step: of the state.
      chosen: how that step was chosen, for the title.
      out: folder to write to.
      before: figures of the untrained state on the same split, if known.

    Returns:
      What is in `metrics.json`.

    With several processes each scores its share of the videos; the first writes the rest.
    """
    # Score the split and measure the scores.
    split = config.eval.split
    if system.scores_videos:
        videos = system.videos(data, split)
        results = write_scores(system, state, videos, split, out)
        found = figures(config, results)
        if processes.is_first():
            found |= region_figures(config, results, videos, out)
    else:
        results, found = [], system.figures(state, data)
    # What is kept of it.
    summary = {
        "title": f"{config.system} on {data.name} ({split}), step {step:,} ({chosen}), "
        f"seed {config.seed}",
        "system": config.system,
        "data": data.name,
        "split": split,
        "step": step,
        "seed": config.seed,
        "selected_on_test": chosen == BEST,
        "metrics": found,
        "labels": labels(found),
        "untrained": dict(before),
        provenance.KEY: made_with(config, data),
    }
    # The table and the report.
    if processes.is_first():
        metric_writers.write_json(out / "metrics.json", summary)
        table.print_table(summary)
        if results:
            shown = config.report
            counts = shown.videos, shown.windows, shown.reasons
            path = page.build(out / "report", results, summary, *counts)
            print(f"Report: {path}")
    processes.wait("report")
    return summary


def made_with(config: ml_collections.ConfigDict, data: Dataset) -> dict:
    """`provenance.made_with` of a run on the devices of all processes.

    A run on prepared objects has a second dataset, `objects`, beside that of the frames.
    """
    entry = provenance.made_with(jax.devices(), data, json.loads(config.to_json()))
    if folder := config.data.get("objects"):
        manifest = pathlib.Path(folder) / MANIFEST
        entry["objects"] = {"folder": str(manifest.parent.absolute()), "sha256": sha256(manifest)}
    return entry


def selects(config: ml_collections.ConfigDict, system: System) -> str | None:
    """How the step that is reported is selected: `BEST`, `HELD_OUT`, or None for the last."""
    if config.eval.select_on_test:
        return BEST
    return HELD_OUT if system.validates and config.eval.held_out else None


def write_scores(system: System, state, videos, split: str, out: pathlib.Path) -> list[Scores]:
    """Scores the videos, writes `out/scores/`, and returns what was written."""
    own = _share(system, videos)
    with progress.bar(f"score {split}", len(own)) as bar:
        results = _through_files(
            system, state, own, out / "scores", lambda done: bar.update(done, {})
        )
    check_all_scored(videos, results)
    return results


def check_all_scored(videos: Sequence[ScoredVideo], results: Sequence[Scores]) -> None:
    """Finds videos that no scores came back of: the figures would be those of another set.

    Raises:
      ValueError: there are some; names them.
    """
    if len(results) == len(videos):
        return
    names = [video.name for video in videos]
    said = f"{len(videos):,} videos, but scores of {len(results):,}"
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(
            f"{said}: two videos or more are called {frame.listed(twice)}. Prepare the dataset "
            "again with names of their own"
        )
    missing = sorted(set(names) - {one.video for one in results})
    raise ValueError(f"{said}: the system gave none for {frame.listed(missing)}")


def _through_files(
    system: System, state, own: Sequence, folder: pathlib.Path, tell: Callable[[int], None]
) -> list[Scores]:
    """The scores of all processes, each of its own videos, by way of the files in `folder`."""
    with _replacing(folder) as new:
        for done, result in enumerate(system.score(state, own) if len(own) else (), 1):
            files.write(new, result)
            tell(done)
    return files.read_folder(folder)


def _share(system: System, videos: Sequence) -> Sequence:
    """The videos that this process scores."""
    if processes.count() == 1:
        return videos
    if system.in_order:
        return videos if processes.is_first() else []
    return processes.own(videos)


@contextlib.contextmanager
def _replacing(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    """`scores.replacing` for all processes together."""
    with contextlib.ExitStack() as first:
        if processes.is_first():
            first.enter_context(files.replacing(folder, "scores"))
        processes.wait("scores begin")
        yield files.unfinished(folder)
        processes.wait("scores end")
    processes.wait("scores there")


def region_figures(
    config, results: Sequence[Scores], videos: Sequence[ScoredVideo], out: pathlib.Path
) -> dict:
    """RBDC and TBDC where scores say where and the truth does too; else nothing.

    A video without tracks counts as one without anomalies, unless none has any. The curves go to
    `out` (`region.STORED`).

    Args:
      config: of the run.
      results: scores, by name.
      videos: the videos that were scored.
      out: folder to write to.
    """
    # Are there places in the scores, and the truth of each video?
    maps = all(scores.map is not None for scores in results)
    boxes = all(scores.boxes is not None for scores in results)
    if not (maps or boxes):
        return {}
    named = {video.name: video for video in videos}
    if set(named) != {scores.video for scores in results}:
        return {}
    truths = [named[scores.video].region_truth for scores in results]
    if any(truth is None for truth in truths):
        return {}
    tracks, sizes = [truth.tracks for truth in truths], {truth.frame_size for truth in truths}
    if len(sizes) > 1 or not any(own is not None and len(own) for own in tracks):
        return {}
    # Both side by side, in the order of the scores.
    found = region.MeasuredVideos(
        [one.video for one in results],
        None if maps else [region_files.score_file_boxes(one.video, one, False) for one in results],
        [one.map for one in results] if maps else None,
        [np.zeros((0, 6)) if own is None else own for own in tracks],
        sum(len(one.frame_scores) for one in results),
    )
    points = region.measure(
        found,
        config.eval.alpha,
        config.eval.beta,
        thresholds=config.eval.thresholds,
        min_area=config.eval.min_area,
        frame_size=sizes.pop(),
    )
    region.write_curves(out, points)
    said = {"tracks": config.eval.tracks} if config.eval.tracks else {}
    return region.areas(points, config.eval.tracks) | said


def measure_state(
    config: ml_collections.ConfigDict, system: System, data: Dataset, state, folder: pathlib.Path
) -> dict:
    """Figures of a finalized state; `folder` is for what several processes tell each other."""
    if not system.scores_videos:
        return system.figures(state, data)
    videos = system.videos(data, config.eval.split)
    if processes.count() == 1:
        results = list(system.score(state, videos))
        check_all_scored(videos, results)
        return figures(config, results)
    passing = folder / workdir.PASSING
    results = _through_files(system, state, _share(system, videos), passing, lambda done: None)
    check_all_scored(videos, results)
    processes.wait("read")
    if processes.is_first():
        shutil.rmtree(passing)
    return figures(config, results)


def untrained(folder: pathlib.Path) -> dict[str, float]:
    """Figures of the run's first state, from its `metrics.jsonl`; empty if it was not scored."""
    first = [row for row in metric_writers.read(folder) if row["step"] == 0]
    return {
        name.split("/", 1)[1]: value for row in first for name, value in row.items() if "/" in name
    }


def check_figure(name: str) -> None:
    """Raises ValueError unless `name` is a figure that can select a checkpoint."""
    known = [figure for figure in frame.FIGURES if figure.startswith(("auc", "ap", "pr"))]
    expect_one_of("eval.select_by", name, known)


def figures(config: ml_collections.ConfigDict, results: Sequence[Scores]) -> dict:
    """Frame-level figures with the thresholds and pairings of the config."""
    return frame.evaluate(
        results, config.eval.threshold, config.eval.pairings, config.eval.pair_seed
    )
