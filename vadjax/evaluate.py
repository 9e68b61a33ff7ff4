"""State + split → score files → metrics → report."""

import contextlib
import itertools
import json
import pathlib
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import jax
import ml_collections
import numpy as np

from vadjax.config import expect_one_of
from vadjax.data import clips
from vadjax.data.scored_video import ScoredVideo
from vadjax.data.store import source
from vadjax.data.store.records import MANIFEST, Dataset, sha256
from vadjax.metrics import frame, region, region_files
from vadjax.report import table, unlabelled
from vadjax.report.events import EventRule
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
from vadjax.scores import alarm, files
from vadjax.scores.alarm import AlarmLine
from vadjax.scores.figures import labels
from vadjax.scores.files import Scores
from vadjax.system import System, load_system

if TYPE_CHECKING:
    from vadjax.report.footage import Footage

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
    # The config, in a copy, the system and the dataset.
    folder = pathlib.Path(folder)
    config = config.copy_and_resolve_references()
    config.data.dir = config.data.dir or workdir.saved(folder)["data"]["dir"]
    workdir.check(folder, config, use="evaluate")
    if source.is_toy(config):
        print(source.TOY_NOTICE)
    system = load_system(config, RunCache(folder), any_module=True)
    data = source.open_dataset(config, system.kind, folder)
    if has_only_normal(config, system, data):
        print(_nothing_new(data, folder))
        return
    # The state of the step that is asked for, else of the best, else of the newest.
    target = mesh.abstract(mesh.of_run(config), system.abstract_state(data))
    chosen = "newest checkpoint" if step is None else "chosen step"
    selection = selects(config, system)
    with Checkpoints(folder, bool(selection), read_only=True) as checkpoints:
        if step is None and selection and checkpoints.best is not None:
            step, chosen = checkpoints.best, selection
        state, step = checkpoints.restore(target, step=step)
    # Figures of the untrained state are comparable only if everything else is the same.
    same = not workdir.differences(folder, config, data)
    before = untrained(folder) if same else {}
    state = system.finalize(mesh.local(state), data)
    with _own_folder(folder, step) as out:
        line = line_of(config, folder)
        measure(config, system, data, state, step, chosen, out, before, line)


def line_of(config: ml_collections.ConfigDict, folder: pathlib.Path) -> AlarmLine | None:
    """The alarm line of a run; None if it has none, or for scores that are made otherwise."""
    line = alarm.read(folder)
    other = workdir.scored_otherwise(folder, config) if line is not None else []
    if other:
        print(f"note: without the alarm line of the run, where {', '.join(other)} had other values")
        return None
    return line


