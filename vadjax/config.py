"""What all configs share: their sections, their variants, and what each field means.

A file of `configs/` fills in the sections of `base`; what several files of one system share stands
in `vadjax/systems/NAME/presets.py`. So a config file imports from `vadjax` alone, and can lie
anywhere. This module and the presets import no JAX, so that `--help` is instant.
"""

import contextlib
import difflib
import importlib
import re
from collections.abc import Callable, Collection, Mapping

import ml_collections

NAME = re.compile(r"[a-z_0-9]+")  # of a folder in vadjax/systems

# Every field of the shared sections, and what it means.
FIELDS = {
    "system": "name of a folder of vadjax/systems",
    "seed": "of everything that is drawn: parameters, order of the data, dropout",
    "data.dir": 'folder of the dataset; "" = the built-in toy set',
    "data.verify": "checksum (read every shard and compare) or size (of large datasets)",
    "data.threads": "threads that read and decode",
    "data.prefetch": "batches that are made ahead",
    "runtime.plain_ops": "whether the forms of operations for CPU are off (vadjax/ops/forms.py)",
    "train.steps": "training steps; 0 = none",
    "train.batch": "examples of a step, over all devices and processes",
    "train.precision": "type of the arithmetic: float32, bfloat16, or float64 (JAX_ENABLE_X64=1)",
    "train.log_every": "steps between two lines of scalars",
    "train.evaluate_every": "steps between two evaluations; 0 = only at the end",
    "train.save_every": "steps between two checkpoints; 0 = only at the end",
    "train.keep": "number of recent checkpoints to keep",
    "train.fsdp": "whether the devices share out parameters and the optimiser's state too",
    "train.profile": "whether a trace of a few steps is written to WORKDIR/profile",
    "train.devices": "devices to use; 0 = all",
    "eval.split": "split that is scored and measured",
    "eval.batch": "videos that are scored at once",
    "eval.select_on_test": "whether the test split selects the step that is reported",
    "eval.select_by": "figure that selects the step",
    "eval.threshold": "score from which a frame counts as flagged",
    "eval.pairings": "drawings of normal and anomalous videos for the AUC of pairs",
    "eval.pair_seed": "of these drawings",
    "eval.untrained": "whether the first state is scored too, for comparison",
    "eval.alpha": "share of a track that must be found (spec metrics §3)",
    "eval.beta": "overlap from which a region finds a box (spec metrics §3)",
    "eval.thresholds": "thresholds of the curves over regions, where scores have maps or boxes",
    "eval.min_area": "pixels of the smallest region that is made of a map",
    "eval.tracks": "what the report says of where the tracks are from",
    "report.videos": "curves of so many of the best and the worst videos",
    "report.windows": "so many highest- and lowest-scoring pictures of predicted frames; 0 = none",
    "report.reasons": "so many of the highest-scoring events are explained; 0 = none",
    "report.film": "whether the page of a report has films of videos whose frames are at hand",
}

# The fields of the systems that learn from bags of features.
BAG_FIELDS = {
    "data.modality": "columns of the features: TWO (all), or one stream of the dataset: RGB, FLOW",
    "features.weights": 'network for new video (data_prep.weights): a folder; "RGB,FLOW" for two',
    "features.crops": "of new video, where the dataset does not say: centre, ten, …",
    "features.step": "frames between two snippets of new video, where the dataset does not say",
    "features.normalisation": 'of new video, where the dataset does not say; "" = the network\'s',
    "features.flow": 'optical flow of new video, where the dataset does not say; "" = the default',
    "eval.expansion": "rule from scores of snippets to scores of frames",
    "eval.held_out": "share of the training videos of each label that selects the step; 0 = none",
}


