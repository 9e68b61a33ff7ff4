"""Ground-truth tracks as text, one file for each video and one row for each box."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from vadjax.formats.boxes import SHARES, read_files
from vadjax.formats.columns import ASSUMED, Layout
from vadjax.formats.text import note

COLUMNS = ("track_id", "frame_id", "x_min", "y_min", "x_max", "y_max")
TRACKS = Layout(COLUMNS, "track", source=ASSUMED)
CROWDED = 2  # more than so many tracks for each frame mean that the two columns are exchanged


def read_tracks(
    paths: Mapping[str, Path],
    layout: Layout = TRACKS,
    frames: Mapping[str, int | None] | None = None,
    drop_degenerate: bool = False,
    size: tuple[int, int] | None = None,
    remedy: str = SHARES,
) -> dict[str, np.ndarray]:
    """Reads the tracks of all videos.

    Args:
      paths: video → its file, as from `files.list_files`.
      layout: what the columns hold where no heading says it.
      frames: video → number of its frames, if known.
      drop_degenerate: leave out boxes without a pixel inside.
      size: (H, W) of all frames, if known; coordinates between 0 and 1 are then shares of it.
      remedy: as for `boxes.read_files`.

    Returns:
      Video → float64 [n, 6], `track, frame, x_min, y_min, x_max, y_max`; frames count from 0,
      coordinates are inclusive pixels.

    Raises:
      OSError, ValueError: as `boxes.read_files`; the message names file and line.
    """
    boxes = read_files(paths, layout, frames or {}, drop_degenerate, size, remedy)
    tracks, numbers = (sum(len(np.unique(rows[:, i])) for rows in boxes.values()) for i in (0, 1))
    if layout.source == ASSUMED and tracks > CROWDED * numbers:
        note(
            f"tracks: {tracks:,} tracks in {numbers:,} frames; has the first column frames and "
            f"the second tracks? {layout.flags[0] or 'A heading'} names the order"
        )
    return boxes
