"""UCF-Crime features → dataset of bags, from the layouts that people have.

    python -m data_prep.ucf_crime --features FOLDER --out data/ucf_crime [--labels WHERE]

`--features FOLDER` is one of (recognised by its content, spec mil §2):
  two-stream   FOLDER/all_rgbs/CLASS/NAME.mp4.npy and FOLDER/all_flows/CLASS/NAME.mp4.npy
  npy          FOLDER/CLASS/NAME.npy, [rows, D]; of several crops [crops, rows, D] or
               [rows, crops, D] (by the sizes, or --axes), or NAME__0.npy, NAME__1.npy, ...
  text         FOLDER/CLASS/NAME.txt, one segment a line (C3D features of the first authors)
CLASS may lie in other folders, as in the parts of UCF-Crime's archive.
`--labels WHERE` is one of; by default it is looked for in FOLDER and beside it:
  four lists   a folder with train_normal.txt, train_anomaly.txt, test_normalv2.txt or
               test_normal.txt, and test_anomalyv2.txt or test_anomaly.txt (spec mil §4)
  videos.json  videos with their split, class, label, frames and intervals
               (docs/features.md)
  official     Temporal_Anomaly_Annotation.txt, and Anomaly_Train.txt beside it (or --train_list).
               It has no numbers of frames: --frames FILE, a line NAME FRAMES each, or those that
               the rows cover, where these are clips of 16 frames (--pool)
Videos of one name in several classes are named CLASS_NAME.

With two lists of training and test videos instead (S3R's CSV, .list files of RTFM, UR-DMU or
PEL4VAD, or --train_list and --test_list; vadjax/formats/lists.py), FOLDER holds features
[tau, crops, D], VIDEO_i3d.npy or VIDEO.npy in any folders, or a file [tau, D] for each crop;
--truth names the labels of the test frames (data_prep/lib/bag_labels.py; default: beside
the lists).
Then --sampling makes 32 segments of a training video (`linear` as S3R, `mean` as RTFM); test
videos keep all snippets.

Training videos keep their video-level label only. Where FOLDER says how its features were made
(data_prep.extract_features), the manifest says it too, so that new videos can be treated alike.
"""

import pathlib
from collections import Counter
from dataclasses import replace

from vadjax.data.bags import KIND, tfds_features
from vadjax.data.store import builder
from vadjax.formats import text
from vadjax.formats.annotations import find_annotation, is_annotation, read_official
from vadjax.formats.entries import Entry, shared_videos, some, unique_names
from vadjax.formats.lists import LISTS, VIDEOS_JSON, file_in, read_four, read_videos_json
from vadjax.scores.files import naming

from .lib import bags, command
from .lib.bag_reader import Reader, clip_intervals
from .lib.feature_files import find_features

__all__ = ["Entry", "Reader", "clip_intervals", "find_features", "prepare", "read_labels"]

FORMS = (
    "a folder with train_normal.txt, train_anomaly.txt, test_normal(v2).txt and "
    "test_anomaly(v2).txt; a videos.json; or UCF-Crime's Temporal_Anomaly_Annotation.txt"
)


def read_labels(
    where: pathlib.Path, train_list: pathlib.Path | None = None
) -> dict[str, list[Entry]]:
    """The entries of the splits `train` and `test`, from any of the forms.

    Args:
      where: a folder of the four list files, of `videos.json` or of annotations; or one of the
        latter two files.
      train_list: list of the training videos, where annotations list only the test videos.

    Returns:
      Split → its entries, in the order of the lists.

    Raises:
      FileNotFoundError: none of these files is there.
      ValueError: a line that cannot be read, with its file and number.
    """
    # Of a file, the first line tells annotations, and the ending videos.json
    if where.is_file():
        if is_annotation(where):
            return read_official(where, train_list)
        if where.suffix.lower() != ".json":
            raise ValueError(f"{where}: not a form of labels that is read: {FORMS} (--labels)")
        return read_videos_json(where)
    # Of a folder videos.json is read before the four lists, and these before annotations
    if path := file_in(where, VIDEOS_JSON):
        return read_videos_json(path)
    if not file_in(where, *LISTS["train_normal"]) and (path := find_annotation(where)):
        return read_official(path, train_list)
    return read_four(where)


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
    axes: str | None = None,
    frames: str | pathlib.Path | None = None,
    train_list: str | pathlib.Path | None = None,
    test_list: str | pathlib.Path | None = None,
    truth: str | pathlib.Path | None = None,
) -> dict:
    """Writes the dataset `out` and returns its manifest; arguments as the command's flags.

    Raises:
      FileNotFoundError: a folder, list or listed feature file is not there.
      ValueError: a file or line that cannot be used; the message names it.
    """
    # A list of training videos alone belongs to UCF-Crime's own annotations, which have the others
    folder = pathlib.Path(features)
    folders = [pathlib.Path(labels)] if labels else [folder, folder.parent]
    official = train_list and not test_list and any(map(_annotation, folders))
    output = {"name": name, "file_format": file_format, "shards": shards}
    # Two lists: bags of snippets, as of S3R and RTFM
    if not official and (lists := bags.choose_lists(folders, train_list, test_list, truth)):
        if pool or normalize or skip_missing or frames:
            raise ValueError(
                "--pool, --normalize and --skip_missing: not with these lists, nor --frames"
            )
        options = {"sampling": sampling, "segments": segments, "axes": axes}
        published = bags.PUBLISHED["ucf_crime"]
        return bags.prepare(folder, out, lists, published=published, **options, **output)
    if truth:
        raise ValueError(
            f"--truth {truth}: these lists have the events of the test videos themselves; "
            "leave it out, or name lists with --train_list and --test_list"
        )
    # All other labels: bags of segments
    reader = Reader(find_features(folder), segments, pool, normalize, axes)
    extraction = reader.extraction()
    where = find_labels(folder, labels)
    splits, names = _read_splits(reader, where, train_list, frames, skip_missing)
    return _write(out, reader, splits, names, extraction, **output)


