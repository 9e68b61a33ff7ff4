"""SSMTL as a system: objects of normal video in, scores of objects and of frames out."""

import dataclasses
import functools
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
from vadjax.data.objects import ObjectVideo
from vadjax.data.store.loader import Shard, prefetch
from vadjax.data.store.records import Dataset, Description
from vadjax.data.video.frame_stream import Frame, numbered
from vadjax.ops import compilation
from vadjax.scores.files import Scores
from vadjax.scores.streaming import PartialScores, join
from vadjax.system import Cache, at_least_float32, precision
from vadjax.systems.ssmtl import tasks, validation
from vadjax.systems.ssmtl.checks import check_fields
from vadjax.systems.ssmtl.finder import Finder, stored_objects
from vadjax.systems.ssmtl.loss import training_loss
from vadjax.systems.ssmtl.model import build
from vadjax.systems.ssmtl.object_data import FACT, ObjectData
from vadjax.systems.ssmtl.postprocess import frames_of_objects
from vadjax.systems.ssmtl.reasons import Reasons
from vadjax.systems.ssmtl.samples import batches
from vadjax.systems.ssmtl.scorer import ObjectScorer
from vadjax.systems.ssmtl.stream import Chunk, chunks, parts

CHUNKS_AHEAD = 2  # whose objects are found and cut while another one is scored


class State(NamedTuple):
    """All that a run learns.

    Attributes:
      params: of the network.
      batch_stats: running statistics of its batch norms.
      optimizer: state of Adam.
      normal: mean and deviation of each scored task's score on training objects, float32
        [tasks, 2]; set by `finalize`, for the reasons.
      size: (H, W) of the frames, int32 [2].
    """

    params: dict
    batch_stats: dict
    optimizer: optax.OptState
    normal: jax.Array
    size: jax.Array

    @property
    def variables(self) -> dict:
        """What the network computes with."""
        return {"params": self.params, "batch_stats": self.batch_stats}


