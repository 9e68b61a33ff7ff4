r"""S3R on UCF-Crime (Wu, Hsieh et al., ECCV 2022; spec s3r).

    python -m vadjax.main --config=configs/ucf_s3r.py --config.data.dir=DATASET --workdir=RUN

15,000 steps of 32 + 32 bags of 10 crops × 32 segments × 2048 need a GPU.

    figure                               paper     original program     here
    pooled AUC, UCF-Crime, ten-crop I3D  85.99 %   85.989 % [its log]   not measured
    (the original keeps the best of its evaluations on the test split, step 2,935)

Variants: `:demo`, `:smoke` as in `configs/shanghaitech_s3r.py`, whose quirks this has too; `:ped2`,
300 steps of 4 + 4 for the weak splits of `configs/ped2_mil.py` (frame AUC of splits 0-9: 0.832 ±
0.069; 200 s of one core each); `:mini`, 100 steps of 10 + 10 on 40 real videos with C3D
features, the videos of `configs/ucf_mil.py:mini` (pooled AUC of seeds 0-4: 0.636 ± 0.038):
    python -m data_prep.ucf_crime --features FOLDER/c3d_fc6_32seg --out data/ucf_mini

Over several seeds, mean ± deviation of every figure (without `:mini` the published run):
    for seed in 0 1 2 3 4; do
        python -m vadjax.main --config=configs/ucf_s3r.py:mini --config.seed=$seed \
            --config.data.dir=data/ucf_mini --workdir=runs/s3r_mini_$seed
    done
    python -m vadjax.report.table runs/s3r_mini_?
"""

import ml_collections

from vadjax.config import apply_variant
from vadjax.systems.s3r import presets


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """The published run, or a variant."""
    config = presets.s3r()
    config.seed = 49
    config.model.dictionary_ratio = 0.5
    return apply_variant(config, variant, presets.UCF_VARIANTS)
