"""Files of features: where those of a video are, how they are read, how they were made."""

import dataclasses
import json
import pathlib
import warnings

import numpy as np

SETTINGS = "settings.json"  # beside the files; data_prep.extract_features writes it


@dataclasses.dataclass(frozen=True)
class Features:
    """The feature files of a folder: where a video's are and how they are read.

    Attributes:
      folder: the folder given by the user.
      layout: `"two-stream"`, `"npy"` or `"text"`.
    """

    folder: pathlib.Path
    layout: str

    @property
    def streams(self) -> dict[str, str]:
        """Name of every stream → its folder and ending."""
        if self.layout == "two-stream":
            return {"rgb": "all_rgbs/{}.mp4.npy", "flow": "all_flows/{}.mp4.npy"}
        return {"features": "{}.npy" if self.layout == "npy" else "{}.txt"}

    def paths(self, video: str) -> list[pathlib.Path]:
        """Files of a video, CLASS/NAME with or without .mp4; one a stream."""
        name = video.removesuffix(".mp4")
        return [self.folder / pattern.format(name) for pattern in self.streams.values()]


def find_features(folder: pathlib.Path) -> Features:
    """Recognises the layout of a folder of feature files.

    Raises:
      FileNotFoundError: no such folder, or none of the layouts.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder of features (--features)")
    if (folder / "all_rgbs").is_dir() or (folder / "all_flows").is_dir():
        return Features(folder, "two-stream")
    for layout, pattern in (("npy", "*/*.npy"), ("text", "*/*.txt")):
        if next(folder.glob(pattern), None):
            return Features(folder, layout)
    raise FileNotFoundError(
        f"{folder}: found neither all_rgbs/ and all_flows/ nor CLASS/NAME.npy nor CLASS/NAME.txt"
    )


def read_array(path: pathlib.Path) -> np.ndarray:
    """One feature file, float32 [crops, rows, D]; a file [rows, D] has one crop.

    Raises:
      ValueError: not an array of numbers of such a shape, a pickle, truncated, NaN or infinite.
    """
    try:
        if path.suffix == ".txt":
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # of empty files; the shape tells
                array = np.loadtxt(path, np.float32, ndmin=2)
        else:
            with path.open("rb") as file:
                array = np.lib.format.read_array(file, allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise ValueError(f"{path}: not a readable array ({error}); extract it again") from error
    if array.ndim not in (2, 3) or not array.size or array.dtype.kind not in "fiu":
        raise ValueError(
            f"{path}: {array.dtype} {array.shape}; expected float [rows, columns] or "
            "[crops, rows, columns]"
        )
    with np.errstate(over="ignore"):
        array = array.astype(np.float32)
    bad = array.size - np.isfinite(array).sum()
    if bad:
        raise ValueError(f"{path}: {bad:,} of {array.size:,} values are NaN or infinite")
    return array if array.ndim == 3 else array[None]


def read_settings(folder: pathlib.Path) -> dict | None:
    """How the features of a folder were made, or None where that is not known.

    Raises:
      ValueError: the file that says it cannot be read.
    """
    path = folder / SETTINGS
    if not path.is_file():
        return None
    try:
        return dict(json.loads(path.read_text()))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path}: not a JSON object ({error}); extract again") from error
