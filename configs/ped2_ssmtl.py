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

Fields (quirks of the original, and what is not known of it, each with its default: README.md of
vadjax/systems/ssmtl):
    data        objects (dataset of objects; "" = the boxes that the frames come with, and no
                distillation)
    objects     for video of one's own: detector and its weights, teacher (weights of the detector
                that taught, if it is another); "" = as in the training
    model       trunk, tasks (those in use), size (of a crop, pixels), time_pooling, middle_output,
                statistics (of the batch norms: joint | pass), momentum (of the running ones)
    loss        distillation_weight
    optim       learning_rate, schedule (constant | cosine: annealed to 0)
    eval        batch (objects at once), held_out (share of the training videos that selects the
                step with the lowest loss; 0 = none), held_out_objects, normal_objects (so many
                give mean and deviation of the tasks' scores), distillation_space (logits |
                probabilities), object_score (mean of the tasks' scores | standardised: mean of
                their deviations from normal objects), filter (side of the mean over the pixel
                volume; 1 = none), sigma, length and gaussian (centred | offset) of the smoothing
                over time, flag (deviations above normal objects from which an object gets a reason)

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

from vadjax import config as common


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """The published run, or `:short`, `:demo`, `:smoke`."""
    config = common.base("ssmtl")
    config.data.objects = ""
    config.objects = {"detector": "", "weights": "", "teacher": ""}
    config.model = {
        "trunk": "deep_wide",
        "tasks": ("arrow", "irregularity", "middle", "distillation"),
        "size": 64,
        "time_pooling": "max",
        "middle_output": "linear",
        "statistics": "joint",
        "momentum": 0.99,
    }
    config.loss = {"distillation_weight": 0.2}
    config.optim = {"learning_rate": 1e-3, "schedule": "constant"}
    config.train.batch = 128
    config.train.steps = 30 * 234  # of the 30,011 objects that YOLOv3 finds
    config.train.save_every = config.train.evaluate_every = 234
    config.eval.batch = 128
    config.eval.held_out = 0.1
    config.eval.held_out_objects = 1024
    config.eval.normal_objects = 512
    config.eval.distillation_space = "logits"
    config.eval.object_score = "mean"
    config.eval.filter = 9
    config.eval.sigma = 21.0
    config.eval.length = 301
    config.eval.gaussian = "centred"
    config.eval.flag = 4.0
    common.variant(variant, VARIANTS)(config)
    return config


def elsewhere(variant: str, steps: int) -> ml_collections.ConfigDict:
    """The same program on another dataset, with an evaluation each thirtieth of `steps`."""
    config = get_config()
    config.train.steps = steps
    config.train.save_every = config.train.evaluate_every = steps // 30
    common.variant(variant, {name: VARIANTS[name] for name in ("", "demo", "smoke")})(config)
    return config


def _published(config: ml_collections.ConfigDict) -> None:
    """As `get_config` has it."""


def _short(config: ml_collections.ConfigDict) -> None:
    """Within an hour of two cores."""
    config.model.trunk = "shallow_narrow"
    config.model.momentum = 0.9
    config.optim.schedule = "cosine"
    config.train.batch = 32
    config.train.steps = 600
    config.train.save_every, config.train.evaluate_every = 200, 0
    config.eval.object_score = "standardised"
    config.eval.sigma, config.eval.length = 8.4, 121  # ten frames a second, Avenue has 25
    config.eval.untrained = False  # scoring takes minutes
    config.eval.held_out = 0.0


def _demo(config: ml_collections.ConfigDict) -> None:
    """Minutes on a CPU, on the toy scenes."""
    _short(config)
    config.model.size = 32
    config.train.batch, config.train.steps = 32, 400
    config.optim.learning_rate = 3e-3
    config.eval.sigma, config.eval.length = 4.0, 51  # ten frames a second


def _smoke(config: ml_collections.ConfigDict) -> None:
    _demo(config)
    common.small_report(config)
    config.model.size = 16
    config.train.batch = 8
    config.train.steps, config.train.save_every, config.train.log_every = 3, 2, 1
    config.eval.normal_objects = 16


VARIANTS = {"": _published, "short": _short, "demo": _demo, "smoke": _smoke}
