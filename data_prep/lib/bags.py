"""Bags of snippets with several crops, as S3R and RTFM lay them out (spec s3r §1).

Features are `.npy` files [tau, crops, D], one a video and a row for every 16 frames, in any folders
below the one that is named: VIDEO_i3d.npy or VIDEO.npy; or files [tau, D], one a crop:
VIDEO__0.npy, VIDEO__1.npy, ... Lists are S3R's or VadCLIP's CSV or texts with a path a line
(vadjax/formats/lists.py). Labels of videos are those of the lists, the prefix Normal of the names
or folders, or the published counts: anomalous videos first, then normal ones. Labels of frames:
data_prep/lib/bag_labels.py.

Training bags are sampled to segments; test bags keep all snippets.
"""

import argparse
import dataclasses
import pathlib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np

from vadjax.data.bags import KIND, UNKNOWN_LENGTH, Bag, tfds_features
from vadjax.data.segments import CLIP_FRAMES, SAMPLINGS
from vadjax.data.store import builder
from vadjax.formats import text
from vadjax.formats.entries import Entry, shared_videos, some, unique_names
from vadjax.formats.lists import COLUMNS, LABEL, read_list

from . import bag_labels, command
from .feature_files import (
    AXES,
    RTFM,
    Shape,
    crops_axis,
    known_axes,
    raw_shape,
    read_video,
    shape_of,
)
from .feature_index import Files, Index

# Anomalous and normal videos of the published lists, by split (spec s3r §1.2).
PUBLISHED = {
    "shanghaitech": {"train": (63, 175), "test": (44, 155)},
    "ucf_crime": {"train": (810, 800), "test": (140, 150)},
}
SPLITS = ("train", "test")
Listed = tuple[str, Entry, Files]  # name in the dataset, entry of the list, files


@dataclasses.dataclass(frozen=True)
class Lists:
    """The two lists of a set, and the labels of the test frames if they are named.

    Attributes:
      train: the list of training videos, S3R's or RTFM's.
      test: the list of test videos.
      truth: JSON, `.npy`, or folder of `.mat` files; None: beside the list of test videos.
    """

    train: pathlib.Path
    test: pathlib.Path
    truth: pathlib.Path | None = None

    def __getitem__(self, split: str) -> pathlib.Path:
        return {"train": self.train, "test": self.test}[split]


def find_lists(*folders: pathlib.Path) -> Lists | None:
    """The lists of the first folder that has such, or None.

    Raises:
      ValueError: a folder with lists of several sets.
    """
    for folder in folders:
        # S3R's CSVs, or else .list files, of which those of test videos say so in their names
        by_split = [sorted(folder.glob(f"*.{split}.csv")) for split in ("training", "testing")]
        if not any(by_split):
            lists = sorted(folder.glob("*.[Ll][Ii][Ss][Tt]"))
            by_split = [
                [p for p in lists if ("test" in p.name.lower()) == test] for test in (False, True)
            ]
        if all(len(paths) == 1 for paths in by_split):
            return Lists(*(paths[0] for paths in by_split))
        if any(by_split):
            names = ", ".join(path.name for paths in by_split for path in paths)
            raise ValueError(
                f"{folder}: has {names}; expected one list of training and one of test videos. "
                "Name them with --train_list and --test_list"
            )
    return None


def read_labelled(path: pathlib.Path, published: tuple[int, int]) -> list[Entry]:
    """The videos of a list with their labels and names that no two share, in its order.

    Args:
      path: S3R's or VadCLIP's CSV, or a text of paths (`vadjax.formats.lists`).
      published: anomalous and normal videos of the published list.

    Raises:
      FileNotFoundError: no such list.
      ValueError: a list that cannot be read, a video twice, or labels that cannot be told.
    """
    videos = read_list(path)
    name, times = Counter((video.name, video.path) for video in videos).most_common(1)[0]
    if times > 1:
        raise ValueError(f"{path}: {name[0]} is listed {times} times")
    return _label(path, videos, published)


