"""S3R on UCF-Crime (Wu, Hsieh et al., ECCV 2022; spec s3r).

    python -m vadjax.main --config=configs/ucf_s3r.py --config.data.dir=DATASET --workdir=RUN

15,000 steps of 32 + 32 bags of 10 crops × 32 segments × 2048 need a GPU.

    figure                               paper     original program     here
    pooled AUC, UCF-Crime, ten-crop I3D  85.99 %   85.989 % [its log]   not measured
    (the original keeps the best of its evaluations on the test split, step 2,935)

Variants: `:demo`, `:smoke` as in `configs/shanghaitech_s3r.py`, whose quirks this has too.
"""

import ml_collections

from configs import common, shanghaitech_s3r


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """The published run, or a variant."""
    config = shanghaitech_s3r.get_config()
    config.seed = 49
    config.model.dictionary_ratio = 0.5
    common.variant(variant, {**shanghaitech_s3r.VARIANTS, "mini": shanghaitech_s3r.mini})(config)
    return config
