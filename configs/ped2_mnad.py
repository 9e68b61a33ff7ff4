"""MNAD on UCSD Ped2, prediction or reconstruction: the baseline of LGN-Net (spec lgn_net §5).

    python -m data_prep.ucsd_ped --data UCSD_PED2 --out data/ped2 --size 256x256
    python -m vadjax.main --config=configs/ped2_mnad.py --config.data.dir=data/ped2 --workdir=RUN

    figure                                             paper     original program   here
    micro AUC, Ped2, prediction, 256 × 256             97.0 %    89-96 % (re-runs)  not measured
    micro AUC, Ped2, reconstruction, 256 × 256         90.2 %    87-88 % (re-runs)  not measured
    micro AUC, Ped2, prediction, 64 × 64 (:short)      -         0.8602 (one run)   0.8663 (3 seeds)
    micro AUC, Ped2, prediction, 128 × 128 (:cpu)      -         -                  0.9545 (2 seeds)

Variants: `:reconstruction`; `:cpu`; `:short`, `:demo`, `:smoke` as in `configs/ped2_lgn.py`.

`:cpu` is for a dataset made with `--size 128x128`, 21 minutes of one core: a quarter of the
channels, the prediction is a correction of the last frame, and the score is its PSNR alone.
"""

import ml_collections

from vadjax.config import apply_variant
from vadjax.systems.lgn import presets


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """The published prediction run, or a variant."""
    config = presets.lgn(presets.PED2_WINDOWS, epochs=60)
    config.model = {
        "variant": "mnad_prediction",
        "memory_items": 10,
        "weights": "",
        "read_gradient": False,
        "temperature": 1.0,
        "output": "frame",
        "width": 64,
    }
    config.loss.compactness_weight = config.loss.separateness_weight = 0.1
    presets.length(config, presets.PED2_WINDOWS, epochs=60, batch=4)
    config.eval.gamma = 0.01
    own = {"reconstruction": _reconstruction, "cpu": _cpu}
    return apply_variant(config, variant, presets.PED2_VARIANTS | own)


def _reconstruction(config: ml_collections.ConfigDict) -> None:
    """One frame in, the same frame out; the code's rate, 2e-4 (the paper's is 2e-5)."""
    config.model.variant = "mnad_reconstruction"
    config.loss.compactness_weight = config.loss.separateness_weight = 0.01
    config.eval.score_weight, config.eval.gamma = 0.7, 0.015


def _cpu(config: ml_collections.ConfigDict) -> None:
    """For frames of 128 × 128."""
    presets.quick(config)
    config.optim.epochs = 0  # constant rate
    config.train.steps, config.train.save_every = 2000, 500
    config.eval.score_weight, config.eval.test_update = 1.0, "off"
