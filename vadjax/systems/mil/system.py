"""The MIL ranker as a system: paired bags in, segment scores spread over frames out."""

from collections.abc import Iterable, Iterator
from functools import partial
from typing import NamedTuple

import flax.linen as nn
import grain
import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import optax

from vadjax import system
from vadjax.config import expect_one_of
from vadjax.data import bags
from vadjax.data.bags import Bag, Bags
from vadjax.data.segments import EXPANSIONS, expand
from vadjax.data.store.loader import Shard
from vadjax.data.store.records import Dataset, Description
from vadjax.data.video.frame_stream import Frame
from vadjax.data.video.snippets import FRAMES as SNIPPET
from vadjax.extractors.clips import AHEAD, SnippetFeatures, of_run
from vadjax.ops import optim
from vadjax.runtime import mesh
from vadjax.scores import streaming
from vadjax.scores.files import Scores
from vadjax.scores.streaming import PartialScores
from vadjax.system import Cache, precision
from vadjax.systems.mil.convert import read_ranker
from vadjax.systems.mil.loss import ranking_loss
from vadjax.systems.mil.model import Ranker, keep_masks


class State(NamedTuple):
    """Parameters of the ranker and the state of its optimiser."""

    params: nn.FrozenDict
    optimizer: optax.OptState


