"""The training steps whose gradients are compared, and the gradients themselves."""

import contextlib
import dataclasses
import importlib
import pathlib
import tempfile
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
import optax

from tests.gradients import plain
from tests.gradients.sides import forced, recorded
from vadjax.data.store.loader import Shard, iterate
from vadjax.data.store.records import Dataset
from vadjax.data.toy import datasets
from vadjax.data.toy.datasets import ToyBags
from vadjax.data.toy.images import ToyImages
from vadjax.data.toy.scenes import ToyScenes
from vadjax.runtime import mesh
from vadjax.system import load_system
from vadjax.train import Loop

NOISE = 0.01  # added to all first parameters: some begin as zero, and hide what is behind them


@dataclasses.dataclass(frozen=True)
class Case:
    """One training step of a system on one batch of a toy set.

    Attributes:
      system: name in the table.
      size: what is odd about it, for the table.
      config: module of `configs`, published, or with `:VARIANT`.
      write: function of a folder that writes the toy set.
      fields: of the config that differ from the published ones.
    """

    system: str
    size: str
    config: str
    write: Callable[[pathlib.Path], Any]
    fields: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Name of a file of this case."""
        return f"{self.system} {self.size}"


def published() -> list[Case]:
    """Every system at its published width, at 64 × 64 pixels and two odd sizes.

    Crops of SSMTL, images and motion volumes are square: 64, 96 and 48 pixels a side.
    """
    found = []
    for height, width in ((64, 64), (64, 96), (40, 56)):
        scenes = _scenes(frames=12, height=height, width=width)
        for config in ("ped2_lgn", "ped2_mnad", "ped2_mnad:reconstruction"):
            name = config.removeprefix("ped2_").replace(":", " ")
            found.append(Case(name, f"{height} × {width}", config, scenes, {"train.batch": 2}))
    scenes = _scenes(frames=24, height=96, width=128)
    for side in (64, 96, 48):
        size, fields = f"{side} × {side}", {"train.batch": 4, "model.size": side}
        motion = {**fields, "data.step": (5, 40, 40), "eval.held_out": 1}
        found.append(Case("ssmtl", size, "ped2_ssmtl", scenes, fields))
        found.append(Case("motion", size, "exemplar_motion_network", scenes, motion))
        found.append(Case("appearance", size, "exemplar_appearance_network", _images(side), fields))
        small = {**fields, "model.architecture": "small"}
        found.append(
            Case("appearance small", size, "exemplar_appearance_network", _images(side), small)
        )
    for bags, segments in ((30, 32), (7, 32), (5, 37)):
        size, fields = f"{bags} + {bags} bags of {segments}", {"train.batch": bags}
        found.append(Case("mil", size, "ucf_mil", _bags(segments, 1024), fields))
    for bags, segments in ((4, 32), (3, 32), (3, 20)):
        size, fields = f"{bags} + {bags} bags of {segments}", {"train.batch": bags}
        for name in ("s3r", "rtfm"):
            config = f"shanghaitech_{name}"
            found.append(Case(name, size, config, _bags(segments, 1024), fields))
    return found


def small() -> list[Case]:
    """A narrow form of each, which compiles soon; large enough for windows of four sizes."""
    scenes = _scenes(frames=12, height=40, width=56)
    narrow = {"train.batch": 2, "model.width": 8}
    ssmtl = {"train.batch": 3, "model.size": 32, "model.trunk": "shallow_narrow"}
    motion = {
        "train.batch": 3,
        "model.size": 32,
        "model.width": 0.1,
        "model.window": (4, 16, 16),
        "data.step": (4, 16, 16),
        "eval.held_out": 1,
    }
    images = {"train.batch": 3, "model.size": 32, "model.architecture": "small"}
    few = {"train.batch": 3}
    return [
        Case("lgn", "40 × 56", "ped2_lgn", scenes, narrow),
        Case("mnad", "40 × 56", "ped2_mnad", scenes, narrow),
        Case("ssmtl", "32 × 32", "ped2_ssmtl", scenes, ssmtl),
        Case("motion", "32 × 32", "exemplar_motion_network", scenes, motion),
        Case("appearance small", "32 × 32", "exemplar_appearance_network", _images(32), images),
        Case("mil", "3 + 3 bags of 33", "ucf_mil", _bags(33, 32), few),
        Case("s3r", "3 + 3 bags of 20", "shanghaitech_s3r", _bags(20, 32), few),
        Case("rtfm", "3 + 3 bags of 20", "shanghaitech_rtfm", _bags(20, 32), few),
    ]


def trained() -> list[Case]:
    """The steps that trained the figures of docs/results.md, at their sizes and batches."""
    frames = {side: _scenes(frames=12, height=side, width=side) for side in (64, 128)}
    street = _scenes(frames=24, height=96, width=128)
    return [
        Case("lgn", "64 × 64", "ped2_lgn:short", frames[64], {}),
        Case("mnad", "64 × 64", "ped2_mnad:short", frames[64], {}),
        Case("mnad cpu", "128 × 128", "ped2_mnad:cpu", frames[128], {}),
        Case("ssmtl", "64 × 64", "ped2_ssmtl:short", street, {}),
        Case("motion", "32 × 32", "exemplar_motion_network:cpu", street, {"eval.held_out": 1}),
        Case("appearance", "64 × 64", "exemplar_appearance_network:cpu", _images(64), {}),
    ]


def _scenes(**recipe) -> Callable:
    return lambda out: datasets.write_scenes(out, ToyScenes(train=2, test=1, **recipe))


def _images(side: int) -> Callable:
    return lambda out: datasets.write_images(out, ToyImages(train=16, test=4, size=side))


def _bags(segments: int, width: int) -> Callable:
    recipe = ToyBags(train=(30, 30), test=(1, 1), width=width, segments=segments)
    return lambda out: datasets.write_bags(out, recipe)


class Recorded(NamedTuple):
    """State of an optimiser that keeps the gradients it was given last."""

    gradients: Any
    inner: Any


def recording(optimizer: optax.GradientTransformation) -> optax.GradientTransformation:
    """`optimizer`, unchanged but for what it keeps."""

    def init(params):
        return Recorded(jax.tree.map(np.zeros_like, params), optimizer.init(params))

    def update(gradients, state, params=None):
        updates, inner = optimizer.update(gradients, state.inner, params)
        return updates, Recorded(gradients, inner)

    return optax.GradientTransformation(init, update)


class Gradients:
    """Gradients of one case in every form, on the same parameters and the same batch.

    Attributes:
      batch: the batch.
    """

    def __init__(self, case: Case, folder: pathlib.Path):
        self._case, self._folder = case, folder
        case.write(folder / "data")
        self._data = Dataset(folder / "data")
        system, _ = self._open("float32")
        state = system.init(jax.random.key(0), self._data)
        rng = np.random.default_rng(0)
        params = jax.tree.map(
            lambda own: own + NOISE * rng.standard_normal(own.shape).astype(np.float32),
            jax.device_get(state.params),
        )
        self._state = jax.device_get(state)._replace(params=params)
        self.batch = next(iterate(system.batches(self._data, Shard())))

    def compiled(self, precision: str) -> dict[str, np.ndarray]:
        """Of the step as the training loop compiles it."""
        with _numbers(precision):
            system, config = self._open(precision)
            devices = mesh.make(config.train.batch, 1)
            batch, rng = mesh.put_batch(devices, self.batch), jax.random.key(1)
            state = mesh.put_state(devices, self._start(system, precision))
            step = Loop(config, system, self._data, devices).compile(state, batch, rng)
            return _by_name(step(state, batch, rng)[0])

    def reference(self, precision: str, draws: int = 1) -> list[dict[str, np.ndarray]]:
        """Of the same step in plain forms, without options.

        Args:
          precision: float32 or float64.
          draws: how often; after the first with every parameter moved at random, by more each
            time, up to what rounding sums up to in a forward pass.
        """
        with _numbers(precision), plain.plain_forms():
            system, _ = self._open(precision)
            step, rng = jax.jit(system.update), jax.random.key(1)
            drawn = self._drawn(system, precision, draws)
            return [_by_name(step(state, self.batch, rng)[0]) for state in drawn]

    def on_sides(self, *sides: list[np.ndarray]) -> list[dict[str, np.ndarray]]:
        """Of the plain form in float64, on the sides of each (`tests/gradients/sides.py`)."""
        with _numbers("float64"), plain.plain_forms():
            system, _ = self._open("float64")
            state = self._start(system, "float64")

            def update(taken, *given):
                with forced(taken):
                    return system.update(*given)

            step, rng = jax.jit(update), jax.random.key(1)
            return [_by_name(step(taken, state, self.batch, rng)[0]) for taken in sides]

    def _drawn(self, system, precision: str, draws: int) -> Iterator:
        """The first state, and others with their parameters moved."""
        state = self._start(system, precision)
        yield state
        for seed in range(1, draws):
            yield state._replace(params=_moved(state.params, seed))

    def opened(self, precision: str) -> tuple:
        """The system, and the state that its step begins with."""
        system, _ = self._open(precision)
        return system, self._start(system, precision)

    def _open(self, precision: str):
        module, _, variant = self._case.config.partition(":")
        config = importlib.import_module(f"configs.{module}").get_config(variant)
        config.update_from_flattened_dict(
            {
                **self._case.fields,
                "data.dir": str(self._folder / "data"),
                "train.precision": precision,
                "train.devices": 1,
            }
        )
        system = load_system(config)
        system.optimizer = recording(system.optimizer)
        return system, config

    def _start(self, system, precision: str):
        """The first state in the precision."""

        def cast(own):
            own = np.asarray(own)
            return own.astype(precision) if own.dtype == np.float32 else own

        state = jax.tree.map(cast, self._state)
        return state._replace(optimizer=system.optimizer.init(state.params))


def _moved(params, draw: int):
    """Every number moved at random, by up to 1, 4, 16 … roundings of its type."""
    rng, roundings = np.random.default_rng(draw), 4 ** (draw - 1)

    def move(own):
        own = np.asarray(own)
        far = roundings * np.finfo(own.dtype).eps * rng.uniform(-1, 1, own.shape)
        return (own * (1 + far)).astype(own.dtype)

    return jax.tree.map(move, params)


@contextlib.contextmanager
def _numbers(precision: str) -> Iterator[None]:
    with jax.enable_x64(precision == "float64"):
        yield


def _by_name(state) -> dict[str, np.ndarray]:
    leaves = jax.tree_util.tree_leaves_with_path(jax.device_get(state.optimizer.gradients))
    return {jax.tree_util.keystr(path): np.asarray(leaf, np.float64) for path, leaf in leaves}


LEAST_SHARE = 1e-6  # of the whole gradient's norm: smaller leaves are compared with this


def errors(found: dict, right: dict) -> dict[str, float]:
    """Relative error of every leaf: |found - right| / max(|right|, 1e-6 |all of right|)."""
    assert found.keys() == right.keys()
    whole = np.sqrt(sum(np.square(own).sum() for own in right.values()))
    return {
        name: float(
            np.linalg.norm(found[name] - own) / max(np.linalg.norm(own), LEAST_SHARE * whole)
        )
        for name, own in right.items()
    }


class Row(NamedTuple):
    """What is measured of a case, against the plain form in float64.

    Attributes:
      leaves: how many there are.
      float64: largest error of a leaf of the compiled step in float64.
      float32: the same in float32.
      plain32: the same of the plain form in float32.
      ratio: largest quotient of the error of a leaf in `float32` and in `plain32`.
      sides: of the steps in float32; none where `ratio` is within the bound.
      worst64: the leaf of `float64`.
      worst32: the leaf of `ratio`.
    """

    leaves: int
    float64: float
    float32: float
    plain32: float
    ratio: float
    sides: "Sides | None"
    worst64: str
    worst32: str

    @property
    def holds(self) -> bool:
        """Whether the bounds are kept."""
        ratio = self.sides.ratio if self.sides else self.ratio
        return self.float64 <= FLOAT64 and ratio <= TIMES


class Sides(NamedTuple):
    """The two steps in float32 again, each beside the plain float64 form *on its own sides*.

    A unit that is nearly at the corner of a ReLU or of an absolute value, or two nearly equal
    neighbours in a pooling, change sides by any rounding, and with them a leaf by far more than a
    rounding (`tests/gradients/sides.py`). On the same sides the gradient has no jump, and what is
    left is rounding, or wrong.

    Attributes:
      changed: units of the compiled step that are on another side than in the plain float64 form.
      changed_plain: units of the plain float32 form.
      float32: largest error of a leaf of the compiled step.
      plain32: the same of the plain form in float32.
      ratio: largest quotient of the two, leaf by leaf.
      worst: the leaf of `ratio`.
    """

    changed: int
    changed_plain: int
    float32: float
    plain32: float
    ratio: float
    worst: str


FLOAT64, TIMES = 1e-9, 3.0  # bounds of `float64` and of the ratios
ROUNDING = 1e-7  # relative: below, a leaf of float32 cannot be said to be nearer than another
DRAWS = 5


def compiled_alone(case: Case) -> dict[str, np.ndarray]:
    """Gradient of the compiled step in float32, nothing beside it."""
    with tempfile.TemporaryDirectory() as folder:
        return Gradients(case, pathlib.Path(folder)).compiled("float32")


class Comparison(NamedTuple):
    """Compiled gradients in float32 of two versions of the code, and what tells them apart.

    Errors are the largest of a leaf, as in `errors`, against the plain form in float64.

    Attributes:
      leaves: how many there are.
      equal: leaves that are equal to the bit in both versions.
      apart: largest difference of a leaf between the two.
      before: error of the earlier version.
      now: error of this version.
      plain32: error of the plain form in float32, first draw.
      ratio: largest quotient of the error of a leaf of the earlier version and of the largest
        of the plain float32 form in `DRAWS` draws.
      worst: the leaf of `ratio`.
    """

    leaves: int
    equal: int
    apart: float
    before: float
    now: float
    plain32: float
    ratio: float
    worst: str


def compare(case: Case, before: dict[str, np.ndarray]) -> Comparison:
    """This version's gradients beside those that `compiled_alone` found in an earlier version."""
    with tempfile.TemporaryDirectory() as folder:
        of = Gradients(case, pathlib.Path(folder))
        (right,), found = of.reference("float64"), of.compiled("float32")
        known = [errors(one, right) for one in of.reference("float32", DRAWS)]
    apart, earlier = errors(before, found), errors(before, right)
    quotients = {
        name: earlier[name] / max(*(one[name] for one in known), ROUNDING) for name in right
    }
    worst = max(quotients, key=quotients.get)
    return Comparison(
        len(right),
        sum(error == 0 for error in apart.values()),
        max(apart.values()),
        max(earlier.values()),
        max(errors(found, right).values()),
        max(known[0].values()),
        quotients[worst],
        worst,
    )


