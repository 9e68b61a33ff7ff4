"""LGN-Net on UCSD Ped2: frame prediction with a memory and a motion branch (spec lgn_net).

    python -m data_prep.ucsd_ped --data UCSD_PED2 --out data/ped2 --size 256x256
    python -m vadjax.main --config=configs/ped2_lgn.py --config.data.dir=data/ped2 --workdir=RUN

60 epochs of 414 steps at 256 × 256 need a GPU. `:short` takes 32 minutes of one core.

    figure                                             paper     original program   here
    micro AUC, Ped2, 256 × 256                         97.1 %    -                  not measured
    micro AUC, Ped2, 64 × 64, 194 steps (:short)       -         0.8186 (one run)   0.8187 (3 seeds)

Variants:
    :short  the measured run of the original (spec §9): 64 × 64, 194 steps of 4 windows, constant
            rate
    :demo   a quarter of the channels, 300 steps, for the toy scenes
    :smoke  2 steps, for tests

Quirks of the original, each a field with its value as default (spec §7): model.read_gradient
(False; sane: True), model.decoder_input ("read"; sane: "query_and_read"), model.temperature (1.0:
nearly flat reads), loss.decay (0: no moving average of the memory), eval.test_update ("stream": the
memory learns from the test videos in their order; sane: "off"), eval.held_out (0: trained on all
normal video; with n the last n training videos are kept out and give the limits on line).
"""

import ml_collections

from vadjax import config as common

WINDOWS = 2486  # of five frames in the training videos


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """The published run, or `:short`, `:demo`, `:smoke`."""
    config = common.base("lgn")
    config.model = {
        "variant": "lgn",
        "memory_items": 10,
        "weights": "",
        "local_branch": "stlstm",
        "decoder_input": "read",
        "read_gradient": False,
        "temperature": 1.0,
        "output": "frame",
        "width": 64,
    }
    config.loss = {"compactness_weight": 10.0, "separateness_weight": 5.0, "decay": 0.0}
    config.optim = {"learning_rate": 2e-4}
    config.train.log_every = 1
    length(config, windows=WINDOWS, epochs=60, batch=6)
    config.eval.batch = 4
    config.eval.untrained = False  # the baseline to beat is copy_previous, which is always printed
    config.eval.score_weight = 0.6
    config.eval.gamma = 0.009
    config.eval.test_update = "stream"
    config.eval.limit_videos = 2
    config.eval.held_out = 0
    common.variant(variant, VARIANTS)(config)
    return config


def length(config: ml_collections.ConfigDict, windows: int, epochs: int, batch: int) -> None:
    """Trains for `epochs` of `windows`, the last incomplete batch left out; saves after each.

    The rate is annealed over `optim.epochs` equal parts of `train.steps` (0: it is constant).
    """
    config.train.batch, config.optim.epochs = batch, epochs
    config.train.save_every = windows // batch
    config.train.steps = epochs * config.train.save_every


def elsewhere(variant: str, windows: int, epochs: int) -> ml_collections.ConfigDict:
    """The same program on another dataset: the published run, `:demo` or `:smoke`."""
    config = get_config()
    length(config, windows, epochs, batch=6)
    common.variant(variant, {name: VARIANTS[name] for name in ("", "demo", "smoke")})(config)
    return config


def _published(config: ml_collections.ConfigDict) -> None:
    """As `get_config` has it."""


def _short(config: ml_collections.ConfigDict) -> None:
    """The protocol of spec §9."""
    config.optim.epochs = 0  # constant rate
    config.train.steps, config.train.batch, config.train.save_every = 194, 4, 50


def quick(config: ml_collections.ConfigDict) -> None:
    """A quarter of the channels, and a network that starts as a copy of the last frame."""
    config.model.width, config.model.output = 16, "residual"


def _demo(config: ml_collections.ConfigDict) -> None:
    """Minutes on a CPU, on the toy scenes."""
    _short(config)
    quick(config)
    config.train.steps = 300


def _smoke(config: ml_collections.ConfigDict) -> None:
    _short(config)
    common.small_report(config)
    config.model.width = 8
    config.train.steps, config.train.batch, config.train.save_every = 2, 2, 1
    config.eval.limit_videos = 1


VARIANTS = {"": _published, "short": _short, "demo": _demo, "smoke": _smoke}