@contextlib.contextmanager
def _own_folder(folder: pathlib.Path, step: int) -> Iterator[pathlib.Path]:
    """`folder/evaluate_STEP`, with a number behind it if that is taken; held during the block.

    A folder that a killed evaluation has left is emptied and taken: such a folder still has its
    lock file, or nothing in it.
    """
    with contextlib.ExitStack() as held:

        def take() -> int:
            for number in itertools.count(1):
                out = _numbered(folder, step, number)
                if out.exists() and any(out.iterdir()) and not (out / workdir.LOCK).exists():
                    continue  # a finished evaluation
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
    """Removes everything in a folder but its lock file."""
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
    line: AlarmLine | None = None,
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
      line: alarm line of the run, if it has one.

    Returns:
      What is in `metrics.json`.

    With several processes each scores its share of the videos; the first writes the rest.
    """
    if has_only_normal(config, system, data):
        print(_nothing_new(data, out))
        return {}
    # Score the split and measure the scores.
    split = config.eval.split
    if system.scores_videos:
        videos = system.videos(data, split)
        results = write_scores(system, state, videos, split, out)
        measured = figures(config, results)
        if processes.is_first() and not without_labels(results):
            measured |= region_figures(config, results, videos, out)
    else:
        results, measured = [], system.figures(state, data)
    # What `metrics.json` holds, then the table and the report.
    title = (
        f"{config.system} on {data.name} ({split}), step {step:,} ({chosen}), seed {config.seed}"
    )
    summary = {
        "title": title,
        "system": config.system,
        "data": data.name,
        "split": split,
        "step": step,
        "seed": config.seed,
        "selected_on_test": chosen == BEST,
        "metrics": measured,
        "labels": labels(measured),
        "untrained": dict(before),
        provenance.KEY: made_with(config, data),
    }
    if processes.is_first():
        metric_writers.write_json(out / "metrics.json", summary)
        _report(config, system, data, summary, results, out, line)
    processes.wait("report")
    return summary


def _report(
    config: ml_collections.ConfigDict,
    system: System,
    data: Dataset,
    summary: Mapping,
    results: Sequence[Scores],
    out: pathlib.Path,
    line: AlarmLine | None,
) -> None:
    """Prints the figures, or what can be said without labels, and writes the report.

    `summary` is what is in `metrics.json`, `results` are the scores of the split, none of a system
    that scores no videos; the rest is as for `measure`.
    """
    fps = system.frame_rate(data)
    every = system.scored_every(fps) if fps else 1
    rule = EventRule(line, fps, data.source_size, every)
    if without_labels(results):
        unlabelled.print_summary(summary["title"], results, rule)
    else:
        table.print_table(summary)
    if results:
        from vadjax.report import page  # Matplotlib: half a second, 30 MB

        shown = config.report
        counts = shown.videos, shown.windows, shown.reasons
        seen = footage_of(config, system, data, config.eval.split, out)
        path = page.build(out / "report", results, summary, *counts, rule, seen)
        print(f"Report: {path}")


def footage_of(
    config: ml_collections.ConfigDict,
    system: System,
    data: Dataset,
    split: str,
    out: pathlib.Path,
) -> "Footage":
    """What the page of a report shows beside scores: the frames of a split.

    Args:
      config: of the run.
      system: of the run.
      data: the dataset; one of features has no frames.
      split: of the videos.
      out: the workdir, or a folder in it.
    """
    from vadjax.report.footage import Footage, extend_command  # as above
    from vadjax.report.overlay import FrameSource

    if data.kind != clips.KIND:
        return Footage(films=config.report.film)
    frames = {
        video.name: FrameSource(video, len(video), video.source_size)
        for video in clips.Videos(data, split)
    }
    run_folder = out if (out / workdir.FILE).exists() else out.parent

    def normal_command(video: str, start: int, stop: int) -> str | None:
        flags = [f"--config.data.dir={data.folder}", f"--config.eval.split={split}"]
        return extend_command(run_folder, [*flags, f"--video={video}"], start, stop)

    return Footage(frames, config.report.film, normal_command if system.extends else None)


def _nothing_new(data: Dataset, folder: pathlib.Path) -> str:
    """What is said of a dataset without new footage, to whom has a run in a folder."""
    return (
        f"{data.folder} has no new footage, so nothing is scored. Score some: python -m "
        f"vadjax.main --workdir={folder} --mode=predict --video=VIDEO"
    )


def has_only_normal(config: ml_collections.ConfigDict, system: System, data: Dataset) -> bool:
    """Whether there is no video to score, for a system that is done without a training step."""
    none_to_score = list(data.splits) == ["train"] and config.eval.split == "test"
    return none_to_score and system.scores_videos and not config.train.steps


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
    share = _share(system, videos)
    with progress.bar(f"score {split}", len(share)) as bar:
        results = _through_files(
            system, state, share, out / "scores", lambda done: bar.update(done, {})
        )
    check_all_scored(videos, results)
    return results


def check_all_scored(videos: Sequence[ScoredVideo], results: Sequence[Scores]) -> None:
    """Finds videos without scores: the figures would be those of another set of videos.

    Raises:
      ValueError: there are some; names them.
    """
    if len(results) == len(videos):
        return
    names = [video.name for video in videos]
    counts = f"{len(videos):,} videos, but scores of {len(results):,}"
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(
            f"{counts}: two videos or more are called {frame.listed(twice)}. Prepare the dataset "
            "again with names of their own"
        )
    missing = sorted(set(names) - {scores.video for scores in results})
    raise ValueError(f"{counts}: the system gave none for {frame.listed(missing)}")


def _through_files(
    system: System, state, share: Sequence, folder: pathlib.Path, tell: Callable[[int], None]
) -> list[Scores]:
    """The scores of all processes, by way of the files in `folder`.

    Args:
      system: scores the videos.
      state: after `finalize`.
      share: the videos that this process scores.
      folder: of the score files; it is replaced as a whole.
      tell: called with the number of videos that are done.
    """
    with _replacing(folder) as new:
        for done, scores in enumerate(system.score(state, share) if len(share) else (), 1):
            files.write(new, scores)
            tell(done)
    return files.read_folder(folder)


def _share(system: System, videos: Sequence) -> Sequence:
    """The videos that this process scores.

    Where the scores of a video depend on those before, the first process scores all of them.
    """
    if processes.count() == 1:
        return videos
    if system.in_order:
        return videos if processes.is_first() else []
    return processes.own(videos)


@contextlib.contextmanager
def _replacing(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    """`files.replacing` for all processes together: the folder that all of them write to."""
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
    """RBDC and TBDC, where both the scores and the truth say where in the picture; else nothing.

    A video without tracks counts as one without anomalies, unless none has any. The curves go to
    `out` (`region.STORED`).

    Args:
      config: of the run.
      results: scores, by name.
      videos: the videos that were scored.
      out: folder to write to.
    """
    # Whether all scores have places, and the truth of each video.
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
    if len(sizes) > 1 or not any(rows is not None and len(rows) for rows in tracks):
        return {}
    # Scores and truth side by side, in the order of the scores. Maps go before boxes.
    boxes_of = region_files.score_file_boxes
    measured = region.MeasuredVideos(
        [scores.video for scores in results],
        None if maps else [boxes_of(scores.video, scores, False) for scores in results],
        [scores.map for scores in results] if maps else None,
        [np.zeros((0, 6)) if rows is None else rows for rows in tracks],
        sum(len(scores.frame_scores) for scores in results),
    )
    points = region.measure(
        measured,
        config.eval.alpha,
        config.eval.beta,
        thresholds=config.eval.thresholds,
        min_area=config.eval.min_area,
        frame_size=sizes.pop(),
    )
    region.write_curves(out, points)
    origin = {"tracks": config.eval.tracks} if config.eval.tracks else {}
    return region.areas(points, config.eval.tracks) | origin


def measure_state(
    config: ml_collections.ConfigDict, system: System, data: Dataset, state, folder: pathlib.Path
) -> dict:
    """Figures of a finalized state, without a report.

    Args:
      config: of the run.
      system: scores the videos.
      data: holds the split `eval.split`.
      state: after `finalize`.
      folder: the workdir, through which several processes pass on their scores.
    """
    if not system.scores_videos:
        return system.figures(state, data)
    videos = system.videos(data, config.eval.split)
    # One process needs no files.
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
    # Figures are written as SPLIT/NAME (`train.Loop`), the scalars of a step by their names alone.
    first = [row for row in metric_writers.read(folder) if row["step"] == 0]
    return {
        name.split("/", 1)[1]: value for row in first for name, value in row.items() if "/" in name
    }


def without_labels(results: Sequence[Scores]) -> bool:
    """Whether there are scores, and none of them with labels."""
    return bool(results) and all(scores.labels is None for scores in results)


def check_figure(name: str) -> None:
    """Raises ValueError unless `name` is a figure that can select a checkpoint."""
    ranking = [figure for figure in frame.FIGURES if figure.startswith(("auc", "ap", "pr"))]
    expect_one_of("eval.select_by", name, ranking)


def figures(config: ml_collections.ConfigDict, results: Sequence[Scores]) -> dict:
    """Frame-level figures with the thresholds and pairings of the config.

    Where no video has labels, only how many videos and frames there are.
    """
    if without_labels(results):
        return unlabelled.counts(results)
    return frame.evaluate(
        results, config.eval.threshold, config.eval.pairings, config.eval.pair_seed
    )
