"""Videos of your own camera → dataset of frames: any number of files, without labels.

    python -m data_prep.videos --normal normal/ --new new/ --out data/door

--normal is footage in which nothing unusual happens: files, folders of them at any depth, folders
of frames. --new is what is to be looked through (it may be left out). What cannot be read is left
out and listed at the end.

Several cameras: a folder for each, and --cameras folder; or names such as gate_0001.mp4, and
--cameras prefix. Recordings of one camera whose names have times at which one ends and the next
begins (within 2 seconds) become one video; where something is missing a new one begins.

Labels of --new are not needed. If there are some, --labels takes intervals and --masks pictures:
"""

import argparse
import contextlib
import functools
import pathlib
import sys
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import tensorflow_datasets as tfds

from vadjax.data.store import builder
from vadjax.data.store.frame_writer import FrameEncoding, SourceVideo, write_frames
from vadjax.data.video.frame_times import MOST_FPS, SAME_RATE, UNLIKE
from vadjax.data.video.ignored import Ignored
from vadjax.data.video.pictures import Levels, add_levels_flag
from vadjax.data.video.reader import Picture
from vadjax.runtime import progress, space

from .lib import command, recording_labels, recording_report, recordings
from .lib.recording_join import JOIN, Recorded, make_videos
from .lib.recording_report import FLAGS, Footage
from .lib.recording_scan import UNREADABLE, How, scan

QUALITY = 90  # of JPEGs


def look_through(found: Mapping[str, recordings.Found], how: How) -> Footage:
    """Looks through all recordings, with a progress bar.

    Raises:
      ValueError: none of a split can be used.
    """
    # Progress by bytes, since no length is known before a recording is read
    total = sum(one.bytes for split in found.values() for one in split.recordings) or 1
    footage, done, shown = Footage({}, {}, {}), 0, 0
    with progress.bar("look through, %", 100) as bar:

        def seen(share: float) -> None:
            """Shows progress, at this share of the recording that is looked through."""
            nonlocal shown
            now = int(100 * (done + share * recording.bytes) / total)
            if now > shown:
                shown = now
                bar.update(shown, {})

        # What cannot be read is left out, unless it is all there is
        for split, one in found.items():
            scans, left_out, unusable = [], [*one.left_out], []
            for recording in one.recordings:
                try:
                    scans.append(scan(recording, how, seen))
                except UNREADABLE as error:
                    left_out.append((str(recording.path), _reason(error, recording.path)))
                    unusable.append(recording)
                seen(1.0)
                done += recording.bytes
            if not scans:
                raise ValueError(recording_report.nothing_left(FLAGS[split], left_out))
            footage.scans[split], footage.left_out[split] = scans, left_out
            footage.unusable[split] = unusable
    return footage


def _reason(error: Exception, path: pathlib.Path) -> str:
    """Why a recording was left out, without its path, in one line."""
    return " ".join(str(error).removeprefix(f"{path}: ").split())


