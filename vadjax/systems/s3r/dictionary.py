"""The dictionary of normal patterns: learned, made from a universal one, or read (spec s3r §3).

`python -m vadjax.systems.s3r dictionary` makes one from the command line.

The published dictionaries are not atoms. They are learned with the D channels as samples of V
videos, and what is kept are the sparse codes, transposed: layout "codes", [K, D], two non-zero
values in each channel, negative ones and rows of zeros among them. Layout "atoms" is what the
publication describes: atoms in the space of the features, learned from the videos.
"""

import pathlib
import sys
from collections.abc import Callable, Iterator

import jax
import numpy as np
from threadpoolctl import threadpool_limits

from vadjax.config import expect_one_of
from vadjax.convert import arrays
from vadjax.data.bags import Bags
from vadjax.data.store.records import Dataset
from vadjax.formats.names import shorten
from vadjax.systems.s3r.fit import batches, fit, start
from vadjax.systems.s3r.omp import omp

LAYOUTS = ("codes", "atoms")
ITERATIONS, BATCH, ALPHA, NONZEROS, SEED = 100, 32, 1.0, 2, 42  # of the published dictionaries
PICKLES = (".pickle", ".pkl")


def learn(
    means: np.ndarray,
    atoms: int,
    seed: int = SEED,
    layout: str = "codes",
    *,
    iterations: int = ITERATIONS,
    watch: Callable[[int], None] = lambda step: None,
) -> np.ndarray:
    """A task-aware dictionary (spec s3r §3.1 to §3.3).

    Args:
      means: float [V, D], the mean over crops and segments of each normal training video. For
        layout "atoms" the rows may be snippets as well.
      atoms: rows of the dictionary, K; `count_atoms` for a share of the videos.
      seed: of the random stream.
      layout: `"codes"` as published: the channels are the samples, and the codes are kept.
        `"atoms"`: the rows of `means` are the samples, and the atoms are kept, each as long as
        the samples are on average; an atom without use is drawn anew from the samples.
      iterations: mini-batches of the fit.
      watch: called with the number of mini-batches done.

    Returns:
      float64 [K, D].

    Raises:
      ValueError: no videos, values that are not finite, fewer than one atom, no such layout.
    """
    means = np.asarray(means)
    _check_means(means, atoms)
    expect_one_of("model.dictionary_layout", layout, LAYOUTS)
    with threadpool_limits(1):  # the matrices are small: threads wait for each other
        return _learn(means, atoms, layout, iterations, np.random.RandomState(seed), watch)


def _learn(means, atoms, layout, iterations, rng, watch) -> np.ndarray:
    """`learn` of checked means, with the legacy stream that the published ones come from."""
    samples = means.T if layout == "codes" else means
    first = start(samples, atoms, rng)
    samples = samples.astype(np.float64)
    used = samples[samples.any(1)]

    def draw() -> np.ndarray:
        if layout == "codes":
            return rng.standard_normal(samples.shape[1])
        return used[rng.randint(len(used))]

    order = batches(len(samples), BATCH, rng)
    found = fit(samples, first, order, draw, iterations, BATCH, ALPHA, watch).atoms
    if layout == "codes":
        return encode(samples, found).T
    return found * np.linalg.norm(samples, axis=1).mean()


def encode(samples: np.ndarray, atoms: np.ndarray, nonzeros: int = NONZEROS) -> np.ndarray:
    """Codes of `omp` in float64: samples [N, F], atoms [K, F] → [N, K]."""
    with jax.enable_x64(True):
        return np.asarray(omp(np.float64(samples), np.float64(atoms), nonzeros))


def _check_means(means: np.ndarray, atoms: int) -> None:
    if means.ndim != 2 or not means.size:
        raise ValueError(
            f"means of normal videos: {means.shape}, expected [videos, width] and at least one "
            "video; a dictionary is learned from normal training videos"
        )
    if bad := means.size - np.isfinite(means).sum():
        raise ValueError(f"means of normal videos: {bad:,} of {means.size:,} are NaN or infinite")
    if not means.any():
        raise ValueError("means of normal videos: all values are 0")
    if atoms < 1:
        raise ValueError(f"{atoms} atoms from {len(means)} videos; expected at least 1 (--ratio)")


def count_atoms(videos: int, ratio: float) -> int:
    """Rows of a task-aware dictionary: `ratio` of the videos, halves to even."""
    return round(videos * ratio)


