"""Reasons for scores: a volume's attributes beside its nearest exemplar's (spec eval §8)."""

from collections.abc import Iterator, Sequence

import numpy as np

from vadjax.data.video.grid import Grid
from vadjax.systems.exemplar.features import Features
from vadjax.systems.exemplar.model import Model, from_bytes
from vadjax.systems.exemplar.scoring import VolumeScores

COMPONENTS = ("appearance", "angle", "speed", "background")  # of the terms, in their order
COMPASS = (  # names of the directions of bins 0 to 11 (spec §8.2)
    "right",
    "down-right",
    "down",
    "down",
    "down-left",
    "left",
    "left",
    "up-left",
    "up",
    "up",
    "up-right",
    "right",
)
PRESENT = 0.5  # probability from which a class is named
ALSO = 0.5  # share of the largest term from which another term is named too
NO_MOTION = "no motion was ever seen here"


def attributes(features: Features, at: tuple, classes: Sequence[str], still: float | None) -> dict:
    """The readable attributes of a volume (spec §8.2).

    Args:
      features: of volumes.
      at: index of the volume.
      classes: names of the classes.
      still: share of still pixels from which a volume stands still; None is 1.

    Returns:
      A dict: `classes`, names by falling probability; `probability`, name → 0 to 1; `direction`,
      None if the volume stands still; `speed`, pixels a frame; `moving`, percent of the pixels;
      `directions` [12], shares of the moving pixels.
    """
    probability = dict(zip(classes, features.app_prob[at].tolist(), strict=True))
    present = {name: value for name, value in probability.items() if value >= PRESENT}
    # speed = Σ_b ang_b mag_b; the main direction is the largest bin.
    ang, bkg = features.ang[at], float(features.bkg[at][0])
    moves = bkg < (1.0 if still is None else still) and bool(ang.any())
    return {
        "classes": sorted(present, key=present.get, reverse=True),
        "probability": {name: round(value, 3) for name, value in present.items()},
        "direction": COMPASS[int(ang.argmax())] if moves else None,
        "speed": round(float(ang @ features.mag[at]), 1),
        "moving": round(100 * (1 - bkg)),
        "directions": [round(share, 3) for share in ang.tolist()],
    }


def dominant(terms: np.ndarray, never_moved: bool) -> tuple[str, list[str]]:
    """The component with the largest term, and all that are nearly as large (spec §8.1).

    Args:
      terms: appearance, angle, speed, background, [4].
      never_moved: whether the volume moves and every exemplar of its region stands still. Direction
        and speed then differ only because the volume moves at all, so that their terms are added to
        that of `background`.

    Returns:
      Name of the largest term, and of every one at least half as large, in falling order.
    """
    if never_moved:
        terms = np.array([terms[0], 0.0, 0.0, terms[1:].sum()])
    order = np.argsort(-terms, kind="stable")
    largest = terms[order[0]]
    return COMPONENTS[order[0]], [COMPONENTS[i] for i in order if terms[i] >= ALSO * largest > 0]


def describe(one: dict, classes: bool) -> str:
    """Attributes as text: "person, moving left at 0.6 px/frame, 12% of pixels moving".

    Args:
      one: the attributes of a volume.
      classes: whether classes are known, and are to be named.
    """
    what = [", ".join(one["classes"]) or "unknown object"] if classes else []
    if one["direction"] is None:
        what.append("not moving")
    else:
        way, speed, share = one["direction"], one["speed"], one["moving"]
        what.append(f"moving {way} at {speed:.1f} px/frame, {share}% of pixels moving")
    return ", ".join(what)


