"""The sections that the configs of LGN-Net and MNAD share, and the meaning of their fields."""

import ml_collections

from vadjax.config import base, small_report

FIELDS = {
    "model.variant": "published network: lgn, mnad_prediction or mnad_reconstruction; the fields "
    "below change its parts",
    "model.memory_items": "items of the memory",
    "model.weights": 'file of a trained network; "" = start untrained',
    "model.local_branch": "motion branch: stlstm (LGN-Net), convlstm or none (MNAD)",
    "model.decoder_input": "read (LGN-Net: the query is discarded) or query_and_read",
    "model.read_gradient": "whether the weights of the read carry gradient (published: not)",
    "model.temperature": "of the softmaxes of the memory; 1 is nearly a flat average",
    "model.output": "frame (as published) or residual: a correction of the last frame",
    "model.width": "channels at full size; all others are multiples of it",
    "loss.compactness_weight": "weight of the distance of queries to their nearest item",
    "loss.separateness_weight": "weight of the distance between nearest and second item",
    "loss.decay": "of a moving average of the memory; 0: each batch replaces it, as published",
    "optim.learning_rate": "of Adam",
    "optim.epochs": "equal parts of train.steps over which the rate is annealed; 0: constant",
    "eval.batch": "windows that are scored at once",
    "eval.score_weight": "of the PSNR against the feature distance in the score of a frame",
    "eval.gamma": "error of a prediction below which a test window updates the memory",
    "eval.test_update": "stream (the memory learns from the test videos in their order), off, or "
    "per_video_reset",
    "eval.limit_videos": "training videos that give the limits of the on-line score",
    "eval.held_out": "number of last training videos that give these limits instead of being "
    "trained on; 0 = none",
}
# Fields that a config need not have; without them the parts are those of `model.variant`.
OPTIONAL = ("model.local_branch", "model.decoder_input")


def lgn(windows: int, epochs: int) -> ml_collections.ConfigDict:
    """LGN-Net as published.

    Args:
      windows: number of windows of five frames in the training videos.
      epochs: number of passes over all of them.
    """
    config = base("lgn")
    # Spec lgn_net §2: the published fields, the quirks of §7 among them.
    config.model = {
        "variant": "lgn",
        "memory_items": 10,
        "weights": "",
        "local_branch": "stlstm",
        "decoder_input": "read",
        "read_gradient": False,
        "temperature": 1.0,
        "output": "frame",
        "width": 64,
    }
    # Spec lgn_net §2.4 and §3: the weights in the code, Adam with cosine annealing, batch 6.
    config.loss = {"compactness_weight": 10.0, "separateness_weight": 5.0, "decay": 0.0}
    config.optim = {"learning_rate": 2e-4}
    config.train.log_every = 1
    length(config, windows, epochs, batch=6)
    config.eval.batch = 4
    config.eval.untrained = False  # the baseline to beat is copy_previous, which is always printed
    # Spec lgn_net §4: lambda and gamma.
    config.eval.score_weight = 0.6
    config.eval.gamma = 0.009
    config.eval.test_update = "stream"
    config.eval.limit_videos = 2
    config.eval.held_out = 0
    return config


def length(config: ml_collections.ConfigDict, windows: int, epochs: int, batch: int) -> None:
    """Sets the training to `epochs` of `windows`, without incomplete batches; saves after each."""
    config.train.batch, config.optim.epochs = batch, epochs
    config.train.save_every = windows // batch
    config.train.steps = epochs * config.train.save_every


def quick(config: ml_collections.ConfigDict) -> None:
    """A quarter of the channels, and a network that starts as a copy of the last frame."""
    config.model.width, config.model.output = 16, "residual"


def short(config: ml_collections.ConfigDict) -> None:
    """The protocol of spec lgn_net §9, on Ped2."""
    config.optim.epochs = 0  # constant rate
    config.train.steps, config.train.batch, config.train.save_every = 194, 4, 50


def demo(config: ml_collections.ConfigDict) -> None:
    """Minutes on a CPU, on the toy scenes."""
    short(config)
    quick(config)
    config.train.steps = 300


def smoke(config: ml_collections.ConfigDict) -> None:
    """Seconds, for tests."""
    short(config)
    small_report(config)
    config.model.width = 8
    config.train.steps, config.train.batch, config.train.save_every = 2, 2, 1
    config.eval.limit_videos = 1


def default() -> ml_collections.ConfigDict:
    """All fields of this system's configs, for a run that is used without its config file."""
    return lgn(1, 1)


VARIANTS = {"demo": demo, "smoke": smoke}
PED2_VARIANTS = {"short": short, **VARIANTS}
PED2_WINDOWS = 2486  # of five frames in the training videos
