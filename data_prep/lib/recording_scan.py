"""A first look through a recording: which frames can be used, when they are, how it looks.

Every frame is decoded once, so that lengths, times, holes and damage are known before anything is
written. Of the pictures only a few small grey ones are kept.
"""

import array
import contextlib
import dataclasses
import datetime
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import av
import cv2
import numpy as np
from av.video.reformatter import VideoReformatter

from vadjax.data.video.decode import Interlaced, VideoDecoder, to_pixels
from vadjax.data.video.frame_times import FrameIntervals, like
from vadjax.data.video.ignored import Ignored
from vadjax.data.video.pictures import Levels
from vadjax.data.video.reader import FrameFolder, Picture, read_picture
from vadjax.formats.regular import check_regular

from .recordings import Recording

EVERY = 10.0  # seconds between two samples, doubled where there would be more than
MOST_SAMPLES = 64  # of a recording
SMALL = 128  # pixels of the width of a sample
HOLE = 2.0  # seconds without a frame that end a run of frames; or
SLOWER = 3.0  # … so many times the usual interval, if that is longer
UNEVEN = 1.5  # ratio to the usual interval from which on an interval is another
FEW = 0.01  # share of such intervals up to which they are lost frames
UNKNOWN_FPS = 25.0  # of pictures, where nothing says it; only used to tell which of them are near
UNREADABLE = (ValueError, OSError, av.FFmpegError, cv2.error)


class Sample(NamedTuple):
    """A frame of a recording, small and grey, and what is measured of it.

    Attributes:
      seconds: since the first frame.
      grey: uint8 [h, SMALL].
      light: mean grey level, 0 to 255.
      colour: mean difference between the largest and the smallest of red, green and blue.
      stored: bytes that the frame will take.
    """

    seconds: float
    grey: np.ndarray
    light: float
    colour: float
    stored: int


@dataclasses.dataclass(frozen=True)
class How:
    """How recordings are read.

    Attributes:
      fps: frames a second that the user declares; None takes the times of the files.
      resampled: whether they are brought to another rate.
      levels: of 16-bit pictures.
      ignored: pixels that are made black.
      stored: bytes that a frame will take.
    """

    fps: float | None
    resampled: bool
    levels: Levels | None
    ignored: Ignored | None
    stored: Callable[[Picture], int]


@dataclasses.dataclass
class Scan:
    """What is known of a recording after it was looked through.

    Attributes:
      recording: the recording.
      how: how it is read.
      times: seconds since the first frame, float64 [n], rising.
      ranks: which frames can be used, int64 [m], m ≤ n.
      size: (H, W) of the frames.
      fps: frames a second, by the header if the times agree; None for pictures.
      deinterlace: whether whole frames must be made of interlaced ones.
      created: when it was recorded, by the header.
      samples: a few of its frames.
      remarks: what a person should know of it.
      last: rank of the last frame that will be read; None: the last of `ranks`.
    """

    recording: Recording
    how: How
    times: np.ndarray
    ranks: np.ndarray
    size: tuple[int, int]
    fps: float | None
    deinterlace: bool
    created: datetime.datetime | None
    samples: list[Sample]
    remarks: list[str]
    last: int | None = None
    _reader: Iterator[Picture] | None = None
    _next: int = 0

    @property
    def interval(self) -> float:
        """Seconds that a frame is shown."""
        return usual_interval(self.times, self.fps)

    @property
    def hole(self) -> float:
        """Seconds between two frames from which one is missing between them."""
        return max(HOLE, SLOWER * self.interval)

    def read(self, ranks: Sequence[int]) -> Iterator[Picture]:
        """The frames of rising ranks, in order; goes on where the reading before ended.

        Raises:
          ValueError: the recording is not as it was when it was looked through.
        """
        if self._reader is None or self._next > ranks[0]:
            self._reader, self._next = self._open(), 0
        for rank in ranks:
            skipped = rank - self._next
            picture = next(itertools.islice(self._reader, skipped, None), None)
            if picture is None:
                raise ValueError(
                    f"{self.recording.path}: frame {rank:,} is not there any more; was the file "
                    "changed meanwhile? Start the program again"
                )
            self._next = rank + 1
            yield picture
        if ranks[-1] >= (self.ranks[-1] if self.last is None else self.last):
            self._reader = None  # closes the file

    def _open(self) -> Iterator[Picture]:
        """All frames of the recording, ignored pixels black; None for damaged pictures."""
        black = self.how.ignored.black if self.how.ignored else None
        for picture in self._pictures():
            if black and picture is not None:
                picture = picture._replace(pixels=black(picture.pixels), jpeg=None)
            yield picture

    def _pictures(self) -> Iterator[Picture]:
        path = self.recording.path
        if path.is_dir():
            for file in FrameFolder(path).paths:
                with contextlib.suppress(ValueError):
                    yield read_picture(file, self.how.levels)
                    continue
                yield None
            return
        with VideoDecoder(path, deinterlace=self.deinterlace) as decoder:
            for rank, frame in enumerate(decoder):
                yield Picture(frame.pixels, f"{path}#{rank}")


