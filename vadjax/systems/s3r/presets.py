"""The sections that the configs of S3R and RTFM share, and the meaning of their fields."""

import ml_collections

from vadjax.config import BAG_FIELDS, base, features, small_report

FIELDS = BAG_FIELDS | {
    "model.variant": "published network: s3r or rtfm; the fields below change its parts",
    "model.weights": 'file of a trained network; "" = start untrained',
    "model.en_normal": "whether the video is reconstructed from the dictionary (macro branch)",
    "model.de_normal": "whether channels are weighted by what the reconstruction lacks; needs "
    "model.en_normal",
    "model.attention_scaling": "whether en-Normal's dot products are scaled (published: not)",
    "model.norm": "group (S3R) or batch (RTFM)",
    "model.norm_first": "whether the norm comes before the ReLU (S3R) or after it (RTFM)",
    "model.dropout": "rate of every dropout but the next",
    "model.top_k": "segments of a bag that are chosen by their magnitudes",
    "model.selection_dropout": "share of the segments that cannot be chosen at a step",
    "model.dictionary": 'file of the dictionary; "" = learned from the normal training videos',
    "model.dictionary_layout": "codes (as published) or atoms",
    "model.dictionary_ratio": "rows of a learned dictionary for each normal training video",
    "model.dictionary_seed": "of the learning of the dictionary",
    "loss.margin": "between the magnitudes of anomalous and normal features",
    "loss.magnitude": "weight of the magnitude term",
    "loss.magnitude_form": "absolute (as published) or hinge (the paper's)",
    "loss.sparsity": "weight of the norm of the anomalous scores",
    "loss.smoothness": "weight of the squared differences of neighbouring anomalous scores",
    "loss.scope": "of sparsity and smoothness: batch (across the bags' borders) or bag",
    "loss.macro": "weight of the macro branch's loss",
    "optim.learning_rate": "of Adam",
    "optim.weight_decay": "weight decay, added to the gradient",
    "train.accumulate": "parts of a batch, of which one is in memory at a time",
    "eval.window": "snippets of a new video that are scored together",
}


def s3r() -> ml_collections.ConfigDict:
    """S3R as published for ShanghaiTech."""
    config = base("s3r")
    config.seed = 823  # that of the published run (spec s3r §6)
    config.data.modality = "TWO"
    # The network of spec s3r §4, and the dictionary of §3.1: codes with 90 % of V rows.
    config.model = {
        "variant": "s3r",
        "weights": "",
        "en_normal": True,
        "de_normal": True,
        "attention_scaling": False,
        "norm": "group",
        "norm_first": True,
        "dropout": 0.7,
        "top_k": 3,
        "selection_dropout": 0.7,
        "dictionary": "",
        "dictionary_layout": "codes",
        "dictionary_ratio": 0.9,
        "dictionary_seed": 42,
    }
    # Spec s3r §5.
    config.loss = {
        "margin": 100.0,
        "magnitude": 1e-4,
        "magnitude_form": "absolute",
        "sparsity": 8e-3,
        "smoothness": 8e-4,
        "scope": "batch",
        "macro": 1.0,
    }
    # Spec s3r §6: a constant rate, and L2 in the gradient.
    config.optim = {"learning_rate": 1e-3, "weight_decay": 0.005}
    config.train.steps = 15_000
    config.train.batch = 32
    config.train.accumulate = 1
    config.train.evaluate_every = 500
    config.train.save_every = 1000
    config.train.keep = 1  # 675 MB each
    config.features = {**features(), "crops": "ten", "normalisation": "pm1"}
    config.eval.held_out = 0.1
    config.eval.window = 1024
    config.eval.batch = 1
    config.eval.expansion = "repeat"  # every score 16 times (spec s3r §7)
    return config


def rtfm() -> ml_collections.ConfigDict:
    """The baseline: one aggregation with batch norms, no dictionary, no gate, no macro branch."""
    config = s3r()
    config.seed = 0  # the original sets none
    config.model.variant = "rtfm"
    config.model.en_normal = config.model.de_normal = config.model.norm_first = False
    config.model.norm = "batch"
    return config


def demo(config: ml_collections.ConfigDict) -> None:
    """Minutes on a CPU, on the toy bags."""
    config.train.steps = 300
    config.train.batch = 16
    config.train.evaluate_every = config.train.save_every = 100
    config.eval.batch = 16
    config.eval.expansion = "seed"


def smoke(config: ml_collections.ConfigDict) -> None:
    """Seconds, for tests."""
    demo(config)
    small_report(config)
    config.train.steps = 4
    config.train.batch = 8
    config.train.log_every = 1
    config.train.evaluate_every = config.train.save_every = 2


def mini(config: ml_collections.ConfigDict) -> None:
    """40 real videos of UCF-Crime with C3D features of one crop (spec mil §9)."""
    config.train.steps = 100
    config.train.batch = 10
    config.train.evaluate_every = config.train.save_every = 0
    config.eval.batch = 16
    config.eval.expansion = "seed"
    config.eval.held_out = 0.0


def ped2(config: ml_collections.ConfigDict) -> None:
    """A weak split of UCSD Ped2, whose clips are short (configs/ped2_mil.py)."""
    config.train.steps = 300
    config.train.batch = 4
    config.train.evaluate_every = config.train.save_every = 0
    config.eval.expansion = "even"
    config.eval.held_out = 0.0


def default() -> ml_collections.ConfigDict:
    """All fields of this system's configs, for a run that is used without its config file."""
    return s3r()


VARIANTS = {"demo": demo, "smoke": smoke}
UCF_VARIANTS = {**VARIANTS, "mini": mini, "ped2": ped2}