class System(system.System):
    """MIL ranker (spec mil §5-7); `vadjax.system.System` explains the methods."""

    kind = bags.KIND
    validates = True
    saves_memory = False
    window = SNIPPET

    def __init__(self, config: ml_collections.ConfigDict, cache: Cache | None = None):
        super().__init__(config, cache)
        if not 0 <= config.model.dropout < 1:
            raise ValueError(f"model.dropout is {config.model.dropout}; expected 0 to below 1")
        expect_one_of("eval.expansion", config.eval.expansion, EXPANSIONS)
        self.ranker = Ranker(dtype=precision(config))
        schedule = optim.multistep(
            config.optim.learning_rate, config.optim.milestones, config.optim.gamma
        )
        self.optimizer = optim.adagrad(schedule, config.optim.weight_decay, config.optim.eps)
        self.apply = mesh.Spread(self.ranker.apply, config.train.devices)
        self._features: SnippetFeatures | None = None  # loaded when a video is to be scored

    def batches(self, data: Dataset, shard: Shard) -> grain.MapDataset:
        """Batches of `train.batch` anomalous and as many normal bags."""
        config = self.config
        return bags.paired_bags(
            data,
            "train",
            config.data.modality,
            config.train.batch,
            config.seed,
            shard,
            held_out=config.eval.held_out,
        )

    def init(self, rng: jax.Array, data: Dataset) -> State:
        """Fresh parameters, or those of `model.weights`."""
        width = bags.feature_width(data, self.config.data.modality)
        if self.config.model.weights:
            params = jax.tree.map(jnp.asarray, read_ranker(self.config.model.weights, width))
        else:
            params = self.ranker.init(rng, jnp.zeros((1, width)))
        return State(params, self.optimizer.init(params))

    def parameters(self, state: State) -> dict:
        """The parameters of the network."""
        return state.params

    def update(self, state: State, batch: dict, rng: jax.Array) -> tuple[State, dict]:
        """One step on `{"anomalous", "normal"}`, each float32 [B, S, D] (spec mil §6)."""
        # One step of Adagrad, with the weight decay in the gradient (spec mil §6).
        gradient = jax.value_and_grad(self._loss, has_aux=True)
        (loss, scalars), gradients = gradient(state.params, batch, rng)
        updates, optimizer = self.optimizer.update(gradients, state.optimizer, state.params)
        params = optax.apply_updates(state.params, updates)
        return State(params, optimizer), {"loss": loss, **scalars}

    def _loss(self, params, batch: dict, rng: jax.Array) -> tuple[jax.Array, dict]:
        """Loss of a batch; the means of its terms, and `margin`, the difference of the maxima."""
        # Both kinds of bags go through the ranker, each with dropout masks of its own.
        keep = {
            kind: self._keep(jax.random.fold_in(rng, number), bags_of_kind.shape[:2])
            for number, (kind, bags_of_kind) in enumerate(sorted(batch.items()))
        }
        anomalous = self.ranker.apply(params, batch["anomalous"], keep["anomalous"])
        fixed = jax.lax.stop_gradient(params)
        normal = self.ranker.apply(fixed, batch["normal"], keep["normal"])
        # The loss knows a normal bag by its highest score. That segment alone is scored again with
        # a gradient: the gradients of all others are 0, and a quarter of the step's products.
        place = normal[:, : self.config.loss.segments_used].argmax(1)
        highest, keep_highest = jax.tree.map(
            lambda a: jnp.take_along_axis(a, place[:, None, None], 1),
            (batch["normal"], keep["normal"]),
        )
        top = self.ranker.apply(params, highest, keep_highest)
        loss, terms = ranking_loss(anomalous, top, **self.config.loss)
        means = {name: term.mean() for name, term in terms.items()}
        means["margin"] = (anomalous.max(1) - normal.max(1)).mean()
        return loss, means

    def _keep(self, rng: jax.Array, rows: tuple[int, int]) -> tuple[jax.Array, ...] | None:
        """Dropout masks for `rows` (bags, segments); None if nothing is dropped."""
        rate = self.config.model.dropout
        return keep_masks(rng, rows, rate) if rate else None

    def validate(self, state: State, data: Dataset) -> dict[str, float]:
        """AUC of the held-out training videos by their highest scores."""
        chosen = bags.held_out(data, self.config.data.modality, self.config.eval.held_out)
        scored = (
            (bag.label, self.segment_scores(state, bags.crop_mean(bag)[None]).max())
            for bag in chosen
        )
        return bags.held_out_figures(scored)

    def videos(self, data: Dataset, split: str) -> Bags:
        """The bags of the split, checked to have frames to score."""
        return bags.scored_bags(data, split, self.config.data.modality)

    def score(self, state: State, videos: Iterable[Bag]) -> Iterator[Scores]:
        """Scores of each bag; `eval.batch` bags go through the network at once."""
        for group in _groups(videos, self.config.eval.batch):
            segments = self.segment_scores(state, np.stack([bags.crop_mean(b) for b in group]))
            yield from map(partial(_to_scores, rule=self.config.eval.expansion), group, segments)

    def stream(
        self,
        state: State,
        name: str,
        frames: Iterator[Frame],
        data: Description,
        live: bool,
    ) -> Iterator[PartialScores]:
        """Scores of the snippets: the ranker sees each alone, as it saw segments in training.

        A frame has the score of the first snippet that ends with it or later. What is left over at
        the end is filled up to a snippet with the last frame.

        Raises:
          ValueError, FileNotFoundError: as `vadjax.extractors.clips.of_run`.
        """
        del name
        if self._features is None:
            width = bags.feature_width(data, self.config.data.modality)
            self._features = of_run(self.config.features, data.manifest, width, live)
        rows = self._features.rows(frames, ahead=0 if live else AHEAD)
        yield from streaming.of_snippets(rows, partial(self._scores_of, state))

    def _scores_of(self, state: State, snippets: list[np.ndarray]) -> Iterator[float]:
        """A score of each snippet from its features [C, D] alone, the mean of the crops."""
        for crops in snippets:
            yield self.segment_scores(state, crops.mean(0)[None, None]).item()

    def segment_scores(self, state: State, features: np.ndarray) -> np.ndarray:
        """Scores float32 [B, S] of bags [B, S, D]; compiled once for each B."""
        return self.apply(state.params, features)


def _groups(videos: Iterable[Bag], size: int) -> Iterator[list[Bag]]:
    """Runs of at most `size` consecutive bags of one shape."""
    group = []
    for bag in videos:
        if group and (len(group) == size or group[0].features.shape != bag.features.shape):
            yield group
            group = []
        group.append(bag)
    if group:
        yield group


def _to_scores(bag: Bag, segments: np.ndarray, rule: str) -> Scores:
    """Segment scores spread over the frames by a rule of `EXPANSIONS` (spec mil §7)."""
    return Scores(
        video=bag.video,
        frame_scores=expand(segments, bag.num_frames, rule),
        labels=bag.frame_labels,
        segment_scores=segments,
    )
