"""Undamaged weights of every network that is imported, drawn at random, and who reads them."""

import pathlib
import pickle
from collections.abc import Callable, Mapping

import jax
import numpy as np
from flax import traverse_util

import vadjax.systems.lgn.convert
import vadjax.systems.lgn.model
import vadjax.systems.s3r.convert
import vadjax.systems.s3r.model
from tests.faults.inputs import Input, toy_bags, toy_scenes
from tests.faults.jobs import i3d_file, scenes
from tests.faults.process import ROOT, Worker
from tests.helpers import tflite_files
from vadjax.backbones import appearance, i3d, i3d_weights
from vadjax.convert.torch import AXES, PARTS

OLD = {"_use_new_zipfile_serialization": False}  # of torch, before 1.6: without checksums
S3R_WIDTH = 16 * 2  # of toy bags: both streams


def drawn(shapes: Mapping, seed: int) -> dict[tuple[str, ...], np.ndarray]:
    """Numbers for all variables of a network, by their paths; variances are not below 0."""
    rng = np.random.default_rng(seed)
    return {
        path: rng.random(leaf.shape, np.float32) / 20
        for path, leaf in traverse_util.flatten_dict(shapes).items()
    }


def to_torch(array: np.ndarray, axes: tuple[int, ...]):
    """A tensor in torch's layout, of an array that is laid out as ours."""
    import torch

    return torch.from_numpy(np.ascontiguousarray(array.transpose(np.argsort(axes))))


def s3r_weights(folder: pathlib.Path, worker: Worker) -> None:
    """S3R's state dict as before torch 1.6, and a dataset of bags."""
    import torch

    toy_bags(folder, worker)
    model = vadjax.systems.s3r.model.build("s3r")
    shapes = vadjax.systems.s3r.convert.variable_shapes(model, S3R_WIDTH)
    variables = traverse_util.unflatten_dict(drawn(shapes, 8))
    state = vadjax.systems.s3r.convert.to_state(variables, model, S3R_WIDTH)
    tensors = {name: torch.from_numpy(np.ascontiguousarray(a)) for name, a in state.items()}
    torch.save(tensors, folder / "s3r.pth", **OLD)


def lgn_weights(folder: pathlib.Path, worker: Worker) -> None:
    """LGN-Net's state dict, and a dataset of frames."""
    import torch

    scenes(folder, worker)
    model = vadjax.systems.lgn.model.build("lgn", width=8)
    convert = vadjax.systems.lgn.convert
    numbers = drawn(convert.variable_shapes(model), 9)
    state = {
        name: to_torch(numbers[path], axes) for name, path, axes in convert.weight_names(model)
    }
    torch.save(state, folder / "lgn.pth", **OLD)


def resnext_weights(folder: pathlib.Path, worker: Worker | None = None) -> None:
    """The state dict of a ResNeXt-50 under torchvision's names."""
    import torch

    image = jax.ShapeDtypeStruct((1, 32, 32, 3), np.float32)
    shapes = jax.eval_shape(appearance.ResNeXtTrunk().init, jax.random.key(0), image)
    state = {
        f"{appearance._torchvision_name(path[1:-1])}.{PARTS[path[-1]]}": to_torch(
            array, AXES[array.ndim]
        )
        for path, array in drawn(shapes, 10).items()
    }
    torch.save(state, folder / "resnext.pth")


def i3d_pickle(folder: pathlib.Path, worker: Worker | None = None) -> None:
    """An I3D of two classes as a pickle of nested dicts, with the names of a package."""
    named = {
        tuple(name.split("/")): array
        for path, array in drawn(i3d.variable_shapes("rgb", 2), 11).items()
        if (name := i3d_weights._package_name(path))
    }
    content = pickle.dumps(traverse_util.unflatten_dict(named), 2)
    (folder / "i3d.pkl").write_bytes(content)


def tflite_detector(folder: pathlib.Path, worker: Worker) -> None:
    """A detector of two objects for TensorFlow Lite, and a dataset of frames."""
    toy_scenes(folder, worker)
    boxes = np.zeros((9, 6))
    boxes[:2] = [[10, 10, 8, 10, 0.1, 0.9], [25, 12, 12, 8, 0.7, 0.2]]
    tflite_files.write(folder / "net.tflite", (24, 36), boxes.T[None])


def _scored(name: str, build: Callable, file: str, config: str, *more: str) -> Input:
    """Weights that are scored as they are, by a training of no steps."""
    options = (
        f"--config={ROOT}/configs/{config}.py:smoke",
        "--workdir={out}/run",
        f"--config.model.weights={{in}}/{file}",
        "--config.train.steps=0",
        *more,
    )
    return Input(f"weights, {name}", build, (file,), "vadjax.main", options, 1)


def _imported(name: str, build: Callable, file: str) -> Input:
    options = ("i3d_rgb", "--file", f"{{in}}/{file}", "--out", "{out}/data")
    return Input(f"weights, {name}", build, (file,), "data_prep.weights", options, 2)


DATA = "--config.data.dir={in}/data"
INPUTS = (
    _scored("S3R", s3r_weights, "s3r.pth", "ucf_s3r", DATA, "--config.eval.held_out=0.0"),
    _scored("LGN-Net", lgn_weights, "lgn.pth", "ped2_lgn", DATA),
    _scored(
        "ResNeXt",
        resnext_weights,
        "resnext.pth",
        "exemplar_appearance_network",
        *("--config.model.architecture=resnext50", "--config.model.size=32"),
        *("--config.eval.batch=2", "--config.eval.images=4"),
    ),
    _imported("I3D, npz", i3d_file, "i3d.npz"),
    _imported("I3D, pickle", i3d_pickle, "i3d.pkl"),
    Input(
        "detector, TFLite",
        tflite_detector,
        ("net.tflite",),
        "data_prep.extract_objects",
        (
            *("--data", "{in}/data", "--out", "{out}/objects", "--detector", "{in}/net.tflite"),
            *("--layout=yolo8", "--input_size=24x36"),
        ),
        2,
    ),
)