class System(system.System):
    """SSMTL (spec ssmtl); `vadjax.system.System` tells what each method is for."""

    kind = clips.KIND
    validates = True
    window = tasks.LENGTH

    def __init__(self, config: ml_collections.ConfigDict, cache: Cache | None = None):
        super().__init__(config, cache)
        check_fields(config)
        # The objects, and the tasks that can be learned from them.
        self.objects = ObjectData(config, self.cache.fact(FACT))
        self.scored = self.objects.scored
        # The network and Adam.
        distilled = sum(self.objects.outputs.values())
        self.model = build(config.model, self.objects.tasks, distilled, precision(config))
        rate = config.optim.learning_rate
        if config.optim.schedule == "cosine":
            rate = optax.cosine_decay_schedule(rate, max(config.train.steps, 1))
        self.optimizer = optax.adam(rate)
        # What measures held-out objects, and what scores objects.
        weight = config.loss.distillation_weight
        self._figures = jax.jit(functools.partial(validation.batch_figures, self.model, weight))
        self.object_scores = ObjectScorer(self.model, self.scored, config)
        self._finder: Finder | None = None  # opened when a video is to be scored

    def batches(self, data: Dataset, shard: Shard) -> grain.MapDataset:
        """Batches of objects; see `samples.Samples`. Says if distillation is left out."""
        if notice := self.objects.notice():
            print(notice)
        samples, config = self.objects.samples(data), self.config
        count = self.objects.trained_on(samples)
        return batches(samples, count, config.train.batch, config.seed, shard)

    def facts(self, data: Dataset) -> dict[str, Description]:
        """The dataset of objects, if there is one beside that of the frames."""
        described = self.objects.source(data).described
        return {} if described is None else {FACT: described}

    def init(self, rng: jax.Array, data: Dataset) -> State:
        """Fresh parameters."""
        return self._first_state(rng, data, compilation.run_once)

    def abstract_state(self, description: Description) -> State:
        """Shapes of the first state; nothing is compiled for them."""
        rng = jax.random.key(self.config.seed)
        return jax.eval_shape(lambda: self._first_state(rng, description, operator.call))

    def _first_state(self, rng: jax.Array, data: Description, call: Callable) -> State:
        """As `init`; `call(function, *arguments)` runs the initialisation of the network."""
        side = self.config.model.size
        crops = {task: jnp.zeros((1, 1, side, side, 3)) for task in self.model.tasks}
        variables = call(self.model.init, rng, crops)
        params, statistics = variables["params"], variables["batch_stats"]
        normal = jnp.tile(jnp.array([0.0, 1.0]), (len(self.scored), 1))
        size = jnp.array(data.manifest["size"], jnp.int32)
        return State(params, statistics, self.optimizer.init(params), normal, size)

    def parameters(self, state: State) -> dict:
        """The parameters of the network."""
        return state.params

    def update(self, state: State, batch: dict, rng: jax.Array) -> tuple[State, dict]:
        """One step on a batch of objects (spec ssmtl §5)."""
        del rng  # what is random was drawn with the batch
        inputs, targets = tasks.training_inputs(batch, at_least_float32(self.model.dtype))

        def loss(params):
            variables = {"params": params, "batch_stats": state.batch_stats}
            outputs, changed = self.model.apply(variables, inputs, True, mutable="batch_stats")
            total, terms = training_loss(outputs, targets, self.config.loss.distillation_weight)
            return total, (terms, changed["batch_stats"])

        gradient = jax.value_and_grad(loss, has_aux=True)
        (total, (terms, statistics)), gradients = gradient(state.params)
        updates, optimizer = self.optimizer.update(gradients, state.optimizer, state.params)
        params = optax.apply_updates(state.params, updates)
        state = state._replace(params=params, batch_stats=statistics, optimizer=optimizer)
        return state, {"loss": total, **terms}

    def finalize(self, state: State, data: Dataset) -> State:
        """Takes mean and deviation of the tasks' scores on normal objects."""
        samples = self.objects.samples(data)
        crops, detector = samples.plain(self.objects.normal(samples))
        scores = self.object_scores(state.variables, state.normal, crops, detector)
        rows = [[scores[task].mean(), scores[task].std()] for task in self.scored]
        return state._replace(normal=jnp.array(rows, jnp.float32))

    def validate(self, state: State, data: Dataset) -> dict[str, float]:
        """Losses on `eval.held_out_objects` objects of the held-out videos, and two accuracies."""
        samples = self.objects.samples(data)
        figures = functools.partial(self._figures, state.variables)
        numbers = self.objects.held_out(samples)
        return validation.mean_figures(figures, samples, numbers, self.config.eval.batch)

    def videos(self, data: Dataset, split: str) -> list[ObjectVideo]:
        """The videos of the split with their objects.

        Raises:
          ValueError: a video whose boxes are not known, or objects with other teachers than those
            of the training.
        """
        return self.objects.source(data).videos(split)

    def score(self, state: State, videos: Iterable[ObjectVideo]) -> Iterator[Scores]:
        """Scores of each video, with the boxes of its objects and reasons."""
        for video in videos:
            find = functools.partial(stored_objects, video)
            frames, batch = numbered(video.video), self.config.eval.batch
            object_chunks = chunks(frames, find, batch, self.config.model.size)
            scores = join(video.name, self._parts(state, prefetch(object_chunks, CHUNKS_AHEAD)))
            scores = frames_of_objects(scores, video.source_size, self.config.eval)
            yield dataclasses.replace(scores, labels=video.labels)

    def stream(
        self,
        state: State,
        name: str,
        frames: Iterator[Frame],
        data: Description,
        live: bool,
    ) -> Iterator[PartialScores]:
        """Scores of the frames by their highest objects, three frames late.

        Raises:
          FileNotFoundError, ValueError: as `Finder`.
        """
        del name, data
        if self._finder is None:
            self._finder = self.objects.finder()
        self._finder.restart()
        batch = 0 if live else self.config.eval.batch
        object_chunks = chunks(frames, self._finder, batch, self.config.model.size)
        yield from self._parts(state, object_chunks)

    def postprocess(self, state: State, scores: Scores) -> Scores:
        """Scores of frames from the boxes (spec ssmtl §7)."""
        size = tuple(np.asarray(state.size).tolist())
        return frames_of_objects(scores, size, self.config.eval)

    def _parts(self, state: State, object_chunks: Iterable[Chunk]) -> Iterator[PartialScores]:
        """Scores of consecutive chunks of a video, with reasons."""
        score_objects = functools.partial(self.object_scores, state.variables, state.normal)
        return parts(object_chunks, score_objects, Reasons(self.config.eval.flag, state.normal))
