"""Any detector in an ONNX or TFLite file, run by OpenCV (spec ssmtl §2).

    detect = DnnDetector("yolo.onnx", labels="coco.txt", input_size=(640, 640))
    detections = detect(frame)                  # uint8 [H, W, 3], RGB

Layouts of outputs that are supported (`layout`), for C classes:

yolo5   [1, N, 5 + C], one or more: cx, cy, w, h, objectness, classes (v3, v5, v7)
yolo8   [1, 4 + C, N]: cx, cy, w, h, classes (v8 and later)
ssd     boxes [1, N, 4] (or [1, N, 1, 4]): x0, y0, x1, y1, and classes [1, N, C]
ssd_yx  the same, with boxes y0, x0, y1, x1 as TensorFlow has them
rows7   [1, 1, N, 7]: image, class, score, x0, y0, x1, y1; no class outputs
rows6   [1, N, 6]: x0, y0, x1, y1, score, class; no class outputs

OpenCV (4.10 to 5.0) mixes up the rows of the concatenated boxes of TFLite SSDs. Compare the boxes
of one picture with those of another program before trusting them; `vadjax.backbones.ssd` assembles
its own from the layers before.
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
UNITS = ("pixels", "shares")  # of the coordinates: pixels, or shares of the input's sides
COLOURS = ("rgb", "bgr")
OUTPUTS = ("probabilities", "logits")
LEAST = 1e-6  # smallest distance of a probability from 0 and 1, so that its logit is finite


class DnnDetector(Detector):
    """The detector of a file.

    Args:
      name: path of the file.
      labels: text file with the names of the classes, one per line; without one they are numbers.
      layout: a name of `LAYOUTS`; None infers it from the shapes, where these are unambiguous.
      input_size: (H, W) that frames are scaled to.
      scale: factor of the colours 0 … 255, after `mean` was subtracted.
      mean: of the three channels, in the order of `colours`.
      colours: order of the channels, `"rgb"` or `"bgr"`.
      units: of the coordinates, a name of `UNITS`; None means pixels for yolo and rows6, else
        shares.
      outputs: whether class outputs (and objectness) are `"probabilities"` or `"logits"`.
      threshold: objects must score more.
      overlap: of two boxes with a larger IoU, of whatever classes, the higher-scoring one stays.
      min_size: smallest width and height of a box, pixels.
      leave_out: labels of classes that are not objects (a background, for example).
      keep: labels of the classes that are objects; empty for all.
      sha256: expected checksum of the file; None accepts any file.

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
        _check_choice("layout", layout, (None, *LAYOUTS))
        _check_choice("units", units, (None, *UNITS))
        _check_choice("colours", colours, COLOURS)
        _check_choice("outputs", outputs, OUTPUTS)
        # The network is run once on a black frame: the shapes of its outputs tell the layout and
        # the number of classes.
        path = pathlib.Path(name)
        self._size, self._logits = tuple(input_size), outputs == "logits"
        self._blob = {"scalefactor": scale, "mean": tuple(mean), "swapRB": colours == "bgr"}
        self._net = read_net(path, self._size)
        self._outputs = self._net.getUnconnectedOutLayersNames()
        shapes = [output.shape for output in self._run(np.zeros((*input_size, 3), np.uint8))]
        names = _read_labels(labels)
        self._layout = layout or guess(shapes, len(names), str(path))
        classes = count_classes(self._layout, shapes, str(path))
        # The classes, and which of them are objects.
        self.labels = _named(names, classes, labels, str(path))
        if self.labels:
            check_labels(self.labels, leave_out, keep)
        elif leave_out or keep:
            raise ValueError(f"{path}: layout {self._layout} has no class outputs to choose from")
        self._leave_out, self._classes_kept = tuple(leave_out), tuple(keep)
        pixels = self._layout in ("yolo5", "yolo8", "rows6")
        self._units = units or UNITS[0 if pixels else 1]
        # All that another process needs to open the same detector again.
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
        # From pixels of the network's input, or shares of it, to pixels of the frame.
        height, width = frame.shape[:2]
        unit = self._size[::-1] if self._units == "pixels" else (1, 1)
        boxes = boxes * (np.array([width, height, width, height]) / (*unit, *unit))
        return Detections(boxes.astype(np.float32), scores, classes, logits)

    def _run(self, frame: np.ndarray) -> list[np.ndarray]:
        """The network's outputs for a frame of any size."""
        size = self._size[::-1]
        image = cv2.resize(frame, size, interpolation=cv2.INTER_LINEAR)
        self._net.setInput(cv2.dnn.blobFromImage(image, size=size, **self._blob))
        return list(self._net.forward(self._outputs))

    def _arrange(self, outputs: list[np.ndarray]) -> tuple[np.ndarray, ...]:
        """Boxes `x0, y0, x1, y1`, scores, classes and logits of the network's outputs."""
        # These two have one score and one class for each box, and no class outputs.
        if self._layout in ("rows6", "rows7"):
            rows = outputs[0].reshape(-1, int(self._layout[-1]))
            columns = [0, 1, 2, 3, 4, 5] if self._layout == "rows6" else [3, 4, 5, 6, 2, 1]
            rows = rows[:, columns]
            no_logits = np.zeros((len(rows), 0), np.float32)
            return rows[:, :4], rows[:, 4], rows[:, 5].astype(np.int64), no_logits
        objectness = 1.0
        # SSD: corners in one output, classes in the other.
        if self._layout.startswith("ssd"):
            number = _boxes_first([output.shape for output in outputs])
            boxes, class_outputs = outputs[number].reshape(-1, 4), outputs[1 - number]
            boxes = boxes[:, [1, 0, 3, 2]] if self._layout == "ssd_yx" else boxes
            class_outputs = class_outputs.reshape(-1, class_outputs.shape[-1])
        # YOLO: middles, sizes and classes side by side; `yolo5` has an objectness before the
        # classes, and may come in several outputs.
        else:
            if self._layout == "yolo8":
                outputs = [outputs[0].swapaxes(1, 2)]
            rows = np.concatenate([output.reshape(-1, output.shape[-1]) for output in outputs])
            middle, half = rows[:, :2], rows[:, 2:4] / 2
            boxes = np.concatenate([middle - half, middle + half], 1)
            class_outputs = rows[:, 4:]
            if self._layout == "yolo5":
                objectness, class_outputs = self._probability(rows[:, 4]), rows[:, 5:]
        # score = objectness * p(class), of the best class that is an object.
        classes = choose(class_outputs, self.labels, self._leave_out, self._classes_kept)
        best = np.take_along_axis(class_outputs, classes[:, None], 1)[:, 0]
        logits = class_outputs
        if not self._logits:
            share = np.clip(class_outputs, LEAST, 1 - LEAST)
            logits = np.log(share / (1 - share))
        return boxes, objectness * self._probability(best), classes, logits.astype(np.float32)

    def _probability(self, outputs: np.ndarray) -> np.ndarray:
        """Class outputs or objectness as probabilities."""
        return sigmoid(outputs) if self._logits else outputs


