"""Bags: one video's snippet features with its video-level label."""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial

import grain
import numpy as np

from vadjax.data.scored_video import ScoredVideo
from vadjax.data.segments import frame_labels
from vadjax.data.store import loader
from vadjax.data.store.records import MEND, Dataset, Description
from vadjax.formats.names import check_name
from vadjax.runtime import space

KIND = "features"
UNKNOWN_LENGTH = -1
MAX_FRAMES = 20_000_000  # of a video
FRAME_BYTES = 60  # of memory that a frame takes while figures are computed
LITTLE = 3 << 28  # bytes of memory that the frames of any split may take: 13 million frames
USUAL_RATIO = 200  # a larger split may take this many times the bytes of its shards


@dataclasses.dataclass(frozen=True)
class Bag(ScoredVideo):
    """One video as a bag of snippets.

    Attributes:
      video: name, unique within a test split.
      label: 1 if the video holds an anomaly, else 0.
      class_name: class of the anomaly, or the name of the normal class.
      num_frames: length of the video, frames; -1 if unknown (in training splits only).
      intervals: anomalous frames, int32 [n, 2], `[start, stop)`; empty in training splits.
      features: float32 [C, S, D].
    """

    video: str
    label: int
    class_name: str
    num_frames: int
    intervals: np.ndarray
    features: np.ndarray

    @property
    def name(self) -> str:
        """Name of the video."""
        return self.video

    @property
    def frame_labels(self) -> np.ndarray:
        """Labels of the frames, uint8 [num_frames]."""
        return frame_labels(self.intervals, self.num_frames)

    def to_example(self) -> dict:
        """The record of this bag, as the builder writes it."""
        return {
            **dataclasses.asdict(self),
            "intervals": np.asarray(self.intervals, np.int32).reshape(-1, 2),
            "features": np.asarray(self.features, np.float32),
        }


def tfds_features(width: int) -> dict:
    """TFDS feature connectors of a bag whose features have `width` columns."""
    import tensorflow_datasets as tfds  # only writers need it

    return {
        "video": tfds.features.Text(),
        "label": tfds.features.Scalar(np.int64),
        "class_name": tfds.features.Text(),
        "num_frames": tfds.features.Scalar(np.int64),
        "intervals": tfds.features.Tensor(shape=(None, 2), dtype=np.int32),
        "features": tfds.features.Tensor(
            shape=(None, None, width), dtype=np.float32, encoding=tfds.features.Encoding.BYTES
        ),
    }


class Bags(Sequence):
    """The bags of a split, read on access.

    Args:
      data: dataset of kind `"features"`.
      split: name of the split.
      modality: `"TWO"` for all columns, or the name of one stream of the manifest in capitals
        (`"RGB"`, `"FLOW"`).
      label: keep only the bags of this label.
      chosen: which of the bags of this label to keep; needs `label`.

    Raises:
      ValueError: no such split or modality, or no bag of that label.

    Attributes:
      label: folder and split of the bags, for messages.
    """

    def __init__(
        self,
        data: Dataset,
        split: str,
        modality: str = "TWO",
        label: int | None = None,
        chosen: slice = slice(None),
    ):
        self._records, self.label = data.records(split), f"{data.folder} ({split})"
        # The columns of the streams that are read, and the width that every record must have.
        self._columns = stream_columns(data, modality)
        self._width = sum(data.manifest["streams"].values())
        # What records are checked against: the labels of the manifest, and the size of the shards.
        self._labels = bytes.fromhex(data.splits[split]["labels"])
        self._bytes = sum(shard["bytes"] for shard in data.splits[split]["shards"])
        # Of the scored videos read so far: which they are, and their frames.
        self._read: set[int] = set()
        self._frames = 0
        self._indices = np.arange(len(self._records))
        if label is not None:
            self._indices = label_indices(data, split, label)[chosen]

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, index: int) -> Bag:
        number = int(self._indices[index])
        record = self._records[number]
        try:
            return self._bag(record, number)
        except (ValueError, KeyError, AttributeError, IndexError, TypeError) as error:
            raise ValueError(
                f"{self.label}: record {number} is no bag ({error}); {MEND}"
            ) from error

    def _bag(self, record: dict, number: int) -> Bag:
        """The bag of a record.

        Raises:
          ValueError, KeyError, AttributeError, IndexError, TypeError: the record is no bag.
        """
        # Records are input from outside: nothing in them is trusted before it is compared.
        shape = record["features/shape"].tolist()
        if len(shape) != 3 or min(shape) < 1 or shape[2] != self._width:
            raise ValueError(f"features {shape}, expected [crops, rows, {self._width}]")
        features = np.frombuffer(record["features/value"], np.float32).reshape(shape)
        label, num_frames = (_one_number(record, name) for name in ("label", "num_frames"))
        if label != self._labels[number]:
            raise ValueError(f"label {label}, the manifest says {self._labels[number]}")
        intervals = _intervals(record["intervals"], num_frames)
        # A training split does not say how long its videos are; only scored videos are checked.
        if num_frames != UNKNOWN_LENGTH:
            self._check_scored(number, num_frames, features)
        return Bag(
            video=check_name(record["video"].decode(), "its fields"),
            label=label,
            class_name=record["class_name"].decode(),
            num_frames=num_frames,
            intervals=intervals,
            features=features[..., self._columns],
        )

    def _check_scored(self, number: int, num_frames: int, features: np.ndarray) -> None:
        """Raises ValueError if a scored video has features or a number of frames that cannot be."""
        if not (valid := np.isfinite(features)).all():
            invalid = features.size - int(valid.sum())
            raise ValueError(f"{invalid:,} of {features.size:,} features are NaN or infinite")
        # A damaged number of frames must not fill the memory, so the frames of all videos read so
        # far are compared with the size of the shards.
        self._frames += 0 if number in self._read else num_frames
        self._read.add(number)
        if (needed := FRAME_BYTES * self._frames) > max(LITTLE, USUAL_RATIO * self._bytes):
            raise ValueError(
                f"num_frames {num_frames:,}, {self._frames:,} with those of the records before, "
                f"which need {space.size(needed)} of memory, but the shards have "
                f"{space.size(self._bytes)}; expected {USUAL_RATIO} times as much at most"
            )


