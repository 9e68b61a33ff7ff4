"""Bags of snippets with several crops, as S3R and RTFM lay them out (spec s3r §1).

Features are `.npy` files [tau, crops, D], one a video and a row for every 16 frames, in any folders
below the one that is named: VIDEO_i3d.npy or VIDEO.npy. Lists are either S3R's NAME.training.csv
and NAME.testing.csv with a column `video-id`, or RTFM's .list files with a path a line. Labels of
videos are a column `label` (0 or 1), the prefix Normal of the names, or the published counts:
anomalous videos first, then normal ones. Labels of frames: data_prep/bag_labels.py.

Training bags are sampled to segments; test bags keep all snippets.
"""

import argparse
import csv
import dataclasses
import pathlib
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from data_prep import bag_labels, command
from vadjax.convert import arrays
from vadjax.data import builder
from vadjax.data.bags import KIND, UNKNOWN_LENGTH, Bag, tfds_features
from vadjax.data.segments import CLIP_FRAMES, SAMPLINGS

# Anomalous and normal videos of the published lists, by split (spec s3r §1.2).
PUBLISHED = {
    "shanghaitech": {"train": (63, 175), "test": (44, 155)},
    "ucf_crime": {"train": (810, 800), "test": (140, 150)},
}
SPLITS = ("train", "test")
COLUMN, LABEL = "video-id", "label"
MOST_NAMED = 4  # videos in a message


@dataclasses.dataclass(frozen=True)
class Lists:
    """The two lists of a set, and the labels of the test frames if they are named.

    Attributes:
      train: S3R's or RTFM's list of training videos.
      test: of test videos.
      truth: JSON, `.npy`, or folder of `.mat` files; None: beside the list of test videos.
    """

    train: pathlib.Path
    test: pathlib.Path
    truth: pathlib.Path | None = None

    def __iter__(self) -> Iterator[pathlib.Path]:
        return iter((self.train, self.test))


@dataclasses.dataclass(frozen=True)
class Video:
    """A listed video: its name, the path in the list if that is one of paths, and its label."""

    name: str
    label: int | None
    listed: str = ""

    @property
    def class_name(self) -> str:
        """The letters that its name begins with, or `anomalous` or `normal`."""
        letters = re.match("[A-Za-z_]*", self.name)[0].strip("_")
        return letters or ("anomalous" if self.label else "normal")


def find_lists(*folders: pathlib.Path) -> Lists | None:
    """The lists of the first folder that has such, or None.

    Raises:
      ValueError: a folder with lists of several sets.
    """
    for folder in folders:
        pairs = [sorted(folder.glob(f"*.{split}.csv")) for split in ("training", "testing")]
        if not any(pairs):
            lists = sorted(folder.glob("*.list"))
            pairs = [[p for p in lists if ("test" in p.name) == test] for test in (False, True)]
        if all(len(found) == 1 for found in pairs):
            return Lists(*(found[0] for found in pairs))
        if any(pairs):
            names = ", ".join(path.name for found in pairs for path in found)
            raise ValueError(
                f"{folder}: has {names}; expected one list of training and one of test videos. "
                "Name them with --train_list and --test_list"
            )
    return None


