"""Programs with what they need, for kills and full disks."""

import pathlib
import shutil
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from flax import traverse_util

from tests.faults import inputs
from tests.faults.process import ROOT, Ended, Worker
from vadjax.backbones import i3d, i3d_weights


class Job(NamedTuple):
    """A program whose command is given again after a fault.

    Attributes:
      name: of the case.
      build: writes its input to a folder.
      module: the program.
      options: its command line; `{in}` is the input, `{out}` the folder that it writes to.
      into: whether it goes on in a copy of the input (a run), which `{out}` then is.
      weight: how often it is drawn.
    """

    name: str
    build: Callable[[pathlib.Path, Worker], None]
    module: str
    options: tuple[str, ...]
    into: bool = False
    weight: int = 1

    def run(self, source: pathlib.Path, work: pathlib.Path, worker: Worker, **limits) -> Ended:
        """Runs it on the input `source`, writing to `work/out`."""
        options = [
            text.replace("{in}", str(source)).replace("{out}", str(work / "out"))
            for text in self.options
        ]
        return worker.run(self.module, options, work, seconds=600, memory=8192, **limits)

    def lay(self, source: pathlib.Path, work: pathlib.Path) -> None:
        """An empty place for it to write to, or a copy of its input."""
        shutil.rmtree(work, ignore_errors=True)
        if self.into:
            shutil.copytree(source, work / "out")
        else:
            (work / "out").mkdir(parents=True)


def nothing(folder: pathlib.Path, worker: Worker) -> None:
    """No input."""


def scenes(folder: pathlib.Path, worker: Worker) -> None:
    """A prepared dataset of frames in which something moves."""
    sizes = ["--size", "48x64", "--train", "2", "--test", "2", "--frames", "24"]
    options = ["--kind", "scenes", "--out", str(folder / "data"), *sizes]
    worker.run("data_prep.toy", options, folder)


def exemplar_run(folder: pathlib.Path, worker: Worker) -> None:
    """A finished run that scores any video, and a folder of frames."""
    scenes(folder, worker)
    options = _training("ped2_exemplar", f"--workdir={folder}/run")
    options = [text.replace("{in}", str(folder)) for text in options]
    ended = worker.run("vadjax.main", options, folder, seconds=600, memory=8192)
    if ended.code:
        raise RuntimeError(ended.said)
    for t in range(20):
        inputs.grey(folder / "frames" / "v" / f"{t:03d}.png", t, (48, 64))


def i3d_file(folder: pathlib.Path, worker: Worker | None = None) -> None:
    """Weights of an I3D of two classes with TensorFlow's names, drawn at random."""
    rng, arrays = np.random.default_rng(0), {}
    shapes = traverse_util.flatten_dict(i3d.variable_shapes("rgb", 2))
    for path, leaf in shapes.items():
        if name := i3d_weights._tf_name("RGB/inception_i3d/", path):
            array = rng.random(leaf.shape, np.float32) / 100
            arrays[name] = array.reshape(1, 1, 1, 1, -1) if "batch_norm" in name else array
    np.savez(folder / "i3d.npz", **arrays)


def i3d_and_videos(folder: pathlib.Path, worker: Worker) -> None:
    """Prepared weights of an I3D, and two videos as folders of frames."""
    i3d_file(folder)
    options = ["i3d_rgb", "--file", f"{folder}/i3d.npz", "--out", f"{folder}/weights"]
    ended = worker.run("data_prep.weights", options, folder, seconds=600, memory=8192)
    if ended.code:
        raise RuntimeError(ended.said)
    for video in "ab":
        for t in range(16):
            inputs.grey(folder / "videos" / video / f"{t:03d}.png", t, (48, 64))


def _training(config: str, *more: str) -> tuple[str, ...]:
    return (f"--config={ROOT}/configs/{config}.py:smoke", "--config.data.dir={in}/data", *more)


def _train(config: str, build: Callable, *more: str, weight: int = 1) -> Job:
    options = _training(config, "--workdir={out}/run", *more)
    return Job(f"train {config}", build, "vadjax.main", options, weight=weight)


