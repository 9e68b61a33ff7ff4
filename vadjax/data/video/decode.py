"""Decodes video files and streams with PyAV: correct pixels and times, or what is wrong with them.

with VideoDecoder("street.mp4") as video:
    for frame in video:      # uint8 [H, W, 3], RGB, and its time in seconds from 0
        ...
    if video.shortfall: ...  # "48 of 100 frames can be decoded; …"
"""

import contextlib
import datetime
import pathlib
import shlex
import threading
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import av
import cv2
import numpy as np
from av.video.reformatter import VideoReformatter

from vadjax.data.video.deinterlace import Deinterlacer
from vadjax.data.video.frame_times import MOST_FPS, Times, decide, like

FIRST_YEAR = 1990  # of a recording; the clocks of containers begin in 1904 or 1970
REMEDY = "the file is cut short or damaged, or its header wrong; copy or record it again"


class Interlaced(ValueError):
    """A frame shows two moments in alternate lines, and deinterlacing was not asked for."""


class DecodedFrame(NamedTuple):
    """One decoded frame.

    Attributes:
      pixels: uint8 [H, W, 3], RGB, upright.
      time: seconds since the first frame, rising; None if unknown.
    """

    pixels: np.ndarray
    time: float | None


class VideoDecoder(Iterable[DecodedFrame]):
    """The frames of a video file or stream, in order; it can be iterated once.

    Pixels equal those of OpenCV's reader for ordinary files. A rotation in the file's metadata is
    applied. Packets that cannot be decoded, and those that are cut short, are skipped and counted.
    `close` may be called from another thread; iterating then ends.

    Args:
      source: path of a file, or address of a stream (`"rtsp://…"`).
      deinterlace: whether to make whole frames of interlaced ones (FFmpeg's bwdif); their number
        stays.
      options: options of FFmpeg's demuxer, for example `{"rtsp_transport": "tcp"}`.
      timeout: seconds to wait for a stream to open and for its next packet, as one number or two;
        None waits for ever.

    Raises:
      ValueError: the source cannot be opened, or holds no video, or video of an unknown codec;
        while iterating: no frame can be decoded, or (`Interlaced`) one is interlaced and
        `deinterlace` is not set.

    Attributes:
      codec: name of the codec, as `"h264"`.
      created: when it was recorded, by the header; None if that does not say.
      seconds: duration by the header; None if it has none.
      count: number of frames that were decoded so far.
      lost: number of packets so far that could not be decoded.
      damaged: number of frames so far that FFmpeg decoded with errors.
      ended: why a stream or file broke off; empty at its regular end.
    """

    def __init__(
        self,
        source: str | pathlib.Path,
        *,
        deinterlace: bool = False,
        options: Mapping[str, str] | None = None,
        timeout: float | tuple[float, float] | None = None,
    ):
        # `_lock` is held while a packet is read or the container closed; `_over` asks to stop.
        self.source = str(source)
        self._is_stream = isinstance(source, str) and "://" in source
        self._lock, self._over = threading.Lock(), False
        self._container = self._open(dict(options or {}), timeout)
        try:
            self._stream = self._choose()
        except ValueError:
            self._container.close()
            raise
        self._stream.thread_type = "SLICE" if self._is_stream else "AUTO"  # AUTO delays frames
        self.codec = self._stream.codec_context.codec.canonical_name
        self._deinterlacer = Deinterlacer() if deinterlace else None
        self.count, self.lost, self.damaged, self.ended = 0, 0, 0, ""
        self._cut: int | None = None  # frames from this time on may have a gap before them
        # The header is read now, because a closed container cannot be asked.
        self._format, self._frames = self._container.format.name, self._stream.frames
        self._header_fps = _rate(self._stream)
        self.seconds = _seconds(self._container, self._stream)
        self.created = _created(self._container, self._stream)
        self._times = Times(self._header_fps)

    def __enter__(self) -> "VideoDecoder":
        return self

    def __exit__(self, *error) -> None:
        self.close()

    def __iter__(self) -> Iterator[DecodedFrame]:
        # One reformatter for all frames, because each has buffers and threads of its own.
        reformatter = VideoReformatter()
        try:
            for frame, time in self.frames():
                yield DecodedFrame(to_pixels(frame, reformatter), time)
        finally:
            self.close()

    def frames(self) -> Iterator[tuple[av.VideoFrame, float]]:
        """The frames as FFmpeg decodes them, with their times; cheaper than frames of pixels.

        Raises:
          ValueError: as the class, while iterating.
        """
        for frame in self._progressive():
            self.count += 1
            self.damaged += frame.is_corrupt
            yield frame, self._times.rising(frame.time)
        if not self.count and not self._over:
            problem = f"{self.source}: no frame of its {self.codec} video can be decoded"
            if self._is_stream:
                raise ValueError(f"{problem} ({self.ended or 'it ended'})")
            raise ValueError(
                f"{problem}; is the file whole? Else convert it: {converting(self.source)}"
            )

    def close(self) -> None:
        """Closes the file or stream: at once, or after the packet that another thread reads."""
        self._over = True
        if self._lock.acquire(blocking=False):
            try:
                self._container.close()
            finally:
                self._lock.release()

    @property
    def fps(self) -> float | None:
        """Frames a second: by the header, or by the frames' own times if these disagree."""
        return decide(self._header_fps, self._times.rate)

    @property
    def cut_off(self) -> bool:
        """Whether a packet was cut short so far: the file ends within it."""
        return self._cut is not None

    @property
    def listed(self) -> int:
        """Frames by the header: duration × rate, or the number it gives; 0 if it gives none."""
        if self.fps and self.seconds and not self._is_stream:
            return round(self.seconds * self.fps)
        return self._frames

    @property
    def shortfall(self) -> str:
        """What is missing or damaged in a file that was decoded to its end; empty if nothing is.

        Frames are missing if there are fewer than duration × rate, unless there are all that a list
        in the header has. By the mean rate of the frames' own times an end that is cut off is
        noticed. By the header's rate, where most intervals agree with it, holes of more than 8
        frames and 2 % are noticed. Frames that a stream copy hides do not count.
        """
        promised, reasons = max(self._promised(), self.count + self.lost), []
        if promised > self.count:
            reasons.append(f"{self.count:,} of {promised:,} frames can be decoded")
        if self.damaged:
            reasons.append(f"{self.damaged:,} of {self.count:,} frames were decoded with errors")
        return f"{' and '.join(reasons)}; {REMEDY}" if reasons else ""

    def _promised(self) -> int:
        """Frames by duration × rate if these are notably more than were decoded, or `count`."""
        times, listed = self._times, self._frames
        mean = times.rate or self._header_fps
        if not self.seconds or not mean or (listed and self.count >= listed):
            return self.count
        by_mean, hole = round(self.seconds * mean), max(8, self.count // 50)
        # A missing end: one frame may be rounding. Without a list of the frames the duration may be
        # that of the sound, so the end must be missing by as much as a hole.
        cut_off = by_mean - self.count > (1 if listed else hole)
        # Holes: the mean rate hides them, because it includes them.
        promised = by_mean
        if self._header_fps and like(self._header_fps, times.usual):
            promised = max(by_mean, round(self.seconds * self._header_fps))
        return promised if cut_off or promised - self.count > hole else self.count

    def own_rate(self) -> float | None:
        """Frames a second as `fps`, by the times of all packets.

        This reads the file without decoding it; nothing can be decoded afterwards.
        """
        if "mp4" in self._format:
            return self.fps  # its header holds the times
        # Times in units of the time base; a set, because several packets may have the same.
        ticks = set()
        for packet in self._packets():
            tick = packet.dts if self._format == "avi" else packet.pts
            if packet.size and tick is not None and not packet.is_discard:
                ticks.add(tick)
        # n times span n - 1 intervals.
        span = (max(ticks) - min(ticks)) * self._stream.time_base if ticks else 0
        return decide(self._header_fps, float((len(ticks) - 1) / span) if span > 0 else None)

    def _open(self, options: dict[str, str], timeout: float | tuple[float, float] | None):
        """FFmpeg's container of the source; raises ValueError if there is none."""
        # An absolute path is never taken for an address.
        name = self.source if self._is_stream else str(pathlib.Path(self.source).absolute())
        try:
            return av.open(name, options=options, timeout=timeout, metadata_errors="replace")
        except (av.FFmpegError, OSError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            if self._is_stream:
                raise ValueError(f"{self.source}: cannot be opened: {reason}") from error
            raise ValueError(
                f"{self.source}: no video can be read from it ({reason}); is the file whole? "
                f"Copy it again, or see what it is: ffprobe {shlex.quote(self.source)}"
            ) from error

    def _choose(self):
        """The video stream; raises ValueError if there is none that can be decoded."""
        streams = self._container.streams
        video = streams.best("video") or next(iter(streams.video), None)
        if video is None:
            kinds = ", ".join(_kind(stream) for stream in streams) or "nothing"
            raise ValueError(f"{self.source}: holds no video stream, but {kinds}")
        if video.codec_context is None:
            raise ValueError(
                f"{self.source}: its video has a codec that FFmpeg does not know; convert it with "
                f"the program that made it. To see what it is: ffprobe {shlex.quote(self.source)}"
            )
        return video

    def _packets(self) -> Iterator[av.Packet]:
        """The packets of the stream, the last of them empty; notes why it broke off, if it did."""
        try:
            yield from self._container.demux(self._stream)
        except (av.FFmpegError, OSError) as error:
            self.lost += not self._is_stream
            self.ended = getattr(error, "strerror", None) or str(error)

    def _decoded(self) -> Iterator[av.VideoFrame]:
        """Decoded frames up to the end, a cut or `close`."""
        packets = self._packets()
        while not self._over:
            with self._lock:
                frames = None if self._over else self._next(packets)
            if frames is None:
                break
            # Frames after a packet that was cut short are left out.
            for frame in frames:
                if self._format == "avi":
                    frame.pts = frame.dts  # the times of AVI are in the order of decoding
                if self._cut is None or frame.pts is None or frame.pts < self._cut:
                    yield frame
        if self._over:
            self.close()  # another thread could not, because this one held the lock

    def _next(self, packets: Iterator[av.Packet]) -> list[av.VideoFrame] | None:
        """Frames that the next packet completes; None after the last packet."""
        packet = next(packets, None)
        if packet is None:
            return None
        # The last packet, empty and without times, has FFmpeg give the frames that it still holds.
        last = packet.pts is None and packet.dts is None
        if not packet.size and not last:
            return []
        # A file that is cut off ends within a packet. (Streams and TS always have some that are
        # incomplete.) Frames shown after that packet's decoding time may have a gap before them.
        if packet.is_corrupt and not (self._is_stream or "mpegts" in self._format):
            self.lost += 1
            self._cut = packet.dts
            return []
        try:
            return packet.decode()
        except (av.FFmpegError, OSError):
            self.lost += 1
            return []

    def _progressive(self) -> Iterator[av.VideoFrame]:
        """Decoded frames that are not interlaced, or were deinterlaced."""
        for frame in self._decoded():
            if self._deinterlacer:
                yield from self._deinterlacer(frame)
            elif frame.interlaced_frame:
                raise Interlaced(
                    f"{self.source}: frame {self.count} is interlaced ({self.codec}): it shows two "
                    "moments in alternate lines. Say --deinterlace to make whole frames of them"
                )
            else:
                yield frame
        # The filter holds frames back; None has it give the rest.
        if self._deinterlacer:
            yield from self._deinterlacer(None)


def _rate(stream) -> float | None:
    """Frames a second by the header; None if it gives no rate that can be."""
    rate = stream.average_rate or stream.guessed_rate
    return float(rate) if rate and 0 < rate < MOST_FPS else None


def _seconds(container, stream) -> float | None:
    """Duration in seconds by the header, of the video stream if it is known; None if none is."""
    # Of an AVI file without its index FFmpeg guesses the duration, so that is not used.
    if container.format.name == "avi":
        return float(stream.frames * stream.time_base) or None
    if stream.duration is not None and stream.duration > 0:
        return float(stream.duration * stream.time_base)
    duration = container.duration
    return duration / av.time_base if duration is not None and duration > 0 else None


def _created(container, stream) -> datetime.datetime | None:
    """When it was recorded, by the header; the zero of a clock that was never set is no time."""
    text = container.metadata.get("creation_time") or stream.metadata.get("creation_time")
    with contextlib.suppress(TypeError, ValueError):
        created = datetime.datetime.fromisoformat(text)
        return created if created.year >= FIRST_YEAR else None
    return None


def to_pixels(frame: av.VideoFrame, reformatter: VideoReformatter) -> np.ndarray:
    """A frame as FFmpeg decodes it → uint8 [H, W, 3], RGB, upright."""
    # Bicubic scaling gives the same pixels as OpenCV's reader.
    bgr = reformatter.reformat(frame, format="bgr24", interpolation="BICUBIC", threads=1)
    return upright(cv2.cvtColor(bgr.to_ndarray(), cv2.COLOR_BGR2RGB), frame)


def upright(pixels: np.ndarray, frame: av.VideoFrame) -> np.ndarray:
    """Pixels [H, W, 3], turned by quarters and mirrored as the frame's display matrix says."""
    if "DISPLAYMATRIX" not in {side.type.name for side in frame.side_data}:
        return pixels
    # The matrix maps (x, y) to the picture as shown; its upper left 2 × 2 part turns and mirrors.
    matrix = np.frombuffer(bytes(frame.side_data["DISPLAYMATRIX"]), np.int32).reshape(3, 3)
    (a, b), (c, d) = matrix[:2, :2]
    if abs(int(b)) > abs(int(a)):  # x is shown along y
        pixels, across, down = pixels.swapaxes(0, 1), c, b
    else:
        across, down = a, d
    return np.ascontiguousarray(pixels[:: -1 if down < 0 else 1, :: -1 if across < 0 else 1])


def converting(source: str) -> str:
    """A command that converts a file to H.264 and keeps all its frames."""
    path = pathlib.Path(source)
    out = path.with_name(f"{path.stem}_h264.mp4" if path.suffix == ".mp4" else f"{path.stem}.mp4")
    return (
        f"ffmpeg -i {shlex.quote(source)} -map 0:v:0 -fps_mode passthrough -c:v libx264 -crf 10 "
        f"-pix_fmt yuv420p {shlex.quote(str(out))} (and move the first file elsewhere)"
    )


def _kind(stream) -> str:
    """Kind and codec of a stream, for messages."""
    context = stream.codec_context
    return f"{stream.type} ({context.name})" if context else stream.type
