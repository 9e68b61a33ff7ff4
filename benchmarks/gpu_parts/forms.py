"""Both forms of every operation of `vadjax/ops/forms.json` on the present backend.

The plain form in the highest precision is what the results of both are compared with. A form counts
as wrong if it is further from that than four times the plain form is, and than what minimal
filtering loses in float32.
"""

import functools
import importlib.resources
import json
import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np

from vadjax.ops import (
    batch_norm,
    channels,
    conv,
    depthwise,
    dropout,
    pieces,
    pool,
    resize,
    temporal,
)
from vadjax.ops import forms as choices

FASTER = 1.05  # a form takes the place of another one if it is so many times faster
MEMORY = 1.5  # times the temporary memory of the form in use that another one may need
LOST = 2e-5  # of the largest value, that a form may lose beside the plain one
TIMES_PLAIN = 4  # the error of the plain form, that another one may have


class Sample(NamedTuple):
    """An operation at a typical shape.

    Attributes:
      function: of `arguments`.
      shapes: of its arguments.
    """

    function: Callable
    shapes: tuple[tuple[int, ...], ...]


def samples(operation: str, small: bool) -> list[Sample]:
    """The shapes that an operation is measured at: those of the systems that call it.

    Args:
      operation: a row of the table, without `_gradient`.
      small: whether they are cut to what a test has time for.
    """
    batch, side = (1, 16) if small else (4, 64)
    same = (1, 1), ((1, 1), (1, 1))
    in_3d = (1, 1, 1), ((1, 1),) * 3
    picture, volume = (batch, side, side), (batch, 8, side // 2, side // 2)
    rows = (2, 32, 64) if small else (80, 32, 2048)
    of_rows = temporal_of(rows)
    triples = [(i - 1, i, i + 1 if i < 6 else -1) for i in range(7)]
    detector = (1, 16, 24) if small else (1, 88, 128)
    small_map = (*detector[:1], detector[1] // 2, detector[2] // 2, 128)
    twice = (*detector, 128)
    window = functools.partial(pool.max_pool3d, window=(3, 3, 3), strides=(1, 1, 1), padding="SAME")
    found = {
        # LGN-Net and MNAD; SSMTL, I3D and the motion network
        "conv": [
            Sample(lambda x, w: conv.conv(x, w, *same), ((*picture, 128), (3, 3, 128, 128))),
            Sample(lambda x, w: conv.conv(x, w, *in_3d), ((*volume, 32), (3, 3, 3, 32, 32))),
        ],
        "conv_inference": [
            Sample(
                lambda x, w: conv.conv_inference(x, w, *same), ((*picture, 128), (3, 3, 128, 128))
            ),
            Sample(
                lambda x, w: conv.conv_inference(x, w, *in_3d), ((*volume, 96), (3, 3, 3, 96, 128))
            ),
        ],
        # The detector
        "conv_activated_inference": [
            Sample(
                lambda x, w, b: conv.conv_activated_inference([x], w, b, *same, slope=0.1),
                ((*detector, 32), (3, 3, 32, 32), (32,)),
            ),
            Sample(
                lambda x, y, w, b: conv.conv_activated_inference(
                    [x, y], w, b, (2, 2), ((1, 1), (1, 1)), slope=0.1
                ),
                ((*detector, 32), (*detector, 32), (3, 3, 64, 64), (64,)),
            ),
        ],
        "depthwise": [
            Sample(
                lambda x, w: depthwise.depthwise(
                    x, w, (1, 1), "SAME", feature_group_count=x.shape[-1]
                ),
                ((*detector, 48), (5, 5, 1, 48)),
            )
        ],
        "conv_transpose": [
            Sample(
                conv.conv_transpose,
                ((batch, side // 2, side // 2, 256), (3, 3, 256, 128)),
            )
        ],
        "conv_frames": [
            Sample(
                lambda x, w: conv.conv_frames(x, w, triples),
                ((batch, 7, side, side, 16), (3, 3, 3, 16, 16)),
            )
        ],
        "conv_joined": [
            Sample(
                lambda x, w: conv.conv_joined(x, w, (7, 6, 1)),
                ((batch, 14, side // 2, side // 2, 16), (3, 3, 3, 16, 32)),
            )
        ],
        "centre": [
            Sample(
                lambda x: batch_norm.batch_norm_relu(
                    x, jnp.ones(x.shape[-1]), jnp.zeros(x.shape[-1]), 1e-5
                )[0],
                ((batch, 1, side, side, 64),),
            )
        ],
        "join": [
            Sample(
                lambda *parts: channels.join(parts), ((*picture, 64), (*picture, 64), (*picture, 3))
            )
        ],
        # S3R and RTFM
        "temporal": [of_rows(temporal.conv)],
        "temporal_inference": [of_rows(temporal.conv_inference)],
        "dropout_in_time": [
            Sample(lambda x: dropout.kept_in_time(jax.random.key(0), x.shape, 0.7), (rows,))
        ],
        "max_pool": [Sample(pool.max_pool, ((*picture, 64),))],
        # I3D; the scores of SSMTL
        "max_pool3d": [Sample(window, ((*volume, 192),))],
        # the detector's first maximum
        "max_pool_inference": [
            Sample(pool.max_pool_inference, ((*detector[:1], 2 * detector[1], 256, 32),))
        ],
        # its maps of several sizes
        "add_twice_inference": [Sample(resize.add_twice_inference, (twice, small_map))],
        "add_half_inference": [Sample(resize.add_half_inference, (small_map, twice))],
        "by_sample": [
            Sample(
                lambda x, w: pieces.by_sample(
                    lambda part: jnp.tanh(conv.conv(part, w, *in_3d)), x, x[0].size * 4 * 8
                ),
                ((4 * batch, 7, side, side, 8), (3, 3, 3, 8, 16)),
            )
        ],
    }
    return found[operation]


def temporal_of(rows: tuple[int, int, int]) -> Callable[[Callable], Sample]:
    """Makes the sample of a temporal convolution of rows [R, T, C]."""
    width = rows[-1]
    kernel = (3, width, width // 4)
    return lambda operation: Sample(lambda x, w: operation(x, w, 1), (rows, kernel))


def platform() -> str:
    """The name of this backend in the table."""
    device = jax.devices()[0]
    if device.platform != "gpu":
        return device.platform
    return "rocm" if "rocm" in device.client.platform_version.lower() else "cuda"


def run(small: bool, timed: Callable[[Callable], tuple[float, int]]) -> Iterator[dict]:
    """Rows of every operation: milliseconds and error of both forms, and which is the better one.

    Args:
      small: as of `samples`.
      timed: seconds of a call, and the number of calls.
    """
    here = platform()
    for operation, row in choices.table().items():
        now = row.get(here, "plain")
        both = {form: measure(operation, form, here, small, timed) for form in choices.NAMES}
        best = better(both, now)
        for form, found in both.items():
            about = {"operation": operation, "platform": here, "form": form}
            yield {**about, **found, "now": form == now, "better": form == best}


def better(both: Mapping[str, Mapping[str, Any]], now: str) -> str:
    """The form that the table should name.

    Some forms are there to save memory: one that needs much more does not take their place.

    Args:
      both: form → `ms`, `temporary_mb` and `wrong`, which is empty for a form that can be taken.
      now: the form that the table names.
    """
    fit = {form: row for form, row in both.items() if not row["wrong"]}
    if not fit:
        return now
    fastest = min(fit, key=lambda form: fit[form]["ms"])
    if now not in fit:
        return fastest
    room = MEMORY * (fit[now]["temporary_mb"] + 1)
    saves = fit[now]["ms"] >= FASTER * fit[fastest]["ms"]
    return fastest if saves and fit[fastest]["temporary_mb"] <= room else now


def measure(
    operation: str,
    form: str,
    here: str,
    small: bool,
    timed: Callable[[Callable], tuple[float, int]],
) -> dict:
    """Milliseconds of all samples together, largest error and memory, and why the form is wrong."""
    seconds = largest = temporary = 0.0
    try:
        for sample in samples(operation.removesuffix("_gradient"), small):
            rng = np.random.default_rng(0)
            arrays = [jnp.asarray(rng.standard_normal(s, np.float32)) for s in sample.shapes]
            with jax.default_matmul_precision("highest"):
                right = traced(operation, "plain", here, sample)(*arrays)
            plain = error(traced(operation, "plain", here, sample)(*arrays), right)
            program = traced(operation, form, here, sample).lower(*arrays).compile()
            off = error(program(*arrays), right)
            if not off <= LOST + TIMES_PLAIN * plain:  # nor is NaN
                return wrong(f"wrong: {off:.1e} off, plain {plain:.1e}")
            largest = max(largest, off)
            temporary = max(temporary, program.memory_analysis().temp_size_in_bytes / 1e6)
            seconds += timed(functools.partial(program, *arrays))[0]
    except Exception as problem:  # a form that cannot be compiled is not chosen
        return wrong(f"{type(problem).__name__}: {problem}".splitlines()[0][:200])
    return {"ms": 1e3 * seconds, "error": largest, "temporary_mb": temporary, "wrong": ""}


def wrong(reason: str) -> dict:
    """What is said of a form that is never chosen."""
    return {"ms": None, "error": None, "temporary_mb": None, "wrong": reason}


def traced(operation: str, form: str, here: str, sample: Sample) -> Callable:
    """The sample, jitted with that form of the operation and plain forms of all others.

    A gradient is that of the sum of the result's squares, by every argument; its forward pass is
    plain.
    """
    rows = {name: {here: form if name == operation else "plain"} for name in choices.table()}

    def function(*arrays):
        with mock.patch.object(choices, "table", lambda: rows):
            if not operation.endswith("_gradient"):
                return sample.function(*arrays)
            places = tuple(range(len(arrays)))
            squares = lambda *given: jnp.square(sample.function(*given)).sum() / 2  # noqa: E731
            return jax.grad(squares, places)(*arrays)

    return jax.jit(function)


def error(found: Any, right: Any) -> float:
    """Largest difference of a leaf, of the leaf's largest value."""
    errors = []
    for ours, theirs in zip(jax.tree.leaves(found), jax.tree.leaves(right), strict=True):
        ours, theirs = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
        errors.append(np.abs(ours - theirs).max() / max(np.abs(theirs).max(), 1e-30))
    return float(np.max(errors))


def changes(rows: list[dict]) -> dict[str, dict[str, str]]:
    """Operation → platform → form, of what the table should name instead."""
    return {
        row["operation"]: {row["platform"]: row["form"]}
        for row in rows
        if row["better"] and not row["now"]
    }


def rewrite(changed: Mapping[str, Mapping[str, str]]) -> pathlib.Path:
    """Writes the table with these changes; where it lies."""
    with importlib.resources.as_file(importlib.resources.files("vadjax.ops")) as folder:
        path = folder / choices.TABLE
        rows = json.loads(path.read_text("utf-8"))
        rows = {name: {**row, **changed.get(name, {})} for name, row in rows.items()}
        choices.check(rows)
        lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(row)}" for name, row in rows.items())
        path.write_text(f"{{\n{lines}\n}}\n", "utf-8")
    return path
