"""Files of features: where those of a video are, how they are read, how they were made.

A file holds [rows, columns], or with crops [crops, rows, columns] (data_prep.extract_features) or
[rows, crops, columns] (RTFM, S3R): which of them is told by the sizes of all files of a set, or by
`--axes`. Or there is a file [rows, columns] for each crop: NAME__0.npy, NAME__1.npy, ...
"""

import dataclasses
import pathlib
import warnings
from collections.abc import Iterable, Sequence

import numpy as np

from vadjax.convert import arrays
from vadjax.formats import json_files, text
from vadjax.formats.entries import Entry
from vadjax.formats.npy import read_npy

from .feature_index import Files, Index

SETTINGS = "settings.json"  # beside the files; data_prep.extract_features writes it
TWO_STREAM = {"rgb": "all_rgbs/{}.mp4.npy", "flow": "all_flows/{}.mp4.npy"}
OURS, RTFM = "crops,rows,columns", "rows,crops,columns"
AXES = {OURS: 0, RTFM: 1}  # name → axis of the crops
MOST_CROPS = 10  # published features have 5 or 10


class Features:
    """The feature files of a folder: where a video's are and how they are read.

    Args:
      folder: the folder given by the user.
      layout: `"two-stream"`, `"npy"` or `"text"`.
    """

    def __init__(self, folder: pathlib.Path, layout: str):
        self.folder, self.layout = folder, layout
        ending = ".txt" if layout == "text" else ".npy"
        places = ["all_rgbs", "all_flows"] if layout == "two-stream" else [""]
        self.indices = [Index(folder / place, ending) for place in places]

    @property
    def streams(self) -> dict[str, str]:
        """Name of every stream → its folder and ending."""
        if self.layout == "two-stream":
            return TWO_STREAM
        return {"features": "{}.npy" if self.layout == "npy" else "{}.txt"}

    def paths(self, video: str) -> list[pathlib.Path]:
        """Where the files of a video, CLASS/NAME with or without .mp4, are looked for first."""
        name = video.removesuffix(".mp4")
        return [self.folder / pattern.format(name) for pattern in self.streams.values()]

    def find(self, entry: Entry) -> list[Files]:
        """Files of a video, one tuple for each stream; an empty tuple where there are none.

        Raises:
          ValueError: several places have such files.
        """
        return [
            (path,) if path.exists() else index.find(entry)
            for path, index in zip(self.paths(entry.path), self.indices, strict=True)
        ]

    def unlisted(self, used: Iterable[pathlib.Path]) -> list[str]:
        """Names of the files that are none of `used`, relative to the folder."""
        used = {*used}
        # Files in the folder itself count only where features lie there: else they are labels
        flat = any(path.parent == self.folder for path in used)
        return [
            str(path.relative_to(self.folder))
            for index in self.indices
            for path in index.others(used)
            if flat or path.parent != self.folder
        ]


def find_features(folder: pathlib.Path) -> Features:
    """Recognises the layout of a folder of feature files, which may lie at any depth.

    Raises:
      FileNotFoundError: no such folder, or none of the layouts.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder of features (--features)")
    if (folder / "all_rgbs").is_dir() or (folder / "all_flows").is_dir():
        return Features(folder, "two-stream")
    # Text files in the folder itself may be lists, so they do not tell
    for layout, pattern in (("npy", "*/**/*.npy"), ("text", "*/**/*.txt"), ("npy", "*.npy")):
        if next(folder.glob(pattern), None):
            return Features(folder, layout)
    raise FileNotFoundError(
        f"{folder}: found neither all_rgbs/ and all_flows/ nor CLASS/NAME.npy nor CLASS/NAME.txt"
    )


@dataclasses.dataclass(frozen=True)
class Shape:
    """Sizes of the features of a video."""

    crops: int
    rows: int
    columns: int


def raw_shape(path: pathlib.Path) -> tuple[int, ...]:
    """Shape of an array in a file; of an `.npy` only its header is read.

    Raises:
      ValueError: not an array of numbers of two or three dimensions, or an empty or cut-off one.
    """
    if path.suffix == ".txt":
        lines = text.read_lines(path, comments=("#",))  # as NumPy reads them
        shape = (len(lines), len(lines[0].text.split())) if lines else (0, 0)
        return _check(path, np.dtype(np.float32), shape)
    try:
        array = read_npy(path)  # refuses a header that promises more than the file has, or less
    except ValueError:
        array = arrays.read_npy(path)  # reads an array of objects, or says what is wrong
    return _check(path, array.dtype, array.shape)


def _check(path: pathlib.Path, dtype: np.dtype, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape, if it and the type can be those of features."""
    if dtype.kind not in "fiu" or len(shape) not in (2, 3) or 0 in shape:
        raise ValueError(
            f"{path}: {dtype} {shape}; expected float [rows, columns] or, of several crops, "
            "[crops, rows, columns] or [rows, crops, columns]"
        )
    return shape


def _load_text(path: pathlib.Path) -> np.ndarray:
    """Features of a text file, a row a line, float32 [rows, columns]."""
    try:
        with warnings.catch_warnings():
            # NumPy warns of empty files; their shape is refused below
            warnings.simplefilter("ignore", UserWarning)
            array = np.loadtxt(text.split(text.read_text(path)), np.float32, ndmin=2)
            _check(path, array.dtype, array.shape)
            return array
    except (ValueError, OSError) as error:
        reason = str(error).removeprefix(f"{path}: ")
        raise ValueError(f"{path}: not a readable array ({reason}); extract it again") from error


