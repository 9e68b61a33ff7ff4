"""UCF-Crime features → dataset of bags, from the layouts that people have.

    python -m data_prep.ucf_crime --features FOLDER --out data/ucf_crime [--labels WHERE]

`--features FOLDER` is one of (recognised by its content, spec mil §2):
  two-stream   FOLDER/all_rgbs/CLASS/NAME.mp4.npy and FOLDER/all_flows/CLASS/NAME.mp4.npy
  npy          FOLDER/CLASS/NAME.npy, [rows, D], or [crops, rows, D] of several crops
  text         FOLDER/CLASS/NAME.txt, one segment a line (C3D features of the first authors)
`--labels WHERE` is a folder with the four list files (train_normal.txt, train_anomaly.txt,
test_normalv2.txt or test_normal.txt, test_anomalyv2.txt or test_anomaly.txt; spec mil §4) or a
`videos.json`; by default it is looked for in FOLDER and beside it.

With the lists of S3R (NAME.training.csv, NAME.testing.csv) or RTFM (two .list files) instead,
FOLDER holds features [tau, crops, D], VIDEO_i3d.npy or VIDEO.npy in any folders; --truth names the
labels of the test frames (data_prep/bag_labels.py; default: beside the lists). Then --sampling
makes 32 segments of a training video (`linear` as S3R, `mean` as RTFM); test videos keep all
snippets.

Training videos keep their video-level label only. Where FOLDER says how its features were made
(data_prep.extract_features), the manifest says it too, so that new videos can be treated alike.
"""

import dataclasses
import json
import pathlib
import re
import warnings
from collections import Counter
from collections.abc import Iterator

import numpy as np

from data_prep import bags, command
from data_prep.feature_files import Features, find_features, read_array, read_settings
from vadjax.data import builder
from vadjax.data.bags import KIND, UNKNOWN_LENGTH, Bag, tfds_features
from vadjax.data.segments import normalize_rows, pool_clips

LISTS = {
    "train_normal": ("train_normal.txt",),
    "train_anomaly": ("train_anomaly.txt",),
    "test_normal": ("test_normalv2.txt", "test_normal.txt"),
    "test_anomaly": ("test_anomalyv2.txt", "test_anomaly.txt"),
}
NORMAL = "normal"


@dataclasses.dataclass(frozen=True)
class Entry:
    """One line of a list: a video, its label and what is known of its frames."""

    path: str  # CLASS/NAME, as in the list, with or without .mp4
    label: int
    num_frames: int = UNKNOWN_LENGTH
    intervals: tuple[tuple[int, int], ...] = ()  # [start, stop), frames from 0

    @property
    def name(self) -> str:
        """Name of the video without folder and extension."""
        return pathlib.PurePosixPath(self.path).name.removesuffix(".mp4")

    @property
    def class_name(self) -> str:
        """Folder of the video."""
        return pathlib.PurePosixPath(self.path).parent.name


def read_labels(where: pathlib.Path) -> dict[str, list[Entry]]:
    """The entries of the splits `train` and `test`, from list files or `videos.json`.

    Raises:
      FileNotFoundError: neither is there.
      ValueError: a line that cannot be read, with its file and number.
    """
    if where.is_file():
        return read_videos_json(where)
    if (where / "videos.json").is_file():
        return read_videos_json(where / "videos.json")
    return read_lists(where)


def read_lists(folder: pathlib.Path) -> dict[str, list[Entry]]:
    """Entries from the four list files (spec mil §4); repeated names stay repeated."""
    found = {}
    for kind, names in LISTS.items():
        path = next((folder / name for name in names if (folder / name).is_file()), None)
        if path is None:
            raise FileNotFoundError(
                f"{folder}: no {' or '.join(names)} and no videos.json; "
                "name their folder with --labels"
            )
        found[kind] = _read_list(path, kind)
    return {
        "train": found["train_normal"] + found["train_anomaly"],
        "test": found["test_normal"] + found["test_anomaly"],
    }