def usual_interval(times: np.ndarray, fps: float | None) -> float:
    """Seconds between two frames: the median, or by `fps` where there is only one frame."""
    if len(times) > 1:
        return float(np.median(np.diff(times)))
    return 1 / (fps or UNKNOWN_FPS)


def scan(
    recording: Recording, how: How, seen: Callable[[float], None] = lambda share: None
) -> Scan:
    """Looks through a recording.

    Args:
      recording: the recording.
      how: how it is read.
      seen: called at every frame, with the share of the recording that was looked through.

    Raises:
      ValueError, OSError, av.FFmpegError, cv2.error: no frame of it can be used.
    """
    if recording.path.is_dir():
        return _scan_folder(recording, how, seen)
    if not recording.path.exists():
        raise ValueError("the link leads nowhere")
    check_regular(recording.path)
    if not recording.path.stat().st_size:
        raise ValueError("the file is empty")
    try:
        return _scan_video(recording, how, seen, deinterlace=False)
    except Interlaced:
        done = _scan_video(recording, how, seen, deinterlace=True)
        done.remarks.append(
            "is interlaced; whole frames were made of it. Say --deinterlace too when you score "
            "new video of this camera"
        )
        return done


class _Sampler:
    """Keeps samples at regular times, `MOST_SAMPLES` at most, and counts the sizes of frames."""

    def __init__(self, how: How):
        self._how, self._every, self._due = how, EVERY, 0.0
        self.samples: list[Sample] = []

    def due(self, seconds: float) -> bool:
        """Whether the frame at this time is to be given to `add`."""
        return seconds >= self._due

    def add(self, seconds: float, picture: Picture) -> None:
        """Takes the frame at this time."""
        if self._how.ignored:
            black = self._how.ignored.black(picture.pixels)
            picture = picture._replace(pixels=black, jpeg=None)
        height, width = picture.pixels.shape[:2]
        size = (SMALL, max(1, round(height * SMALL / width)))
        small = cv2.resize(picture.pixels, size, interpolation=cv2.INTER_AREA)
        grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
        colour = float((small.max(2).astype(int) - small.min(2)).mean())
        stored = self._how.stored(picture)
        self.samples.append(Sample(seconds, grey, float(grey.mean()), colour, stored))
        # Of too many every second is dropped, and from now on half as many are taken.
        if len(self.samples) > MOST_SAMPLES:
            self.samples, self._every = self.samples[::2], 2 * self._every
        self._due = self.samples[-1].seconds + self._every


def _scan_video(
    recording: Recording, how: How, seen: Callable[[float], None], deinterlace: bool
) -> Scan:
    """As `scan`, of a video file."""
    sampler, reformatter = _Sampler(how), VideoReformatter()
    times, ranks = array.array("d"), array.array("q")
    whole, timed, lost, others, size, shape = True, False, 0, 0, None, None
    with VideoDecoder(recording.path, deinterlace=deinterlace) as decoder:
        header = decoder.fps
        for rank, (frame, time) in enumerate(decoder.frames()):
            seen(min(1.0, time / decoder.seconds) if decoder.seconds else 0.0)
            seconds = time if how.fps is None else rank / how.fps
            timed = timed or frame.time is not None
            times.append(seconds)
            # What is behind a damaged frame is made from it, up to the next frame that is whole.
            if frame.is_corrupt or (decoder.lost > lost and not decoder.cut_off):
                whole = False
            elif frame.key_frame:
                whole = True
            lost = decoder.lost
            if not whole:
                continue
            # A recording has one size, that of its first frame.
            shape = shape or (frame.height, frame.width)
            if (frame.height, frame.width) != shape:
                others += 1
                continue
            ranks.append(rank)
            if sampler.due(seconds) or size is None:
                pixels = to_pixels(frame, reformatter)
                size = size or pixels.shape[:2]
                sampler.add(seconds, Picture(pixels, f"{recording.path}#{rank}"))
        shortfall, created = decoder.shortfall, decoder.created
    if not ranks:
        raise ValueError("all its frames are damaged; copy or record it again")
    done = Scan(
        recording,
        how,
        np.array(times),
        np.array(ranks),
        size,
        how.fps or _rate(np.array(times), header),
        deinterlace,
        created,
        sampler.samples,
        [],
    )
    done.remarks += _remarks(done, shortfall, others)
    if not timed and how.fps is None:
        done.remarks.append(
            f"its frames have no times; they are taken as {done.fps or UNKNOWN_FPS:g} a second. "
            "Declare the rate with --fps"
        )
    return done


