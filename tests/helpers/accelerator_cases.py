"""Every train step and every score function as a function of shapes, with no data behind them."""

import functools
import importlib
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vadjax.backbones import i3d
from vadjax.data.store.records import Description
from vadjax.ops.distance import kernels
from vadjax.system import load_system
from vadjax.systems.exemplar_networks.motion import prepare
from vadjax.systems.lgn.stream import Past, needed_frames, score_windows

PLATFORMS = ("cuda", "tpu")
PRECISIONS = ("float32", "bfloat16")


class Case(NamedTuple):
    """One compiled function.

    Attributes:
      name: of the system.
      what: `"train"` or `"score"`, and of how much.
      function: of `arguments`.
      arguments: trees of shapes.
    """

    name: str
    what: str
    function: Callable
    arguments: tuple


class Size(NamedTuple):
    """How large the inputs are; `variant` is of the configs."""

    variant: str
    width: int  # of features
    crops: int
    segments: int
    snippets: int  # of a video
    batch: dict[str, int]  # of each system: bags of a label, windows, objects, images
    frame: tuple[int, int]
    clips: int
    regions: int
    volumes: int


PUBLISHED = Size(
    "",
    2048,
    10,
    32,
    192,
    {
        "mil": 30,
        "s3r": 32,
        "rtfm": 32,
        "lgn": 4,
        "mnad": 4,
        "ssmtl": 128,
        "appearance": 64,
        "motion": 64,
    },
    (256, 256),
    4,
    187,
    512,
)
SMALL = Size(
    "smoke",
    32,
    2,
    32,
    16,
    {"mil": 4, "s3r": 4, "rtfm": 4, "lgn": 2, "mnad": 2, "ssmtl": 4, "appearance": 4, "motion": 4},
    (32, 40),
    1,
    8,
    64,
)


def shape(*size: int, kind: Any = np.float32) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(size, kind)


def described(kind: str, **manifest) -> Description:
    """A dataset that is not there."""
    splits = {"train": {"normal": 175, "anomalous": 63, "videos": 16}}
    return Description(
        "nowhere", {"name": "shapes", "kind": kind, "splits": splits, **manifest}, ""
    )


def bags_cases(name: str, module: str, size: Size, precision: str) -> Iterator[Case]:
    """MIL, S3R and RTFM."""
    config = configured(module, size, precision)
    system = load_system(config)
    data = described("features", streams={"rgb": size.width})
    count = size.batch[name]
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
        known = shape(1, size.snippets, kind=bool)
        what = f"score a video of {size.snippets} snippets"
        yield Case(name, what, system._of_rows, (learnt, (rows, known)))


def predictor_cases(name: str, module: str, size: Size, precision: str) -> Iterator[Case]:
    """LGN-Net and MNAD."""
    config = configured(module, size, precision)
    system = load_system(config)
    data, count = described("frames", size=list(size.frame)), size.batch[name]
    windows = {"frames": shape(count, 5, *size.frame, 3, kind=np.uint8)}
    yield train_case(name, system, data, windows, f"{count} windows")
    state, model, chunk = first_state(system, data), system.model, config.eval.batch
    options = {"temperature": model.temperature, "decay": config.loss.decay}

    def encode(variables, inputs):
        return model.apply(variables, *inputs, method="encode")

    variables = {"params": state.params, "batch_stats": state.beside.batch_stats}
    before = shape(needed_frames(model) - 1, *size.frame, 3)
    look = functools.partial(model.apply, method="frame_gates")
    gates = jax.eval_shape(lambda v, x: look(v, x[None])[0], variables, before)
    function = functools.partial(score_windows, model, options, False, encode)
    frames, items = shape(chunk, *size.frame, 3), state.beside.items
    arguments = (variables, items, Past(before, gates), frames, shape(kind=np.int32), shape())
    yield Case(name, f"score {chunk} windows", function, arguments)


