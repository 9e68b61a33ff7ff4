"""Scores any video, folder of frames or camera, and writes curve, film and highest intervals."""

import contextlib
import dataclasses
import functools
import math
import pathlib
from collections.abc import Callable, Collection, Iterator, Mapping

import cv2
import ml_collections

from vadjax.data.video.camera import is_camera
from vadjax.data.video.frame_stream import Frame
from vadjax.data.video.reader import AS_IT_IS, Reading, VideoFile, find_videos, open_frames
from vadjax.data.video.snippets import FRAMES as SNIPPET
from vadjax.formats import json_files
from vadjax.formats.names import check_name
from vadjax.live.options import LiveOptions
from vadjax.predict import cameras, index, kept, live, ranking, writing
from vadjax.predict.cameras import DEFAULT_FPS
from vadjax.predict.ranking import ScoredClip
from vadjax.predict.restore import Trained, restore, timed
from vadjax.predict.writing import Rate, VideoToScore
from vadjax.report import events
from vadjax.report import film as films
from vadjax.report.events import EventRule
from vadjax.runtime import progress, workdir
from vadjax.scores import alarm
from vadjax.scores.alarm import AlarmLine
from vadjax.scores.files import Scores
from vadjax.scores.streaming import CollectedScores

MAP_BYTES = 64 << 20  # largest map in a score file; a larger one is left out
REASONS = 2000  # number of reasons of one video to keep


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
    # The videos by name.
    videos = named_videos(find_videos(video))
    if name is not None:
        if len(videos) > 1:
            raise ValueError(f"--name is for one video; {video} holds {len(videos):,}")
        videos = dict.fromkeys([name], *videos.values())
    if as_it_comes:
        trained = restore(config, folder)
        return _watch_all(trained, videos, out, fps, reading, watching)
    _check_free(videos, out)
    return _score_all(restore(config, folder), folder, videos, out, film, fps, reading)


def _watch_all(
    trained: Trained,
    videos: Mapping[str, pathlib.Path],
    out: pathlib.Path,
    fps: float | None,
    reading: Reading,
    watching: LiveOptions,
) -> dict[str, str]:
    """Watches videos one after the other as if they came now; those that failed, and why."""
    with cameras.session(trained, watching, tuple(videos), out) as session:

        def watch(name: str, path: pathlib.Path) -> None:
            own = as_trained(trained, path, fps, reading)
            rate = rate_of(trained, path, fps, own)
            frames, trust = open_frames(path, own), rate.source != "flag"
            observer = session.observe(name, live=False)
            live.watch(trained, name, frames, rate.fps, out, trust, observer=observer)

        return _each(videos, [], watch)


def _score_all(
    trained: Trained,
    folder: pathlib.Path,
    videos: Mapping[str, pathlib.Path],
    out: pathlib.Path,
    film: bool,
    fps: float | None,
    reading: Reading,
) -> dict[str, str]:
    """Scores videos, and keeps those that were scored before; those that failed, and why.

    Args:
      trained: the run.
      folder: its workdir.
      videos: name → path.
      out: where to write.
      film: as for `run`.
      fps: frames a second that the user declares; None if none.
      reading: how video is read.
    """
    rule = EventRule(alarm_line(trained, folder), None, trained.size)
    print(_told(rule))
    # What is there already, of the same files, the same run and the same options.
    made_of = kept.MadeOf(trained, folder, fps, reading)
    before = kept.Results(out, film and not films.lacks())
    clips: dict[str, ScoredClip] = {}
    for name, path in videos.items():
        summary, why_not = before.read(name, made_of.of(path))
        if why_not:
            print(f"{name}: scored anew, since {why_not}")
        if summary is not None:
            clips[name] = kept.clip_of(name, summary)
            if len(videos) == 1:
                writing.print_summary(name, summary)
    if clips:
        anew = f"another --out, or {out} removed, makes all anew"
        print(f"kept {len(clips):,} of {len(videos):,} videos, scored before; {anew}")

    def write(name: str, path: pathlib.Path) -> None:
        depends = made_of.of(path)  # before it is read: a change while that goes on is noticed
        own = as_trained(trained, path, fps, reading)
        rate = rate_of(trained, path, fps, own)
        result = score(trained, name, open_frames(path, own), rate)
        source = VideoToScore(name, path, rate, own, depends)
        clips[name] = writing.write(trained, source, result, out, film, rule)

    failed = _each(videos, clips, write)
    ranking.print_ranked([clips[name] for name in videos if name in clips], rule.line)
    if clips:
        print(f"All videos: {index.write(trained, folder, out, rule.line)}")
    return failed


def _each(
    videos: Mapping[str, pathlib.Path],
    done: Collection[str],
    work: Callable[[str, pathlib.Path], None],
) -> dict[str, str]:
    """Calls `work` for each video that is not done; those that failed, and why.

    A damaged one does not end the others, but is an error if it is the only one.
    """
    failed: dict[str, str] = {}
    finished = list(done)
    with contextlib.ExitStack() as stack:
        stack.push(functools.partial(_say_finished, videos, finished))
        for name in [name for name in videos if name not in finished]:
            try:
                work(name, videos[name])
                finished.append(name)
            except (ValueError, OSError, cv2.error) as error:
                if len(videos) == 1 and not isinstance(error, cv2.error):
                    raise
                failed[name] = str(error).strip()
                print(f"{name}: {failed[name]}")
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