def base(system: str) -> ml_collections.ConfigDict:
    """A config of `system` with the shared sections; `FIELDS` says what each field means."""
    # Defaults, which the presets of a system and the config files replace where they need to.
    config = ml_collections.ConfigDict()
    config.system = system
    config.seed = 0
    config.data = {"dir": "", "verify": "checksum", "threads": 2, "prefetch": 2}
    config.runtime = {"plain_ops": False}
    # How it is trained, how often it says and saves something, and on what devices.
    config.train = {
        "steps": 1000,
        "batch": 32,
        "precision": "float32",
        "log_every": 10,
        "evaluate_every": 0,
        "save_every": 500,
        "keep": 3,
        "fsdp": False,
        "profile": False,
        "devices": 0,
    }
    # What is scored and measured, and by which constants of the metrics.
    config.eval = {
        "split": "test",
        "batch": 512,
        "select_on_test": False,
        "select_by": "auc",
        "threshold": 0.5,
        "pairings": 10,
        "pair_seed": 0,
        "untrained": True,
        "alpha": 0.1,
        "beta": 0.1,
        "thresholds": 200,
        "min_area": 1,
        "tracks": "",
    }
    # How much the report shows of each kind.
    config.report = {"videos": 12, "windows": 4, "reasons": 6, "film": True}
    return config


def features() -> dict:
    """Section `features` of a system of bags: how new video becomes features (`BAG_FIELDS`)."""
    return {"weights": "", "crops": "centre", "step": 16, "normalisation": "", "flow": ""}


def small_report(config: ml_collections.ConfigDict) -> None:
    """Sets the report to one picture of each kind: drawing takes much of a run of a few steps."""
    config.report = {"videos": 1, "windows": 1, "reasons": 1, "film": False}


def apply_variant(
    config: ml_collections.ConfigDict, name: str, variants: Mapping[str, Callable]
) -> ml_collections.ConfigDict:
    """The config, changed by the variant that `--config=FILE:NAME` names.

    Args:
      config: as it is without a variant; it is changed in place.
      name: of the variant; "" leaves the config as it is, unless `variants` has a function for it.
      variants: name → function that changes a config.

    Raises:
      ValueError: no variant of that name; the message names the nearest.
    """
    if name and name not in variants:
        have = ", ".join(f":{variant}" for variant in variants if variant)
        hint = suggestion(name, variants, ":{}")
        raise ValueError(f"no variant :{name} of this config; it has {have}{hint}")
    if name in variants:
        variants[name](config)
    return config


def descriptions(system: str) -> dict[str, str]:
    """What each field of the system's configs means: dotted name → one line.

    A system without presets has the shared fields alone.
    """
    name = f"vadjax.systems.{system}.presets"
    try:
        return FIELDS | importlib.import_module(name).FIELDS
    except ModuleNotFoundError as error:
        if error.name is None or not name.startswith(error.name):
            raise  # the presets are there, but what they import is not
        return dict(FIELDS)


def default(system: str, fields: Collection[str] | None = None) -> ml_collections.ConfigDict:
    """The config that those of a system begin with: all its fields, each with a value of its type.

    Args:
      system: name of a folder of vadjax/systems; nothing else is imported.
      fields: dotted names of the fields of a config. Those that the system calls `OPTIONAL` are
        left out if they are not among these; None leaves out none.

    Raises:
      ValueError: no such system, or one without a config that its runs share.
    """
    presets = None
    if NAME.fullmatch(system):
        with contextlib.suppress(ModuleNotFoundError):
            presets = importlib.import_module(f"vadjax.systems.{system}.presets")
    if not hasattr(presets, "default"):
        raise ValueError(f"system {system!r:.80} has no default config in vadjax")
    config = presets.default()
    for name in getattr(presets, "OPTIONAL", ()):
        section, field = name.split(".")
        if fields is not None and name not in fields:
            del config[section][field]
    return config


def expect_one_of(field: str, value: str, known: Collection[str]) -> None:
    """Raises ValueError unless a field's value is a known one; the message names the nearest.

    Args:
      field: dotted name of the field of a config.
      value: what it is.
      known: what it may be.
    """
    if value not in known:
        raise ValueError(
            f"{field} is {value!r}; expected one of {', '.join(known)}{suggestion(value, known)}"
        )


def suggestion(name: str, known: Collection[str], form: str = "{!r}") -> str:
    """The end of a message, `"; did you mean 'NEAREST'?"`; empty if no known name is near.

    Args:
      name: what was given.
      known: what it could have been.
      form: how the nearest is shown, for `str.format`.
    """
    nearest = difflib.get_close_matches(str(name), known, 1)
    return f"; did you mean {form.format(nearest[0])}?" if nearest else ""
