"""Features of the regions of a frame, by NanoDet's maps: no network of crops is needed.

    appearance = DetectorAppearance("")                # python -m data_prep.weights nanodet
    features, probabilities = appearance.of_regions(frame, boxes)  # uint8 [H, W, 3], [n, 4]

The network sees the whole frame once, and its P3 features are averaged over each region (spec
nanodet §6), to length 1 (spec attributes §3.2).
"""

import pathlib

import numpy as np

from vadjax.extractors import nanodet

SOURCE = "nanodet"
LEAST_NORM = 1e-12


class DetectorAppearance:
    """Appearance of regions by the detector's features.

    Args:
      weights: folder of the weights; "" is that of the cache, to which they are fetched if need be.

    Attributes:
      classes: none; features of a region have no classes.
      digest: SHA-256 of the weights.

    Raises:
      FileNotFoundError, OSError, ValueError: as `nanodet.load`.
    """

    classes: tuple[str, ...] = ()

    def __init__(self, weights: str | pathlib.Path):
        self._network = nanodet.load(weights)
        self.digest = self._network.digest

    def of_regions(self, frame: np.ndarray, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Features float32 [n, 128] of length 1, and no class probabilities, [n, 0].

        Args:
          frame: uint8 [H, W, 3], RGB.
          boxes: regions float [n, 4], `x0, y0, x1, y1` in its pixels.
        """
        (seen,) = self._network([frame])
        rows = seen.features(np.asarray(boxes, np.float64))
        norm = np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), LEAST_NORM)
        return rows / norm, np.zeros((len(rows), 0), np.float32)
