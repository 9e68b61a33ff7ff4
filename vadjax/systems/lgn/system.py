"""LGN-Net and MNAD as a system: windows of frames in, prediction errors turned into scores out."""

import dataclasses
import itertools
import operator
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import grain
import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import optax

from vadjax import system
from vadjax.data import clips
from vadjax.data.clips import Video, Videos
from vadjax.data.store.loader import Shard
from vadjax.data.store.records import Dataset, Description
from vadjax.data.video.frame_stream import Frame, numbered
from vadjax.data.video.reader import to_float
from vadjax.ops import compilation, optim
from vadjax.scores.files import Scores
from vadjax.scores.streaming import PartialScores, join
from vadjax.system import Cache, at_least_float32, precision
from vadjax.systems.lgn import convert, memory, score
from vadjax.systems.lgn.model import build
from vadjax.systems.lgn.pictures import Predictions
from vadjax.systems.lgn.step import RunningState, window_loss
from vadjax.systems.lgn.stream import StreamScorer, needed_frames

NOT_FIELDS = ("variant", "memory_items", "weights")  # of `config.model`, but not of the network


class State(NamedTuple):
    """All that a run learns.

    Attributes:
      params: of the network.
      optimizer: state of Adam.
      running: statistics of the batch norms, and the memory items.
      limits: lowest and highest PSNR, lowest and highest feature distance on training video,
        float32 [2, 2]; set by `finalize`, for the on-line score.
    """

    params: dict
    optimizer: optax.OptState
    running: RunningState
    limits: jax.Array


