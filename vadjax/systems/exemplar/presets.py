"""The sections that the configs of the exemplar system share, and the meaning of its fields."""

import ml_collections

from vadjax.config import base, small_report

FIELDS = {
    "data.cameras": "one, or prefix: a model for each text before the first underscore of a "
    "video's name",
    "volume.window": "(frames, height, width) of a volume",
    "volume.step": "(frames, height, width) from one volume to the next",
    "features.dir": 'folder of the features, which runs may share; "" = features/ in the workdir',
    "appearance.source": "none, small, resnext50, efficientnet_lite0, or nanodet (features of the "
    "detector, averaged over each region)",
    "appearance.weights": 'folder of the appearance network; of nanodet "" is the cache',
    "motion.source": "flow, or networks that were trained on flow",
    "motion.flow": "optical flow: dis (milliseconds a frame), dis_light (two thirds, nearly the "
    "same flow), dis_half (a quarter, coarser) or tvl1 (about a second)",
    "motion.tau": "pixels a frame from which a pixel moves",
    "motion.still_threshold": "share of still pixels from which direction and speed are 0; None = "
    "never",
    "motion.weights": "folder of the motion networks",
    "model.version": "which terms count: appearance, motion, speed or appearance_motion",
    "model.motion_feature": "outputs, robust or penultimate",
    "model.speeds": "of robust: some of moving, fastest, p99, all",
    "model.threshold": "distance from which a volume becomes a new exemplar",
    "model.neighbours": "exemplars of regions up to this number of rows and columns away count too",
    "model.z_volumes": "largest number of volumes from which the features' scales are computed",
    "alarm.per_hour": "alarms an hour of normal video that the alarm line is set to; 0 = the line "
    "that 999 of 1,000 normal frames stay below",
    "eval.map_rule": "max or mean of the volumes that cover a pixel",
    "eval.sigma": "of the smoothing over time, frames; 0 = none",
    "eval.flag": "score from which a volume gets a reason",
    "eval.examples": "reasons with pictures, of each video",
}


def exemplar(
    window: tuple[int, int, int], step: tuple[int, int, int], tau: float
) -> ml_collections.ConfigDict:
    """The system with the values of spec eval, on optical flow.

    Args:
      window: frames, height and width of a volume.
      step: from one volume to the next.
      tau: pixels a frame from which a pixel moves.
    """
    config = base("exemplar")
    config.train.steps, config.train.batch = 0, 1
    config.data.cameras = "one"
    config.volume = {"window": window, "step": step}
    config.features = {"dir": ""}
    config.appearance = {"source": "none", "weights": ""}
    # Spec eval §3.2: flow instead of networks, with the gating of still volumes.
    config.motion = {
        "source": "flow",
        "flow": "dis",
        "tau": tau,
        "still_threshold": 0.98,
        "weights": "",
    }
    # Spec eval §5 and §6: all terms but the appearance, Z from at most 20,000 volumes.
    config.model = {
        "version": "motion",
        "motion_feature": "outputs",
        "speeds": ("moving", "fastest", "all"),
        "threshold": 0.8,
        "neighbours": 0,
        "z_volumes": 20_000,
    }
    config.alarm = {"per_hour": 0.0}
    config.eval.untrained = False  # there is nothing to score before the exemplars
    # Spec eval §7 and §8; a score of 2 is clearly anomalous (§1).
    config.eval.map_rule, config.eval.sigma = "max", 0.0
    config.eval.flag, config.eval.examples = 2.0, 3
    return config


def literal(config: ml_collections.ConfigDict) -> None:
    """The values of `exemplar`, unchanged."""


def sensitive(config: ml_collections.ConfigDict) -> None:
    """Robust motion features, all distinct volumes kept, neighbours shared, maps of means."""
    config.model.motion_feature, config.model.threshold = "robust", 0.0
    config.model.neighbours, config.eval.map_rule = 1, "mean"


def flow_speed(config: ml_collections.ConfigDict) -> None:
    """Compares speeds only."""
    sensitive(config)
    config.model.version, config.eval.flag = "speed", 0.3


def motion(config: ml_collections.ConfigDict) -> None:
    """Robust speeds, directions in shares of all pixels, still share."""
    sensitive(config)
    config.eval.flag = 0.6


def networks(config: ml_collections.ConfigDict) -> None:
    """Motion from networks."""
    config.motion.source = "networks"


def appearance(config: ml_collections.ConfigDict) -> None:
    """Appearance alone."""
    sensitive(config)
    config.model.version, config.model.threshold = "appearance", 0.1
    config.appearance.source = "small"


def both(config: ml_collections.ConfigDict) -> None:
    """Appearance and motion."""
    sensitive(config)
    config.model.version, config.model.threshold = "appearance_motion", 0.1
    config.appearance.source = "small"


def nanodet(config: ml_collections.ConfigDict) -> None:
    """As `both`, with the detector's features in place of the small network's."""
    both(config)
    config.appearance.source = "nanodet"


def smoke(config: ml_collections.ConfigDict) -> None:
    """Coarse volumes, for the toy scenes, which have one camera."""
    small_report(config)
    config.data.cameras = "one"
    config.volume.window = config.volume.step = (10, 40, 40)
    flow_speed(config)
    config.eval.tracks = ""


def default() -> ml_collections.ConfigDict:
    """All fields of this system's configs, for a run that is used without its config file."""
    return exemplar((10, 40, 40), (5, 20, 20), 0.3)


VARIANTS = {
    "literal": literal,
    "motion": motion,
    "networks": networks,
    "appearance": appearance,
    "both": both,
    "smoke": smoke,
}