def prepare(
    normal: Sequence[str | pathlib.Path],
    new: Sequence[str | pathlib.Path],
    out: str | pathlib.Path,
    *,
    name: str | None = None,
    cameras: str = "one",
    join: str = "auto",
    labels: str | pathlib.Path | None = None,
    masks: str | pathlib.Path | None = None,
    mask: str | pathlib.Path | None = None,
    fps: float | None = None,
    resample_fps: float | None = None,
    size: tuple[int, int] | None = None,
    quality: int = QUALITY,
    lossless: bool = False,
    levels: Levels | None = None,
    min_frames: int = 2,
    file_format: str = "array_record",
    shards: int | None = None,
) -> dict:
    """Writes the dataset `out` and returns its manifest; arguments as the command's flags.

    Raises:
      FileNotFoundError: a file or folder that was named is not there.
      ValueError: nothing is left of --normal or --new, or something that was named cannot be used.
      vadjax.runtime.space.NotWritten: there is no room on the disk.
    """
    # What can be wrong without a look at the videos.
    builder.check_target(out, file_format, shards)
    _check_numbers(fps, resample_fps, quality, min_frames)
    if not new and (labels or masks):
        raise ValueError("--labels and --masks are of --new, which was not named")
    ignored = Ignored.read(mask) if mask else None
    found = {"train": recordings.find(normal, FLAGS["train"], cameras)}
    if new:
        found["test"] = recordings.find(new, FLAGS["test"], cameras)
    if resample_fps and not fps:
        _check_times(found)
    # Every frame is decoded once: lengths, times, holes, damage, samples.
    encoding = "png" if lossless else "jpeg"
    stored = functools.partial(_stored, encoding, size, quality)
    how = How(fps, resample_fps is not None, levels, ignored, stored)
    footage = look_through(found, how)
    recording_report.say_remarks(footage)
    videos, gaps = {}, {}
    for split, scans in footage.scans.items():
        videos[split], gaps[split] = make_videos(scans, join, resample_fps)
        videos[split] = _long_enough(videos[split], min_frames, split, footage)
    # What holds for all of them, and what a person should know before the work.
    _check_all(videos, ignored)
    size = size or _one_size(videos)
    rate = resample_fps or fps or _rate(videos)
    recording_report.say(found, footage, videos, gaps)
    space.check(out, _needed(videos), "the dataset")
    # Then they are decoded again and stored.
    splits = {"train": [_source(video, 0) for video in videos["train"]]}
    if new:
        splits["test"] = _labelled(videos["test"], footage, labels, masks)
    extra = {} if lossless else {"quality": quality}
    extra |= {"ignored": ignored.to_text()} if ignored else {}
    extra |= {"levels": list(levels)} if levels else {}
    extra |= {"resample_fps": float(resample_fps)} if resample_fps else {}
    options = {"encoding": encoding, "quality": quality, "size": size, "fps": rate}
    options |= {"file_format": file_format, "shards": shards, "extra": extra}
    with _progress_shown(videos):
        manifest = write_frames(out, splits, name=name or pathlib.Path(out).name, **options)
    recording_report.say_at_end(out, manifest, footage, cameras)
    return manifest


def _stored(encoding: str, size: tuple[int, int] | None, quality: int, picture: Picture) -> int:
    """Bytes of a frame as it will be stored."""
    encoder = FrameEncoding(encoding, size or picture.pixels.shape[:2], True, quality)
    return encoder.image(picture).nbytes


def _check_numbers(
    fps: float | None, resample_fps: float | None, quality: int, min_frames: int
) -> None:
    """Raises ValueError for numbers that cannot be."""
    for flag, value in (("--fps", fps), ("--resample_fps", resample_fps)):
        if value is not None and not 0 < value <= MOST_FPS:
            raise ValueError(f"{flag} is {value:g}; expected more than 0, to {MOST_FPS:,}")
    if not 1 <= quality <= 100:
        raise ValueError(f"--quality is {quality}; expected 1 to 100")
    if min_frames < 1:
        raise ValueError(f"--min_frames is {min_frames}; expected 1 or more")


def _check_times(found: Mapping[str, recordings.Found]) -> None:
    """Raises ValueError if a folder of pictures, whose rate is not declared, is to be resampled."""
    for split in found.values():
        for recording in split.recordings:
            if recording.path.is_dir():
                raise ValueError(
                    f"{recording.path}: a folder of pictures has no times, so it cannot be "
                    "resampled; declare its rate with --fps, or make a dataset of the others alone"
                )


