r"""EVAL's appearance network: which of eight outdoor classes an image shows (spec eval §3.1).

python -m vadjax.main --config=configs/eval_appearance.py:cpu --workdir=RUN
"""

import ml_collections

from configs import common
from vadjax.backbones.appearance import CLASSES


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """The run of the specification, or `:cpu`, `:smoke`."""
    config = common.base("exemplar_networks")
    config.model = {
        "network": "appearance",
        "architecture": "resnext50",
        "classes": CLASSES,
        "blocks": 1,
        "size": 64,
        "weights": "",
    }
    config.optim = {"learning_rate": 1e-3}
    config.train.steps, config.train.batch, config.train.save_every = 20000, 64, 1000
    config.eval.split = "test"
    config.eval.batch, config.eval.images = 64, 4000
    common.variant(variant, {"": _published, "cpu": _cpu, "smoke": _smoke})(config)
    return config


def _published(config: ml_collections.ConfigDict) -> None:
    """As `get_config` has it."""


def _cpu(config: ml_collections.ConfigDict) -> None:
    """The small residual network."""
    config.model.architecture = "small"
    config.train.steps, config.train.save_every = 2000, 500
    config.eval.images = 2000


def _smoke(config: ml_collections.ConfigDict) -> None:
    """Seconds."""
    _cpu(config)
    config.train.steps, config.train.batch, config.train.save_every = 2, 4, 1
    config.eval.batch, config.eval.images = 8, 32
