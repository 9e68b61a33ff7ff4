"""Checks of a dataset's `manifest.json`, made before anything in it is used.

The fields must have the types that the kind of the dataset needs, names must not lead out of the
folder, and counts must agree with each other. No JAX.
"""

import datetime
import math
import pathlib
from collections.abc import Mapping

from vadjax.data.video.frame_times import MOST_FPS
from vadjax.formats import json_files
from vadjax.formats.names import check_name

# The largest values that are accepted.
MOST_SIDE = 1 << 15  # pixels of a side of a frame
MOST_PIXELS = 1 << 27  # pixels of a frame
MOST_WIDTH = 1 << 20  # columns of features, or outputs of a network
MOST_FRAMES = 20_000_000  # frames of a video
# Patterns of `vadjax.formats.json_files`.
FILE = {"file": str, "bytes": int, "sha256": str}
SPLIT = {"records": int, "shards": [FILE]}
COMMON = {"name": str, "kind": str, "format": str, "files?": [FILE]}
VIDEO = {"name": str, "frames": int}
SOURCE = {"source_size": [int], "masks": bool, "boxes": bool, "tracks": bool, "kinds": {...: str}}
SOURCE |= {"start?": (str, None)}  # ISO 8601
OF_FRAMES = {"encoding": str, "size": [int], "levels?": ([float], None), "fps?": (float, None)}
OF_FRAMES |= {"resample_fps?": (float, None)}
OF_FRAMES |= {"quality?": int, "ignored?": (str, None)}  # of JPEGs; `video.ignored`
OF_FRAMES |= {"resample_fps?": (float, None)}
OF_FRAMES |= {"source_size?": [int]}  # only in what a run keeps of it
OF_OBJECTS = {"frames": {"name": str, "digest": str, "folder": str}}
OF_OBJECTS |= {"outputs": {...: int}, "detector": dict}
EXTRACTION = {  # how features were made: the fields that other programs use
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
    "tracks": (
        {"size": [int], "fps?": (float, None)},
        {"videos": [{**VIDEO, "boxes": int, "labels": (str, None)}]},
    ),
}
DESCRIPTION = {"folder": str, "digest": str}
ENCODINGS = ("raw", "jpeg", "png")
LABELS = ({"0"}, {"0", "1"})  # what the first and the second digit of a label may be


def read(path: pathlib.Path) -> dict:
    """The manifest of a dataset.

    Raises:
      OSError: the file cannot be read.
      ValueError: it is not JSON, a field is missing, has another type or contradicts another, or a
        name leads out of the folder; the message has the file and the field.
    """
    manifest = json_files.read(path, COMMON | {"splits": {...: SPLIT}})
    check(manifest, path)
    for split, entry in manifest["splits"].items():
        # Names of files first: nothing outside the folder may be read. Then the counts.
        where = f"{path}: split {split!r}"
        for shard in entry["shards"]:
            check_name(shard["file"], where, "shard", nested=True)
        if manifest["kind"] == "features":
            labels = entry.get("labels", "")
            _check_labels(labels, entry["records"], where)
            _check_sum("labels", entry["normal"] + entry["anomalous"], entry["records"], where)
            _check_sum("1 in labels", labels.count("01"), entry["anomalous"], where)
        if "videos" in KINDS.get(manifest["kind"], ({}, {}))[1]:
            _check_videos(manifest, entry, where)
    for file in manifest.get("files", []):
        check_name(file["file"], path, "file", nested=True)
    if manifest["kind"] == "frames":
        _check_files(manifest, path)
    return manifest


