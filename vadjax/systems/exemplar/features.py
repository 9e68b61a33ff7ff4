"""Stage 1: features of all volumes of a video (spec eval §3, §4)."""

import collections
import functools
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future
from typing import NamedTuple

import ml_collections
import numpy as np

from vadjax.config import expect_one_of
from vadjax.data.clips import Video
from vadjax.data.video.frame_stream import Frame, Stamp, numbered
from vadjax.data.video.grid import Grid
from vadjax.extractors.exemplar_networks import (
    SOURCES,
    Appearance,
    MotionNetworks,
    load_appearance,
    load_motion,
)
from vadjax.extractors.region_appearance import SOURCE as DETECTOR
from vadjax.extractors.region_appearance import DetectorAppearance
from vadjax.ops import flow, opencv
from vadjax.ops.flow import Motion
from vadjax.systems.exemplar import volumes

MOTION_SOURCES = ("flow", "networks")
AHEAD = 1  # times of a video whose motion is measured while later frames are read


class Features(NamedTuple):
    """Features of the volumes of a video; n_t times, R regions.

    Attributes:
      app: appearance, float32 [n_t, R, A]; A is 0 without an appearance network.
      ang: shares of the directions, float32 [n_t, R, 12].
      mag: mean speed of each direction, pixels a frame, float32 [n_t, R, 12].
      bkg: still share, float32 [n_t, R, 1].
      app_prob: probability of each class, float32 [n_t, R, classes].
      speeds: robust speeds, float32 [n_t, R, 4] (`flow.SPEEDS`); [n_t, R, 0] of motion networks.
      hidden: penultimate layers of the motion networks, float32 [n_t, R, 3 * 128]; [n_t, R, 0]
        without these networks.
      t_start: first frame of each volume, int64 [n_t].
    """

    app: np.ndarray
    ang: np.ndarray
    mag: np.ndarray
    bkg: np.ndarray
    app_prob: np.ndarray
    speeds: np.ndarray
    hidden: np.ndarray
    t_start: np.ndarray


