"""Any detector in an ONNX or TFLite file, through OpenCV (spec ssmtl §2).

    detect = DnnDetector("yolo.onnx", labels="coco.txt", input_size=(640, 640))
    found = detect(frame)                       # uint8 [H, W, 3], RGB

Outputs that are understood (`layout`), for C classes:

yolo5   [1, N, 5 + C], one or more: cx, cy, w, h, objectness, classes (v3, v5, v7)
yolo8   [1, 4 + C, N]: cx, cy, w, h, classes (v8 and later)
ssd     boxes [1, N, 4] (or [1, N, 1, 4]): x0, y0, x1, y1, and classes [1, N, C]
ssd_yx  the same, with boxes y0, x0, y1, x1 as TensorFlow has them
rows7   [1, 1, N, 7]: image, class, score, x0, y0, x1, y1; no class outputs
rows6   [1, N, 6]: x0, y0, x1, y1, score, class; no class outputs

OpenCV (4.10 to 5.0) mixes up the rows of the joint boxes of TFLite SSDs. Compare the boxes of one
picture with those of another program before trusting them; `vadjax.backbones.ssd` puts its own
together from the layers before.
"""

import pathlib
from collections.abc import Sequence

import cv2
import numpy as np

from vadjax.backbones import net_trial
from vadjax.backbones.detection import (
    Detections,
    Detector,
    Filter,
    check_labels,
    check_sha256,
    choose,
    sigmoid,
)
from vadjax.formats.regular import check_regular
from vadjax.formats.text import read_names

ENDINGS = (".onnx", ".tflite")
LAYOUTS = ("yolo5", "yolo8", "ssd", "ssd_yx", "rows7", "rows6")
UNITS = ("pixels", "shares")  # of the coordinates: pixels of the input, or its sides are 1
COLOURS = ("rgb", "bgr")
OUTPUTS = ("probabilities", "logits")
LEAST = 1e-6  # probabilities are kept so far from 0 and 1, so that their logits are finite


