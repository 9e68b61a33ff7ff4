"""Masks of CUHK Avenue, `N_label.mat`.

Apart from the program, so that a pipeline of `data_prep.beam` can send them to its machines.
"""

import contextlib
import pathlib
from collections.abc import Iterable, Iterator

import numpy as np
import scipy.io

from vadjax.data.masks import ArrayMasks, time_axis
from vadjax.data.video import Picture
from vadjax.formats.labels import naming_mat

NAME = "volLabel"


def read_masks(path: pathlib.Path, frames: Iterable[Picture] | int | None = None) -> ArrayMasks:
    """The masks of one `N_label.mat`: `volLabel`, a cell array of one mask [H, W] a frame.

    Args:
      path: the file.
      frames: the frames that they belong to, or only their number: decides between [T, H, W] and
        [H, W, T] where the masks are one array of numbers.

    Raises:
      ValueError: not such a file, masks of different sizes, or an array that fits no order.
    """
    with _naming(path), path.open("rb") as file:
        cells = scipy.io.loadmat(file, variable_names=[NAME])[NAME]
    if cells.dtype != object:
        return ArrayMasks(_volume(cells), str(path), frames)
    masks = [np.asarray(mask) > 0 for mask in cells.reshape(-1)]
    sizes = sorted({mask.shape for mask in masks})
    if len(sizes) != 1:
        raise ValueError(f"{path}: volLabel has masks of sizes {sizes}; expected one")
    return ArrayMasks(np.stack(masks), str(path), order="thw")


def _volume(array: np.ndarray) -> np.ndarray:
    """An array of masks; MATLAB drops the last axis where there is only one."""
    return array[..., None] if array.ndim == 2 else array


@contextlib.contextmanager
def _naming(path: pathlib.Path) -> Iterator[None]:
    """Turns what SciPy raises into an error that names the file."""
    try:
        with naming_mat(path):
            yield
    except KeyError as error:
        raise ValueError(f"{path}: has no volLabel; is it a mask file of Avenue?") from error


class LazyMasks:
    """The masks of a `.mat` file, read when they are needed: one video in memory at a time.

    Args:
      path: the file.
      frames: as for `read_masks`.
    """

    def __init__(self, path: pathlib.Path, frames: Iterable[Picture] | int | None = None):
        self._path, self._frames = path, frames

    def __len__(self) -> int:
        with _naming(self._path), self._path.open("rb") as file:
            shapes = {name: (shape, kind) for name, shape, kind in scipy.io.whosmat(file)}
            shape, kind = shapes[NAME]
        if kind == "cell":
            return int(np.prod(shape))
        shape = (*shape, 1) if len(shape) == 2 else shape
        return shape[time_axis(shape, str(self._path), self._frames)]

    def __iter__(self) -> Iterator[Picture]:
        return iter(read_masks(self._path, self._frames))
