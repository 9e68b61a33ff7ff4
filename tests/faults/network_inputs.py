"""Undamaged inputs of networks: weights, detectors, pickles, datasets of objects, runs."""

import json
import pathlib
import pickle

import cv2
import jax
import numpy as np

from tests.faults.inputs import Input, crop_features, mil_options, mil_run, toy_bags, toy_scenes
from tests.faults.jobs import exemplar_run
from tests.faults.process import ROOT, Worker
from tests.helpers import onnx_files
from vadjax.backbones import efficientnet
from vadjax.runtime.checkpoint import Checkpoints
from vadjax.systems.mil.convert import NAMES
from vadjax.systems.mil.model import WIDTHS

PICKLE = ("--data={in}/features.pickle", "--out={out}/d.npy")
PROTOCOL = 2  # of pickles as the authors of features and torch write them


def torch_weights(folder: pathlib.Path, worker: Worker) -> None:
    """A ranker of torch in both of its formats, and a dataset to train it on."""
    import torch

    toy_bags(folder, worker)
    rng, state, inputs = np.random.default_rng(5), {}, 32
    for name, outputs in zip(NAMES.values(), WIDTHS, strict=True):
        kernel = rng.standard_normal((outputs, inputs)).astype(np.float32) / 10
        state[f"{name}.weight"], state[f"{name}.bias"] = (
            torch.from_numpy(kernel),
            torch.zeros(outputs),
        )
        inputs = outputs
    torch.save({"net": state}, folder / "ranker.pth")
    torch.save(state, folder / "old.pth", _use_new_zipfile_serialization=False)


def converted(folder: pathlib.Path, worker: Worker) -> None:
    """A folder of weights as `data_prep.weights` writes it, and a dataset of frames."""
    toy_scenes(folder, worker)
    net = efficientnet.EfficientNetLite0()
    shapes = jax.eval_shape(net.init, jax.random.key(0), np.zeros((1, 224, 224, 3), np.float32))
    rng = np.random.default_rng(6)
    variables = jax.tree.map(lambda s: np.abs(rng.normal(0, 0.1, s.shape)).astype("f"), shapes)
    with Checkpoints(folder / "weights") as checkpoints:
        checkpoints.save(0, variables, None)
    about = {"name": "efficientnet_lite0", "source": "made", "version": "1", "sha256": "0" * 64}
    (folder / "weights" / "provenance.json").write_text(json.dumps(about), "utf-8")


def toy_objects(folder: pathlib.Path, worker: Worker) -> None:
    """A prepared dataset of the objects of frames."""
    toy_scenes(folder, worker)
    (folder / "data").rename(folder / "frames")
    out = str(folder / "objects")
    options = ["--data", str(folder / "frames"), "--out", out, "--boxes", "stored"]
    ended = worker.run("data_prep.extract_objects", options, folder, seconds=300)
    if ended.code:
        raise RuntimeError(ended.said)


def pickled(folder: pathlib.Path, worker: Worker | None = None) -> None:
    """Features of videos and a universal dictionary in pickles."""
    rng = np.random.default_rng(7)
    videos = {f"v{n}": rng.random((10, 4, 8)).astype(np.float32) for n in range(6)}
    (folder / "features.pickle").write_bytes(pickle.dumps({"feature": videos}, PROTOCOL))
    memory = rng.random((12, 8)).astype(np.float32)
    (folder / "memory.pkl").write_bytes(pickle.dumps(memory, PROTOCOL))


def object_arrays(folder: pathlib.Path, worker: Worker | None = None) -> None:
    """Features of crops that were saved as Python objects."""
    crop_features(folder)
    for path in folder.rglob("*.npy"):
        np.save(path, np.load(path).astype(object))


def onnx_detector(folder: pathlib.Path, worker: Worker) -> None:
    """A detector of two objects, the names of its classes, and a dataset of frames."""
    toy_scenes(folder, worker)
    boxes = np.zeros((9, 6))
    boxes[:2] = [[10, 10, 8, 10, 0.1, 0.9], [25, 12, 12, 8, 0.7, 0.2]]
    onnx_files.write(folder / "net.onnx", still=("out",), out=boxes.T[None])
    (folder / "labels.txt").write_text("person\ncar\n", "utf-8")