class System(system.System):
    """LGN-Net or MNAD (spec lgn_net); `vadjax.system.System` explains the methods."""

    kind = clips.KIND

    def __init__(self, config: ml_collections.ConfigDict, cache: Cache | None = None):
        super().__init__(config, cache)
        fields = {name: value for name, value in config.model.items() if name not in NOT_FIELDS}
        self.model = build(config.model.variant, dtype=precision(config), **fields)
        self.optimizer = optax.adam(
            optim.cosine_by_epoch(**config.optim, steps=config.train.steps)
            if config.optim.epochs
            else config.optim.learning_rate
        )
        self.window = needed_frames(self.model)
        self.in_order = config.eval.test_update == "stream"  # the memory keeps learning
        self._stream: StreamScorer | None = None

    def batches(self, data: Dataset, shard: Shard) -> grain.MapDataset:
        """Batches of windows; see `clips.window_batches`."""
        config = self.config
        return clips.window_batches(
            data,
            "train",
            needed_frames(self.model),
            config.train.batch,
            config.seed,
            shard,
            held_out=config.eval.held_out,
        )

    def init(self, rng: jax.Array, data: Dataset) -> State:
        """Fresh parameters and items, or those of `model.weights`.

        Raises:
          ValueError: the frames' height or width is no multiple of 8.
        """
        return self._first_state(rng, data, compilation.run_once)

    def abstract_state(self, description: Description) -> State:
        """Shapes of the first state; nothing is compiled for them."""
        rng = jax.random.key(self.config.seed)
        return jax.eval_shape(lambda: self._first_state(rng, description, operator.call))

    def _first_state(self, rng: jax.Array, data: Description, call: Callable) -> State:
        """As `init`; `call(function, *arguments)` runs the initialisation of the network."""
        height, width = data.manifest["size"]
        if height % 8 or width % 8:
            raise ValueError(
                f"{data.folder}: frames of {height} × {width}; this network needs multiples of 8. "
                f"Prepare the dataset again with --size {height // 8 * 8}x{width // 8 * 8}"
            )
        # Items and parameters; the limits stand for [0, 1] until `finalize`.
        for_params, for_items = jax.random.split(rng)
        items = memory.first_items(for_items, self.config.model.memory_items, self.model.features)
        if self.config.model.weights:
            variables, _ = convert.read_model(self.config.model.weights, self.model)
            variables = jax.tree.map(jnp.asarray, variables)
        else:
            frames = jnp.zeros((1, self.model.frames, 8, 8, 3))  # any size gives the same
            variables = call(self.model.init, for_params, frames, items)
        params = variables["params"]
        running = RunningState(variables["batch_stats"], items)
        limits = jnp.array([[0.0, 1.0], [0.0, 1.0]])
        return State(params, self.optimizer.init(params), running, limits)

    def parameters(self, state: State) -> dict:
        """The parameters of the network."""
        return state.params

    def update(self, state: State, batch: dict, rng: jax.Array) -> tuple[State, dict]:
        """One step on windows uint8 [B, T + 1, H, W, 3], RGB (spec lgn_net §3)."""
        del rng  # nothing is random but the order of the windows
        # Frames as v / 127.5 - 1. Adam changes the parameters; the running statistics and the
        # memory items change without gradient.
        dtype = at_least_float32(self.model.dtype)
        windows = batch["frames"][..., ::-1].astype(dtype) / 127.5 - 1  # BGR, as published
        gradient = jax.value_and_grad(window_loss, has_aux=True)
        (loss, (terms, running)), gradients = gradient(
            state.params, state.running, windows, self.model, **self.config.loss
        )
        updates, optimizer = self.optimizer.update(gradients, state.optimizer, state.params)
        params = optax.apply_updates(state.params, updates)
        return State(params, optimizer, running, state.limits), {"loss": loss, **terms}

    def finalize(self, state: State, data: Dataset) -> State:
        """Sets the limits of PSNR and distance from normal video.

        This is the last `eval.held_out` training videos, which were not trained on, or the first
        `eval.limit_videos` if none are held out.
        """
        videos, config = Videos(data, "train"), self.config.eval
        if config.held_out:
            chosen = [videos[i] for i in range(len(videos) - config.held_out, len(videos))]
        else:
            chosen = [videos[i] for i in range(min(config.limit_videos, len(videos)))]
        if not chosen:
            return state
        # Lowest and highest of both measures, with the memory as trained.
        stream = self._start(state)
        stream.gamma = -np.inf  # the memory stays as trained
        found = [stream.video(map(_as_input, video)) for video in chosen]
        psnr = np.concatenate([measures.psnr for measures in found])
        distance = np.concatenate([measures.distance for measures in found])
        limits = [[psnr.min(), psnr.max()], [distance.min(), distance.max()]]
        return state._replace(limits=jnp.array(limits, jnp.float32))

    def videos(self, data: Dataset, split: str) -> Videos:
        """The videos of the split, checked to be long enough.

        Raises:
          ValueError: a video is shorter than a window.
        """
        videos = Videos(data, split)
        clips.check_lengths(data.splits[split]["videos"], needed_frames(self.model), split)
        return videos

    def score(self, state: State, videos: Iterable[Video]) -> Iterator[Scores]:
        """Scores of each video in order; the memory keeps learning (spec lgn_net §4)."""
        stream = self._start(state)
        for video in videos:
            predictions = Predictions(needed_frames(self.model) - 1)
            parts = self._parts(state, stream, numbered(video), predictions)
            whole = self.postprocess(state, join(video.name, parts))
            show = self.config.report.windows
            yield dataclasses.replace(
                whole,
                labels=video.labels,
                pictures=predictions.choose(video, whole.frame_scores) if show else None,
            )

    def stream(
        self,
        state: State,
        name: str,
        frames: Iterator[Frame],
        data: Description,
        live: bool,
    ) -> Iterator[PartialScores]:
        """Scores on line, by the limits of normal video; a video shorter than a window has none."""
        del name, data, live  # few frames are taken at once anyway
        yield from self._parts(state, self._start(state), frames)

    def postprocess(self, state: State, scores: Scores) -> Scores:
        """Scores by the limits of the video itself; the on-line ones become alternatives (§4).

        The frames before the first prediction repeat its score and are not evaluated.
        """
        del state
        before, terms = needed_frames(self.model) - 1, scores.alternatives
        psnr, distance = (terms[name][before:].astype(np.float64) for name in ("psnr", "distance"))
        anomaly = 1 - score.normality(-psnr, distance, self.config.eval.score_weight)
        return dataclasses.replace(
            scores,
            frame_scores=_padded(anomaly, before),
            scored=np.arange(len(scores.frame_scores)) >= before,
            alternatives={"online": scores.frame_scores, **terms},
        )

    def _start(self, state: State) -> StreamScorer:
        """The stream, compiled once, with the state's parameters and items."""
        config = self.config.eval
        if self._stream is None:
            self._stream = StreamScorer(
                self.model,
                {},
                state.running.items,
                test_update=config.test_update,
                decay=self.config.loss.decay,
                chunk=config.batch,
                devices=self.config.train.devices,
            )
        variables = {"params": state.params, "batch_stats": state.running.batch_stats}
        self._stream.restart(variables, state.running.items, config.gamma)
        return self._stream

    def _parts(
        self,
        state: State,
        stream: StreamScorer,
        frames: Iterable[Frame],
        predictions: Predictions | None = None,
    ) -> Iterator[PartialScores]:
        """Scores chunk by chunk; the frames before the first prediction repeat its score."""
        weight, limits = self.config.eval.score_weight, np.asarray(state.limits, np.float64)
        inputs = (frame._replace(pixels=_as_input(frame.pixels)) for frame in frames)
        previous = None
        for measures, group in stream.windows(inputs):
            if predictions is not None:
                predictions.add(measures.picture)
            # The terms of the score, and how well the frame before would have predicted.
            psnr, distance = measures.psnr, np.asarray(measures.distance, np.float64)
            online = score.normality_online(psnr, distance, *map(tuple, limits), weight)
            copies = _copy_errors(previous, [frame.pixels for frame in group])
            previous = group[-1].pixels
            terms = {
                "psnr": -psnr,
                "distance": distance,
                "copy_previous": -score.psnr(copies[-len(psnr) :]),
            }
            # The first group begins with frames that nothing predicts.
            before = len(group) - len(psnr)
            yield PartialScores(
                _padded(1 - online, before),
                tuple(frame.stamp for frame in group),
                {name: _padded(values, before) for name, values in terms.items()},
                np.pad(measures.map, [(before, 0), (0, 0), (0, 0)]).astype(np.float16),
            )


def _padded(values: np.ndarray, before: int) -> np.ndarray:
    """Values float32, with the first one repeated `before` times in front."""
    return np.pad(values, (before, 0), mode="edge").astype(np.float32)


def _as_input(pixels: np.ndarray) -> np.ndarray:
    """A frame uint8 [H, W, 3], RGB → float32 in [-1, 1], BGR as published."""
    return to_float(pixels[..., ::-1])


def _copy_errors(previous: np.ndarray | None, frames: list[np.ndarray]) -> np.ndarray:
    """Errors of "the frame is the one before", float64 [n], of consecutive frames.

    Args:
      previous: the frame before them. None at the start of a video, whose first frame gets the
        error of the second, or 0 where that is not there yet.
      frames: float32 [H, W, 3] in [-1, 1], n of them.
    """
    chain = frames if previous is None else [previous, *frames]
    pairs = itertools.pairwise(chain)
    errors = [float(score.copy_previous_error(np.stack(pair), 1)[0]) for pair in pairs]
    return np.array(errors if previous is not None else (errors[:1] or [0.0]) + errors)
