"""What the configs of SSMTL share, and what its fields mean.

docs/systems/ssmtl.md lists the quirks of the original, and what is not known of it.
"""

import ml_collections

from vadjax.config import base, small_report

FIELDS = {
    "data.objects": 'dataset of objects; "" = the boxes that the frames come with, and no '
    "distillation",
    "objects.detector": 'detector of the objects of new video; "" = as in the training',
    "objects.weights": 'weights of that detector; "" = as in the training',
    "objects.teacher": 'weights of the detector that taught, if it is another; "" = as in the '
    "training",
    "model.trunk": "shallow_narrow, shallow_wide, deep_narrow or deep_wide (published)",
    "model.tasks": "tasks in use: some of arrow, irregularity, middle, distillation",
    "model.size": "side of a crop, pixels; a multiple of 16",
    "model.time_pooling": "pooling over time at the end of the trunk: max or mean",
    "model.middle_output": "output of the head of the middle crop: linear or sigmoid",
    "model.statistics": "statistics of the batch norms: joint (of all passes of a step) or pass "
    "(of each)",
    "model.momentum": "share of the running statistics of the batch norms that an update keeps",
    "loss.distillation_weight": "weight of the distillation in the loss",
    "optim.learning_rate": "learning rate of Adam",
    "optim.schedule": "constant, or cosine: annealed to 0",
    "eval.batch": "objects that are scored at once",
    "eval.held_out": "share of the training videos that selects the step with the lowest loss; "
    "0 = none",
    "eval.held_out_objects": "objects of the held-out videos that are measured, at most",
    "eval.normal_objects": "training objects that give mean and deviation of the tasks' scores",
    "eval.distillation_space": "form in which outputs are compared: logits or probabilities",
    "eval.object_score": "mean of the tasks' scores, or standardised: mean of their deviations "
    "from normal objects",
    "eval.filter": "side of the mean over the pixel volume; 1 = none",
    "eval.sigma": "sigma of the smoothing over time, frames",
    "eval.length": "length of the smoothing over time, frames; odd",
    "eval.gaussian": "form of the smoothing over time: centred, or offset as in the group's code",
    "eval.flag": "deviations above normal objects from which an object gets a reason",
}


def ssmtl(steps: int) -> ml_collections.ConfigDict:
    """SSMTL as published. It is evaluated each thirtieth of `steps`, which is one of 30 epochs."""
    config = base("ssmtl")
    config.data.objects = ""
    config.objects = {"detector": "", "weights": "", "teacher": ""}
    # The network (spec ssmtl §4).
    config.model = {
        "trunk": "deep_wide",
        "tasks": ("arrow", "irregularity", "middle", "distillation"),
        "size": 64,
        "time_pooling": "max",
        "middle_output": "linear",
        "statistics": "joint",
        "momentum": 0.99,
    }
    # Losses and training (§5).
    config.loss = {"distillation_weight": 0.2}
    config.optim = {"learning_rate": 1e-3, "schedule": "constant"}
    config.train.batch = 128
    config.train.steps = steps
    config.train.save_every = config.train.evaluate_every = steps // 30
    # The videos that select the step (§5), scores of objects (§6) and of frames (§7).
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
    return config


def short(config: ml_collections.ConfigDict) -> None:
    """A training and evaluation of less than an hour on two cores, for Ped2."""
    config.model.trunk = "shallow_narrow"
    config.model.momentum = 0.9
    config.optim.schedule = "cosine"
    config.train.batch = 32
    config.train.steps = 600
    config.train.save_every, config.train.evaluate_every = 200, 0
    config.eval.object_score = "standardised"
    config.eval.sigma, config.eval.length = 8.4, 121  # Ped2 has ten frames a second, Avenue 25
    config.eval.untrained = False  # scoring takes minutes
    config.eval.held_out = 0.0


def demo(config: ml_collections.ConfigDict) -> None:
    """A run of minutes on a CPU, on the toy scenes."""
    short(config)
    config.model.size = 32
    config.train.batch, config.train.steps = 32, 400
    config.optim.learning_rate = 3e-3
    config.eval.sigma, config.eval.length = 4.0, 51  # the toy scenes have ten frames a second


def smoke(config: ml_collections.ConfigDict) -> None:
    """A run of seconds, for tests."""
    demo(config)
    small_report(config)
    config.model.size = 16
    config.train.batch = 8
    config.train.steps, config.train.save_every, config.train.log_every = 3, 2, 1
    config.eval.normal_objects = 16


def default() -> ml_collections.ConfigDict:
    """All fields of this system's configs, for a run that is used without its config file."""
    return ssmtl(1)


VARIANTS = {"demo": demo, "smoke": smoke}
PED2_VARIANTS = {"short": short, **VARIANTS}
