"""RTFM on UCF-Crime (Tian et al., ICCV 2021; spec s3r §8).

    python -m vadjax.main --config=configs/ucf_rtfm.py --config.data.dir=DATASET --workdir=RUN

15,000 steps of 32 + 32 bags of 10 crops × 32 segments × 2048 need a GPU.

    figure                               paper     original program       here
    pooled AUC, UCF-Crime, ten-crop I3D  84.30 %   60-75 % (re-runs)      not measured

Variants: `:demo`, `:smoke` as in `configs/shanghaitech_s3r.py`, `:mini`, `:ped2` as in
`configs/ucf_s3r.py`: pooled AUC 0.723 ± 0.078 and frame AUC 0.763 ± 0.072.
"""

import ml_collections

from vadjax.config import apply_variant
from vadjax.systems.s3r import presets


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """The published run, or a variant."""
    return apply_variant(presets.rtfm(), variant, presets.UCF_VARIANTS)
