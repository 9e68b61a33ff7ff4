"""Scoring of videos window by window, with the memory that goes on learning (spec lgn_net §4).

Nothing is done twice: the frame encoder and the input convolutions of the first recurrent layer
run once per frame, not once for each of the four windows that hold it. What does not depend on
the memory runs for `chunk` windows at once; only reading, decoding and updating go in sequence.
"""

import functools
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from vadjax.config import expect_one_of
from vadjax.data.video.frame_stream import Frame, numbered
from vadjax.runtime import mesh
from vadjax.systems.lgn import memory, score
from vadjax.systems.lgn.loss import compactness
from vadjax.systems.lgn.model import FramePredictor, check_frames

TEST_UPDATES = ("stream", "off", "per_video_reset")


class Measures(NamedTuple):
    """Measures of consecutive windows.

    Attributes:
      error: mean squared error of the prediction on the [0, 1] scale, float32 [n].
      distance: feature distance, float32 [n].
      point: point score, float32 [n].
      updated: whether the memory took the window in, bool [n].
      map: error of each square of 8 × 8 pixels, float32 [n, H/8, W/8].
      picture: the prediction as a picture, uint8 [n, H, W, 3], BGR.
      items: the memory after each window, float32 [n, M, C]; only if asked for.
      prediction: float32 [n, H, W, 3]; only if asked for.
    """

    error: np.ndarray
    distance: np.ndarray
    point: np.ndarray
    updated: np.ndarray
    map: np.ndarray
    picture: np.ndarray | None
    items: np.ndarray | None = None
    prediction: np.ndarray | None = None

    @property
    def psnr(self) -> np.ndarray:
        """PSNR in dB, float64 [n]."""
        return score.psnr(self.error)


class Past(NamedTuple):
    """The frames before the next one, and their `frame_gates`."""

    frames: jax.Array
    gates: jax.Array


class StreamScorer:
    """Scores videos one after the other; the items are carried on.

    Args:
      model: the network.
      variables: its variables.
      items: the trained items [M, C].
      gamma: a window with a lower point score is taken in; 0.009 (LGN-Net), 0.01 (MNAD
        prediction), 0.015 (MNAD reconstruction).
      test_update: `"stream"` as the originals, carried over all videos in their order (so a
        score depends on the videos before); `"per_video_reset"` starts each video from the
        trained items; `"off"` never updates.
      decay: of `memory.update`.
      chunk: windows that are encoded at once; it changes speed and memory, not the scores.
      keep: also return `items` and `prediction` of each window.
      devices: how many devices at most share the windows that are encoded at once; 0 = all.
    """

    def __init__(
        self,
        model: FramePredictor,
        variables: dict,
        items: jax.Array,
        *,
        gamma: float = 0.009,
        test_update: str = "stream",
        decay: float = 0.0,
        chunk: int = 4,
        keep: bool = False,
        devices: int = 1,
    ):
        expect_one_of("eval.test_update", test_update, TEST_UPDATES)
        self.model, self.test_update = model, test_update
        self.reset = test_update == "per_video_reset"
        self.chunk, self.keep = chunk, keep
        self._grid = mesh.make(chunk, devices, here=True)
        self.restart(variables, items, gamma)
        options = {"temperature": model.temperature, "decay": decay}
        encode = mesh.over_rows(functools.partial(_encode, model), self._grid)
        self._score = jax.jit(functools.partial(score_windows, model, options, keep, encode))
        self._look = jax.jit(functools.partial(model.apply, method="frame_gates"))

    def restart(self, variables: dict, items: jax.Array, gamma: float) -> None:
        """Begins anew with other weights, items and threshold; nothing is compiled again."""
        where = mesh.replicated(self._grid)
        self.variables = jax.device_put(variables, where)
        self.trained = self.items = jax.device_put(jnp.asarray(items), where)
        self.gamma = -np.inf if self.test_update == "off" else gamma

    def video(self, frames: Iterable[np.ndarray]) -> Measures:
        """Measures of all windows of a video.

        Args:
          frames: float32 [H, W, 3] in [-1, 1], in order; an array or any stream of them.

        Raises:
          ValueError: the video is shorter than one window, or a frame has another shape.
        """
        parts = [measures for measures, _ in self.windows(numbered(frames))]
        if not parts:
            raise ValueError(f"a video needs at least {needed_frames(self.model)} frames")
        return join(parts)

    def windows(self, frames: Iterable[Frame]) -> Iterator[tuple[Measures, list[Frame]]]:
        """As `video`, chunk by chunk as the frames come.

        Yields:
          Measures of some windows, and the frames that these end with; with the first ones also
          the frames before them, which nothing predicts.
        """
        if self.reset:
            self.items = self.trained
        frames = iter(frames)
        first = _take(frames, needed_frames(self.model) - 1)
        past = self._past_of(first)
        while past is not None and (targets := _take(frames, self.chunk)):
            # The last chunk is filled up, so that all have one shape and compile once.
            count = len(targets)
            filled = targets + targets[-1:] * (self.chunk - count)
            pixels = np.stack([frame.pixels for frame in filled])
            self.items, past, measures = self._score(
                self.variables, self.items, past, pixels, count, self.gamma
            )
            measures = Measures(*(None if m is None else np.asarray(m)[:count] for m in measures))
            yield measures, first + targets
            first = []

    def _past_of(self, first: list[Frame]) -> Past | None:
        """The past that the first target is predicted from; None if the video ends before it."""
        count = needed_frames(self.model) - 1
        if len(first) < count:
            return None
        if count == 0:
            return Past(None, None)
        stacked = jnp.asarray(np.stack([frame.pixels for frame in first]))
        return Past(stacked, self._look(self.variables, stacked[None])[0])


