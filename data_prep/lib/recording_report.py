"""What is said of recordings before and after they are stored."""

import pathlib
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import IO, NamedTuple

from vadjax.data.video.frame_times import MOST_FPS, SAME_RATE
from vadjax.runtime import space

from . import command, recording_changes, recordings
from .recording_join import Gap, Recorded
from .recording_scan import Scan

FLAGS = {"train": "--normal", "test": "--new"}
LISTED = 10  # lines of a kind that are printed
MOST_REMARKS = 50  # on recordings that can be used


class Footage(NamedTuple):
    """What was found and looked through.

    Attributes:
      scans: split → recordings that can be used.
      left_out: split → path and reason of those that cannot.
      unusable: split → the recordings that cannot, without files that are there twice.
    """

    scans: dict[str, list[Scan]]
    left_out: dict[str, list[tuple[str, str]]]
    unusable: dict[str, list[recordings.Recording]]


def nothing_left(flag: str, left_out: Sequence[tuple[str, str]]) -> str:
    """Message for footage of which nothing can be used."""
    return "\n  ".join(
        [
            f"{flag}: nothing is left; none of these can be used:",
            *(f"{path}: {reason}" for path, reason in left_out[:LISTED]),
            *([f"and {len(left_out) - LISTED:,} more"] if left_out[LISTED:] else []),
        ]
    )


def say(
    found: Mapping[str, recordings.Found],
    footage: Footage,
    videos: Mapping[str, Sequence[Recorded]],
    gaps: Mapping[str, Sequence[Gap]],
) -> None:
    """Prints what was found: counts, joins, gaps, remarks, and footage that looks otherwise."""
    # What there is of each split
    for split, listed in videos.items():
        files, joined = len(footage.scans[split]), sum(len(v.parts) > 1 for v in listed)
        lasting = _lasting(sum(video.seconds for video in listed))
        into = f" in {len(listed):,} videos" if len(listed) != files else ""
        print(f"{FLAGS[split]}: {files:,} recordings{into}, {lasting}")
        if joined:
            parts = sum(len(video.parts) for video in listed if len(video.parts) > 1)
            print(f"  {parts:,} recordings adjoin by their names: {joined:,} videos of them")
        if gaps[split]:
            total = _lasting(sum(gap.seconds for gap in gaps[split]))
            print(f"  {len(gaps[split]):,} gaps, {total} in all; behind a gap a new video begins:")
            _list(
                f"{gap.seconds:.1f} s between {gap.before} and {gap.after}" for gap in gaps[split]
            )
        if passed := found[split].passed_over:
            shown = ", ".join(sorted({path.suffix.lower() or path.name for path in passed})[:5])
            print(f"  {len(passed):,} other files are passed over ({shown})")
    # What may be a mistake
    _warn_repeated([video for split in videos.values() for video in split])
    _warn_same(footage)
    if lines := recording_changes.describe(videos["train"], videos.get("test", ())):
        print(
            f"warning: {len(lines):,} stretches do not look like the rest of the normal footage. "
            "They are kept; if they are of another time of day or of another position of the "
            "camera, make a dataset of each:",
            file=sys.stderr,
        )
        _list(lines, sys.stderr)


def say_remarks(footage: Footage) -> None:
    """Prints a warning for every recording of which something should be known."""
    scans = [scan for split in footage.scans.values() for scan in split]
    remarks = [f"{scan.recording.path}: {text}" for scan in scans for text in scan.remarks]
    for remark in remarks[:MOST_REMARKS]:
        print(f"warning: {remark}", file=sys.stderr)
    if (more := len(remarks) - MOST_REMARKS) > 0:
        print(f"warning: and {more:,} more remarks on recordings", file=sys.stderr)


def _warn_repeated(videos: Sequence[Recorded]) -> None:
    """Warns of videos that have fewer frames a second than those to which they are resampled."""
    slow = [video for video in videos if (video.rate or 0) > SAME_RATE * (video.fps or MOST_FPS)]
    if slow:
        print(
            f"warning: {slow[0].name} has {slow[0].fps:.4g} frames a second; --resample_fps="
            f"{slow[0].rate:g} repeats frames, in which nothing moves ({len(slow):,} videos)",
            file=sys.stderr,
        )


def _warn_same(footage: Footage) -> None:
    """Warns of files that are both in --normal and in --new."""
    normal = {scan_.recording.path.resolve() for scan_ in footage.scans["train"]}
    both = [s for s in footage.scans.get("test", ()) if s.recording.path.resolve() in normal]
    if both:
        print(
            f"warning: {len(both):,} files of --new are in --normal too, as "
            f"{both[0].recording.path}; what was learned as normal is not found in them",
            file=sys.stderr,
        )


def _list(lines: Iterable[str], file: IO | None = None) -> None:
    """Prints up to `LISTED` lines, and how many more there are."""
    lines = [*lines]
    for line in lines[:LISTED]:
        print(f"  {line}", file=file)
    if lines[LISTED:]:
        print(f"  and {len(lines) - LISTED:,} more", file=file)


def _lasting(seconds: float) -> str:
    """A time as a person reads it."""
    if seconds < 100:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def say_at_end(out: str | pathlib.Path, manifest: Mapping, footage: Footage, cameras: str) -> None:
    """Prints sizes, the next command, and at the very end what was left out."""
    stored = sum(s["bytes"] for split in manifest["splits"].values() for s in split["shards"])
    files = sum(s.recording.bytes for split in footage.scans.values() for s in split)
    how = f"JPEG of quality {manifest['quality']}" if "quality" in manifest else "PNG, lossless"
    print(f"The frames take {space.size(stored)} ({how}), the recordings {space.size(files)}.")
    config = "configs/camera.py"
    if cameras != "one":
        config += " --config.data.cameras=prefix"
    command.print_summary(str(out), manifest, config)
    left_out = [entry for split in footage.left_out.values() for entry in split]
    if left_out:
        print(f"Left out: {len(left_out):,} recordings")
        for path, reason in left_out:
            print(f"  {path}: {reason}")
