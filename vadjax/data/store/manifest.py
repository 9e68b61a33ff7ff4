"""What `manifest.json` of a dataset must say, checked before anything is done by it.

The fields and their types by the kind of the dataset; names that cannot lead out of the folder;
counts that agree with each other. No JAX.
"""

import math
import pathlib
from collections.abc import Mapping

from vadjax.formats import json_files
from vadjax.formats.names import check_name

MOST_SIDE = 1 << 15  # pixels of a side of a frame
MOST_PIXELS = 1 << 27  # of a frame
MOST_WIDTH = 1 << 20  # columns of features, outputs of a network
MOST_FRAMES = 20_000_000  # of a video
FILE = {"file": str, "bytes": int, "sha256": str}
SPLIT = {"records": int, "shards": [FILE]}
COMMON = {"name": str, "kind": str, "format": str, "files?": [FILE]}
VIDEO = {"name": str, "frames": int}
SOURCE = {"source_size": [int], "masks": bool, "boxes": bool, "tracks": bool, "kinds": {...: str}}
OF_FRAMES = {"encoding": str, "size": [int], "levels?": ([float], None)}
OF_OBJECTS = {"frames": {"name": str, "digest": str, "folder": str}}
OF_OBJECTS |= {"outputs": {...: int}, "detector": dict}
EXTRACTION = {  # how features were made, of what other programs act on
    "weights?": str,
    "crops?": str,
    "step?": int,
    "normalisation?": (str, None),
    "flow?": (str, None),
    "normalize?": bool,
    "resample_fps?": (float, None),
    "levels?": ([float], None),
}
KINDS = {  # kind → fields of the manifest, fields of a split
    "features": (
        {"streams": {...: int}, "extraction?": (EXTRACTION, None), "levels?": ([float], None)},
        {"normal": int, "anomalous": int, "labels?": str},
    ),
    "frames": (OF_FRAMES, {"videos": [{**VIDEO, **SOURCE, "labels": (str, None)}]}),
    "images": ({"classes": [str], "size": [int], "levels?": ([float], None)}, {}),
    "objects": (OF_OBJECTS, {"videos": [{**VIDEO, "objects": int}]}),
}
DESCRIPTION = {"folder": str, "digest": str}
ENCODINGS = ("raw", "jpeg")
LABELS = ({"0"}, {"0", "1"})  # first and second digits of labels


def read(path: pathlib.Path) -> dict:
    """The manifest of a dataset.

    Raises:
      OSError: it cannot be read.
      ValueError: not JSON, a field that is missing, of another type or that others contradict, or
        a name that leads out of the folder; names the file and the field.
    """
    found = json_files.read(path, COMMON | {"splits": {...: SPLIT}})
    check(found, path)
    for split, entry in found["splits"].items():
        where = f"{path}: split {split!r}"
        for shard in entry["shards"]:
            check_name(shard["file"], where, "shard", nested=True)
        if found["kind"] == "features":
            labels = entry.get("labels", "")
            _check_labels(labels, entry["records"], where)
            _check_sum("labels", entry["normal"] + entry["anomalous"], entry["records"], where)
            _check_sum("1 in labels", labels.count("01"), entry["anomalous"], where)
        if "videos" in KINDS.get(found["kind"], ({}, {}))[1]:
            _check_videos(found, entry, where)
    for file in found.get("files", []):
        check_name(file["file"], path, "file", nested=True)
    if found["kind"] == "frames":
        _check_files(found, path)
    return found


def check(found: dict, where: object, splits: bool = True) -> None:
    """Compares the fields of a manifest with those of its kind; `splits`: theirs too.

    Raises:
      ValueError: as `read`.
    """
    own, of_split = KINDS.get(found["kind"], ({}, {}))
    json_files.check_fields(found, {**own, "splits": {...: of_split if splits else dict}}, where)
    for split in found["splits"]:
        check_name(split, where, "split")
    if "size" in own:
        _check_size(found["size"], f"{where}: size")
    if found.get("encoding", ENCODINGS[0]) not in ENCODINGS:
        raise ValueError(f"{where}: encoding {found['encoding']!r:.40}; expected raw or jpeg")
    for levels in (found.get("levels"), (found.get("extraction") or {}).get("levels")):
        if levels is not None and len(levels) != 2:
            raise ValueError(f"{where}: levels {levels!r:.40}; expected two numbers")
    for field in ("streams", "outputs"):
        for name, width in found.get(field, {}).items():
            if width > MOST_WIDTH:
                raise ValueError(
                    f"{where}: {field}.{name} is {width:,}; expected {MOST_WIDTH:,} at most"
                )


def read_description(path: pathlib.Path) -> dict:
    """`folder`, `manifest` and `digest` of a dataset, as a run keeps them (`dataset.json`).

    Raises:
      OSError, ValueError: as `read`.
    """
    found = json_files.read(path, {**DESCRIPTION, "manifest": {**COMMON, "splits": {...: dict}}})
    check(found["manifest"], f"{path}: manifest", splits=False)
    return {name: found[name] for name in ("folder", "manifest", "digest")}


def _check_videos(found: Mapping, entry: Mapping, where: str) -> None:
    """Names, lengths and labels of the videos of a split; and how many records they are."""
    for video in entry["videos"]:
        name = check_name(video["name"], where)
        if not 1 <= video["frames"] <= MOST_FRAMES:
            raise ValueError(f"{where}: video {name} has {video['frames']:,} frames")
        if video.get("labels") is not None:
            _check_labels(video["labels"], video["frames"], f"{where}: video {name}")
        if "source_size" in video:
            _check_size(video["source_size"], f"{where}: source_size of video {name}")
        if not all(key.isascii() and key.isdigit() for key in video.get("kinds", {})):
            raise ValueError(f"{where}: kinds of video {name}; expected numbers of tracks")
    counted = "objects" if found["kind"] == "objects" else "frames"
    total = sum(video[counted] for video in entry["videos"])
    _check_sum(f"{counted} of its videos", total, entry["records"], where)


def _check_files(found: Mapping, where: object) -> None:
    """Raises ValueError unless the boxes and tracks that videos have are among the files."""
    listed = {file["file"] for file in found.get("files", [])}
    for split, entry in found["splits"].items():
        for video in entry["videos"]:
            for what, ending in (("boxes", "csv"), ("tracks", "txt")):
                name = f"{what}/{split}/{video['name']}.{ending}"
                if video[what] and name not in listed:
                    raise ValueError(
                        f"{where}: files lacks {name}, which video {video['name']} has"
                    )


def _check_labels(labels: str, count: int, where: str) -> None:
    """Raises ValueError unless a text has two digits, 00 or 01, for each of `count` records."""
    digits = {*labels[::2]} <= LABELS[0] and {*labels[1::2]} <= LABELS[1]
    if len(labels) != 2 * count or not digits:
        raise ValueError(
            f"{where}: labels are {len(labels):,} digits {labels[:8]!r}…, expected 00 or 01 for "
            f"each of {count:,}"
        )


def _check_sum(what: str, count: int, records: int, where: str) -> None:
    if count != records:
        raise ValueError(f"{where}: {count:,} {what}, but it says {records:,}")


def _check_size(size: list, where: str) -> None:
    sides = len(size) == 2 and all(1 <= side <= MOST_SIDE for side in size)
    if not sides or math.prod(size) > MOST_PIXELS:
        raise ValueError(
            f"{where} is {size!r:.40}, expected [height, width] of up to {MOST_PIXELS:,} pixels"
        )
