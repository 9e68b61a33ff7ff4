"""Objects from stored tracks, for datasets without pixels: speed by the centres of boxes (§10)."""

import ml_collections
import numpy as np

from vadjax.data.store.records import Description
from vadjax.data.tracks import TrackedVideo
from vadjax.systems.attributes.motion import BINS, Motions
from vadjax.systems.attributes.objects import UNKNOWN, ObjectTable

TRACKS = "tracks"  # value of `objects.source`


class TrackObjectSource:
    """Makes the objects of the videos of a dataset of tracks.

    Args:
      config: of the run; section `objects`, and `attributes`.

    Attributes:
      network: None: there is no detector.

    Raises:
      ValueError: a field that cannot be used.
    """

    network = None

    def __init__(self, config: ml_collections.ConfigDict):
        if config.attributes.look:
            raise ValueError(
                "attributes.look counts, but objects.source is tracks, which have no pixels; give "
                "attributes.look=False"
            )
        if config.objects.camera != "fixed":
            raise ValueError(
                f"objects.camera is {config.objects.camera}, but objects.source is tracks, which "
                "do not show how the camera moves; give objects.camera=fixed"
            )
        if config.objects.reach < 1:
            raise ValueError(f"objects.reach is {config.objects.reach}; expected 1 frame or more")
        self._reach = int(config.objects.reach)

    def check_new_video(self, name: str) -> None:
        """Raises ValueError: new video has frames, and no tracks."""
        raise ValueError(
            f"{name}: the run was trained on tracks, and new video has none; make a dataset of its "
            "tracks (python -m data_prep.tracks dataset), or train another run on frames with "
            "--config.objects.source=nanodet"
        )

    def without_files(self) -> "TrackObjectSource":
        """The same: it keeps no files."""
        return self

    def of_video(self, video: TrackedVideo, every: int, data: Description) -> ObjectTable:
        """The objects of the frames of a video that are taken, in order of frame and track."""
        del data
        rows = video.rows
        vectors = every * velocities(rows, self._reach)
        taken = rows[:, 0] % every == 0
        rows, vectors = rows[taken], vectors[taken]
        count = len(rows)
        return ObjectTable(
            rows[:, 0].astype(np.int64),
            rows[:, 2:],
            np.zeros(count, np.float32),
            np.full(count, UNKNOWN),
            _motions(vectors),
            np.zeros((count, 0), np.float32),
        )


def velocities(rows: np.ndarray, reach: int) -> np.ndarray:
    """How the objects of tracks move: float64 [n, 2], pixels a frame; NaN where nothing is known.

    An object moves from the box of its track nearest to `reach` frames before to the one nearest to
    `reach` frames after, the earlier of equals; boxes may be missing between them.

    Args:
      rows: boxes [n, 6] (`vadjax.data.tracks.COLUMNS`).
      reach: frames before and after.
    """
    centres = (rows[:, 2:4] + rows[:, 4:6]) / 2
    found = np.full((len(rows), 2), np.nan)
    order = np.lexsort((rows[:, 0], rows[:, 1]))  # track by track
    bounds = np.flatnonzero(np.diff(rows[order, 1])) + 1
    for own in np.split(order, bounds):
        if len(own) < 2:
            continue
        frames = rows[own, 0]
        before, after = (_nearest(frames, frames + way) for way in (-reach, reach))
        moved = centres[own[after]] - centres[own[before]]
        between = (frames[after] - frames[before])[:, None]
        # no box near enough on either side: nothing is known
        found[own] = np.divide(moved, between, out=found[own], where=between > 0)
    return found


def _nearest(frames: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Index of the one of `frames` (rising) nearest to each wanted one, the earlier of equals."""
    after = np.clip(np.searchsorted(frames, wanted), 0, len(frames) - 1)
    before = np.maximum(after - 1, 0)
    return np.where(wanted - frames[before] <= frames[after] - wanted, before, after)


def _motions(vectors: np.ndarray) -> Motions:
    """Motions of objects that move as a whole: all of the speed is in one direction."""
    speed = np.linalg.norm(vectors, axis=1)
    turn = np.mod(np.degrees(np.arctan2(vectors[:, 1], vectors[:, 0])), 360) / (360 / BINS)
    bins = np.where(np.isnan(speed)[:, None], np.nan, np.zeros((len(speed), BINS)))
    known = np.flatnonzero(np.isfinite(speed))
    bins[known, turn[known].astype(int) % BINS] = speed[known]
    return Motions(speed, bins, vectors)
