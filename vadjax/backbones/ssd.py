"""A small published detector, SSD-MobileNetV2 of Open Images, run by OpenCV (spec ssmtl §2, §11).

    detect = Ssd("weights/ssd_mobilenet_v2")     # python -m data_prep.weights ssd_mobilenet_v2
    detections = detect(frame)                   # uint8 [H, W, 3], RGB

OpenCV reads and runs the `.tflite` file; a frame takes 0.04 s on one core. This module has the
anchors, and decodes the boxes.
"""

import pathlib
import re
from collections.abc import Sequence

import cv2
import numpy as np

from vadjax.backbones.detection import (
    Detections,
    Detector,
    Filter,
    check_labels,
    check_sha256,
    choose,
    sigmoid,
)
from vadjax.backbones.dnn_detector import read_net
from vadjax.convert.published import check_folder
from vadjax.formats.text import read_names

NAME = "ssd_mobilenet_v2"
MODEL, LABELS = "model.tflite", "labels.txt"
SIDE = 300  # pixels of the network's input
MAPS = (19, 10, 5, 3, 2, 1)  # cells along a side of each map
SCALES = (*np.linspace(0.2, 0.95, len(MAPS)), 1.0)  # of the anchors of each map, and after the last
PARTS = ("Boot", "High heels", "Footwear")  # parts of persons, who are objects as a whole
HEAD = re.compile(r"BoxPredictor_(\d+)/(BoxEncoding|Class)Predictor/BiasAdd.*(?<!permute)$")


