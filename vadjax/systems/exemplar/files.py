"""The files between the stages: what a folder holds, writing, reading, and refusing (spec eval §4).

    features/SPLIT/VIDEO.npz               stage 1: features of all volumes of a video
    scales_VERSION.npz                     Z: largest distance of each component in training
    clusters_VERSION/VIDEO.npz             stage 2a: exemplars of a training video
    clusters_VERSION/VIDEO_counts.npz      … and how many volumes each stands for
    exemplars_VERSION_merged.npz           stage 2b: the model of the scene
    anomaly_scores_VERSION/VIDEO.npy       stage 3: float32 [frames, rows, columns]
    anomaly_scores_VERSION/VIDEO_detail.npz      … of the volumes: score, nearest, terms
    anomaly_scores_VERSION/SPLIT/VIDEO.npy …     the same of a split that is not `test`
    region_bbox_fpr.npy …                  stage 4: curves, as `vadjax.metrics.region` writes them
    viz/VERSION/VIDEO/FRAME.png            stage 3b: marked frames

Every `.npz` says in `meta` (JSON) with what it was made; a file that was made with something else
is refused. Files are written under another name and renamed, so a half-written one is never read.
"""

import json
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from vadjax.data.clips import Video
from vadjax.formats import json_files
from vadjax.ops.distance import Exemplars
from vadjax.scores.files import read_arrays
from vadjax.system import Cache
from vadjax.systems.exemplar.cameras import ONE
from vadjax.systems.exemplar.model import READABLE

FORMAT = 1  # of the files; a change that old files do not survive adds one
TEST = "test"
MEND = "Remove these files (and those of later stages) to make them anew, or give the same settings"


class StageFiles:
    """The files of the stages of one camera: where they are, and writing them.

    Args:
      cache: of the run.
      version: `model.version`, which is in most names.
      camera: name of the camera.
      features: folder of the features of stage 1; "" is that of the run.
    """

    def __init__(self, cache: Cache, version: str, camera: str = ONE, features: str = ""):
        self._cache, self._version, self._features = cache, version, features
        self._ending = "" if camera == ONE else f"_{camera}"

    @property
    def folder(self) -> pathlib.Path:
        """Where they lie: the workdir, or a temporary folder."""
        return self._cache.folder

    def path(self, name: str, *below: str) -> pathlib.Path:
        """A file or folder of a stage; `{version}` and `{camera}` in its name are filled in."""
        filled = name.format(version=self._version, camera=self._ending)
        return self.folder.joinpath(filled, *below)

    def features(self, video: Video) -> pathlib.Path:
        """Stage 1 of a video."""
        folder = pathlib.Path(self._features or self.path("features"))
        return folder / video.split / f"{video.name}.npz"

    @property
    def scales(self) -> pathlib.Path:
        """Z of the components."""
        return self.path("scales_{version}{camera}.npz")

    def clusters(self, video: str) -> tuple[pathlib.Path, pathlib.Path]:
        """Stage 2a of a training video: exemplars, by which it is complete, and their counts."""
        folder = self.path("clusters_{version}")
        return folder / f"{video}.npz", folder / f"{video}_counts.npz"

    def write_clusters(
        self, video: str, found: Exemplars, own: Mapping[str, np.ndarray], meta: Mapping
    ) -> None:
        """Writes stage 2a: first the counts, then the exemplars, by which it is complete."""
        path, counts = self.clusters(video)
        self.write(counts, {"count": found.count}, meta)
        self.write(path, {**own, "offsets": found.offsets, "index": found.index}, meta)

    def read_clusters(self, video: str, meta: Mapping) -> tuple[Exemplars, dict[str, np.ndarray]]:
        """What `write_clusters` wrote.

        Raises:
          FileNotFoundError, ValueError: as `read`; or arrays that do not belong together.
        """
        path, counts_path = self.clusters(video)
        own = read(path, meta, MEND, (*READABLE, "source_t", "offsets", "index"))
        counts = read(counts_path, meta, MEND, ("count",))
        total = own["index"].size
        check_lengths(path, own, dict.fromkeys((*READABLE, "source_t", "index"), (total,)))
        check_lengths(counts_path, counts, {"count": (total,)})
        check_offsets(path, own["offsets"], total)
        return Exemplars(own.pop("offsets"), own.pop("index"), counts["count"]), own

    @property
    def merged(self) -> pathlib.Path:
        """Stage 2b: the model."""
        return self.path("exemplars_{version}_merged{camera}.npz")

    def merged_cameras(self) -> list[str]:
        """Names of the cameras whose models the folder holds, sorted."""
        start = f"exemplars_{self._version}_merged"
        names = [path.stem.removeprefix(start) for path in self.folder.glob(f"{start}*.npz")]
        return sorted(name.removeprefix("_") or ONE for name in names)

    def scores(self, video: Video) -> tuple[pathlib.Path, pathlib.Path]:
        """Stage 3 of a video: scores of its volumes, by which it is complete, and of its frames."""
        folder = self.path("anomaly_scores_{version}")
        if video.split != TEST:  # videos of two splits may have the same name
            folder = folder / video.split
        return folder / f"{video.name}_detail.npz", folder / f"{video.name}.npy"

    def write(self, path: pathlib.Path, arrays: Mapping[str, np.ndarray], meta: Mapping) -> None:
        """Writes arrays and `meta` as one `.npz`, in one move."""
        text = json.dumps({"format": FORMAT, **meta}, sort_keys=True)
        self._cache.write_arrays(path, {**arrays, "meta": np.array(text)})

    def write_array(self, path: pathlib.Path, array: np.ndarray) -> None:
        """Writes one array as `.npy`, in one move."""
        self._cache.write_array(path, array)


