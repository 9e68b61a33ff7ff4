"""Listed videos, one entry each: names without folders, endings and numbers of crops."""

import dataclasses
import pathlib
import re
from collections import Counter
from collections.abc import Sequence

from vadjax.formats import text
from vadjax.formats.names import shorten, wrong_with

FEATURES = (".npy", ".txt")  # endings of feature files
MEDIA = (".mp4", ".avi", ".mkv", ".mov")
CROP = re.compile(r"(.+?)__(\d{1,2})")  # UR-DMU, PEL4VAD (UCF-Crime) and VadCLIP: NAME__0 ... __9
NUMBERED = re.compile(r"(.*[^_])_(\d)")  # PEL4VAD (ShanghaiTech): NAME_0 ... NAME_9
CROP_COUNTS = (5, 10)  # published numbers of crops; only with these NUMBERED names are crops
MOST_NAMED = 4  # videos that a message names


@dataclasses.dataclass(frozen=True)
class Entry:
    """A listed video, its label and what is known of its frames.

    Attributes:
      path: path in the list, with "/" between its parts; CLASS/NAME, NAME, or the path of a file.
      label: 1 if the video holds an anomaly, 0 if not, None if the list does not say.
      num_frames: number of frames; None if the list does not say.
      intervals: anomalous frames `[start, stop)`, counted from 0.
      listed_class: class of the video, if the list has it beside the path; else empty.
      crops: numbers of the crops, if the list has a file for each crop; else empty.
      video: name of the video, if it cannot be read off the name of the file; else empty.

    Raises:
      ValueError: the path leads out of its folder by "..", or has characters that cannot be shown.
    """

    path: str
    label: int | None = None
    num_frames: int | None = None
    intervals: tuple[tuple[int, int], ...] = ()
    listed_class: str = ""
    crops: tuple[int, ...] = ()
    video: str = ""

    def __post_init__(self):
        if ".." in self.path.split("/") or not self.path.isprintable():
            raise ValueError(
                f"{shorten(self.path)} cannot be the name of a video; expected names with '/' "
                "between them, without '..' and without characters that cannot be shown"
            )

    @property
    def name(self) -> str:
        """Name of the video, without folder, ending and number of a crop."""
        return self.video or split_name(pathlib.PurePosixPath(self.path).name)[0]

    @property
    def folder(self) -> str:
        """Folder of the video in the list, or ""."""
        return pathlib.PurePosixPath(self.path).parent.name

    @property
    def class_name(self) -> str:
        """Class in the list, or else the folder of the video, or ""."""
        return self.listed_class or self.folder


def to_posix(path: str) -> str:
    r"""A path of Windows or Unix with "/" between its parts; `G:\a\b.npy` is `G:/a/b.npy`."""
    return path.strip().replace("\\", "/")


def split_name(file_name: str) -> tuple[str, int | None]:
    """Name of a video and number of a crop, from the name of a file.

    `NAME_i3d.npy`, `NAME.mp4.npy`, `NAME.mp4` and `NAME` → (NAME, None); `NAME__3.npy` →
    (NAME, 3).
    """
    stem = _without(file_name, FEATURES)
    name = _without(stem, MEDIA)
    if stem == file_name:
        return name, None
    if match := CROP.fullmatch(name):
        return match[1], int(match[2])
    return name.removesuffix("_i3d"), None


def _without(name: str, endings: Sequence[str]) -> str:
    """The name without one of the endings, in upper or lower case."""
    ending = next((e for e in endings if name.lower().endswith(e) and name.lower() != e), "")
    return name[: len(name) - len(ending)]


def join_crops(where: pathlib.Path, entries: list[Entry]) -> list[Entry]:
    """Joins the entries of single crops into one entry for each video.

    Args:
      where: the list, for messages.
      entries: an entry for each line.

    Returns:
      The videos, in the order of their first lines.

    Raises:
      ValueError: a crop is listed twice or is missing, or crops of a video have two labels.
    """
    # Lines by video and crop, by whichever form of names the list has.
    videos: dict[tuple, dict[int | None, Entry]] = {}
    for key, number, entry in _numbered(entries) or _marked(entries):
        crops = videos.setdefault(key, {})
        if number in crops:
            raise ValueError(f"{where}: crop {number} of {entry.name} is listed twice")
        crops[number] = entry
    most = max(map(len, videos.values()), default=0)
    if len(videos) < len(entries):
        text.note(f"{where}: its {len(entries):,} lines are {len(videos):,} videos, a line a crop")
    return [_joined(where, key[1], crops, most) for key, crops in videos.items()]


