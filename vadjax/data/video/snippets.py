"""Snippets: the inputs of an I3D network, 16 resized and cropped frames each (spec i3d §B4).

    for snippet in Snippets("ten").cut(frames):     # frames uint8 [H, W, 3] of any one size
        ...                                         # uint8 [10, 16, 224, 224, 3]

The two published preparations are named by their crops: "centre" (short side 256, bilinear, one
crop; §A4) and "ten" (340 × 256 whatever the aspect, Lanczos, ten crops; §B4).

With optical flow (§A4) a frame has five channels: R, G, B, and the motion since the frame before in
x and y, stored as in published flow images: uint8, ±20 pixels as 0 … 255, so that 128 is no motion.
"""

import collections
import dataclasses
import functools
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image

from vadjax.data.video.frame_stream import Frame, Stamp, numbered
from vadjax.ops.flow import METHODS, FutureFlow, in_threads, make_flow

FRAMES = 16  # frames of a snippet
CROP = 224  # pixels of both sides of a crop
SHORT_SIDE = 256  # pixels of the shorter side of a frame before a centre crop
TEN_CROP_SIZE = (256, 340)  # height and width of a frame before ten crops
FLOW_LIMIT = 20  # pixels a frame, the largest motion that is stored
CHANNELS = {"rgb": slice(0, 3), "flow": slice(3, 5)}  # stream → its channels of a frame
NORMALISATIONS = {"pm1": (127.5, 127.5), "kinetics": (114.75, 57.375)}  # subtract, divide


def normalise(pixels, name: str):
    """Normalises pixels for a network, to float32 of the same shape.

    Args:
      pixels: uint8 or float in 0 … 255, an array of NumPy or JAX of any shape.
      name: "pm1" (to -1 … 1, §A4) or "kinetics" ((x - 114.75) / 57.375, §B4).
    """
    middle, spread = NORMALISATIONS[name]
    return (pixels.astype(np.float32) - np.float32(middle)) / np.float32(spread)


