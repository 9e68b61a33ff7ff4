"""Reads and checks boxes of tables: of one file, or of all files of one side of a comparison."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from vadjax.formats.columns import ASSUMED, HEADING, KINDS, Layout, whole
from vadjax.formats.table import Table, parse, refuse
from vadjax.formats.text import note

MOST_FRAMES = 10**9
MOST_PIXELS = 10**6  # largest coordinate
FEW = 1 / 20  # up to this share, boxes without a pixel can be slips of a detector
MANY = 1 / 5  # above this share, they show that an assumed order of columns is wrong
# Name of a column → what it says about the edges of boxes
EDGES = {
    "x_max": "x_max and y_max are the last pixels inside",
    "x1": "x1 and y1 are one past the last pixel inside",
}
SHARES = "give the size of the frames with --frame_size HEIGHTxWIDTH"


def read(
    path: Path,
    layout: Layout,
    frames: int | None = None,
    drop_degenerate: bool = False,
    size: tuple[int, int] | None = None,
) -> np.ndarray:
    """Reads the boxes of one file; an empty file has none. Arguments and result are as of `boxes`.

    Raises:
      OSError, ValueError: as `table.parse` and `boxes`.
    """
    return boxes(parse(path, layout), frames, drop_degenerate, size)


def read_files(
    paths: Mapping[str, Path],
    layout: Layout,
    frames: Mapping[str, int | None],
    drop_degenerate: bool = False,
    size: tuple[int, int] | None = None,
    remedy: str = SHARES,
) -> dict[str, np.ndarray]:
    """Reads the boxes of all videos, and prints a line about what was assumed.

    Args:
      paths: video → its file.
      layout: what the columns hold where no heading says it.
      frames: video → number of its frames, if known.
      drop_degenerate: leave out boxes without a pixel inside.
      size: (H, W) of all frames, if known; coordinates between 0 and 1 are then shares of it.
      remedy: what to do where all coordinates are shares and the size is not known.

    Returns:
      Video → boxes, as of `boxes`.

    Raises:
      OSError, ValueError: as `table.parse` and `boxes`; or a heading has other columns than those
        that files without a heading are assumed to have; or coordinates are shares of an unknown
        size; or far too many boxes have no pixel inside.
    """
    tables = {name: parse(path, layout) for name, path in paths.items()}
    check_one_order([*tables.values()])
    return check(tables, frames, drop_degenerate, size, remedy)


def check(
    tables: Mapping[str, Table],
    frames: Mapping[str, int | None],
    drop_degenerate: bool = False,
    size: tuple[int, int] | None = None,
    remedy: str = SHARES,
    shares: bool | None = None,
) -> dict[str, np.ndarray]:
    """Checks the boxes of the tables of all videos.

    Args:
      tables: video → its table.
      frames: as for `read_files`.
      drop_degenerate: as for `read_files`.
      size: as for `read_files`.
      remedy: as for `read_files`.
      shares: whether coordinates are shares of `size`; None finds out, by `check_shares`.

    Returns:
      Video → boxes, as of `boxes`.

    Raises:
      ValueError: as `read_files`.
    """
    # Pixels or shares is decided over all files: one file may hold a small box alone.
    filled = [table for table in tables.values() if len(table.rows)]
    if shares is None:
        shares = check_shares(filled, size, remedy)
    elif shares and size is None:
        raise ValueError(f"{filled[0].path}: coordinates are shares of the frame; {remedy}")
    checked = {
        name: boxes(table, frames.get(name), drop_degenerate, size, shares)
        for name, table in tables.items()
    }
    # Too many boxes without a pixel mean a wrong order of columns, not slips.
    dropped = sum(len(table.rows) for table in filled) - sum(map(len, checked.values()))
    check_dropped(filled, dropped)
    if dropped:
        what = KINDS[filled[0].layout.kind]
        note(f"{what}: {dropped:,} boxes of width or height 0 or less are left out")
    say_assumed(filled, shares, size)
    return checked


def boxes(
    table: Table,
    frames: int | None = None,
    drop_degenerate: bool = False,
    size: tuple[int, int] | None = None,
    shares: bool = False,
) -> np.ndarray:
    """Checks the boxes of one table (spec metrics §3a, the table of defects).

    Args:
      table: table of one video.
      frames: number of frames of the video; None if unknown.
      drop_degenerate: leave out boxes without a pixel inside, instead of refusing the file.
      size: (H, W) of the frames; None if unknown.
      shares: whether coordinates are shares of `size`.

    Returns:
      float64 [n, 6], `track or score, frame, x_min, y_min, x_max, y_max`; frames count from 0,
      coordinates are inclusive.

    Raises:
      ValueError: a value is NaN, a frame or track is no whole number, a frame lies outside the
        video, a box has no pixel inside, or a box reaches over the edge of the frame by more than a
        quarter of the frame. The message names file and line.
    """
    # In pixels and from frame 0, with the defects of rows still in them.
    layout = table.layout
    with np.errstate(all="ignore"):  # what is infinite is refused below
        rows = layout.arrange(table.rows, size if shares else None)
        empty = degenerate(rows[:, 2:])
    # The first row with a defect is named, defect by defect.
    labels = rows[:, :2] if layout.kind == "track" else rows[:, 1:2]
    where = "" if size is None else f" of {size[0]} x {size[1]} pixels (H x W)"
    for wrong, what in (
        (np.isnan(rows[:, 0]), f"{layout.kind} is NaN"),
        (~np.isfinite(rows[:, 1:]).all(1), "a frame or coordinate is NaN or infinite"),
        (
            ~whole(labels).all(1),
            "the frame (or track) is not a whole number; is the order of columns right?",
        ),
        (
            (rows[:, 1] < 0) | (rows[:, 1] >= (MOST_FRAMES if frames is None else frames)),
            _no_such_frame(layout, rows[:, 1], frames),
        ),
        ((np.abs(rows[:, 2:]) > MOST_PIXELS).any(1), f"a coordinate beyond {MOST_PIXELS:,} pixels"),
        (empty & (not drop_degenerate), _no_pixel(layout, empty)),
        (_far_outside(rows[:, 2:], size) & ~empty, f"a box far outside its frame{where}"),
    ):
        refuse(table, wrong, what)
    return rows[~empty] if empty.any() else rows


def check_shares(
    tables: Sequence[Table], size: tuple[int, int] | None = None, remedy: str = SHARES
) -> bool:
    """Whether the coordinates of all tables are shares of the frame.

    Raises:
      ValueError: they are, and the size of the frame is not known; or only those of some tables
        are.
    """
    tables = [table for table in tables if len(table.rows)]
    of_shares = [table for table in tables if table.shares]
    shares = bool(tables) and len(of_shares) == len(tables)
    if shares and size is None:
        raise ValueError(
            f"{tables[0].path}: all coordinates of the {KINDS[tables[0].layout.kind]} lie between "
            f"0 and 1, expected pixels. If they are shares of the frame, {remedy}"
        )
    # Whole numbers 0 and 1 can be a box within the first pixels; fractions can only be shares
    if not shares and (odd := next((table for table in of_shares if table.fractions), None)):
        other = next(table for table in tables if not table.shares)
        raise ValueError(
            f"{odd.path}: all coordinates lie between 0 and 1, but {other.path.name} has pixels; "
            "expected the same in every file"
        )
    return shares


def degenerate(boxes: np.ndarray) -> np.ndarray:
    """Which of the inclusive boxes [n, 4] have a width or height of 0 or less, bool [n]."""
    return (boxes[:, 2] - boxes[:, 0] + 1 <= 0) | (boxes[:, 3] - boxes[:, 1] + 1 <= 0)


def _far_outside(boxes: np.ndarray, size: tuple[int, int] | None) -> np.ndarray:
    """Which inclusive boxes [n, 4] reach over an edge by more than a quarter of the frame."""
    if size is None:
        return np.zeros(len(boxes), bool)
    side = np.array([size[1], size[0]])
    return ((boxes[:, :2] < -side / 4) | (boxes[:, 2:] >= side * 5 / 4)).any(1)


def _no_such_frame(layout: Layout, numbers: np.ndarray, frames: int | None) -> str:
    """The message for a frame outside the video; `numbers` are the frames of the rows, from 0."""
    first = layout.first_frame
    last = "" if frames is None else f" to {frames - 1 + first}"
    # Frames 1 to n of n frames probably count from 1.
    hint = ""
    if layout.flags[1] and len(numbers) and numbers.min() == 1 and numbers.max() == frames:
        hint = f", or from {first + 1} with {layout.flags[1]} {first + 1}"
    return f"no such frame; frames are numbered {first}{last}{hint}"


def _no_pixel(layout: Layout, empty: np.ndarray) -> str:
    """The message for boxes without a pixel; how to leave them out is told only if they are few."""
    count = int(empty.sum())
    if count < 3 or count <= FEW * len(empty):
        return "a box of width or height 0 or less; --drop_degenerate leaves it out"
    remedy = f"; name the right one with {layout.flags[0]}" if layout.flags[0] else ""
    return (
        f"a box of width or height 0 or less, as {count:,} of {len(empty):,} boxes: the order of "
        f"columns {layout} looks wrong{remedy}"
    )


def check_dropped(tables: Sequence[Table], dropped: int) -> None:
    """Raises ValueError if so many boxes have no pixel that an assumed order must be wrong."""
    # Few boxes can be slips, and an order that was named is right.
    total = sum(len(table.rows) for table in tables)
    if (
        dropped < 3
        or dropped <= MANY * total
        or not any(table.layout.source == ASSUMED for table in tables)
    ):
        return
    layout = tables[0].layout
    raise ValueError(
        f"{tables[0].path.parent}: {dropped:,} of {total:,} boxes have a width or height of 0 or "
        f"less: the order of columns {layout} looks wrong. Name the order of the files with "
        f"{layout.flags[0]}, also if it is this one"
    )


def check_one_order(tables: Sequence[Table]) -> None:
    """Raises ValueError if some files have a heading of other columns than others have."""
    tables = [table for table in tables if len(table.rows)]
    assumed = next((table for table in tables if table.layout.source == ASSUMED), None)
    for table in tables if assumed else ():
        if table.layout.names != assumed.layout.names:
            raise ValueError(
                f"{assumed.path}: has no heading, but {table.path.name} beside it has one of other "
                f"columns, {table.layout}; give every file a heading, or none and "
                f"{assumed.layout.flags[0]}"
            )


def say_assumed(
    tables: Sequence[Table], shares: bool = False, size: tuple[int, int] | None = None
) -> None:
    """Prints which order of columns, which edges, which unit and which first frame were assumed."""
    tables = [table for table in tables if len(table.rows)]
    if not tables:
        return
    layout, (columns_flag, first_flag) = tables[0].layout, tables[0].layout.flags
    # Where the columns come from; nothing is said if the user named them.
    assumptions = []
    if layout.source == ASSUMED:
        assumptions.append(
            f"the files have no heading, so their columns are taken as {layout}"
            + (f" ({columns_flag} names others)" if columns_flag else "")
        )
    elif layout.source == HEADING:
        assumptions.append(f"columns by the heading, {layout}")
    # What coordinates mean.
    if assumptions and not shares:
        assumptions += [text for name, text in EDGES.items() if name in layout.names]
    if shares:
        of = "the frame" if size is None else f"{size[0]} x {size[1]} pixels"
        assumptions.append(f"coordinates are between 0 and 1, read as shares of {of}")
    # The first frame is 0 unless a flag says it; a smallest frame of 1 makes that doubtful.
    smallest = min(table.rows[:, layout.names.index("frame")].min() for table in tables)
    if assumptions:
        assumptions.append(f"frames count from {layout.first_frame}")
    if layout.first_frame == 0 and smallest == 1 and first_flag:
        assumptions.append(f"the smallest frame is 1: if they count from 1, give {first_flag} 1")
    if assumptions:
        note(f"{KINDS[layout.kind]}: {'; '.join(assumptions)}")
