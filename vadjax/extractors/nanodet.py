"""NanoDet-g on frames: objects with classes, and features of any box (spec nanodet).

    network = load()                                 # python -m data_prep.weights nanodet
    (seen,) = network([frame])                       # uint8 [H, W, 3], RGB
    objects = seen.detections                        # boxes, scores, classes
    look = seen.features(objects.boxes)              # float32 [n, 128]

`NanoDetDetector` is the same network as a detector by name (`vadjax.extractors.detector`).
"""

import functools
import pathlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from vadjax.backbones import nanodet
from vadjax.backbones.detection import (
    Detections,
    Detector,
    Filter,
    check_frame,
    check_labels,
    choose,
    sigmoid,
)
from vadjax.backbones.nanodet import CLASSES, NAME, InputFit
from vadjax.convert import published
from vadjax.convert.published import check_folder
from vadjax.extractors.batched import Batches, digest_of, join
from vadjax.extractors.weights import restore
from vadjax.ops.conv import in_machine_code

MAPS = ("p3", "c4")  # whose features can be had, of 128 and 256 numbers
THRESHOLD, OVERLAP, MOST, LEAST_SIDE = 0.25, 0.5, 100, 4.0  # spec nanodet §5
FRAMES = 8  # at once, for each device
THREADS = 2  # single frames at once on CPU; more were not measured


class Seen(NamedTuple):
    """What the network sees in one frame.

    Attributes:
      candidates: boxes of all cells, in pixels of the frame, before anything is left out.
      maps: name → features of the cells, float32 [h, w, C].
      fit: how the frame became an input.
      size: (H, W) of the frame.
    """

    candidates: Detections
    maps: dict[str, np.ndarray]
    fit: InputFit
    size: tuple[int, int]

    def features(self, boxes: np.ndarray, name: str = "p3") -> np.ndarray:
        """Mean of a map over boxes [n, 4] of the frame: float32 [n, C] (spec nanodet §6)."""
        if self.fit.offset == (0, 0):
            return nanodet.pool(self.maps[name], boxes, self.size)
        return nanodet.pool(self.maps[name], self.fit.to_input(boxes), self.fit.size)


class FrameBatches:
    """A network on any number of frames, over all devices of this process.

    On CPU an input has the same bits alone and among others. Machine code sums up each in the same
    order. Without it inputs are computed one by one, two at once, since each keeps one core busy.

    Args:
      apply: (variables, images [B, H, W, 3]) → tree of outputs [B, …].
      variables: of the network.
    """

    def __init__(self, apply: Callable, variables: dict):
        on_cpu, count = jax.default_backend() == "cpu", len(jax.local_devices())
        together = not on_cpu or count == 1 and in_machine_code()
        self._many = Batches(apply, variables, count * FRAMES) if together else None
        self._single = Batches(apply, variables, count, THREADS) if on_cpu else None

    def __call__(self, images: np.ndarray) -> Any:
        """Outputs for all images, as NumPy arrays float32."""
        if self._single is None:
            return self._many(images)
        whole = len(images) // self._many.size * self._many.size if self._many else 0
        parts = [self._many(images[:whole])] if whole else []
        if whole < len(images) or not parts:
            parts.append(self._single(images[whole:]))
        return jax.tree.map(join, *parts)


class NanoDetNetwork:
    """The network with its weights, over all devices of this process.

    Args:
      variables: of `nanodet.NanoDet`.
      mode: how frames become inputs (`nanodet.InputFit`).
      leave_out: classes that are no objects.
      keep: if any, the only classes that are.
      maps: names of the maps whose features are wanted, of `MAPS`.

    Attributes:
      digest: SHA-256 of the weights and of the mode.

    Raises:
      ValueError: no such mode or class.
    """

    def __init__(
        self,
        variables: dict,
        mode: str = "area",
        leave_out: Sequence[str] = (),
        keep: Sequence[str] = (),
        maps: Sequence[str] = MAPS[:1],
    ):
        check_labels(CLASSES, leave_out, keep)
        InputFit.of((1, 1), mode)
        self.digest = digest_of(variables, {"mode": mode})
        self._mode, self._none, self._only = mode, tuple(leave_out), tuple(keep)
        self._variables, self._maps = variables, tuple(maps)
        self._networks = functools.cache(self._compile)

    def _compile(self, size: tuple[int, int]) -> FrameBatches:
        """The network for inputs of a size."""
        variables = nanodet.prepare(self._variables, size)
        return FrameBatches(functools.partial(_apply, maps=self._maps), variables)

    def __call__(self, frames: Sequence[np.ndarray]) -> list[Seen]:
        """What is seen in each frame, uint8 [H, W, 3], RGB, all of one size.

        Raises:
          ValueError: a frame of another shape or type.
        """
        if not len(frames):
            return []
        size = check_frame(frames[0]).shape[:2]
        fit = InputFit.of(size, self._mode)
        images = np.stack([fit.image(check_frame(frame)) for frame in frames])
        boxes, logits, maps = self._networks(fit.size)(images)
        return [
            Seen(
                self._candidates(fit.to_frame(boxes[row]), logits[row]),
                {name: values[row] for name, values in maps.items()},
                fit,
                size,
            )
            for row in range(len(frames))
        ]

    def _candidates(self, boxes: np.ndarray, logits: np.ndarray) -> Detections:
        classes = choose(logits, CLASSES, self._none, self._only)
        best = np.take_along_axis(logits, classes[:, None], 1)[:, 0]
        return Detections(boxes, sigmoid(best), classes, logits)


