"""Every train step and every score function as a function of shapes, with no data behind them."""

import functools
import math
import pathlib
import tempfile
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from tests.helpers.systems import METHODS, config_of
from vadjax.backbones import i3d, nanodet
from vadjax.data.store.loader import Shard, iterate
from vadjax.data.store.records import Dataset, Description
from vadjax.data.toy.datasets import ToyBags, write_bags, write_images, write_scenes
from vadjax.data.toy.images import ToyImages
from vadjax.data.toy.scenes import ToyScenes
from vadjax.ops.distance import kernels
from vadjax.system import System, load_system
from vadjax.systems.exemplar_networks.motion import prepare
from vadjax.systems.lgn.stream import Past, needed_frames, score_windows

PLATFORMS = ("cuda", "tpu")
PRECISIONS = ("float32", "bfloat16")


class Case(NamedTuple):
    """One compiled function.

    Attributes:
      name: of the method.
      what: `"train"` or `"score"`, and of how much.
      function: of `arguments`.
      arguments: trees of shapes.
      system: whose training step it is; None for scores.
      state: of the training step, a tree of shapes.
      data: the description that its first state is made for; None for scores.
    """

    name: str
    what: str
    function: Callable
    arguments: tuple
    system: System | None = None
    state: Any = None
    data: Description | None = None


class Size(NamedTuple):
    """How large the inputs are.

    Attributes:
      variant: of the configs.
      width: of features.
      crops: of a video of S3R and RTFM.
      segments: of a bag.
      snippets: of a video that is scored.
      batch: method → bags of a label, windows or objects of a step, where `train.batch` of the
        config is not taken.
      frame: (height, width).
      clips: of the extractor of features.
      regions: of the exemplars.
      volumes: of a region.
    """

    variant: str
    width: int
    crops: int
    segments: int
    snippets: int
    batch: dict[str, int]
    frame: tuple[int, int]
    clips: int
    regions: int
    volumes: int


PUBLISHED = Size("", 2048, 10, 32, 192, {"lgn": 4}, (256, 256), 4, 187, 512)
SMALL = Size(
    "smoke", 32, 2, 32, 16, {"mil": 4, "s3r": 4, "rtfm": 4, "ssmtl": 4}, (32, 40), 1, 8, 64
)


def shape(*size: int, kind: Any = np.float32) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(size, kind)


def described(kind: str, **manifest) -> Description:
    """A dataset that is not there."""
    splits = {"train": {"normal": 175, "anomalous": 63, "videos": 16}}
    return Description(
        "nowhere", {"name": "shapes", "kind": kind, "splits": splits, **manifest}, ""
    )


def bags_cases(name: str, config: ml_collections.ConfigDict, size: Size) -> Iterator[Case]:
    """MIL, S3R and RTFM."""
    system, count = load_system(config), batch_of(name, config, size)
    data = described("features", streams={"rgb": size.width})
    crops = () if name == "mil" else (size.crops,)
    bag = shape(count, *crops, size.segments, size.width)
    yield train_case(
        name, system, data, {"normal": bag, "anomalous": bag}, f"{count} + {count} bags"
    )
    state = first_state(system, data)
    if name == "mil":
        videos = shape(config.eval.batch, size.segments, size.width)
        what = f"score {config.eval.batch} bags"
        yield Case(name, what, system.ranker.apply, (state.params, videos))
    else:
        rows = shape(1, size.crops, size.snippets, size.width)
        learnt = ({"params": state.params, "batch_stats": state.batch_stats}, state.dictionary)
        valid = shape(1, size.snippets, kind=bool)
        what = f"score a video of {size.snippets} snippets"
        yield Case(name, what, system._of_rows, (learnt, (rows, valid)))


