r"""UCSD Ped2 with video-level labels: its ten splits as datasets of bags.

    (cd UCSD_PED2 && ls -d training/frames/* testing/frames/*) > clips.txt
    python -m data_prep.extract_features --videos UCSD_PED2 --list clips.txt \
        --weights weights/i3d_rgb --out FEATURES
    python -m data_prep.ped2_weak --data UCSD_PED2 --features FEATURES --out data/ped2_weak

writes data/ped2_weak/0 … 9; `--split N` only that one. UCSD_PED2 has either layout of
data_prep.ucsd_ped (in the original one the clips are Train/Train0?? and Test/Test0??). The
features of the clip UCSD_PED2/PATH are FEATURES/PATH.npy, float [n, D], or of several crops
[crops, n, D] or [n, crops, D] (--axes).

Of 16 normal and 12 anomalous clips, 4 and 6 that are drawn at random are for training, the rest
is for testing; the mean of ten draws is reported (Zhong et al., CVPR 2019). The papers' draws are
not published; ours are in lib/ped2_weak.json: numbers of the clips from 1, split N drawn with
seed N.

Training bags have 32 segments, pooled as in spec mil §3. A clip of Ped2 has 7 to 11 snippets of 16
frames, so test bags have the snippets themselves (`--pool`: segments as well); spread their scores
with `eval.expansion = "even"`.
"""

import argparse
import contextlib
import dataclasses
import json
import pathlib
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from vadjax.data.bags import KIND, UNKNOWN_LENGTH, Bag, tfds_features
from vadjax.data.segments import CLIP_FRAMES, normalize_rows, pool_clips
from vadjax.data.store import builder
from vadjax.data.store.frame_writer import SourceVideo
from vadjax.runtime import replacing

from . import ucsd_ped
from .lib import command
from .lib.feature_files import (
    AXES,
    OURS,
    crops_axis,
    known_axes,
    raw_shape,
    read_array,
    read_settings,
)

SEGMENTS = 32  # of a training bag
LISTS = pathlib.Path(__file__).parent / "lib" / "ped2_weak.json"
# Kind of clip → split and folder's prefix in Ped2 as it was published, and number of clips
SOURCES = {"normal": ("train", "Train", 16), "anomalous": ("test", "Test", 12)}


@dataclasses.dataclass(frozen=True)
class Clip:
    """A clip with its features.

    Attributes:
      name: "Train01" … "Test12".
      label: 1 if it holds an anomaly, else 0.
      labels: labels of its frames, uint8 [T].
      rows: features of its n snippets, float32 [crops, n, D].
    """

    name: str
    label: int
    labels: np.ndarray
    rows: np.ndarray

    def bag(self, train: bool, pool: bool, normalize: bool) -> Bag:
        """The clip as a bag.

        Args:
          train: leave out the labels of the frames.
          pool: make `SEGMENTS` rows of the snippets.
          normalize: divide every row by its L2 norm.
        """
        rows = self.rows
        if pool:  # rows are normalized after it, pooled or not
            rows = np.stack([pool_clips(crop, SEGMENTS, normalize=False) for crop in rows])
        return Bag(
            video=self.name,
            label=self.label,
            class_name="anomalous" if self.label else "normal",
            num_frames=UNKNOWN_LENGTH if train else len(self.labels),
            intervals=intervals_of(self.labels[:0] if train else self.labels),
            features=normalize_rows(rows) if normalize else rows,
        )


def intervals_of(labels: np.ndarray) -> np.ndarray:
    """Intervals `[start, stop)` of the ones in labels [T], int32 [n, 2]."""
    return np.flatnonzero(np.diff(labels, prepend=0, append=0)).reshape(-1, 2).astype(np.int32)


def read_lists() -> list[dict[str, list[int]]]:
    """Training clips of each split: `{"normal": [...], "anomalous": [...]}`, numbers from 1."""
    return json.loads(LISTS.read_text("utf-8"))