def count_snippets(frames: int, step: int = FRAMES, pad_last: bool = False) -> int:
    """Number of snippets of a video: floor((frames - 16) / step) + 1 (§B4).

    Args:
      frames: number of frames of the video.
      step: frames from the start of one snippet to the start of the next.
      pad_last: whether frames that are left over after the last whole snippet make one more.
    """
    # One more only if it would show a frame that no whole snippet shows, and begins in the video.
    complete = max((frames - FRAMES) // step + 1, 0)
    covered = (complete - 1) * step + FRAMES if complete else 0
    return complete + (pad_last and covered < frames and complete * step < frames)


def short_side(frame: np.ndarray, size: int = SHORT_SIDE) -> np.ndarray:
    """Frame [H, W, 3] resized so that its shorter side is `size`; bilinear on uint8 (§A4)."""
    height, width = frame.shape[:2]
    scale = size / min(height, width)
    new = (round(width * scale), round(height * scale))
    if new == (width, height):
        return frame
    return cv2.resize(frame, new, interpolation=cv2.INTER_LINEAR)


def stretch(frame: np.ndarray, size: tuple[int, int] = TEN_CROP_SIZE) -> np.ndarray:
    """Frame [H, W, 3] resized to (H, W), aspect not kept; Pillow's Lanczos on uint8 (§B4)."""
    if frame.shape[:2] == size:
        return frame
    return np.asarray(Image.fromarray(frame).resize(size[::-1], Image.Resampling.LANCZOS))


def centre_crop(frames: np.ndarray, size: int = CROP) -> np.ndarray:
    """The middle of frames [T, H, W, channels] → [1, T, size, size, channels].

    The crop begins at `round((n - size) / 2)`, halves to even (§A4).
    """
    return _crops(frames, [_middle(frames, size)], size)


def ten_crops(frames: np.ndarray, size: int = CROP) -> np.ndarray:
    """Ten crops of frames [T, H, W, channels] → [10, T, size, size, channels].

    Top left, top right, centre, bottom left, bottom right, then the same five of the mirrored
    frame (§B4). Mirroring also turns motion to the right into motion to the left.
    """
    bottom, right = frames.shape[1] - size, frames.shape[2] - size
    places = [(0, 0), (0, right), _middle(frames, size), (bottom, 0), (bottom, right)]
    # In the mirrored frame the x component of flow changes its sign: v becomes 255 - v.
    mirrored = frames[:, :, ::-1]
    if frames.shape[-1] == CHANNELS["flow"].stop:
        x = CHANNELS["flow"].start
        mirrored = np.concatenate(
            [mirrored[..., :x], 255 - mirrored[..., x : x + 1], mirrored[..., x + 1 :]], -1
        )
    return np.concatenate([_crops(frames, places, size), _crops(mirrored, places, size)])


def _middle(frames: np.ndarray, size: int) -> tuple[int, int]:
    """First row and column of the centre crop; Python rounds halves to even."""
    return round((frames.shape[1] - size) / 2), round((frames.shape[2] - size) / 2)


def _crops(frames: np.ndarray, places: list[tuple[int, int]], size: int) -> np.ndarray:
    """Crops at these rows and columns, [places, T, size, size, channels]."""
    return np.stack([frames[:, y : y + size, x : x + size] for y, x in places])


def flow_image(flow: np.ndarray) -> np.ndarray:
    """Flow [H, W, 2], pixels a frame, as an image, uint8 [H, W, 2]: cut off at ±20 (§A4)."""
    scaled = np.clip(flow, -FLOW_LIMIT, FLOW_LIMIT) + FLOW_LIMIT
    return np.rint(scaled * (255 / (2 * FLOW_LIMIT))).astype(np.uint8)


class WithFlow:
    """A frame of a video, uint8 [H, W, 3], that gets the motion since the frame before: [H, W, 5].

    Args:
      frame: the frame.
      motion: its image of the motion, uint8 [H, W, 2], as soon as it is made; None of the first
        frame, which has no motion until the second one lends its own.
    """

    def __init__(self, frame: np.ndarray, motion: Future[np.ndarray] | None):
        self._frame, self.motion = frame, motion

    @functools.cached_property
    def pixels(self) -> np.ndarray:
        """The frame with its motion, uint8 [H, W, 5]."""
        if self.motion is None:
            still = flow_image(np.zeros((*self._frame.shape[:2], 2)))
            return np.concatenate([self._frame, still], -1)
        return np.concatenate([self._frame, self.motion.result()], -1)


class AddFlow:
    """Begins the motion of each frame of a video; call with one frame after the other.

    Args:
      begin: of two grey frames, the future image of the motion between them.
    """

    def __init__(self, begin: FutureFlow):
        self._begin = begin
        self._begun: collections.deque[Future[np.ndarray]] = collections.deque(maxlen=FRAMES)
        self._grey = self._first = None

    def __call__(self, frame: np.ndarray) -> WithFlow:
        """The frame, uint8 [H, W, 3], which will have its motion."""
        grey, before, motion = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), self._grey, None
        if before is not None:
            if len(self._begun) == FRAMES:
                self._begun[0].result()  # no more than these at once: the threads may be behind
            motion = self._begin(before, grey)
            self._begun.append(motion)
        # The first frame gets the motion of the second.
        added = WithFlow(frame, motion)
        if self._first is not None:
            self._first.motion = motion
        self._grey, self._first = grey, added if before is None else None
        return added


# Name → resizing of a frame, cropping of a snippet, number of crops.
CROPS = {"centre": (short_side, centre_crop, 1), "ten": (stretch, ten_crops, 10)}


class Snippet(NamedTuple):
    """A snippet of a video.

    Attributes:
      pixels: uint8 [crops, 16, 224, 224, 3], or [..., 5] with flow; None where there are only
        frames behind the last snippet.
      frames: the frames since the snippet before, the last one of this snippet included.
    """

    pixels: np.ndarray | None
    frames: tuple[Stamp, ...]


