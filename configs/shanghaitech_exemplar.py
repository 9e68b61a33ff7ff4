r"""EVAL on ShanghaiTech: 330 training and 107 test videos, one model for each camera (spec eval).

    python -m data_prep.shanghaitech --data SHANGHAITECH --out data/shanghaitech --tracks TRACKS
    python -m vadjax.main --config=configs/shanghaitech_exemplar.py \
        --config.data.dir=data/shanghaitech --workdir=RUN

    figure              paper     original program   here
    frame AUC           76.63     not public         not measured
    RBDC                59.21     not public         not measured
    TBDC                89.44     not public         not measured

A camera is the text before the first underscore of a video's name (data.cameras = "prefix"); its
scales and exemplars are its own. TRACKS is the folder of the published tracks. Without a variant:
motion from optical flow as the specification has it; the paper used networks for both parts.
Variants: `:smoke` and the others of configs/ped2_exemplar.py.
"""

import ml_collections

from vadjax.config import apply_variant
from vadjax.systems.exemplar import presets


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """Windows of 96 × 96 pixels of frames of 480 × 856, or a variant."""
    config = presets.exemplar(window=(10, 96, 96), step=(5, 48, 48), tau=0.5)
    config.data.cameras = "prefix"
    return apply_variant(config, variant, presets.VARIANTS)
