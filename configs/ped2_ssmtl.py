r"""SSMTL on UCSD Ped2: four tasks on objects (Georgescu et al., CVPR 2021; spec ssmtl).

    python -m data_prep.ucsd_ped --data UCSD_PED2 --out data/ped2
    python -m data_prep.weights ssd_mobilenet_v2 --out weights/ssd_mobilenet_v2
    python -m data_prep.weights efficientnet_lite0 --out weights/efficientnet_lite0
    python -m data_prep.extract_objects --data data/ped2 --out data/ped2_objects --boxes stored \
        --teachers ssd_mobilenet_v2=WEIGHTS,efficientnet_lite0=WEIGHTS
    python -m vadjax.main --config=configs/ped2_ssmtl.py --config.data.dir=data/ped2 \
        --config.data.objects=data/ped2_objects --workdir=RUN

30 epochs of the deep and wide trunk need a GPU; `:short` is for two CPU cores.

    figure            paper     original program   here
    micro AUC, Ped2   97.5 %    -                  docs/results.md
    macro AUC         99.8 %    -                  the same
    RBDC, TBDC        72.8, 91.2 %                 the same (on derived tracks)

Variants:
    :short  the shallow and narrow trunk, 600 steps of 32 objects, rate annealed to 0, 20 minutes
            on two cores; scores standardised by normal objects, smoothed over as many seconds as 21
            frames of Avenue are
    :demo   400 steps of 32 objects in 32 × 32 pixels, for the toy scenes
    :smoke  3 steps, for tests

Quirks of the original, and what is not known of it, each a field with its default: README.md of
vadjax/systems/ssmtl.

Ablation: each task alone, each left out, and all (a task that is not in use has no parameters); its
table stands in docs/systems/ssmtl.md:
    for tasks in "'arrow'," "'irregularity'," "'middle'," "'distillation'," \
        "'irregularity','middle','distillation'" "'arrow','middle','distillation'" \
        "'arrow','irregularity','distillation'" "'arrow','irregularity','middle'" \
        "'arrow','irregularity','middle','distillation'"; do
      python -m vadjax.main --config=configs/ped2_ssmtl.py:short --config.data.dir=data/ped2 \
        --config.data.objects=data/ped2_objects --config.model.tasks="($tasks)" \
        --config.train.steps=300 --workdir="runs/tasks_${tasks//[^a-z]/}"
    done
    python -m vadjax.report.table runs/tasks_*
"""

import ml_collections

from vadjax.config import apply_variant
from vadjax.systems.ssmtl import presets

STEPS = 30 * 234  # of the 30,011 objects that YOLOv3 finds


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """The published run, or `:short`, `:demo`, `:smoke`."""
    return apply_variant(presets.ssmtl(STEPS), variant, presets.PED2_VARIANTS)
