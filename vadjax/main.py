r"""Trains, evaluates and reports one config.

    python -m vadjax.main --config=configs/ucf_mil.py --workdir=runs/ucf_mil \
        --config.data.dir=DATASET [--mode=evaluate] [--config.train.steps=300]

Without --config.data.dir a config runs on a small built-in toy set. The same command again
resumes; see the README for what a workdir holds.
"""

import sys

from absl import app, flags, logging
from ml_collections import config_flags

_CONFIG = config_flags.DEFINE_config_file("config", None, "FILE[:VARIANT] in configs/, and fields.")
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run; made if it is not there.")
_MODE = flags.DEFINE_enum("mode", "train", ["train", "evaluate"], "What to do.")
_STEP = flags.DEFINE_integer("step", None, "Checkpoint to evaluate (newest, or best if selected).")
flags.mark_flags_as_required(["config", "workdir"])


def main(argv: list[str]) -> None:
    """Hands the flags to the mode's function; bad input ends in one line."""
    if len(argv) > 1:
        sys.exit(f"error: unexpected arguments {argv[1:]}; every flag is --name=value")
    logging.set_verbosity(logging.ERROR)
    from vadjax import evaluate, train  # after the flags: --help is instant

    try:
        if _MODE.value == "train":
            train.run(_CONFIG.value, _WORKDIR.value)
        else:
            evaluate.run(_CONFIG.value, _WORKDIR.value, _STEP.value)
    except (ValueError, OSError, ImportError, FloatingPointError) as error:
        sys.exit(f"error: {error}")


def parse_flags(argv: list[str]) -> list[str]:
    """Reads the flags; a wrong one, a wrong config file, variant or field ends in one line."""
    try:
        return flags.FLAGS(argv)
    except (flags.Error, AttributeError, KeyError, ValueError, TypeError, OSError) as error:
        reason = str(error).strip().splitlines()[-1]  # a config file's error comes as a traceback
        sys.exit(f"error: {reason} (--help lists the flags)")


if __name__ == "__main__":
    app.run(main, flags_parser=parse_flags)