def _label(path: pathlib.Path, videos: list[Entry], published: tuple[int, int]) -> list[Entry]:
    """The videos with labels: their own, by their prefix or folder, or by their position."""
    by_name = [video.name.startswith("Normal") for video in videos]
    by_folder = [video.folder.lower().startswith("normal") for video in videos]
    # A folder's prefix counts only if not all videos share it; positions count only in a list as
    # long as the published one (spec s3r §1.2)
    if videos[0].label is not None:
        labels = [video.label for video in videos]
    elif any(by_name):
        labels = [int(not normal) for normal in by_name]
    elif any(by_folder) and not all(by_folder):
        labels = [int(not normal) for normal in by_folder]
    elif len(videos) == sum(published):
        labels = [1] * published[0] + [0] * published[1]
        text.note(
            f"{path}: no labels; as in the published list, its first {published[0]} videos are "
            f"taken as anomalous and the other {published[1]} as normal"
        )
    else:
        raise ValueError(
            f"{path}: {len(videos)} videos without labels; the published list has {published[0]} "
            f"anomalous and then {published[1]} normal ones. Write a label, 0 or 1, after every "
            f"path, or a CSV with columns: {COLUMNS[0]},{LABEL}"
        )
    # A list as long as the published one has as many videos of each kind
    counts = (sum(labels), len(labels) - sum(labels))
    if len(videos) == sum(published) and counts != published:
        raise ValueError(
            f"{path}: {counts[0]} anomalous and {counts[1]} normal videos; the published list of "
            f"as many videos has {published[0]} and {published[1]}"
        )
    return [
        dataclasses.replace(video, label=label) for video, label in zip(videos, labels, strict=True)
    ]


def class_of(video: Entry) -> str:
    """The class that a list says, the letters that a name begins with, or the kind of video."""
    letters = re.match("[A-Za-z_]*", video.name)[0].strip("_")
    return video.listed_class or letters or ("anomalous" if video.label else "normal")


def find_files(
    index: Index, videos: Sequence[Entry], split: str, listed: pathlib.Path
) -> list[Files]:
    """The files of each video of the list `listed`, which messages name.

    Raises:
      FileNotFoundError: videos without any.
      ValueError: a video with several places, of which none is in a folder of this split; or two
        videos with the same file.
    """
    # Several folders of a list are classes, if they are there; one may be that of another machine
    classes = {video.folder for video in videos}
    strict = len(classes) > 1 and bool(classes & index.folders)
    files_of_videos = [index.find(video, split, strict) for video in videos]
    missing = [
        video.path if strict else video.name
        for video, files in zip(videos, files_of_videos, strict=True)
        if not files
    ]
    if missing:
        raise FileNotFoundError(
            f"{index.folder}: no features of {len(missing):,} of {len(videos):,} {split} videos "
            f"(NAME_i3d.npy or NAME.npy, or NAME__0.npy, ... of its crops) in {listed}: "
            f"{some(missing)}"
        )
    # No file is that of two videos
    owners: dict[pathlib.Path, str] = {}
    for video, files in zip(videos, files_of_videos, strict=True):
        if owners.setdefault(files[0], video.path) != video.path:
            raise ValueError(
                f"{owners[files[0]]} and {video.path} are two videos of the {split} list, but the "
                f"only features of either are {files[0]}; add those of the other"
            )
    return files_of_videos


