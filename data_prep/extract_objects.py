r"""Dataset of frames → dataset of the objects in them, for the SSMTL system (spec ssmtl §2).

    python -m data_prep.extract_objects --data data/ped2 --out data/ped2_objects --boxes stored
    python -m data_prep.extract_objects --data data/ped2 --out data/ped2_objects \
        --detector ssd_mobilenet_v2 --weights weights/ssd_mobilenet_v2 \
        --teachers efficientnet_lite0=weights/efficientnet_lite0

The boxes come from one of
  --detector ssd_mobilenet_v2   a small published detector (python -m data_prep.weights)
  --detector FILE.onnx          any other in an ONNX or TFLite file, run by OpenCV (below)
  --detector motion             what moves before a fixed camera; needs no weights
  --boxes stored                those that the dataset of frames holds
  --boxes FOLDER                text, FOLDER/SPLIT/VIDEO.csv, a row a box: --box_columns names what
                                its columns hold (python -m vadjax.metrics.region --help)

The teachers say what an object is, and the network learns to foresee it: class outputs before the
last activation, taken once here and stored. Those of the detector that found the boxes are kept
where it has any; a detector among --teachers is asked for boxes from elsewhere, and answers with
its own candidate box that overlaps the object most. A classifier looks at the object's own pixels,
in the training split only: efficientnet_lite0 among --teachers, or --classifier FILE.onnx.

Outputs of a detector in a file, for C classes; --layout says which where shapes leave a doubt:
  yolo5   [1, N, 5 + C], one or more: cx, cy, w, h, objectness, classes (v3, v5, v7)
  yolo8   [1, 4 + C, N]: cx, cy, w, h, classes (v8 and later)
  ssd     boxes [1, N, 4]: x0, y0, x1, y1, and classes [1, N, C]; ssd_yx: y0, x0, y1, x1
  rows7   [1, 1, N, 7]: image, class, score, x0, y0, x1, y1; no class outputs
  rows6   [1, N, 6]: x0, y0, x1, y1, score, class; no class outputs
OpenCV (4.10 to 5.0) mixes up the joint boxes of TFLite SSDs: compare the boxes of one picture with
those of another program before you trust them. Frames are scaled to --input_size, the aspect is
not kept.
"""

import argparse
import functools
import pathlib
import sys
import time
from collections.abc import Callable, Iterator

import numpy as np

from data_prep import command, teachers
from data_prep.frames import parse_columns, parse_size
from data_prep.object_boxes import STORED, Boxes, Detected, Files, Stored, scale_of
from vadjax import progress
from vadjax.backbones import detector, dnn_detector
from vadjax.backbones.detection import Detections, Detector, Filter
from vadjax.data import clips
from vadjax.data.boxes import BOX_COLUMNS
from vadjax.data.clips import Video, Videos
from vadjax.data.object_writer import VideoObjects, write_objects
from vadjax.data.records import Dataset

TRAIN = "train"  # the split that classifiers look at, and from which frames may be left out