def load(weights: str | pathlib.Path = "", **settings) -> NanoDetNetwork:
    """The network of a folder that `python -m data_prep.weights nanodet` wrote.

    Args:
      weights: the folder; "" is that of the cache, to which they are fetched if need be.
      **settings: of `NanoDetNetwork`.

    Raises:
      FileNotFoundError: there are no weights.
      OSError: they cannot be fetched.
      ValueError: those of something else, or damaged ones.
    """
    return NanoDetNetwork(read_variables(weights), **settings)


def read_variables(weights: str | pathlib.Path = "") -> dict:
    """Variables of `NanoDet`; arguments and errors as of `load`."""
    folder = check_folder(weights, NAME) if weights else published.ready(NAME, nanodet.PUBLISHED)
    return restore(folder, nanodet.variable_shapes())


def _apply(variables: dict, images: jax.Array, maps: tuple[str, ...]) -> tuple:
    """Boxes, logits and maps of images uint8 [B, H, W, 3]."""
    # Class scores move by 8e-4 where products are rounded to fewer bits
    with jax.default_matmul_precision("highest"):
        outputs = nanodet.NanoDet().apply(variables, nanodet.normalise(images))
    boxes = nanodet.decode(outputs.sides, images.shape[1:3])
    return boxes, outputs.logits, {name: outputs.maps[name] for name in maps}


class NanoDetDetector(Detector):
    """NanoDet-g as a detector of a folder that `data_prep.weights` wrote.

    Args:
      weights: the folder; "" is that of the cache, as for `load`.
      threshold: objects must score more.
      overlap: of two boxes of whatever class with a larger IoU the higher-scoring one stays.
      min_size: pixels of the smallest width and height.
      leave_out: labels of classes that are no objects; a box may still be of another class.
      keep: if any, labels of the only classes that are.
      input_mode: how frames become inputs: area, stretch or letterbox.
      sha256: of the weights, if they must be known ones.

    Raises:
      FileNotFoundError: there are no weights.
      ValueError: those of something else, or a setting that is out of its range.
    """

    labels = CLASSES

    def __init__(
        self,
        weights: str | pathlib.Path = "",
        threshold: float = THRESHOLD,
        overlap: float = OVERLAP,
        min_size: float = LEAST_SIDE,
        leave_out: Sequence[str] = (),
        keep: Sequence[str] = (),
        input_mode: str = "area",
        sha256: str | None = None,
    ):
        super().__init__(Filter(threshold, overlap, min_size, MOST))
        options = {"leave_out": tuple(leave_out), "keep": tuple(keep), "maps": ()}
        self._network = load(weights, mode=input_mode, **options)
        if sha256 is not None and sha256 != self._network.digest:
            raise ValueError(
                f"{weights}: SHA-256 {self._network.digest[:12]}…, expected {sha256[:12]}…: not "
                "the detector that found the objects before"
            )
        self.settings = {
            "name": NAME,
            "weights": str(pathlib.Path(weights).absolute()) if weights else "",
            "sha256": self._network.digest,
            "threshold": threshold,
            "overlap": overlap,
            "min_size": min_size,
            "leave_out": list(leave_out),
            "keep": list(keep),
            "input_mode": input_mode,
        }

    def candidates(self, frame: np.ndarray) -> Detections:
        """The decoded boxes of all cells."""
        return self._network([frame])[0].candidates
