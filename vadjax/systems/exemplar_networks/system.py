"""The feature networks of EVAL as a system with a training of its own (spec eval §3)."""

from typing import NamedTuple

import grain
import jax
import ml_collections
import optax

from vadjax import system
from vadjax.config import expect_one_of
from vadjax.data.store.loader import Shard
from vadjax.data.store.records import Dataset
from vadjax.system import Cache
from vadjax.systems.exemplar_networks import appearance, motion

NETWORKS = {"appearance": appearance.AppearanceTraining, "motion": motion.MotionTraining}


class State(NamedTuple):
    """Parameters, running statistics of the batch norms, and the state of Adam."""

    params: dict
    batch_stats: dict
    optimizer: optax.OptState


class System(system.System):
    """Appearance or motion networks; `vadjax.system.System` explains the methods."""

    scores_videos = False

    def __init__(self, config: ml_collections.ConfigDict, cache: Cache | None = None):
        super().__init__(config, cache)
        expect_one_of("model.network", config.model.network, NETWORKS)
        self.training = NETWORKS[config.model.network](config, self.cache)
        self.kind: str = self.training.kind
        rate = optax.cosine_decay_schedule(config.optim.learning_rate, max(config.train.steps, 1))
        self.optimizer = optax.adam(rate)

    def batches(self, data: Dataset, shard: Shard) -> grain.MapDataset:
        """Endless seeded batches of images or volumes with their targets."""
        return self.training.batches(data, shard)

    def init(self, rng: jax.Array, data: Dataset) -> State:
        """Fresh parameters; those of the trunk come from `model.weights`, if set."""
        del data
        variables = self.training.variables(rng)
        params = variables["params"]
        return State(params, variables["batch_stats"], self.optimizer.init(params))

    def parameters(self, state: State) -> dict:
        """The parameters of the network."""
        return state.params

    def update(self, state: State, batch: dict, rng: jax.Array) -> tuple[State, dict]:
        """One step of Adam on a batch of images or volumes."""

        # The running statistics change without gradient.
        def loss(params):
            variables = {"params": params, "batch_stats": state.batch_stats}
            return self.training.loss(variables, batch, rng)

        (value, (terms, stats)), gradients = jax.value_and_grad(loss, has_aux=True)(state.params)
        updates, optimizer = self.optimizer.update(gradients, state.optimizer, state.params)
        params = optax.apply_updates(state.params, updates)
        return State(params, stats, optimizer), {"loss": value, **terms}

    def figures(self, state: State, data: Dataset) -> dict[str, float]:
        """Figures on data that was not trained on."""
        variables = {"params": state.params, "batch_stats": state.batch_stats}
        return self.training.figures(variables, data)