def _one_number(record: dict, name: str) -> int:
    """The value of a field that holds a single whole number."""
    if (values := record[name]).dtype != np.int64 or len(values) != 1:
        raise ValueError(f"{name} {values!r:.40}, expected one whole number")
    return int(values[0])


def _intervals(bounds: np.ndarray, num_frames: int) -> np.ndarray:
    """Intervals int32 [n, 2] of a record, within the frames of its video."""
    if not 1 <= num_frames <= MAX_FRAMES and num_frames != UNKNOWN_LENGTH:
        raise ValueError(f"num_frames {num_frames}")
    # Every interval `[start, stop)` lies within the video; -1 frames (unknown) allow no interval.
    pairs = bounds.reshape(-1, 2)
    if len(bounds):
        inside = all(0 <= start < stop <= num_frames for start, stop in pairs.tolist())
        if bounds.dtype != np.int64 or not inside:
            raise ValueError(f"intervals {bounds[:8].tolist()} in {num_frames:,} frames")
    return pairs.astype(np.int32)


def scored_bags(data: Dataset, split: str, modality: str) -> Bags:
    """The bags of a split whose frames are scored.

    Raises:
      ValueError: the lengths of its videos are unknown, as in a training split.
    """
    scored = Bags(data, split, modality)
    if scored[0].num_frames == UNKNOWN_LENGTH:
        raise ValueError(
            f"eval.split is {split!r}, which has video-level labels only; frames are scored "
            "in a test split"
        )
    return scored


def label_indices(data: Dataset, split: str, label: int) -> np.ndarray:
    """Positions of the records of `label`, from the manifest; int64 [n].

    Raises:
      ValueError: no record of that label.
    """
    labels = np.frombuffer(bytes.fromhex(data.splits[split]["labels"]), np.uint8)
    indices = np.flatnonzero(labels == label)
    if not len(indices):
        kind = "anomalous" if label else "normal"
        raise ValueError(f"{data.folder}: split {split!r} has no {kind} video; MIL needs both")
    return indices


def training_bags(data: Description, split: str, label: int, held_out: float) -> slice:
    """Which bags of a label are trained on: all but the last ones, which are held out.

    Args:
      data: dataset of kind `"features"`.
      split: name of the split.
      label: 1 for anomalous bags, 0 for normal ones.
      held_out: share of the bags of this label to hold out, in [0, 1).

    Raises:
      ValueError: not a share, or none would be held out, or left.
    """
    count = data.splits[split]["anomalous" if label else "normal"]
    last = round(held_out * count)
    if not 0 <= held_out < 1 or (held_out and not 0 < last < count):
        raise ValueError(
            f"eval.held_out is {held_out}: {last} of {count} bags of label {label} in "
            f"{data.folder}; expected a share of them, at least one of each label, or 0"
        )
    return slice(count - last)


