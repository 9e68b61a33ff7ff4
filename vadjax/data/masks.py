"""Masks of anomalous pixels: a folder of pictures or an `.npy` a video. No JAX."""

import pathlib
from collections.abc import Iterator

import numpy as np

from vadjax.data.video import FrameFolder, visible


class Masks:
    """The masks of a video, one a frame, read one at a time.

    Args:
      path: folder of pictures, taken by rank, or an `.npy` [T, H, W]; above 0 = anomalous.

    Raises:
      ValueError: no such pictures, or not such an array.
    """

    def __init__(self, path: pathlib.Path):
        self.name = path.name if path.is_dir() else path.stem
        self._frames = FrameFolder(path) if path.is_dir() else _load(path)

    def __len__(self) -> int:
        return len(self._frames)

    def __iter__(self) -> Iterator[np.ndarray]:
        """Every mask, bool [H, W]."""
        for frame in self._frames:
            yield np.asarray(frame) > 0 if isinstance(frame, np.ndarray) else _white(frame)


def _white(picture) -> np.ndarray:
    return picture.pixels.max(2) > 0


def _load(path: pathlib.Path) -> np.ndarray:
    try:
        found = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path}: not a readable array ({error})") from error
    if found.ndim != 3:
        raise ValueError(f"{path}: {found.dtype} {found.shape}; expected [frames, H, W]")
    return found


def open_masks(folder: pathlib.Path) -> dict[str, Masks]:
    """The masks of every video in a folder: `VIDEO/*.png` or `VIDEO.npy`.

    Raises:
      FileNotFoundError: no such folder.
      ValueError: nothing there, or something else.
    """
    paths = visible(folder)
    for path in paths:
        if not path.is_dir() and path.suffix != ".npy":
            raise ValueError(f"{path}: neither a folder of masks nor an .npy; move it elsewhere")
    if not paths:
        raise ValueError(f"{folder}: empty; expected a folder of masks, or an .npy, a video")
    return {masks.name: masks for masks in map(Masks, paths)}
