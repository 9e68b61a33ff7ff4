"""A small published detector, SSD-MobileNetV2 of Open Images, through OpenCV (spec ssmtl §2, §11).

    detect = load("weights/ssd_mobilenet_v2")     # python -m data_prep.weights ssd_mobilenet_v2
    found = detect(frame)                         # uint8 [H, W, 3], RGB

OpenCV reads the `.tflite` file; 0.04 s a frame on one core. Anchors, decoding and what follows are
here.
"""

import json
import pathlib
import re
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

NAME = "ssd_mobilenet_v2"
MODEL, LABELS, PROVENANCE = "model.tflite", "labels.txt", "provenance.json"
SIDE = 300  # pixels of what the network sees
MAPS = (19, 10, 5, 3, 2, 1)  # cells along a side
SCALES = (*np.linspace(0.2, 0.95, len(MAPS)), 1.0)  # of the anchors of each map, and after the last
PARTS = ("Boot", "High heels", "Footwear")  # of persons, who are objects as a whole
HEAD = re.compile(r"BoxPredictor_(\d+)/(BoxEncoding|Class)Predictor/BiasAdd.*(?<!permute)$")


class Detections(NamedTuple):
    """Objects of one frame, the highest score first.

    Attributes:
      boxes: float32 [n, 4], `x0, y0, x1, y1` in pixels, within the frame.
      scores: float32 [n] in [0, 1], of the most likely class that was not left out.
      classes: int64 [n], that class.
      logits: float32 [n, K], outputs of all classes before the sigmoid; 0 is the background.
    """

    boxes: np.ndarray
    scores: np.ndarray
    classes: np.ndarray
    logits: np.ndarray