def object_cases(name: str, module: str, size: Size, precision: str) -> Iterator[Case]:
    """SSMTL without teachers: three tasks."""
    config = configured(module, size, precision)
    config.model.tasks = tuple(task for task in config.model.tasks if task != "distillation")
    system = load_system(config)
    data, count, side = (
        described("frames", size=list(size.frame)),
        size.batch[name],
        config.model.size,
    )
    crops, bit = shape(count, 7, side, side, 3, kind=np.uint8), shape(count, kind=np.int32)
    batch = {"crops": crops, "irregular_crops": crops, "backward": bit, "irregular": bit}
    yield train_case(name, system, data, batch, f"{count} objects, three tasks")
    state = first_state(system, data)
    learnt = (state.variables, state.normal)
    rows = [shape(count, 7, side, side, 3)]
    yield Case(name, f"score {count} objects", system.object_scores.batch_scores, (learnt, rows))


def network_cases(name: str, module: str, size: Size, precision: str) -> Iterator[Case]:
    """The appearance and motion networks of EVAL."""
    config = configured(module, size, precision)
    system, count = load_system(config), size.batch[name]
    own = system.training
    if name == "appearance":
        images = shape(count, own.size, own.size, 3, kind=np.uint8)
        batch = {"image": images, "labels": shape(count, len(own.classes))}
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
            return own.net.apply(variables, prepare(inputs, own.size))[0].motion
        return own._apply(variables, inputs)

    yield Case(name, f"score {count} {what}", score, (variables, inputs))


def extractor_cases(size: Size, precision: str) -> Iterator[Case]:
    """Inception I3D, which is always float32."""
    if precision == "float32":
        net, clips = i3d.InceptionI3D(400), shape(size.clips, 16, 224, 224, 3)
        shapes = i3d.variable_shapes("rgb", 400)
        yield Case("i3d", f"score {size.clips} clips", net.apply, (shapes, clips))


def exemplar_cases(size: Size, precision: str) -> Iterator[Case]:
    """Selection and scoring, which are always float32."""
    if precision == "float32":
        spans, features = ((0, 128), (128, 140), (140, 152), (152, 153)), 153
        x = shape(size.regions, size.volumes, features)
        counts, scales = shape(size.regions, kind=np.int32), shape(len(spans))
        select = functools.partial(kernels.select, spans=spans, capacity=32, block=64)
        what = f"select from {size.regions} × {size.volumes} volumes"
        yield Case("exemplar", what, select, (x, counts, scales, shape(2)))
        exemplars = shape(size.regions, 32, features)
        nearest = functools.partial(kernels.nearest, spans=spans)
        what = f"score {size.regions} × {size.volumes} volumes"
        yield Case("exemplar", what, nearest, (x, exemplars, counts, scales))


SYSTEMS = {
    "mil": (bags_cases, "ucf_mil"),
    "s3r": (bags_cases, "shanghaitech_s3r"),
    "rtfm": (bags_cases, "shanghaitech_rtfm"),
    "lgn": (predictor_cases, "ped2_lgn"),
    "mnad": (predictor_cases, "ped2_mnad"),
    "ssmtl": (object_cases, "ped2_ssmtl"),
    "appearance": (network_cases, "exemplar_appearance_network"),
    "motion": (network_cases, "exemplar_motion_network"),
}
NAMES = (*SYSTEMS, "exemplar", "i3d")


def cases(name: str, size: Size, precision: str) -> Iterator[Case]:
    """Train step and score functions of a system, an extractor or the exemplars."""
    if name in SYSTEMS:
        make, module = SYSTEMS[name]
        return make(name, module, size, precision)
    return {"exemplar": exemplar_cases, "i3d": extractor_cases}[name](size, precision)


def configured(module: str, size: Size, precision: str):
    config = importlib.import_module(f"configs.{module}").get_config(size.variant)
    config.train.precision = precision
    return config


def first_state(system, data: Description) -> Any:
    """Shapes of the first state."""
    return system.abstract_state(data)


def train_case(name: str, system, data: Description, batch, what: str) -> Case:
    """The step on flat leaves, whose types need no registration to be exported."""
    leaves, tree = jax.tree.flatten(first_state(system, data))

    def step(leaves, batch, seed):
        state = jax.tree.unflatten(tree, leaves)
        state, scalars = system.update(state, batch, jax.random.key(seed))
        return jax.tree.leaves(state), scalars

    return Case(name, f"train {what}", step, (leaves, batch, shape(kind=np.int32)))


def bytes_of(tree) -> int:
    """Bytes of a tree of shapes."""
    return sum(
        math.prod(leaf.shape) * jnp.dtype(leaf.dtype).itemsize for leaf in jax.tree.leaves(tree)
    )
