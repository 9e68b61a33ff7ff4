"""The sections that the configs of the MIL ranker share, and the meaning of its fields."""

import ml_collections

from vadjax.config import BAG_FIELDS, base, features

FIELDS = BAG_FIELDS | {
    "model.dropout": "rate of the dropout",
    "model.weights": 'file of a trained ranker; "" = start untrained',
    "loss.pairing": "diagonal (each anomalous bag with one normal bag), or all pairs of a batch",
    "loss.segments_used": "first segments that enter hinge and sparsity: 30 in the torch programs, "
    "32 (all) in the paper",
    "loss.sparsity": "weight of the sum of the anomalous scores",
    "loss.smoothness": "weight of the squared differences of neighbouring anomalous scores",
    "optim.learning_rate": "of Adagrad, at the first step",
    "optim.weight_decay": "weight decay, added to the gradient",
    "optim.eps": "added to the root of the summed squares",
    "optim.milestones": "steps at which the rate falls",
    "optim.gamma": "factor by which it falls",
}


def ranker() -> ml_collections.ConfigDict:
    """The published ranker, loss and optimiser; the config sets the length of the training."""
    config = base("mil")
    config.data.modality = "TWO"
    config.features = features()
    config.model = {"dropout": 0.6, "weights": ""}
    # Spec mil §6: the torch programs' loss, with their defect of 30 segments.
    config.loss = {
        "pairing": "diagonal",
        "segments_used": 30,
        "sparsity": 8e-5,
        "smoothness": 8e-5,
    }
    # The decay is the float32 of 0.001; the rate falls after 25 and 50 epochs of 27 steps.
    config.optim = {
        "learning_rate": 1e-3,
        "weight_decay": 0.0010000000474974513,
        "eps": 1e-10,
        "milestones": (25 * 27, 50 * 27),
        "gamma": 0.1,
    }
    config.train.keep = 15  # 13 MB each
    config.eval.expansion = "seed"  # spec mil §7a
    config.eval.held_out = 0.0
    return config


def default() -> ml_collections.ConfigDict:
    """All fields of this system's configs, for a run that is used without its config file."""
    return ranker()
