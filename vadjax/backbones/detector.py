"""Opening a detector of objects by its name (spec ssmtl §2, §10, §11).

    detect = detector.open("ssd_mobilenet_v2", weights="weights/ssd_mobilenet_v2")
    detect.restart()                            # before the first frame of a video
    found = detect(frame)                       # uint8 [H, W, 3], RGB → detection.Detections

What a dataset of objects says of its detector (`Dataset.manifest["detector"]`) opens the same one
again: `detector.open(**found)`.
"""

import inspect
import pathlib
from collections.abc import Callable

from vadjax.backbones import dnn_detector, motion_boxes, ssd
from vadjax.backbones.detection import Detector

KINDS = {ssd.NAME: ssd.Ssd, motion_boxes.NAME: motion_boxes.MotionBoxes}
FILES = "boxes"  # the name of boxes that were read from files
KNOWN = f"{', '.join(KINDS)}, or a file {' or '.join(f'*{end}' for end in dnn_detector.ENDINGS)}"


def open(name: str, **settings) -> Detector:
    """The detector of that name, ready for the first frame.

    Args:
      name: a name of `KINDS`, or an ONNX or TFLite file.
      **settings: arguments of its class; what is not given has the default of the class.

    Raises:
      FileNotFoundError: the file of its weights is not there.
      ValueError: no such detector, a setting that is not its own or out of range, or weights that
        it cannot use.
    """
    make, own = _kind(name), _options(_kind(name))
    if alien := sorted(set(settings) - set(own)):
        raise ValueError(
            f"--{', --'.join(alien)}: not for the detector {name}; it has "
            f"{', '.join(f'--{option}' for option in own if option != 'sha256')}"
        )
    for option, value in own.items():
        if value.default is value.empty and option not in settings:
            raise ValueError(f"the detector {name} needs --{option}")
    return make(**settings) if name in KINDS else make(name, **settings)


def _kind(name: str) -> Callable[..., Detector]:
    if name == FILES:
        raise ValueError(
            "the boxes came from files, so there are none for other frames; name a detector to "
            f"find them: {KNOWN}"
        )
    if name not in KINDS and pathlib.Path(name).suffix.lower() not in dnn_detector.ENDINGS:
        raise ValueError(f"detector {name!r}; expected {KNOWN}")
    return KINDS.get(name, dnn_detector.DnnDetector)


def _options(make: Callable) -> dict[str, inspect.Parameter]:
    found = dict(inspect.signature(make).parameters)
    found.pop("name", None)
    return found