def join(parts: list[Measures]) -> Measures:
    """Measures of consecutive windows as one; what the first part lacks is left out."""
    columns = zip(*parts, strict=True)
    return Measures(*(None if p[0] is None else np.concatenate(p) for p in columns))


def needed_frames(model: FramePredictor) -> int:
    """Length of a window, target included: 5, or 1 where the input is the target."""
    return 1 if model.frames == 1 else model.frames + 1


def score_windows(
    model: FramePredictor,
    options: dict,
    keep: bool,
    encode: Callable,
    variables: dict,
    items: jax.Array,
    past: Past,
    frames: jax.Array,
    count: jax.Array,
    gamma: jax.Array,
) -> tuple[jax.Array, Past, Measures]:
    """Measures of the windows whose targets are `frames` [n, H, W, 3]; the first `count` count.

    Returns:
      Items after them, the past of the frames that follow, and the measures.
    """
    check_frames(frames[None])
    height, width = frames.shape[1:3]
    # Each frame is encoded once for all windows that hold it.
    gates = model.apply(variables, frames[None], method="frame_gates")[0]
    if past.frames is not None:
        gates = jnp.concatenate([past.gates, gates])
        seen = jnp.concatenate([past.frames, frames])
    else:
        seen = frames
    times = [slice(t, t + len(frames)) for t in range(model.frames)]  # of all windows at once
    encoded = encode(variables, ([seen[t] for t in times], [gates[t] for t in times]))

    def window(items, inputs):
        encoded, target, valid = inputs
        prediction = model.apply(variables, jax.tree.map(_one, encoded), items, method="decode")[0]
        queries = encoded.queries.reshape(-1, model.features)
        distance = compactness(queries, items)
        error = score.frame_error(prediction, target)
        point = score.point_score(error)
        updated = valid & (point < gamma)
        items = jnp.where(updated, memory.update(queries, items, **options), items)
        kept = (items, prediction) if keep else (None, None)
        squares = error.reshape(height // 8, 8, width // 8, 8, 3).mean((1, 3, 4))
        picture = jnp.round(127.5 * (jnp.clip(prediction, -1, 1) + 1)).astype(jnp.uint8)
        return items, Measures(error.mean(), distance, point, updated, squares, picture, *kept)

    items, measures = lax.scan(window, items, (encoded, frames, jnp.arange(len(frames)) < count))
    if past.frames is not None:
        past = Past(seen[len(frames) :], gates[len(frames) :])
    return items, past, measures


def _encode(model: FramePredictor, variables: dict, windows: tuple[list, list]):
    return model.apply(variables, *windows, method="encode_times")


def _one(x: jax.Array) -> jax.Array:
    return x[None]


def _take(frames: Iterator[Frame], count: int) -> list[Frame]:
    return [frame for _, frame in zip(range(count), frames, strict=False)]