def read_list(path: pathlib.Path, published: tuple[int, int]) -> list[Video]:
    """The videos of a list with their labels, in its order.

    Args:
      path: S3R's CSV, or a text of paths.
      published: anomalous and normal videos of the published list.

    Raises:
      FileNotFoundError: no such list.
      ValueError: a list that cannot be read, a video twice, or labels that cannot be told.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such list of videos")
    videos = _read_csv(path) if path.suffix == ".csv" else _read_paths(path)
    if not videos:
        raise ValueError(f"{path}: no videos in this list")
    (name, times), *_ = Counter(video.name for video in videos).most_common(1)
    if times > 1:
        raise ValueError(f"{path}: {name} is listed {times} times")
    return _label(path, videos, published)


def _read_csv(path: pathlib.Path) -> list[Video]:
    with path.open(newline="") as file:
        reader = csv.DictReader(file)
        columns = reader.fieldnames or []
        if COLUMN not in columns:
            raise ValueError(f"{path}: columns {columns}; expected {COLUMN}, and {LABEL} if known")
        rows = [row for row in reader if row[COLUMN]]
    if LABEL not in columns:
        return [Video(row[COLUMN].strip(), None) for row in rows]
    for row in rows:
        if row[LABEL] not in ("0", "1"):
            raise ValueError(f"{path}: {row[COLUMN]} has label {row[LABEL]!r}; expected 0 or 1")
    return [Video(row[COLUMN].strip(), int(row[LABEL])) for row in rows]


def _read_paths(path: pathlib.Path) -> list[Video]:
    lines = [line.strip() for line in path.read_text().splitlines() if line.strip()]
    return [
        Video(pathlib.PurePath(line).name.removesuffix(".npy").removesuffix("_i3d"), None, line)
        for line in lines
    ]


def _label(path: pathlib.Path, videos: list[Video], published: tuple[int, int]) -> list[Video]:
    """The videos with labels: their own, by their prefix, or by their position."""
    if videos[0].label is None and any(video.name.startswith("Normal") for video in videos):
        labels = [int(not video.name.startswith("Normal")) for video in videos]
    elif videos[0].label is None and len(videos) == sum(published):
        labels = [1] * published[0] + [0] * published[1]
    elif videos[0].label is None:
        raise ValueError(
            f"{path}: {len(videos)} videos without labels; the published list has {published[0]} "
            f"anomalous and then {published[1]} normal ones. Add a column: {COLUMN},{LABEL}"
        )
    else:
        labels = [video.label for video in videos]
    counts = (sum(labels), len(labels) - sum(labels))
    if len(videos) == sum(published) and counts != published:
        raise ValueError(
            f"{path}: {counts[0]} anomalous and {counts[1]} normal videos; the published list of "
            f"as many videos has {published[0]} and {published[1]}"
        )
    return [
        dataclasses.replace(video, label=label) for video, label in zip(videos, labels, strict=True)
    ]


class Files:
    """The feature files below a folder, found by the names of videos.

    Raises:
      FileNotFoundError: no such folder.
    """

    def __init__(self, folder: pathlib.Path):
        if not folder.is_dir():
            raise FileNotFoundError(f"{folder}: no such folder of features (--features)")
        self.folder, self._found = folder, {}
        for path in sorted(folder.rglob("*.npy")):
            name = path.name.removesuffix(".npy").removesuffix("_i3d")
            self._found.setdefault(name, []).append(path)

    def find(self, videos: Sequence[Video], split: str) -> list[pathlib.Path]:
        """The file of each video.

        Raises:
          FileNotFoundError: videos without one.
          ValueError: a video with several, of which none is in a folder of this split.
        """
        found = [self._candidates(video, split) for video in videos]
        missing = [video.name for video, paths in zip(videos, found, strict=True) if not paths]
        if missing:
            more = f" and {len(missing) - MOST_NAMED:,} more" if len(missing) > MOST_NAMED else ""
            raise FileNotFoundError(
                f"{self.folder}: no features of {len(missing):,} of {len(videos):,} {split} videos "
                f"(NAME_i3d.npy or NAME.npy): {', '.join(missing[:MOST_NAMED])}{more}"
            )
        for video, paths in zip(videos, found, strict=True):
            if len(paths) > 1:
                raise ValueError(f"{video.name}: both {paths[0]} and {paths[1]}; keep one of them")
        return [paths[0] for paths in found]

    def _candidates(self, video: Video, split: str) -> list[pathlib.Path]:
        """Files of that name; those in a folder named after the split, if there are any."""
        if video.listed and (path := self.folder / video.listed).is_file():
            return [path]  # an absolute path is taken as it is
        paths = self._found.get(video.name, [])
        return [p for p in paths if split in p.relative_to(self.folder).parts] or paths


def shape_of(path: pathlib.Path) -> tuple[int, int, int]:
    """Snippets, crops and columns of a feature file; [tau, D] is one crop.

    Raises:
      ValueError: not an array of two or three dimensions, or an empty one.
    """
    try:
        shape = np.load(path, mmap_mode="r", allow_pickle=False).shape
    except (ValueError, EOFError):
        shape = arrays.read_npy(path).shape  # objects, or it says what is wrong
    if len(shape) == 2:
        shape = (shape[0], 1, shape[1])
    if len(shape) != 3 or not all(shape):
        raise ValueError(f"{path}: {shape}; expected features [snippets, crops, columns]")
    return shape


def read_features(path: pathlib.Path) -> np.ndarray:
    """Features of a video, float32 [crops, tau, D].

    Raises:
      ValueError: not such an array, or NaN or infinite values.
    """
    features = arrays.read_npy(path)
    features = features.reshape(shape_of(path)).transpose(1, 0, 2).astype(np.float32)
    if bad := features.size - np.isfinite(features).sum():
        raise ValueError(f"{path}: {bad:,} of {features.size:,} values are NaN or infinite")
    return features


def check_shapes(paths: Sequence[pathlib.Path]) -> list[tuple[int, int, int]]:
    """Shapes of feature files that have the same crops and columns.

    Raises:
      ValueError: two files differ.
    """
    shapes = [shape_of(path) for path in paths]
    for path, shape in zip(paths, shapes, strict=True):
        for axis, what in ((1, "crops"), (2, "columns")):
            if shape[axis] != shapes[0][axis]:
                raise ValueError(
                    f"{path}: {shape[axis]} {what}, but {paths[0]} has {shapes[0][axis]}; all "
                    f"videos of a set have the same {what}. Extract them again alike"
                )
    return shapes


def prepare(
    features: str | pathlib.Path,
    out: str | pathlib.Path,
    lists: Lists,
    *,
    name: str,
    published: Mapping[str, tuple[int, int]],
    sampling: str = "linear",
    segments: int = 32,
    file_format: str = "array_record",
    shards: int | None = None,
) -> dict:
    """Writes the dataset `out` and returns its manifest.

    Args:
      features: folder of feature files.
      out: folder to make; must not exist.
      lists: of the videos.
      name: name of the set, shown in reports.
      published: split → anomalous and normal videos of the published list.
      sampling: `"linear"` as S3R or `"mean"` as RTFM: snippets of training videos → segments.
      segments: of training bags.
      file_format: as for `builder.write_dataset`.
      shards: per split; None: by size.

    Raises:
      FileNotFoundError: a folder, list, feature file or label is not there.
      ValueError: a file that cannot be used; the message names it.
    """
    if sampling not in SAMPLINGS or segments < 1:
        raise ValueError(
            f"sampling {sampling!r} to {segments} segments; expected one of "
            f"{', '.join(SAMPLINGS)}, and at least 1"
        )
    files = Files(pathlib.Path(features))
    videos = read_lists(lists, published)
    paths = {split: files.find(videos[split], split) for split in SPLITS}
    (_, crops, width), *_ = shapes = check_shapes(paths["train"] + paths["test"])
    snippets = [tau for tau, _, _ in shapes[len(paths["train"]) :]]
    labels = _read_truth(lists, videos["test"], snippets)
    sample = SAMPLINGS[sampling]
    train = (
        _bag(video, sample(read_features(path), segments))
        for video, path in zip(videos["train"], paths["train"], strict=True)
    )
    test = (
        _bag(video, read_features(path), found)
        for video, path, found in zip(videos["test"], paths["test"], labels, strict=True)
    )
    return builder.write_dataset(
        out,
        name=name,
        kind=KIND,
        features=tfds_features(width),
        splits={
            split: (bag.to_example() for bag in bags)
            for split, bags in zip(SPLITS, (train, test), strict=True)
        },
        file_format=file_format,
        shards=shards,
        extra={
            "streams": {"features": width},
            "crops": crops,
            "sampling": {"rule": sampling, "segments": segments},
        },
    )


def read_lists(lists: Lists, published: Mapping[str, tuple[int, int]]) -> dict[str, list[Video]]:
    """The videos of both splits; arguments as `prepare`.

    Raises:
      FileNotFoundError, ValueError: as `read_list`; or a video is in both lists.
    """
    videos = {
        split: read_list(path, published[split]) for split, path in zip(SPLITS, lists, strict=True)
    }
    if both := sorted({v.name for v in videos["train"]} & {v.name for v in videos["test"]}):
        raise ValueError(f"{len(both)} videos are in both lists: {', '.join(both[:MOST_NAMED])}")
    return videos


def _read_truth(lists: Lists, videos: list[Video], snippets: list[int]) -> list[np.ndarray]:
    """Labels of the frames of the test videos, from what is named or lies beside their list."""
    truth = lists.truth or bag_labels.find_truth(lists.test.parent)
    names, labels = [video.name for video in videos], [video.label for video in videos]
    return bag_labels.read_truth(truth, names, labels, snippets)


def _bag(video: Video, features: np.ndarray, labels: np.ndarray | None = None) -> Bag:
    """A training bag, or with the labels of its frames a test bag."""
    known = labels is not None
    return Bag(
        video=video.name,
        label=video.label,
        class_name=video.class_name,
        num_frames=CLIP_FRAMES * features.shape[1] if known else UNKNOWN_LENGTH,
        intervals=bag_labels.intervals(labels) if known else np.zeros((0, 2), np.int32),
        features=features,
    )


def parser(program: str, description: str, name: str) -> argparse.ArgumentParser:
    """A parser with the flags that the programs for features share, `name` a set's default name."""
    parser = argparse.ArgumentParser(
        prog=f"python -m data_prep.{program}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--features", required=True, help="folder of feature files")
    parser.add_argument("--labels", help="where lists and labels are (default: by the features)")
    parser.add_argument("--train_list", help="CSV or .list of training videos")
    parser.add_argument("--test_list", help="of test videos (default: both beside the features)")
    parser.add_argument("--truth", help="labels of frames: JSON, .npy, or folder of .mat files")
    parser.add_argument(
        "--sampling", choices=SAMPLINGS, default="linear", help="of training bags (default linear)"
    )
    parser.add_argument("--segments", type=int, default=32, help="segments a video (default 32)")
    parser.add_argument("--name", default=name, help="shown in reports")
    command.add_output_flags(parser)
    return parser


def run(parser: argparse.ArgumentParser, prepare: Callable, argv: list[str] | None) -> None:
    """Parses the command line, writes the dataset by `prepare`, and prints what was written."""
    args = vars(parser.parse_args(argv))
    args["file_format"] = args.pop("format")
    command.print_summary(args["out"], command.report_errors(prepare, **args))


def choose_lists(
    folders: Sequence[pathlib.Path],
    train_list: str | pathlib.Path | None,
    test_list: str | pathlib.Path | None,
    truth: str | pathlib.Path | None,
) -> Lists | None:
    """The lists that are named, or those in one of the folders; None if there are none.

    Raises:
      ValueError: one list is named without the other, or a folder has several.
    """
    if bool(train_list) != bool(test_list):
        raise ValueError("--train_list and --test_list are given together, or neither")
    truth = pathlib.Path(truth) if truth else None
    if train_list:
        return Lists(pathlib.Path(train_list), pathlib.Path(test_list), truth)
    found = find_lists(*folders)
    return dataclasses.replace(found, truth=truth) if found else None
