"""Training of the motion networks, with targets from optical flow (spec eval §3.2)."""

from typing import Any

import grain
import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from vadjax.backbones.motion import MotionNets, prepare
from vadjax.config import expect_one_of
from vadjax.data import clips
from vadjax.data.store import loader
from vadjax.data.store.loader import Shard
from vadjax.data.store.records import Dataset
from vadjax.data.volumes import STILL, Volumes, training_order
from vadjax.ops.flow import BINS, METHODS, Motion
from vadjax.scores.figures import Figure
from vadjax.system import Cache, at_least_float32, precision
from vadjax.systems.exemplar_networks.loss import motion_losses

LABELS = {  # labels of the figures
    "volumes": "Volumes that were measured",
    "moving": "of which move",
    "direction": "Main direction right, share of the moving volumes",
    "direction_baseline": "the same of the most frequent direction",
    "direction_near": "Main direction within 30 degrees, share of the moving volumes",
    "direction_near_baseline": "the same of the best constant",
    "speed_error": "Mean error of the speed of moving volumes, pixels a frame",
    "speed_error_baseline": "the same of the mean speed",
    "still_error": "Mean error of the share of still pixels",
    "still_error_baseline": "the same of the mean share",
}
FLIP_X = (5 - np.arange(BINS, dtype=np.int32)) % BINS  # bin of direction b in a mirrored volume
FLIP_Y = (11 - np.arange(BINS, dtype=np.int32)) % BINS
JITTER = 0.2  # largest change of contrast (a factor) and of brightness (a share of half the range)


