"""The files between the stages: names, writing, reading and checks (spec eval §4).

    features/SPLIT/VIDEO.npz               stage 1: features of all volumes of a video
    scales_VERSION.npz                     Z: largest distance of each component in training
    clusters_VERSION/VIDEO.npz             stage 2a: exemplars of a training video
    clusters_VERSION/VIDEO_counts.npz      … and how many volumes each stands for
    exemplars_VERSION_merged.npz           stage 2b: the model of the scene
    anomaly_scores_VERSION/VIDEO.npy       stage 3: float32 [frames, rows, columns]
    anomaly_scores_VERSION/VIDEO_detail.npz      … of the volumes: score, nearest, terms
    anomaly_scores_VERSION/SPLIT/VIDEO.npy …     the same of a split that is not `test`
    held_out_VERSION.npz                   scores of training videos by exemplars of the others
    region_bbox_fpr.npy …                  stage 4: curves, as `vadjax.metrics.region` writes them
    viz/VERSION/VIDEO/FRAME.png            stage 3b: marked frames

Every `.npz` records in `meta` (JSON) the data and settings that it was made with; a file that was
made with others is refused. Files are written under another name and renamed, so that a
half-written one is never read.
"""

import json
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from vadjax.data.cameras import ONE
from vadjax.data.clips import Video
from vadjax.formats import json_files
from vadjax.ops.distance import Exemplars
from vadjax.runtime import layout
from vadjax.scores.files import read_arrays
from vadjax.system import Cache
from vadjax.systems.exemplar.model import READABLE

FORMAT = 1  # version of the files; a change that makes old files unreadable adds one
TEST = "test"
MEND = "Remove these files (and those of later stages) to make them anew, or give the same settings"


class StageFiles:
    """The files of the stages of one camera: their places, writing and reading.

    Args:
      cache: of the run.
      version: `model.version`, which is part of most names.
      camera: name of the camera.
      features: folder of the features of stage 1; "" is the folder in the run.
    """

    def __init__(self, cache: Cache, version: str, camera: str = ONE, features: str = ""):
        self._cache, self._version, self._features = cache, version, features
        self._ending = "" if camera == ONE else f"_{camera}"

    @property
    def folder(self) -> pathlib.Path:
        """The folder of all files: the workdir, or a temporary folder."""
        return self._cache.folder

    def path(self, name: str, *below: str) -> pathlib.Path:
        """Path of a file or folder of a stage; fills in `{version}` and `{camera}` in its name."""
        filled = name.format(version=self._version, camera=self._ending)
        return self.folder.joinpath(filled, *below)

    def features(self, video: Video) -> pathlib.Path:
        """File of stage 1 of a video."""
        folder = pathlib.Path(self._features or self.path(layout.FEATURES))
        return folder / video.split / f"{video.name}.npz"

    @property
    def scales(self) -> pathlib.Path:
        """File of Z, the scales of the components."""
        return self.path("scales_{version}{camera}.npz")

    def clusters(self, video: str) -> tuple[pathlib.Path, pathlib.Path]:
        """Files of stage 2a of a training video: exemplars, and their counts.

        The stage is complete if the first one exists.
        """
        folder = self.path(layout.CLUSTERS)
        return folder / f"{video}.npz", folder / f"{video}_counts.npz"

    def write_clusters(
        self, video: str, found: Exemplars, own: Mapping[str, np.ndarray], meta: Mapping
    ) -> None:
        """Writes the files of stage 2a: the counts first, then the exemplars, which complete it.

        Args:
          video: name of the training video.
          found: its exemplars.
          own: their features and times, by name.
          meta: all that they depend on.
        """
        path, counts = self.clusters(video)
        self.write(counts, {"count": found.count}, meta)
        self.write(path, {**own, "offsets": found.offsets, "index": found.index}, meta)

    def read_clusters(self, video: str, meta: Mapping) -> tuple[Exemplars, dict[str, np.ndarray]]:
        """Reads what `write_clusters` wrote.

        Raises:
          FileNotFoundError, ValueError: as `read`; also if the arrays do not fit together.
        """
        path, counts_path = self.clusters(video)
        arrays = read(path, meta, MEND, (*READABLE, "source_t", "offsets", "index"))
        counts = read(counts_path, meta, MEND, ("count",))
        # All arrays must be of the same exemplars.
        total = arrays["index"].size
        check_lengths(path, arrays, dict.fromkeys((*READABLE, "source_t", "index"), (total,)))
        check_lengths(counts_path, counts, {"count": (total,)})
        check_offsets(path, arrays["offsets"], total)
        return Exemplars(arrays.pop("offsets"), arrays.pop("index"), counts["count"]), arrays

    @property
    def merged(self) -> pathlib.Path:
        """File of stage 2b: the model."""
        return self.path("exemplars_{version}_merged{camera}.npz")

    @property
    def held_out(self) -> pathlib.Path:
        """File of the scores of training videos by the exemplars of others."""
        return self.path("held_out_{version}{camera}.npz")

    def merged_cameras(self) -> list[str]:
        """Names of the cameras whose models the folder holds, sorted."""
        start = f"exemplars_{self._version}_merged"
        names = [path.stem.removeprefix(start) for path in self.folder.glob(f"{start}*.npz")]
        return sorted(name.removeprefix("_") or ONE for name in names)

    def scores(self, video: Video) -> tuple[pathlib.Path, pathlib.Path]:
        """Files of stage 3 of a video: scores of its volumes, and of its frames."""
        folder = self.path("anomaly_scores_{version}")
        if video.split != TEST:  # videos of two splits may have the same name
            folder = folder / video.split
        return folder / f"{video.name}_detail.npz", folder / f"{video.name}.npy"

    def write(self, path: pathlib.Path, arrays: Mapping[str, np.ndarray], meta: Mapping) -> None:
        """Writes arrays and `meta` as one `.npz`, atomically."""
        text = json.dumps({"format": FORMAT, **meta}, sort_keys=True)
        self._cache.write_arrays(path, {**arrays, "meta": np.array(text)})

    def write_array(self, path: pathlib.Path, array: np.ndarray) -> None:
        """Writes one array as `.npy`, atomically."""
        self._cache.write_array(path, array)


