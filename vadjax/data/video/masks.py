"""Masks of anomalous pixels: for each video a folder of pictures or an `.npy` file. No JAX."""

import functools
import pathlib
import re
import sys
from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from vadjax.data.video.mask_pictures import read_mask
from vadjax.data.video.object_masks import ANNOTATIONS, TRACKS, ObjectMasks, read_objects
from vadjax.data.video.reader import FrameFolder, Picture
from vadjax.formats.folders import subfolders, visible
from vadjax.formats.npy import read_npy
from vadjax.formats.regular import check_regular

ORDERS = {"thw": 0, "hwt": 2}  # name → axis of the frames
BLOCK = 64  # frames that are read at once if they are the last axis
GROUND_TRUTH = "_gt"  # ends the name of a folder of masks that lies beside the folder of frames
AS_PICTURES = "All its sides fit; save the masks as pictures, VIDEO/*.png"


class MaskFolder(FrameFolder):
    """The masks of a folder of pictures; picture i is the mask of frame i, bool [H, W]."""

    def __iter__(self) -> Iterator[Picture]:
        return map(read_mask, self.paths)

    def values(self) -> Iterator[np.ndarray]:
        """Every mask as numbers of objects, [H, W], 0 = none."""
        return map(read_objects, self.paths)


class ArrayMasks:
    """Masks in one array, [T, H, W] or [H, W, T].

    Args:
      array: the masks; values above 0 are anomalous.
      source: file that they are from, for messages.
      frames: the frames that the masks belong to, or only their number; None if unknown.
      order: a name of `ORDERS`; None decides by `frames`.
      remedy: what the user can do if both orders fit, for messages.

    Attributes:
      shape: shape of the array.
      order: as given; may be set until the first mask is read.

    Raises:
      ValueError: an array of other dimensions, or not of numbers.
    """

    def __init__(
        self,
        array: np.ndarray,
        source: str,
        frames: Iterable[Picture] | int | None = None,
        order: str | None = None,
        remedy: str = AS_PICTURES,
    ):
        if array.ndim != 3 or array.dtype.kind not in "buif" or not array.size:
            raise ValueError(
                f"{source}: {array.dtype} {array.shape}; expected [frames, H, W] or [H, W, frames]"
            )
        self.shape = array.shape
        self._array, self._source, self._frames = array, source, frames
        self.order, self._remedy = order, remedy

    @functools.cached_property
    def axis(self) -> int:
        """Axis of the frames, 0 or 2.

        Raises:
          ValueError: neither axis fits the frames, or both do.
        """
        if self.order is not None:
            return ORDERS[self.order]
        return time_axis(self.shape, self._source, self._frames, self._remedy)

    def __len__(self) -> int:
        return self.shape[self.axis]

    def __iter__(self) -> Iterator[Picture]:
        for rank, mask in enumerate(self.values()):
            yield Picture(mask > 0, f"{self._source}#{rank}")

    def values(self) -> Iterator[np.ndarray]:
        """Every mask as it is stored, [H, W]."""
        if self.axis == 0:
            yield from map(np.asarray, self._array)
            return
        # With frames last, each is spread over the whole file: several are read in one pass.
        for start in range(0, len(self), BLOCK):
            yield from np.moveaxis(np.array(self._array[..., start : start + BLOCK]), 2, 0)


class MaskFile(ArrayMasks):
    """Masks in an `.npy` file.

    A pickled copy, which may be on another machine, opens the file again.

    Args:
      path: the file.
      *known: `frames`, `order` and `remedy` as for `ArrayMasks`; a copy has them too.
      **options: the same by name; a copy does not have them.

    Raises:
      ValueError: as `ArrayMasks`, or the file cannot be read.
    """

    def __init__(self, path: pathlib.Path, *known, **options):
        super().__init__(read_npy(path), str(path), *known, **options)
        self._arguments = (path, *known)

    def __reduce__(self):
        return MaskFile, self._arguments


def time_axis(
    shape: tuple[int, ...],
    source: str,
    frames: Iterable[Picture] | int | None,
    remedy: str = AS_PICTURES,
) -> int:
    """Which axis of masks [T, H, W] or [H, W, T] holds the frames: 0 or 2.

    Args:
      shape: shape of the array.
      source: file that it is from, for messages.
      frames: the frames that the masks belong to, or only their number; None if unknown.
      remedy: what the user can do if both orders fit, for messages.

    Raises:
      ValueError: neither axis fits the frames, or both do.
    """
    # First by the number of frames; without one both axes fit.
    count = frames if frames is None or isinstance(frames, int) else len(frames)
    fits = [axis for axis in (0, 2) if count in (None, shape[axis])]
    # Then by the size of the frames, if there are frames to look at.
    if len(fits) == 2 and isinstance(frames, Iterable):
        folder = isinstance(frames, FrameFolder)
        size = frames.size if folder else next(iter(frames)).pixels.shape[:2]
        sizes = {0: shape[1:], 2: shape[:2]}
        fits = [axis for axis in fits if sizes[axis] == size]
        count = f"{count:,} ({size[0]} x {size[1]} pixels)"
    if not fits:
        raise ValueError(
            f"{source}: masks of shape {shape}, number of frames {count}; expected [frames, H, W] "
            "or [H, W, frames], one for each frame"
        )
    if len(fits) == 2:
        raise ValueError(
            f"{source}: masks of shape {shape} may be [frames, H, W] or [H, W, frames], the order "
            f"of MATLAB. {remedy}"
        )
    return fits[0]


