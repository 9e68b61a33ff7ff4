"""The objects of a frame: those of a dataset, or those that a detector finds in new video."""

from collections.abc import Mapping

import numpy as np

from vadjax.backbones.detection import Detector
from vadjax.data.objects import ObjectVideo
from vadjax.data.store.records import Description
from vadjax.data.video.crops import rectangles
from vadjax.extractors import detector
from vadjax.systems.ssmtl.stream import FrameObjects


def stored_objects(video: ObjectVideo, number: int, frame: np.ndarray) -> FrameObjects:
    """The objects that a dataset has in the frame of that number."""
    del frame  # its picture is not looked at
    rows = video.rows(number)
    boxes, rectangles_of_boxes = video.objects.boxes[rows], video.objects.rectangles[rows]
    return FrameObjects(boxes, rectangles_of_boxes, video.outputs(rows, ("detector",)))


class Finder:
    """Finds the objects of a video frame by frame, as those of the training were found.

    Args:
      options: section `objects` of the config: `detector` and `weights`, `teacher`; empty ones are
        taken from `described`.
      described: dataset of objects of the training; None if it had boxes alone.
      outputs: number of class outputs that an object has; 0 if there is no such teacher.

    Raises:
      FileNotFoundError: the weights are not there.
      ValueError: no detector is known, or none that has these outputs.
    """

    def __init__(self, options: Mapping[str, str], described: Description | None, outputs: int):
        manifest = described.manifest if described else {}
        self._detector = _open(options, manifest.get("detector", {"name": detector.FILES}))
        self._has_outputs = outputs > 0
        # The class outputs are those of the detector that taught. If the boxes come from another
        # one (other weights), the teacher is opened too.
        self._teacher = None
        settings = (manifest.get("teachers") or {}).get("detector")
        if outputs and settings.get("sha256") != self._detector.settings.get("sha256"):
            weights = {"weights": options["teacher"]} if options["teacher"] else {}
            self._teacher = detector.open(**{**settings, **weights})

    def restart(self) -> None:
        """Begins a video."""
        self._detector.restart()

    def __call__(self, number: int, frame: np.ndarray) -> FrameObjects:
        """The objects of a frame, uint8 [H, W, 3], RGB; frames come in order."""
        del number  # frames come in order
        detections, outputs = self._detector(frame), None
        if self._has_outputs:
            if self._teacher:
                outputs = self._teacher.outputs(frame, detections.boxes)
            else:
                outputs = detections.logits
            # A dataset of objects stores float16, so new video is rounded as the training was.
            outputs = outputs.astype(np.float16).astype(np.float32)
        boxes = detections.boxes
        return FrameObjects(boxes, rectangles(boxes, frame.shape[:2]), outputs)


def _open(options: Mapping[str, str], trained: Mapping) -> Detector:
    """The detector that the config names, or else that of the training, whose settings are given.

    Raises:
      FileNotFoundError: its weights are not there.
      ValueError: the boxes of the training came from files, and the config names no detector.
    """
    name = options["detector"] or trained["name"]
    if name == detector.FILES:
        raise ValueError(
            "the boxes of the training came from files, so there are none for new video. Name a "
            f"detector: --config.objects.detector=NAME, of {detector.KNOWN}, and its weights: "
            "--config.objects.weights=FOLDER"
        )
    # The settings of the training are those of its own detector; another one has its defaults.
    settings = dict(trained) if name == trained["name"] else {"name": name}
    if options["weights"]:
        settings["weights"] = options["weights"]
    return detector.open(**settings)