def _read_list(path: pathlib.Path, kind: str) -> list[Entry]:
    parse = {"test_normal": _parse_test_normal, "test_anomaly": _parse_test_anomaly}.get(kind)
    label, entries = int("anomaly" in kind), []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if not line.strip():
            continue
        try:
            entries.append(parse(line) if parse else Entry(line.strip(), label))
        except ValueError as error:
            raise ValueError(f"{path}:{number}: cannot read {line.strip()!r} ({error})") from error
    return entries


def _parse_test_normal(line: str) -> Entry:
    """`path frames -1`."""
    fields = line.split()
    if len(fields) != 3 or fields[2] != "-1":
        raise ValueError("expected: path frames -1")
    return Entry(fields[0], 0, _positive(fields[1]))


def _parse_test_anomaly(line: str) -> Entry:
    """`path|frames|[s1, e1]` or with a second interval; frames from 1, inclusive."""
    fields = [field.strip() for field in line.split("|")]
    if len(fields) != 3 or not re.fullmatch(r"\[\s*\d+(\s*,\s*\d+)*\s*\]", fields[2]):
        raise ValueError("expected: path|frames|[start, end, ...]")
    numbers = [int(n) for n in re.findall(r"\d+", fields[2])]
    if len(numbers) % 2 or any(a > b or a < 1 for a, b in _two_by_two(numbers)):
        raise ValueError("expected pairs start <= end, counted from 1")
    intervals = tuple((a - 1, b) for a, b in _two_by_two(numbers))
    return Entry(fields[0], 1, _positive(fields[1]), intervals)


def _two_by_two(numbers: list[int]) -> list[tuple[int, int]]:
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def _positive(text: str) -> int:
    if int(text) < 1:
        raise ValueError(f"{text} frames")
    return int(text)


def read_videos_json(path: pathlib.Path) -> dict[str, list[Entry]]:
    """Entries from `videos.json`: a list of videos with their split, label, frames, intervals.

    Raises:
      ValueError: a video without one of the fields, or a test video of unknown length.
    """
    splits = {"train": [], "test": []}
    try:
        videos = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path}: not readable as JSON ({error})") from error
    for video in videos:
        try:
            splits[video["split"]].append(
                Entry(
                    path=f"{video['class_name']}/{video['name']}",
                    label=_is_anomalous(video["anomalous"]),
                    num_frames=_whole(video.get("frames") or UNKNOWN_LENGTH),
                    intervals=tuple(
                        (_whole(a), _whole(b)) for a, b in video.get("intervals") or ()
                    ),
                )
            )
        except KeyError as error:
            raise ValueError(f"{path}: {video!r} has no field {error}") from error
        except (TypeError, ValueError, AttributeError) as error:
            raise ValueError(
                f"{path}: {video!r} cannot be read ({error}); expected frames: int, "
                "anomalous: true or false, split: train or test, intervals: [[start, stop], ...]"
            ) from error
    return splits


def _whole(number: object) -> int:
    if not isinstance(number, int) or isinstance(number, bool):
        raise TypeError(f"{number!r} is not a whole number")
    return number


def _is_anomalous(value: object) -> int:
    if value not in (0, 1):
        raise TypeError(f"anomalous: {value!r}")
    return int(value)


