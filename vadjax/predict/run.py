"""Scores any video, folder of frames or camera, and writes curve, film and highest intervals."""

import contextlib
import dataclasses
import functools
import math
import pathlib
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

import cv2
import jax
import ml_collections
import numpy as np

from vadjax.data.video.camera import is_camera
from vadjax.data.video.frame_stream import Frame
from vadjax.data.video.reader import AS_IT_IS, Reading, VideoFile, find_videos, open_frames
from vadjax.data.video.snippets import FRAMES as SNIPPET
from vadjax.formats import json_files
from vadjax.formats.names import check_name
from vadjax.live.options import LiveOptions
from vadjax.live.session import LiveSession
from vadjax.predict import cameras, index, live, ranking
from vadjax.predict.cameras import DEFAULT_FPS
from vadjax.predict.ranking import ScoredClip
from vadjax.predict.restore import Trained, restore, timed
from vadjax.report import curves, events, intervals, overlay
from vadjax.report import film as films
from vadjax.report.events import EventRule
from vadjax.runtime import metric_writers, progress, provenance, replacing, workdir
from vadjax.scores import alarm, files
from vadjax.scores.alarm import AlarmLine
from vadjax.scores.files import Scores
from vadjax.scores.streaming import CollectedScores

MAP_BYTES = 64 << 20  # largest map in a score file; a larger one is left out
REASONS = 2000  # number of reasons of one video to keep
TOP = events.TOP  # intervals to name where there is no alarm line
MOST_PRINTED = 20  # intervals that are printed and numbered in the picture


class Rate(NamedTuple):
    """Frames a second, and where that is from: `file`, `flag`, `training` or `assumed`."""

    fps: float
    source: str


def run(
    config: ml_collections.ConfigDict | None,
    folder: str | pathlib.Path,
    video: str,
    out: str | pathlib.Path | None = None,
    *,
    as_it_comes: bool = False,
    film: bool = True,
    fps: float | None = None,
    name: str | None = None,
    reading: Reading = AS_IT_IS,
    watching: LiveOptions = LiveOptions(),  # noqa: B008 (immutable)
) -> dict[str, str]:
    """Scores video with the finished run in `folder`.

    Args:
      config: as for `restore.restore`.
      folder: workdir of the run.
      video: file, folder of frames, folder of such, or camera (`camera.is_camera`).
      out: where to write; `folder/predict` if None.
      as_it_comes: print lines as the video is read (`live.watch`); always so for a camera.
      film: write the video with its scores too.
      fps: frames a second; None takes what the file reports, for pictures that of the training.
        Not for cameras.
      name: of the video, if there is only one; None takes that of the file.
      reading: how video is read. Its rate and levels are replaced by those of the training.
      watching: what is done with events while video is watched.

    Returns:
      Name and reason of the videos that could not be used, or of the camera that ended.

    Raises:
      FileNotFoundError: no finished run, or no such video.
      ValueError: another system's run, or nothing can be scored.
    """
    # Flags must fit together. A camera is only watched.
    if name is not None:
        check_name(name, "--name")
    folder = pathlib.Path(folder)
    out = pathlib.Path(out or folder / "predict")
    if fps is not None and not 0 < fps < math.inf:
        raise ValueError(f"--fps {fps:g}; expected more than 0, and finite")
    if is_camera(video):
        if fps is not None:
            raise ValueError("--fps is not for a camera; its frames come when they come")
        name = name or cameras.name_of(video)
        return cameras.watch_one(config, folder, video, out, name, watching, reading.deinterlace)
    # The videos by name, and whether the names are free.
    videos = named_videos(find_videos(video))
    if name is not None:
        if len(videos) > 1:
            raise ValueError(f"--name is for one video; {video} holds {len(videos):,}")
        videos = dict.fromkeys([name], *videos.values())
    if not as_it_comes:
        _check_free(videos, out)
    # Each video by itself: a damaged one does not end the others.
    trained, failed, clips = restore(config, folder), {}, []
    rule = EventRule(alarm_line(trained, folder), None, trained.size)
    finished: list[str] = []
    with contextlib.ExitStack() as stack:
        stack.push(functools.partial(_say_finished, videos, finished))
        if as_it_comes:
            session = stack.enter_context(cameras.session(trained, watching, videos, out))
        else:
            print(_told(rule))
        for video_name, path in videos.items():
            try:
                own = as_trained(trained, path, fps, reading)
                rate = rate_of(trained, path, fps, own)
                if as_it_comes:
                    _watch(trained, video_name, path, rate, out, own, session)
                else:
                    clips.append(write(trained, video_name, path, rate, out, film, own, rule))
                finished.append(video_name)
            except (ValueError, OSError, cv2.error) as error:
                if len(videos) == 1 and not isinstance(error, cv2.error):
                    raise
                failed[video_name] = str(error).strip()
                print(f"{video_name}: {failed[video_name]}")
        ranking.print_ranked(clips, rule.line)
        if clips:
            print(f"All videos: {index.write(trained, folder, out, rule.line)}")
    return failed


