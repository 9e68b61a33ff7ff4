"""The contract of a system, and finding one by name."""

import importlib
import pathlib
import pkgutil
from collections.abc import Iterable, Iterator
from typing import Any, Protocol

import grain
import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from vadjax import systems
from vadjax.config import expect_one_of, suggestion
from vadjax.data.store.loader import Shard
from vadjax.data.store.records import Dataset, Description
from vadjax.scores.files import Scores
from vadjax.scores.streaming import Part

State = Any  # one pytree of arrays, saved and restored as a whole


class System(Protocol):
    """What `vadjax.systems.NAME.system.System` offers; the loop knows nothing else.

    A system that trains a part of another one (networks for features) scores no video: instead of
    `videos` and `score` it has `figures(state, data) -> dict[str, float]`, measured on data that
    it was not trained on.

    Attributes:
      kind: kind of dataset it reads (`Dataset.kind`).
      window: frames that one score is of; fewer are filled up, or have none. Only for `stream`.
      in_order: optional, whether the scores of a video depend on the videos before: then they are
        not shared out among several processes.
    """

    kind: str

    def __init__(self, config: ml_collections.ConfigDict, folder: pathlib.Path | None = None):
        """Reads its sections of the config; `folder` (the workdir) is for what saves it work."""

    def batches(self, data: Dataset, shard: Shard) -> grain.MapDataset | None:
        """Endless training batches: this process's share of each global batch.

        None for a system that learns all it does in `init`.
        """

    def init(self, rng: jax.Array, data: Dataset) -> State:
        """First state; may pass over the training split, keeping files in the workdir.

        For the shapes alone (`jax.eval_shape`) of a finished run, `data` may be a `Description`.
        """

    def update(
        self, state: State, batch: Any, rng: jax.Array
    ) -> tuple[State, dict[str, jax.Array]]:
        """A gradient step, or any other "state, batch → state", with scalars to log.

        Pure: the loop compiles it over the mesh and donates `state`. `loss` must be among the
        scalars.
        """

    def finalize(self, state: State, data: Dataset) -> State:
        """After the last update: identity for most."""

    def held_out(self, state: State, data: Dataset) -> dict[str, float]:
        """Optional: figures on the training videos that `eval.held_out` keeps out of `batches`.

        The highest `auc`, or the lowest `loss` where there is none, selects the step that is
        reported, without a look at the test split.
        """

    def videos(self, data: Dataset, split: str) -> Iterable[Any]:
        """The videos of a split in the form that `score` takes."""

    def score(self, state: State, videos: Iterable[Any]) -> Iterator[Scores]:
        """Scores of each video, in the order of `videos`, batched as suits the system."""

    def stream(
        self,
        state: State,
        name: str,
        frames: Iterator[np.ndarray],
        data: Description,
        live: bool,
        first: int = 0,
    ) -> Iterator[Part]:
        """Scores of a video as its frames come, all of them in the end, in constant memory.

        A live camera may lose frames: this is called anew for what comes after a gap, and nothing
        of a call may depend on the frames of an earlier one. Frames too few to be scored have no
        scores at all.

        Args:
          state: after `finalize`.
          name: of the video.
          frames: uint8 [H, W, 3], RGB; for a system of kind `"frames"`, of the size that it was
            trained on.
          data: what the system was trained on.
          live: each score as soon as it can be had, rather than many at once.
          first: number of the first frame in the whole video, for boxes and reasons.
        """

    def settle(self, state: State, scores: Scores) -> Scores:
        """The scores of a whole video from those of its parts: the same for most."""


PRECISIONS = ("float32", "bfloat16", "float64")


def precision(config: ml_collections.ConfigDict) -> jnp.dtype:
    """The type that `train.precision` names; float64 also needs JAX_ENABLE_X64=1.

    Raises:
      ValueError: none of `PRECISIONS`.
    """
    expect_one_of("train.precision", config.train.precision, PRECISIONS)
    if config.train.precision == "float64" and not jax.config.jax_enable_x64:
        raise ValueError("train.precision is 'float64', which needs JAX_ENABLE_X64=1")
    return jnp.dtype(config.train.precision)


def at_least_float32(dtype: jnp.dtype) -> jnp.dtype:
    """The type of inputs, sums and losses of a network that computes in `dtype`."""
    return jnp.promote_types(dtype, jnp.float32)


def load(config: ml_collections.ConfigDict, folder: pathlib.Path | None = None) -> System:
    """The system that `config.system` names: class `System` of `vadjax.systems.NAME.system`.

    Args:
      config: of the run.
      folder: workdir of the run; None keeps no files.

    Raises:
      ValueError: there is no such system.
    """
    name = f"vadjax.systems.{config.system}.system"
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not name.startswith(error.name):
            raise
        known = [one.name for one in pkgutil.iter_modules(systems.__path__)]
        hint = suggestion(config.system, known)
        raise ValueError(f"config.system is {config.system!r}; there is no {name}{hint}") from error
    return module.System(config, folder)
