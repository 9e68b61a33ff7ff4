"""SSMTL as a system: objects of normal video in, scores of objects and of frames out."""

import dataclasses
import functools
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import grain
import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import optax

from vadjax import system
from vadjax.config import expect_one_of
from vadjax.data import clips
from vadjax.data.objects import ObjectVideo
from vadjax.data.store.loader import Shard, ahead
from vadjax.data.store.records import Dataset, Description
from vadjax.data.video.frame_stream import Frame, numbered
from vadjax.ops import compilation, pieces
from vadjax.runtime import mesh
from vadjax.scores.files import Scores
from vadjax.scores.streaming import PartialScores, join
from vadjax.system import Cache, at_least_float32, precision
from vadjax.systems.ssmtl import samples, score, tasks
from vadjax.systems.ssmtl.finder import Finder
from vadjax.systems.ssmtl.loss import training_loss
from vadjax.systems.ssmtl.model import SMALLEST, TRUNKS, MultiTaskNet
from vadjax.systems.ssmtl.object_data import FACT, ObjectData
from vadjax.systems.ssmtl.reasons import Reasons
from vadjax.systems.ssmtl.stream import TOTAL, Chunk, Seen, chunks, parts

FEW = 16  # objects at once where each frame is scored as it comes
NOT_FIELDS = ("size",)  # of config.model: not fields of the network
SCHEDULES = ("constant", "cosine")


class State(NamedTuple):
    """All that a run learns.

    Attributes:
      params: of the network.
      batch_stats: running statistics of its batch norms.
      optimizer: state of Adam.
      normal: mean and deviation of each task's score on training objects, float32 [tasks, 2];
        set by `finalize`, for the reasons.
      size: (H, W) of the frames, int32 [2].
    """

    params: dict
    batch_stats: dict
    optimizer: optax.OptState
    normal: jax.Array
    size: jax.Array