def alarm_line(trained: Trained, folder: pathlib.Path) -> AlarmLine | None:
    """The alarm line of the run; None if it has none, or for scores that are made otherwise."""
    line = alarm.read(folder)
    other = workdir.scored_otherwise(folder, trained.system.config) if line is not None else []
    if other:
        print(f"note: without the alarm line of the run, where {', '.join(other)} had other values")
        return None
    return line


def _told(rule: EventRule) -> str:
    """What makes an alarm interval, in a line."""
    if rule.line is None:
        return f"This run has no alarm line: an interval is where a score is {events.HALF_WAY}."
    unsure = "" if rule.line.reliable else ", by too little normal video to rely on it"
    return f"The alarm line is the score {rule.line.line:.3g}{unsure}."


def _watch(
    trained: Trained,
    name: str,
    path: pathlib.Path,
    rate: Rate,
    out: pathlib.Path,
    reading: Reading,
    session: LiveSession,
) -> None:
    """Watches a video as if it came now."""
    frames, trust = open_frames(path, reading), rate.source != "flag"
    observer = session.observe(name, live=False)
    live.watch(trained, name, frames, rate.fps, out, trust, observer=observer)


def _say_finished(videos: Collection[str], finished: Collection[str], kind, *error) -> None:
    """Says what is finished and what is not, if the program is stopped between or in videos."""
    if kind is None or not issubclass(kind, KeyboardInterrupt):
        return
    left = [name for name in videos if name not in finished]
    print(
        f"Finished: {', '.join(finished) or 'none'} ({len(finished):,} of {len(videos):,}). "
        f"Not finished: {', '.join(left) or 'none'}; give the command again for these",
        flush=True,
    )


def as_trained(
    trained: Trained, path: pathlib.Path, fps: float | None, reading: Reading
) -> Reading:
    """How a video is read for a run: at the levels and the rate of what it was trained on.

    Args:
      trained: the run.
      path: of the video.
      fps: frames a second that the user declares.
      reading: how video is read otherwise.

    Raises:
      ValueError: pictures that are not declared to have that rate, or a rate declared of a file.
    """
    reading = dataclasses.replace(reading, levels=trained.levels)
    # Only video files have times by which they can be resampled; pictures must be declared to have
    # the rate already.
    rate = cameras.trained_rate(trained)
    if rate is None or (path.is_dir() and fps == rate):
        return reading
    trained_on = f"the run was trained on video that was resampled to {rate:g} frames a second"
    if path.is_dir():
        raise ValueError(
            f"{path}: {trained_on}, and pictures have no times. Give the video file, or pictures "
            f"that have this rate, and say so: --fps={rate:g}"
        )
    if fps is not None:
        raise ValueError(f"{path}: {trained_on}, by the times in the file; leave out --fps")
    print(f"{path}: resampled to {rate:g} frames a second, as in the training")
    return dataclasses.replace(reading, rate=rate)


def rate_of(trained: Trained, path: pathlib.Path, fps: float | None, reading: Reading) -> Rate:
    """Frames a second of a video: by the flag, the file, the training, or else the default.

    Args:
      trained: the run.
      path: of the video.
      fps: frames a second that the user declares; None if none.
      reading: how it is read.
    """
    if fps is not None:
        return Rate(fps, "flag")
    listed = open_frames(path, reading).fps
    if listed:
        return Rate(listed, "file")
    # Pictures do not say their rate; that of the training is taken, and said.
    if not (learnt := trained.system.frame_rate(trained.data)):
        return Rate(DEFAULT_FPS, "assumed")
    print(f"{path}: taken as {learnt:g} frames a second, as in the training; --fps gives another")
    return Rate(learnt, "training")


def named_videos(videos: dict[str, pathlib.Path]) -> dict[str, pathlib.Path]:
    """Videos by the names of their files, with the folders' names behind where two are alike.

    Raises:
      ValueError: two videos would still have one name.
    """
    named: dict[str, pathlib.Path] = {}
    file_names = {name.rsplit("/", 1)[-1] for name in videos}
    for name, path in videos.items():
        *folders, short = name.split("/")
        if len(file_names) < len(videos):
            short = "_".join([short, *folders])
        if short in named:
            raise ValueError(f"{named[short]} and {path} would both be {short}; rename one of them")
        named[short] = path
    return named


def _check_free(videos: dict[str, pathlib.Path], out: pathlib.Path) -> None:
    """Raises ValueError if the folder holds the scores of another video of the same name."""
    for name, path in videos.items():
        file = out / f"{name}.json"
        scored = str(path)
        if file.exists():
            scored = json_files.read(file, {"video": str}, nan=True)["video"]
        if scored != str(path):
            raise ValueError(
                f"{file}: is of {scored}, not of {path}; name another --out, or the video (--name)"
            )


