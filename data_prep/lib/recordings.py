"""Finding recordings: video files and folders of frames, at any depth, their names and cameras."""

import collections
import dataclasses
import datetime
import functools
import hashlib
import os
import pathlib
import re
from collections.abc import Iterator, Sequence

from vadjax.data.video.reader import IMAGES, VIDEOS
from vadjax.formats.folders import visible

from . import name_times

# Containers and bare streams of recorders and of older cameras, beside those of `VIDEOS`.
MORE = (
    *(".3g2", ".amv", ".dav", ".divx", ".dv", ".f4v", ".gif", ".h264", ".264", ".h265", ".265"),
    *(".hevc", ".ivf", ".m2v", ".mjpeg", ".mjpg", ".mod", ".mpv", ".mxf", ".nut", ".ogg", ".qt"),
    *(".rm", ".rmvb", ".tod", ".wtv", ".xvid", ".y4m"),
)
ENDINGS = (*VIDEOS, *MORE)
CAMERAS = ("one", "folder", "prefix")
MOST_BYTES = 120  # of a video's name; endings and times are added to it
MOST_DEPTH = 40  # folders in each other
FORBIDDEN = re.compile(r"[/\\\x00-\x1f\x7f-\x9f\ud800-\udfff]+")


@dataclasses.dataclass(frozen=True)
class Recording:
    """A video file, or a folder of frames.

    Attributes:
      path: of the file or folder.
      inside: its path below the folder that was named, with its ending; for messages and labels.
      name: name of the video that it becomes, unique among the recordings that were found.
      camera: name of its camera; empty where there is only one.
      start: date and time by its name; None if that has none.
      series: what its name has beside times; recordings of one series may adjoin.
    """

    path: pathlib.Path
    inside: str
    name: str
    camera: str = ""
    start: datetime.datetime | None = None
    series: str = ""

    @functools.cached_property
    def bytes(self) -> int:
        """Size of the file, or of the files in the folder; 0 where it cannot be read."""
        try:
            paths = visible(self.path) if self.path.is_dir() else [self.path]
            return sum(path.stat().st_size for path in paths)
        except OSError:
            return 0


@dataclasses.dataclass
class Found:
    """What lies in some files and folders.

    Attributes:
      recordings: in the order of their paths, numbers in them by value.
      passed_over: files that are no video by their endings.
      left_out: path and reason of what was not followed or is there twice.
    """

    recordings: list[Recording]
    passed_over: list[pathlib.Path]
    left_out: list[tuple[str, str]]


def find(sources: Sequence[str | pathlib.Path], flag: str, cameras: str = "one") -> Found:
    """The recordings in files and folders.

    Hidden files are passed over, and so are pictures beside videos and files with other endings. A
    folder of pictures without videos or folders in it is a recording. Links are followed, but a
    file is taken once, and a folder is not entered from within itself.

    Args:
      sources: files and folders.
      flag: that named them, for messages.
      cameras: `"one"`; `"folder"`: a camera is the first folder below a source; `"prefix"`: it is
        what the name of a file has before its first underscore.

    Raises:
      FileNotFoundError: a source is not there.
      ValueError: no recording is there, or one has no camera by the rule.
    """
    found, seen, folders = Found([], [], []), {}, {}
    for source in map(pathlib.Path, sources):
        if not source.exists():
            raise FileNotFoundError(f"{source}: no such file or folder ({flag})")
        root = source if source.is_dir() else source.parent
        for path in _walk(source, found, (), source):
            real = os.path.realpath(path)
            if real in seen:
                found.left_out.append((str(path), f"the same file as {seen[real]}"))
                continue
            seen[real] = path
            # A folder of frames that was named itself lies in itself.
            inside = path.relative_to(root) if path != root else pathlib.Path(root.resolve().name)
            recording, folder = _recording(path, inside, cameras)
            found.recordings.append(recording)
            # Two folders must not become one camera.
            if (other := folders.setdefault(recording.camera, folder)) != folder:
                raise ValueError(
                    f"{path}: {other} and {folder} would both be camera {recording.camera}; rename "
                    "one of them"
                )
    if not found.recordings:
        raise ValueError(_nothing(sources, flag, found))
    found.recordings = _unique(_with_times(found.recordings))
    return found