def predictor_cases(name: str, config: ml_collections.ConfigDict, size: Size) -> Iterator[Case]:
    """LGN-Net and MNAD."""
    system, count = load_system(config), batch_of(name, config, size)
    data = described("frames", size=list(size.frame))
    windows = {"frames": shape(count, 5, *size.frame, 3, kind=np.uint8)}
    yield train_case(name, system, data, windows, f"{count} windows")
    state, model, chunk = first_state(system, data), system.model, config.eval.batch
    options = {"temperature": model.temperature, "decay": config.loss.decay}

    def encode(variables, inputs):
        return model.apply(variables, *inputs, method="encode_times")

    variables = {"params": state.params, "batch_stats": state.running.batch_stats}
    before = shape(needed_frames(model) - 1, *size.frame, 3)
    look = functools.partial(model.apply, method="frame_gates")
    gates = jax.eval_shape(lambda v, x: look(v, x[None])[0], variables, before)
    function = functools.partial(score_windows, model, options, False, encode)
    frames, items = shape(chunk, *size.frame, 3), state.running.items
    arguments = (variables, items, Past(before, gates), frames, shape(kind=np.int32), shape())
    yield Case(name, f"score {chunk} windows", function, arguments)


def object_cases(name: str, config: ml_collections.ConfigDict, size: Size) -> Iterator[Case]:
    """SSMTL without teachers: three tasks."""
    config.model.tasks = tuple(task for task in config.model.tasks if task != "distillation")
    system, count, side = load_system(config), batch_of(name, config, size), config.model.size
    data = described("frames", size=list(size.frame))
    crops, bit = shape(count, 7, side, side, 3, kind=np.uint8), shape(count, kind=np.int32)
    batch = {"crops": crops, "irregular_crops": crops, "backward": bit, "irregular": bit}
    yield train_case(name, system, data, batch, f"{count} objects, three tasks")
    state = first_state(system, data)
    learnt = (state.variables, state.normal)
    rows = [shape(count, 7, side, side, 3)]
    yield Case(name, f"score {count} objects", system.object_scores.batch_scores, (learnt, rows))


def network_cases(name: str, config: ml_collections.ConfigDict, size: Size) -> Iterator[Case]:
    """The appearance and motion networks of EVAL."""
    # What is trained on, and the part of it that is scored
    system, count = load_system(config), batch_of(name, config, size)
    training = system.training
    if name == "appearance":
        images = shape(count, training.size, training.size, 3, kind=np.uint8)
        batch = {"image": images, "labels": shape(count, len(training.classes))}
        inputs, what = images, "images"
    else:
        frames, height, width = config.model.window
        inputs = shape(count, frames, height, width, 3, kind=np.uint8)
        batch = {
            "volume": inputs,
            "ang": shape(count, 12),
            "mag": shape(count, 12),
            "bkg": shape(count),
        }
        what = "volumes"
    data = described(system.kind)
    yield train_case(name, system, data, batch, f"{count} {what}")
    state = first_state(system, data)
    variables = {"params": state.params, "batch_stats": state.batch_stats}

    def score(variables, inputs):
        if name == "motion":
            return training.net.apply(variables, prepare(inputs, training.size))[0].motion
        return training._apply(variables, inputs)

    yield Case(name, f"score {count} {what}", score, (variables, inputs))


def extractor_cases(size: Size, precision: str) -> Iterator[Case]:
    """Inception I3D, which is always float32."""
    if precision == "float32":
        net, clips = i3d.InceptionI3D(400), shape(size.clips, 16, 224, 224, 3)
        shapes = i3d.variable_shapes("rgb", 400)
        yield Case("i3d", f"score {size.clips} clips", net.apply, (shapes, clips))