def check(found: dict, where: object, splits: bool = True) -> None:
    """Compares the fields of a manifest with those of its kind.

    Args:
      found: the manifest.
      where: its file, for messages.
      splits: whether to check the fields of the splits too.

    Raises:
      ValueError: as `read`.
    """
    fields, of_splits = KINDS.get(found["kind"], ({}, {}))
    json_files.check_fields(
        found, {**fields, "splits": {...: of_splits if splits else dict}}, where
    )
    for split in found["splits"]:
        check_name(split, where, "split")
    # Values that have the right type but cannot be.
    if "size" in fields:
        _check_size(found["size"], f"{where}: size")
    if "source_size" in found:
        _check_size(found["source_size"], f"{where}: source_size")
    if found.get("encoding", ENCODINGS[0]) not in ENCODINGS:
        raise ValueError(
            f"{where}: encoding {found['encoding']!r:.40}; expected {', '.join(ENCODINGS)}"
        )
    for levels in (found.get("levels"), (found.get("extraction") or {}).get("levels")):
        if levels is not None and len(levels) != 2:
            raise ValueError(f"{where}: levels {levels!r:.40}; expected two numbers")
    if (fps := found.get("fps")) is not None:
        check_fps(fps, f"{where}: fps")
    for field in ("streams", "outputs"):
        for name, width in found.get(field, {}).items():
            if width > MOST_WIDTH:
                raise ValueError(
                    f"{where}: {field}.{name} is {width:,}; expected {MOST_WIDTH:,} at most"
                )


def check_fps(fps: float, what: str) -> None:
    """Checks frames a second.

    Args:
      fps: frames a second.
      what: names the value in the message.

    Raises:
      ValueError: not above 0, above `MOST_FPS`, or no number.
    """
    if not 0 < fps <= MOST_FPS:
        raise ValueError(f"{what} is {fps:g}; expected more than 0, to {MOST_FPS:,}")


def read_description(path: pathlib.Path) -> dict:
    """`folder`, `manifest` and `digest` of a dataset, as a run stores them (`dataset.json`).

    Raises:
      OSError, ValueError: as `read`.
    """
    content = json_files.read(path, {**DESCRIPTION, "manifest": {**COMMON, "splits": {...: dict}}})
    check(content["manifest"], f"{path}: manifest", splits=False)
    return {name: content[name] for name in ("folder", "manifest", "digest")}


def _check_videos(manifest: Mapping, entry: Mapping, where: str) -> None:
    """Raises ValueError unless the videos of a split can be, and make up all of its records."""
    for video in entry["videos"]:
        name = check_name(video["name"], where)
        if not 1 <= video["frames"] <= MOST_FRAMES:
            raise ValueError(f"{where}: video {name} has {video['frames']:,} frames")
        if video.get("labels") is not None:
            _check_labels(video["labels"], video["frames"], f"{where}: video {name}")
        if "source_size" in video:
            _check_size(video["source_size"], f"{where}: source_size of video {name}")
        if video.get("start") is not None:
            _check_start(video["start"], f"{where}: start of video {name}")
        if not all(key.isascii() and key.isdigit() for key in video.get("kinds", {})):
            raise ValueError(f"{where}: kinds of video {name}; expected numbers of tracks")
    if manifest["kind"] == "tracks":  # a record is a video
        _check_sum("number of its videos", len(entry["videos"]), entry["records"], where)
        return
    counted = "objects" if manifest["kind"] == "objects" else "frames"
    total = sum(video[counted] for video in entry["videos"])
    _check_sum(f"{counted} of its videos", total, entry["records"], where)


def _check_start(text: str, where: str) -> None:
    """Raises ValueError unless a text is a date and time in ISO 8601."""
    try:
        datetime.datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{where} is {text!r:.40}; expected as 2026-01-31T15:30:00") from None


def _check_files(manifest: Mapping, where: object) -> None:
    """Raises ValueError unless the boxes and tracks that videos have are among the files."""
    listed = {file["file"] for file in manifest.get("files", [])}
    for split, entry in manifest["splits"].items():
        for video in entry["videos"]:
            for kind, ending in (("boxes", "csv"), ("tracks", "txt")):
                name = f"{kind}/{split}/{video['name']}.{ending}"
                if video[kind] and name not in listed:
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
    """Raises ValueError unless a sum over parts is the number that the manifest gives."""
    if count != records:
        raise ValueError(f"{where}: {count:,} {what}, but it says {records:,}")


def _check_size(size: list, where: str) -> None:
    """Raises ValueError unless this is the (H, W) of a frame that memory can hold."""
    valid = len(size) == 2 and all(1 <= side <= MOST_SIDE for side in size)
    if not valid or math.prod(size) > MOST_PIXELS:
        raise ValueError(
            f"{where} is {size!r:.40}, expected [height, width] of up to {MOST_PIXELS:,} pixels"
        )