def _walk(
    path: pathlib.Path, found: Found, above: tuple[str, ...], source: pathlib.Path
) -> Iterator[pathlib.Path]:
    """The recordings at or below a path; `above`: real paths of the folders that it lies in."""
    if not path.is_dir():
        if path.suffix.lower() in ENDINGS or path == source:
            yield path
        else:
            found.passed_over.append(path)
        return
    real = os.path.realpath(path)
    if real in above or len(above) > MOST_DEPTH:
        found.left_out.append((str(path), "leads back to a folder that it lies in"))
        return
    try:
        entries = visible(path)
    except OSError as error:
        found.left_out.append((str(path), f"cannot be read: {error.strerror}"))
        return
    # Pictures make up a recording only where there is nothing else.
    inner = [entry for entry in entries if entry.is_dir() or entry.suffix.lower() in ENDINGS]
    if not inner and any(entry.suffix.lower() in IMAGES for entry in entries):
        yield path
        return
    for entry in entries:
        yield from _walk(entry, found, (*above, real), source)


def _nothing(sources: Sequence, flag: str, found: Found) -> str:
    """Message for sources in which there is no recording."""
    named = ", ".join(map(str, sources))
    if not found.passed_over:
        return f"{named}: empty; {flag} takes video files and folders of them or of frames"
    endings = collections.Counter(path.suffix.lower() or path.name for path in found.passed_over)
    listed = ", ".join(f"{count:,} {ending}" for ending, count in endings.most_common(5))
    return (
        f"{named}: no video and no folder of frames ({flag}), but {listed}. Are these videos? Give "
        f"them one of the endings {', '.join(VIDEOS)}"
    )


def _recording(path: pathlib.Path, inside: pathlib.Path, cameras: str) -> tuple[Recording, str]:
    """The recording at a path, with a name that may not be unique yet; its camera as written."""
    plain = inside if path.is_dir() else inside.with_suffix("")
    parts, camera = list(plain.parts), ""
    if cameras == "folder":
        if len(parts) < 2 and not path.is_dir():
            raise ValueError(
                f"{path}: lies in no folder of a camera; make one for each camera, as "
                f"{inside.stem}/{inside.name} (--cameras folder)"
            )
        camera, parts = parts[0], parts[1:] or ["frames"]
    if cameras == "prefix":
        camera, underscore, rest = parts[-1].partition("_")
        if not (camera and underscore and rest):
            raise ValueError(
                f"{path}: no camera before an underscore in its name; expected for example "
                f"gate_{path.name} (--cameras prefix)"
            )
        parts = [*parts[:-1], rest]
    # The name of a camera ends at the first underscore of a video's name (`vadjax.data.cameras`).
    written, camera = (
        camera,
        _short(_clean(camera).replace("_", "-"), MOST_BYTES // 2) if camera else "",
    )
    recording = Recording(
        path=path,
        inside=inside.as_posix(),
        name="_".join([*([camera] if camera else []), _short(_clean("_".join(parts)))]),
        camera=camera,
    )
    return recording, written


def _with_times(recordings: Sequence[Recording]) -> list[Recording]:
    """The recordings with the times and the series that their names tell."""
    inside = [pathlib.PurePosixPath(one.inside) for one in recordings]
    plain = [
        (path if one.path.is_dir() else path.with_suffix("")).as_posix()
        for one, path in zip(recordings, inside, strict=True)
    ]
    endings = [one.path.suffix.lower() for one in recordings]
    places = [(one.camera, ending) for one, ending in zip(recordings, endings, strict=True)]
    times = name_times.find_all(plain, places)
    return [
        dataclasses.replace(one, start=named.start, series=f"{ending}:{named.series}")
        if named
        else one
        for one, ending, named in zip(recordings, endings, times, strict=True)
    ]


def _clean(name: str) -> str:
    """A name without what the name of a file cannot have."""
    name = FORBIDDEN.sub("-", name).lstrip(".")
    return name.replace(":", "-", 1) if name[1:2] == ":" else name or "video"


def _short(name: str, most: int = MOST_BYTES) -> str:
    """A name of at most `most` bytes; a longer one ends in a sign of what was cut off."""
    data = name.encode()
    if len(data) <= most:
        return name
    sign = hashlib.sha256(data).hexdigest()[:8]
    return f"{data[: most - 9].decode(errors='ignore')}-{sign}"


def _unique(recordings: Sequence[Recording]) -> list[Recording]:
    """The recordings with unique names: with their endings, then with numbers."""
    count = collections.Counter(recording.name for recording in recordings)
    named, taken = [], set()
    for recording in recordings:
        name = recording.name
        if count[name] > 1 and recording.path.suffix and not recording.path.is_dir():
            name = f"{name}{recording.path.suffix}"
        number, base = 1, name
        while name in taken:
            number += 1
            name = f"{base}-{number}"
        taken.add(name)
        named.append(dataclasses.replace(recording, name=name))
    return named