class Extractor:
    """Extracts the features that a config asks for.

    Args:
      config: with the sections `volume`, `appearance` and `motion`. Networks are loaded at first
        use.

    Raises:
      ValueError: a field has a value that cannot be used.
    """

    def __init__(self, config: ml_collections.ConfigDict):
        # A window needs two frames, since motion is between frames.
        self.window, self.step = tuple(config.volume.window), tuple(config.volume.step)
        for name, numbers in (("window", self.window), ("step", self.step)):
            if len(numbers) != 3 or min(numbers) < 1 or numbers[0] < 2 - (name == "step"):
                raise ValueError(
                    f"volume.{name} is {numbers}; expected (frames, height, width), 2 frames or "
                    "more in a window, all others 1 or more"
                )
        self.motion = config.motion
        expect_one_of("motion.source", self.motion.source, MOTION_SOURCES)
        expect_one_of("motion.flow", self.motion.flow, flow.METHODS)
        expect_one_of("appearance.source", config.appearance.source, ("none", DETECTOR, *SOURCES))
        self.appearance = config.appearance

    @functools.cached_property
    def _flow(self) -> flow.Flow | None:
        return flow.make_flow(self.motion.flow) if self.motion.source == "flow" else None

    @functools.cached_property
    def _appearance(self) -> Appearance | DetectorAppearance | None:
        if self.appearance.source == "none":
            return None
        if self.appearance.source == DETECTOR:
            return DetectorAppearance(self.appearance.weights)
        return load_appearance(self.appearance.source, self.appearance.weights)

    @functools.cached_property
    def _networks(self) -> MotionNetworks | None:
        if self.motion.source == "flow":
            return None
        networks = load_motion(self.motion.weights)
        if tuple(networks.window) != self.window:
            raise ValueError(
                f"{self.motion.weights}: trained on volumes of {networks.window} (frames, height, "
                f"width), volume.window is {self.window}; name other weights "
                "(configs/exemplar_motion_network.py trains them) or that window"
            )
        return networks

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes of `app_prob`."""
        return self._appearance.classes if self._appearance else ()

    def grid(self, size: tuple[int, int]) -> Grid:
        """The grid of volumes in frames of `size` (H, W).

        Raises:
          ValueError: a window is larger than the frame.
        """
        if size[0] < self.window[1] or size[1] < self.window[2]:
            raise ValueError(
                f"volume.window is {self.window[1]} × {self.window[2]} pixels, the frames have "
                f"{size[0]} × {size[1]}; take smaller windows"
            )
        return Grid(tuple(size), self.window, self.step)

    def settings(self, size: tuple[int, int]) -> dict:
        """All settings that the features of frames of `size` (H, W) depend on."""
        # Motion by networks depends on their weights; by flow on the method and tau.
        of_motion = {"source": self.motion.source, "still_threshold": self.motion.still_threshold}
        if self._networks:
            of_motion |= {"weights": self._networks.digest}
        else:
            of_motion |= {"flow": self.motion.flow, "tau": self.motion.tau}
        return {
            "window": self.window,
            "step": self.step,
            "frame_size": tuple(size),
            "motion": of_motion,
            "appearance": self._appearance.digest if self._appearance else "none",
        }

    def extract(self, video: Video) -> Features:
        """Features of a video, in one pass over its frames.

        Raises:
          ValueError: a feature is NaN or infinite; names video, time and region.
        """
        volumes_of_time = self.stream(numbered(video), self.grid(video.size), AHEAD)
        found = join([features for features, _ in volumes_of_time])
        check_finite(video.name, found)
        return found

    def stream(
        self, frames: Iterable[Frame], grid: Grid, ahead: int = 0
    ) -> Iterator[tuple[Features, tuple[Stamp, ...]]]:
        """Features of the volumes of one time after the other, n_t = 1, as the frames come.

        Args:
          frames: of a video.
          grid: of the volumes.
          ahead: times that are begun before the features of an earlier one are given out.

        Yields:
          Features, whose `t_start` is the number of a frame, and the frames that came since those
          before.
        """
        begun: collections.deque[tuple[volumes.Slab, Future | None]] = collections.deque()
        with opencv.threads() as pool:
            for slab in volumes.slabs(frames, grid, self._flow):
                begun.append((slab, self._begin(pool, slab, grid)))
                if len(begun) > ahead:
                    yield self._finish(*begun.popleft(), grid)
            while begun:
                yield self._finish(*begun.popleft(), grid)

    def _begin(self, pool: Executor, slab: volumes.Slab, grid: Grid) -> Future | None:
        """Begins to measure the motion in a slab's flow; None where networks tell the motion."""
        if slab.flow is None:
            return None
        return pool.submit(volumes.motion, slab.flow, grid, self.motion.tau)

    def _finish(self, slab: volumes.Slab, moved: Future | None, grid: Grid):
        """Features of a slab, and the frames that came since the one before."""
        app, prob = self._appear(slab, grid)
        ang, mag, bkg, speeds, hidden = self._move(slab, moved, grid)
        rows = (app, ang, mag, bkg[..., None], prob, speeds, hidden)
        return Features(*(row[None] for row in rows), np.array([slab.start])), slab.since

    def _appear(self, slab: volumes.Slab, grid: Grid):
        """Appearance feature and class probabilities, from the middle frame (spec §3.1)."""
        if self._appearance is None:
            return np.zeros((2, grid.regions, 0), np.float32)
        middle = slab.frames[len(slab.frames) // 2]
        boxes = np.array([grid.box(region) for region in range(grid.regions)])
        return self._appearance.of_regions(middle, boxes)

    def _move(self, slab: volumes.Slab, moved: Future | None, grid: Grid):
        """Directions, speeds, still share, robust speeds, penultimate layers (spec §3.2).

        They come from optical flow, which has no layers, or from networks, which have no robust
        speeds. Volumes that stand still are gated.
        """
        if moved is not None:
            ang, mag, bkg, speeds = moved.result()
            hidden = np.zeros((grid.regions, 0), np.float32)
        else:
            (ang, mag, bkg), hidden = self._networks(volumes.cut(slab.frames, grid))
            speeds = np.zeros((grid.regions, 0), np.float32)
        return *volumes.gate(Motion(ang, mag, bkg), self.motion.still_threshold), speeds, hidden


def join(parts: Sequence[Features]) -> Features:
    """Joins the features of consecutive times."""
    return Features(*map(np.concatenate, zip(*parts, strict=True)))


def check_finite(name: str, found: Features) -> None:
    """Raises ValueError if a feature is NaN or infinite; names video, time and region."""
    for field, array in found._asdict().items():
        wrong = np.argwhere(~np.isfinite(array))
        if len(wrong):
            time, region = wrong[0][:2]
            raise ValueError(
                f"{name}: {field} of the volume at frame {found.t_start[time]}, region {region} "
                "is NaN or infinite; are the weights of the networks damaged?"
            )


def meta(video: Video, settings: dict, data: str) -> dict:
    """All that a video's features depend on, for its file; `data` is the digest of its dataset."""
    return {"video": video.name, "n_frames": video.num_frames, "data": data, **settings}
