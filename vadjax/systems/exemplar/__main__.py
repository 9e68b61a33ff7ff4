r"""The stages of the exemplar system as separate programs, resumable through files (spec eval §1).

    python -m vadjax.systems.exemplar STAGE --config=configs/ped2_exemplar.py --config.data.dir=DATASET \
        --workdir=RUN [--idx=N] [--split=train|test]

STAGE is one of, in this order:
  features   features of every video: RUN/features/SPLIT/VIDEO.npz (of both splits, or --split)
  select     exemplars of every training video: RUN/clusters_VERSION/VIDEO.npz, VIDEO_counts.npz
  merge      the model of the scene: RUN/exemplars_VERSION_merged.npz; prints a count per region
  score      scores of every test video: RUN/anomaly_scores_VERSION/VIDEO.npy, VIDEO_detail.npz
  evaluate   score files, figures, report, curves (RUN/region_bbox_fpr.npy …, VERSION_frame_fpr.npy …)
  show       frames with what scores --thresh or more marked: RUN/viz/VERSION/VIDEO/FRAME.png

`python -m vadjax.main` with the same config and workdir runs all stages but the last, through the
same files. With --idx=N a stage processes only the video of that rank (from 0, by name), so that
many machines can share it. Existing files are not made again; files that were made with another
geometry, version or threshold are refused. VERSION is model.version.
"""  # noqa: E501  (one line a stage)

import contextlib
import functools
import pathlib
import sys

from absl import app, flags, logging

from vadjax import evaluate
from vadjax.data.clips import Video
from vadjax.data.store import source
from vadjax.data.store.records import Dataset
from vadjax.main import parse_flags
from vadjax.metrics import frame
from vadjax.report import marked
from vadjax.report.overlay import FrameSource
from vadjax.runtime import command, compiled, progress, workdir
from vadjax.runtime.cache import RunCache, flags_of
from vadjax.scores import alarm
from vadjax.scores import files as scores
from vadjax.system import System, load_system
from vadjax.systems.exemplar.model import describe

_IDX = flags.DEFINE_integer("idx", None, "Only the video of this rank, from 0, by name.")
_SPLIT = flags.DEFINE_enum("split", None, ["train", "test"], "Only this split (stage features).")
_THRESH = flags.DEFINE_float(
    "thresh", None, "show: score from which a pixel is marked (the run's alarm line, else 2.0)."
)


def features(system: System, data: Dataset) -> None:
    """Stage 1: extracts the features of every video."""
    for split in [_SPLIT.value] if _SPLIT.value else ["train", system.config.eval.split]:
        _each(system, data, split, "features", lambda stages, video: stages.features(video, data))


def select(system: System, data: Dataset) -> None:
    """Stage 2a: selects the exemplars of every training video."""
    _each(system, data, "train", "select", lambda stages, video: stages.clusters(video, data))


def merge(system: System, data: Dataset) -> None:
    """Stage 2b: merges the exemplars of each camera, and prints their number per region."""
    for camera in system.cameras(data, "train"):
        stages = system.stages(camera)
        model = stages.merge(data)
        columns = len(stages.method.grid(data).columns)
        print(f"Exemplars of {camera}:\n{describe(model.offsets, columns, by_row=False)}")


def score(system: System, data: Dataset) -> None:
    """Stage 3: scores every test video."""
    read = functools.cache(lambda camera: system.stages(camera).read_model(data))  # once per camera
    _each(
        system,
        data,
        system.config.eval.split,
        "score",
        lambda stages, video: stages.scores(video, data, read(stages.camera)),
    )


def evaluate_all(system: System, data: Dataset) -> None:
    """Stages 4 and 4b: score files, figures, report and ROC curves."""
    # The same measurements as `vadjax.evaluate` for the models of all cameras.
    cameras = system.cameras(data, system.config.eval.split)
    state = {name: system.stages(name).read_model(data).state() for name in cameras}
    stage_files = system.stages(next(iter(cameras))).files
    folder = stage_files.folder
    # Exemplars of another dataset were not selected on this one's normal video, which could tell
    # nothing of their line: they keep the one that they have.
    if all(system.stages(name).were_selected_on(data) for name in cameras):
        line = system.alarm_line(state, data)
        if line is not None:
            alarm.write(folder, line)
    else:
        line = alarm.read(folder)
    chosen = "merged exemplars"
    evaluate.measure(system.config, system, data, state, 0, chosen, folder, {}, line)
    # Stage 4b: the frame-level ROC curve, pooled over all videos, where these have labels.
    found = scores.read_folder(folder / "scores")
    if evaluate.without_labels(found):
        return
    points = frame.curve(*frame.pooled(found))
    version = system.config.model.version
    stage_files.write_array(folder / f"{version}_frame_fpr.npy", points.fpr)
    stage_files.write_array(folder / f"{version}_frame_tpr.npy", points.tpr)