def known_axes(folder: pathlib.Path, axes: str | None) -> str | None:
    """The axes that the user names, or those of data_prep.extract_features if it wrote the folder.

    Args:
      folder: of the features.
      axes: what the user says, a name of `AXES`, or None.

    Returns:
      A name of `AXES` (or what the user says, unchecked), or None if nobody says it.
    """
    # Only data_prep.extract_features writes settings with the crops
    return axes or (OURS if "crops" in (read_settings(folder) or {}) else None)


def crops_axis(
    shapes: Sequence[tuple[int, ...]], axes: str | None, where: object, default: str | None = None
) -> int:
    """The axis of the crops, 0 or 1, of all arrays of a set.

    Crops are few and of all videos alike; rows are many or differ.

    Args:
      shapes: of the arrays; those of two dimensions say nothing.
      axes: what the user says, a name of `AXES`; None: the sizes tell.
      where: file or folder, for messages.
      default: a name of `AXES`, taken with a note where the sizes do not tell; None: refused.

    Raises:
      ValueError: no such name, or the sizes do not tell and there is no default.
    """
    if axes is not None:
        if axes not in AXES:
            raise ValueError(f"axes {axes!r}; expected one of {' or '.join(AXES)} (--axes)")
        return AXES[axes]
    # Sizes of both axes in all arrays
    sizes = [{shape[axis] for shape in shapes if len(shape) == 3} for axis in (0, 1)]
    if not sizes[0]:
        return 0
    # The crops' axis is the only one whose sizes are all small, else the only one of one size
    small, constant = [max(s) <= MOST_CROPS for s in sizes], [len(s) == 1 for s in sizes]
    for may_be_crops in (small, constant):
        if may_be_crops[0] != may_be_crops[1]:
            return may_be_crops.index(True)
    # Both axes may be the crops'; of equal sizes no default can be right
    shape = next(shape for shape in shapes if len(shape) == 3)
    doubt = (
        f"{where}: arrays such as {list(shape)}; their sizes do not say which axis has the crops"
    )
    if default is None or shape[0] == shape[1]:
        raise ValueError(f"{doubt}. Say it: {' or '.join(f'--axes {name}' for name in AXES)}")
    text.note(f"{doubt}; taken as [{default}] (--axes)")
    return AXES[default]


def shape_of(files: Files, shapes: Sequence[tuple[int, ...]], axis: int) -> Shape:
    """Sizes of the features of a video.

    Args:
      files: of the video.
      shapes: of their arrays.
      axis: of the crops in an array of three dimensions.

    Raises:
      ValueError: files of single crops that are not alike.
    """
    # One file: [rows, columns], or with the axis of the crops before the rows or after them
    if len(files) == 1:
        *outer, columns = shapes[0]
        crops, rows = (1, *outer) if len(outer) == 1 else outer[:: -1 if axis else 1]
        return Shape(crops, rows, columns)
    # A file for each crop: all are [rows, columns]
    for path, shape in zip(files, shapes, strict=True):
        if len(shape) != 2 or shape != shapes[0]:
            raise ValueError(
                f"{path}: {list(shape)}; expected [rows, columns] of one crop, alike for all crops "
                f"of a video, as {files[0].name} with {list(shapes[0])}"
            )
    return Shape(len(files), *shapes[0])


def read_array(path: pathlib.Path, axis: int | None = None) -> np.ndarray:
    """One feature file, float32 [crops, rows, columns]; a file [rows, columns] has one crop.

    Args:
      path: path of the file.
      axis: axis of the crops in an array of three dimensions; None: by the array's own sizes.

    Raises:
      ValueError: not an array of numbers of such a shape, pickled code, a truncated file, values
        that are NaN or infinite; or `axis` is None and the sizes do not tell.
    """
    if path.suffix == ".txt":
        array = _load_text(path)
    else:
        raw_shape(path)  # a header that promises more than the file has is refused unread
        array = arrays.read_npy(path)
    if axis is None:
        axis = crops_axis([array.shape], None, path)
    # What is too large for float32 becomes infinite, and is refused as that
    with np.errstate(over="ignore"):
        array = array.astype(np.float32)
    if bad := array.size - np.isfinite(array).sum():
        raise ValueError(f"{path}: {bad:,} of {array.size:,} values are NaN or infinite")
    return array[None] if array.ndim == 2 else np.moveaxis(array, axis, 0)


def read_video(files: Files, axis: int | None = None) -> np.ndarray:
    """The features of a video from its file, or its files of one crop each.

    Returns:
      float32 [crops, rows, columns].

    Raises:
      ValueError: as `read_array` and `shape_of`.
    """
    if len(files) > 1:
        shape_of(files, [raw_shape(path) for path in files], 0)
    return np.concatenate([read_array(path, axis) for path in files])


def read_settings(folder: pathlib.Path) -> dict | None:
    """How the features of a folder were made, or None where that is not known.

    Raises:
      ValueError: the file that says it cannot be read.
    """
    path = folder / SETTINGS
    if not path.exists():
        return None
    try:
        return json_files.read(path, dict)
    except ValueError as error:
        reason = str(error).removeprefix(f"{path}: ")
        raise ValueError(f"{path}: not a JSON object ({reason}); extract again") from error