def held_out(data: Dataset, modality: str, share: float) -> Iterator[Bag]:
    """The training bags that `kept` leaves out, normal ones first."""
    for label in (0, 1):
        stop = training_bags(data, "train", label, share).stop
        yield from Bags(data, "train", modality, label, slice(stop, None))


def held_out_figures(scored: Iterable[tuple[int, float]]) -> dict[str, float]:
    """Figures of held-out training videos, which have a label for the whole video only.

    Args:
      scored: label and highest score of every video.

    Returns:
      `auc`: area under the ROC curve of the highest scores.
    """
    from sklearn.metrics import roc_auc_score  # more than a second, 70 MB

    labels, scores = map(np.array, zip(*scored, strict=True))
    return {"auc": float(roc_auc_score(labels, scores))}


def stream_columns(data: Dataset, modality: str) -> slice:
    """Columns of the features that `modality` selects.

    Raises:
      ValueError: the dataset has no such stream.
    """
    streams: Mapping[str, int] = data.manifest["streams"]
    if modality == "TWO":
        return slice(None)
    # The streams stand side by side, in the order of the manifest.
    start = 0
    for name, width in streams.items():
        if name.upper() == modality:
            return slice(start, start + width)
        start += width
    have = ", ".join(f"{name.upper()} ({width})" for name, width in streams.items())
    raise ValueError(
        f"data.modality is {modality!r}; {data.folder} has {have}. TWO takes all columns"
    )


def feature_width(data: Dataset, modality: str = "TWO") -> int:
    """Columns that a bag of `data` has under `modality`."""
    columns = stream_columns(data, modality)
    return len(range(*columns.indices(sum(data.manifest["streams"].values()))))


def paired_bags(
    data: Dataset,
    split: str,
    modality: str,
    pairs: int,
    seed: int,
    shard: loader.Shard,
    features: Callable[[Bag], np.ndarray] | None = None,
    held_out: float = 0.0,
) -> grain.MapDataset:
    """Batches of anomalous and normal bags, each stream in its own seeded order (spec mil §6).

    Every stream is shuffled anew each pass.

    Args:
      data: dataset of kind `"features"`.
      split: name of the split.
      modality: as for `Bags`.
      pairs: bags of each label in the global batch.
      seed: seed of the order.
      shard: this process's share.
      features: bag → its array in the batch: `crop_mean` (if None) or `all_crops`.
      held_out: share of the bags of each label that are left out (`kept`).

    Returns:
      Endless dataset of `{"anomalous": float32 [B, S, D], "normal": float32 [B, S, D]}`, where B
      is this process's share of `pairs`; [B, C, S, D] with `all_crops`.
    """
    streams = []
    for label in (1, 0):
        bags = Bags(data, split, modality, label, training_bags(data, split, label, held_out))
        read = partial(_stacked, bags, features or crop_mean)
        # Each label has its own seed, so that bags are paired anew in every pass.
        order = loader.numbers(len(bags), seed=2 * seed + label)
        streams.append(loader.batches(order, pairs, shard, read))
    return grain.experimental.ZipMapDataset(streams).map(_name_pair)


def _stacked(bags: Bags, take: Callable[[Bag], np.ndarray], chosen: np.ndarray) -> np.ndarray:
    """The arrays that `take` makes of the bags of the chosen numbers, [B, …]."""
    return np.stack([take(bags[number]) for number in chosen])


def _name_pair(pair: tuple) -> dict:
    """The two streams by name, in the order of `paired_bags`."""
    return dict(zip(("anomalous", "normal"), pair, strict=True))


def crop_mean(bag: Bag) -> np.ndarray:
    """Features of a bag averaged over its crops, float32 [S, D]."""
    return bag.features[0] if len(bag.features) == 1 else bag.features.mean(0)


def all_crops(bag: Bag) -> np.ndarray:
    """Features of a bag with all its crops, float32 [C, S, D]."""
    return bag.features


def common_shape(data: Dataset, split: str) -> tuple[int, int]:
    """Numbers of crops C and segments S that every bag of the split has; reads all records.

    Raises:
      ValueError: two bags differ; the message names them.
    """
    records, first = data.records(split), None
    for i in range(len(records)):
        record = records[i]
        video, shape = record["video"].decode(), tuple(map(int, record["features/shape"][:2]))
        first = first or (video, shape)
        if shape != first[1]:
            raise ValueError(
                f"{data.folder}/{split}: {video} has {shape[0]} crops × {shape[1]} segments, "
                f"{first[0]} has {first[1][0]} × {first[1][1]}; bags that are trained on together "
                "must be alike. Prepare the dataset again from features of one kind"
            )
    return first[1]
