"""Dense optical flow, and what moves in a volume: directions, speeds, the still share.

Spec eval §3.2. NumPy and OpenCV only.
"""

import collections
import contextlib
import functools
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from typing import NamedTuple

import cv2
import numpy as np

from vadjax.ops import opencv

BINS = 12  # of 30 degrees; bin 0 starts at "right", clockwise on the screen
# Kinds of dense inverse search → how OpenCV's medium preset is changed. The preset ends at level 1
# of the pyramid, half the frame's sides, with patches 3 pixels apart, 25 steps and 5 refinements.
DIS = {
    "dis": {},
    "dis_light": {
        "PatchStride": 4,
        "GradientDescentIterations": 8,
        "VariationalRefinementIterations": 4,
    },
    "dis_half": {"FinestScale": 2},
}
METHODS = (*DIS, "tvl1")
AHEAD = 8  # most flows of a video that are begun before they are asked for

Flow = Callable[[np.ndarray, np.ndarray], np.ndarray]
FutureFlow = Callable[[np.ndarray, np.ndarray], Future[np.ndarray]]


class Motion(NamedTuple):
    """Motion of volumes.

    Attributes:
      ang: share of the moving pixels in each direction, float64 [..., 12]; zeros if nothing moves.
      mag: their mean speed, pixels a frame, float64 [..., 12]; 0 for a direction without pixels.
      bkg: share of all pixels that do not move, float64 [...].
    """

    ang: np.ndarray
    mag: np.ndarray
    bkg: np.ndarray


def make_flow(method: str = "dis") -> Flow:
    """Function of two consecutive frames, uint8 [H, W], → flow float32 [H, W, 2].

    The flow is u to the right and v down, in pixels a frame.

    Args:
      method: `"dis"`, dense inverse search (OpenCV, medium preset: ten milliseconds for 240 × 360
        pixels); `"dis_light"`, with fewer patches and steps, two thirds of the time; `"dis_half"`,
        without the finest level, a quarter; or `"tvl1"`, TV-L1 (scikit-image: about a second a
        frame), the kind that EVAL names.

    Raises:
      ValueError: no such method.
      ImportError: TV-L1 without scikit-image.
    """
    if method in DIS:
        # Each call makes a new object: an old one would start from the flow of its last call, and
        # calls in several threads would share its buffers.
        return lambda one, two: _dis(method).calc(one, two, None)
    if method == "tvl1":
        try:
            from skimage.registration import optical_flow_tvl1
        except ImportError as error:
            raise ImportError(
                "TV-L1 flow needs scikit-image: pip install 'vadjax[flow]', or take "
                "the method 'dis'"
            ) from error

        def tvl1(one: np.ndarray, two: np.ndarray) -> np.ndarray:
            rows, columns = optical_flow_tvl1(one, two, dtype=np.float32)
            return np.stack([columns, rows], -1)

        return tvl1
    raise ValueError(f"flow method {method!r}; expected one of {', '.join(METHODS)}")


def _dis(method: str):
    made = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    for name, value in DIS[method].items():
        getattr(made, f"set{name}")(value)
    return made


@contextlib.contextmanager
def in_threads(flow: Flow) -> Iterator[FutureFlow]:
    """Makes flows in OpenCV's threads: lends a function as `flow` that returns futures at once.

    A flow is made by one thread, and by the same code whatever the number of threads.
    """
    with opencv.threads() as pool:
        yield functools.partial(pool.submit, flow)


def video_flow(frames: Iterable[np.ndarray], flow: Flow) -> Iterator[np.ndarray]:
    """Yields the flow, float32 [H, W, 2], between each two consecutive RGB frames uint8.

    The flows come in order; up to `AHEAD` of the next ones are made in threads meanwhile.
    """
    before, begun = None, collections.deque()
    with in_threads(flow) as begin:
        for frame in frames:
            grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
            if before is not None:
                begun.append(begin(before, grey))
            before = grey
            if len(begun) > AHEAD:
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()


def directions(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Bin of 30 degrees, 0 to 11, of every flow vector; bin 0 starts at "right", clockwise."""
    turn = np.mod(np.arctan2(v, u), 2 * np.pi)
    return np.floor(turn / (2 * np.pi / BINS)).astype(int) % BINS


def targets(flow: np.ndarray, tau: float) -> Motion:
    """Motion of one volume.

    Args:
      flow: [..., 2], u to the right and v down, pixels a frame; all vectors count alike.
      tau: pixels a frame from which a pixel counts as moving.

    Raises:
      ValueError: not finite, no vector, or of another shape.
    """
    if flow.shape[-1:] != (2,) or not flow.size:
        raise ValueError(f"flow {flow.shape}; expected [..., 2], at least one vector")
    u, v = np.asarray(flow, np.float64).reshape(-1, 2).T
    speed = np.hypot(u, v)
    if not np.isfinite(speed).all():
        raise ValueError("flow holds NaN or infinite numbers")
    # ang_b = moving pixels in bin b / moving pixels; mag_b = their mean speed; bkg = still share.
    moving = speed >= tau
    direction = directions(u[moving], v[moving])
    count = np.bincount(direction, minlength=BINS)
    total = np.bincount(direction, speed[moving], minlength=BINS)
    return Motion(
        count / max(count.sum(), 1), total / np.maximum(count, 1), np.float64(1 - moving.mean())
    )


SPEEDS = ("moving", "fastest", "p99", "all")  # columns of `speeds`, in this order
FASTEST, LEAST_MOVING = 0.05, 0.02  # shares of the pixels of a volume


def speeds(speed: np.ndarray, tau: float) -> np.ndarray:
    """Robust speeds of volumes, which vary less than the mean over a direction's few pixels.

    `moving`: mean of the pixels that move, 0 where fewer than 2 % do; `fastest`: mean of the
    fastest 5 % of all pixels; `p99`: 99th percentile (the smallest of the fastest 1 %); `all`: mean
    of all.

    Args:
      speed: [N, pixels], pixels a frame, of N volumes; it is reordered in place.
      tau: pixels a frame from which a pixel counts as moving.

    Returns:
      float64 [N, 4], in the order of `SPEEDS`.
    """
    # The means first: the partition below reorders the pixels.
    pixels = speed.shape[1]
    fastest, top = max(1, round(FASTEST * pixels)), max(1, round((1 - 0.99) * pixels))
    moving = speed >= tau
    count = moving.sum(1)
    total = np.where(moving, speed, 0).sum(1, dtype=np.float64)
    mean = np.where(count >= LEAST_MOVING * pixels, total / np.maximum(count, 1), 0.0)
    everywhere = speed.mean(1, dtype=np.float64)
    speed.partition((pixels - fastest, pixels - top), axis=1)
    return np.stack(
        [
            mean,
            speed[:, pixels - fastest :].mean(1, dtype=np.float64),
            speed[:, pixels - top].astype(np.float64),
            everywhere,
        ],
        1,
    )
