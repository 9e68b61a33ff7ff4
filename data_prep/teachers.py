"""Teachers of objects: whose class outputs the network learns to foresee (spec ssmtl §3)."""

import abc
import pathlib

import numpy as np

from vadjax import features
from vadjax.backbones import detector, efficientnet
from vadjax.backbones.detection import Detector
from vadjax.backbones.provenance import check_folder
from vadjax.data.crops import cut, rectangles

LITE0 = "efficientnet_lite0"
BATCH = 64  # crops at once
SIDE = 224  # pixels, of what classifiers of ImageNet were trained on


class Classifier(abc.ABC):
    """Class outputs of crops, before the softmax.

    Args:
      side: pixels of the crops.

    Attributes:
      side: the same.
      classes: how many outputs there are.
      settings: what the outputs depend on; JSON can hold it.
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
        shape = (0, self.side, self.side, 3)
        found = [cut([frame], box, self.side) for box in rectangles(boxes, frame.shape[:2])]
        return np.concatenate([np.zeros(shape, np.float32), *found]) * np.float32(255)


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

        variables = features.restore(folder, efficientnet.variable_shapes(), BATCH)
        self._run = features.Batches(apply, variables, BATCH)
        self.settings = {"name": LITE0, "weights": str(folder.absolute()), "teacher_size": side}
        self.settings["sha256"] = features.digest_of(variables, self.settings["name"])

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """As `Classifier`."""
        return self._run(images)


CLASSIFIERS = {LITE0: Lite0}


def parse(text: str) -> dict[str, str]:
    """`NAME=WEIGHTS,NAME=WEIGHTS` → name → weights.

    Raises:
      ValueError: other text, an unknown name, or two of a kind.
    """
    found = {}
    for part in text.split(","):
        name, mark, weights = part.strip().partition("=")
        known = [*detector.KINDS, *CLASSIFIERS]
        if not mark or not weights or name not in known:
            raise ValueError(
                f"--teachers {part!r}; expected NAME=WEIGHTS with a name of {', '.join(known)}"
            )
        found[name] = weights
    return found


def open_teachers(named: dict[str, str], side: int) -> tuple[Detector | None, Classifier | None]:
    """The detector and the classifier among the teachers, where there is one.

    Raises:
      FileNotFoundError, ValueError: weights that are not there or of something else.
    """
    detectors = [detector.open(n, weights=w) for n, w in named.items() if n in detector.KINDS]
    classifiers = [CLASSIFIERS[n](w, side) for n, w in named.items() if n in CLASSIFIERS]
    return next(iter(detectors), None), next(iter(classifiers), None)