def read_clips(
    data: pathlib.Path, features: pathlib.Path, axes: str | None = None
) -> dict[str, list[Clip]]:
    """The normal and the anomalous clips in order.

    Args:
      data: folder of UCSD Ped2.
      features: folder of its features.
      axes: order of the axes of files of several crops, a name of `AXES`; None: by their sizes.

    Raises:
      FileNotFoundError: a folder is not there, or a clip has no features.
      ValueError: not the clips of Ped2, or features that cannot be theirs.
    """
    # Training clips of Ped2 are normal, test clips anomalous; the lists number them from 1
    videos = ucsd_ped.read_splits(data)
    for split, _, count in SOURCES.values():
        if len(videos[split]) != count:
            raise ValueError(
                f"{data}: {len(videos[split])} {split} clips; Ped2 has {count}, and the lists of "
                "the splits count on it"
            )
    # All files of features must be there, and tell together which axis has the crops
    paths = {
        kind: [_feature_path(video, data, features) for video in videos[split]]
        for kind, (split, _, _) in SOURCES.items()
    }
    all_paths = [*paths["normal"], *paths["anomalous"]]
    _check_there(all_paths, data, features)
    shapes = [raw_shape(path) for path in all_paths]
    axis = crops_axis(shapes, known_axes(features, axes), features, default=OURS)
    # Each clip must have the crops and columns of the one before; label 0 is normal, 1 anomalous
    clips, previous_shape = {}, None
    for label, (kind, (split, prefix, _)) in enumerate(SOURCES.items()):
        clips[kind] = []
        for number, (video, path) in enumerate(zip(videos[split], paths[kind], strict=True), 1):
            rows = _read_rows(path, axis, len(video.frames), previous_shape)
            previous_shape = rows.shape
            name, labels = f"{prefix}{number:02d}", _frame_labels(video, label)
            clips[kind].append(Clip(name, label, labels, rows))
    return clips


def _feature_path(video: SourceVideo, data: pathlib.Path, features: pathlib.Path) -> pathlib.Path:
    """The file that data_prep.extract_features writes for a clip of the folder `data`."""
    return features / f"{video.frames.folder.relative_to(data)}.npy"


def _check_there(paths: Sequence[pathlib.Path], data: pathlib.Path, features: pathlib.Path) -> None:
    """Refuses missing files of features with the command that makes them."""
    missing = [path for path in paths if not path.is_file()]
    if missing:
        raise FileNotFoundError(
            f"{missing[0]}: no such file; {len(missing)} of {len(paths)} clips have no features. "
            f"Run: python -m data_prep.extract_features --videos {data} --list clips.txt "
            f"--weights weights/i3d_rgb --out {features} (--help says what clips.txt is)"
        )


def _read_rows(
    path: pathlib.Path, axis: int, frames: int, other_shape: tuple[int, ...] | None
) -> np.ndarray:
    """Features of a clip, float32 [crops, n, D].

    Args:
      path: file of them.
      axis: of the crops in the file.
      frames: number of frames of the clip.
      other_shape: shape of the features of another clip, which must have as many crops and columns;
        None: there is none yet.

    Raises:
      ValueError: as `read_array`; rows that cannot be of so many frames, or other sizes.
    """
    # A snippet for every 16 frames; more where snippets overlap, but never more than frames
    rows, least = read_array(path, axis), frames // CLIP_FRAMES
    if not least <= rows.shape[1] <= frames:
        raise ValueError(
            f"{path}: {rows.shape[1]} rows for {frames} frames; expected {least}, one for every "
            f"{CLIP_FRAMES} frames, or more (--step). Are they of this clip?"
        )
    if other_shape and rows.shape[::2] != other_shape[::2]:
        raise ValueError(
            f"{path}: {rows.shape[0]} crops, {rows.shape[2]} columns; the clips before have "
            f"{other_shape[0]} and {other_shape[2]}. Extract all with the same network and --crops"
        )
    return rows


def _frame_labels(video: SourceVideo, label: int) -> np.ndarray:
    """Labels uint8 [T] of a clip whose own label is `label`.

    Raises:
      ValueError: they are unknown, or do not agree with it.
    """
    labels, frames = video.labels, len(video.frames)
    if labels is None:
        raise ValueError(
            f"clip {video.name}: no frame labels; expected testing/anomalous_frames.json or "
            "frame_labels_ped2.npy (python -m data_prep.ucsd_ped --help)"
        )
    # Training clips have one label for all frames
    labels = np.broadcast_to(np.asarray(labels, np.uint8), frames)
    if labels.any() != bool(label):
        raise ValueError(
            f"clip {video.name}: {int(labels.sum())} of its {frames} frames are anomalous; a "
            f"{'test clip of Ped2 has some' if label else 'training clip has none'}"
        )
    return labels