class Ssd(Detector):
    """The detector of a folder that `data_prep.weights` wrote.

    Args:
      weights: the folder.
      threshold: objects must score more.
      overlap: of two boxes with a larger IoU, of whatever classes, the higher-scoring one stays.
      min_size: smallest width and height of a box, pixels.
      leave_out: labels of classes that are not objects; a box may still be of another class.
      keep: labels of the classes that are objects; empty for all.
      sha256: expected checksum of the network; None accepts any.

    Raises:
      FileNotFoundError: there are no weights.
      ValueError: weights of something else, a file that OpenCV cannot read, or a label that does
        not exist.

    Attributes:
      labels: names of the classes; the first stands for the background.
    """

    def __init__(
        self,
        weights: str | pathlib.Path,
        threshold: float = 0.25,
        overlap: float = 0.5,
        min_size: float = 1.0,
        leave_out: Sequence[str] = PARTS,
        keep: Sequence[str] = (),
        sha256: str | None = None,
    ):
        super().__init__(Filter(threshold, overlap, min_size))
        folder = check_folder(weights, NAME)
        path = folder / MODEL
        self.labels = tuple(read_names(folder / LABELS))
        check_labels(self.labels, leave_out, keep)
        self._leave_out, self._classes_kept = (self.labels[0], *leave_out), tuple(keep)
        self.settings = {
            "name": NAME,
            "weights": str(folder.absolute()),
            "sha256": check_sha256(path, sha256),
            "threshold": threshold,
            "overlap": overlap,
            "min_size": min_size,
            "leave_out": list(leave_out),
            "keep": list(keep),
        }
        # The newer engine of OpenCV 5 gives only the last output.
        engine = cv2.dnn.ENGINE_CLASSIC if int(cv2.__version__.split(".")[0]) > 4 else None
        self._net = read_net(path, (SIDE, SIDE), engine)
        self._heads = _head_layers(path, self._net.getLayerNames())
        self._anchors = anchors()

    def raw(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Outputs of the network for an image of its own size.

        They are assembled from the last convolutions: OpenCV (4.10 to 5.0) mixes up the rows of
        the network's own concatenated boxes.

        Args:
          image: uint8 [300, 300, 3], RGB.

        Returns:
          Encodings of the boxes float32 [1917, 4] and class logits float32 [1917, K].
        """
        blob = cv2.dnn.blobFromImage(image, 1 / 127.5, mean=(127.5,) * 3)
        self._net.setInput(blob)
        maps = self._net.forward(self._heads)
        # The boxes of all maps come first, then the classes; each map [1, C, h, w] becomes rows.
        columns = [4] * len(MAPS) + [len(self.labels)] * len(MAPS)
        rows = [
            np.moveaxis(output[0], 0, -1).reshape(-1, width)
            for output, width in zip(maps, columns, strict=True)
        ]
        return np.concatenate(rows[: len(MAPS)]), np.concatenate(rows[len(MAPS) :])

    def candidates(self, frame: np.ndarray) -> Detections:
        """The decoded boxes of all 1917 anchors; the frame is scaled to 300 × 300."""
        image = cv2.resize(frame, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)
        encodings, logits = self.raw(image)
        classes = choose(logits, self.labels, self._leave_out, self._classes_kept)
        scores = sigmoid(np.take_along_axis(logits, classes[:, None], 1)[:, 0])
        height, width = frame.shape[:2]
        boxes = decode(encodings, self._anchors) * (width, height, width, height)
        return Detections(boxes.astype(np.float32), scores, classes, logits)


def anchors() -> np.ndarray:
    """Boxes that the encodings are relative to, float32 [1917, 4], `cy, cx, h, w` of the image.

    They are in the order of maps, rows and columns; the anchors of a cell follow one another.
    """
    boxes = []
    for i, cells in enumerate(MAPS):
        scale, between = SCALES[i], np.sqrt(SCALES[i] * SCALES[i + 1])
        # (scale, width / height) of each anchor; the first map has three, the others six.
        if i == 0:
            shapes = [(0.1, 1), (scale, 2), (scale, 1 / 2)]
        else:
            shapes = [*((scale, ratio) for ratio in (1, 2, 1 / 2, 3, 1 / 3)), (between, 1)]
        sizes = np.array([(s / np.sqrt(ratio), s * np.sqrt(ratio)) for s, ratio in shapes])
        # Every size around the middle of every cell.
        middle = (np.arange(cells) + 0.5) / cells
        grid = np.stack(np.meshgrid(middle, middle, indexing="ij"), -1).reshape(-1, 1, 2)
        sides = np.broadcast_arrays(*np.split(grid, 2, -1), *np.split(sizes[None], 2, -1))
        boxes.append(np.concatenate(sides, -1).reshape(-1, 4))
    return np.concatenate(boxes).astype(np.float32)


def decode(encodings: np.ndarray, anchors: np.ndarray) -> np.ndarray:
    """Boxes float64 [n, 4], `x0, y0, x1, y1` in shares of the image's sides.

    `c = t / 10 * size + anchor`, `size = exp(t / 5) * anchor`, of both axes.

    Args:
      encodings: [n, 4], `ty, tx, th, tw`.
      anchors: [n, 4], as of `anchors`.
    """
    encodings, anchors = np.asarray(encodings, np.float64), np.asarray(anchors, np.float64)
    middle = encodings[:, :2] / 10 * anchors[:, 2:] + anchors[:, :2]
    half = np.exp(encodings[:, 2:] / 5) * anchors[:, 2:] / 2
    return np.concatenate([(middle - half)[:, ::-1], (middle + half)[:, ::-1]], 1)


def _head_layers(path: pathlib.Path, layers: Sequence[str]) -> list[str]:
    """The last convolutions of the boxes and then of the classes, map after map."""
    # In order of names all box encodings come first, then the classes, map by map.
    heads = [(kind[2], int(kind[1]), name) for name in layers if (kind := HEAD.match(name))]
    expected = [(kind, i) for kind in ("BoxEncoding", "Class") for i in range(len(MAPS))]
    if sorted(head[:2] for head in heads) != expected:
        raise ValueError(
            f"{path}: {len(heads)} heads, expected {len(expected)} named BoxPredictor_0/"
            f"BoxEncodingPredictor … of an SSD with {len(MAPS)} maps; its last layers are "
            f"{', '.join(layers[-3:])}"
        )
    return [name for _, _, name in sorted(heads)]
