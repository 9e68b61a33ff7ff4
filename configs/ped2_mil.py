r"""MIL ranker on UCSD Ped2 with video-level labels."""

import ml_collections

from configs import common, ucf_mil


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """The run of one split, or `:smoke`."""
    config = ucf_mil.get_config()
    config.loss.segments_used = 32
    config.train.steps = 300
    config.train.batch = 4
    config.train.evaluate_every = config.train.save_every = 0
    config.eval.expansion = "even"
    common.variant(variant, {"": _whole, "smoke": _smoke})(config)
    return config


def _whole(config: ml_collections.ConfigDict) -> None:
    """As `get_config` has it."""


def _smoke(config: ml_collections.ConfigDict) -> None:
    config.train.steps = 6
    config.train.log_every = 2
    config.train.evaluate_every = config.train.save_every = 3