def read(
    path: pathlib.Path, meta: Mapping, mend: str, names: Sequence[str]
) -> dict[str, np.ndarray]:
    """The arrays of a stage file that was made with `meta`.

    Args:
      path: the `.npz`.
      meta: data and settings that it must have been made with; its other fields are not compared.
      mend: advice in the message about a file that was made with others.
      names: names of the arrays that it must have.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: the file is damaged, lacks one of the arrays, or has numbers that are not finite;
        or it was made with other data or settings: the message gives both values.
    """
    try:
        arrays = read_arrays(path)
    except ValueError as error:
        raise ValueError(f"{error}. Remove it to make it anew") from error
    # The file's own fields, and those that it must have; all differences go into the message.
    actual, expected = read_meta(path, arrays), _plain({"format": FORMAT, **meta})
    differ = [
        f"{name} {_short(actual.get(name, 'unknown'))} there, {_short(value)} here"
        for name, value in expected.items()
        if actual.get(name, None) != value
    ]
    if differ:
        raise ValueError(f"{path}: made with {'; '.join(differ)}. {mend}")
    for name in names:
        _check_numbers(path, name, arrays.get(name))
    return arrays


def _check_numbers(path: pathlib.Path, name: str, array: np.ndarray | None) -> None:
    """Raises ValueError unless an array of a stage file exists and holds finite numbers."""
    if array is None:
        wrong = f"no array {name!r}"
    elif array.dtype.kind not in "fiu":
        wrong = f"{name} is {array.dtype}, expected numbers"
    elif bad := array.size - int(np.isfinite(array).sum()):
        wrong = f"{name}: {bad:,} of {array.size:,} values are NaN or infinite"
    else:
        return
    raise ValueError(f"{path}: {wrong}. Remove it to make it anew")


def check_lengths(path: pathlib.Path, arrays: Mapping[str, np.ndarray], lengths: Mapping) -> None:
    """Checks the leading axes of the arrays of a stage file.

    Args:
      path: of the file, for messages.
      arrays: by name.
      lengths: name of an array → expected lengths of its first axes; others may follow.

    Raises:
      ValueError: a length differs; the message names the file and the array.
    """
    for name, sides in lengths.items():
        if arrays[name].shape[: len(sides)] != tuple(sides):
            raise ValueError(
                f"{path}: {name} is {list(arrays[name].shape)}, expected {[*sides, '…']}. Remove "
                "it to make it anew"
            )


def check_offsets(path: pathlib.Path, offsets: np.ndarray, total: int) -> None:
    """Raises ValueError unless offsets divide `total` exemplars into regions that all have some."""
    # Offsets rise from 0 to the total, so that every region has at least one exemplar.
    is_list = offsets.ndim == 1 and len(offsets) > 1 and offsets.dtype.kind in "iu"
    if (
        not is_list
        or offsets[0] != 0
        or offsets[-1] != total
        or (offsets[1:] <= offsets[:-1]).any()
    ):
        raise ValueError(
            f"{path}: offsets {offsets.dtype} {list(offsets.shape)}; expected whole numbers that "
            f"rise from 0 to {total:,}. Remove it to make it anew"
        )


def read_meta(path: pathlib.Path, arrays: dict[str, np.ndarray]) -> dict:
    """Removes `meta` from the arrays of a file, and returns it parsed.

    Raises:
      ValueError: there is no readable `meta`, so that it is not a stage file.
    """
    try:
        meta = json_files.parse(str(arrays.pop("meta")), path)
        json_files.check_fields(meta, dict, path)
        return meta
    except (KeyError, ValueError) as error:
        raise ValueError(f"{path}: not a file of a stage (no readable `meta`)") from error


def _plain(value):
    """A value as it comes back from JSON: tuples become lists."""
    return json.loads(json.dumps(value))


def _short(value) -> str:
    """A value as text of at most 80 characters."""
    text = json.dumps(value)
    return text if len(text) <= 80 else f"{text[:77]}…"
