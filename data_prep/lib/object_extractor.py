"""From the frames of a video to the objects in them; what data_prep.extract_objects runs."""

import pathlib
from collections.abc import Callable

import numpy as np

from vadjax.backbones import detector
from vadjax.backbones.detection import Detections, Detector, Filter
from vadjax.data import clips
from vadjax.data.clips import Video
from vadjax.data.store.object_writer import VideoObjects
from vadjax.data.store.records import Dataset

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


def open_extractor(
    *,
    teachers_named: str | None = None,
    teacher_size: int | None = None,
    classifier: str | None = None,
    classifier_mean: tuple[float, ...] | None = None,
    classifier_std: tuple[float, ...] | None = None,
    every: int = 1,
    **given,
) -> Extractor:
    """The extractor that the command's flags ask for.

    Raises:
      FileNotFoundError: a file is not there.
      ValueError: something that cannot be used; the message names it.
    """
    own = {"side": teacher_size, "mean": classifier_mean, "deviation": classifier_std}
    own = {key: value for key, value in own.items() if value is not None}
    named = teachers.parse(teachers_named) if teachers_named else {}
    boxes = open_boxes(given)
    teacher, classes = teachers.open_teachers(named, classifier, **own)
    if teacher and teacher.settings["sha256"] == boxes.settings.get("sha256"):
        teacher = None  # the boxes' own outputs are its
    return Extractor(boxes, teacher, classes, every)


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
    text = _pick(given, TEXT_FLAGS)
    if alien := sorted({*given} if boxes != STORED else {*given, *text}):
        raise ValueError(f"--{', --'.join(alien)}: not for --boxes {boxes}")
    if boxes == STORED:
        return Stored(keep)
    return Files(boxes, keep, **{TEXT_FLAGS[flag]: value for flag, value in text.items()})


def _pick(given: dict, names) -> dict:
    """Takes these names out of `given`."""
    return {name: given.pop(name) for name in names if name in given}


def open_frames(folder: str | pathlib.Path, verify: str = "checksum") -> Dataset:
    """The dataset of frames.

    Args:
      folder: of it.
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
