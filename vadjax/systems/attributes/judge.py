"""Objects of new frames beside what is normal: novelty, evidence and score (attributes §5, §6)."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from vadjax.systems.attributes import density, learn, values
from vadjax.systems.attributes.model import CameraModel
from vadjax.systems.attributes.objects import ObjectTable

FEWEST = 10  # objects that an evidence without a density may go by


class Judged(NamedTuple):
    """What is known of N objects beside the normal ones.

    Attributes:
      scores: float64 [N], decades of rarity of all attributes together.
      evidence: attribute → decades [N]; 0 where an object lacks it.
      novelty: attribute → novelty [N]: -log density of a speed, distance of others; NaN where an
        object lacks it.
      nearest: attribute → number of the nearest exemplar [N]; -1 where an object lacks it.
    """

    scores: np.ndarray
    evidence: dict[str, np.ndarray]
    novelty: dict[str, np.ndarray]
    nearest: dict[str, np.ndarray]


def rows(
    objects: ObjectTable,
    attributes: Mapping[str, bool | str],
    size: tuple[int, int],
    divide: bool,
    deviations: np.ndarray,
) -> dict[str, np.ndarray]:
    """Attributes of objects as rows of numbers, of those that a config asks for.

    Args:
      objects: N objects.
      attributes: section `attributes` of the config.
      size: (H, W) of their frames.
      divide: whether speeds are divided by heights.
      deviations: of the geometry, float64 [4].
    """
    heights = objects.boxes[:, 3] - objects.boxes[:, 1]
    found = {}
    if attributes["speed"]:
        found["speed"] = values.speed(objects.motions, heights, attributes["direction"], divide)
    if attributes["look"]:
        found["look"] = values.look(objects.look)
    if attributes["geometry"]:
        found["geometry"] = values.geometry(objects.boxes, size) / deviations
    return found


def judge(model: CameraModel, of_objects: Mapping[str, np.ndarray], fusion: str) -> Judged:
    """Judges objects by a model.

    Args:
      model: of the camera.
      of_objects: attribute → rows [N, D], as of `rows`.
      fusion: "sum" or "max" of the evidence.
    """
    evidence, novelty, nearest = {}, {}, {}
    for name, own in of_objects.items():
        have = np.isfinite(own).all(1)
        evidence[name], novelty[name] = np.zeros(len(own)), np.full(len(own), np.nan)
        if name not in density.MIXED:
            nearest[name] = np.full(len(own), -1)
        if not model.densities:  # almost nothing was ever seen
            evidence[name][have] = np.log10(max(model.objects, FEWEST)) + 1
            continue
        learnt = model.densities[name]
        if name in density.MIXED:
            novelty[name][have] = learnt.novelty(own[have])
        elif have.any():
            novelty[name][have], nearest[name][have] = model.nearest[name](own[have])
        evidence[name][have] = model.tables[name].evidence(novelty[name][have])
    return Judged(learn.fuse(evidence, fusion), evidence, novelty, nearest)
