"""Masks of CUHK Avenue, `N_label.mat`.

They are not in the program's own module, so that a pipeline of `data_prep.lib.beam` can send them
to its machines.
"""

import math
import pathlib
from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from vadjax.data.video.masks import ArrayMasks
from vadjax.data.video.reader import Picture
from vadjax.formats import mat

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
    content = _vol_label(path, mat.read_mat(path, NAME))
    # One array of numbers, whose order of axes is found by the number of frames
    if content.dtype != object:
        volume = content[..., None] if content.ndim == 2 else content  # MATLAB drops a last 1
        return ArrayMasks(volume, str(path), frames)
    # A cell array; MATLAB counts its cells down the columns
    masks = [np.asarray(mask) > 0 for mask in content.reshape(-1, order="F")]
    sizes = sorted({mask.shape for mask in masks})
    if len(sizes) != 1:
        raise ValueError(f"{path}: volLabel has masks of sizes {sizes}; expected one")
    return ArrayMasks(np.stack(masks), str(path), order="thw")


def _vol_label(path: pathlib.Path, variables: Mapping):
    """What is stored for the variable `volLabel`; refuses a file without it."""
    if NAME not in variables:
        raise ValueError(f"{path}: has no volLabel; is it a mask file of Avenue?")
    return variables[NAME]


class LazyMasks:
    """The masks of a `.mat` file, read when they are needed: one video in memory at a time.

    Args:
      path: the file.
      frames: as for `read_masks`.
    """

    def __init__(self, path: pathlib.Path, frames: Iterable[Picture] | int | None = None):
        self._path, self._frames = path, frames

    def __len__(self) -> int:
        # Cells are counted in the header; the frames of one array only show when it is read
        shape, cells = _vol_label(self._path, mat.shapes(self._path))
        return math.prod(shape) if cells else len(read_masks(self._path, self._frames))

    def __iter__(self) -> Iterator[Picture]:
        return iter(read_masks(self._path, self._frames))
