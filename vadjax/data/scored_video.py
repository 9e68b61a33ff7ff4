"""What evaluation asks of a video, whatever kind of data it comes from."""

from typing import NamedTuple

import numpy as np


class RegionTruth(NamedTuple):
    """Where the anomalies of a video are.

    Attributes:
      tracks: int64 [n, 6] (`boxes.TRACK_COLUMNS`); None where the video has none.
      frame_size: (H, W) of the frames that the tracks belong to.
    """

    tracks: np.ndarray | None
    frame_size: tuple[int, int]


class ScoredVideo:
    """A video of a split, as `System.videos` gives it.

    Attributes:
      name: unique in the split.
    """

    name: str

    @property
    def region_truth(self) -> RegionTruth | None:
        """Where its anomalies are. Default: None, for data in which a video has no pictures."""
        return None