def _long_enough(
    videos: list[Recorded], min_frames: int, split: str, footage: Footage
) -> list[Recorded]:
    """The videos of at least `min_frames` frames; the others are listed.

    Raises:
      ValueError: none is left.
    """
    kept = []
    for video in videos:
        if (count := len(video)) >= min_frames:
            kept.append(video)
        else:
            reason = f"{count} {'frame' if count == 1 else 'frames'}, expected {min_frames} or more"
            footage.left_out[split].append((video.name, f"too short: {reason} (--min_frames)"))
    if not kept:
        raise ValueError(recording_report.nothing_left(FLAGS[split], footage.left_out[split]))
    # A file is closed behind its last frame that is stored.
    for part in (part for video in kept for part in video.parts):
        part.scan.last = max(part.scan.last or 0, int(part.ranks[-1]))
    return kept


def _check_all(videos: Mapping[str, Sequence[Recorded]], ignored: Ignored | None) -> None:
    """Raises ValueError if a camera has no normal footage, or the mask does not fit the frames."""
    for video in (video for split in videos.values() for video in split if ignored):
        ignored.check(video.size, video.name)
    known = {video.camera for video in videos["train"]}
    for video in videos.get("test", ()):
        if video.camera not in known:
            raise ValueError(
                f"--new: {video.name} is of camera {video.camera}, of which there is no normal "
                f"footage; --normal has {', '.join(sorted(known))}"
            )


def _one_size(videos: Mapping[str, Sequence[Recorded]]) -> tuple[int, int]:
    """(H, W) of all videos; raises ValueError if they have several."""
    listed = [video for split in videos.values() for video in split]
    first = listed[0]
    for video in listed:
        if video.size != first.size:
            height, width = first.size
            raise ValueError(
                f"{video.name} has frames of {video.size[0]} x {video.size[1]} pixels (H x W), "
                f"{first.name} of {height} x {width}; a dataset has one size. Say --size="
                f"{height}x{width} to resize all, or make a dataset of each"
            )
    return first.size


def _rate(videos: Mapping[str, Sequence[Recorded]]) -> float | None:
    """Frames a second as measured in the files, for which there is a line.

    Raises:
      ValueError: they differ too much.
    """
    # A name may be in both splits.
    rates = {(FLAGS[split], v.name): v.fps for split in videos for v in videos[split] if v.fps}
    if not rates:
        print(
            "frame rate: unknown, pictures do not say it; declare it with --fps. Without it the "
            "attributes system takes 10 a second"
        )
        return None
    slowest, fastest = min(rates, key=rates.get), max(rates, key=rates.get)
    low, high = rates[slowest], rates[fastest]
    if high >= UNLIKE * low:
        raise ValueError(
            f"{': '.join(slowest)} has {low:.4g} frames a second, {': '.join(fastest)} {high:.4g}; "
            f"a dataset has one rate. Say --resample_fps={low:.3g} to bring all to it, or --fps if "
            "the files are wrong and all have the rate that you declare"
        )
    # The median of all frames, so that a rate is taken which recordings have.
    frames = sorted((v.fps, len(v)) for split in videos.values() for v in split if v.fps)
    upto = np.cumsum([count for _, count in frames])
    rate = round(frames[int(np.searchsorted(upto, upto[-1] / 2))][0], 6)
    spread = f"; the files have {low:.4g} to {high:.4g}" if high > SAME_RATE * low else ""
    print(f"frame rate: {rate:.5g} a second, as measured in the files{spread}")
    return rate


def _needed(videos: Mapping[str, Sequence[Recorded]]) -> int:
    """Bytes that the frames will take, by samples of them."""
    listed = [video for split in videos.values() for video in split]
    overall = np.mean([s.stored for video in listed for s in video.samples] or [0])
    return int(
        sum(
            len(video) * np.mean([sample.stored for sample in video.samples] or [overall])
            for video in listed
        )
    )


def _source(video: Recorded, labels: np.ndarray | int | None, masks=None) -> SourceVideo:
    """The video as the writer takes it."""
    start = video.start.isoformat() if video.start else None
    return SourceVideo(video.name, video, labels, masks, start=start)