def _marked(entries: list[Entry]) -> list[tuple]:
    """Key of the video, crop and entry of every line; the crop is None for a file without one.

    The lists of PEL4VAD for UCF-Crime have NAME.npy as crop 0 beside NAME__1.npy.
    """
    # A file without a number is crop 0 if other files of its video have one, else the whole video.
    paths = [pathlib.PurePosixPath(entry.path) for entry in entries]
    numbers = [split_name(path.name)[1] for path in paths]
    keys = [(str(path.parent), entry.name) for path, entry in zip(paths, entries, strict=True)]
    crops = {key for key, number in zip(keys, numbers, strict=True) if number is not None}
    return [
        (key, number or 0, entry) if key in crops else ((*key, line), None, entry)
        for line, (key, number, entry) in enumerate(zip(keys, numbers, entries, strict=True))
    ]


def _numbered(entries: list[Entry]) -> list[tuple]:
    """As `_marked`, if all names end in `_k` and look like crops of several videos; else empty.

    They look so if at least half of the videos have 5 or 10 files, and none has more. Videos with
    fewer files then lack a crop.
    """
    lines = []
    for entry in entries:
        path = pathlib.PurePosixPath(entry.path)
        match = NUMBERED.fullmatch(entry.name) if path.suffix.lower() in FEATURES else None
        if not match:
            return []
        lines.append(((str(path.parent), match[1]), int(match[2]), entry))
    counts = [*Counter(key for key, _, _ in lines).values()]
    usual = max(counts, default=0) in CROP_COUNTS and 2 * counts.count(max(counts)) >= len(counts)
    return lines if usual and len(counts) > 1 else []


def _joined(where: pathlib.Path, name: str, crops: dict[int | None, Entry], most: int) -> Entry:
    """One entry for the crops of a video.

    Args:
      where: the list, for messages.
      name: name of the video.
      crops: number of the crop → its entry.
      most: most crops of any video; if that is 1, it may be any crop.

    Raises:
      ValueError: a crop is missing, or crops have two labels.
    """
    first = next(iter(crops.values()))
    if None in crops:
        return first
    # As many crops as the video with most of them; where all have one, it may be any.
    wanted = range(max(most, max(crops) + 1)) if most > 1 else ()
    if missing := [k for k in wanted if k not in crops]:
        raise ValueError(
            f"{where}: {name} is listed with {len(crops)} crops, without crop "
            f"{', '.join(map(str, missing))}; list a file for each of its {len(wanted)} crops"
        )
    if len({(entry.label, entry.listed_class) for entry in crops.values()}) > 1:
        raise ValueError(f"{where}: the crops of {name} have different labels")
    return dataclasses.replace(first, crops=tuple(sorted(crops)), video=name)


def unique_names(entries: Sequence[Entry], where: object) -> list[str]:
    """Names of the videos that can be names of files; CLASS_NAME where classes share a name.

    Entries with the same path are one video and keep one name.

    Args:
      entries: entries of one split.
      where: what lists them, for messages.

    Raises:
      ValueError: two videos would still have one name, or a name cannot be that of a file.
    """
    # Names of several paths get their class in front.
    paths: dict[str, set[str]] = {}
    for entry in entries:
        paths.setdefault(entry.name, set()).add(entry.path)
    shared = {name for name, listed_paths in paths.items() if len(listed_paths) > 1}
    names = [
        f"{e.class_name}_{e.name}".replace("/", "_") if e.name in shared else e.name
        for e in entries
    ]
    # A name with its class can still be another video's, or none for a file.
    named: dict[str, str] = {}
    for name, entry in zip(names, entries, strict=True):
        if wrong := wrong_with(name):
            raise ValueError(f"{where}: {entry.path!r} cannot be the name of a video: {wrong}")
        if named.setdefault(name, entry.path) != entry.path:
            raise ValueError(
                f"{where}: {named[name]} and {entry.path} would both be named {name}; give one of "
                "the two videos another name, in its file and in its list"
            )
    if shared:
        renamed = sorted(name for name, e in zip(names, entries, strict=True) if e.name in shared)
        text.note(f"{where}: videos of several classes share a name; named {some(renamed)}")
    return names


def shared_videos(train: Sequence[Entry], test: Sequence[Entry]) -> list[str]:
    """Names of the videos that both splits have, sorted.

    If both splits have the same folders, these are classes, and videos with the same name in two of
    them are two videos. Else folders belong to splits, and videos are compared by name alone.
    """
    classes = {entry.class_name for entry in train} & {entry.class_name for entry in test}
    train_classes: dict[str, set[str]] = {}
    for entry in train:
        train_classes.setdefault(entry.name, set()).add(entry.class_name)
    return sorted(
        {
            entry.name
            for entry in test
            if (of_name := train_classes.get(entry.name))
            and (entry.class_name in of_name or not {entry.class_name, *of_name} <= classes)
        }
    )


def some(names: Sequence[str]) -> str:
    """The first of some names, and how many more there are."""
    more = f" and {len(names) - MOST_NAMED:,} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more