class DnnDetector(Detector):
    """The detector of a file.

    Args:
      name: the file.
      labels: text file with the names of the classes, one a line; without one they are numbers.
      layout: a name of `LAYOUTS`; None goes by the shapes, where they leave no doubt.
      input_size: (H, W) that frames are scaled to.
      scale: factor of the colours 0 … 255, after `mean` was taken away.
      mean: of the three channels, in the order of `colours`.
      colours: order of the channels, `"rgb"` or `"bgr"`.
      units: of the coordinates, a name of `UNITS`; None is pixels for yolo and rows6, else shares.
      outputs: whether class outputs (and objectness) are `"probabilities"` or `"logits"`.
      threshold: objects must score more.
      overlap: of two boxes of whatever class with a larger IoU the higher-scoring one stays.
      min_size: pixels of the smallest width and height.
      leave_out: labels of classes that are no objects (a background, for example).
      keep: if any, labels of the only classes that are.
      sha256: of the file, if it must be a known one.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: OpenCV cannot read it, its outputs have another layout, or an argument is out of
        its range.
    """

    def __init__(
        self,
        name: str,
        labels: str | None = None,
        layout: str | None = None,
        input_size: tuple[int, int] = (640, 640),
        scale: float = 1 / 255,
        mean: Sequence[float] = (0.0, 0.0, 0.0),
        colours: str = "rgb",
        units: str | None = None,
        outputs: str = "probabilities",
        threshold: float = 0.25,
        overlap: float = 0.5,
        min_size: float = 1.0,
        leave_out: Sequence[str] = (),
        keep: Sequence[str] = (),
        sha256: str | None = None,
    ):
        super().__init__(Filter(threshold, overlap, min_size))
        for flag, value, known in (
            ("layout", layout, (None, *LAYOUTS)),
            ("units", units, (None, *UNITS)),
            ("colours", colours, COLOURS),
            ("outputs", outputs, OUTPUTS),
        ):
            if value not in known:
                text = ", ".join(filter(None, known))
                raise ValueError(f"--{flag} {value!r}; expected one of {text}")
        path = pathlib.Path(name)
        self._size, self._logits = tuple(input_size), outputs == "logits"
        self._blob = {"scalefactor": scale, "mean": tuple(mean), "swapRB": colours == "bgr"}
        self._net = read_net(path, self._size)
        self._outputs = self._net.getUnconnectedOutLayersNames()
        shapes = [found.shape for found in self._run(np.zeros((*input_size, 3), np.uint8))]
        names = _read_labels(labels)
        self._layout = layout or guess(shapes, len(names), str(path))
        classes = count_classes(self._layout, shapes, str(path))
        self.labels = _named(names, classes, labels, str(path))
        if self.labels:
            check_labels(self.labels, leave_out, keep)
        elif leave_out or keep:
            raise ValueError(f"{path}: layout {self._layout} has no class outputs to choose from")
        self._none, self._only = tuple(leave_out), tuple(keep)
        pixels = self._layout in ("yolo5", "yolo8", "rows6")
        self._units = units or UNITS[0 if pixels else 1]
        self.settings = {
            "name": str(path.absolute()),
            "sha256": check_sha256(path, sha256),
            "labels": labels and str(pathlib.Path(labels).absolute()),
            "layout": self._layout,
            "input_size": list(input_size),
            "scale": scale,
            "mean": list(mean),
            "colours": colours,
            "units": self._units,
            "outputs": outputs,
            "threshold": threshold,
            "overlap": overlap,
            "min_size": min_size,
            "leave_out": list(leave_out),
            "keep": list(keep),
        }

    def candidates(self, frame: np.ndarray) -> Detections:
        """All boxes of the network; the frame is scaled to its size, the aspect not kept."""
        boxes, scores, classes, logits = self._arrange(self._run(frame))
        height, width = frame.shape[:2]
        unit = self._size[::-1] if self._units == "pixels" else (1, 1)
        boxes = boxes * (np.array([width, height, width, height]) / (*unit, *unit))
        return Detections(boxes.astype(np.float32), scores, classes, logits)

    def _run(self, frame: np.ndarray) -> list[np.ndarray]:
        size = self._size[::-1]
        image = cv2.resize(frame, size, interpolation=cv2.INTER_LINEAR)
        self._net.setInput(cv2.dnn.blobFromImage(image, size=size, **self._blob))
        return list(self._net.forward(self._outputs))

    def _arrange(self, found: list[np.ndarray]) -> tuple[np.ndarray, ...]:
        """Boxes `x0, y0, x1, y1`, scores, classes and logits of the network's outputs."""
        if self._layout in ("rows6", "rows7"):
            rows = found[0].reshape(-1, int(self._layout[-1]))
            columns = [0, 1, 2, 3, 4, 5] if self._layout == "rows6" else [3, 4, 5, 6, 2, 1]
            rows = rows[:, columns]
            none = np.zeros((len(rows), 0), np.float32)
            return rows[:, :4], rows[:, 4], rows[:, 5].astype(np.int64), none
        certain = 1.0
        if self._layout.startswith("ssd"):
            at = _boxes_first([part.shape for part in found])
            boxes, outputs = found[at].reshape(-1, 4), found[1 - at]
            boxes = boxes[:, [1, 0, 3, 2]] if self._layout == "ssd_yx" else boxes
            outputs = outputs.reshape(-1, outputs.shape[-1])
        else:
            if self._layout == "yolo8":
                found = [found[0].swapaxes(1, 2)]
            rows = np.concatenate([part.reshape(-1, part.shape[-1]) for part in found])
            middle, half = rows[:, :2], rows[:, 2:4] / 2
            boxes = np.concatenate([middle - half, middle + half], 1)
            outputs = rows[:, 4:]
            if self._layout == "yolo5":
                certain, outputs = self._probability(rows[:, 4]), rows[:, 5:]
        classes = choose(outputs, self.labels, self._none, self._only)
        best = np.take_along_axis(outputs, classes[:, None], 1)[:, 0]
        logits = outputs
        if not self._logits:
            share = np.clip(outputs, LEAST, 1 - LEAST)
            logits = np.log(share / (1 - share))
        return boxes, certain * self._probability(best), classes, logits.astype(np.float32)

    def _probability(self, outputs: np.ndarray) -> np.ndarray:
        return sigmoid(outputs) if self._logits else outputs


