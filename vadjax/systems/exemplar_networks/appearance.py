"""Training of the appearance network as a classifier of several labels (spec eval §3.1)."""

from functools import partial
from typing import Any

import grain
import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
from sklearn.metrics import average_precision_score

from vadjax.backbones.appearance import ARCHITECTURES, build, normalise, read_resnext50, resize
from vadjax.config import expect_one_of
from vadjax.data import images
from vadjax.data.store import loader
from vadjax.data.store.loader import Shard
from vadjax.data.store.records import Dataset
from vadjax.scores.figures import Figure
from vadjax.system import Cache, at_least_float32, precision
from vadjax.systems.exemplar_networks.loss import labels_loss

GREY_SHARE = 0.4  # share of training images made grey: surveillance video may have no colour
JITTER = 0.15  # largest change of contrast (a factor) and of brightness (a share of the range)
LUMA = (0.299, 0.587, 0.114)  # weights of R, G and B in a grey value


class AppearanceTraining:
    """Labelled images in, a binary cross-entropy for each class out.

    Attributes:
      kind: kind of dataset it reads.
      net: the network.
    """

    kind = images.KIND

    def __init__(self, config: ml_collections.ConfigDict, cache: Cache):
        del cache  # nothing is kept between runs
        model = config.model
        expect_one_of("model.architecture", model.architecture, ARCHITECTURES)
        if model.size < 32:
            raise ValueError(f"model.size is {model.size}; expected 32 pixels or more")
        if model.weights and model.architecture != "resnext50":
            raise ValueError(
                f"model.weights is {model.weights!r}; only the architecture 'resnext50' takes "
                f"published weights, not {model.architecture!r}"
            )
        self.config, self.classes, self.size = config, tuple(model.classes), model.size
        self.net = build(model.architecture, len(self.classes), model.blocks, precision(config))
        self._apply = jax.jit(
            lambda v, x: jax.nn.sigmoid(self.net.apply(v, normalise(resize(x, self.size)))[1])
        )

    def batches(self, data: Dataset, shard: Shard) -> grain.MapDataset:
        """Endless batches of images and labels."""
        source = images.open_split(data, "train", self.classes)
        order = loader.numbers(len(source), self.config.seed)
        return loader.batches(order, self.config.train.batch, shard, partial(images.batch, source))

    def variables(self, rng: jax.Array) -> dict:
        """Initial parameters and statistics; the trunk's come from `model.weights`, if set."""
        variables = jax.jit(self.net.init)(rng, jnp.zeros((1, self.size, self.size, 3)))
        # Published weights replace the trunk; the head stays untrained.
        if self.config.model.weights:
            trunk, unused = read_resnext50(self.config.model.weights)
            print(f"{self.config.model.weights}: not used: {', '.join(unused) or 'nothing'}")
            trunk = jax.tree.map(jnp.asarray, trunk)
            variables = {
                name: {**part, "trunk": trunk[name]} if name in trunk else part
                for name, part in variables.items()
            }
        return variables

    def loss(self, variables: dict, batch: dict, rng: jax.Array) -> tuple[jax.Array, Any]:
        """Loss of a batch; an empty dict of terms, and the new batch statistics."""
        x = resize(batch["image"], self.size, at_least_float32(self.net.dtype))
        x = normalise(augment(x, rng))
        (_, logits), new = self.net.apply(variables, x, True, mutable=["batch_stats"])
        return labels_loss(logits, batch["labels"]), ({}, new["batch_stats"])

    def figures(self, variables: dict, data: Dataset) -> dict[str, float]:
        """Figures on the split "test", with and without colour."""
        source = images.open_split(data, "test", self.classes)
        size = self.config.eval.batch
        count = min(len(source), self.config.eval.images)
        # Batches of one size: the last one is filled up with images that do not count.
        numbers = np.resize(np.arange(count), -(-count // size) * size)
        colour, grey, truth = [], [], []
        for chosen in numbers.reshape(-1, size):
            batch = images.batch(source, chosen)
            truth.append(batch["labels"])
            colour.append(self._apply(variables, batch["image"]))
            grey.append(self._apply(variables, without_colour(batch["image"])))
        return compare(*(np.concatenate(a)[:count] for a in (colour, grey, truth)), self.classes)


def augment(x: jax.Array, rng: jax.Array) -> jax.Array:
    """Random mirroring, loss of colour, contrast and brightness, drawn for each image separately.

    Args:
      x: RGB float [B, S, S, 3] in 0 … 255.
      rng: key.

    Returns:
      The same shape and range.
    """
    # Mirror half of the images, and make a share of them grey.
    keys = jax.random.split(rng, 4)
    rows = (len(x), 1, 1, 1)
    half, grey_share = np.float32([0.5, GREY_SHARE])  # drawn in float32, whatever x is
    x = jnp.where(jax.random.bernoulli(keys[0], half, rows), x[:, :, ::-1], x)
    grey = jnp.broadcast_to((x * jnp.array(LUMA, x.dtype)).sum(-1, keepdims=True), x.shape)
    x = jnp.where(jax.random.bernoulli(keys[1], grey_share, rows), grey, x)
    # Contrast around the middle grey, then brightness.
    contrast, light = (
        jax.random.uniform(key, rows, np.float32, -JITTER, JITTER) for key in keys[2:]
    )
    return jnp.clip((x - 127.5) * (1 + contrast) + 127.5 + 255 * light, 0, 255)


def without_colour(images: np.ndarray) -> np.ndarray:
    """Images uint8 [B, H, W, 3] with the grey value in all three channels."""
    grey = (images @ np.array(LUMA, np.float32)).round().astype(np.uint8)
    return np.repeat(grey[..., None], 3, -1)


def compare(
    colour: np.ndarray, grey: np.ndarray, truth: np.ndarray, classes: tuple[str, ...]
) -> dict[str, float]:
    """Mean average precision, and accuracy of each class at probability 0.5.

    The baseline of a precision is the share of images that show the class. The baseline of an
    accuracy is the constant answer, yes or no, that is right more often.

    Args:
      colour: probabilities of the images [n, classes].
      grey: the same without colour.
      truth: 0 or 1 [n, classes].
      classes: names of the classes; those that no image shows have no average precision.
    """
    # Mean over the classes that any image shows, and the baseline, the mean share of images.
    shown = [c for c in range(len(classes)) if truth[:, c].any()]

    def mean_precision(probabilities: np.ndarray) -> float:
        each = [average_precision_score(truth[:, c], probabilities[:, c]) for c in shown]
        return float(np.mean(each)) if each else float("nan")

    share = truth.mean(0)
    figures = {
        "images": Figure(len(truth), "Images that were measured"),
        "mean_precision": Figure(mean_precision(colour), "Average precision, mean of the classes"),
        "mean_precision_grey": Figure(mean_precision(grey), "the same without colour"),
        "mean_precision_baseline": Figure(
            share[shown].mean() if shown else float("nan"), "the same of a guess"
        ),
    }
    accuracy = ((colour >= 0.5) == (truth >= 0.5)).mean(0)
    for c, name in enumerate(classes):
        figures[f"accuracy_{name}"] = Figure(accuracy[c], f"Accuracy: is there a {name} or not")
        constant = max(share[c], 1 - share[c])
        figures[f"accuracy_{name}_baseline"] = Figure(constant, "the same of a constant answer")
    return figures
