"""S3R and RTFM as a system: paired bags of all crops in, snippet scores repeated to frames out."""

import collections
from collections.abc import Iterable, Iterator
from functools import partial
from typing import NamedTuple

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
from vadjax.systems.s3r import convert
from vadjax.systems.s3r.model import Network, build
from vadjax.systems.s3r.step import accumulated, pair_loss

LIVE_WINDOW = 32  # snippets, as many as the segments of a training bag
NETWORK = ("en_normal", "de_normal", "attention_scaling", "norm", "norm_first", "dropout")


class State(NamedTuple):
    """All that a run learns.

    Attributes:
      params: of the network.
      batch_stats: running statistics of its batch norms.
      optimizer: state of Adam.
      dictionary: atoms [S, C] that training leaves as they are; None without en-Normal.
    """

    params: dict
    batch_stats: dict
    optimizer: optax.OptState
    dictionary: jax.Array | None


class System(system.System):
    """S3R or RTFM (spec s3r); `vadjax.system.System` explains the methods."""

    kind = bags.KIND
    validates = True
    window = SNIPPET

    def __init__(self, config: ml_collections.ConfigDict, cache: Cache | None = None):
        super().__init__(config, cache)
        model = config.model
        if not 0 <= model.selection_dropout < 1:
            raise ValueError(
                f"model.selection_dropout is {model.selection_dropout}; expected 0 to below 1"
            )
        if config.train.accumulate < 1:
            raise ValueError(f"train.accumulate is {config.train.accumulate}; expected at least 1")
        if model.top_k < 1:
            raise ValueError(f"model.top_k is {model.top_k}; expected at least 1")
        expect_one_of("eval.expansion", config.eval.expansion, EXPANSIONS)
        fields = {name: model[name] for name in NETWORK}
        self.model: Network = build(model.variant, dtype=precision(config), **fields)
        self.optimizer = optim.adam(config.optim.learning_rate, config.optim.weight_decay)
        # Toy bags are pooled into segments, not single snippets: their scores are spread evenly.
        self.expansion = config.eval.expansion if config.data.dir else "seed"
        self._scores = mesh.Spread(self._of_rows, config.train.devices)
        self._features: SnippetFeatures | None = None  # loaded when a video is to be scored

    def batches(self, data: Dataset, shard: Shard) -> grain.MapDataset:
        """Batches of `train.batch` anomalous and as many normal bags, each with all its crops.

        Raises:
          ValueError: bags of different shapes, or with fewer segments than `model.top_k`.
        """
        # All bags must have the same shape, and enough segments for the selection.
        config = self.config
        crops, segments = bags.common_shape(data, "train")
        if segments < config.model.top_k:
            raise ValueError(
                f"{data.folder}/train: bags have {crops} crops × {segments} segments; "
                f"model.top_k = {config.model.top_k} of them are to be chosen"
            )
        return bags.paired_bags(
            data,
            "train",
            config.data.modality,
            config.train.batch,
            config.seed,
            shard,
            features=bags.all_crops,
            held_out=config.eval.held_out,
        )

    def init(self, rng: jax.Array, data: Dataset) -> State:
        """Fresh parameters or those of `model.weights`, and the dictionary.

        Raises:
          ValueError: features, weights or dictionary do not fit.
        """
        width = bags.feature_width(data, self.config.data.modality)
        dictionary = self._dictionary(data, width) if self.model.en_normal else None
        return self._new_state(rng, width, dictionary)

    def abstract_state(self, description: Description) -> State:
        """Shapes of the state, without learning a dictionary."""
        width = bags.feature_width(description, self.config.data.modality)
        rows = self._atoms(description, width) if self.model.en_normal else None
        key = jax.random.key(self.config.seed)

        def first() -> State:
            return self._new_state(key, width, None if rows is None else jnp.zeros((rows, width)))

        return jax.eval_shape(first)

    def _new_state(
        self, rng: jax.Array, width: int, dictionary: jax.Array | np.ndarray | None
    ) -> State:
        """The state before training, with a dictionary [S, C], or None without en-Normal."""
        if dictionary is not None:
            dictionary = jnp.asarray(dictionary, jnp.float32)
        if self.config.model.weights:
            path = self.config.model.weights
            variables, _ = convert.read_network(path, self.model, width)
            variables = jax.tree.map(jnp.asarray, variables)
        else:
            variables = jax.jit(self.model.init)(rng, jnp.zeros((1, 1, 1, width)), dictionary)
        params = variables["params"]
        return State(params, variables["batch_stats"], self.optimizer.init(params), dictionary)

    def _dictionary(self, data: Dataset, width: int) -> np.ndarray:
        """Rows [S, C] from `model.dictionary`, or learned from the normal training videos."""
        from vadjax.systems.s3r import dictionary  # RTFM needs none

        model = self.config.model
        if model.dictionary:
            return dictionary.read(model.dictionary, width)
        means = dictionary.normal_means(data, self.config.data.modality, self._normal(data))
        seed, layout = model.dictionary_seed, model.dictionary_layout
        return dictionary.learn(means, self._atoms(data, width), seed=seed, layout=layout)

    def _atoms(self, data: Description, width: int) -> int:
        """Number of rows of the dictionary."""
        from vadjax.systems.s3r import dictionary

        model = self.config.model
        if model.dictionary:
            return len(dictionary.read(model.dictionary, width))
        return max(1, dictionary.count_atoms(self._normal(data).stop, model.dictionary_ratio))

    def _normal(self, data: Description) -> slice:
        """Slice of the normal training videos that are not held out."""
        return bags.training_bags(data, "train", 0, self.config.eval.held_out)

    def parameters(self, state: State) -> dict:
        """The parameters of the network."""
        return state.params

    def update(self, state: State, batch: dict, rng: jax.Array) -> tuple[State, dict]:
        """One step on `{"anomalous", "normal"}`, each float32 [B, N, T, C] (spec s3r §5, §6)."""
        options = {
            "model": self.model,
            "dictionary": state.dictionary,
            "top_k": self.config.model.top_k,
            "selection_dropout": self.config.model.selection_dropout,
        }
        inputs, weights = (state.params, state.batch_stats, batch, rng), dict(self.config.loss)
        # Loss and gradient of the whole batch, or with one part of it in memory at a time.
        if self.config.train.accumulate > 1:
            outputs = accumulated(*inputs, self.config.train.accumulate, weights, **options)
        else:
            gradient = jax.value_and_grad(partial(pair_loss, **options, **weights), has_aux=True)
            outputs = gradient(*inputs)
        (total, (terms, batch_stats, *_)), gradients = outputs
        updates, optimizer = self.optimizer.update(gradients, state.optimizer, state.params)
        params = optax.apply_updates(state.params, updates)
        return State(params, batch_stats, optimizer, state.dictionary), {"loss": total, **terms}

    def validate(self, state: State, data: Dataset) -> dict[str, float]:
        """AUC of the held-out training videos by their highest scores."""
        chosen = bags.held_out(data, self.config.data.modality, self.config.eval.held_out)
        scored = ((bag.label, self.snippet_scores(state, [bag])[0].max()) for bag in chosen)
        return bags.held_out_figures(scored)

    def videos(self, data: Dataset, split: str) -> Bags:
        """The bags of the split, checked to have frames to score."""
        return bags.scored_bags(data, split, self.config.data.modality)

    def score(self, state: State, videos: Iterable[Bag]) -> Iterator[Scores]:
        """Scores of each bag from all its snippets (spec s3r §7)."""
        for group in _groups(videos, self.config.eval.batch):
            for bag, snippets in zip(group, self.snippet_scores(state, group), strict=True):
                yield self._to_scores(bag, snippets)

    def stream(
        self,
        state: State,
        name: str,
        frames: Iterator[Frame],
        data: Description,
        live: bool,
    ) -> Iterator[PartialScores]:
        """Scores of the snippets among those around: all of the video, up to `eval.window` of them.

        A longer video is scored in windows of so many. Live, a snippet is scored as the last of
        `LIVE_WINDOW`. What is left over at the end is filled up to a snippet with the last frame.

        Raises:
          ValueError, FileNotFoundError: as `vadjax.extractors.clips.of_run`.
        """
        del name
        if self._features is None:
            width = bags.feature_width(data, self.config.data.modality)
            self._features = of_run(self.config.features, data.manifest, width, live)
        rows = self._features.rows(frames, ahead=0 if live else AHEAD)
        if not live:
            score = partial(self._scores_of, state)
            yield from streaming.of_snippets(rows, score, self.config.eval.window)
            return
        recent = collections.deque(maxlen=LIVE_WINDOW)

        def score_as_last(snippets: list[np.ndarray]) -> np.ndarray:
            recent.extend(snippets)
            return self._scores_of(state, recent)[-1:]

        yield from streaming.of_snippets(rows, score_as_last)

    def _scores_of(self, state: State, rows: Iterable[np.ndarray]) -> np.ndarray:
        """Scores float32 [T] of the snippets of one window from features [C, D] of each."""
        bag = Bag("", 0, "", bags.UNKNOWN_LENGTH, np.zeros((0, 2), np.int32), np.stack(rows, 1))
        return self.snippet_scores(state, [bag])[0]

    def snippet_scores(self, state: State, group: list[Bag]) -> list[np.ndarray]:
        """Scores float32 [T] of bags with the same number of crops, padded to one length."""
        # The bags padded to one length, and which snippets are not padding.
        lengths = [bag.features.shape[1] for bag in group]
        crops, _, width = group[0].features.shape
        longest = filled_length(max(lengths))
        features = np.zeros((len(group), crops, longest, width), np.float32)
        for row, bag in zip(features, group, strict=True):
            row[:, : bag.features.shape[1]] = bag.features
        valid = np.arange(longest) < np.array(lengths)[:, None]
        learnt = ({"params": state.params, "batch_stats": state.batch_stats}, state.dictionary)
        scores = self._scores(learnt, (features, valid))
        return [row[:length] for row, length in zip(scores, lengths, strict=True)]

    def _of_rows(self, learnt: tuple, rows: tuple) -> jax.Array:
        """Scores [B, T] of padded bags, with the learnt variables and dictionary."""
        variables, dictionary = learnt
        features, valid = rows
        return self.model.apply(variables, features, dictionary, valid=valid).scores

    def _to_scores(self, bag: Bag, snippets: np.ndarray) -> Scores:
        """Snippet scores spread over the frames of a video (spec s3r §7)."""
        try:
            frame_scores = expand(snippets, bag.num_frames, self.expansion)
        except ValueError as error:
            raise ValueError(f"{bag.video}: {error}") from error
        return Scores(
            video=bag.video,
            frame_scores=frame_scores,
            labels=bag.frame_labels,
            segment_scores=snippets,
        )


def filled_length(snippets: int) -> int:
    """Padded length of a bag, rounded up so that the network is compiled for few lengths.

    The result is a multiple of 16, or of 1/8 of the largest power of two that is not longer. From
    128 snippets on at most 1/8 of the work is spent on padding, and doubling the length takes at
    most 8 compilations.
    """
    step = max(16, (1 << snippets.bit_length()) // 16)
    return -(-snippets // step) * step


def _groups(videos: Iterable[Bag], size: int) -> Iterator[list[Bag]]:
    """Runs of at most `size` consecutive bags that are padded to the same length."""
    group, first = [], None
    for bag in videos:
        first = first or bag
        if len(bag.features) != len(first.features):
            raise ValueError(
                f"{bag.video}: features of {len(bag.features)} crops; {first.video} has "
                f"{len(first.features)}. Prepare the dataset again from features of one kind"
            )
        # A group ends when it is full, or before a bag with another padded length.
        length = filled_length(bag.features.shape[1])
        if group and (len(group) == size or filled_length(group[0].features.shape[1]) != length):
            yield group
            group = []
        group.append(bag)
    if group:
        yield group