def measure(case: Case) -> Row:
    """All forms of a case beside one another."""
    with tempfile.TemporaryDirectory() as folder:
        of = Gradients(case, pathlib.Path(folder))
        (right,), (plain32,) = of.reference("float64"), of.reference("float32")
        double = errors(of.compiled("float64"), right)
        found = of.compiled("float32")
        single, known = errors(found, right), errors(plain32, right)
        worst32, ratio = _largest_quotient(single, known)
        sides = _on_own_sides(of, found, plain32) if ratio > TIMES else None
    worst64 = max(double, key=double.get)
    return Row(
        len(right),
        double[worst64],
        max(single.values()),
        max(known.values()),
        ratio,
        sides,
        worst64,
        worst32,
    )


def _on_own_sides(of: Gradients, compiled: dict, plain32: dict) -> Sides:
    # the sides that each took, by steps that are the same to the bit
    with recorded() as taken:
        again = of.compiled("float32")
    with recorded() as taken_plain:
        (again_plain,) = of.reference("float32")
    with recorded() as taken64:
        of.reference("float64")
    for first, second in ((compiled, again), (plain32, again_plain)):
        if not all(np.array_equal(first[name], second[name]) for name in first):
            raise AssertionError("recording its sides changed the step")
    right, right_plain = of.on_sides(taken, taken_plain)
    single, known = errors(compiled, right), errors(plain32, right_plain)
    worst, ratio = _largest_quotient(single, known)
    return Sides(
        _changed(taken, taken64),
        _changed(taken_plain, taken64),
        max(single.values()),
        max(known.values()),
        ratio,
        worst,
    )


def _changed(taken: list[np.ndarray], others: list[np.ndarray]) -> int:
    """How many units are on another side."""
    pairs = zip(taken, others, strict=True)
    return sum(int((own != other).sum()) for own, other in pairs)


def _largest_quotient(found: dict[str, float], known: dict[str, float]) -> tuple[str, float]:
    quotients = {name: found[name] / max(known[name], ROUNDING) for name in found}
    worst = max(quotients, key=quotients.get)
    return worst, quotients[worst]
