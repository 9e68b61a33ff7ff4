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

from vadjax.config import apply_variant
from vadjax.systems.lgn import presets


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """The published run, or `:short`, `:demo`, `:smoke`."""
    config = presets.lgn(presets.PED2_WINDOWS, epochs=60)
    return apply_variant(config, variant, presets.PED2_VARIANTS)
