"""The contract of a system, and finding one by name."""

import importlib
import pkgutil
import re
from collections.abc import Iterator, Sequence
from typing import Any

import grain
import jax
import jax.numpy as jnp
import ml_collections

from vadjax import systems
from vadjax.config import NAME, expect_one_of, suggestion
from vadjax.data.scored_video import ScoredVideo
from vadjax.data.store.cache import Cache
from vadjax.data.store.loader import Shard
from vadjax.data.store.records import Dataset, Description
from vadjax.data.video.frame_stream import Frame
from vadjax.ops import forms
from vadjax.scores.alarm import AlarmLine
from vadjax.scores.files import Scores
from vadjax.scores.streaming import PartialScores

State = Any  # one pytree of arrays, saved and restored as a whole
MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+", re.ASCII)  # dotted path of a user's module


class System:
    """What a system offers; the loop knows nothing else. The defaults are what most systems need.

    A system that trains a part of another one (networks for features) scores no video: it sets
    `scores_videos` to False and has `figures` instead of `videos`, `score` and `stream`.

    Args:
      config: of the run; a system reads its own sections.
      cache: keeps what is expensive to make; None keeps nothing after the program.

    Attributes:
      kind: kind of dataset that it reads (`Dataset.kind`): `"features"`, `"frames"`, `"images"` or
        `"tracks"`.
      scores_videos: whether it scores videos, or trains a part of another system.
      validates: whether `validate` measures anything, so that it can select a step.
      in_order: whether the scores of a video depend on the videos before it. If so, the videos are
        not divided among several processes.
      saves_memory: whether a training step on CPU takes an order of operations that needs little
        memory. A small network is faster without: its operations run side by side.
      same_aspect: whether new video must have the aspect ratio of the training, within 1 %; else
        there is a warning where it differs by more than 5 %.
      live_line: live score from which a frame is an alarm, if the system has such a line.
      classes: names that its reasons have under `class`, if they have any.
      window: number of frames that one score is computed from. Only `stream` needs it: a video
        with fewer frames is filled up, or has no scores.
    """

    kind: str
    scores_videos = True
    validates = False
    in_order = False
    saves_memory = True
    same_aspect = False
    live_line: float | None = None
    classes: tuple[str, ...] = ()
    window = 1

    def __init__(self, config: ml_collections.ConfigDict, cache: Cache | None = None):
        self.config, self.cache = config, cache or Cache()

    def batches(self, data: Dataset, shard: Shard) -> grain.MapDataset | None:
        """Endless training batches: this process's share of each global batch.

        Default: None, for a system that learns all it does in `init`.
        """
        del data, shard
        return None

    def facts(self, data: Dataset) -> dict[str, Description]:
        """Further datasets that the run is trained on, by name. Default: none.

        The loop keeps each as NAME.json in the workdir, where `cache.fact` finds it when the run
        is used without them, and refuses to resume with others.
        """
        del data
        return {}

    def init(self, rng: jax.Array, data: Dataset) -> State:
        """First state; may pass over the training split, and keep files in the cache."""
        raise NotImplementedError(f"{type(self).__module__} has no init")

    def abstract_state(self, description: Description) -> State:
        """Shapes and types of the state, found without data and without learning anything.

        Default: those of what `init` would give, by `jax.eval_shape`. A system has its own if its
        `init` cannot be traced because it calls `ops.compilation.run_once`. A system whose shapes
        depend on more than the description reads them from what the run has stored (`cache`).

        Args:
          description: of the dataset that the state is used on, or was trained on.
        """
        return jax.eval_shape(lambda: self.init(jax.random.key(self.config.seed), description))

    def parameters(self, state: State) -> Any | None:
        """The part of a state that gradients change; the first line of a run counts its numbers.

        Default: None, for a system that learns without gradients. All its numbers are counted.
        """
        del state
        return None

    def update(
        self, state: State, batch: Any, rng: jax.Array
    ) -> tuple[State, dict[str, jax.Array]]:
        """A gradient step, or any other "state, batch → state", with scalars to log.

        Pure: the loop compiles it over the mesh and donates `state`. `loss` must be among the
        scalars. Not called for a system without batches.
        """
        raise NotImplementedError(f"{type(self).__module__} is not trained by steps")

    def finalize(self, state: State, data: Dataset) -> State:
        """The state after the last update. Default: unchanged."""
        del data
        return state

    def alarm_line(self, state: State, data: Dataset) -> AlarmLine | None:
        """From which reported score on there is an alarm, and how often on held-out normal video.

        Default: None, for a system that judges no held-out normal video.

        Args:
          state: after `finalize`.
          data: the dataset of the training.
        """
        del state, data
        return None

    @property
    def extends(self) -> bool:
        """Whether the system can be extended by further normal video."""
        return type(self).extend is not System.extend

    def extend(self, state: State, data: Dataset) -> State:
        """The state with what the training split of another dataset of the same cameras adds.

        Args:
          state: after `finalize`.
          data: further normal video.

        Raises:
          ValueError: the system learns all at once (the default), or the dataset does not fit.
        """
        del state, data
        raise ValueError(
            f"system {self.config.system!r} cannot be extended; train another run on all videos"
        )

    def validate(self, state: State, data: Dataset) -> dict[str, float]:
        """Figures on the training videos that `eval.held_out` keeps out of `batches`.

        The highest `auc`, or the lowest `loss` where there is none, selects the step that is
        reported, without a look at the test split. Default: none (`validates` is False).
        """
        del state, data
        return {}

    def figures(self, state: State, data: Dataset) -> dict[str, float]:
        """Figures of a system that scores no videos, on data that it was not trained on."""
        raise NotImplementedError(f"{type(self).__module__} scores videos, or has no figures")

    def frame_rate(self, data: Description) -> float | None:
        """Frames a second of the videos of a dataset; None if unknown. Default: its manifest's.

        Folders of pictures that are scored later count as having the rate of the training.
        """
        return data.manifest.get("fps")

    def scored_every(self, fps: float) -> int:
        """Every how many frames of a video of that rate one has a score of its own. Default: 1."""
        del fps
        return 1

    def videos(self, data: Dataset, split: str) -> Sequence[ScoredVideo]:
        """The videos of a split in the form that `score` takes."""
        raise NotImplementedError(f"{type(self).__module__} scores no videos")

    def score(self, state: State, videos: Sequence[ScoredVideo]) -> Iterator[Scores]:
        """Scores of each video, in the order of `videos`, batched as suits the system."""
        raise NotImplementedError(f"{type(self).__module__} scores no videos")

    def stream(
        self,
        state: State,
        name: str,
        frames: Iterator[Frame],
        data: Description,
        live: bool,
    ) -> Iterator[PartialScores]:
        """Scores of a video as its frames come, in constant memory.

        In the end every frame has a score, or none has: if the frames are too few to be scored.
        A live camera may lose frames: this is called again for what comes after a gap, and nothing
        of a call may depend on the frames of an earlier one.

        Args:
          state: after `finalize`.
          name: of the video.
          frames: of the video, without a gap, each with its number in the whole video and its
            time; for a system of kind `"frames"`, of the size that it was trained on.
          data: what the system was trained on.
          live: give each score as soon as possible, rather than compute many at once.

        Yields:
          Scores of the next frames, which they name by their numbers and times; boxes and reasons
          have the same numbers.
        """
        raise NotImplementedError(f"{type(self).__module__} scores no new video")

    def postprocess(self, state: State, scores: Scores) -> Scores:
        """The scores of a whole video from those of its parts. Default: unchanged."""
        del state
        return scores


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


