"""EVAL on UCSD Ped2: exemplars of every region of one fixed camera (spec eval)."""

import ml_collections

from configs import common


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """The run on optical flow with robust speeds, or a variant."""
    config = exemplar_config(window=(10, 40, 40), step=(5, 20, 20), tau=0.3)
    config.model.version, config.model.motion_feature = "speed", "robust"
    config.model.speeds = ("moving", "fastest", "all")
    config.model.threshold, config.model.neighbours = 0.0, 1
    config.eval.map_rule, config.eval.flag = "mean", 0.3
    config.eval.tracks = "tracks derived from the masks"
    common.variant(variant, VARIANTS)(config)
    return config


def exemplar_config(
    window: tuple[int, int, int], step: tuple[int, int, int], tau: float
) -> ml_collections.ConfigDict:
    """The fields of the system with the values of spec eval."""
    config = common.base("exemplar")
    config.train.steps, config.train.batch = 0, 1
    config.data.cameras = "one"
    config.volume = {"window": window, "step": step}
    config.features = {"dir": ""}
    config.appearance = {"source": "none", "weights": ""}
    config.motion = {
        "source": "flow",
        "flow": "dis",
        "tau": tau,
        "still_threshold": 0.98,
        "weights": "",
    }
    config.model = {
        "version": "motion",
        "motion_feature": "outputs",
        "speeds": ("moving", "fastest", "p99"),
        "threshold": 0.8,
        "neighbours": 0,
        "z_volumes": 20_000,
    }
    config.eval.untrained = False
    config.eval.map_rule, config.eval.sigma = "max", 0.0
    config.eval.flag, config.eval.examples = 2.0, 3
    return config


def _flow(config: ml_collections.ConfigDict) -> None:
    """As `get_config` has it."""


VARIANTS = {"": _flow}