def split_clips(
    clips: Mapping[str, Sequence[Clip]], training: Mapping[str, Sequence[int]]
) -> dict[str, list[Clip]]:
    """The clips of `"train"` and of `"test"`, each with the normal ones first.

    Args:
      clips: `"normal"` and `"anomalous"` → clips in order.
      training: the same → numbers, from 1, of those to train on; the rest is for testing.
    """
    splits = {"train": [], "test": []}
    for kind, clips_of_kind in clips.items():
        for number, clip in enumerate(clips_of_kind, 1):
            splits["train" if number in training[kind] else "test"].append(clip)
    return splits


def _extraction(features: pathlib.Path, pool: bool, normalize: bool) -> dict:
    """Entry of the manifest: how rows of test bags were made, where that is known.

    Raises:
      ValueError: the rows are not snippets.
    """
    settings = read_settings(features)
    if settings is None:
        return {}
    if settings.get("pooling"):
        raise ValueError(f"{features}: its rows are segments; extract snippets, without pooling")
    # Later entries win: what was done here comes after what the extraction did
    pooled = {"pooling": "mean", "segments": SEGMENTS} if pool else {}
    extraction = {"pooling": None, "segments": None, **settings, **pooled, "normalize": normalize}
    return {"extraction": extraction}


def prepare(
    data: str | pathlib.Path,
    features: str | pathlib.Path,
    out: str | pathlib.Path,
    split: int | None = None,
    *,
    pool: bool = False,
    normalize: bool = False,
    axes: str | None = None,
    file_format: str = "array_record",
    shards: int | None = None,
) -> dict[pathlib.Path, dict]:
    """Writes the dataset `out/N` of one split or of all; arguments as the command's flags.

    Returns:
      Folder → manifest of each dataset.

    Raises:
      FileExistsError: one of the folders is there.
      FileNotFoundError, ValueError: as `read_clips`; no such split.
    """
    lists = read_lists()
    if split is not None and not 0 <= split < len(lists):
        raise ValueError(f"no split {split}; there are 0 to {len(lists) - 1} (--split)")
    clips = read_clips(pathlib.Path(data), pathlib.Path(features), axes)
    width, written = clips["normal"][0].rows.shape[-1], {}
    extra = {"streams": {"rgb": width}, **_extraction(pathlib.Path(features), pool, normalize)}

    def examples(part: str, part_clips: Sequence[Clip]) -> Iterator[dict]:
        train = part == "train"  # training bags are always pooled
        return (clip.bag(train, pool or train, normalize).to_example() for clip in part_clips)

    # All ten are written beside `out` and moved there together, or one by one into it
    out = pathlib.Path(out)
    replacing.clear(out)
    together = split is None and not out.exists()  # after a kill the command can be run again
    with replacing.folder(out) if together else contextlib.nullcontext(out) as work:
        for number in range(len(lists)) if split is None else [split]:
            parts = split_clips(clips, lists[number])
            written[out / str(number)] = builder.write_dataset(
                work / str(number),
                name=f"ped2_weak_{number}",
                kind=KIND,
                features=tfds_features(width),
                splits={part: examples(part, part_clips) for part, part_clips in parts.items()},
                file_format=file_format,
                shards=shards,
                extra=extra,
            )
    return written


def main(argv: list[str] | None = None) -> None:
    """Parses the command line and writes the datasets."""
    parser = argparse.ArgumentParser(
        prog="python -m data_prep.ped2_weak",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--data", required=True, help="folder of UCSD Ped2")
    add("--features", required=True, help="folder of its features")
    add("--split", type=int, help="only this one (default: all ten)")
    add("--pool", action="store_true", help="pool test clips to 32 segments too")
    add("--normalize", action="store_true", help="divide rows by their L2 norm")
    add("--axes", choices=AXES, help="of files of crops; default: by their sizes")
    command.add_output_flags(parser)
    # The other flags have the names of prepare's arguments
    args = vars(parser.parse_args(argv))
    args["file_format"] = args.pop("format")
    written = command.report_errors(prepare, **args)
    # What was written, and what to do with it
    for folder, manifest in written.items():
        counts = (
            f"{name} {split['normal']} normal + {split['anomalous']} anomalous"
            for name, split in manifest["splits"].items()
        )
        print(f"{folder}: {', '.join(counts)} clips")
    print(
        "Train on one: python -m vadjax.main --config=configs/ped2_mil.py "
        f"--config.data.dir={next(iter(written))} --workdir=runs/NAME"
    )


if __name__ == "__main__":
    command.run(main)
