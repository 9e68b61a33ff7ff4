r"""EVAL's motion networks: directions, speeds and the still share of volumes (spec eval §3.2).

    python -m data_prep.ucsd_ped --data UCSD_PED2 --out data/ped2
    python -m vadjax.main --config=configs/exemplar_motion_network.py \
        --config.data.dir=data/ped2 --workdir=RUN

Three 3-D CNNs on RGB volumes learn what optical flow measures on normal video. 10,000 steps at the
full width need a GPU. `:cpu` has a quarter of the channels on volumes of 32 × 32: 500 steps of 64
in 12 minutes of one core, optical flow included.

    figure, real Ped2, :cpu, seed 0             paper  original program  here    best constant
    main direction right, moving volumes        -      -                 0.686   0.641
    the same within 30 degrees                  -      -                 0.891   0.244
    mean error of the speed, px/frame           -      -                 0.063   0.059
    mean error of the still share, all volumes  -      -                 0.028   0.127

(4,096 volumes of the last 2 training videos, which were not trained on; 1,333 of them move.) After
so short a training the still share and the directions are learnt, the speeds are not: nearly all
of Ped2's walkers have one speed. A constant is chosen on the training videos.

On the built-in scenes, where speeds differ more, 300 steps (7 minutes of one core) with
`--config.train.steps=300 --config.model.window='(10,32,32)' --config.data.step='(2,16,16)'
--config.eval.held_out=1` give 0.584 (best constant 0.344), 0.933 (0.618), 0.099 (0.298) and 0.028
(0.161); 793 of 2,496 volumes move.

Variants:
    :cpu    as above
    :smoke  2 steps, for tests
"""

import ml_collections

from vadjax.config import apply_variant, base


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """The run of the specification, or `:cpu`, `:smoke`."""
    config = base("exemplar_networks")
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
    return apply_variant(config, variant, {"cpu": _cpu, "smoke": _smoke})


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
