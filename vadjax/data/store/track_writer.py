"""Writing a dataset of tracks (`vadjax.data.tracks`): one record for each video."""

import dataclasses
import pathlib
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from vadjax.data.store import builder, manifest
from vadjax.data.tracks import COLUMNS, KIND, ROWS, wrong_with
from vadjax.formats.names import check_name


@dataclasses.dataclass(frozen=True)
class VideoTracks:
    """The tracks of a video.

    Attributes:
      name: name, unique in its split.
      frames: number of frames of the video.
      rows: float64 [n, 6] (`vadjax.data.tracks.COLUMNS`), by frame and then by track.
      labels: uint8 [frames], 1 = anomalous; None if unknown.

    Raises:
      ValueError: a name that cannot be that of a file, rows that cannot be, or another number of
        labels than frames.
    """

    name: str
    frames: int
    rows: np.ndarray
    labels: np.ndarray | None = None

    def __post_init__(self):
        check_name(self.name, "tracks")
        if problem := wrong_with(self.rows, self.frames):
            raise ValueError(f"video {self.name}: {problem}")
        if self.labels is not None and len(self.labels) != self.frames:
            raise ValueError(
                f"video {self.name}: {len(self.labels):,} labels for {self.frames:,} frames; each "
                "frame needs one"
            )


def write_tracks(
    out: str | pathlib.Path,
    splits: Mapping[str, Sequence[VideoTracks]],
    *,
    name: str,
    size: tuple[int, int],
    fps: float | None = None,
    file_format: str = "array_record",
    shards: int | None = None,
    extra: Mapping | None = None,
) -> dict:
    """Writes a dataset of tracks and returns its manifest.

    Args:
      out: folder to make; must not exist.
      splits: split name → its videos.
      name: name of the set, shown in reports.
      size: (H, W) of the frames, in whose pixels the boxes are.
      fps: frames a second of all videos; None if unknown.
      file_format: `"array_record"` or `"tfrecord"`.
      shards: shards per split; None lets TFDS choose by size.
      extra: more entries for the manifest.

    Raises:
      FileExistsError: `out` exists.
      ValueError: two videos of one name, a split without any, or `fps` is out of its range.
    """
    if fps is not None:
        manifest.check_fps(fps, "--fps")
    for split, videos in splits.items():
        names = [video.name for video in videos]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"split {split!r} has two videos named {twice[0]!r}")
    rate = {} if fps is None else {"fps": float(fps)}
    return builder.write_dataset(
        out,
        name=name,
        kind=KIND,
        features=tfds_features(),
        splits={split: _examples(videos) for split, videos in splits.items()},
        file_format=file_format,
        shards=shards,
        extra={"size": list(size), **rate, **(extra or {})},
        notes={split: TrackNotes(videos) for split, videos in splits.items()},
    )


def tfds_features() -> dict:
    """TFDS feature connectors of a video; the rows are stored as bytes of float64."""
    import tensorflow_datasets as tfds  # only writers need it

    as_bytes = tfds.features.Encoding.BYTES
    shape = (None, len(COLUMNS))
    return {
        "video": tfds.features.Text(),
        ROWS: tfds.features.Tensor(shape=shape, dtype=np.float64, encoding=as_bytes),
    }


class TrackNotes:
    """What the manifest says of a split.

    Args:
      videos: of the split, in the order of the records.
    """

    def __init__(self, videos: Sequence[VideoTracks]):
        self._videos = videos

    def add(self, example: Mapping) -> None:
        """Does nothing: the videos are known beforehand."""

    def entries(self) -> dict:
        """Counts, and the list of videos; labels have two hexadecimal digits for each frame."""
        labelled = [video.labels for video in self._videos if video.labels is not None]
        anomalous = sum(int(labels.sum()) for labels in labelled)
        known = sum(map(len, labelled))
        frames = sum(video.frames for video in self._videos)
        return {
            "records": len(self._videos),
            "anomalous": anomalous,
            "normal": known - anomalous,
            "unlabelled": frames - known,
            "videos": [
                {
                    "name": video.name,
                    "frames": video.frames,
                    "boxes": len(video.rows),
                    "labels": None if video.labels is None else bytes(video.labels).hex(),
                }
                for video in self._videos
            ],
        }

    def files(self) -> dict[str, bytes]:
        """No files beside the shards."""
        return {}


def _examples(videos: Sequence[VideoTracks]) -> Iterator[dict]:
    for video in videos:
        yield {"video": video.name, ROWS: np.asarray(video.rows, np.float64)}
