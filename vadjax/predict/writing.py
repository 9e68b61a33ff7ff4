"""The files of a video that was scored, and what a person reads of it at once."""

import pathlib
import warnings
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax
import numpy as np

from vadjax.data.video.reader import Reading, open_frames
from vadjax.predict import kept, ranking
from vadjax.predict.ranking import ScoredClip
from vadjax.predict.restore import Trained
from vadjax.report import curves, events, intervals, overlay
from vadjax.report import film as films
from vadjax.report.events import EventRule
from vadjax.runtime import lock, metric_writers, provenance, replacing
from vadjax.scores import files
from vadjax.scores.files import Scores

TOP = events.TOP  # intervals to name where there is no alarm line
MOST_PRINTED = 20  # intervals that are printed and numbered in the picture


class Rate(NamedTuple):
    """Frames a second, and where that is from: `file`, `flag`, `training` or `assumed`."""

    fps: float
    source: str


class VideoToScore(NamedTuple):
    """A video that is scored.

    Attributes:
      name: of the video.
      path: of its file, or of the folder of its frames.
      rate: its frames a second.
      reading: how it is read.
      made_of: what its scores depend on (`kept.MadeOf`).
    """

    name: str
    path: pathlib.Path
    rate: Rate
    reading: Reading
    made_of: Mapping


def write(
    trained: Trained,
    video: VideoToScore,
    result: Scores,
    out: pathlib.Path,
    film: bool,
    rule: EventRule,
) -> ScoredClip:
    """Writes `scores/NAME.npz`, `NAME.png`, `NAME.mp4` and, when all is there, `NAME.json`.

    Its alarm intervals are also put into `events.jsonl`, where the system says where they are.

    Args:
      trained: the run.
      video: the video.
      result: its scores.
      out: folder of the prediction.
      film: whether to write a film.
      rule: how scores become alarm intervals.

    Raises:
      ValueError: it cannot be decoded.
      vadjax.runtime.space.NotWritten: the disk is full, or cannot be written.
    """
    # Scores, and where they are highest.
    name, fps = video.name, video.rate.fps
    files.write(out / "scores", result)
    told = events.of_video(result, rule)
    highest = _intervals(result, fps, rule, told)
    clip = _clip(result, len(highest) if rule.line else 0)
    summary = _summary(trained, video, result, rule, highest, told)
    # The picture and the film.
    curve = curves.draw_predicted(
        result, highest[:MOST_PRINTED], fps, rule.line.line if rule.line else None
    )
    replacing.write(out / f"{name}.png", curves.to_png(curve))
    print_summary(name, summary)
    lacking = films.lacks() if film else ""
    if lacking:
        print(f"{name}: {lacking}")
    with_film = film and not lacking
    if with_film:
        _write_film(video, len(result.frame_scores), out)
    # The events, and last of all the file that says that the video is finished, and with what. Of
    # several predictions into one folder one writes at a time: all share the file of events.
    placed = result.boxes is not None or (result.map is not None and trained.size)
    with lock.held(replacing.hidden(out / events.FILE, "lock"), str(out), wait=True):
        if placed:
            ranking.keep_events(out, name, told)
        found = kept.written(out, name, with_film, told if placed else None)
        summary |= {kept.CLIP: clip.fields(), kept.MADE_OF: dict(video.made_of), **found}
        metric_writers.write_json(out / f"{name}.json", summary)
    ends = ".png, .json, .mp4" if with_film else ".png, .json"
    print(f"Written: {out}/scores/{name}.npz, {out}/{name}{{{ends}}}")
    return clip


def _clip(result: Scores, alarms: int) -> ScoredClip:
    """The highest score of the frames that count, and when it is."""
    scores = np.where(
        True if result.scored is None else result.scored, result.frame_scores, -np.inf
    )
    peak = int(scores.argmax())
    return ScoredClip(result.video, float(scores[peak]), float(result.times[peak]), alarms)


def _summary(
    trained: Trained,
    video: VideoToScore,
    result: Scores,
    rule: EventRule,
    highest: Sequence[intervals.Interval],
    told: Sequence[Mapping],
) -> dict:
    """What `NAME.json` tells of a video."""
    rate, counted = video.rate, result.counted().frame_scores
    return {
        "video": str(video.path),
        "frames": len(result.frame_scores),
        "fps": rate.fps,
        "fps_source": rate.source,
        "seconds": round(float(result.times[-1]) + 1 / rate.fps, 3),
        "box_size": trained.size,
        "median": round(float(np.median(counted)), 4),
        "highest": round(float(counted.max()), 4),
        "line": rule.line.line if rule.line else None,
        "reliable": rule.line.reliable if rule.line else None,
        "intervals": [_row(interval, result, rate.fps, told) for interval in highest],
        provenance.KEY: provenance.made_with(jax.devices(), trained.data),
    }


def _write_film(video: VideoToScore, frames: int, out: pathlib.Path) -> None:
    """Writes the frames that were scored as `NAME.mp4`."""
    pictures = (picture.pixels for picture in open_frames(video.path, video.reading))
    source = overlay.FrameSource(pictures, frames)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the first reading has given these warnings
        films.write(source, out / f"{video.name}.mp4", video.rate.fps, f"film {video.name}")


def _intervals(
    result: Scores, fps: float, rule: EventRule, told: Sequence[Mapping]
) -> list[intervals.Interval]:
    """The alarm intervals by the run's line, the highest first; else the highest of the video."""
    if rule.line is None:
        return intervals.top(result.frame_scores, TOP, result.scored, fps)
    if events.tells(result):
        found = [events.interval_of(result, event["start"], event["stop"]) for event in told]
    else:
        found = events.alarms(result, rule.line.line, fps)
    return sorted(found, key=lambda interval: -interval.score)


def _row(interval: intervals.Interval, result: Scores, fps: float, told: Sequence[Mapping]) -> dict:
    """An interval as JSON can hold it, with its sentence or its strongest reason, in seconds."""
    start, stop = interval.start, interval.stop
    reasons = [reason for reason in result.reasons if start <= reason["frame"] < stop]
    strongest = max(reasons, key=lambda reason: reason["score"], default=None)
    same = (event for event in told if (event["start"], event["stop"]) == (start, stop))
    strongest = next(same, strongest)
    return {
        "start": round(float(result.times[start]), 3),
        "stop": round(float(result.times[stop - 1]) + 1 / fps, 3),
        "frames": [start, stop],
        "peak": interval.peak,
        "score": round(interval.score, 4),
        **({"reason": strongest["text"]} if strongest else {}),
    }


def print_summary(name: str, summary: Mapping) -> None:
    """Prints what a person wants to know of a video at once: when its scores are highest.

    Args:
      name: of the video.
      summary: as its `NAME.json` has it.
    """
    print(f"\n{name}: {summary['frames']:,} frames, median score {summary['median']:.3f}")
    if not summary["intervals"]:
        quiet = f"{ranking.QUIET}: the highest score is {summary['highest']:.3f}"
        print(f"  {quiet if summary['line'] else 'the score is the same everywhere'}")
    if len(summary["intervals"]) > MOST_PRINTED:
        print(f"  the {MOST_PRINTED} highest of {len(summary['intervals']):,} alarm intervals:")
    for row in summary["intervals"][:MOST_PRINTED]:
        first, stop = row["frames"]
        span = f"{intervals.clock(row['start'])} to {intervals.clock(row['stop'])}"
        print(f"  {span}   frames {first:,}-{stop - 1:,}   score {row['score']:.3f}")
        if "reason" in row:
            print(f"      {row['reason']}")
