"""Which fields of a config may differ from those of the run that is resumed, evaluated or used.

One table for all programs. A row speaks for one field, or (`section.*`) for all fields of a section
that have no row of their own.
"""

from typing import Literal, NamedTuple

Use = Literal["resume", "evaluate", "predict"]


class Rule(NamedTuple):
    """Whether a field may differ from the run's.

    Attributes:
      resume: when training goes on. Such a field changes no number of the run.
      evaluate: when a checkpoint is scored again.
      predict: when new video is scored; else the run's own value is taken.
    """

    resume: bool
    evaluate: bool
    predict: bool


FREE = Rule(True, True, True)  # changes no number
MEASURING = Rule(False, True, True)  # how scores are made and shown
NEW_VIDEO = Rule(False, False, True)  # how what a network takes is made from new video
DATASET = Rule(False, True, False)  # a checkpoint may be scored on other data
FIXED = Rule(False, False, False)  # what is learned depends on it

RULES: dict[str, Rule] = {
    "system": FIXED,
    "seed": FIXED,
    "data.dir": DATASET,
    "data.prefetch": FREE,
    "data.threads": FREE,
    "data.verify": FREE,
    "data.cameras": FIXED,
    "data.every": FIXED,
    "data.fps": DATASET,
    "data.*": MEASURING,
    "runtime.plain_ops": FREE,
    "train.devices": FREE,
    "train.fsdp": FREE,
    "train.keep": FREE,
    "train.log_every": FREE,
    "train.profile": FREE,
    "train.save_every": FREE,
    "train.*": FIXED,
    "eval.*": MEASURING,
    "report.*": MEASURING,
    "features.*": NEW_VIDEO,
    "objects.source": FIXED,
    "objects.reach": FIXED,
    "objects.input_mode": FIXED,
    "objects.threshold": FIXED,
    "objects.overlap": FIXED,
    "objects.moving": FIXED,
    "objects.camera": FIXED,
    "objects.map": FIXED,
    "objects.*": NEW_VIDEO,
    "attributes.*": FIXED,
    "bank.*": FIXED,
    "alarm.*": FIXED,
    "fusion": FIXED,
    "model.*": FIXED,
    "optim.*": FIXED,
    "loss.*": FIXED,
    "volume.*": FIXED,
    "appearance.*": FIXED,
    "motion.*": FIXED,
}
# Fields of the measuring that scores of frames depend on, and with them an alarm line.
OF_SCORES = ("eval.map_rule", "eval.sigma")
# Fields that runs of an older vadjax lack, and the value that these were made with.
ADDED = {
    "alarm.per_hour": 0.0,
    "objects.reach": 8,
    "report.film": True,
    "runtime.plain_ops": False,
}
HARMLESS = tuple(name for name, rule in RULES.items() if rule.resume)


def rows_of(name: str) -> list[str]:
    """The row that decides on a field, as a list; empty if neither it nor its section is listed.

    Args:
      name: of the field, dotted, such as `train.steps`.
    """
    if name in RULES:
        return [name]
    section = f"{name.partition('.')[0]}.*"
    return [section] if section in RULES and "." in name else []


def may_differ(name: str, use: Use) -> bool:
    """Whether a field may differ. Fields without a row, of users' own systems, may not."""
    rule = RULES[rows_of(name)[0]] if rows_of(name) else FIXED
    return getattr(rule, use)
