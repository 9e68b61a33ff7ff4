"""Snippets: what an I3D network sees of a video, 16 resized and cropped frames at a time (i3d §B4).

    for snippet in Snippets("ten").cut(frames):     # frames uint8 [H, W, 3] of any one size
        ...                                         # uint8 [10, 16, 224, 224, 3]

The two published preparations are named by their crops: "centre" (short side 256, bilinear, one
crop; §A4) and "ten" (340 × 256 whatever the aspect, Lanczos, ten crops; §B4).

With optical flow (§A4) a frame has five channels: R, G, B, and the motion since the frame before, x
and y, as published flow images store it: uint8, ±20 pixels as 0 … 255, so that 128 is no motion.
"""

import collections
import dataclasses
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image

from vadjax.data.video.frame_stream import Frame, Stamp, numbered
from vadjax.ops.flow import METHODS, Flow, make_flow

FRAMES = 16  # of a snippet
CROP = 224  # pixels, both sides
SHORT_SIDE = 256  # pixels
TEN_CROP_SIZE = (256, 340)  # height, width
FLOW_LIMIT = 20  # pixels a frame
CHANNELS = {"rgb": slice(0, 3), "flow": slice(3, 5)}  # of a frame, by stream
NORMALISATIONS = {"pm1": (127.5, 127.5), "kinetics": (114.75, 57.375)}  # subtract, divide


def normalise(pixels, name: str):
    """Pixels in 0 … 255, an array of NumPy or JAX of any shape → float32 of that shape.

    Args:
      pixels: uint8 or float.
      name: "pm1" (to -1 … 1, §A4) or "kinetics" ((x - 114.75) / 57.375, §B4).
    """
    middle, spread = NORMALISATIONS[name]
    return (pixels.astype(np.float32) - np.float32(middle)) / np.float32(spread)


def count_snippets(frames: int, step: int = FRAMES, pad_last: bool = False) -> int:
    """Snippets of a video: floor((frames - 16) / step) + 1, the remainder dropped (§B4).

    Args:
      frames: of the video.
      step: frames from the start of one snippet to the start of the next.
      pad_last: one more snippet where frames are left over after the last whole one.
    """
    whole = max((frames - FRAMES) // step + 1, 0)
    covered = (whole - 1) * step + FRAMES if whole else 0
    return whole + (pad_last and covered < frames and whole * step < frames)


def short_side(frame: np.ndarray, size: int = SHORT_SIDE) -> np.ndarray:
    """Frame [H, W, 3] with its shorter side `size` pixels, aspect kept; bilinear on uint8 (§A4)."""
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

    It begins at `round((n - size) / 2)`, halves to even (§A4).
    """
    return _crops(frames, [_middle(frames, size)], size)


def ten_crops(frames: np.ndarray, size: int = CROP) -> np.ndarray:
    """Ten crops of frames [T, H, W, channels] → [10, T, size, size, channels].

    Top left, top right, centre, bottom left, bottom right, then the same five of the mirrored
    frame (§B4), in which motion to the right is motion to the left.
    """
    bottom, right = frames.shape[1] - size, frames.shape[2] - size
    places = [(0, 0), (0, right), _middle(frames, size), (bottom, 0), (bottom, right)]
    mirrored = frames[:, :, ::-1]
    if frames.shape[-1] == CHANNELS["flow"].stop:
        x = CHANNELS["flow"].start
        mirrored = np.concatenate(
            [mirrored[..., :x], 255 - mirrored[..., x : x + 1], mirrored[..., x + 1 :]], -1
        )
    return np.concatenate([_crops(frames, places, size), _crops(mirrored, places, size)])


def _middle(frames: np.ndarray, size: int) -> tuple[int, int]:
    return round((frames.shape[1] - size) / 2), round((frames.shape[2] - size) / 2)


def _crops(frames: np.ndarray, places: list[tuple[int, int]], size: int) -> np.ndarray:
    return np.stack([frames[:, y : y + size, x : x + size] for y, x in places])


def flow_image(flow: np.ndarray) -> np.ndarray:
    """Flow [H, W, 2], pixels a frame, as an image: cut off at ±20, uint8 0 … 255 (§A4)."""
    scaled = np.clip(flow, -FLOW_LIMIT, FLOW_LIMIT) + FLOW_LIMIT
    return np.rint(scaled * (255 / (2 * FLOW_LIMIT))).astype(np.uint8)


class WithFlow:
    """Adds to each frame of a video, uint8 [H, W, 3], the motion since the last: [H, W, 5].

    The first has none before it; it gets that of the second as soon as this is known.
    """

    def __init__(self, method: str):
        self._flow: Flow = make_flow(method)
        self._grey = self._first = None

    def __call__(self, frame: np.ndarray) -> np.ndarray:
        """The frame with its motion; call with one frame after the other."""
        grey, before = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), self._grey
        motion = np.zeros((*grey.shape, 2)) if before is None else self._flow(before, grey)
        found = np.concatenate([frame, flow_image(motion)], -1)
        if self._first is not None:
            self._first[..., CHANNELS["flow"]] = found[..., CHANNELS["flow"]]
        self._grey, self._first = grey, found if before is None else None
        return found


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
    """How a video is cut.

    Attributes:
      crops: "centre" or "ten", with the resizing that belongs to it.
      step: frames from the start of one snippet to the start of the next.
      pad_last: fill up the last snippet with its last frame rather than drop the remainder.
      flow: how optical flow is found, a name of `vadjax.ops.flow.METHODS`; None: RGB alone.

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
        """Crops of a frame."""
        return CROPS[self.crops][2]

    def cut(self, frames: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """The snippets of a video, with 16 frames in memory.

        Args:
          frames: uint8 [H, W, 3], RGB, in order.

        Yields:
          uint8 [crops, 16, 224, 224, 3], or [..., 5] with flow, which is found after resizing.

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
        resize, crop, _ = CROPS[self.crops]
        add_flow = WithFlow(self.flow) if self.flow else lambda frame: frame
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
            if self.flow or (number - 1) % self.step < FRAMES:  # flow needs the frames between
                window.append(add_flow(resize(frame.pixels)))
            if number >= FRAMES and (number - FRAMES) % self.step == 0:
                yield Snippet(crop(np.stack(window)), tuple(since))
                since = []
        # What is left over fills a last snippet, if that is wanted and some frame is in none.
        whole = count_snippets(number, self.step)
        if count_snippets(number, self.step, self.pad_last) > whole:
            rest = list(window)[whole * self.step - number :]
            filled = np.stack(rest + rest[-1:] * (FRAMES - len(rest)))
            yield Snippet(crop(filled), tuple(since))
        elif not whole:
            raise ValueError(
                f"{number} frames, a snippet has {FRAMES}; fill it up with its last frame: "
                "--pad_last"
            )
        elif since:
            yield Snippet(None, tuple(since))