class Ssd:
    """The detector of a folder that `data_prep.weights` wrote.

    Attributes:
      labels: names of the classes; the first stands for the background.
    """

    def __init__(self, folder: str | pathlib.Path):
        path, labels = pathlib.Path(folder) / MODEL, pathlib.Path(folder) / LABELS
        self.labels = tuple(labels.read_text("utf-8").splitlines())
        # The other engine of OpenCV 5 gives the last output alone
        engine = [cv2.dnn.ENGINE_CLASSIC] if int(cv2.__version__.split(".")[0]) > 4 else []
        try:
            self._net = cv2.dnn.readNetFromTFLite(str(path), *engine)
        except cv2.error as error:
            raise ValueError(f"{path}: OpenCV {cv2.__version__} cannot read it: {error}") from error
        self._heads = _head_layers(path, self._net.getLayerNames())
        self._anchors = anchors()

    def raw(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Outputs of the network for an image of its own size.

        They are put together from the last convolutions: OpenCV (4.10 to 5.0) mixes up the rows
        of the joint output of the boxes.

        Args:
          image: uint8 [300, 300, 3], RGB.

        Returns:
          Encodings of the boxes float32 [1917, 4] and class logits float32 [1917, K].
        """
        blob = cv2.dnn.blobFromImage(image, 1 / 127.5, mean=(127.5,) * 3)
        self._net.setInput(blob)
        found = self._net.forward(self._heads)
        columns = [4] * len(MAPS) + [len(self.labels)] * len(MAPS)
        rows = [
            np.moveaxis(own[0], 0, -1).reshape(-1, k) for own, k in zip(found, columns, strict=True)
        ]
        return np.concatenate(rows[: len(MAPS)]), np.concatenate(rows[len(MAPS) :])

    def __call__(
        self,
        frame: np.ndarray,
        threshold: float = 0.25,
        overlap: float = 0.5,
        leave_out: Sequence[str] = PARTS,
    ) -> Detections:
        """Objects of a frame.

        Args:
          frame: uint8 [H, W, 3], RGB, of any size; it is scaled to 300 × 300.
          threshold: objects must score more.
          overlap: of two boxes of whatever class with a larger IoU the higher-scoring one stays.
          leave_out: labels of classes that are no objects; a box may still be of another class.

        Raises:
          ValueError: a frame of another shape or type, or a label that does not exist.
        """
        if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8:
            raise ValueError(f"frame is {frame.dtype} {frame.shape}; expected uint8 [H, W, 3], RGB")
        if unknown := set(leave_out) - set(self.labels):
            raise ValueError(f"no classes {sorted(unknown)}; there are {', '.join(self.labels)}")
        image = cv2.resize(frame, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)
        encodings, logits = self.raw(image)
        wanted = [i for i, label in enumerate(self.labels) if i and label not in leave_out]
        classes = np.array(wanted)[logits[:, wanted].argmax(1)]
        scores = _sigmoid(np.take_along_axis(logits, classes[:, None], 1)[:, 0])
        likely = np.flatnonzero(scores > threshold)
        height, width = frame.shape[:2]
        boxes = decode(encodings[likely], self._anchors[likely]) * (width, height, width, height)
        kept = suppress(boxes, scores[likely], overlap)
        boxes = np.clip(boxes[kept], 0, (width, height, width, height)).astype(np.float32)
        chosen = likely[kept]
        return Detections(boxes, scores[chosen], classes[chosen], logits[chosen])


def load(folder: str | pathlib.Path) -> Ssd:
    """The detector of a folder.

    Raises:
      FileNotFoundError: there are no weights.
      ValueError: those of something else, or a file that OpenCV cannot read.
    """
    path = pathlib.Path(folder) / PROVENANCE
    command = f"python -m data_prep.weights {NAME} --out {folder}"
    if not path.is_file():
        raise FileNotFoundError(f"{folder}: no weights here (no {PROVENANCE}). Run: {command}")
    if (found := json.loads(path.read_text()).get("name")) != NAME:
        raise ValueError(f"{folder}: holds {found!r}, not {NAME!r}. Run: {command}")
    return Ssd(folder)


def anchors() -> np.ndarray:
    """Boxes that the encodings are relative to, float32 [1917, 4], `cy, cx, h, w` of the image.

    Map after map, row after row, the anchors of a cell together.
    """
    found = []
    for i, cells in enumerate(MAPS):
        scale, between = SCALES[i], np.sqrt(SCALES[i] * SCALES[i + 1])
        if i == 0:
            shapes = [(0.1, 1), (scale, 2), (scale, 1 / 2)]
        else:
            shapes = [*((scale, ratio) for ratio in (1, 2, 1 / 2, 3, 1 / 3)), (between, 1)]
        sizes = np.array([(s / np.sqrt(ratio), s * np.sqrt(ratio)) for s, ratio in shapes])
        middle = (np.arange(cells) + 0.5) / cells
        grid = np.stack(np.meshgrid(middle, middle, indexing="ij"), -1).reshape(-1, 1, 2)
        own = np.broadcast_arrays(*np.split(grid, 2, -1), *np.split(sizes[None], 2, -1))
        found.append(np.concatenate(own, -1).reshape(-1, 4))
    return np.concatenate(found).astype(np.float32)


def decode(encodings: np.ndarray, anchors: np.ndarray) -> np.ndarray:
    """Boxes float64 [n, 4], `x0, y0, x1, y1` with the image's sides as units.

    Args:
      encodings: [n, 4], `ty, tx, th, tw`.
      anchors: [n, 4], as of `anchors`.
    """
    encodings, anchors = np.asarray(encodings, np.float64), np.asarray(anchors, np.float64)
    middle = encodings[:, :2] / 10 * anchors[:, 2:] + anchors[:, :2]
    half = np.exp(encodings[:, 2:] / 5) * anchors[:, 2:] / 2
    return np.concatenate([(middle - half)[:, ::-1], (middle + half)[:, ::-1]], 1)


def suppress(boxes: np.ndarray, scores: np.ndarray, overlap: float) -> np.ndarray:
    """Which boxes [n, 4], `x0, y0, x1, y1`, stay: int64, the highest score [n] > 0 first."""
    sized = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], 1)
    kept = cv2.dnn.NMSBoxes(sized.tolist(), scores.tolist(), 0.0, overlap)
    return np.asarray(kept, np.int64).reshape(-1)


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def _head_layers(path: pathlib.Path, layers: Sequence[str]) -> list[str]:
    """The last convolutions of the boxes and then of the classes, map after map."""
    found = [(kind[2], int(kind[1]), name) for name in layers if (kind := HEAD.match(name))]
    expected = [(kind, i) for kind in ("BoxEncoding", "Class") for i in range(len(MAPS))]
    if sorted(own[:2] for own in found) != expected:
        raise ValueError(
            f"{path}: {len(found)} heads, expected {len(expected)} named BoxPredictor_0/"
            f"BoxEncodingPredictor … of an SSD with {len(MAPS)} maps; its last layers are "
            f"{', '.join(layers[-3:])}"
        )
    return [own[2] for own in sorted(found)]
