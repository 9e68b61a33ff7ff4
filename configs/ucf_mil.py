"""MIL ranker on UCF-Crime (TBD docstring)."""

import ml_collections

from configs import common


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """The published run, or `:mini`, `:demo`, `:smoke`."""
    config = common.base("mil")
    config.data.modality = "TWO"
    config.model = {
        "dropout": 0.6,
        "weights": "",
    }
    config.loss = {
        "pairing": "diagonal",
        "segments_used": 30,
        "sparsity": 8e-5,
        "smoothness": 8e-5,
    }
    config.optim = {
        "learning_rate": 1e-3,
        "weight_decay": 0.0010000000474974513,
        "eps": 1e-10,
        "milestones": (25 * 27, 50 * 27),
        "gamma": 0.1,
    }
    config.train.steps = 75 * 27
    config.train.batch = 30
    config.train.evaluate_every = 5 * 27
    config.train.save_every = 5 * 27
    config.eval.expansion = "seed"
    common.variant(variant, {"": _published, "mini": _mini, "demo": _demo, "smoke": _smoke})(config)
    return config


def _published(config):
    pass


def _mini(config):
    config.train.steps = 300
    config.train.batch = 10
    config.train.evaluate_every = config.train.save_every = 50


def _demo(config):
    config.train.steps = 400
    config.train.evaluate_every = config.train.save_every = 50


def _smoke(config):
    config.train.steps = 6
    config.train.batch = 8
    config.train.log_every = 2
    config.train.evaluate_every = config.train.save_every = 3