def universal(segments: np.ndarray, memory: np.ndarray) -> np.ndarray:
    """The half of `memory` that is most like the normal segments, and their mean (spec s3r §3.4).

    Args:
      segments: float [n, D], the segments of all normal training videos, crops averaged.
      memory: float [K, D], a dictionary of other videos.

    Returns:
      float32 [K // 2 + 1, D]: rows of `memory` as they are, the most similar first, then the mean
      of the normalised segments.

    Raises:
      ValueError: the widths differ, or there are no segments.
    """
    if not len(segments) or segments.shape[1] != memory.shape[1]:
        raise ValueError(
            f"universal dictionary {memory.shape} and normal segments {segments.shape}: expected "
            "at least one segment, of the same width"
        )
    chosen = np.argsort(-similarity(segments, memory), kind="stable")[: len(memory) // 2]
    mean = _unit(segments).mean(0, keepdims=True)
    return np.concatenate([memory[chosen], mean]).astype(np.float32)


def similarity(segments: np.ndarray, memory: np.ndarray) -> np.ndarray:
    """Mean cosine of every row of `memory` [K, D] with the segments [n, D], float64 [K]."""
    return _unit(memory) @ _unit(segments).mean(0)


def _unit(rows: np.ndarray) -> np.ndarray:
    rows = np.asarray(rows, np.float64)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def read(path: str | pathlib.Path, width: int | None = None) -> np.ndarray:
    """A dictionary from a file, ours or the first authors'.

    Args:
      path: `.npy`, or a pickle of one array (which is read without running code).
      width: columns that the features have.

    Returns:
      float32 [S, D].

    Raises:
      FileNotFoundError: no such file.
      ValueError: no array of two dimensions, NaN or infinite values, or another width.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: no such dictionary. Learn one: python -m vadjax.systems.s3r dictionary "
            f"--data DATASET --out {path}"
        )
    # Features and anything else that is no table of finite numbers are refused
    found = arrays.read_pickle(path) if path.suffix in PICKLES else arrays.read_npy(path)
    if isinstance(found, dict) and "feature" in found:
        raise ValueError(
            f"{path}: holds features of videos, not a dictionary. Learn one from them: "
            f"python -m vadjax.systems.s3r dictionary --data {path} --out FILE.npy"
        )
    if not isinstance(found, np.ndarray) or found.ndim != 2 or not found.size:
        shape = found.shape if isinstance(found, np.ndarray) else type(found).__name__
        raise ValueError(f"{path}: {shape}; a dictionary is [rows, width]")
    found = _finite(found, str(path))
    if width is not None and found.shape[1] != width:
        raise ValueError(
            f"{path}: {found.shape[0]} rows of width {found.shape[1]}, but the features have "
            f"{width} columns; learn one from them: python -m vadjax.systems.s3r dictionary"
        )
    return found


def normal_bags(
    data: str | pathlib.Path | Dataset, modality: str = "TWO", chosen: slice = slice(None)
) -> Iterator[np.ndarray]:
    """Features of every normal training video once, float32 [C, S, D].

    Args:
      data: dataset of features or its folder, or the first authors' pickle.
      modality: as for `vadjax.data.bags.Bags`.
      chosen: which of a dataset's, in its order.

    Raises:
      FileNotFoundError: no such dataset.
      ValueError: no normal training video, not a dataset of features, or features that are not
        finite; names the file and the video.
    """
    if not isinstance(data, Dataset) and pathlib.Path(data).suffix in PICKLES:
        return _pickled_bags(pathlib.Path(data))
    data = data if isinstance(data, Dataset) else Dataset(data)
    if data.kind != "features":
        raise ValueError(f"{data.folder}: a dataset of {data.kind}; expected one of features")
    if not data.splits["train"]["normal"]:
        raise ValueError(
            f"{data.folder}: no normal training video, and a dictionary is learned from those"
        )
    return _once(Bags(data, "train", modality, label=0, chosen=chosen))


def _once(bags: Bags) -> Iterator[np.ndarray]:
    seen = set()  # some lists name a video twice
    for bag in bags:
        if bag.video not in seen:
            seen.add(bag.video)
            yield _finite(bag.features, f"{bags.label}: {bag.video}")


def _pickled_bags(path: pathlib.Path) -> Iterator[np.ndarray]:
    content = arrays.read_pickle(path)
    found = content.get("feature") if isinstance(content, dict) else None
    if not isinstance(found, dict) or not found:
        raise ValueError(f"{path}: no features of videos; expected {{'feature': {{video: array}}}}")
    width = None
    for video, features in found.items():
        where = f"{path}: {shorten(video)}"
        if not isinstance(features, np.ndarray) or features.dtype.kind not in "fiu":
            raise ValueError(f"{where} is no array of numbers [crops, segments, D]")
        if (
            features.ndim != 3
            or not features.size
            or features.shape[2] != (width := width or features.shape[2])
        ):
            raise ValueError(
                f"{where} is {features.shape}; expected [crops, segments, {width or 'D'}]"
            )
        yield _finite(features, where)


def _finite(values: np.ndarray, where: str) -> np.ndarray:
    """The values in float32; raises ValueError where one is not finite there."""
    with np.errstate(over="ignore"):
        found = values.astype(np.float32)
    if bad := found.size - int(np.isfinite(found).sum()):
        raise ValueError(f"{where}: {bad:,} of {found.size:,} values are NaN or infinite")
    return found


def normal_means(
    data: str | pathlib.Path | Dataset, modality: str = "TWO", chosen: slice = slice(None)
) -> np.ndarray:
    """Mean over crops and segments of every normal training video, float32 [V, D]."""
    return np.stack([features.mean((0, 1)) for features in normal_bags(data, modality, chosen)])


if __name__ == "__main__":
    sys.exit(
        "error: vadjax.systems.s3r.dictionary is now: python -m vadjax.systems.s3r dictionary …"
    )
