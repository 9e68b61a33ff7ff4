"""What prediction found in several clips: the most unusual first, and all alarm intervals."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from vadjax.formats import json_files
from vadjax.formats.regular import is_there
from vadjax.report import events, intervals
from vadjax.runtime import replacing
from vadjax.runtime.terminal import visible
from vadjax.scores.alarm import AlarmLine

EVENT = {"schema": int, "video": str, ...: object}  # a line of `events.jsonl`
QUIET = "nothing unusual"


class ScoredClip(NamedTuple):
    """A clip that was scored.

    Attributes:
      name: of the clip.
      score: its highest score.
      seconds: when that is.
      alarms: how many alarm intervals it has.
    """

    name: str
    score: float
    seconds: float
    alarms: int

    def fields(self) -> dict[str, float]:
        """All but the name, as JSON can hold it."""
        fields = self._asdict()
        del fields["name"]
        return fields


def keep_events(out: pathlib.Path, name: str, found: Sequence[Mapping]) -> None:
    """Puts the alarm intervals of a clip into `out/events.jsonl`, in place of earlier ones of it.

    Those of other clips stay where their `NAME.json` is still there.

    Raises:
      ValueError: the file that is there is damaged.
      vadjax.runtime.space.NotWritten: the disk is full, or cannot be written.
    """
    path = out / events.FILE
    before = json_files.read_lines(path, EVENT) if is_there(path) else []
    others = [
        event
        for event in before
        if event["video"] != name and is_there(out / f"{event['video']}.json")
    ]
    rows = sorted([*others, *found], key=lambda event: event["video"])  # of each in order of time
    replacing.write(path, events.write_lines(rows))


def told(clip: ScoredClip, line: AlarmLine | None) -> str:
    """A line on a clip: its highest score and how many alarms it has."""
    if line is not None and not clip.alarms:
        return f"{visible(clip.name)}: {QUIET} (highest score {clip.score:.3f})"
    at = intervals.clock(clip.seconds)
    count = f"{clip.alarms:,} alarm{'' if clip.alarms == 1 else 's'}, " if line else ""
    return f"{visible(clip.name)}: {count}highest score {clip.score:.3f} at {at}"


def print_ranked(clips: Sequence[ScoredClip], line: AlarmLine | None) -> None:
    """Prints the clips, the most unusual first; nothing of a single one, which was told already."""
    if len(clips) < 2:
        return
    print("\nThe most unusual first:")
    for rank, clip in enumerate(sorted(clips, key=lambda clip: (-clip.score, clip.name)), 1):
        print(f"  {rank}. {told(clip, line)}")
    if line is None:
        print("This run has no alarm line, so none of them can be called quiet.")