def load_system(
    config: ml_collections.ConfigDict, cache: Cache | None = None, *, any_module: bool = False
) -> System:
    """The system that `config.system` names: class `System` of `vadjax.systems.NAME.system`.

    Args:
      config: of the run.
      cache: as for `System`.
      any_module: whether `config.system` may also be the dotted path of a module, which is then
        imported. Only for a config that the user gives; never for one that is read from the folder
        of a run, because a folder may come from a stranger.

    Raises:
      ValueError: there is no such system.
    """
    if config.get("runtime", {}).get("plain_ops", False):
        forms.use_plain()
    # A folder of vadjax/systems, or where that is allowed any module.
    name = str(config.system)
    if NAME.fullmatch(name):
        module = f"vadjax.systems.{name}.system"
    elif any_module and MODULE.fullmatch(name):
        module = name
    else:
        also = ", or the dotted path of a module" if any_module else ""
        raise ValueError(
            f"config.system is {name!r:.80}; expected the name of a folder in vadjax/systems "
            f"(a-z, 0-9 and _){also}"
        )
    return _class_of(module, name)(config, cache)


def _class_of(module: str, name: str) -> type[System]:
    """Class `System` of a module.

    Raises:
      ValueError: there is no such module, or it has no such class.
    """
    # A module that is there but fails to import another one is an error of its own.
    try:
        system = vars(importlib.import_module(module)).get("System")
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise
        hint = suggestion(name, [folder.name for folder in pkgutil.iter_modules(systems.__path__)])
        raise ValueError(f"config.system is {name!r}; there is no {module}{hint}") from error
    if not isinstance(system, type) or not issubclass(system, System):
        raise ValueError(
            f"config.system is {name!r}; {module} has no class System that is a "
            "vadjax.system.System"
        )
    return system
