"""Masks of CUHK Avenue, `N_label.mat`.

Apart from the program, so that a pipeline of `data_prep.beam` can send them to its machines.
"""

import contextlib
import pathlib
from collections.abc import Iterator

import numpy as np
import scipy.io
from scipy.io.matlab import MatReadError

from data_prep import frames
from vadjax.data.video import Picture


def read_masks(path: pathlib.Path) -> frames.ArrayMasks:
    """The masks of one `N_label.mat`: `volLabel`, a cell array of one mask [H, W] a frame.

    Raises:
      ValueError: not such a file, or masks of different sizes.
    """
    with _naming(path):
        cells = scipy.io.loadmat(path, variable_names=["volLabel"])["volLabel"]
    if cells.dtype != object:  # one numeric array [H, W, T]
        return frames.ArrayMasks(np.moveaxis(np.atleast_3d(cells), -1, 0) > 0, str(path))
    masks = [np.asarray(mask) > 0 for mask in cells.reshape(-1)]
    sizes = sorted({mask.shape for mask in masks})
    if len(sizes) != 1:
        raise ValueError(f"{path}: volLabel has masks of sizes {sizes}; expected one")
    return frames.ArrayMasks(np.stack(masks), str(path))


@contextlib.contextmanager
def _naming(path: pathlib.Path) -> Iterator[None]:
    """Turns what SciPy raises into an error that names the file."""
    try:
        yield
    except KeyError as error:
        raise ValueError(f"{path}: has no volLabel; is it a mask file of Avenue?") from error
    except (ValueError, NotImplementedError, OSError, MatReadError) as error:
        raise ValueError(f"{path}: not a readable .mat file ({error}); copy it again") from error


class LazyMasks:
    """The masks of a `.mat` file, read when they are needed: one video in memory at a time."""

    def __init__(self, path: pathlib.Path):
        self._path = path

    def __len__(self) -> int:
        with _naming(self._path):
            shapes = {name: (shape, kind) for name, shape, kind in scipy.io.whosmat(self._path)}
            shape, kind = shapes["volLabel"]
        return int(np.prod(shape)) if kind == "cell" else shape[-1]

    def __iter__(self) -> Iterator[Picture]:
        return iter(read_masks(self._path))