def read_net(
    path: pathlib.Path,
    size: tuple[int, int],
    engine: int | None = None,
    flag: str = "--input_size",
) -> cv2.dnn.Net:
    """A network of an ONNX or TFLite file that was read and run once, in a process of its own.

    Args:
      path: the file.
      size: (H, W) of its input.
      engine: of OpenCV 5, if not its own choice.
      flag: that sets the size, for messages.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: OpenCV cannot read or run it.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file of a network")
    check_regular(path)
    if path.suffix.lower() not in ENDINGS:
        raise ValueError(f"{path}: expected a file {' or '.join(f'*{end}' for end in ENDINGS)}")
    net_trial.check(path, size, engine, flag)
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        return net_trial.read(str(path), engine)
    finally:
        cv2.utils.logging.setLogLevel(level)


def guess(shapes: Sequence[tuple[int, ...]], labels: int, what: str) -> str:
    """The layout of outputs of these shapes.

    Args:
      shapes: of all outputs.
      labels: number of classes, 0 if unknown.
      what: for messages.

    Raises:
      ValueError: none, or more than one, would fit.
    """
    fits = [layout for layout in ("yolo5", "yolo8", "rows7", "rows6") if _fits(layout, shapes)]
    if labels:
        wide = {"yolo5": 5 + labels, "yolo8": 4 + labels}
        at = {"yolo5": -1, "yolo8": 1}
        fits = [own for own in fits if own not in wide or shapes[0][at[own]] == wide[own]]
    elif len(shapes[0]) == 3:  # there are more boxes than columns
        fits = [own for own in fits if own != ("yolo5" if shapes[0][1] < shapes[0][2] else "yolo8")]
    if _fits("ssd", shapes):
        fits = ["ssd", "ssd_yx"]
    if len(fits) == 1:
        return fits[0]
    reason = f"may be {' or '.join(fits)}" if fits else "are of no layout known here"
    raise ValueError(
        f"{what}: outputs {', '.join(map(str, shapes))} {reason}. Say which with --layout (one of "
        f"{', '.join(LAYOUTS)}; see the help of data_prep.extract_objects), or export the network "
        "again with one of them"
    )


def count_classes(layout: str, shapes: Sequence[tuple[int, ...]], what: str) -> int:
    """Class outputs of a layout.

    Raises:
      ValueError: the shapes are not of it.
    """
    if not _fits(layout, shapes):
        raise ValueError(
            f"{what}: outputs {', '.join(map(str, shapes))} are not of --layout {layout}; known "
            f"are {', '.join(LAYOUTS)} (see the help of data_prep.extract_objects)"
        )
    if layout.startswith("rows"):
        return 0
    if layout.startswith("ssd"):
        return shapes[1 - _boxes_first(shapes)][-1]
    return shapes[0][-1] - 5 if layout == "yolo5" else shapes[0][1] - 4


def _fits(layout: str, shapes: Sequence[tuple[int, ...]]) -> bool:
    dimensions, first = {len(shape) for shape in shapes}, shapes[0]
    if any(len(shape) < 2 or shape[0] != 1 for shape in shapes):
        return False
    if layout == "yolo5":
        return dimensions == {3} and first[-1] > 5 and len({shape[-1] for shape in shapes}) == 1
    if layout == "yolo8":
        return len(shapes) == 1 and dimensions == {3} and first[1] > 4
    if layout == "rows7":
        return len(shapes) == 1 and len(first) == 4 and first[1] == 1 and first[3] == 7
    if layout == "rows6":
        return len(shapes) == 1 and len(first) == 3 and first[2] == 6
    rows = [int(np.prod(shape[:-1])) for shape in shapes]
    return len(shapes) == 2 and rows[0] == rows[1] and 4 in (shapes[0][-1], shapes[1][-1])


def _boxes_first(shapes: Sequence[tuple[int, ...]]) -> int:
    """Which of the two outputs of an SSD holds the boxes: the first that has four columns."""
    return 0 if shapes[0][-1] == 4 else 1


def _read_labels(path: str | None) -> list[str]:
    return read_names(pathlib.Path(path)) if path else []


def _named(names: list[str], classes: int, path: str | None, what: str) -> tuple[str, ...]:
    """Names of the classes; their numbers where there are none."""
    if classes and names and len(names) != classes:
        raise ValueError(f"{path}: {len(names)} labels, but {what} has {classes} classes")
    return tuple(names if classes and names else map(str, range(classes)))
