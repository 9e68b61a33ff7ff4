"""Writing a dataset of objects: one record each, with the teachers' outputs (spec ssmtl §5).

The frames stay in their own dataset, which the manifest names together with its digest. The boxes
lie beside the shards as text, `boxes/SPLIT/VIDEO.csv`; row i belongs to the video's i-th record.
"""

import dataclasses
import pathlib
from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from vadjax.data.objects import KIND, OUTPUTS
from vadjax.data.store import builder
from vadjax.data.store.frame_writer import box_table
from vadjax.data.store.records import Dataset
from vadjax.data.video.boxes import BOX_COLUMNS
from vadjax.formats.names import check_name


@dataclasses.dataclass(frozen=True)
class VideoObjects:
    """The objects of a video, by frame and, within a frame, by falling score.

    Attributes:
      name: name of the video.
      frames: number of frames of the video.
      boxes: float32 [n, 6] (`boxes.BOX_COLUMNS`), in pixels of the source frame.
      detector: class outputs of the detector before the last activation, float [n, K].
      classifier: class outputs of the classifier likewise, float [n, M]. K and M may be 0.

    Raises:
      ValueError: a name that cannot be that of a file, not as many outputs as boxes, another
        order, or numbers that are not finite.
    """

    name: str
    frames: int
    boxes: np.ndarray
    detector: np.ndarray
    classifier: np.ndarray

    def __post_init__(self):
        check_name(self.name, "objects")
        # The order is that of a stable sort, so that row i of the text is record i.
        count, order = len(self.boxes), np.lexsort((-self.boxes[:, 5], self.boxes[:, 0]))
        if (order != np.arange(count)).any():
            raise ValueError(f"video {self.name}: objects not in the order of frame and score")
        if count and not 0 <= self.boxes[0, 0] <= self.boxes[-1, 0] < self.frames:
            raise ValueError(f"video {self.name}: boxes of frames that it has not")
        for field in ("boxes", *OUTPUTS):
            rows = getattr(self, field)
            if len(rows) != count:
                raise ValueError(
                    f"video {self.name}: {len(rows)} rows of {field} for {count} boxes"
                )
            if not np.isfinite(rows).all():
                raise ValueError(f"video {self.name}: {field} holds NaN or infinite numbers")


def write_objects(
    out: str | pathlib.Path,
    splits: Mapping[str, Iterable[VideoObjects]],
    *,
    name: str,
    frames: Dataset,
    detector: Mapping,
    outputs: Mapping[str, int],
    teachers: Mapping,
    every: int = 1,
    file_format: str = "array_record",
    shards: int | None = None,
) -> dict:
    """Writes a dataset of objects and returns its manifest.

    Args:
      out: folder to make; must not exist.
      splits: split name → objects of its videos, in the order of `frames`; may be a generator.
      name: name of the set, shown in reports.
      frames: dataset of the frames.
      detector: settings of the detector that found the boxes.
      outputs: `"detector"` and `"classifier"` → number of class outputs of an object.
      teachers: `"detector"` and `"classifier"` → the network whose outputs they are.
      every: frames of the training split from one with objects to the next.
      file_format: `"array_record"` or `"tfrecord"`.
      shards: shards per split; None lets TFDS choose by size.

    Returns:
      The manifest.

    Raises:
      FileExistsError: `out` exists.
      ValueError: objects that cannot be used, or a split without any.
    """
    import tensorflow_datasets as tfds  # only writers need it

    tfds.disable_progress_bar()  # the program that finds the objects has its own
    # The manifest names the frames by their digest, so that objects of other frames are refused.
    notes = {split: ObjectNotes(split) for split in splits}
    source = {"name": frames.name, "digest": frames.digest, "folder": str(frames.folder.absolute())}
    return builder.write_dataset(
        out,
        name=name,
        kind=KIND,
        features=tfds_features(),
        splits={split: _examples(videos, notes[split]) for split, videos in splits.items()},
        file_format=file_format,
        shards=shards,
        extra={
            "frames": source,
            "detector": dict(detector),
            "outputs": dict(outputs),
            "teachers": dict(teachers),
            "every": every,
        },
        notes=notes,
    )


def tfds_features() -> dict:
    """TFDS feature connectors of an object; class outputs are stored as bytes of float16."""
    import tensorflow_datasets as tfds  # only writers need it

    as_bytes = tfds.features.Encoding.BYTES
    outputs = tfds.features.Tensor(shape=(None,), dtype=np.float16, encoding=as_bytes)
    return {
        "video": tfds.features.Text(),
        "frame": tfds.features.Scalar(np.int64),
        **dict.fromkeys(OUTPUTS, outputs),
    }


class ObjectNotes:
    """Collects the videos of a split for the manifest, and their boxes as text.

    Args:
      split: name of the split.
    """

    def __init__(self, split: str):
        self.split = split
        self._videos: list[dict] = []
        self._files: dict[str, bytes] = {}

    def start(self, video: VideoObjects) -> None:
        """Begins the next video, which may have no object."""
        count = len(video.boxes)
        self._videos.append({"name": video.name, "frames": video.frames, "objects": count})
        self._files[f"boxes/{self.split}/{video.name}.csv"] = box_table(video.boxes)

    def add(self, example: Mapping) -> None:
        """Does nothing: objects are counted video by video."""

    def entries(self) -> dict:
        """Count of the objects and the list of videos."""
        records = sum(video["objects"] for video in self._videos)
        return {"records": records, "videos": self._videos}

    def files(self) -> dict[str, bytes]:
        """Boxes of all videos."""
        return self._files


def _examples(videos: Iterable[VideoObjects], notes: ObjectNotes) -> Iterator[dict]:
    """The records of a split, object by object."""
    for video in videos:
        notes.start(video)
        outputs = [getattr(video, name).astype(np.float16) for name in OUTPUTS]
        frames = video.boxes[:, BOX_COLUMNS.index("frame")].astype(np.int64)
        for frame, *values in zip(frames, *outputs, strict=True):
            yield {"video": video.name, "frame": frame, **dict(zip(OUTPUTS, values, strict=True))}