class Extractor:
    """Finds the objects of videos.

    Args:
      boxes: where the boxes come from.
      teacher: detector whose class outputs boxes from elsewhere get.
      classifier: of the objects of the training split.
      every: take every so many-th frame of the training split.
    """

    def __init__(
        self,
        boxes: Boxes,
        teacher: Detector | None = None,
        classifier: teachers.Classifier | None = None,
        every: int = 1,
    ):
        if every < 1:
            raise ValueError(f"--every {every}; expected at least 1")
        self.boxes, self.teacher, self.classifier, self.every = boxes, teacher, classifier, every

    @property
    def outputs(self) -> dict[str, int]:
        """How many class outputs an object has of each teacher."""
        source = self._source
        return {
            "detector": len(source.labels) if source else 0,
            "classifier": self.classifier.classes if self.classifier else 0,
        }

    @property
    def teachers(self) -> dict[str, dict | None]:
        """Whose they are."""
        found = {"detector": self._source, "classifier": self.classifier}
        return {kind: teacher and teacher.settings for kind, teacher in found.items()}

    @property
    def _source(self) -> Detector | None:
        """The detector whose class outputs objects get."""
        own = self.boxes.detector if isinstance(self.boxes, Detected) else None
        return self.teacher or (own if own and own.labels else None)

    def __call__(self, video: Video, say=lambda frames, objects: None) -> VideoObjects:
        """The objects of a video.

        Args:
          video: of a dataset of frames.
          say: is told how many frames are done and how many objects there are so far.
        """
        find, scale = self.boxes.start(video), scale_of(video)
        train = video.split == TRAIN
        classify = _Classes(self.classifier if train else None)
        every = self.every if train else 1
        rows, logits, count = [], [], 0
        for frame in range(video.num_frames):
            wanted = frame % every == 0
            if not wanted and not self.boxes.consecutive:
                continue
            pixels = video[frame] if self._look(train) else None
            found = find(frame, pixels)
            if not wanted:
                continue
            stored = found.boxes * scale
            rows.append(_rows(frame, found))
            logits.append(self.teacher.outputs(pixels, stored) if self.teacher else found.logits)
            classify.add(pixels, stored)
            count += len(found.boxes)
            say(frame + 1, count)
        return VideoObjects(
            video.name,
            video.num_frames,
            np.concatenate(rows),
            np.concatenate(logits),
            classify.finish(count),
        )

    def _look(self, train: bool) -> bool:
        """Whether frames have to be read."""
        return bool(self.boxes.frames or self.teacher or (train and self.classifier))


class _Classes:
    """Outputs of the classifier, in batches that reach over frames; nothing without one."""

    def __init__(self, classifier: teachers.Classifier | None):
        self._classifier, self._waiting, self._found = classifier, [], []

    def add(self, frame: np.ndarray, boxes: np.ndarray) -> None:
        if self._classifier is None:
            return
        self._waiting += [*self._classifier.crops(frame, boxes)]
        if len(self._waiting) >= teachers.BATCH:
            part, self._waiting = np.split(np.stack(self._waiting), [teachers.BATCH])
            self._found.append(self._classifier(part))
            self._waiting = [*self._waiting]

    def finish(self, count: int) -> np.ndarray:
        """Outputs of all objects, float32 [count, M]."""
        if self._classifier is None:
            return np.zeros((count, 0), np.float32)
        if self._waiting:
            self._found.append(self._classifier(np.stack(self._waiting)))
        return np.concatenate([np.zeros((0, self._classifier.classes), "f"), *self._found])


def _rows(frame: int, found: Detections) -> np.ndarray:
    """Rows `BOX_COLUMNS` of the objects of a frame, float32 [n, 6]."""
    frames = np.full((len(found.boxes), 1), frame)
    return np.concatenate([frames, found.boxes, found.scores[:, None]], 1).astype(np.float32)


def objects(data: Dataset, extract: Extractor) -> dict[str, Iterator[VideoObjects]]:
    """Split → the objects of its videos, found as they are asked for; with a bar of frames."""
    screen = sys.stdout  # the writer closes it to others

    def of(split: str) -> Iterator[VideoObjects]:
        videos, before, objects = Videos(data, split), 0, 0
        total = sum(len(video) for video in videos)
        with progress.bar(split, total, file=screen) as bar:
            for video in videos:
                found = extract(video, functools.partial(_say, bar, before, time.monotonic()))
                before += len(video)
                objects += len(found.boxes)
                bar.update(before, {})
                yield found
        if not objects:
            raise ValueError(
                f"split {split!r} would be empty: no object in its {total:,} frames; nothing was "
                "written. Lower --threshold or --min_size, or take other --boxes or --detector"
            )

    return {split: of(split) for split in data.splits}


