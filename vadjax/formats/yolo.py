"""Detections as YOLO writes them: a text file a frame, a row a box, in shares of the frame.

Rows are `class cx cy w h confidence`, from 0 to 1 (ultralytics: `save_txt=True, save_conf=True`).
Files are `VIDEO/NUMBER.txt`, `VIDEO/ANY_NUMBER.txt` or, in one folder, `VIDEO_NUMBER.txt`; a frame
without a file has no boxes.
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
    """Whether a folder has folders of numbered text files, one a video."""
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
      videos: names of videos that are known, by which they are found in the names of files.
      first_frame: number of the first frame of a video in the names.
      flag: that says so, for messages.

    Returns:
      Video → its table, of `COLUMNS`, in shares of the frame.

    Raises:
      OSError, ValueError: names file and line: no such files, a name without a number, another
        number of columns, a value that is not a share of the frame.
    """
    layout = Layout(COLUMNS, "score", first_frame, flags=("", flag))
    found: dict[str, dict[int, Path]] = {
        sub.name: {} for sub in visible(folder) if sub.is_dir() and any(sub.iterdir())
    }
    for path in _files(folder):
        name = path.relative_to(folder).as_posix()
        try:
            video, number = numbering.place(name, videos)
        except ValueError as error:
            raise ValueError(f"{folder}: {error}") from error
        if number in found.setdefault(video, {}):
            raise ValueError(f"{path}: frame {number} of video {video!r} has another file")
        found[video][number] = path
    if not found:
        raise FileNotFoundError(f"{folder}: no files VIDEO/NUMBER{ENDING} or VIDEO_NUMBER{ENDING}")
    note(f"{folder}: {len(found):,} videos, a file a frame; frames count from {first_frame}")
    return {video: _table(folder, layout, files) for video, files in found.items()}


def _files(folder: Path) -> list[Path]:
    """The text files of all frames; what is about the others is passed over, and said."""
    found = [path for sub in visible(folder) if sub.is_dir() for path in visible(sub)]
    found += [path for path in visible(folder) if not path.is_dir()]
    files = [path for path in found if path.parent == folder and not path.suffix]
    if others := [path.name for path in files if not ABOUT.search(path.name)]:
        note(f"{folder}: neither folders of videos nor *{ENDING}, passed over: {some(others)}")
    found = [path for path in found if path.suffix.lower() == ENDING]
    about = [path for path in found if ABOUT.search(path.stem) and not holds_rows(path)]
    for path in about:
        note(f"{path}: holds no row of numbers, so it is passed over; it is no frame")
    return [path for path in found if path not in about]


def _table(folder: Path, layout: Layout, files: dict[int, Path]) -> Table:
    """The boxes of a video, in the order of its frames."""
    found = [(frame, path, split(read_text(path))) for frame, path in sorted(files.items())]
    kept = [kept_lines(lines, 0) for _, _, lines in found]
    # All files at once where that can be, as parsing each takes a millisecond; else each, to name
    # the first that is wrong
    rows = quickly([line.text for lines in kept for line in lines], len(ROW))
    if rows is None:
        parts = [_rows(path, lines) for _, path, lines in found]
        rows = np.concatenate([np.zeros((0, len(ROW))), *parts])
    places = [
        f"{path}:{line.number}"
        for (_, path, _), lines in zip(found, kept, strict=True)
        for line in lines
    ]
    if (wrong := _no_share(rows)).any():
        raise ValueError(
            f"{places[int(np.argmax(wrong))]}: a coordinate is not a share of the frame; expected "
            f"{' '.join(ROW)}, coordinates from 0 to 1"
        )
    frames = np.repeat([float(frame) for frame, _, _ in found], [len(lines) for lines in kept])
    return Table(folder, layout, np.column_stack([frames, rows[:, 1:]]), places.__getitem__)


def _rows(path: Path, lines: list[str]) -> np.ndarray:
    """The rows of a file, float64 [n, 6], `ROW`."""
    remedy = "; save_conf=True writes the confidence"
    return numbers(path, lines, 0, ROW, range(1, len(ROW)), remedy)


def _no_share(rows: np.ndarray) -> np.ndarray:
    """Which rows of `ROW` have a coordinate that cannot be a share of the frame."""
    shares = rows[:, 1:5]
    return ~((shares >= -BEYOND) & (shares <= 1 + BEYOND)).all(1)