def _check_choice(flag: str, value: str | None, choices: Sequence[str | None]) -> None:
    """Raises ValueError unless the value of a flag is one of its choices."""
    if value not in choices:
        text = ", ".join(filter(None, choices))
        raise ValueError(f"--{flag} {value!r}; expected one of {text}")


def read_net(
    path: pathlib.Path,
    size: tuple[int, int],
    engine: int | None = None,
    flag: str = "--input_size",
) -> cv2.dnn.Net:
    """The network of an ONNX or TFLite file, after a trial run in a process of its own.

    Args:
      path: the file.
      size: (H, W) of its input.
      engine: number of the engine of OpenCV 5; None leaves the choice to OpenCV.
      flag: name of the flag that sets the size, for messages.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: OpenCV cannot read or run it.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file of a network")
    check_regular(path)
    if path.suffix.lower() not in ENDINGS:
        raise ValueError(f"{path}: expected a file {' or '.join(f'*{end}' for end in ENDINGS)}")
    # A damaged file can end the process that reads it; only then is it read here, without messages.
    net_trial.check(path, size, engine, flag)
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        return net_trial.read(str(path), engine)
    finally:
        cv2.utils.logging.setLogLevel(level)


def guess(shapes: Sequence[tuple[int, ...]], labels: int, what: str) -> str:
    """Infers the layout from the shapes of the outputs.

    Args:
      shapes: of all outputs.
      labels: number of classes, 0 if unknown.
      what: name of the network, for messages.

    Raises:
      ValueError: no layout, or more than one, fits.
    """
    fits = [layout for layout in ("yolo5", "yolo8", "rows7", "rows6") if _fits(layout, shapes)]
    # The two YOLO layouts differ in the order of their axes. The number of classes tells them
    # apart, or else that there are more boxes than columns.
    if labels:
        columns = {"yolo5": 5 + labels, "yolo8": 4 + labels}
        axis = {"yolo5": -1, "yolo8": 1}
        fits = [
            layout
            for layout in fits
            if layout not in columns or shapes[0][axis[layout]] == columns[layout]
        ]
    elif len(shapes[0]) == 3:
        excluded = "yolo5" if shapes[0][1] < shapes[0][2] else "yolo8"
        fits = [layout for layout in fits if layout != excluded]
    # Shapes do not tell whether an SSD's boxes begin with x or y.
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
    """Number of classes that a network has outputs of; 0 for rows6 and rows7.

    Raises:
      ValueError: the shapes do not fit the layout.
    """
    if not _fits(layout, shapes):
        raise ValueError(
            f"{what}: outputs {', '.join(map(str, shapes))} are not of --layout {layout}; known "
            f"are {', '.join(LAYOUTS)} (see the help of data_prep.extract_objects)"
        )
    # What is left of the columns besides boxes and objectness.
    if layout.startswith("rows"):
        return 0
    if layout.startswith("ssd"):
        return shapes[1 - _boxes_first(shapes)][-1]
    return shapes[0][-1] - 5 if layout == "yolo5" else shapes[0][1] - 4


def _fits(layout: str, shapes: Sequence[tuple[int, ...]]) -> bool:
    """Whether outputs of these shapes can have a layout (see the top of this file)."""
    dimensions, first = {len(shape) for shape in shapes}, shapes[0]
    # All layouts are of a batch of one frame.
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
    # ssd and ssd_yx: two outputs with as many rows, one of them with four columns.
    rows = [int(np.prod(shape[:-1])) for shape in shapes]
    return len(shapes) == 2 and rows[0] == rows[1] and 4 in (shapes[0][-1], shapes[1][-1])


def _boxes_first(shapes: Sequence[tuple[int, ...]]) -> int:
    """Number of the SSD's output that holds the boxes: the first that has four columns."""
    return 0 if shapes[0][-1] == 4 else 1


def _read_labels(path: str | None) -> list[str]:
    """Names of the classes in a text file; none without a file."""
    return read_names(pathlib.Path(path)) if path else []


def _named(names: list[str], classes: int, path: str | None, what: str) -> tuple[str, ...]:
    """Names of the classes; their numbers where no names are known."""
    if classes and names and len(names) != classes:
        raise ValueError(f"{path}: {len(names)} labels, but {what} has {classes} classes")
    return tuple(names if classes and names else map(str, range(classes)))