class Reader:
    """Reads the bags of the entries and checks them against each other."""

    def __init__(self, features: Features, segments: int, pool: bool, normalize: bool):
        self.features, self.segments, self.pool = features, segments, pool
        self.normalize = normalize
        self.widths = [1024, 1024] if features.layout == "two-stream" else None
        self._set_by, self._first = "the layout", None

    def check_files(self, splits: dict[str, list[Entry]], skip_missing: bool) -> dict:
        """Drops entries without files if `skip_missing`, else refuses them.

        Raises:
          FileNotFoundError: a listed file is not there.
        """
        missing = [
            path
            for entries in splits.values()
            for entry in entries
            for path in self.features.paths(entry.path)
            if not path.is_file()
        ]
        if missing and not skip_missing:
            names = "\n  ".join(str(path) for path in missing[:5])
            more = f"\n  and {len(missing) - 5:,} more" if len(missing) > 5 else ""
            raise FileNotFoundError(
                f"{len(missing):,} listed feature files are not there:\n  {names}{more}\n"
                "Add them, mend the lists, or leave those videos out with --skip_missing"
            )
        if missing:
            print(f"Left out: {len(missing):,} listed feature files that are not there")
        gone = set(missing)
        paths = self.features.paths
        return {
            split: [entry for entry in entries if not gone.intersection(paths(entry.path))]
            for split, entries in splits.items()
        }

    def bags(self, split: str, entries: list[Entry]) -> Iterator[dict]:
        """The bags of a split as examples, in the order of the lists."""
        for entry in entries:
            train = split == "train"
            intervals = () if train else clip_intervals(entry)
            yield Bag(
                video=entry.name,
                label=entry.label,
                class_name=entry.class_name,
                num_frames=entry.num_frames,
                intervals=np.array(intervals, np.int32).reshape(-1, 2),
                features=self.read(entry),
            ).to_example()

    def read(self, entry: Entry) -> np.ndarray:
        """Features of a video, streams side by side: float32 [crops, segments, D]."""
        streams = []
        for i, path in enumerate(self.features.paths(entry.path)):
            crops = read_array(path)
            self._check(i, crops, path)
            streams.append(np.stack([self._segments(rows, path) for rows in crops]))
        return np.concatenate(streams, axis=2)

    def _check(self, stream: int, crops: np.ndarray, path: pathlib.Path) -> None:
        """Refuses other columns than those of the videos before, or other crops."""
        count, _, width = crops.shape
        if self.widths is None:
            self.widths, self._set_by = [width], str(path)
        if width != self.widths[stream]:
            raise ValueError(
                f"{path}: {width} columns, expected {self.widths[stream]} "
                f"(set by {self._set_by}); is this another network's feature?"
            )
        self._first = self._first or (count, path)
        if count != self._first[0]:
            raise ValueError(
                f"{path}: {count} crops, {self._first[1]} has {self._first[0]}; extract all "
                "videos with the same --crops"
            )

    def _segments(self, rows: np.ndarray, path: pathlib.Path) -> np.ndarray:
        if self.pool:
            return pool_clips(rows, self.segments, self.normalize)
        if len(rows) != self.segments:
            raise ValueError(
                f"{path}: {len(rows)} rows, expected {self.segments} segments; if the rows are "
                "16-frame clips, pool them with --pool"
            )
        return normalize_rows(rows) if self.normalize else rows

    def extraction(self) -> dict | None:
        """All that was done from frames to rows; None where it is not known how it began.

        Raises:
          ValueError: what is to be pooled is pooled already.
        """
        settings = read_settings(self.features.folder)
        if settings is None:
            return None
        if self.pool and settings.get("pooling"):
            raise ValueError(
                f"{self.features.folder}: its rows are {settings['segments']} segments already; "
                "leave out --pool"
            )
        if rate := settings.get("resample_fps"):
            warnings.warn(
                f"{self.features.folder}: made of video that was resampled to {rate:g} frames a "
                "second; the numbers of frames in the lists are taken to be of this rate",
                stacklevel=2,
            )
        pooled = {"pooling": "mean", "segments": self.segments} if self.pool else {}
        normalize = self.normalize or bool(settings.get("normalize"))
        return {"pooling": None, "segments": None, **settings, **pooled, "normalize": normalize}


