"""Volumes of video on a grid, and their motion targets from optical flow (spec eval §3.2).

The flow of a video is computed once and reduced to 25 numbers for each volume: ang (12), mag (12)
and bkg, as `vadjax.ops.flow.targets` defines them. The volumes themselves are cut from the frames
when they are read.
"""

import hashlib
import json
import pathlib
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from vadjax.data import clips
from vadjax.data.clips import Frames, Video
from vadjax.data.store.records import Dataset
from vadjax.data.video.grid import Grid, motion_of, motion_sums
from vadjax.formats.npy import read_npy
from vadjax.ops.flow import BINS, make_flow, video_flow
from vadjax.runtime import replacing

STILL = 0.98  # share of still pixels from which a volume counts as still (spec eval §3.2)
NUMBERS = 2 * BINS + 1

Triple = tuple[int, int, int]


class Volumes(Sequence):
    """All volumes of a split, video after video; within a video by time, then row, then column.

    Element i is as one row of `batch`.

    Args:
      data: dataset of kind `"frames"`.
      split: name of the split.
      window: (t, h, w) of a volume: frames, pixels, pixels.
      step: (t, y, x) between the starts of volumes: frames, pixels, pixels.
      tau: pixels a frame from which a pixel counts as moving.
      flow: method of `vadjax.ops.flow.make_flow`.
      folder: where the targets are kept between runs; None keeps them in memory.

    Raises:
      ValueError: a window that does not fit into the frames, a video shorter than the window, a
        number below 1, or a window of a single frame.

    Attributes:
      frames: the frames of the split.
      grid: where the volumes lie in the frames.
      targets: float32 [volumes, 25]: ang, mag, bkg; made on first use.
    """

    def __init__(
        self,
        data: Dataset,
        split: str,
        window: Triple,
        step: Triple,
        tau: float,
        flow: str,
        folder: pathlib.Path | None = None,
    ):
        self.frames, self.window, self.tau = Frames(data, split), window, tau
        self._step, self._flow, self._method = step, make_flow(flow), flow
        self._data, self._split, self._folder = data, split, folder
        _check(self.frames.size, window, step, f"{data.folder} ({split})")
        clips.check_lengths(self.frames.entries, window[0], f"{data.folder} ({split})")
        # First frames of the volumes of each video, and number of the first volume of each video.
        self.grid = Grid(tuple(self.frames.size), tuple(window), tuple(step))
        self._times = [self.grid.times(entry["frames"]) for entry in self.frames.entries]
        self._first = np.cumsum([0] + [len(times) * self.grid.regions for times in self._times])
        self._targets: np.ndarray | None = None

    def __len__(self) -> int:
        return int(self._first[-1])

    def before(self, video: int) -> int:
        """Volumes of the videos before that number."""
        return int(self._first[video])

    @property
    def targets(self) -> np.ndarray:
        """Motion of every volume, float32 [volumes, 25]."""
        if self._targets is None:
            # The file's name has a digest of everything that the targets depend on.
            path = self._folder and self._folder / f"motion_targets_{self._key()}.npy"
            if path is None:
                self._targets = np.concatenate(list(self._measured()))
            else:
                if not path.is_file():
                    _write(path, len(self), self._measured())
                self._targets = _read(path, len(self))
        return self._targets

    @property
    def moving(self) -> np.ndarray:
        """Whether each volume moves, bool [volumes]: fewer than 98 % of its pixels are still."""
        return np.asarray(self.targets[:, -1]) < STILL

    def __getitem__(self, index: int) -> dict:
        return {name: value[0] for name, value in self.batch([index]).items()}

    def batch(self, numbers: Sequence[int]) -> dict:
        """The volumes of those numbers with their targets.

        Returns:
          `volume`, uint8 [B, t, h, w, 3], RGB; `ang` and `mag`, float32 [B, 12]; `bkg`, [B].
        """
        numbers = np.asarray(numbers)
        order = np.argsort(numbers, kind="stable")  # read the file from front to back
        volumes = np.empty((len(numbers), *self.window, 3), np.uint8)
        frame = np.empty((*self.frames.size, 3), np.uint8)
        # The frame that was read last is kept, in case the next volume begins with it.
        (_, h, w), last_read = self.window, -1
        for place in order:
            first, y, x = self._locate(int(numbers[place]))
            for t in range(self.window[0]):
                if last_read != first + t:
                    self.frames.read(first + t, frame)
                    last_read = first + t
                volumes[place, t] = frame[y : y + h, x : x + w]
        targets = np.asarray(self.targets[numbers], np.float32)
        ang, mag, bkg = np.split(targets, [BINS, 2 * BINS], axis=1)
        return {"volume": volumes, "ang": ang, "mag": mag, "bkg": bkg[:, 0]}

    def _locate(self, number: int) -> tuple[int, int, int]:
        """First frame (in the split), row and column of a volume."""
        video = int(np.searchsorted(self._first, number, side="right")) - 1
        time, region = divmod(number - int(self._first[video]), self.grid.regions)
        x, y, _, _ = self.grid.box(region)
        return int(self.frames.first[video] + self._times[video][time]), y, x

    def _measured(self) -> Iterator[np.ndarray]:
        """The targets of each video, float32 [volumes of the video, 25], by optical flow."""
        for number, times in enumerate(self._times):
            video = Video(self._data, self._split, number, self.frames)
            flows = video_flow(video, self._flow)
            yield grid_targets(flows, times, self.grid, self.tau)

    def _key(self) -> str:
        """Digest of everything that the targets depend on, 12 hexadecimal digits."""
        settings = [self._data.digest, self._split, self.window, self._step, self.tau, self._method]
        return hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:12]


