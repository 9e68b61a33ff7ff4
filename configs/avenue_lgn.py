"""LGN-Net on CUHK Avenue: 16 training and 21 test videos (spec lgn_net).

    python -m data_prep.avenue --data AVENUE --out data/avenue --size 256x256
    python -m vadjax.main --config=configs/avenue_lgn.py --config.data.dir=data/avenue --workdir=RUN

60 epochs of 2,544 steps of 6 windows at 256 × 256 need a GPU.

    figure                        paper     original program   here
    micro AUC, Avenue             89.3 %    -                  not measured

The weight of the PSNR (eval.score_weight) and the threshold of the test-time update (eval.gamma)
that the paper used for Avenue are not published; these are the program's defaults (spec §4).

Variants: `:demo`, `:smoke` as in `configs/ped2_lgn.py`, whose quirks this has too.
"""

import ml_collections

from vadjax.config import apply_variant
from vadjax.systems.lgn import presets

WINDOWS = 15328 - 16 * 4  # of five frames in the training videos


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """The published run, or a variant."""
    return apply_variant(presets.lgn(WINDOWS, epochs=60), variant, presets.VARIANTS)