def read(
    path: pathlib.Path, meta: Mapping, mend: str, names: Sequence[str]
) -> dict[str, np.ndarray]:
    """The arrays of a stage file that was made with `meta`.

    Args:
      path: the `.npz`.
      meta: what it must have been made with; fields that are not named may be anything.
      mend: what to do about one that was made with something else.
      names: of the arrays that it must have.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: damaged, without one of the arrays, or with numbers in one that are not finite;
        or made with something else: the message gives both values.
    """
    try:
        arrays = read_arrays(path)
    except ValueError as error:
        raise ValueError(f"{error}. Remove it to make it anew") from error
    found, wanted = read_meta(path, arrays), _plain({"format": FORMAT, **meta})
    differ = [
        f"{name} {_short(found.get(name, 'unknown'))} there, {_short(value)} here"
        for name, value in wanted.items()
        if found.get(name, None) != value
    ]
    if differ:
        raise ValueError(f"{path}: made with {'; '.join(differ)}. {mend}")
    for name in names:
        _check_numbers(path, name, arrays.get(name))
    return arrays


def _check_numbers(path: pathlib.Path, name: str, array: np.ndarray | None) -> None:
    """Raises ValueError unless an array of a stage file is there and holds finite numbers."""
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
    """Compares the first sides of the arrays of a stage file with those that they must have.

    Args:
      path: of the file, for messages.
      arrays: by name.
      lengths: name → first sides of its shape; others may follow.

    Raises:
      ValueError: one differs; names the file and the array.
    """
    for name, sides in lengths.items():
        if arrays[name].shape[: len(sides)] != tuple(sides):
            raise ValueError(
                f"{path}: {name} is {list(arrays[name].shape)}, expected {[*sides, '…']}. Remove "
                "it to make it anew"
            )


def check_offsets(path: pathlib.Path, offsets: np.ndarray, total: int) -> None:
    """Raises ValueError unless the offsets of a stage file part `total` exemplars into regions."""
    parted = offsets.ndim == 1 and len(offsets) > 1 and offsets.dtype.kind in "iu"
    if not parted or offsets[0] != 0 or offsets[-1] != total or (offsets[1:] <= offsets[:-1]).any():
        raise ValueError(
            f"{path}: offsets {offsets.dtype} {list(offsets.shape)}; expected whole numbers that "
            f"rise from 0 to {total:,}. Remove it to make it anew"
        )


def read_meta(path: pathlib.Path, arrays: dict[str, np.ndarray]) -> dict:
    """Takes `meta` out of the arrays of a file.

    Raises:
      ValueError: there is none, so it is no stage file.
    """
    try:
        meta = json_files.parse(str(arrays.pop("meta")), path)
        json_files.check_fields(meta, dict, path)
        return meta
    except (KeyError, ValueError) as error:
        raise ValueError(f"{path}: not a file of a stage (no readable `meta`)") from error


def _plain(value):
    """As it comes back from JSON: tuples as lists."""
    return json.loads(json.dumps(value))


def _short(value) -> str:
    text = json.dumps(value)
    return text if len(text) <= 80 else f"{text[:77]}…"
