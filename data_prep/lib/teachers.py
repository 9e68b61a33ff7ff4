"""Teachers of objects: networks whose class outputs SSMTL learns to predict (spec ssmtl §3)."""

import abc
import functools
import pathlib
from collections.abc import Mapping, Sequence

import jax
import numpy as np

from vadjax.backbones import efficientnet, ssd
from vadjax.backbones.detection import Detector
from vadjax.backbones.dnn_detector import read_net
from vadjax.convert.published import check_folder
from vadjax.data.store.records import sha256
from vadjax.data.video.crops import cut, rectangles
from vadjax.extractors import batched, detector
from vadjax.extractors.weights import restore

LITE0 = "efficientnet_lite0"
BATCH = 64  # crops at once
MEAN, DEVIATION = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)  # of ImageNet, RGB 0 … 255
SIDE = 224  # pixels of the images that classifiers of ImageNet were trained on


class Classifier(abc.ABC):
    """Class outputs of crops, before the softmax.

    Args:
      side: height and width of the crops in pixels, at least 8.

    Attributes:
      side: the same.
      classes: number of outputs.
      settings: what the outputs depend on, in values that JSON can hold.

    Raises:
      ValueError: `side` is below 8.
    """

    classes: int
    settings: dict

    def __init__(self, side: int):
        if side < 8:
            raise ValueError(f"--teacher_size {side}; expected at least 8 pixels")
        self.side = side

    @abc.abstractmethod
    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Outputs float32 [n, classes] of crops float32 [n, side, side, 3], RGB in 0 … 255."""

    def crops(self, frame: np.ndarray, boxes: np.ndarray) -> np.ndarray:
        """Crops of boxes float [n, 4] of a frame, float32 [n, side, side, 3] in 0 … 255."""
        # The empty array stands for a frame without boxes; `cut` gives colours in 0 … 1
        empty = np.zeros((0, self.side, self.side, 3), np.float32)
        crops = [cut([frame], box, self.side) for box in rectangles(boxes, frame.shape[:2])]
        return np.concatenate([empty, *crops]) * np.float32(255)


class Lite0(Classifier):
    """EfficientNet-Lite0 with its published weights.

    Args:
      weights: folder of `data_prep.weights`.
      side: pixels of the crops.

    Raises:
      FileNotFoundError, ValueError: no such weights there.
    """

    classes = len(efficientnet.CLASSES)

    def __init__(self, weights: str | pathlib.Path, side: int = SIDE):
        super().__init__(side)
        folder, net = check_folder(weights, LITE0), efficientnet.EfficientNetLite0()

        def apply(variables, images):
            return net.apply(variables, efficientnet.normalise(images))[1]

        # On CPU a small batch stays in the cache: 64 objects a second and core, against 38
        batch = 2 * jax.device_count() if jax.default_backend() == "cpu" else BATCH
        variables = restore(folder, efficientnet.variable_shapes(), batch)
        self._run = batched.Batches(apply, variables, batch)
        # The digest identifies the weights, wherever their folder is
        self.settings = {"name": LITE0, "weights": str(folder.absolute()), "teacher_size": side}
        self.settings["sha256"] = batched.digest_of(variables, self.settings["name"])

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """As `Classifier`."""
        return self._run(images)


class OnnxClassifier(Classifier):
    """An image classifier in an ONNX file, through OpenCV, one crop after the other.

    Args:
      path: the file; its one output is [1, M], before the softmax.
      side: height and width of the crops in pixels.
      mean: mean of the colours in its training, RGB in 0 … 255; default: that of ImageNet.
      deviation: the same for the standard deviation.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: OpenCV cannot read it, or it has another output.
    """

    def __init__(
        self,
        path: str | pathlib.Path,
        side: int = SIDE,
        mean: Sequence[float] = MEAN,
        deviation: Sequence[float] = DEVIATION,
    ):
        super().__init__(side)
        path = pathlib.Path(path)
        self._net = read_net(path, (side, side), flag="--teacher_size")
        self._mean, self._deviation = np.array(mean, np.float32), np.array(deviation, np.float32)
        self.settings = {
            "name": str(path.absolute()),
            "teacher_size": side,
            "classifier_mean": list(mean),
            "classifier_std": list(deviation),
            "sha256": sha256(path),
        }
        # A black image tells how many classes there are
        outputs = self._run(np.zeros((side, side, 3), np.float32))
        if outputs.ndim != 2 or len(outputs) != 1:
            raise ValueError(
                f"{path}: output {outputs.shape}, expected [1, classes] of a classifier"
            )
        self.classes = outputs.shape[1]

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """As `Classifier`."""
        return np.concatenate([self._run(image) for image in images])

    def _run(self, image: np.ndarray) -> np.ndarray:
        """Outputs [1, classes] of one image [side, side, 3]."""
        blob = np.moveaxis((image - self._mean) / self._deviation, -1, 0)[None]
        self._net.setInput(np.ascontiguousarray(blob, np.float32))
        return self._net.forward().copy()


CLASSIFIERS = {LITE0: Lite0}
DETECTORS = (ssd.NAME,)  # those that have class outputs


def parse(text: str) -> dict[str, str]:
    """`NAME=WEIGHTS,NAME=WEIGHTS` → name → weights.

    Raises:
      ValueError: other text, or an unknown name.
    """
    weights_by_name = {}
    for part in text.split(","):
        name, equals, weights = part.strip().partition("=")
        names = [*DETECTORS, *CLASSIFIERS]
        if not equals or not weights or name not in names:
            raise ValueError(
                f"--teachers {part!r}; expected NAME=WEIGHTS with a name of {', '.join(names)}"
            )
        weights_by_name[name] = weights
    return weights_by_name


def open_teachers(
    named: Mapping[str, str], file: str | None = None, **options
) -> tuple[Detector | None, Classifier | None]:
    """The detector and the classifier among the teachers; None for each that is not there.

    Args:
      named: name → weights, as `parse` returns them.
      file: ONNX file of a classifier.
      **options: options of the classifier: `side`, and of a file also `mean` and `deviation`.

    Raises:
      FileNotFoundError, ValueError: weights that are not there or of something else, two
        classifiers, or options without one.
    """
    # One classifier at most, by its name or in a file; it is made last
    makers = [functools.partial(CLASSIFIERS[n], w) for n, w in named.items() if n in CLASSIFIERS]
    makers += [functools.partial(OnnxClassifier, file)] if file else []
    if len(makers) > 1:
        raise ValueError("--teachers and --classifier name two classifiers; leave one out")
    if not makers and options:
        raise ValueError("--teacher_size, --classifier_mean and --classifier_std need a classifier")
    if not file and set(options) - {"side"}:
        raise ValueError("--classifier_mean and --classifier_std are for --classifier FILE.onnx")
    detectors = [detector.open(n, weights=w) for n, w in named.items() if n in DETECTORS]
    return next(iter(detectors), None), makers[0](**options) if makers else None