def write(
    trained: Trained,
    name: str,
    path: pathlib.Path,
    rate: Rate,
    out: pathlib.Path,
    film: bool,
    reading: Reading = AS_IT_IS,
    rule: EventRule = events.NO_RULE,
) -> ScoredClip:
    """Scores a video and writes `scores/NAME.npz`, `NAME.png`, `NAME.json` and `NAME.mp4`.

    Its alarm intervals are also put into `events.jsonl`, where the system says where they are.

    Raises:
      ValueError: it cannot be decoded, or is too short to be scored.
    """
    # Scores, and where they are highest.
    result = score(trained, name, open_frames(path, reading), rate)
    files.write(out / "scores", result)
    highest = _intervals(result, rate.fps, rule)
    told = events.of_video(result, rule)
    summary = {
        "video": str(path),
        "frames": len(result.frame_scores),
        "fps": rate.fps,
        "fps_source": rate.source,
        "seconds": round(float(result.times[-1]) + 1 / rate.fps, 3),
        "box_size": trained.size,
        "median": round(float(np.median(result.counted().frame_scores)), 4),
        "highest": round(float(result.counted().frame_scores.max()), 4),
        "line": rule.line.line if rule.line else None,
        "reliable": rule.line.reliable if rule.line else None,
        "intervals": [_row(interval, result, rate.fps, told) for interval in highest],
        provenance.KEY: provenance.made_with(jax.devices(), trained.data),
    }
    # The files, and the lines that a person reads.
    metric_writers.write_json(out / f"{name}.json", summary)
    if result.boxes is not None or (result.map is not None and trained.size):
        ranking.keep_events(out, name, told)
    line = rule.line.line if rule.line else None
    curve = curves.draw_predicted(result, highest[:MOST_PRINTED], rate.fps, line)
    replacing.write(out / f"{name}.png", curves.to_png(curve))
    _print(name, summary)
    lacking = films.lacks() if film else ""
    if film and not lacking:
        frames = (picture.pixels for picture in open_frames(path, reading))
        source = overlay.FrameSource(frames, len(result.frame_scores))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the first reading has given these warnings
            films.write(source, out / f"{name}.mp4", rate.fps, f"film {name}")
    elif film:
        print(f"{name}: {lacking}")
    ends = ".png, .json, .mp4" if film and not lacking else ".png, .json"
    print(f"Written: {out}/scores/{name}.npz, {out}/{name}{{{ends}}}")
    scores = np.where(
        True if result.scored is None else result.scored, result.frame_scores, -np.inf
    )
    peak = int(scores.argmax())
    alarms = len(highest) if rule.line else 0
    return ScoredClip(name, float(scores[peak]), float(result.times[peak]), alarms)


def _intervals(result: Scores, fps: float, rule: EventRule) -> list[intervals.Interval]:
    """The alarm intervals by the run's line, the highest first; else the highest of the video."""
    if rule.line is None:
        return intervals.top(result.frame_scores, TOP, result.scored, fps)
    found = events.alarms(result, rule.line.line, fps)
    return sorted(found, key=lambda interval: -interval.score)


def score(trained: Trained, name: str, source, rate: Rate) -> Scores:
    """Scores of a video, with the times of its frames.

    Args:
      trained: the run.
      name: of the video.
      source: a `VideoFile`, or any other frames with a length.
      rate: its frames a second.

    Raises:
      ValueError: it cannot be decoded, or is too short to be scored.
    """
    # A file's own number of frames may be wrong, and counting them would be to decode it twice.
    total = source.listed if isinstance(source, VideoFile) else len(source)
    whole, count = CollectedScores(MAP_BYTES, REASONS), 0
    with progress.bar(f"score {name}", total) as bar:

        def shown(frames: Iterator[Frame]) -> Iterator[Frame]:
            """The same frames; the bar goes on with them."""
            nonlocal count
            for frame in frames:
                count = frame.number + 1
                if count % SNIPPET == 0 or count == total:
                    bar.update(count, {})
                yield frame

        frames = timed(source, rate.fps, trust=rate.source != "flag")
        for part in trained.parts(name, shown(frames)):
            whole.add(part)
    # What was left out, and the scores as a whole.
    if not len(whole):
        raise ValueError(f"{name}: {count} frames are too few to be scored")
    if whole.given_up:
        print(f"{name}: too long for a map in the score file, which has none")
    if whole.left_out:
        print(f"{name}: of its reasons the {REASONS:,} strongest are kept, {whole.left_out:,} not")
    return trained.system.postprocess(trained.state, whole.scores(name))


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


def _print(name: str, summary: dict) -> None:
    """Prints what a person wants to know of a video at once: when its scores are highest."""
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