@dataclasses.dataclass(frozen=True)
class Snippets:
    """How a video is cut into snippets.

    Attributes:
      crops: "centre" or "ten", with the resizing that belongs to it.
      step: frames from the start of one snippet to the start of the next.
      pad_last: whether the last, incomplete snippet is filled up with its last frame; otherwise it
        is dropped.
      flow: method of optical flow, a name of `vadjax.ops.flow.METHODS`; None for RGB alone.

    Raises:
      ValueError: no such crops or flow, or a step below 1.
    """

    crops: str = "centre"
    step: int = FRAMES
    pad_last: bool = False
    flow: str | None = None

    def __post_init__(self):
        if self.crops not in CROPS:
            raise ValueError(f"crops {self.crops!r}; expected one of {', '.join(CROPS)}")
        if self.step < 1:
            raise ValueError(f"step {self.step}; expected 1 frame or more")
        if self.flow not in (None, *METHODS):
            raise ValueError(f"flow {self.flow!r}; expected one of {', '.join(METHODS)}")

    @property
    def count(self) -> int:
        """Number of crops of a frame."""
        return CROPS[self.crops][2]

    def cut(self, frames: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """The snippets of a video, with only 16 frames in memory.

        Args:
          frames: uint8 [H, W, 3], RGB, in order.

        Yields:
          uint8 [crops, 16, 224, 224, 3], or [..., 5] with flow, computed on the resized frames.

        Raises:
          ValueError: frames of several sizes, or too few for a snippet.
          ImportError: a flow whose package is not installed.
        """
        for snippet in self.cut_frames(numbered(frames)):
            if snippet.pixels is not None:
                yield snippet.pixels

    def cut_frames(self, frames: Iterable[Frame]) -> Iterator[Snippet]:
        """As `cut`, with the number and time of every frame.

        Frames behind the last snippet, which a step of more than 16 leaves over, come as an item
        without pixels.
        """
        if self.flow is None:
            yield from self._cut(frames, lambda frame: frame, np.stack)
            return
        flow = make_flow(self.flow)
        with in_threads(lambda one, two: flow_image(flow(one, two))) as begin:
            yield from self._cut(
                frames, AddFlow(begin), lambda window: np.stack([one.pixels for one in window])
            )

    def _cut(self, frames: Iterable[Frame], add_flow, stack) -> Iterator[Snippet]:
        """The snippets of frames, to each of which something is added before they are stacked."""
        resize, crop, _ = CROPS[self.crops]
        window, size, number = collections.deque(maxlen=FRAMES), None, 0
        since: list[Stamp] = []  # the last snippet
        for number, frame in enumerate(frames, 1):
            size = size or frame.pixels.shape
            if frame.pixels.shape != size:
                raise ValueError(
                    f"frame {number - 1} is {frame.pixels.shape}, those before are {size}; "
                    "a video has frames of one size"
                )
            since.append(frame.stamp)
            # With a step of more than 16 the frames between snippets are only needed for flow.
            if self.flow or (number - 1) % self.step < FRAMES:
                window.append(add_flow(resize(frame.pixels)))
            if number >= FRAMES and (number - FRAMES) % self.step == 0:
                yield Snippet(crop(stack(window)), tuple(since))
                since = []
        # The remainder: frames of the window from the start of the next snippet on.
        complete = count_snippets(number, self.step)
        if count_snippets(number, self.step, self.pad_last) > complete:
            remainder = list(window)[complete * self.step - number :]
            filled = stack(remainder + remainder[-1:] * (FRAMES - len(remainder)))
            yield Snippet(crop(filled), tuple(since))
        elif not complete:
            raise ValueError(
                f"{number} frames, a snippet has {FRAMES}; fill it up with its last frame: "
                "--pad_last"
            )
        elif since:
            yield Snippet(None, tuple(since))
