r"""RTFM on ShanghaiTech, the weakly-supervised split (Tian et al., ICCV 2021; spec s3r §8).

    python -m vadjax.main --config=configs/shanghaitech_rtfm.py --config.data.dir=DATASET \
        --workdir=RUN

15,000 steps of 32 + 32 bags of 10 crops × 32 segments × 2048 need a GPU.

    figure                                   paper     original program       here
    pooled AUC, ShanghaiTech, ten-crop I3D   97.21 %   89-90 % (re-runs)      not measured

Variants: `:demo`, `:smoke` as in `configs/shanghaitech_s3r.py`. RTFM takes the means of 32 equal
parts of a video as segments, where S3R resizes: that is done when the dataset is prepared.
"""

import ml_collections

from vadjax.config import apply_variant
from vadjax.systems.s3r import presets


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """The published run, or a variant."""
    return apply_variant(presets.rtfm(), variant, presets.VARIANTS)
