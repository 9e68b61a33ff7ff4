"""The objects of new video: boxes of a detector, and what the detector taught of them."""

from collections.abc import Mapping

import numpy as np

from vadjax.backbones import detector
from vadjax.backbones.detection import Detector
from vadjax.data.store.records import Description
from vadjax.data.video.crops import rectangles
from vadjax.systems.ssmtl.stream import Seen


class Finder:
    """Finds the objects of a video frame by frame, as those of the training were found.

    Args:
      options: section `objects` of the config: `detector` and `weights`, `teacher`; empty ones are
        taken from `described`.
      described: dataset of objects of the training; None where it had boxes alone.
      outputs: class outputs that an object has.

    Raises:
      FileNotFoundError: weights that are not there.
      ValueError: no detector is known, or none that has these outputs.
    """

    def __init__(self, options: Mapping[str, str], described: Description | None, outputs: int):
        manifest = described.manifest if described else {}
        self._detector = _open(options, manifest.get("detector", {"name": detector.FILES}))
        self._teacher = None
        taught = (manifest.get("teachers") or {}).get("detector")
        if outputs and taught.get("sha256") != self._detector.settings.get("sha256"):
            weights = {"weights": options["teacher"]} if options["teacher"] else {}
            self._teacher = detector.open(**{**taught, **weights})
        self._has_outputs = outputs > 0

    def restart(self) -> None:
        """Begins a video."""
        self._detector.restart()

    def __call__(self, number: int, frame: np.ndarray) -> Seen:
        """The objects of a frame, uint8 [H, W, 3], RGB; frames come in order."""
        del number
        found, taught = self._detector(frame), None
        if self._has_outputs:
            own = self._teacher.outputs(frame, found.boxes) if self._teacher else found.logits
            taught = own.astype(np.float16).astype(np.float32)  # as in a dataset of objects
        return Seen(found.boxes, rectangles(found.boxes, frame.shape[:2]), taught)


def _open(options: Mapping[str, str], known: Mapping) -> Detector:
    """The detector that the config names, or else that of the training."""
    name = options["detector"] or known["name"]
    if name == detector.FILES:
        raise ValueError(
            "the boxes of the training came from files, so there are none for new video. Name a "
            f"detector: --config.objects.detector=NAME, of {detector.KNOWN}, and its weights: "
            "--config.objects.weights=FOLDER"
        )
    settings = dict(known) if name == known["name"] else {"name": name}
    if options["weights"]:
        settings["weights"] = options["weights"]
    return detector.open(**settings)
