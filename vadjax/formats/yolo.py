"""Detections as YOLO writes them: a text file for each frame, a row for each box.

Rows are `class cx cy w h confidence`, where cx, cy, w and h are shares of the frame from 0 to 1
(ultralytics: `save_txt=True, save_conf=True`). Files are `VIDEO/NUMBER.txt`,
`VIDEO/ANY_NUMBER.txt` or, in one folder, `VIDEO_NUMBER.txt`; a frame without a file has no boxes.
"""

from collections.abc import Collection
from pathlib import Path

import numpy as np

from vadjax.formats import numbering
from vadjax.formats.columns import Layout
from vadjax.formats.entries import some
from vadjax.formats.files import ABOUT, holds_rows
from vadjax.formats.folders import visible
from vadjax.formats.table import BEYOND, Table, kept_lines, numbers, quickly
from vadjax.formats.text import note, read_text, split

ROW = ("class", "cx", "cy", "w", "h", "confidence")
COLUMNS = ("frame", *ROW[1:])
ENDING = ".txt"


def has_frames(folder: Path) -> bool:
    """Whether a folder has folders of numbered text files, one for each video."""
    files = (path for sub in visible(folder) if sub.is_dir() for path in visible(sub))
    return any(path.suffix.lower() == ENDING and path.stem[-1:].isdigit() for path in files)


def read_yolo(
    folder: Path,
    videos: Collection[str] = (),
    first_frame: int = 0,
    flag: str = "--first_frame",
) -> dict[str, Table]:
    """Reads the detections of every video.

    Args:
      folder: as in the module docstring.
      videos: known names of videos, by which they are recognized in the names of files.
      first_frame: number of the first frame of a video in the names.
      flag: flag of the program for `first_frame`, for messages.

    Returns:
      Video → its table of `COLUMNS`, in shares of the frame.

    Raises:
      OSError, ValueError: there are no such files, a name has no number, or a row has another
        number of columns or a value that is not a share of the frame. The message names file and
        line.
    """
    # A folder with files, but none of boxes, is a video without detections
    layout = Layout(COLUMNS, "score", first_frame, flags=("", flag))
    files_of: dict[str, dict[int, Path]] = {
        sub.name: {} for sub in visible(folder) if sub.is_dir() and any(sub.iterdir())
    }
    # Video → number of the frame → its file.
    for path in _files(folder):
        name = path.relative_to(folder).as_posix()
        try:
            video, number = numbering.place(name, videos)
        except ValueError as error:
            raise ValueError(f"{folder}: {error}") from error
        if number in files_of.setdefault(video, {}):
            raise ValueError(f"{path}: frame {number} of video {video!r} has another file")
        files_of[video][number] = path
    if not files_of:
        raise FileNotFoundError(f"{folder}: no files VIDEO/NUMBER{ENDING} or VIDEO_NUMBER{ENDING}")
    note(f"{folder}: {len(files_of):,} videos, a file a frame; frames count from {first_frame}")
    return {video: _table(folder, layout, files) for video, files in files_of.items()}


def _files(folder: Path) -> list[Path]:
    """The text files of all frames; those about the others are passed over with a note."""
    paths = [path for sub in visible(folder) if sub.is_dir() for path in visible(sub)]
    paths += [path for path in visible(folder) if not path.is_dir()]
    files = [path for path in paths if path.parent == folder and not path.suffix]
    if others := [path.name for path in files if not ABOUT.search(path.name)]:
        note(f"{folder}: neither folders of videos nor *{ENDING}, passed over: {some(others)}")
    paths = [path for path in paths if path.suffix.lower() == ENDING]
    about = [path for path in paths if ABOUT.search(path.stem) and not holds_rows(path)]
    for path in about:
        note(f"{path}: holds no row of numbers, so it is passed over; it is no frame")
    return [path for path in paths if path not in about]


def _table(folder: Path, layout: Layout, files: dict[int, Path]) -> Table:
    """The boxes of a video, in the order of its frames."""
    contents = [(frame, path, split(read_text(path))) for frame, path in sorted(files.items())]
    kept = [kept_lines(lines, 0) for _, _, lines in contents]
    # All files are parsed at once, since each alone takes a millisecond; if that fails one by one,
    # to name the first that is wrong
    rows = quickly([line.text for lines in kept for line in lines], len(ROW))
    if rows is None:
        parts = [_rows(path, lines) for _, path, lines in contents]
        rows = np.concatenate([np.zeros((0, len(ROW))), *parts])
    places = [
        f"{path}:{line.number}"
        for (_, path, _), lines in zip(contents, kept, strict=True)
        for line in lines
    ]
    # The file and line of each row are kept for this message and for later ones.
    if (wrong := _no_share(rows)).any():
        raise ValueError(
            f"{places[int(np.argmax(wrong))]}: a coordinate is not a share of the frame; expected "
            f"{' '.join(ROW)}, coordinates from 0 to 1"
        )
    frames = np.repeat([float(frame) for frame, _, _ in contents], [len(lines) for lines in kept])
    return Table(folder, layout, np.column_stack([frames, rows[:, 1:]]), places.__getitem__)


def _rows(path: Path, lines: list[str]) -> np.ndarray:
    """The rows of a file, float64 [n, 6], `ROW`."""
    remedy = "; save_conf=True writes the confidence"
    return numbers(path, lines, 0, ROW, range(1, len(ROW)), remedy)


def _no_share(rows: np.ndarray) -> np.ndarray:
    """Which rows of `ROW` have a coordinate that cannot be a share of the frame."""
    shares = rows[:, 1:5]
    return ~((shares >= -BEYOND) & (shares <= 1 + BEYOND)).all(1)