class System(system.System):
    """SSMTL (spec ssmtl); `vadjax.system.System` tells what each method is for."""

    kind = clips.KIND
    validates = True
    window = tasks.LENGTH

    def __init__(self, config: ml_collections.ConfigDict, cache: Cache | None = None):
        super().__init__(config, cache)
        if config.model.size < SMALLEST or config.model.size % SMALLEST:
            raise ValueError(
                f"model.size is {config.model.size}; expected a multiple of {SMALLEST} pixels"
            )
        expect_one_of("optim.schedule", config.optim.schedule, SCHEDULES)
        expect_one_of("eval.object_score", config.eval.object_score, score.OBJECT_SCORES)
        expect_one_of("eval.gaussian", config.eval.gaussian, score.GAUSSIANS)
        score.gaussian(*self._smoothing)  # checks it
        self.objects = ObjectData(config, self.cache.fact(FACT))
        self.outputs = self.objects.outputs
        fields = {name: own for name, own in config.model.items() if name not in NOT_FIELDS}
        fields["tasks"] = _tasks(config, self.outputs)
        self.model = MultiTaskNet(
            **fields, distilled=sum(self.outputs.values()), dtype=precision(config)
        )
        rate = config.optim.learning_rate
        if config.optim.schedule == "cosine":
            rate = optax.cosine_decay_schedule(rate, max(config.train.steps, 1))
        self.optimizer = optax.adam(rate)
        self._scored = mesh.Spread(self._task_scores, config.train.devices)
        self._finder: Finder | None = None  # opened when a video is to be scored

    @property
    def _smoothing(self) -> tuple[float, int, str]:
        return self.config.eval.sigma, self.config.eval.length, self.config.eval.gaussian

    @property
    def scored(self) -> tuple[str, ...]:
        """The tasks that have a score: distillation only if the detector has class outputs."""
        known = self.outputs["detector"] > 0
        return tuple(task for task in self.model.tasks if task != "distillation" or known)

    def batches(self, data: Dataset, shard: Shard) -> grain.MapDataset:
        """Batches of objects; see `samples.Samples`. Says if distillation is left out."""
        self._tell_distillation()
        chosen, config = self._samples(data), self.config
        trained_on = self.objects.trained_on(chosen)
        return samples.batches(chosen, trained_on, config.train.batch, config.seed, shard)

    def facts(self, data: Dataset) -> dict[str, Description]:
        """The dataset of objects, if there is one beside that of the frames."""
        found = self.objects.source(data).described
        return {} if found is None else {FACT: found}

    def init(self, rng: jax.Array, data: Description) -> State:
        """Fresh parameters."""
        side = self.config.model.size
        crops = {task: jnp.zeros((1, 1, side, side, 3)) for task in self.model.tasks}
        variables = compilation.run_once(self.model.init, rng, crops)
        params, statistics = variables["params"], variables["batch_stats"]
        normal = jnp.tile(jnp.array([0.0, 1.0]), (len(self.scored), 1))
        size = jnp.array(data.manifest["size"], jnp.int32)
        return State(params, statistics, self.optimizer.init(params), normal, size)

    def parameters(self, state: State) -> dict:
        """The parameters of the network."""
        return state.params

    def update(self, state: State, batch: dict, rng: jax.Array) -> tuple[State, dict]:
        """One step on a batch of objects (spec ssmtl §5)."""
        del rng  # the draws are the data's
        inputs, targets = tasks.training_inputs(batch, at_least_float32(self.model.dtype))

        def loss(params):
            variables = {"params": params, "batch_stats": state.batch_stats}
            outputs, changed = self.model.apply(variables, inputs, True, mutable="batch_stats")
            total, terms = training_loss(outputs, targets, self.config.loss.distillation_weight)
            return total, (terms, changed["batch_stats"])

        (total, (terms, statistics)), gradients = jax.value_and_grad(loss, has_aux=True)(
            state.params
        )
        updates, optimizer = self.optimizer.update(gradients, state.optimizer, state.params)
        params = optax.apply_updates(state.params, updates)
        state = state._replace(params=params, batch_stats=statistics, optimizer=optimizer)
        return state, {"loss": total, **terms}

    def finalize(self, state: State, data: Dataset) -> State:
        """Takes mean and deviation of the tasks' scores on `eval.normal_objects` objects.

        They are spread evenly over the training videos that are held out, or else over all.
        """
        chosen = self._samples(data)
        first = self.objects.trained_on(chosen) % len(chosen)
        places = _spread(first, len(chosen), self.config.eval.normal_objects)
        found = self._judge(state, *chosen.plain(places))
        rows = [[found[task].mean(), found[task].std()] for task in self.scored]
        return state._replace(normal=jnp.array(rows, jnp.float32))

    def validate(self, state: State, data: Dataset) -> dict[str, float]:
        """Losses on `eval.held_out_objects` objects of the held-out videos, and two accuracies."""
        chosen = self._samples(data)
        first, most = self.objects.trained_on(chosen), self.config.eval.held_out_objects
        places = _spread(first, len(chosen), most)
        size, sums = self.config.eval.batch, {}
        for start in range(0, len(places), size):
            own = places[start : start + size]
            found = self._figures_of(state, chosen.batch(np.zeros(len(own), int), own))
            for name, value in found.items():
                sums[name] = sums.get(name, 0.0) + float(value) * len(own)
        return {name: value / len(places) for name, value in sums.items()}

    @functools.cached_property
    def _figures_of(self):
        def figures(state: State, batch: dict) -> dict:
            inputs, targets = tasks.training_inputs(batch)
            variables = {"params": state.params, "batch_stats": state.batch_stats}
            outputs = self.model.apply(variables, inputs)
            total, terms = training_loss(outputs, targets, self.config.loss.distillation_weight)
            right = {
                f"{task}_accuracy": (outputs[task].argmax(1) == targets[task]).mean()
                for task in ("arrow", "irregularity")
                if task in outputs
            }
            return {"loss": total, **terms, **right}

        return jax.jit(figures)

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
            find = functools.partial(_find, video)
            pieces = self._chunks(numbered(video.video), find, self.config.eval.batch)
            found = join(video.name, self._parts(state, ahead(pieces, 2)))
            whole = self._smoothed(found, video.source_size)
            yield dataclasses.replace(whole, labels=video.labels)

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
        size = 0 if live else self.config.eval.batch
        yield from self._parts(state, self._chunks(frames, self._finder, size))

    def postprocess(self, state: State, scores: Scores) -> Scores:
        """Scores of frames from the boxes (spec ssmtl §7)."""
        return self._smoothed(scores, tuple(np.asarray(state.size).tolist()))

    def _smoothed(self, scores: Scores, size: tuple[int, int]) -> Scores:
        """Objects → volume → mean → highest → Gaussian; each task's highest object, smoothed."""
        boxes, count = scores.boxes, len(scores.frame_scores)
        raw = score.frame_scores(
            boxes[:, 0].astype(int),
            boxes[:, 1:5],
            boxes[:, 5],
            count,
            size,
            self.config.eval.filter,
        )
        series = {"highest_object": scores.frame_scores, **scores.alternatives}
        smooth = functools.partial(self._smooth, form=self.config.eval.gaussian)
        other = next(form for form in score.GAUSSIANS if form != self.config.eval.gaussian)
        return dataclasses.replace(
            scores,
            frame_scores=smooth(raw),
            alternatives={
                **{name: smooth(own) for name, own in series.items()},
                f"smoothed_{other}": self._smooth(raw, form=other),
                "not_smoothed": raw.astype(np.float32),
            },
        )

    def _smooth(self, values: np.ndarray, form: str) -> np.ndarray:
        sigma, length, _ = self._smoothing
        return score.smooth(values, sigma, length, form).astype(np.float32)

    def _chunks(self, frames: Iterable[Frame], find, objects: int) -> Iterator[Chunk]:
        return chunks(frames, find, objects, self.config.model.size)

    def _parts(self, state: State, pieces: Iterator[Chunk]) -> Iterator[PartialScores]:
        reasons = Reasons(self.config.eval.flag, state.normal)
        return parts(pieces, functools.partial(self._judge, state), reasons)

    def _judge(self, state: State, crops: np.ndarray, detector: np.ndarray | None) -> dict:
        """Task → score [n] of objects, and `TOTAL`; `eval.batch` at once, `FEW` of the last."""
        found, start = [], 0
        while start < len(crops):
            full = len(crops) - start >= self.config.eval.batch
            size = self.config.eval.batch if full else FEW
            own = slice(start, start + size)
            missing = size - len(crops[own])
            rows = [crops[own]] if detector is None else [crops[own], detector[own]]
            rows = [np.pad(row, [(0, missing)] + [(0, 0)] * (row.ndim - 1)) for row in rows]
            variables = {"params": state.params, "batch_stats": state.batch_stats}
            scored = self._scored((variables, state.normal), rows)
            found.append({name: value[: size - missing] for name, value in scored.items()})
            start += size
        names = (TOTAL, *self.scored)
        empty = [np.zeros(0, np.float32)]
        return {name: np.concatenate(empty + [own[name] for own in found]) for name in names}

    def _task_scores(self, learnt: tuple, rows: list[jax.Array]) -> dict:
        variables, normal = learnt
        crops, *known = rows
        outputs = self._score_outputs(variables, crops)
        outputs = {task: outputs[task] for task in self.scored}
        found = score.task_scores(
            outputs, crops[:, tasks.REACH], *(known or [None]), self.config.eval.distillation_space
        )
        total = score.object_scores(found, self.config.eval.object_score, normal)
        return {TOTAL: total, **found}

    def _score_outputs(self, variables: dict, crops: jax.Array) -> dict:
        """What the network says of each object."""
        apply = functools.partial(self.model.apply, variables, method="score_outputs")
        channels = 3 * TRUNKS[self.model.trunk][0][0]  # of each temporal tap of the first layer
        size = crops[0, ..., 0].size * channels * crops.dtype.itemsize
        return pieces.by_sample(apply, crops, size)

    def _samples(self, data: Dataset) -> samples.Samples:
        """The training objects."""
        return self.objects.samples(data, "distillation" in self.model.tasks)

    def _tell_distillation(self) -> None:
        """Says why distillation, which the config asks for, is not trained or not scored."""
        wanted = set(self.config.model.tasks)
        if "distillation" in wanted - set(self.model.tasks):
            print(
                "Distillation is off: no outputs of teachers (python -m data_prep.extract_objects "
                "--teachers …, --config.data.objects)."
            )
        elif "distillation" in wanted - set(self.scored):
            print("Distillation is trained, not scored: the detector has no class outputs.")


def _tasks(config: ml_collections.ConfigDict, outputs: dict[str, int]) -> tuple[str, ...]:
    """The tasks in use: distillation only if there are teachers.

    Raises:
      ValueError: none is left.
    """
    known = [task for task in config.model.tasks if task != "distillation" or sum(outputs.values())]
    if not known:
        raise ValueError(
            f"model.tasks is {tuple(config.model.tasks)}: nothing to learn without teachers "
            "(python -m data_prep.extract_objects --teachers …)"
        )
    return tuple(known)


def _find(video: ObjectVideo, frame: int, picture: np.ndarray) -> Seen:
    """The known objects of a frame."""
    del picture
    rows = video.rows(frame)
    own = video.objects
    return Seen(own.boxes[rows], own.rectangles[rows], video.outputs(rows, ("detector",)))


def _spread(first: int, stop: int, count: int) -> np.ndarray:
    """At most `count` numbers from `first` to below `stop`, evenly."""
    return np.unique(np.linspace(first, stop - 1, min(count, stop - first)).astype(int))
