r"""EVAL on Street Scene: 46 training and 35 test sequences of one camera (spec eval).

    python -m data_prep.street_scene --data STREET_SCENE --out data/street_scene --encoding jpeg
    python -m vadjax.main --config=configs/street_scene_exemplar.py \
        --config.data.dir=data/street_scene --workdir=RUN

or stage by stage, on many machines: python -m vadjax.systems.exemplar --help

    figure              paper                       original program   here
    RBDC                about 24.3 (unconfirmed)    not public         not measured
    TBDC                about 64.5 (unconfirmed)    not public         not measured

Without a variant: motion from optical flow as the specification has it; the paper used networks
for both parts. Variants: `:smoke` and the others of configs/ped2_exemplar.py.
"""

import ml_collections

from vadjax.config import apply_variant
from vadjax.systems.exemplar import presets


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """Windows of 128 × 128 pixels of frames of 720 × 1280, or a variant."""
    config = presets.exemplar(window=(10, 128, 128), step=(5, 64, 64), tau=1.0)
    return apply_variant(config, variant, presets.VARIANTS)
