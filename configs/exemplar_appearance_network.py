"""EVAL's appearance network: which of eight outdoor classes an image shows (spec eval §3.1).

    python -m vadjax.main --config=configs/exemplar_appearance_network.py:cpu --workdir=RUN

ResNeXt-50 (32x4d) with a layer of 128 before the outputs, as the paper has it, on images of yours
(data_prep/labelled_images.py; --config.data.dir=DATASET), begun from ImageNet with
--config.model.weights=resnext50_32x4d.pth (torchvision's file): needs a GPU. `:cpu` is the small
residual network on the built-in drawings, 2,000 steps of 64: 13 minutes of one core.

    figure                                         paper   original program   here
    mean average precision, public images          -       -                  not measured
    mean average precision, drawings, :cpu, seed 0 -       -                  0.934 (a guess: 0.120)
    the same without colour                        -       -                  0.917
    accuracy of a class, drawings                  -       -                  0.941 to 0.992
    the same, always no                            -       -                  0.873 to 0.889

(2,000 drawings that were not trained on; they say nothing about real video.)

Variants:
    :cpu    as above
    :smoke  2 steps, for tests
"""

import ml_collections

from vadjax.backbones.appearance import CLASSES
from vadjax.config import apply_variant, base


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """The run of the specification, or `:cpu`, `:smoke`."""
    config = base("exemplar_networks")
    config.model = {
        "network": "appearance",
        "architecture": "resnext50",
        "classes": CLASSES,
        "blocks": 1,
        "size": 64,
        "weights": "",
    }
    config.optim = {"learning_rate": 1e-3}
    config.train.steps, config.train.batch, config.train.save_every = 20000, 64, 1000
    config.eval.split = "test"
    config.eval.batch, config.eval.images = 64, 4000
    return apply_variant(config, variant, {"cpu": _cpu, "smoke": _smoke})


def _cpu(config: ml_collections.ConfigDict) -> None:
    """The small residual network."""
    config.model.architecture = "small"
    config.train.steps, config.train.save_every = 2000, 500
    config.eval.images = 2000


def _smoke(config: ml_collections.ConfigDict) -> None:
    """Seconds."""
    _cpu(config)
    config.train.steps, config.train.batch, config.train.save_every = 2, 4, 1
    config.eval.batch, config.eval.images = 8, 32