def check_shapes(
    videos: Sequence[Files], axes: str | None, folder: pathlib.Path
) -> tuple[int, list[Shape]]:
    """The axis of the crops in all files, and the sizes of each video.

    Args:
      videos: the files of each.
      axes: order of the axes, a name of `AXES`; None: by the sizes of all arrays.
      folder: of the files, for messages.

    Raises:
      ValueError: as `crops_axis` and `shape_of`; or two videos differ in crops or columns.
    """
    raw_shapes = [[raw_shape(path) for path in files] for files in videos]
    flat = [shape for file_shapes in raw_shapes for shape in file_shapes]
    axis = crops_axis(flat, axes, folder, default=RTFM)
    shapes = [
        shape_of(files, file_shapes, axis)
        for files, file_shapes in zip(videos, raw_shapes, strict=True)
    ]
    # All videos have the crops and columns of the first
    for files, shape in zip(videos, shapes, strict=True):
        for field in ("crops", "columns"):
            first, size = getattr(shapes[0], field), getattr(shape, field)
            if size != first:
                raise ValueError(
                    f"{files[-1]}: {size} {field}, but {videos[0][-1]} has {first}; all videos of "
                    f"a set have the same {field}. Extract them again alike, or list all their "
                    "files"
                )
    return axis, shapes


def prepare(
    features: str | pathlib.Path,
    out: str | pathlib.Path,
    lists: Lists,
    *,
    name: str,
    published: Mapping[str, tuple[int, int]],
    sampling: str = "linear",
    segments: int = 32,
    axes: str | None = None,
    file_format: str = "array_record",
    shards: int | None = None,
) -> dict:
    """Writes the dataset `out` and returns its manifest.

    Args:
      features: folder of feature files.
      out: folder to make; must not exist.
      lists: the two lists of videos.
      name: name of the set, shown in reports.
      published: split → numbers of anomalous and normal videos of the published list.
      sampling: how snippets become segments: `"linear"` as S3R, or `"mean"` as RTFM.
      segments: rows of a training bag.
      axes: order of the axes of files of several crops, a name of `AXES`; None: by their sizes.
      file_format: as for `builder.write_dataset`.
      shards: per split; None: by size.

    Raises:
      FileNotFoundError: a folder, list, feature file or label is not there.
      ValueError: a file that cannot be used; the message names it.
    """
    _check_sampling(sampling, segments)
    # The videos of the lists, their names in the dataset, and their files
    folder = pathlib.Path(features)
    videos, index = read_lists(lists, published), Index(folder)
    names = {split: unique_names(videos[split], lists[split]) for split in SPLITS}
    files = {split: find_files(index, videos[split], split, lists[split]) for split in SPLITS}
    # Sizes from the headers of all files; with them the labels of the test frames
    axis, shapes = check_shapes(files["train"] + files["test"], known_axes(folder, axes), folder)
    snippets = [shape.rows for shape in shapes[len(files["train"]) :]]
    labels = _read_truth(lists, names["test"], videos["test"], snippets)
    _name_unused(index, files, lists.truth)
    # Bags are read one by one while they are written
    listed = {
        split: zip(names[split], videos[split], files[split], strict=True) for split in SPLITS
    }
    bags = {
        "train": _train_bags(listed["train"], axis, sampling, segments),
        "test": _test_bags(listed["test"], axis, labels),
    }
    rows = segments * len(names["train"]) + sum(snippets)
    rule = {"rule": sampling, "segments": segments}
    options = {"name": name, "file_format": file_format, "shards": shards}
    return _write(out, bags, shapes[0], rows, rule, **options)


def _check_sampling(sampling: str, segments: int) -> None:
    """Refuses an unknown rule, or bags without a segment."""
    if sampling not in SAMPLINGS or segments < 1:
        raise ValueError(
            f"sampling {sampling!r} to {segments} segments; expected one of "
            f"{', '.join(SAMPLINGS)}, and at least 1"
        )


def read_lists(lists: Lists, published: Mapping[str, tuple[int, int]]) -> dict[str, list[Entry]]:
    """The videos of both splits; arguments as `prepare`.

    Raises:
      FileNotFoundError, ValueError: as `read_labelled`; or a video is in both lists.
    """
    videos = {split: read_labelled(lists[split], published[split]) for split in SPLITS}
    if shared := shared_videos(videos["train"], videos["test"]):
        raise ValueError(f"{len(shared)} videos are in both lists: {some(shared)}")
    return videos


