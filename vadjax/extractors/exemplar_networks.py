"""Trained feature networks, loaded from their folders: what is seen, and how it moves (eval §3).

    appearance = load_appearance("small", "runs/appearance")
    features, probabilities = appearance(images)          # uint8 [N, h, w, 3]
    motion, features = load_motion("runs/motion")(volumes)   # uint8 [N, t, h, w, 3]

A folder is the workdir of a run of `configs/exemplar_appearance_network.py` or
`configs/exemplar_motion_network.py`, or what `python -m
data_prep.weights` made of published weights. Batches have one size, so that each network is
compiled once for a size of image, and their rows are spread over all devices.
"""

import pathlib
from collections.abc import Callable, Mapping

import jax
import numpy as np

from vadjax.backbones import appearance, efficientnet
from vadjax.backbones.motion import MotionNets, prepare
from vadjax.backbones.provenance import check_folder
from vadjax.extractors.batched import Batches, digest_of
from vadjax.extractors.weights import restore
from vadjax.formats import json_files
from vadjax.ops.flow import Motion

SYSTEM = "exemplar_networks"
SOURCES = (*appearance.ARCHITECTURES, "efficientnet_lite0")


class Appearance:
    """A network for images.

    Args:
      apply: (variables, images uint8 [BATCH, h, w, 3]) → features, probabilities.
      variables: of the network.
      classes: names of the classes.
      width: length of a feature.
      about: what else decides the outputs; part of the digest.

    Attributes:
      classes: names of the classes.
      width: length of a feature.
      digest: SHA-256 of weights and settings.
    """

    def __init__(
        self, apply: Callable, variables: dict, classes: tuple[str, ...], width: int, about: Mapping
    ):
        self.classes, self.width = classes, width
        self.digest = digest_of(variables, about)
        self._run = Batches(apply, variables)

    def __call__(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Features float32 [N, width] and class probabilities float32 [N, classes].

        Args:
          images: uint8 [N, h, w, 3], RGB, of any one size.

        Raises:
          ValueError: of another shape or type.
        """
        if images.ndim != 4 or images.shape[-1] != 3 or images.dtype != np.uint8:
            raise ValueError(
                f"images are {images.dtype} {images.shape}; expected uint8 [N, h, w, 3], RGB"
            )
        return self._run(images)


class MotionNetworks:
    """The three networks for volumes.

    Attributes:
      window: (t, h, w) of the volumes they were trained for: frames, pixels, pixels.
      digest: SHA-256 of weights and settings.
    """

    def __init__(self, apply: Callable, variables: dict, window: tuple[int, int, int], about):
        self.window, self.digest = window, digest_of(variables, about)
        self._run = Batches(apply, variables)

    def __call__(self, volumes: np.ndarray) -> tuple[Motion, np.ndarray]:
        """Motion (ang [N, 12], mag [N, 12], bkg [N]) and features [N, 3 · 128], all float32.

        Args:
          volumes: uint8 [N, t, h, w, 3], RGB.

        Raises:
          ValueError: of another window, shape or type.
        """
        if volumes.shape[1:] != (*self.window, 3) or volumes.dtype != np.uint8:
            window = ",".join(map(str, volumes.shape[1:4]))
            raise ValueError(
                f"volumes are {volumes.dtype} {volumes.shape}; these networks were trained for "
                f"uint8 {['N', *self.window, 3]}. Train others: python -m vadjax.main "
                f"--config=configs/exemplar_motion_network.py --config.model.window='({window})' "
                "--config.data.dir=DATASET --workdir=RUN"
            )
        return self._run(volumes)


def load_appearance(source: str, weights: str | pathlib.Path) -> Appearance:
    """The appearance network of a folder.

    Args:
      source: `"small"` or `"resnext50"` (a run of configs/exemplar_appearance_network.py), or
        `"efficientnet_lite0"` (python -m data_prep.weights).
      weights: the folder.

    Raises:
      FileNotFoundError: there is nothing of the kind.
      ValueError: no such source, or the folder holds another network.
    """
    if source not in SOURCES:
        raise ValueError(f"appearance network {source!r}; expected one of {', '.join(SOURCES)}")
    if source not in appearance.ARCHITECTURES:
        return _load_lite0(pathlib.Path(weights))
    command = (
        "python -m vadjax.main --config=configs/exemplar_appearance_network.py:cpu "
        f"--config.model.architecture={source} --workdir={weights}"
    )
    model = _saved_model(weights, "appearance", command)
    if model["architecture"] != source:
        raise ValueError(
            f"{weights}: holds the network {model['architecture']!r}, not {source!r}. "
            f"Name another folder, or train one: {command}"
        )
    classes, size = tuple(model["classes"]), model["size"]
    net = appearance.build(source, len(classes), model["blocks"])
    image = jax.ShapeDtypeStruct((1, size, size, 3), np.float32)

    def apply(variables, images):
        x = appearance.normalise(appearance.resize(images, size))
        feature, logits = net.apply(variables, x)
        return feature, jax.nn.sigmoid(logits)

    variables = _restore(weights, net, image)
    return Appearance(apply, variables, classes, appearance.FEATURES, model)


def load_motion(weights: str | pathlib.Path) -> MotionNetworks:
    """The motion networks of a run of configs/exemplar_motion_network.py.

    Raises:
      FileNotFoundError, ValueError: as `load_appearance`.
    """
    command = (
        "python -m vadjax.main --config=configs/exemplar_motion_network.py:cpu "
        f"--config.data.dir=DATASET --workdir={weights}"
    )
    model = _saved_model(weights, "motion", command)
    net, size, window = MotionNets(model["width"]), model["size"], tuple(model["window"])
    volume = jax.ShapeDtypeStruct((1, window[0], size, size, 3), np.float32)

    def apply(variables, volumes):
        raw, features = net.apply(variables, prepare(volumes, size))
        return raw.motion, features

    return MotionNetworks(apply, _restore(weights, net, volume), window, model)


def _load_lite0(folder: pathlib.Path) -> Appearance:
    """EfficientNet-Lite0 from what data_prep.weights wrote."""
    name = "efficientnet_lite0"
    check_folder(folder, name)
    net, size = efficientnet.EfficientNetLite0(), appearance.SIZE

    def apply(variables, images):
        x = efficientnet.normalise(appearance.resize(images, size))
        feature, logits = net.apply(variables, x)
        return feature, jax.nn.softmax(logits)

    image = jax.ShapeDtypeStruct((1, size, size, 3), np.float32)
    variables = _restore(folder, net, image)
    about = {"name": name, "size": size}
    return Appearance(apply, variables, efficientnet.CLASSES, efficientnet.FEATURES, about)


def _saved_model(folder: str | pathlib.Path, network: str, command: str) -> dict:
    """Section `model` of the config of a run that trained `network`.

    Raises:
      FileNotFoundError: no run there.
      ValueError: a run of something else.
    """
    path = pathlib.Path(folder) / "config.json"
    if not path.is_file():
        raise FileNotFoundError(
            f"{folder}: no trained networks here (no config.json). Run: {command}"
        )
    config = json_files.read(path, {"system": str, "model": dict})
    if config["system"] != SYSTEM or config["model"].get("network") != network:
        held = f"{config['system']!r}"
        if config["system"] == SYSTEM:
            held = f"{config['model']['network']!r} networks"
        raise ValueError(f"{folder}: holds {held}, not {network!r} networks. Run: {command}")
    return config["model"]


def _restore(folder: str | pathlib.Path, net, example: jax.ShapeDtypeStruct) -> dict:
    """The network's variables from the newest checkpoint of the folder."""
    return restore(folder, jax.eval_shape(net.init, jax.random.key(0), example))