def _labelled(
    videos: Sequence[Recorded],
    footage: Footage,
    labels: str | pathlib.Path | None,
    masks: str | pathlib.Path | None,
) -> list[SourceVideo]:
    """The videos of --new, with the labels and masks that there are.

    Raises:
      FileNotFoundError, ValueError: labels or masks that cannot be used, or masks of only some of
        the recordings, where there are no labels or these recordings became one video.
    """
    # What there is for each recording, by its path
    scans, sources = footage.scans["test"], []
    by_path, mask_paths = None, {}
    if labels:
        file = pathlib.Path(labels)
        by_path = recording_labels.frame_labels(file, scans, footage.unusable["test"])
    if masks:
        folder = pathlib.Path(masks)
        mask_paths = recording_labels.find_recording_masks(folder, scans, footage.unusable["test"])
        if by_path is None:
            recording_labels.check_complete(folder, videos, mask_paths)
    # A video of several recordings has the labels of all of them, and masks of all or of none
    for video in videos:
        row, own_masks = None, None
        if by_path is not None:
            items = video.select(lambda scan_: by_path[str(scan_.recording.path)])
            row = np.fromiter(items, np.uint8)
        paths = [str(part.scan.recording.path) for part in video.parts]
        if missing := [path for path in paths if path not in mask_paths]:
            if len(missing) < len(paths):
                raise ValueError(
                    f"{masks}: no masks for {missing[0]}, which is one video with recordings that "
                    "have some; add them, or say --join never"
                )
        else:
            own_masks = recording_labels.RecordedMasks(video, mask_paths)
        sources.append(_source(video, row, own_masks))
    return sources


@contextlib.contextmanager
def _progress_shown(videos: Mapping[str, Sequence[Recorded]]) -> Iterator[None]:
    """Shows a bar that goes on with every frame that is read, in place of those of TFDS."""
    tfds.disable_progress_bar()
    listed = [video for split in videos.values() for video in split]
    # Of resampled videos more or fewer frames are stored than are read, which takes the time.
    total, done = sum(len(part.ranks) for video in listed for part in video.parts), 0

    def seen() -> None:
        nonlocal done
        done += 1
        if done % 50 == 0 or done == total:
            bar.update(done, {})

    with progress.bar("store frames", total, file=sys.stdout) as bar:  # TFDS takes it away
        for video in listed:
            video.seen = seen
        yield


def make_parser() -> argparse.ArgumentParser:
    """The parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m data_prep.videos",
        description=f"{__doc__}\n{recording_labels.__doc__}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--normal", nargs="+", required=True, metavar="PATH", help="normal footage")
    add("--new", nargs="+", default=[], metavar="PATH", help="footage to look through")
    command.add_output_flags(parser)
    add("--name", help="of the dataset, shown in reports (default: that of the folder)")
    add("--cameras", choices=recordings.CAMERAS, default="one", help="whose the recordings are")
    add("--join", choices=JOIN, default="auto", help="recordings that adjoin by their names")
    add("--labels", metavar="FILE", help="intervals of --new: .csv or .json, as above")
    add("--masks", metavar="FOLDER", help="of --new: NAME/*.png or NAME.npy, one a frame")
    add("--mask", metavar="IMAGE", help="a picture that is white where the video is ignored")
    add("--fps", type=float, help="declares how many frames a second were recorded")
    add("--resample_fps", type=float, metavar="FPS", help="bring all to one rate, by their times")
    add("--size", type=command.parse_size, metavar="HxW", help="resize (default: as recorded)")
    add("--quality", type=int, default=QUALITY, help=f"of the stored JPEGs (default {QUALITY})")
    add("--lossless", action="store_true", help="store PNGs in place of JPEGs")
    add_levels_flag(parser)
    add("--min_frames", type=int, default=2, metavar="N", help="leave out shorter videos (2)")
    return parser


def main(argv: list[str] | None = None) -> None:
    """Parses the command line and writes the dataset."""
    args = vars(make_parser().parse_args(argv))
    args["file_format"] = args.pop("format")
    command.report_errors(prepare, **args)


if __name__ == "__main__":
    command.run(main)
