"""Finds the objects in the frames of a video, for data_prep.extract_objects."""

import pathlib
from collections.abc import Callable, Iterable

import numpy as np

from vadjax.backbones.detection import Detections, Detector, Filter
from vadjax.data import clips
from vadjax.data.clips import Video
from vadjax.data.store.object_writer import VideoObjects
from vadjax.data.store.records import Dataset
from vadjax.extractors import detector
from vadjax.runtime import compiled

from . import teachers
from .object_boxes import STORED, Boxes, Detected, Files, Stored, scale_of

TRAIN = "train"  # the split that classifiers look at, and from which frames may be left out
# Flags of files of boxes → arguments of `Files`
TEXT_FLAGS = {"box_columns": "columns", "first_box_frame": "first_frame", "box_units": "units"}
# A video and a function of the frames that are done and the objects so far → its objects
Extract = Callable[[Video, Callable[[int, int], None]], VideoObjects]


class Extractor:
    """Finds the objects of videos.

    Args:
      boxes: source of the boxes.
      teacher: detector that gives class outputs to boxes from elsewhere; None: there is none.
      classifier: gives class outputs to the objects of the training split; None: there is none.
      every: use only every `every`-th frame of the training split, at least 1.

    Raises:
      ValueError: `every` is below 1.
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
        """Kind of teacher → number of class outputs that an object has of it."""
        source = self._source
        return {
            "detector": len(source.labels) if source else 0,
            "classifier": self.classifier.classes if self.classifier else 0,
        }

    @property
    def teachers(self) -> dict[str, dict | None]:
        """Kind of teacher → its settings; None where there is none."""
        by_kind = {"detector": self._source, "classifier": self.classifier}
        return {kind: teacher and teacher.settings for kind, teacher in by_kind.items()}

    @property
    def _source(self) -> Detector | None:
        """The detector whose class outputs objects get: the teacher, or that of the boxes."""
        of_boxes = self.boxes.detector if isinstance(self.boxes, Detected) else None
        return self.teacher or (of_boxes if of_boxes and of_boxes.labels else None)

    def __call__(self, video: Video, say=lambda frames, objects: None) -> VideoObjects:
        """The objects of a video.

        Args:
          video: a video of a dataset of frames.
          say: called with the number of frames that are done and of the objects so far.
        """
        # The classifier, and leaving out frames, are for training only
        find, scale = self.boxes.start(video), scale_of(video)
        train = video.split == TRAIN
        classify = _Classes(self.classifier if train else None)
        every = self.every if train else 1
        rows, logits, count = [], [], 0
        for frame in range(video.num_frames):
            # A detector of motion also needs the frames whose objects are left out
            is_used = frame % every == 0
            if not is_used and not self.boxes.consecutive:
                continue
            pixels = video[frame] if self._needs_pixels(train) else None
            detections = find(frame, pixels)
            if not is_used:
                continue
            # Boxes are in pixels of the source; teachers look at the stored frames
            stored_boxes = detections.boxes * scale
            rows.append(_rows(frame, detections))
            logits.append(
                self.teacher.outputs(pixels, stored_boxes) if self.teacher else detections.logits
            )
            classify.add(pixels, stored_boxes)
            count += len(detections.boxes)
            say(frame + 1, count)
        return VideoObjects(
            video.name,
            video.num_frames,
            np.concatenate(rows),
            np.concatenate(logits),
            classify.finish(count),
        )

    def _needs_pixels(self, train: bool) -> bool:
        """Whether frames have to be read, or boxes alone are enough."""
        return bool(self.boxes.frames or self.teacher or (train and self.classifier))


class _Classes:
    """Outputs of the classifier for the objects of a video; without one they have no columns.

    Objects wait until there are enough for a batch, whatever frames they are of.
    """

    def __init__(self, classifier: teachers.Classifier | None):
        self._classifier = classifier
        self._waiting: list[np.ndarray] = []  # crops
        self._outputs: list[np.ndarray] = []  # of each batch

    def add(self, frame: np.ndarray, boxes: np.ndarray) -> None:
        """Adds the objects of a frame; boxes in its pixels, float [n, 4]."""
        if self._classifier is None:
            return
        self._waiting += [*self._classifier.crops(frame, boxes)]
        if len(self._waiting) >= teachers.BATCH:
            batch, self._waiting = np.split(np.stack(self._waiting), [teachers.BATCH])
            self._outputs.append(self._classifier(batch))
            self._waiting = [*self._waiting]

    def finish(self, count: int) -> np.ndarray:
        """Outputs of all objects, float32 [count, M]."""
        if self._classifier is None:
            return np.zeros((count, 0), np.float32)
        if self._waiting:
            self._outputs.append(self._classifier(np.stack(self._waiting)))
        # The empty array stands for a video without objects
        return np.concatenate([np.zeros((0, self._classifier.classes), "f"), *self._outputs])


def _rows(frame: int, detections: Detections) -> np.ndarray:
    """Rows `BOX_COLUMNS` of the objects of a frame, float32 [n, 6]."""
    boxes, scores = detections.boxes, detections.scores
    frames = np.full((len(boxes), 1), frame)
    return np.concatenate([frames, boxes, scores[:, None]], 1).astype(np.float32)


def open_extractor(
    *,
    teachers_named: str | None = None,
    teacher_size: int | None = None,
    classifier: str | None = None,
    classifier_mean: tuple[float, ...] | None = None,
    classifier_std: tuple[float, ...] | None = None,
    every: int = 1,
    **box_flags,
) -> Extractor:
    """The extractor that the command's flags ask for.

    Args:
      teachers_named: `NAME=WEIGHTS,…`, as for `teachers.parse`; None: no teachers by name.
      teacher_size: pixels of the classifier's crops; None: `teachers.SIDE`.
      classifier: ONNX file of a classifier; None: there is none.
      classifier_mean: mean of the colours in its training, RGB; None: that of ImageNet.
      classifier_std: the same for the standard deviation.
      every: as for `Extractor`.
      **box_flags: as for `open_boxes`.

    Raises:
      FileNotFoundError: a file is not there.
      ValueError: something that cannot be used; the message names it.
    """
    compiled.use()
    # Flags that are not given leave the classifier's defaults
    options = {"side": teacher_size, "mean": classifier_mean, "deviation": classifier_std}
    options = {key: value for key, value in options.items() if value is not None}
    named = teachers.parse(teachers_named) if teachers_named else {}
    boxes = open_boxes(box_flags)
    teacher, image_classifier = teachers.open_teachers(named, classifier, **options)
    # The detector that found the boxes gives its outputs with them
    if teacher and teacher.settings["sha256"] == boxes.settings.get("sha256"):
        teacher = None
    return Extractor(boxes, teacher, image_classifier, every)


def open_boxes(given: dict) -> Boxes:
    """The source of the boxes that the command's flags ask for.

    Args:
      given: name and value of each flag on the command line; those that are used are taken out.

    Raises:
      FileNotFoundError, ValueError: neither or both of `--boxes` and `--detector`, flags that do
        not belong to it, or as `detector.open` and `Files`.
    """
    name, boxes = given.pop("detector", None), given.pop("boxes", None)
    if (name is None) == (boxes is None):
        raise ValueError("name either --detector or --boxes: where do the boxes come from?")
    if name is not None:
        return Detected(detector.open(name, **given))
    # Overlapping boxes from elsewhere stay, unless --overlap says otherwise
    keep = Filter(**{"threshold": 0.5, "overlap": 1.0} | _pick(given, Filter.__match_args__))
    text_flags = _pick(given, TEXT_FLAGS)
    if other_flags := sorted({*given} if boxes != STORED else {*given, *text_flags}):
        raise ValueError(f"--{', --'.join(other_flags)}: not for --boxes {boxes}")
    if boxes == STORED:
        return Stored(keep)
    return Files(boxes, keep, **{TEXT_FLAGS[flag]: value for flag, value in text_flags.items()})


def _pick(flags: dict, names: Iterable[str]) -> dict:
    """Takes the flags of these names out of `flags`, as far as they are there, and returns them."""
    return {name: flags.pop(name) for name in names if name in flags}


def open_frames(folder: str | pathlib.Path, verify: str = "checksum") -> Dataset:
    """The dataset of frames.

    Args:
      folder: folder of the dataset.
      verify: as for `Dataset`.

    Raises:
      FileNotFoundError, ValueError: as `Dataset`, or it holds something else.
    """
    data = Dataset(folder, verify)
    if data.kind != clips.KIND:
        raise ValueError(
            f"{folder}: holds {data.kind!r}, expected 'frames', as for example "
            "python -m data_prep.ucsd_ped writes them"
        )
    return data
