"""What the configs of the attributes system share, and what its fields mean (spec attributes)."""

import ml_collections

from vadjax.config import base, small_report

FIELDS = {
    "data.cameras": "one, or prefix: a model for each text before the first underscore of a "
    "video's name",
    "data.every": "every how many frames one is taken; 0 = about ten a second",
    "data.fps": "frames a second of the videos; 0 = as the dataset says, else 10",
    "objects.source": "nanodet (detected), stored (boxes of the dataset) or none",
    "objects.weights": "folder of the detector (python -m data_prep.weights nanodet)",
    "objects.input_mode": "how frames become inputs of the detector: area, stretch or letterbox",
    "objects.threshold": "score that a detected object must exceed",
    "objects.overlap": "IoU from which the lower-scoring of two boxes is left out",
    "objects.moving": "whether what moves and was not detected is an object",
    "objects.camera": "fixed, or moving: the motion of the camera is taken off",
    "objects.map": "features of the look: p3 or c4",
    "attributes.speed": "whether the speed counts",
    "attributes.direction": "of the speed: off, bins (eight directions) or vector",
    "attributes.divide_by_height": "whether speeds are divided by heights of boxes: auto, yes, no",
    "attributes.look": "whether the look counts",
    "attributes.geometry": "whether place and size count",
    "bank.selection": "how exemplars are chosen: farthest, greedy or random",
    "bank.most": "most exemplars of an attribute",
    "bank.threshold": "of greedy: distance from which an object becomes an exemplar",
    "eval.examples": "alarm intervals with pictures, of each video",
    "alarm.per_hour": "alarms an hour of normal video that the alarm line is set to; 0 = the line "
    "that 999 of 1,000 normal frames stay below",
    "fusion": "of the attributes of an object: sum or max",
}


def attributes() -> ml_collections.ConfigDict:
    """The system with the values of spec attributes."""
    config = base("attributes")
    config.train.steps, config.train.batch = 0, 1
    config.data.cameras, config.data.every, config.data.fps = "one", 0, 0.0
    config.objects = {
        "source": "nanodet",
        "weights": "",
        "input_mode": "area",
        "threshold": 0.25,
        "overlap": 0.5,
        "moving": True,
        "camera": "fixed",
        "map": "p3",
    }
    config.attributes = {
        "speed": True,
        "direction": "off",
        "divide_by_height": "auto",
        "look": True,
        "geometry": False,
    }
    config.bank = {"selection": "farthest", "most": 5000, "threshold": 0.5}
    config.fusion = "sum"
    config.alarm = {"per_hour": 0.0}
    config.eval.untrained = False
    config.eval.examples = 2
    return config


def stored(config: ml_collections.ConfigDict) -> None:
    """Boxes of the dataset in place of the detector's."""
    config.objects.source = "stored"


def motion(config: ml_collections.ConfigDict) -> None:
    """Only what moves, with the detector's features."""
    config.objects.source = "none"


def no_detector(config: ml_collections.ConfigDict) -> None:
    """Only what moves, judged by its speed: no weights are needed."""
    config.objects.source = "none"
    config.attributes.look = False


def smoke(config: ml_collections.ConfigDict) -> None:
    """Seconds, on toy scenes, without weights."""
    no_detector(config)
    small_report(config)


def default() -> ml_collections.ConfigDict:
    """All fields of this system's configs, for a run that is used without its config file."""
    return attributes()


VARIANTS = {"yolo": stored, "motion": motion, "nodetector": no_detector, "smoke": smoke}