def _read_splits(
    reader: Reader,
    where: pathlib.Path,
    train_list: str | pathlib.Path | None,
    frames: str | pathlib.Path | None,
    skip_missing: bool,
) -> tuple[dict[str, list[Entry]], dict[tuple[str, str], str]]:
    """The listed videos of both splits, checked against their files.

    Args:
      reader: of the features.
      where: the labels, as for `read_labels`.
      train_list: as for `read_labels`.
      frames: file of the numbers of frames of test videos, or None.
      skip_missing: leave out videos without features.

    Returns:
      Split → its entries, those of test videos with their numbers of frames and with clipped
      intervals; and (split, path of an entry) → unique name of the video.
    """
    listed = named_lists(where)
    splits = read_labels(where, pathlib.Path(train_list) if train_list else None)
    # Names before videos are left out: they do not depend on which features are there
    with naming(listed):
        names = {
            (split, entry.path): unique
            for split, entries in splits.items()
            for entry, unique in zip(entries, unique_names(entries, split), strict=True)
        }
        splits = reader.check_files(splits, skip_missing, listed)
        _check_splits(splits, reader.features.folder)
    reader.check_shapes(splits)
    # Test videos get their numbers of frames, and intervals within them
    with naming(listed):
        test = reader.add_frames(splits["test"], pathlib.Path(frames) if frames else None)
        splits["test"] = [replace(entry, intervals=tuple(clip_intervals(entry))) for entry in test]
    return splits, names


def _write(
    out: str | pathlib.Path,
    reader: Reader,
    splits: dict[str, list[Entry]],
    names: dict[tuple[str, str], str],
    extraction: dict | None,
    **output,
) -> dict:
    """Writes the dataset and returns its manifest.

    Args:
      out: folder to make.
      reader: of the features.
      splits: split → its entries.
      names: (split, path of an entry) → name of the video.
      extraction: how the features were made, for the manifest; None if that is not known.
      **output: name and shards, as for `builder.write_dataset`.
    """
    # The first bag tells the reader the columns of the streams, and the size of all bags
    first = reader.read(splits["train"][0])
    extra = {"streams": dict(zip(reader.features.streams, reader.widths, strict=True))}
    if extraction:
        extra["extraction"] = extraction
    return builder.write_dataset(
        out,
        kind=KIND,
        features=tfds_features(first.shape[-1]),
        splits={
            split: reader.bags(split, entries, [names[split, entry.path] for entry in entries])
            for split, entries in splits.items()
        },
        extra=extra,
        size=len(splits["train"]) * first.nbytes,
        **output,
    )


def named_lists(where: pathlib.Path) -> str:
    """The files that `read_labels` reads, as messages about their content name them."""
    if where.is_file():
        return str(where)
    if path := file_in(where, VIDEOS_JSON):
        return str(path)
    if not file_in(where, *LISTS["train_normal"]) and (path := find_annotation(where)):
        return f"{path} and its list of training videos"
    names = [path.name for options in LISTS.values() if (path := file_in(where, *options))]
    return f"{where}: {', '.join(names)}"


def _check_splits(splits: dict[str, list[Entry]], folder: pathlib.Path) -> None:
    """Refuses an empty split or a test video that is listed twice; notes videos of both splits."""
    for split, entries in splits.items():
        if not entries:
            raise ValueError(f"split {split!r} is empty: no listed video has features in {folder}")
    (path, times), *_ = Counter(entry.path for entry in splits["test"]).most_common(1)
    if times > 1:
        raise ValueError(f"{Entry(path).name} is listed twice among the test videos")
    if shared := shared_videos(splits["train"], splits["test"]):
        text.note(f"{len(shared):,} videos are in both splits: {some(shared)}")


def _annotation(where: pathlib.Path) -> bool:
    """Whether a file is one of UCF-Crime's own annotations, or a folder has one."""
    return is_annotation(where) if where.is_file() else bool(find_annotation(where))


def find_labels(features: pathlib.Path, labels: str | pathlib.Path | None) -> pathlib.Path:
    """Where the labels are: the named place, the folder of features, or the one above it.

    Raises:
      FileNotFoundError: the named place does not exist.
    """
    if labels is not None:
        if not pathlib.Path(labels).exists():
            raise FileNotFoundError(f"{labels}: no such file or folder (--labels)")
        return pathlib.Path(labels)
    for folder in (features, features.parent):
        if file_in(folder, VIDEOS_JSON, *LISTS["train_normal"]) or find_annotation(folder):
            return folder
    return features


def main(argv: list[str] | None = None) -> None:
    """Parses the command line and writes the dataset."""
    parser = bags.parser("ucf_crime", __doc__, "ucf_crime")
    parser.add_argument("--pool", action="store_true", help="rows are clips: pool them to segments")
    parser.add_argument("--normalize", action="store_true", help="L2-normalise rows of each stream")
    parser.add_argument("--frames", help="file of lines NAME FRAMES, where lists do not say them")
    parser.add_argument("--skip_missing", action="store_true", help="leave out absent videos")
    bags.run(parser, prepare, argv)


if __name__ == "__main__":
    command.run(main)
