"""Trained feature networks for appearance and motion, loaded from their folders (spec eval §3).

    appearance = load_appearance("small", "runs/appearance")
    features, probabilities = appearance(images)          # uint8 [N, h, w, 3]
    motion, features = load_motion("runs/motion")(volumes)   # uint8 [N, t, h, w, 3]

A folder is the workdir of a run of `configs/exemplar_appearance_network.py` or
`configs/exemplar_motion_network.py`, or holds published weights that `python -m data_prep.weights`
wrote. Batches have one size, so that each network is compiled once for a size of image, and their
rows are shared out over all devices.
"""

import pathlib
from collections.abc import Callable, Mapping

import jax
import numpy as np

from vadjax.backbones import appearance, efficientnet
from vadjax.backbones.motion import MotionNets, prepare
from vadjax.convert.published import check_folder
from vadjax.extractors.batched import BATCH, Batches, digest_of
from vadjax.extractors.weights import restore
from vadjax.formats import json_files
from vadjax.ops.flow import Motion
from vadjax.runtime import space
from vadjax.runtime.checkpoint import size_of

SYSTEM = "exemplar_networks"
SOURCES = (*appearance.ARCHITECTURES, "efficientnet_lite0")
CONFIG = "config.json"  # file of a run's config
MODELS = {  # network → fields of section `model` of its config, with their types
    "appearance": {"architecture": str, "classes": [str], "size": int, "blocks": int},
    "motion": {"width": float, "size": int, "window": [int]},
}
LARGEST = {"size": 1 << 12, "window": 1 << 12, "blocks": 100, "width": 64}  # field → most
MOST_BYTES = 1 << 33  # most bytes of a network of a run, and of a batch of its inputs


class Appearance:
    """A network that makes features and class probabilities of images.

    Args:
      apply: (variables, images uint8 [BATCH, h, w, 3]) → features, probabilities.
      variables: variables of the network.
      classes: names of the classes.
      width: length of a feature.
      about: other settings that decide the outputs; part of the digest.

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
          ValueError: images of another shape or type.
        """
        if images.ndim != 4 or images.shape[-1] != 3 or images.dtype != np.uint8:
            raise ValueError(
                f"images are {images.dtype} {images.shape}; expected uint8 [N, h, w, 3], RGB"
            )
        return self._run(images)

    def of_regions(self, frame: np.ndarray, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The same of regions of a frame.

        Args:
          frame: uint8 [H, W, 3], RGB.
          boxes: int [N, 4], `x0, y0, x1, y1`, all of one size.
        """
        return self(np.stack([frame[y0:y1, x0:x1] for x0, y0, x1, y1 in boxes]))


class MotionNetworks:
    """The three networks that make motion and features of volumes.

    Args:
      apply: (variables, volumes uint8 [BATCH, t, h, w, 3]) → motion, features.
      variables: variables of the networks.
      window: (t, h, w) of the volumes they were trained for: frames, pixels, pixels.
      about: other settings that decide the outputs; part of the digest.

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
          ValueError: volumes of another window, shape or type.
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
    """Loads the appearance network of a folder.

    Args:
      source: `"small"` or `"resnext50"` (a run of configs/exemplar_appearance_network.py), or
        `"efficientnet_lite0"` (python -m data_prep.weights).
      weights: folder of the run or of the published weights.

    Raises:
      FileNotFoundError: the folder holds no network.
      ValueError: no such source, or the folder holds another network, or one whose sizes or weights
        cannot be used.
    """
    if source not in SOURCES:
        raise ValueError(f"appearance network {source!r}; expected one of {', '.join(SOURCES)}")
    if source not in appearance.ARCHITECTURES:
        return _load_lite0(pathlib.Path(weights))
    # What the run trained, by its config.
    command = (
        "python -m vadjax.main --config=configs/exemplar_appearance_network.py:cpu "
        f"--config.model.architecture={source} --workdir={weights}"
    )
    model = _saved_model(weights, "appearance", command)
    if model["architecture"] != source:
        raise ValueError(
            f"{_config(weights)}: holds the network {model['architecture']!r:.40}, not {source!r}. "
            f"Name another folder, or train one: {command}"
        )
    # The network takes images of one size, so that they are resized in the compiled function.
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
    """Loads the motion networks of a run of configs/exemplar_motion_network.py.

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
    """EfficientNet-Lite0 from the published weights that data_prep.weights wrote."""
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
      FileNotFoundError: the folder holds no run.
      ValueError: the run trained something else, or networks whose sizes cannot be used.
    """
    path = _config(folder)
    if not path.is_file():
        raise FileNotFoundError(f"{folder}: no trained networks here (no {CONFIG}). Run: {command}")
    config = json_files.read(path, {"system": str, "model": dict})
    if config["system"] != SYSTEM or config["model"].get("network") != network:
        content = f"{config['system']!r:.40}"
        if config["system"] == SYSTEM:
            content = f"{config['model'].get('network')!r:.40} networks"
        raise ValueError(f"{path}: holds {content}, not {network!r} networks. Run: {command}")
    json_files.check_fields(config, {"model": MODELS[network]}, path)
    _check_sizes(config["model"], path)
    return config["model"]


def _config(folder: str | pathlib.Path) -> pathlib.Path:
    return pathlib.Path(folder) / CONFIG


def _check_sizes(model: Mapping, path: pathlib.Path) -> None:
    """Raises ValueError unless the sizes in section `model` are possible and a batch fits."""
    # Every size by itself; a window has three.
    for name, largest in LARGEST.items():
        sizes = model.get(name, 1)
        sizes = sizes if isinstance(sizes, list) else [sizes]
        if not all(0 < size <= largest for size in sizes):
            raise ValueError(
                f"{path}: model.{name} is {model[name]!r:.40}; expected more than 0 and up to "
                f"{largest:,}"
            )
    # Then the bytes of a batch: the volumes as they are given, and as they are resized.
    window = model.get("window", [1, 1, 1])
    if len(window) != 3:
        raise ValueError(
            f"{path}: model.window is {window!r:.40}; expected [frames, height, width]"
        )
    frames, height, width = window
    pixels = BATCH * frames * (height * width + 4 * model["size"] ** 2)  # uint8, then float32
    _check_bytes(3 * pixels, "a batch of inputs", path)


def _check_bytes(needed: int, what: str, path: pathlib.Path) -> None:
    """Raises ValueError if something would take more than `MOST_BYTES`."""
    if needed > MOST_BYTES:
        raise ValueError(
            f"{path}: {what} of section `model` would take {space.size(needed)}; expected "
            f"{space.size(MOST_BYTES)} at most"
        )


def _restore(folder: str | pathlib.Path, net, example: jax.ShapeDtypeStruct) -> dict:
    """The network's variables from the newest checkpoint of the folder."""
    shapes = jax.eval_shape(net.init, jax.random.key(0), example)
    _check_bytes(size_of(shapes), "the network", _config(folder))
    return restore(folder, shapes)
