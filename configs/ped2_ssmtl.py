"""SSMTL on UCSD Ped2 (draft)."""

import ml_collections

from configs import common


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """The published run, or `:short`, `:smoke`."""
    config = common.base("ssmtl")
    config.data.objects = ""  # dataset of objects; "" = the boxes that the frames come with
    config.model = {
        "trunk": "deep_wide",
        "tasks": ("arrow", "irregularity", "middle", "distillation"),
        "size": 64,
        "time_pooling": "max",
        "middle_output": "linear",
        "momentum": 0.99,
    }
    config.loss = {"distillation_weight": 0.2}
    config.optim = {"learning_rate": 1e-3, "schedule": "constant"}
    config.train.batch = 128
    config.eval.untrained = False
    config.eval.batch = 128
    config.eval.held_out = 0.0
    config.eval.held_out_objects = 1024
    config.eval.normal_objects = 512
    config.eval.distillation_space = "logits"
    config.eval.filter = 9
    config.eval.sigma = 21.0
    config.eval.length = 301
    config.eval.gaussian = "centred"
    config.eval.flag = 4.0
    common.variant(variant, {"": _published, "short": _short, "smoke": _smoke})(config)
    return config


def _published(config: ml_collections.ConfigDict) -> None:
    config.train.steps = 30 * 250


def _short(config: ml_collections.ConfigDict) -> None:
    config.model.trunk = "shallow_narrow"
    config.optim.schedule = "cosine"
    config.train.batch = 64
    config.train.steps = 1500
    config.train.save_every = 250


def _smoke(config: ml_collections.ConfigDict) -> None:
    _short(config)
    config.train.batch = 4
    config.train.steps, config.train.save_every, config.train.log_every = 3, 2, 1
    config.eval.normal_objects = 16