class Explainer:
    """Reasons for the volumes of a video.

    Args:
      model: of the scene.
      grid: of the volumes.
      still: `motion.still_threshold` of the config.
      neighbours: `model.neighbours` of the config: a region also has the exemplars of regions up to
        that number of rows and columns away.
    """

    def __init__(self, model: Model, grid: Grid, still: float | None, neighbours: int = 0):
        self.model, self.grid, self.still = model, grid, still
        self.classes, self.names = from_bytes(model.classes), from_bytes(model.names)
        self.exemplars = model.features()
        self.stationary = self._stationary(neighbours)

    def _stationary(self, neighbours: int) -> np.ndarray:
        """Whether all exemplars that count for a region stand still, bool [R]."""
        # Regions where any exemplar moves, then those with such a region within `neighbours`.
        limit = 1.0 if self.still is None else self.still
        rows, columns = len(self.grid.rows), len(self.grid.columns)
        least = np.minimum.reduceat(self.model.bkg[:, 0], self.model.offsets[:-1])
        moved = np.pad((least < limit).reshape(rows, columns), neighbours)
        around = np.lib.stride_tricks.sliding_window_view(moved, (2 * neighbours + 1,) * 2)
        return ~around.any((2, 3)).reshape(-1)

    def of(self, features: Features, scores: VolumeScores, flag: float) -> Iterator[dict]:
        """Reasons for all volumes with a score of at least `flag`, by time and region."""
        for time, region in np.argwhere(scores.score >= flag):
            yield self.reason(features, scores, int(time), int(region))

    def reason(self, features: Features, scores: VolumeScores, time: int, region: int) -> dict:
        """Why a volume has its score, as a dict that JSON can hold."""
        # The volume beside its nearest exemplar, and the component that tells them apart.
        exemplar = int(scores.nearest[time, region])
        terms = scores.terms[time, region].astype(np.float64)
        here = attributes(features, (time, region), self.classes, self.still)
        normal = attributes(self.exemplars, (exemplar,), self.classes, self.still)
        never = bool(self.stationary[region]) and here["direction"] is not None
        first = int(features.t_start[time])
        row, column = divmod(region, len(self.grid.columns))
        why, also = dominant(terms, never)
        # The fields of spec §8.3, and their text.
        reason = {
            "frame": first + self.grid.window[0] // 2,
            "frames": [first, first + self.grid.window[0]],
            "region": [row, column],
            "box": list(self.grid.box(region)),
            "score": round(float(scores.score[time, region]), 4),
            "dominant": why,
            "also": also[1:],
            "terms": dict(zip(COMPONENTS, terms.round(4).tolist(), strict=True)),
            "never_moved": never,
            "here": here,
            "normal": normal | self._origin(exemplar),
        }
        return {"text": self._text(reason), **reason}

    def _origin(self, exemplar: int) -> dict:
        """Where an exemplar comes from: region, box, training video and frames; and its count."""
        first = int(self.model.source_t[exemplar])
        region = int(np.searchsorted(self.model.offsets, exemplar, side="right")) - 1
        return {
            "region": list(divmod(region, len(self.grid.columns))),
            "box": list(self.grid.box(region)),
            "count": int(self.model.count[exemplar]),
            "sequence": self.names[int(self.model.source_sequence[exemplar])],
            "frames": [first, first + self.grid.window[0]],
        }

    def _text(self, reason: dict) -> str:
        """The sentence of spec §8.3; frames are named by their first and last number."""
        # Classes are named only if there is an appearance network.
        normal, classes = reason["normal"], bool(self.classes)
        box = ",".join(map(str, reason["box"]))
        count = "once" if normal["count"] == 1 else f"{normal['count']} times"
        text = (
            f"frame {reason['frame']}, region ({reason['region'][0]},{reason['region'][1]}) "
            f"[{box}], score {reason['score']:.2f}: unusual {reason['dominant']}. "
            f"Here: {describe(reason['here'], classes)}. "
            f"Closest normal: {describe(normal, classes)} (seen {count}; training "
            f"{normal['sequence']}, frames {normal['frames'][0]}-{normal['frames'][1] - 1})."
        )
        return f"{text} {NO_MOTION.capitalize()}." if reason["never_moved"] else text
