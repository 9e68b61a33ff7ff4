"""Opening a detector of objects by its name (spec ssmtl §2, §10, §11).

    detect = detector.open("ssd_mobilenet_v2", weights="weights/ssd_mobilenet_v2")
    detect.restart()                            # before the first frame of a video
    detections = detect(frame)                  # uint8 [H, W, 3], RGB → detection.Detections

The manifest of a dataset of objects keeps the settings of its detector, which open the same one
again: `detector.open(**dataset.manifest["detector"])`.
"""

import inspect
import pathlib
from collections.abc import Callable

from vadjax.backbones import dnn_detector, motion_boxes, ssd
from vadjax.backbones.detection import Detector
from vadjax.extractors import nanodet

KINDS = {
    nanodet.NAME: nanodet.NanoDetDetector,
    ssd.NAME: ssd.Ssd,
    motion_boxes.NAME: motion_boxes.MotionBoxes,
}
FILES = "boxes"  # the name of boxes that were read from files
KNOWN = f"{', '.join(KINDS)}, or a file {' or '.join(f'*{end}' for end in dnn_detector.ENDINGS)}"


def open(name: str, **settings) -> Detector:
    """The detector of that name, ready for the first frame.

    Args:
      name: a name of `KINDS`, or an ONNX or TFLite file.
      **settings: arguments of its class; others keep the default of the class.

    Raises:
      FileNotFoundError: the file of its weights is missing.
      ValueError: no such detector, a setting that it does not have or that is out of range, or
        weights that it cannot use.
    """
    make, options = _kind(name), _options(_kind(name))
    if alien := sorted(set(settings) - set(options)):
        raise ValueError(
            f"--{', --'.join(alien)}: not for the detector {name}; it has "
            f"{', '.join(f'--{option}' for option in options if option != 'sha256')}"
        )
    for option, parameter in options.items():
        if parameter.default is parameter.empty and option not in settings:
            raise ValueError(f"the detector {name} needs --{option}")
    return make(**settings) if name in KINDS else make(name, **settings)


def _kind(name: str) -> Callable[..., Detector]:
    """The class of the detector of that name."""
    if name == FILES:
        raise ValueError(
            "the boxes came from files, so there are none for other frames; name a detector to "
            f"find them: {KNOWN}"
        )
    if name not in KINDS and pathlib.Path(name).suffix.lower() not in dnn_detector.ENDINGS:
        raise ValueError(f"detector {name!r}; expected {KNOWN}")
    return KINDS.get(name, dnn_detector.DnnDetector)


def _options(make: Callable) -> dict[str, inspect.Parameter]:
    """Arguments of a detector's class, but for its name."""
    parameters = dict(inspect.signature(make).parameters)
    parameters.pop("name", None)
    return parameters
