r"""EVAL on UCSD Ped2: exemplars of every region of one fixed camera (spec eval).

    python -m data_prep.ucsd_ped --data UCSD_PED2 --out data/ped2
    python -m vadjax.main --config=configs/ped2_exemplar.py --config.data.dir=data/ped2 \
        --workdir=RUN

Under three minutes on two cores. No label is used. The figures are of raw scores (no scaling within
a video); regions and tracks are derived from the masks, not the annotators'. Choices between
variants, thresholds and rules were made on these very videos: Ped2 has no others to choose on.

    figure, real Ped2            paper           original program   here: AUC   RBDC    TBDC
    (no variant)                 unconfirmed     not public         0.944       0.569   0.902
      with eval.map_rule=max                                        0.932       0.467   0.805
    :motion                                                         0.914       0.610   0.905
    :literal                                                        0.784       0.419   0.646
    :networks                                                       0.730       0.264   0.404
    :appearance                                                     0.835       0.473   0.593
    :both                                                           0.936       0.662   0.889

Variants (`:appearance` and `:both` need `--config.appearance.weights`, `:networks` needs
`--config.motion.weights`: runs of configs/exemplar_appearance_network.py:cpu and of
configs/exemplar_motion_network.py:cpu):
    (none)       robust speeds from optical flow, no network; exemplars shared with the 3 × 3
                 neighbouring regions; all volumes kept; maps are means
    :motion      robust speeds, directions in shares of all pixels, still share
    :literal     motion as the specification has it: 12 directions, their mean speeds, still share
    :networks    as :literal, from the motion networks
    :appearance  appearance alone
    :both        appearance and the motion of :motion
    :smoke       seconds, on toy scenes
"""

import ml_collections

from vadjax import config as common


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """The run on optical flow with robust speeds, or a variant."""
    config = exemplar_config(window=(10, 40, 40), step=(5, 20, 20), tau=0.3)
    config.eval.tracks = "tracks derived from the masks"
    common.variant(variant, VARIANTS)(config)
    return config


def exemplar_config(
    window: tuple[int, int, int], step: tuple[int, int, int], tau: float
) -> ml_collections.ConfigDict:
    """The system with the values of spec eval, on optical flow.

    volume      window and step of the volumes: (frames, height, width)
    features    dir: where stage 1 writes ("" = features/ in the workdir); runs may share it
    appearance  source (none | small | resnext50 | efficientnet_lite0), weights (its folder)
    motion      source (flow | networks), flow (dis | tvl1), tau (px/frame from which a pixel
                moves), still_threshold (share of still pixels from which direction and speed are
                0; None = never), weights (folder of the networks)
    model       version (appearance | motion | speed | appearance_motion: which terms count),
                motion_feature (outputs | robust | penultimate), speeds (of robust: some of moving,
                fastest, p99, all), threshold (of the selection), neighbours (exemplars of regions
                up to so many away count too), z_volumes (so many at most are drawn for the scales)
    data        cameras (one | prefix: one model for each text before the first underscore of a
                video's name)
    eval        map_rule (max | mean of the volumes that cover a pixel), sigma (of smoothing over
                time, frames; 0 = none), flag (score from which a volume gets a reason), examples
                (reasons with pictures, of each video)
    """
    config = common.base("exemplar")
    config.train.steps, config.train.batch = 0, 1
    config.data.cameras = "one"
    config.volume = {"window": window, "step": step}
    config.features = {"dir": ""}
    config.appearance = {"source": "none", "weights": ""}
    config.motion = {
        "source": "flow",
        "flow": "dis",
        "tau": tau,
        "still_threshold": 0.98,
        "weights": "",
    }
    config.model = {
        "version": "motion",
        "motion_feature": "outputs",
        "speeds": ("moving", "fastest", "all"),
        "threshold": 0.8,
        "neighbours": 0,
        "z_volumes": 20_000,
    }
    config.eval.untrained = False  # there is nothing to score before the exemplars
    config.eval.map_rule, config.eval.sigma = "max", 0.0
    config.eval.flag, config.eval.examples = 2.0, 3
    return config


def elsewhere(
    variant: str,
    window: tuple[int, int, int],
    step: tuple[int, int, int],
    tau: float,
) -> ml_collections.ConfigDict:
    """The same system on another dataset; without a variant, `:literal`."""
    config = exemplar_config(window, step, tau)
    if variant == "smoke":
        config.volume.window = (10, 40, 40)
    common.variant(variant or "literal", VARIANTS)(config)
    return config


def sensitive(config: ml_collections.ConfigDict) -> None:
    """Robust motion features, all volumes kept, neighbours shared, means as maps."""
    config.model.motion_feature, config.model.threshold = "robust", 0.0
    config.model.neighbours, config.eval.map_rule = 1, "mean"


def flow_speed(config: ml_collections.ConfigDict) -> None:
    """Only the speed counts."""
    sensitive(config)
    config.model.version, config.eval.flag = "speed", 0.3


def _literal(config: ml_collections.ConfigDict) -> None:
    """As `exemplar_config` has it."""


def _motion(config: ml_collections.ConfigDict) -> None:
    sensitive(config)
    config.eval.flag = 0.6


def _networks(config: ml_collections.ConfigDict) -> None:
    config.motion.source = "networks"


def _appearance(config: ml_collections.ConfigDict) -> None:
    sensitive(config)
    config.model.version, config.model.threshold = "appearance", 0.1
    config.appearance.source = "small"


def _both(config: ml_collections.ConfigDict) -> None:
    sensitive(config)
    config.model.version, config.model.threshold = "appearance_motion", 0.1
    config.appearance.source = "small"


def _smoke(config: ml_collections.ConfigDict) -> None:
    """Coarse volumes, for the toy scenes."""
    common.small_report(config)
    config.volume.step = (10, 40, 40)
    flow_speed(config)
    config.eval.tracks = ""


VARIANTS = {
    "": flow_speed,
    "literal": _literal,
    "motion": _motion,
    "networks": _networks,
    "appearance": _appearance,
    "both": _both,
    "smoke": _smoke,
}
