r"""EVAL's motion networks: directions, speeds and the still share of volumes (spec eval §3.2).

    python -m data_prep.ucsd_ped --data UCSD_PED2 --out data/ped2
    python -m vadjax.main --config=configs/eval_motion.py --config.data.dir=data/ped2 --workdir=RUN

Three 3-D CNNs on RGB volumes learn what optical flow measures on normal video.
"""

import ml_collections

from configs import common


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """The run of the specification, or `:cpu`, `:smoke`."""
    config = common.base("exemplar_networks")
    config.data.step = (5, 20, 20)
    config.model = {
        "network": "motion",
        "width": 1.0,
        "size": 64,
        "window": (10, 40, 40),
        "tau": 0.3,
        "flow": "dis",
    }
    config.optim = {"learning_rate": 1e-3}
    config.train.steps, config.train.batch, config.train.save_every = 10000, 64, 1000
    config.eval.split = "held out"
    config.eval.batch = 64
    config.eval.held_out, config.eval.volumes = 2, 8192
    common.variant(variant, {"": _published, "cpu": _cpu, "smoke": _smoke})(config)
    return config


def _published(config: ml_collections.ConfigDict) -> None:
    """As `get_config` has it."""


def _cpu(config: ml_collections.ConfigDict) -> None:
    """A quarter of the channels on half the size."""
    config.model.width, config.model.size = 0.25, 32
    config.train.steps, config.train.save_every = 500, 100
    config.eval.volumes = 4096


def _smoke(config: ml_collections.ConfigDict) -> None:
    """Seconds."""
    _cpu(config)
    config.model.width, config.model.window, config.model.size = 0.05, (4, 32, 32), 16
    config.data.step = (4, 32, 32)
    config.train.steps, config.train.batch, config.train.save_every = 2, 4, 1
    config.eval.batch, config.eval.volumes, config.eval.held_out = 8, 16, 1
