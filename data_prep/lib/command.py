"""What the command lines of all preparing programs share."""

import argparse
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from absl import logging

from vadjax.data.store.records import FORMATS
from vadjax.runtime import command
from vadjax.runtime.command import run  # noqa: F401  (programs end with command.run(main))


def add_output_flags(parser: argparse.ArgumentParser) -> None:
    """Adds `--out`, `--format` and `--shards`."""
    parser.add_argument("--out", required=True, help="folder to write; must not exist yet")
    parser.add_argument("--format", choices=FORMATS, default=FORMATS[0], help="of the shards")
    parser.add_argument("--shards", type=int, help="shards per split (default: by size)")


def add_beam_flag(parser: argparse.ArgumentParser) -> None:
    """Adds `--beam`."""
    text = "share the videos out by Apache Beam, with these options for it"
    parser.add_argument("--beam", nargs="?", const="", metavar="OPTIONS", help=text)


def add_reading_flags(parser: argparse.ArgumentParser) -> None:
    """Adds `--deinterlace` and `--strict` (`vadjax.data.video.reader.Reading`)."""
    add = parser.add_argument
    add("--deinterlace", action="store_true", help="make whole frames of interlaced video")
    add("--strict", action="store_true", help="a video that is cut short or damaged is an error")


def parse_size(text: str) -> tuple[int, int]:
    """`HxW` → (H, W).

    Raises:
      ArgumentTypeError: other text, or a size below 1.
    """
    match = re.fullmatch(r"(\d+)x(\d+)", text)
    if not match or min(map(int, match.groups())) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}; expected HEIGHTxWIDTH, for example 256x256")
    return int(match[1]), int(match[2])


def parse_columns(text: str) -> tuple[str, ...]:
    """Names of columns, separated by commas."""
    return tuple(name.strip() for name in text.split(","))


def report_errors(function: Callable, *args, **kwargs) -> Any:
    """As `vadjax.runtime.command.report_errors`, without the log messages of orbax."""
    logging.set_verbosity(logging.FATAL)  # what orbax logs as an error it raises too
    return command.report_errors(function, *args, **kwargs)


# Kind of dataset → config that the summary proposes
CONFIGS = {
    "features": "configs/ucf_mil.py",
    "frames": "configs/ped2_lgn.py",
    "images": "configs/exemplar_appearance_network.py:cpu",
    "objects": "configs/ped2_ssmtl.py",
    "tracks": "configs/shanghaitech_attributes.py:tracks",
}


def print_summary(out: str, manifest: Mapping, config: str | None = None) -> None:
    """Prints what was written and the command that uses it.

    Args:
      out: folder of the dataset.
      manifest: its manifest.
      config: to propose, with the flags that it needs; None takes one by the kind of dataset.
    """
    for name, split in manifest["splits"].items():
        size = sum(shard["bytes"] for shard in split["shards"]) / 1e6
        print(f"{name}: {_describe(split)}, {len(split['shards'])} shards, {size:,.1f} MB")
    print(f"Wrote {manifest['name']} to {out} ({manifest['format']}).")
    # Objects are trained on together with their frames
    data_flags = f"--config.data.dir={out}"
    if manifest["kind"] == "objects":
        data_flags = f"--config.data.dir={manifest['frames']['folder']} --config.data.objects={out}"
    print(
        f"Train on it: python -m vadjax.main --config={config or _config(manifest)} {data_flags} "
        "--workdir=runs/NAME"
    )


def _config(manifest: Mapping) -> str:
    """A config that trains on such a dataset."""
    # Only bags of snippets have a rule of sampling: linear as S3R, mean as RTFM
    if "sampling" not in manifest:
        return CONFIGS[manifest["kind"]]
    place = "shanghaitech" if manifest["name"].startswith("shanghaitech") else "ucf"
    return f"configs/{place}_{'s3r' if manifest['sampling']['rule'] == 'linear' else 'rtfm'}.py"


def _describe(split: Mapping) -> str:
    """Counts of a split, from its entry in the manifest, whose keys tell the kind of dataset."""
    # Objects, then images, then bags, then tracks, else frames
    if "objects" in next(iter(split.get("videos", [])), ()):
        frames = sum(video["frames"] for video in split["videos"])
        return f"{len(split['videos'])} videos, {frames:,} frames, {split['records']:,} objects"
    if "images" in split:
        shown = ", ".join(f"{name} {count:,}" for name, count in split["images"].items())
        return f"{split['records']:,} images ({shown})"
    counts = f"{split['anomalous']:,} anomalous, {split['normal']:,} normal"
    if "videos" not in split:
        return f"{split['records']} videos ({counts})"
    if split["unlabelled"]:
        counts += f", {split['unlabelled']:,} without label"
    if "boxes" in next(iter(split["videos"]), ()) and "kinds" not in split["videos"][0]:
        frames, boxes = (
            sum(video[key] for video in split["videos"]) for key in ("frames", "boxes")
        )
        return f"{len(split['videos'])} videos, {frames:,} frames ({counts}), {boxes:,} boxes"
    return f"{len(split['videos'])} videos, {split['records']:,} frames ({counts})"


def describe_tracks(tracks: dict[str, np.ndarray]) -> str:
    """Counts and ranges of tracks [n, 6], by which a wrong order of columns shows.

    Args:
      tracks: name of a video → rows `track, frame, x_min, y_min, x_max, y_max`.
    """
    rows = np.concatenate([np.zeros((0, 6)), *tracks.values()])
    count = sum(len(np.unique(video_rows[:, 0])) for video_rows in tracks.values())
    text = f"{len(tracks)} videos, {count} tracks, {len(rows):,} boxes"
    if not len(rows):
        return text
    # A track has one box in a frame, unless columns were mixed up
    low, high = rows.min(0), rows.max(0)
    distinct = sum(len(np.unique(video_rows[:, :2], axis=0)) for video_rows in tracks.values())
    repeated = len(rows) - distinct
    warning = f"; {repeated:,} rows repeat a track and frame: is the order of columns right?"
    return (
        f"{text}; frames {low[1]:g} to {high[1]:g}, x {low[2]:g} to {high[4]:g}, "
        f"y {low[3]:g} to {high[5]:g}{warning if repeated else ''}"
    )