def _prepare(program: str, build: Callable, *more: str, flag: str = "--data") -> Job:
    options = (flag, "{in}", "--out", "{out}/data", *more)
    return Job(f"data_prep.{program}", build, f"data_prep.{program}", options, weight=2)


BAGS = ("--train", "4", "4", "--test", "3", "3", "--width", "8")
SCENES = ("--kind", "scenes", "--size", "32x40", "--train", "1", "--test", "1", "--frames", "8")
TWO = "--config.train.batch=2"
JOBS: Sequence[Job] = (
    _train("ucf_mil", inputs.toy_bags, TWO, weight=12),
    Job(
        "train ucf_mil, built-in set",
        nothing,
        "vadjax.main",
        (f"--config={ROOT}/configs/ucf_mil.py:smoke", "--workdir={out}/run"),
        weight=4,
    ),
    _train("ucf_s3r", inputs.toy_bags, TWO, "--config.eval.held_out=0.0"),
    _train("ped2_lgn", scenes),
    _train("ped2_ssmtl", scenes, "--config.model.size=16"),
    _train("ped2_exemplar", scenes, weight=4),
    _train("exemplar_motion_network", scenes, weight=2),
    Job(
        "train exemplar_appearance_network, built-in set",
        nothing,
        "vadjax.main",
        (f"--config={ROOT}/configs/exemplar_appearance_network.py:smoke", "--workdir={out}/run"),
    ),
    Job(
        "evaluate ucf_mil",
        inputs.mil_run,
        "vadjax.main",
        _training("ucf_mil", "--workdir={out}/run", TWO, "--mode=evaluate"),
        into=True,
        weight=4,
    ),
    Job(
        "predict ped2_exemplar",
        exemplar_run,
        "vadjax.main",
        _training(
            "ped2_exemplar",
            "--workdir={in}/run",
            "--mode=predict",
            "--video={in}/frames",
            "--out={out}/predict",
        ),
        weight=4,
    ),
    Job(
        "report",
        inputs.scores,
        "vadjax.report",
        ("{in}/scores", "--out", "{out}/r", "--videos=1", "--windows=1", "--reasons=1"),
        weight=4,
    ),
    Job("data_prep.toy, bags", nothing, "data_prep.toy", ("--out", "{out}/data", *BAGS), weight=2),
    Job(
        "data_prep.toy, scenes",
        nothing,
        "data_prep.toy",
        ("--out", "{out}/data", *SCENES),
        weight=2,
    ),
    _prepare("ucsd_ped", inputs.frame_folders),
    Job(
        "data_prep.ped2_weak",
        inputs.ped2_clips,
        "data_prep.ped2_weak",
        ("--data", "{in}/frames", "--features", "{in}/features", "--out", "{out}/data"),
        weight=2,
    ),
    _prepare("avenue", inputs.avenue),
    _prepare("shanghaitech", inputs.shanghaitech),
    _prepare("street_scene", inputs.street_scene),
    _prepare("labelled_images", inputs.labelled_images, "--classes", "person", "car", "tree"),
    _prepare("ucf_crime", inputs.bag_features, flag="--features"),
    _prepare("shanghaitech_features", inputs.crop_features, flag="--features"),
    Job(
        "data_prep.extract_objects",
        scenes,
        "data_prep.extract_objects",
        ("--data", "{in}/data", "--out", "{out}/data", "--boxes", "stored"),
        weight=2,
    ),
    Job(
        "data_prep.tracks",
        inputs.masks,
        "data_prep.tracks",
        ("masks", "{in}/masks", "--out", "{out}/data", "--mask_order=thw"),
        weight=2,
    ),
    Job(
        "data_prep.weights",
        i3d_file,
        "data_prep.weights",
        ("i3d_rgb", "--file", "{in}/i3d.npz", "--out", "{out}/data"),
        weight=2,
    ),
    Job(
        "data_prep.extract_features",
        i3d_and_videos,
        "data_prep.extract_features",
        ("--videos", "{in}/videos", "--weights", "{in}/weights", "--out", "{out}/data"),
        weight=2,
    ),
    Job(
        "s3r dictionary",
        inputs.toy_bags,
        "vadjax.systems.s3r",
        ("dictionary", "--data={in}/data", "--out={out}/d.npy", "--layout=atoms", "--ratio=0.3"),
    ),
)