def show(system: System, data: Dataset) -> None:
    """Stage 3b: pictures of the videos that stage `evaluate` scored, with the anomalies marked."""

    def mark(stages, video):
        path = stages.files.folder / "scores" / f"{video.name}.npz"
        if not path.is_file():
            raise FileNotFoundError(
                f"{path}: no scores of this video; run: python -m vadjax.systems.exemplar evaluate "
                f"{flags_of(stages.files.folder)}"
            )
        out = stages.files.path("viz/{version}", video.name)
        threshold = marked.threshold_of(path) if _THRESH.value is None else _THRESH.value
        marked.write(scores.read(path), FrameSource(video, video.num_frames), out, threshold)

    _each(system, data, system.config.eval.split, "show", mark)


STAGES = {
    "features": features,
    "select": select,
    "merge": merge,
    "score": score,
    "evaluate": evaluate_all,
    "show": show,
}
TAKES = {  # flag → the stages that accept it
    "idx": ("features", "select", "score", "show"),
    "split": ("features",),
    "thresh": ("show",),
    "mode": (),
    "step": (),
}


def _each(system: System, data: Dataset, split: str, title: str, work) -> None:
    """Calls `work(stages, video)` for the videos of a split, or the one that --idx names."""
    # All videos of the split by name, whatever their cameras; --idx counts in this order.
    rows: list[tuple[str, Video]] = [
        (camera, video)
        for camera, videos in system.cameras(data, split).items()
        for video in videos
    ]
    rows.sort(key=lambda row: row[1].name)
    if _IDX.value is not None:
        if not 0 <= _IDX.value < len(rows):
            raise ValueError(f"--idx is {_IDX.value}; split {split!r} has {len(rows)} videos")
        rows = [rows[_IDX.value]]
    stages = {camera: system.stages(camera) for camera, _ in rows}
    with progress.bar(f"{title} {split}", len(rows)) as bar:
        for done, (camera, video) in enumerate(rows, 1):
            work(stages[camera], video)
            bar.update(done, {})


def run(stage: str) -> None:
    """Opens config, workdir and dataset from the flags, and runs a stage.

    Raises:
      ValueError, FileNotFoundError: a flag that the stage would ignore, or a config, dataset or
        file of a stage that cannot be used.
    """
    # Flags that the stage would ignore are refused.
    for name, takers in TAKES.items():
        if flags.FLAGS[name].present and stage not in takers:
            use = f"only for {', '.join(takers)}" if takers else "for no stage"
            raise ValueError(f"--{name} is not for stage {stage!r}, but {use}")
    # The config must be the one that the workdir was made with.
    config, folder = flags.FLAGS.config, pathlib.Path(flags.FLAGS.workdir)
    if config.system != "exemplar":
        raise ValueError(f"config.system is {config.system!r}; only 'exemplar' has stages")
    workdir.open_for(folder, config)
    if source.is_toy(config):
        print(source.TOY_NOTICE)
    system = load_system(config, RunCache(folder))
    data = source.open_dataset(config, system.kind, folder)
    workdir.add_provenance(folder, {"stage": stage, **evaluate.made_with(config, data)})
    # Only one process may evaluate; the other stages are shared by many machines.
    lock = workdir.hold(folder) if stage == "evaluate" else contextlib.nullcontext()
    with lock:
        STAGES[stage](system, data)
    if source.is_toy(config):
        print(source.TOY_NOTICE)


def main(argv: list[str]) -> None:
    """Runs the named stage; bad input ends with a message of one line."""
    logging.set_verbosity(logging.FATAL)  # what orbax logs as an error it raises too
    if len(argv) != 2 or argv[1] not in STAGES:
        sys.exit(f"error: name one stage: {', '.join(STAGES)}; got {argv[1:] or 'none'}")
    compiled.use()
    try:
        run(argv[1])
    except (ValueError, OSError, ImportError) as error:
        sys.exit(command.line(error))


if __name__ == "__main__":
    command.run(lambda: app.run(main, flags_parser=parse_flags))