def _rate(times: np.ndarray, header: float | None) -> float | None:
    """Frames a second by the header, or by the times without their holes if these disagree."""
    steps = np.diff(times)
    steps = steps[steps <= max(HOLE, SLOWER * usual_interval(times, header))]
    own = 1 / steps.mean() if len(steps) else None
    return header if header and (own is None or like(header, own)) else own


def _remarks(done: Scan, shortfall: str, others: int) -> list[str]:
    """What a person should know of a video file that can be used."""
    remarks = []
    left = len(done.times) - len(done.ranks) - others
    if left:
        remarks.append(
            f"{left:,} of its {len(done.times):,} frames are damaged, or follow a damaged one; "
            "they are left out"
        )
    elif shortfall:
        remarks.append(f"{shortfall}. What can be decoded is taken")
    if others:
        remarks.append(f"{others:,} frames of another size than its first are left out")
    return remarks if done.how.fps else remarks + _remarks_on_times(done)


def _remarks_on_times(done: Scan) -> list[str]:
    """What a person should know of the times of a video file's frames."""
    steps = np.diff(done.times)
    steps = steps[steps <= done.hole]
    unlike = steps[(steps >= UNEVEN * done.interval) | (steps <= done.interval / UNEVEN)]
    if not len(unlike) or done.how.resampled:
        return []
    # Few long intervals are lost frames; many of any length are a rate that varies.
    if len(unlike) <= FEW * len(steps) and (unlike > done.interval).all():
        lost = int(np.rint(unlike / done.interval - 1).sum())
        return [f"about {lost:,} frames are missing, less than {done.hole:.3g} s at a time"]
    intervals = FrameIntervals()
    for seconds in np.cumsum([0.0, *steps]).tolist():
        intervals.add(seconds)
    rate = done.fps or 0
    return [
        f"{intervals}; its frames are taken as they come, as if they were {rate:.4g} a second. "
        f"--resample_fps={rate:.3g} brings all to one rate"
    ]


def _scan_folder(recording: Recording, how: How, seen: Callable[[float], None]) -> Scan:
    """As `scan`, of a folder of frames, whose rate is declared or unknown."""
    # Every picture is decoded once: which can be taken, and samples of how they look.
    sampler, ranks, damaged = _Sampler(how), [], []
    paths, size, others = FrameFolder(recording.path).paths, None, 0
    rate = how.fps or UNKNOWN_FPS
    for rank, path in enumerate(paths):
        seen(rank / len(paths))
        try:
            picture = read_picture(path, how.levels)
        except ValueError as error:
            if "--levels" in str(error):  # all of them have more than 8 bits
                raise
            damaged.append(str(error))
            continue
        size = size or picture.pixels.shape[:2]
        if picture.pixels.shape[:2] != size:
            others += 1
            continue
        ranks.append(rank)
        if sampler.due(rank / rate):
            sampler.add(rank / rate, picture)
    if not ranks:
        raise ValueError(damaged[0])
    # What is left out, and why.
    remarks = []
    if damaged:
        remarks.append(
            f"{len(damaged):,} of its {len(paths):,} pictures are left out: {damaged[0]}"
        )
    if others:
        remarks.append(f"{others:,} pictures of another size than its first are left out")
    # A picture that is left out keeps its time, so that it is a hole.
    times = np.arange(len(paths)) / rate
    return Scan(
        recording,
        how,
        times,
        np.array(ranks),
        size,
        how.fps,
        False,
        None,
        sampler.samples,
        remarks,
    )