class Masks:
    """The masks of a video, read one at a time: bool [H, W] for each frame.

    Args:
      name: name of the video.
      masks: one mask for each frame; a `MaskFolder`, a `MaskFile` or `ObjectMasks`.
    """

    def __init__(self, name: str, masks: MaskFolder | MaskFile | ObjectMasks):
        self.name, self.source = name, masks

    def __len__(self) -> int:
        return len(self.source)

    def __iter__(self) -> Iterator[np.ndarray]:
        """Every mask, bool [H, W].

        Raises:
          ValueError: a mask of another size than the first.
        """
        # Sizes are compared as masks are read: reading all of them ahead would take as long again.
        first = None
        for mask in self.source:
            first = first or mask
            if mask.pixels.shape != first.pixels.shape:
                raise ValueError(
                    f"{mask.source}: a mask of shape {mask.pixels.shape}, expected "
                    f"{first.pixels.shape} as {first.source}"
                )
            yield mask.pixels


def open_video(
    path: pathlib.Path,
    frames: Iterable[Picture] | int | None = None,
    order: str | None = None,
    remedy: str = AS_PICTURES,
) -> MaskFolder | MaskFile | ObjectMasks:
    """The masks of one video: a folder of pictures, UBnormal's `VIDEO_annotations`, or an `.npy`.

    Args:
      path: folder or file.
      frames: as for `ArrayMasks`.
      order: as for `ArrayMasks`.
      remedy: as for `ArrayMasks`.

    Raises:
      FileNotFoundError, ValueError: as `MaskFolder`, `MaskFile` and `ObjectMasks`.
    """
    if not path.is_dir():
        return MaskFile(path, frames, order, remedy)
    if path.name.endswith(ANNOTATIONS) or next(path.glob(f"*{TRACKS}"), None):
        return ObjectMasks(path, frames)
    return MaskFolder(path)


def find_masks(folder: pathlib.Path) -> dict[str, pathlib.Path]:
    """Name of each video and path of its masks, in a folder of one of the published forms.

    These are `VIDEO/*.png` and `VIDEO.npy`, which must be alone in the folder; and `VIDEO_gt/*.bmp`
    (UCSD) and `VIDEO_annotations/*_gt.png`, also in folders `Scene…` (UBnormal), which may lie
    beside other things.

    Raises:
      FileNotFoundError: no such folder.
      ValueError: the folder is empty, or holds something else.
    """
    # Folders that are marked as masks by the end of their names, in the folder or in its scenes.
    paths = visible(folder)
    scenes = [path for path in paths if is_scene(path)]
    folders = [path for path in paths if path.is_dir()]
    folders += [path for scene in scenes for path in visible(scene) if path.is_dir()]
    for ending in (ANNOTATIONS, GROUND_TRUTH):
        if marked := [path for path in folders if path.name.endswith(ending)]:
            for where in (folder, *scenes):
                subfolders(where, f".*{ending}")
            _note_others(folders, marked, ending)
            return _named({path: path.name.removesuffix(ending) for path in marked})
    # Without any: every folder and every `.npy` holds the masks of a video.
    for path in paths:
        if path.is_dir() and path.suffix == ".npy":
            check_regular(path)
        if not path.is_dir() and path.suffix != ".npy":
            raise ValueError(f"{path}: neither a folder of masks nor an .npy; move it elsewhere")
    if not paths:
        raise ValueError(f"{folder}: empty; expected a folder of masks, or an .npy, a video")
    return _named({path: path.name if path.is_dir() else path.stem for path in paths})


def is_scene(path: pathlib.Path) -> bool:
    """Whether this is a folder of UBnormal with the videos of one scene, as `Scene1`."""
    return path.is_dir() and re.fullmatch(r"Scene\d+", path.name) is not None


def _named(names: Mapping[pathlib.Path, str]) -> dict[str, pathlib.Path]:
    """Name of each video → path of its masks; raises ValueError if a video has two."""
    paths: dict[str, pathlib.Path] = {}
    for path, name in names.items():
        if name in paths:
            raise ValueError(f"{paths[name]} and {path}: both are masks of {name}; move one away")
        paths[name] = path
    return paths


def _note_others(folders: list[pathlib.Path], marked: list[pathlib.Path], ending: str) -> None:
    """Prints which folders were skipped because no folder of masks is named after them."""
    masks = {path.name for path in marked}
    others = [path for path in folders if path not in marked and not is_scene(path)]
    if alone := [path.name for path in others if f"{path.name}{ending}" not in masks]:
        print(
            f"note: passed over, without masks VIDEO{ending} beside: {', '.join(alone[:5])}"
            f"{', …' if alone[5:] else ''}",
            file=sys.stderr,
        )


def open_masks(
    folder: pathlib.Path,
    counts: Mapping[str, int] | None = None,
    order: str | None = None,
    remedy: str = AS_PICTURES,
) -> dict[str, Masks]:
    """The masks of every video in a folder, as `find_masks` finds them.

    Args:
      folder: folder of the masks.
      counts: name of a video → its number of frames, for videos whose number is known; a video's
        masks must be as many.
      order: as for `ArrayMasks`.
      remedy: as for `ArrayMasks`.

    Raises:
      FileNotFoundError: no such folder.
      ValueError: as `find_masks` and `open_video`, or another number of masks than frames.
    """
    masks = {}
    for name, path in find_masks(folder).items():
        count = None if counts is None else counts.get(name)
        masks[name] = Masks(name, open_video(path, count, order, remedy))
        if count is not None and len(masks[name]) != count:
            raise ValueError(f"{path}: {len(masks[name]):,} masks for {count:,} frames")
    return masks
