r"""SSMTL on CUHK Avenue: four tasks on objects (Georgescu et al., CVPR 2021; spec ssmtl).

    python -m data_prep.avenue --data AVENUE --out data/avenue
    python -m data_prep.extract_objects --data data/avenue --out data/avenue_objects \
        --boxes FOLDER --threshold 0.8 --teachers NAME=WEIGHTS,NAME=WEIGHTS
    python -m vadjax.main --config=configs/avenue_ssmtl.py \
        --config.data.dir=data/avenue --config.data.objects=data/avenue_objects --workdir=RUN

How many objects there are depends on the detector (0.8 is the threshold for YOLOv3): 30 epochs
are 30 × objects / 128 steps, --config.train.steps. It needs a GPU.

    figure               paper             original program   here
    micro, macro AUC     91.5, 91.9 %      -                  not measured
    RBDC, TBDC           57.0, 58.3 %      -                  not measured

Variants: `:demo`, `:smoke` as in `configs/ped2_ssmtl.py`.
"""

import ml_collections

from vadjax.config import apply_variant
from vadjax.systems.ssmtl import presets

STEPS = 30_000  # for 128,000 objects


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """The published run, or `:demo`, `:smoke`."""
    return apply_variant(presets.ssmtl(STEPS), variant, presets.VARIANTS)