def clip_intervals(entry: Entry) -> list[tuple[int, int]]:
    """The intervals of a test video, clipped to its length with a warning (spec mil §4).

    Raises:
      ValueError: the length is unknown, or an interval begins past the end.
    """
    if entry.num_frames == UNKNOWN_LENGTH:
        raise ValueError(f"{entry.name}: a test video needs its number of frames")
    if entry.label and not entry.intervals:
        raise ValueError(f"{entry.name}: an anomalous test video needs its intervals")
    clipped = []
    for start, stop in entry.intervals:
        if not 0 <= start < min(stop, entry.num_frames):
            raise ValueError(
                f"{entry.name}: interval [{start}, {stop}) outside its {entry.num_frames} frames"
            )
        if stop > entry.num_frames:
            warnings.warn(
                f"{entry.name}: interval [{start}, {stop}) ends past its {entry.num_frames} "
                f"frames; clipped to [{start}, {entry.num_frames})",
                stacklevel=2,
            )
        clipped.append((start, min(stop, entry.num_frames)))
    return clipped


def prepare(
    features: str | pathlib.Path,
    out: str | pathlib.Path,
    labels: str | pathlib.Path | None = None,
    *,
    name: str = "ucf_crime",
    segments: int = 32,
    pool: bool = False,
    normalize: bool = False,
    skip_missing: bool = False,
    file_format: str = "array_record",
    shards: int | None = None,
    sampling: str = "linear",
    train_list: str | pathlib.Path | None = None,
    test_list: str | pathlib.Path | None = None,
    truth: str | pathlib.Path | None = None,
) -> dict:
    """Writes the dataset `out` and returns its manifest; arguments as the command's flags.

    Raises:
      FileNotFoundError: a folder, list or listed feature file is not there.
      ValueError: a file or line that cannot be used; the message names it.
    """
    folder = pathlib.Path(features)
    folders = [pathlib.Path(labels)] if labels else [folder, folder.parent]
    if lists := bags.choose_lists(folders, train_list, test_list, truth):
        if pool or normalize or skip_missing:
            raise ValueError("--pool, --normalize and --skip_missing: not with these lists")
        return bags.prepare(
            folder, out, lists, name=name, published=bags.PUBLISHED["ucf_crime"],
            sampling=sampling, segments=segments, file_format=file_format, shards=shards,
        )  # fmt: skip
    found = find_features(folder)
    reader = Reader(found, segments, pool, normalize)
    extraction = reader.extraction()
    splits = reader.check_files(read_labels(find_labels(folder, labels)), skip_missing)
    for split, entries in splits.items():
        if not entries:
            raise ValueError(f"split {split!r} is empty: no listed video has features in {folder}")
    (name_of_test, times), *_ = Counter(entry.name for entry in splits["test"]).most_common(1)
    if times > 1:
        raise ValueError(f"{name_of_test} is listed twice among the test videos")
    first = reader.read(splits["train"][0])
    extra = {"streams": dict(zip(found.streams, reader.widths, strict=True))}
    if extraction:
        extra["extraction"] = extraction
    return builder.write_dataset(
        out,
        name=name,
        kind=KIND,
        features=tfds_features(first.shape[-1]),
        splits={split: reader.bags(split, entries) for split, entries in splits.items()},
        file_format=file_format,
        shards=shards,
        extra=extra,
    )


def find_labels(features: pathlib.Path, labels: str | pathlib.Path | None) -> pathlib.Path:
    """Where the lists are: as named, or in the folder of features or beside it.

    Raises:
      FileNotFoundError: the named place does not exist.
    """
    if labels is not None:
        if not pathlib.Path(labels).exists():
            raise FileNotFoundError(f"{labels}: no such file or folder (--labels)")
        return pathlib.Path(labels)
    for folder in (features, features.parent):
        if any((folder / name).is_file() for name in ("videos.json", "train_normal.txt")):
            return folder
    return features


def main(argv: list[str] | None = None) -> None:
    """Parses the command line and writes the dataset."""
    parser = bags.parser("ucf_crime", __doc__, "ucf_crime")
    parser.add_argument("--pool", action="store_true", help="rows are clips: pool them to segments")
    parser.add_argument("--normalize", action="store_true", help="L2-normalise rows of each stream")
    parser.add_argument("--skip_missing", action="store_true", help="leave out absent videos")
    bags.run(parser, prepare, argv)


if __name__ == "__main__":
    command.run(main)
