"""The numbers of volumes that are compared, and their scales (spec eval §3.2, §5).

`model.version` chooses the components that count (`distance.VERSIONS`), `model.motion_feature` the
numbers of the motion components:

outputs      ang, mag and bkg as they are: 12 + 12 + 1 numbers
robust       ang as shares of all pixels, not of the few that may move; robust speeds (those that
             `model.speeds` names) in place of mag; bkg
penultimate  the penultimate layers of the three motion networks, 128 numbers each
"""

import dataclasses

import ml_collections
import numpy as np

from vadjax.config import expect_one_of
from vadjax.ops.distance import VERSIONS, Metric, largest_distances
from vadjax.ops.flow import SPEEDS
from vadjax.systems.exemplar.features import Features

MOTION_FEATURES = ("outputs", "robust", "penultimate")
HIDDEN = 128  # width of a motion network's penultimate layer


@dataclasses.dataclass(frozen=True)
class Space:
    """The numbers that are compared.

    Attributes:
      version: one of `distance.VERSIONS`.
      motion_feature: one of `MOTION_FEATURES`.
      speeds: some of `flow.SPEEDS`, for `"robust"`.
    """

    version: str
    motion_feature: str
    speeds: tuple[str, ...]

    @classmethod
    def of(cls, config: ml_collections.ConfigDict) -> "Space":
        """The space of the section `model` of a config.

        Raises:
          ValueError: a field has an unknown value, or one that does not fit another field.
        """
        # Each field by itself.
        model = config.model
        expect_one_of("model.version", model.version, VERSIONS)
        expect_one_of("model.motion_feature", model.motion_feature, MOTION_FEATURES)
        if not len(model.speeds):
            raise ValueError(f"model.speeds is (); expected some of {', '.join(SPEEDS)}")
        for speed in model.speeds:
            expect_one_of("model.speeds", speed, SPEEDS)
        # Fields that need another one: robust speeds come from flow, penultimate layers from
        # networks, appearance from a network of its own.
        needs = {"robust": "flow", "penultimate": "networks"}.get(model.motion_feature)
        if needs and config.motion.source != needs:
            raise ValueError(
                f"model.motion_feature is {model.motion_feature!r}, which needs motion.source = "
                f"{needs!r}; it is {config.motion.source!r}. 'outputs' goes with both"
            )
        if "app" in VERSIONS[model.version] and config.appearance.source == "none":
            raise ValueError(
                f"model.version is {model.version!r}, but appearance.source is 'none'; name a "
                "network (appearance.source, appearance.weights), or take the version 'motion'"
            )
        return cls(model.version, model.motion_feature, tuple(model.speeds))

    def settings(self) -> dict:
        """The fields for `meta` of the stage files."""
        settings = {"version": self.version, "motion_feature": self.motion_feature}
        return settings | ({"speeds": self.speeds} if self.motion_feature == "robust" else {})

    def rows(self, features: Features) -> np.ndarray:
        """The compared numbers of volumes, float32 [..., D].

        Args:
          features: of any leading axes.
        """
        # F = [app, ang, mag, bkg] or one of the alternatives (spec §3.2, "Feature vector").
        if self.motion_feature == "penultimate":
            motion = [features.hidden]
        elif self.motion_feature == "robust":
            chosen = features.speeds[..., [SPEEDS.index(name) for name in self.speeds]]
            motion = [features.ang * (1 - features.bkg), chosen, features.bkg]
        else:
            motion = [features.ang, features.mag, features.bkg]
        return np.concatenate([self._appearance(features), *motion], -1, dtype=np.float32)

    def sizes(self, features: Features) -> tuple[int, int, int, int]:
        """Number of compared numbers of app, ang, mag and bkg."""
        app = self._appearance(features).shape[-1]
        if self.motion_feature == "penultimate":
            return app, HIDDEN, HIDDEN, HIDDEN
        return app, 12, len(self.speeds) if self.motion_feature == "robust" else 12, 1

    def _appearance(self, features: Features) -> np.ndarray:
        """The appearance features; a single zero if there is no appearance network."""
        if features.app.shape[-1]:
            return features.app
        return np.zeros((*features.bkg.shape[:-1], 1), np.float32)

    def scales(self, rows: np.ndarray, sizes: tuple[int, ...]) -> np.ndarray:
        """Z of each component, float32 [4]: the largest distance in training, 1 where it is 0.

        Args:
          rows: float32 [volumes, D] of all regions together.
          sizes: of the components.
        """
        largest = largest_distances(rows, sizes, len(rows)).astype(np.float32)
        return np.where(largest > 0, largest, np.float32(1))

    def metric(self, sizes: tuple[int, ...], scales: np.ndarray) -> Metric:
        """The distance of the version with these sizes and scales."""
        return Metric.version(self.version, sizes, tuple(float(z) for z in scales))