def _read_truth(
    lists: Lists, names: list[str], videos: list[Entry], snippets: list[int]
) -> list[np.ndarray]:
    """Labels of the frames of the test videos, from what is named or lies beside their list."""
    truth = lists.truth or bag_labels.find_truth(lists.test.parent)
    return bag_labels.read_truth(truth, names, [video.label for video in videos], snippets)


def _name_unused(
    index: Index, files: Mapping[str, list[Files]], truth: pathlib.Path | None
) -> None:
    """Names the feature files that no list has; labels of frames may lie among them."""
    used = {path for videos in files.values() for paths in videos for path in paths}
    others = [
        str(path.relative_to(index.folder))
        for path in index.others(used)
        if path != truth and not path.name.startswith("gt")
    ]
    if others:
        print(f"Not used: {len(others):,} feature files that no list has, {some(others)}")


def _train_bags(listed: Iterable[Listed], axis: int, sampling: str, segments: int) -> Iterator[Bag]:
    """Training bags, whose snippets are sampled to segments."""
    sample = SAMPLINGS[sampling]
    for name, video, files in listed:
        yield _bag(name, video, sample(read_video(files, axis), segments))


def _test_bags(listed: Iterable[Listed], axis: int, labels: list[np.ndarray]) -> Iterator[Bag]:
    """Test bags with all their snippets, and the labels of their frames."""
    for (name, video, files), frame_labels in zip(listed, labels, strict=True):
        yield _bag(name, video, read_video(files, axis), frame_labels)


def _bag(name: str, video: Entry, features: np.ndarray, labels: np.ndarray | None = None) -> Bag:
    """A training bag, or with the labels of its frames a test bag."""
    for_test = labels is not None
    return Bag(
        video=name,
        label=video.label,
        class_name=class_of(video),
        num_frames=CLIP_FRAMES * features.shape[1] if for_test else UNKNOWN_LENGTH,
        intervals=bag_labels.intervals(labels) if for_test else np.zeros((0, 2), np.int32),
        features=features,
    )


def _write(
    out: str | pathlib.Path,
    bags: Mapping[str, Iterator[Bag]],
    shape: Shape,
    rows: int,
    sampling: Mapping,
    **options,
) -> dict:
    """Writes the bags and returns the manifest.

    Args:
      out: folder to make.
      bags: split → its bags.
      shape: crops and columns of all bags are those of this video.
      rows: rows of all bags together, for the room that they need.
      sampling: rule and number of segments of the training bags, kept in the manifest.
      **options: as for `builder.write_dataset`.
    """
    return builder.write_dataset(
        out,
        kind=KIND,
        features=tfds_features(shape.columns),
        splits={split: (bag.to_example() for bag in bags[split]) for split in SPLITS},
        extra={"streams": {"features": shape.columns}, "crops": shape.crops, "sampling": sampling},
        size=4 * shape.crops * shape.columns * rows,  # values are float32
        **options,
    )


def parser(program: str, description: str, name: str) -> argparse.ArgumentParser:
    """A parser with the flags that the programs for features share.

    Args:
      program: name of the program in `data_prep`.
      description: shown by `--help`.
      name: the default of `--name`.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m data_prep.{program}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    # Where features, lists and labels are
    parser.add_argument("--features", required=True, help="folder of feature files")
    parser.add_argument("--labels", help="where lists and labels are (default: by the features)")
    parser.add_argument("--train_list", help="CSV or .list of training videos")
    parser.add_argument("--test_list", help="of test videos (default: both beside the features)")
    parser.add_argument(
        "--truth", help="labels of frames: JSON, .npy, folder of .mat files, or annotations"
    )
    # How bags are made of the features
    parser.add_argument(
        "--sampling", choices=SAMPLINGS, default="linear", help="of training bags (default linear)"
    )
    parser.add_argument("--axes", choices=AXES, help="of files of crops; default: by their sizes")
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
    lists = find_lists(*folders)
    return dataclasses.replace(lists, truth=truth) if lists else None
