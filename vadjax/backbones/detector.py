"""Opening a detector of objects by its name (spec ssmtl §2, §10, §11).

    detect = detector.open("ssd_mobilenet_v2", weights="weights/ssd_mobilenet_v2")
    found = detect(frame)                       # uint8 [H, W, 3], RGB → detection.Detections

What a dataset of objects says of its detector (`Dataset.manifest["detector"]`) opens the same one
again: `detector.open(**found)`.
"""

import inspect

from vadjax.backbones import ssd
from vadjax.backbones.detection import Detector

KINDS = {ssd.NAME: ssd.Ssd}
FILES = "boxes"  # the name of boxes that were read from files


def open(name: str, **settings) -> Detector:
    """The detector of that name, ready for the first frame.

    Args:
      name: a name of `KINDS`.
      **settings: arguments of its class; what is not given has the default of the class.

    Raises:
      FileNotFoundError: the file of its weights is not there.
      ValueError: no such detector, a setting that is not its own or out of range, or weights that
        it cannot use.
    """
    if name == FILES:
        raise ValueError(
            "the boxes came from files, so they are not known for other frames; name a detector: "
            f"{', '.join(KINDS)}"
        )
    if name not in KINDS:
        raise ValueError(f"detector {name!r}; expected one of {', '.join(KINDS)}")
    own = inspect.signature(KINDS[name]).parameters
    if alien := sorted(set(settings) - set(own)):
        raise ValueError(f"--{', --'.join(alien)}: not for the detector {name}; it has "
                         f"{', '.join(f'--{option}' for option in own)}")  # fmt: skip
    missing = [key for key, value in own.items() if value.default is value.empty]
    if missing := [key for key in missing if key not in settings]:
        raise ValueError(f"the detector {name} needs --{missing[0]}")
    return KINDS[name](**settings)
