r"""SSMTL on ShanghaiTech: four tasks on objects (Georgescu et al., CVPR 2021; spec ssmtl).

    python -m data_prep.shanghaitech --data SHANGHAITECH --out data/shanghaitech
    python -m data_prep.extract_objects --data data/shanghaitech --out data/shanghaitech_objects \
        --boxes FOLDER --threshold 0.8 --teachers NAME=WEIGHTS,NAME=WEIGHTS
    python -m vadjax.main --config=configs/shanghaitech_ssmtl.py \
        --config.data.dir=data/shanghaitech --config.data.objects=data/shanghaitech_objects \
        --workdir=RUN

How many objects there are depends on the detector (0.8 is the threshold for YOLOv3): 30 epochs
are 30 × objects / 128 steps, --config.train.steps. It needs a GPU.

    figure               paper             original program   here
    micro, macro AUC     82.4, 89.3 %      -                  not measured
    RBDC, TBDC           42.8, 83.9 %      -                  not measured

Variants: `:demo`, `:smoke` as in `configs/ped2_ssmtl.py`.
"""

import ml_collections

from vadjax.config import apply_variant
from vadjax.systems.ssmtl import presets

STEPS = 240_000  # for a million objects; take fewer frames with --every


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """The published run, or `:demo`, `:smoke`."""
    return apply_variant(presets.ssmtl(STEPS), variant, presets.VARIANTS)
