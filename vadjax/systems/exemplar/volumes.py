"""Cutting a video into the volumes of a grid, and the motion in each (spec eval §2, §3.2)."""

import collections
import contextlib
import itertools
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from typing import NamedTuple

import cv2
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from vadjax.data.video.frame_stream import Frame, Stamp
from vadjax.data.video.grid import Grid, motion_of, motion_sums
from vadjax.ops import flow
from vadjax.ops.flow import Motion


class Slab(NamedTuple):
    """The frames of all volumes that begin at one time.

    Attributes:
      start: number of the first frame.
      frames: uint8 [t, H, W, 3], RGB.
      flow: float32 [t - 1, H, W, 2], pixels a frame; None where none was asked for.
      since: number and time of the frames that came since the slab before.
    """

    start: int
    frames: np.ndarray
    flow: np.ndarray | None
    since: tuple[Stamp, ...]


def slabs(frames: Iterable[Frame], grid: Grid, make_flow: flow.Flow | None) -> Iterator[Slab]:
    """The slabs of a video, at `grid.times`; each frame is read once, t of them are in memory.

    The flow between frames is made in threads as the frames come, at most t - 1 flows at once.

    Args:
      frames: of a video; one shorter than a volume is padded with its last frame.
      grid: where the volumes are.
      make_flow: flow of two consecutive grey frames, or None.
    """
    length, step, start = grid.window[0], grid.step[0], -1
    held: collections.deque[Frame] = collections.deque(maxlen=length)
    flows: collections.deque[Future[np.ndarray]] = collections.deque(maxlen=length - 1)
    before, since = None, []

    def slab() -> Slab:
        pixels = np.stack([frame.pixels for frame in held])
        between = np.stack([one.result() for one in flows]) if flows else None
        return Slab(held[0].number, pixels, between, tuple(since))

    with contextlib.ExitStack() as held_threads:
        begin = held_threads.enter_context(flow.in_threads(make_flow)) if make_flow else None
        for rank, (frame, is_padding) in enumerate(_padded(frames, length)):
            held.append(frame)
            if not is_padding:
                since.append(frame.stamp)
            if begin is not None:
                grey = cv2.cvtColor(frame.pixels, cv2.COLOR_RGB2GRAY)
                if len(flows) == flows.maxlen:
                    flows[0].result()  # its place is needed: the threads may be behind
                if before is not None:
                    flows.append(begin(before, grey))
                before = grey
            start = rank - length + 1
            if start >= 0 and start % step == 0:
                yield slab()
                since = []
        if start >= 0 and start % step:  # the last one touches the end
            yield slab()


def _padded(frames: Iterable[Frame], least: int) -> Iterator[tuple[Frame, bool]]:
    """The frames, and the last one again until there are `least`; whether each is such a copy."""
    count, frame = 0, None
    for frame in frames:
        count += 1
        yield frame, False
    if frame is not None:
        yield from itertools.repeat((frame, True), max(0, least - count))


def cut(frames: np.ndarray, grid: Grid) -> np.ndarray:
    """The volumes of a slab.

    Args:
      frames: [n, H, W, ...], any number of frames.
      grid: of the volumes.

    Returns:
      [R, n, h, w, ...], a copy.
    """
    windows = sliding_window_view(frames, grid.window[1:], axis=(1, 2))  # [n, y, x, ..., h, w]
    windows = windows[:, grid.rows[:, None], grid.columns[None]]
    # The axes h and w go behind n, then the regions become the first axis.
    n, rows, columns, *rest = windows.shape
    windows = np.moveaxis(windows, (-2, -1), (3, 4))
    return np.moveaxis(windows.reshape(n, rows * columns, *windows.shape[3:]), 0, 1)


class FlowMotion(NamedTuple):
    """Motion of the volumes of a slab, float32.

    ang [R, 12], mag [R, 12], bkg [R], as `flow.targets`; speeds [R, 4], as `flow.speeds`.
    """

    ang: np.ndarray
    mag: np.ndarray
    bkg: np.ndarray
    speeds: np.ndarray


def motion(found: np.ndarray, grid: Grid, tau: float) -> FlowMotion:
    """Motion of the volumes of a slab, with the same values as `flow.targets` of each.

    Args:
      found: flow [t - 1, H, W, 2].
      grid: of the volumes.
      tau: pixels a frame from which a pixel counts as moving.
    """
    pixels = len(found) * grid.window[1] * grid.window[2]
    moves = motion_of(*motion_sums(found, grid, tau), pixels)
    speed = np.hypot(found[..., 0], found[..., 1])
    volumes = cut(speed, grid).reshape(grid.regions, pixels)
    parts = (*moves, flow.speeds(volumes, tau))
    return FlowMotion(*(part.astype(np.float32) for part in parts))


def gate(motion: Motion, still_threshold: float | None) -> Motion:
    """Sets direction and speed to 0 in volumes that stand still (spec §3.2, "Gating").

    Args:
      motion: ang [..., 12], mag [..., 12], bkg [...].
      still_threshold: share of still pixels, 0 to 1, from which a volume stands still; None leaves
        all volumes as they are.
    """
    if still_threshold is None:
        return motion
    moves = (motion.bkg < still_threshold)[..., None]
    return Motion(motion.ang * moves, motion.mag * moves, motion.bkg)