def annotations(folder: pathlib.Path, worker: Worker | None = None) -> None:
    """UBnormal's masks, in which values are numbers of objects, and which of them count."""
    for number in (1, 2):
        name = f"abnormal_scene_1_scenario_{number}"
        folder_of_video = folder / "masks" / "Scene1" / f"{name}_annotations"
        folder_of_video.mkdir(parents=True)
        for t in range(4):
            values = np.zeros((24, 36), np.uint8)
            values[4:12, 3 * t : 3 * t + 9], values[16:22, 20:30] = 7, 9
            cv2.imwrite(str(folder_of_video / f"{name}_{t:04d}_gt.png"), values)
        (folder_of_video / f"{name}_tracks.txt").write_text("7,1,3\n9,0,1\n", "utf-8")


def _evaluate() -> tuple[str, ...]:
    return tuple(mil_options(pathlib.Path("{in}"), pathlib.Path("{in}/run"), "--mode=evaluate"))


def _weights(name: str, file: str) -> Input:
    run, weights = pathlib.Path("{out}/run"), f"--config.model.weights={{in}}/{file}"
    options = mil_options(pathlib.Path("{in}"), run, weights, "--config.train.steps=1")
    return Input(name, torch_weights, (file,), "vadjax.main", tuple(options), 3)


def _objects(name: str, build, damaged: tuple[str, ...], *more: str, weight: int) -> Input:
    options = ("--data", "{in}/data", "--out", "{out}/objects", *more)
    return Input(name, build, damaged, "data_prep.extract_objects", options, weight)


INPUTS = (
    _weights("weights, torch", "ranker.pth"),
    _weights("weights, torch before 1.6", "old.pth"),
    _objects(
        "weights, converted",
        converted,
        ("weights/*", "weights/checkpoints/*/*", "weights/checkpoints/*/*/*")
        + ("weights/checkpoints/*/*/*/*",),
        *("--boxes", "stored", "--teachers", "efficientnet_lite0={in}/weights"),
        weight=2,
    ),
    Input(
        "dataset of objects",
        toy_objects,
        ("objects/*",),
        "vadjax.main",
        (
            f"--config={ROOT}/configs/ped2_ssmtl.py:smoke",
            "--config.data.dir={in}/frames",
            "--config.data.objects={in}/objects",
            "--workdir={out}/run",
            "--config.model.size=16",
        ),
        2,
    ),
    Input(
        "pickles, features",
        pickled,
        ("features.pickle",),
        "vadjax.systems.s3r",
        ("dictionary", *PICKLE, "--layout=atoms", "--ratio=0.5"),
        3,
    ),
    Input(
        "pickles, dictionary",
        pickled,
        ("memory.pkl",),
        "vadjax.systems.s3r",
        ("dictionary", *PICKLE, "--universal={in}/memory.pkl"),
        2,
    ),
    Input(
        "pickles, arrays of objects",
        object_arrays,
        ("i3d/*/*",),
        "data_prep.shanghaitech_features",
        ("--features", "{in}", "--out", "{out}/data"),
        2,
    ),
    _objects(
        "detector, ONNX",
        onnx_detector,
        ("net.onnx", "net.onnx", "labels.txt"),
        *("--detector", "{in}/net.onnx", "--labels", "{in}/labels.txt", "--layout=yolo8"),
        "--input_size=24x36",
        weight=3,
    ),
    Input(
        "annotations of UBnormal",
        annotations,
        ("masks/*/*/*",),
        "data_prep.tracks",
        ("masks", "{in}/masks", "--out", "{out}/tracks"),
        3,
    ),
    Input(
        "finished run, predict",
        exemplar_run,
        ("run/*.json", "run/finished/*", "run/finished/*/*"),
        "vadjax.main",
        (
            f"--config={ROOT}/configs/ped2_exemplar.py:smoke",
            "--config.data.dir={in}/data",
            "--workdir={in}/run",
            "--mode=predict",
            "--video={in}/frames",
            "--out={out}/predict",
            "--film=false",
        ),
        3,
    ),
    Input(
        "checkpoints, evaluate",
        mil_run,
        tuple(f"run/checkpoints/*{'/*' * depth}" for depth in (1, 2, 3, 4)),
        "vadjax.main",
        _evaluate(),
        2,
    ),
)