def _say(bar: progress.Bar, before: int, start: float, frames: int, count: int) -> None:
    """Tells the bar how far a video is that began at `start`, after so many frames of others."""
    bar.update(before + frames, {"objects/s": count / max(time.monotonic() - start, 1e-9)})


def open_boxes(given: dict) -> Boxes:
    """Where the boxes come from, by the flags that were given.

    Raises:
      FileNotFoundError, ValueError: neither or both of `--boxes` and `--detector`, flags that do
        not belong to it, or as `detector.open` and `Files`.
    """
    name, boxes = given.pop("detector", None), given.pop("boxes", None)
    if (name is None) == (boxes is None):
        raise ValueError("name either --detector or --boxes: where do the boxes come from?")
    if name is not None:
        return Detected(detector.open(name, **given))
    keep = Filter(**{"threshold": 0.5, "overlap": 1.0} | _pick(given, Filter.__match_args__))
    text = _pick(given, ("box_columns", "first_box_frame"))
    if alien := sorted({*given} if boxes != STORED else {*given, *text}):
        raise ValueError(f"--{', --'.join(alien)}: not for --boxes {boxes}")
    if boxes == STORED:
        return Stored(keep)
    columns = text.get("box_columns", BOX_COLUMNS)
    return Files(boxes, keep, columns, text.get("first_box_frame", 0))


def _pick(given: dict, names) -> dict:
    """Takes these names out of `given`."""
    return {name: given.pop(name) for name in names if name in given}


def open_frames(folder: str | pathlib.Path) -> Dataset:
    """The dataset of frames.

    Raises:
      FileNotFoundError, ValueError: as `Dataset`, or it holds something else.
    """
    data = Dataset(folder)
    if data.kind != clips.KIND:
        raise ValueError(
            f"{folder}: holds {data.kind!r}, expected 'frames', as for example "
            "python -m data_prep.ucsd_ped writes them"
        )
    return data


def prepare(
    data: str | pathlib.Path,
    out: str | pathlib.Path,
    *,
    name: str | None = None,
    teachers_named: str | None = None,
    teacher_size: int | None = None,
    classifier: str | None = None,
    classifier_mean: tuple[float, ...] | None = None,
    classifier_std: tuple[float, ...] | None = None,
    every: int = 1,
    file_format: str = "array_record",
    shards: int | None = None,
    **given,
) -> dict:
    """Writes the dataset `out` and returns its manifest; arguments as the command's flags.

    Raises:
      FileExistsError: `out` exists.
      FileNotFoundError: a folder or file is not there.
      ValueError: something that cannot be used; the message names it.
    """
    if pathlib.Path(out).exists():
        raise FileExistsError(f"{out} exists and is left as it is; name another folder")
    own = {"side": teacher_size, "mean": classifier_mean, "deviation": classifier_std}
    own = {key: value for key, value in own.items() if value is not None}
    named = teachers.parse(teachers_named) if teachers_named else {}
    boxes = open_boxes(given)
    frames = open_frames(data)
    boxes.check(frames)
    teacher, classes = teachers.open_teachers(named, classifier, **own)
    if teacher and teacher.settings["sha256"] == boxes.settings.get("sha256"):
        teacher = None  # the boxes' own outputs are its
    extract = Extractor(boxes, teacher, classes, every)
    manifest = write_objects(
        out,
        objects(frames, extract),
        name=name or f"{frames.name}_objects",
        frames=frames,
        detector=boxes.settings,
        outputs=extract.outputs,
        teachers=extract.teachers,
        every=every,
        file_format=file_format,
        shards=shards,
    )
    for what, count in boxes.keep.dropped.items():
        if count:
            print(f"left out: {count:,} boxes {what}")
    return manifest