def attribute_cases(name: str, config: ml_collections.ConfigDict, size: Size) -> Iterator[Case]:
    """The detector on frames, whose features are the look; always float32. Nothing is trained."""
    if config.train.precision == "float32":
        height, width = (32 * max(1, side // 32) for side in size.frame)
        images = shape(1, height, width, 3, kind=np.uint8)

        def score(variables, images):
            outputs = nanodet.NanoDet().apply(variables, nanodet.normalise(images))
            return nanodet.decode(outputs.sides, (height, width)), outputs.logits, outputs.maps

        yield Case(name, "find the objects of a frame", score, (nanodet.variable_shapes(), images))


def exemplar_cases(name: str, config: ml_collections.ConfigDict, size: Size) -> Iterator[Case]:
    """Selection and scoring, which are always float32."""
    if config.train.precision == "float32":
        spans, features = ((0, 128), (128, 140), (140, 152), (152, 153)), 153
        x = shape(size.regions, size.volumes, features)
        counts, scales = shape(size.regions, kind=np.int32), shape(len(spans))
        select = functools.partial(kernels.select, spans=spans, capacity=32, block=64)
        what = f"select from {size.regions} × {size.volumes} volumes"
        yield Case(name, what, select, (x, counts, scales, shape(2)))
        exemplars = shape(size.regions, 32, features)
        nearest = functools.partial(kernels.nearest, spans=spans)
        what = f"score {size.regions} × {size.volumes} volumes"
        yield Case(name, what, nearest, (x, exemplars, counts, scales))


def toy_cases(name: str, config: ml_collections.ConfigDict, size: Size) -> Iterator[Case]:
    """The step of any other system, on a batch that it makes of toy data; no scores."""
    del size
    system = load_system(config)
    with tempfile.TemporaryDirectory() as folder:
        data = toy_data(system.kind, pathlib.Path(folder) / "data")
        batches = system.batches(data, Shard())
        if batches is not None:
            batch = next(iterate(batches, threads=0))
            shapes = jax.tree.map(lambda leaf: shape(*leaf.shape, kind=leaf.dtype), batch)
            yield train_case(name, system, data, shapes, "a batch of toy data")


def toy_data(kind: str, out: pathlib.Path) -> Dataset:
    """A small dataset of a kind."""
    if kind == "features":
        write_bags(out, ToyBags(train=(4, 4), test=(2, 2), width=16))
    elif kind == "images":
        write_images(out, ToyImages(train=16, test=4, size=32))
    else:
        write_scenes(out, ToyScenes(train=2, test=2, frames=12, height=32, width=40))
    return Dataset(out)


# Those that are known to have batches and scores of such shapes; `toy_cases` for any other
MAKERS = {
    "attributes": attribute_cases,
    "mil": bags_cases,
    "s3r": bags_cases,
    "lgn": predictor_cases,
    "ssmtl": object_cases,
    "exemplar_networks": network_cases,
    "exemplar": exemplar_cases,
}
NAMES = (*METHODS, "i3d")


def cases(name: str, size: Size, precision: str) -> Iterator[Case]:
    """Train step and score functions of a method, or the score function of an extractor."""
    if name == "i3d":
        return extractor_cases(size, precision)
    config = config_of(name, size.variant)
    config.train.precision = precision
    return MAKERS.get(config.system, toy_cases)(name, config, size)


def batch_of(name: str, config: ml_collections.ConfigDict, size: Size) -> int:
    """Examples of a step."""
    return size.batch.get(name, config.train.batch)


def first_state(system, data: Description) -> Any:
    """Shapes of the first state."""
    return system.abstract_state(data)


def first_values(system, data: Description) -> Any:
    """The first state itself; a dictionary is drawn instead of learned from videos."""
    if hasattr(system, "_dictionary"):
        rng = np.random.default_rng(0)
        system._dictionary = lambda data, width: rng.random((system._atoms(data, width), width))
    return system.init(jax.random.key(0), data)


def train_case(name: str, system, data: Description, batch, what: str) -> Case:
    """The step on flat leaves, whose types need no registration to be exported."""
    first = first_state(system, data)
    leaves, tree = jax.tree.flatten(first)

    def step(leaves, batch, seed):
        state = jax.tree.unflatten(tree, leaves)
        state, scalars = system.update(state, batch, jax.random.key(seed))
        return jax.tree.leaves(state), scalars

    arguments = leaves, batch, shape(kind=np.int32)
    return Case(name, f"train {what}", step, arguments, system, first, data)


def bytes_of(tree) -> int:
    """Bytes of a tree of shapes."""
    return sum(
        math.prod(leaf.shape) * jnp.dtype(leaf.dtype).itemsize for leaf in jax.tree.leaves(tree)
    )