def grid_targets(
    flows: Iterable[np.ndarray], times: np.ndarray, grid: Grid, tau: float
) -> np.ndarray:
    """Motion of all volumes of one video; each pair of frames is looked at once.

    Args:
      flows: flow [H, W, 2] between every two frames, in order.
      times: first frames of the volumes.
      grid: where the volumes lie in the frames.
      tau: pixels a frame from which a pixel counts as moving.

    Returns:
      float32 [times · regions, 25], as `vadjax.ops.flow.targets` of each volume.
    """
    # A volume of t frames has t - 1 flows; their sum is a difference of two running sums over time.
    length, pixels = grid.window[0] - 1, grid.window[1] * grid.window[2]
    sums = np.array([motion_sums(flow[None], grid, tau) for flow in flows])  # [T - 1, 2, R, 12]
    total = np.cumsum(np.concatenate([np.zeros_like(sums[:1]), sums]), axis=0)
    sums_of_volumes = total[times + length] - total[times]
    ang, mag, bkg = motion_of(sums_of_volumes[:, 0], sums_of_volumes[:, 1], length * pixels)
    return np.concatenate([ang, mag, bkg[..., None]], -1).reshape(-1, NUMBERS).astype(np.float32)


def _read(path: pathlib.Path, count: int) -> np.ndarray:
    """Targets that `_write` wrote, float32 [count, 25].

    Raises:
      ValueError: the file is damaged, or holds an array of another shape or type.
    """
    rows = read_npy(path)
    if rows.shape != (count, NUMBERS) or rows.dtype != np.float32:
        raise ValueError(
            f"{path}: {rows.dtype} {rows.shape}; expected float32 {(count, NUMBERS)}. Remove it "
            "to make it anew"
        )
    return rows


def _write(path: pathlib.Path, count: int, parts: Iterable[np.ndarray]) -> None:
    """Writes the targets part by part to a file beside `path`, then renames it to `path`."""
    with replacing.file(path, 4 * count * NUMBERS) as new, new.open("wb") as out:
        # Not by `np.memmap`: writing to mapped memory on a full disk ends the program by SIGBUS.
        header = {"descr": "<f4", "fortran_order": False, "shape": (count, NUMBERS)}
        np.lib.format.write_array_header_1_0(out, header)
        for part in parts:
            out.write(np.ascontiguousarray(part, "<f4").tobytes())


def _check(size: tuple[int, int], window: Triple, step: Triple, where: str) -> None:
    """Raises ValueError unless windows of this kind fit into frames of (H, W) `size`."""
    if len(window) != 3 or len(step) != 3 or min(*window, *step) < 1 or window[0] < 2:
        raise ValueError(
            f"window {window} with step {step}; expected (frames, height, width), "
            "2 frames or more and steps of 1 or more"
        )
    if window[1] > size[0] or window[2] > size[1]:
        raise ValueError(
            f"{where}: frames of {size[0]} × {size[1]} hold no window of {window[1]} × {window[2]}"
            "; choose a smaller one (--config.model.window) or prepare larger frames"
        )


def training_order(moving: np.ndarray, where: str) -> np.ndarray:
    """Numbers of the volumes to train on; moving ones are repeated until they are at least half.

    Args:
      moving: whether each volume moves, bool [n].
      where: dataset and split of the volumes, for messages.

    Returns:
      int64 [m]: the moving volumes as often as needed, then the still ones once.

    Raises:
      ValueError: nothing moves.
    """
    numbers, still = np.flatnonzero(moving), np.flatnonzero(~moving)
    if not len(numbers):
        raise ValueError(
            f"{where}: nothing moves in {len(moving):,} volumes; lower --config.model.tau, "
            "in pixels a frame"
        )
    times = max(1, -(-len(still) // len(numbers)))
    return np.concatenate([np.tile(numbers, times), still])