def parse(argv: list[str] | None) -> dict:
    """Parses the command line; flags that are not given are not in the result."""
    parser = argparse.ArgumentParser(
        prog="python -m data_prep.extract_objects",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS,
    )
    add = parser.add_argument
    add("--data", required=True, help="dataset of frames")
    command.add_output_flags(parser)
    add("--name", help="shown in reports (default: of the frames, with _objects)")
    add("--boxes", metavar="FOLDER", help=f"files of boxes, or '{STORED}'")
    add("--box_columns", type=parse_columns, metavar="NAMES",
        help=f"of these files (default {','.join(BOX_COLUMNS)})")  # fmt: skip
    add("--first_box_frame", type=int, help="number of the first frame in them (default 0)")
    add("--detector", help=detector.KNOWN)
    add("--weights", help="folder of those of ssd_mobilenet_v2")
    add("--threshold", type=float, help="objects score more (default 0.25; --boxes 0.5; motion: "
        "the share of a box that moves, 0)")  # fmt: skip
    add("--overlap", type=float, help="largest IoU of two objects (default 0.5; --boxes, motion 1)")
    add("--min_size", type=float, help="pixels of the smallest width and height (default 1; "
        "motion 8)")  # fmt: skip
    add("--keep", nargs="+", metavar="CLASS", help="only these classes are objects")
    add("--leave_out", nargs="+", metavar="CLASS", help="these classes are no objects")
    _add_file_flags(parser.add_argument_group("detectors in a file").add_argument)
    add = parser.add_argument_group("--detector motion").add_argument
    add("--history", type=int, help="frames that the background is made of (default 50)")
    add("--distance", type=float, help="from it, in variances, of what moves (default 49)")
    add("--closing", type=parse_size, metavar="HxW", help="pixels of the gaps that are closed")
    add = parser.add_argument_group("training").add_argument
    add("--every", type=int, help="take every N-th frame of the training split (default 1)")
    add("--teachers", dest="teachers_named", metavar="NAME=WEIGHTS,…", help="see above")
    add("--teacher_size", type=int, help=f"pixels of the classifier's crops ({teachers.SIDE})")
    add("--classifier", metavar="FILE.onnx", help="its output is [1, M], before the softmax")
    add("--classifier_mean", type=parse_numbers, metavar="R,G,B", help="(default: of ImageNet)")
    add("--classifier_std", type=parse_numbers, metavar="R,G,B", help="(default: of ImageNet)")
    args = vars(parser.parse_args(argv))
    args["file_format"] = args.pop("format")
    return args


def _add_file_flags(add: Callable) -> None:
    """Adds the flags of `DnnDetector`."""
    add("--labels", metavar="FILE", help="names of its classes, one a line")
    add("--layout", choices=dnn_detector.LAYOUTS, help="of its outputs (default: by their shapes)")
    add("--input_size", type=parse_size, metavar="HxW", help="pixels (default 640x640)")
    add("--scale", type=float, help="factor of the colours, after the mean (default 1/255)")
    add("--mean", type=parse_numbers, metavar="A,B,C", help="taken from the colours (default 0)")
    add("--colours", choices=dnn_detector.COLOURS, help="order of the channels (default rgb)")
    add("--units", choices=dnn_detector.UNITS, help="of coordinates (default: pixels of the input "
        "for yolo and rows6, else shares)")  # fmt: skip
    add("--outputs", choices=dnn_detector.OUTPUTS, help="what scores are (default probabilities)")


def parse_numbers(text: str) -> tuple[float, ...]:
    """Three numbers, parted by commas.

    Raises:
      ArgumentTypeError: something else.
    """
    try:
        found = tuple(float(part) for part in text.split(","))
    except ValueError:
        found = ()
    if len(found) != 3:
        raise argparse.ArgumentTypeError(f"{text!r}; expected three numbers, for example 0,0,0")
    return found


def main(argv: list[str] | None = None) -> None:
    """Parses the command line and writes the dataset."""
    args = parse(argv)
    manifest = command.report_errors(prepare, **args)
    command.print_summary(args["out"], manifest)


if __name__ == "__main__":
    main()
