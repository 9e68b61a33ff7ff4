r"""EVAL on CUHK Avenue: 16 training and 21 test videos of one camera (spec eval).

    python -m data_prep.avenue --data AVENUE --out data/avenue --tracks TRACKS
    python -m vadjax.main --config=configs/avenue_exemplar.py --config.data.dir=data/avenue \
        --workdir=RUN [--config.appearance.source=… --config.appearance.weights=…]

    figure              paper     original program   here
    frame AUC           86.02     not public         not measured
    RBDC                68.20     not public         not measured
    TBDC                87.56     not public         not measured

TRACKS is the folder of the published tracks. Without a variant: motion from optical flow as the
specification has it; the paper used networks for both parts. Variants: `:smoke` and the others of
configs/ped2_exemplar.py.
"""

import ml_collections

from vadjax.config import apply_variant
from vadjax.systems.exemplar import presets


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """Windows of 96 × 96 pixels of frames of 360 × 640, or a variant."""
    config = presets.exemplar(window=(10, 96, 96), step=(5, 48, 48), tau=0.5)
    return apply_variant(config, variant, presets.VARIANTS)