class MotionTraining:
    """Volumes of training video in, three losses out.

    Attributes:
      kind: kind of dataset it reads.
      net: the networks.
    """

    kind = clips.KIND

    def __init__(self, config: ml_collections.ConfigDict, cache: Cache):
        model = config.model
        expect_one_of("model.flow", model.flow, METHODS)
        if model.size < 16 or model.size % 16:
            raise ValueError(f"model.size is {model.size}; expected a multiple of 16")
        if model.tau <= 0:
            raise ValueError(f"model.tau is {model.tau}; expected pixels a frame above 0")
        self.config, self.cache, self.size = config, cache, model.size
        self.net = MotionNets(model.width, precision(config))
        self._apply = jax.jit(lambda v, x: self.net.apply(v, prepare(x, self.size))[0].motion)
        self._volumes: Volumes | None = None

    def batches(self, data: Dataset, shard: Shard) -> grain.MapDataset:
        """Endless batches of volumes, at least half of which move, with their targets."""
        volumes = self.open(data)
        order = training_order(volumes.moving[: self._trained(volumes)], str(data.folder))
        places = loader.numbers(len(order), self.config.seed)
        return loader.batches(
            places, self.config.train.batch, shard, lambda chosen: volumes.batch(order[chosen])
        )

    def open(self, data: Dataset) -> Volumes:
        """The volumes of the training split; their optical flow is computed once per workdir."""
        if self._volumes is None:
            config, model = self.config, self.config.model
            self._volumes = Volumes(
                data,
                "train",
                tuple(model.window),
                tuple(config.data.step),
                model.tau,
                model.flow,
                self.cache.workdir,
            )
            print(f"Motion of {len(self._volumes):,} volumes by optical flow ({model.flow}).")
        return self._volumes

    def _trained(self, volumes: Volumes) -> int:
        """Number of volumes to train on: those of the videos before the held-out ones.

        Raises:
          ValueError: no video would be left, or none would be held out.
        """
        videos, held_out = len(volumes.frames.entries), self.config.eval.held_out
        if not 0 < held_out < videos:
            raise ValueError(
                f"eval.held_out is {held_out}; of {videos} training videos at least one must be "
                "held out and one be left"
            )
        return volumes.before(videos - held_out)

    def variables(self, rng: jax.Array) -> dict:
        """Initial parameters and statistics."""
        frames = self.config.model.window[0]
        return jax.jit(self.net.init)(rng, jnp.zeros((1, frames, self.size, self.size, 3)))

    def loss(self, variables: dict, batch: dict, rng: jax.Array) -> tuple[jax.Array, Any]:
        """Sum of the three losses; their values, and the new batch statistics."""
        volumes = prepare(batch["volume"], self.size, at_least_float32(self.net.dtype))
        volumes, target = augment(volumes, _targets(batch), rng)
        (raw, _), new = self.net.apply(variables, volumes, True, mutable=["batch_stats"])
        losses = motion_losses(raw, target)
        return sum(losses.values()), (losses, new["batch_stats"])

    def figures(self, variables: dict, data: Dataset) -> dict[str, float]:
        """Errors on volumes of the held-out videos, each beside that of a constant prediction."""
        # At most `eval.volumes` volumes of the held-out videos, drawn with the config's seed.
        volumes = self.open(data)
        first = self._trained(volumes)
        numbers = np.arange(first, len(volumes))
        if len(numbers) > self.config.eval.volumes:
            rng = np.random.default_rng(self.config.seed)
            numbers = np.sort(rng.choice(numbers, self.config.eval.volumes, replace=False))
        size, count = self.config.eval.batch, len(numbers)
        # Predictions in full batches; `_join` drops the repeated volumes of the last one.
        numbers = np.resize(numbers, -(-count // size) * size)
        predictions, truth = [], []
        for chosen in numbers.reshape(-1, size):
            batch = volumes.batch(chosen)
            truth.append(_targets(batch))
            predictions.append(jax.device_get(self._apply(variables, batch["volume"])))
        training = _rows(volumes.targets[:first])
        return compare(_join(predictions, count), _join(truth, count), training)


def _targets(batch: dict) -> Motion:
    """The targets of a batch."""
    return Motion(batch["ang"], batch["mag"], batch["bkg"])


def _rows(rows: np.ndarray) -> Motion:
    """Motion of rows [n, 25] of `Volumes.targets`."""
    return Motion(rows[:, :BINS], rows[:, BINS:-1], rows[:, -1])


def _join(parts: list[Motion], count: int) -> Motion:
    """The first `count` volumes of the batches."""
    return Motion(*(np.concatenate(each)[:count] for each in zip(*parts, strict=True)))


def augment(x: jax.Array, target: Motion, rng: jax.Array) -> tuple[jax.Array, Motion]:
    """Random flips, contrast and brightness, drawn for each volume separately.

    Args:
      x: volumes float [B, T, S, S, 3] in [-1, 1].
      target: their motion.
      rng: key.

    Returns:
      The volumes, and their motion with the directions of flipped volumes exchanged.
    """
    # Flips in x (b -> (5 - b) mod 12) and in y (b -> (11 - b) mod 12).
    keys = jax.random.split(rng, 4)
    count, half = len(x), np.float32(0.5)  # drawn in float32, whatever x is
    for key, axis, turned in ((keys[0], 3, FLIP_X), (keys[1], 2, FLIP_Y)):
        chosen = jax.random.bernoulli(key, half, (count,))
        x = jnp.where(chosen[:, None, None, None, None], jnp.flip(x, axis), x)
        ang, mag = (
            jnp.where(chosen[:, None], bins[:, turned], bins) for bins in (target.ang, target.mag)
        )
        target = Motion(ang, mag, target.bkg)
    # Contrast and brightness leave the motion as it is.
    contrast, brightness = (
        jax.random.uniform(key, (count, 1, 1, 1, 1), np.float32, middle - JITTER, middle + JITTER)
        for key, middle in ((keys[2], 1.0), (keys[3], 0.0))
    )
    return jnp.clip(x * contrast + brightness, -1, 1), target


def compare(found: Motion, truth: Motion, known: Motion) -> dict[str, float]:
    """Figures of predictions, and (`…_baseline`) of the best constant of the training targets.

    `direction` and `direction_near` are the shares of correct main directions, exactly and within
    one bin. They and `speed_error`, in pixels a frame, are of the volumes that move: less than 98 %
    of their pixels stand still. `still_error` is the mean error of the still share of all volumes.

    Args:
      found: predicted motion.
      truth: measured motion of the same volumes.
      known: measured motion of the training volumes.
    """
    moves, known_moves = truth.bkg < STILL, known.bkg < STILL
    if not moves.any():
        return _labelled({"volumes": len(truth.bkg), "moving": 0})
    # Predicted and true main directions; their constants are the most frequent direction in
    # training, and the one with the most volumes within one bin.
    predicted, true = found.ang[moves].argmax(-1), truth.ang[moves].argmax(-1)
    frequency = np.bincount(known.ang[known_moves].argmax(-1), minlength=BINS)
    near = [sum(frequency[(b + d) % BINS] for d in (-1, 0, 1)) for b in range(BINS)]
    # True speeds; their constant is the mean speed in training.
    speed, usual = speeds(truth)[moves], speeds(known)[known_moves].mean()
    figures = {
        "volumes": len(truth.bkg),
        "moving": moves.sum(),
        "direction": (predicted == true).mean(),
        "direction_baseline": (frequency.argmax() == true).mean(),
        "direction_near": (_turn(predicted, true) <= 1).mean(),
        "direction_near_baseline": (_turn(int(np.argmax(near)), true) <= 1).mean(),
        "speed_error": np.abs(speeds(found)[moves] - speed).mean(),
        "speed_error_baseline": np.abs(usual - speed).mean(),
        "still_error": np.abs(found.bkg - truth.bkg).mean(),
        "still_error_baseline": np.abs(known.bkg.mean() - truth.bkg).mean(),
    }
    return _labelled(figures)


def _labelled(figures: dict) -> dict[str, Figure]:
    """The figures with their labels."""
    return {name: Figure(value, LABELS[name]) for name, value in figures.items()}


def speeds(motion: Motion) -> np.ndarray:
    """Mean speed of what moves, pixels a frame: `Σ_b ang_b mag_b`."""
    return (motion.ang * motion.mag).sum(-1)


def _turn(bins, others) -> np.ndarray:
    """Smaller angle between directions, in bins."""
    apart = np.abs(np.asarray(bins) - others)
    return np.minimum(apart, BINS - apart)
