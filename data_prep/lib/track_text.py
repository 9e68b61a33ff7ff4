"""Ground-truth tracks of a dataset of frames, read from text files in whole pixels."""

import contextlib
import dataclasses
import pathlib
from collections.abc import Iterator

import numpy as np

from vadjax.data.store.frame_writer import SourceVideo
from vadjax.data.video.reader import FrameFolder
from vadjax.formats.boxes import boxes, check_shares
from vadjax.formats.columns import Layout, layout
from vadjax.formats.table import Table, parse
from vadjax.formats.tracks import TRACKS

PIXELS = "make pixels of them: python -m data_prep.tracks text FOLDER --out TRACKS --frame_size HxW"


@dataclasses.dataclass(frozen=True)
class TrackText:
    """How ground truth is written as text.

    Attributes:
      columns: what its columns hold, in order (`vadjax.formats.columns`); None: what the heading
        of a file says, and without a heading `default`.
      first_frame: number that the files give to the first frame of a video.
      drop_degenerate: leave out boxes without a pixel inside.
      flags: the command's flags for `columns` and `first_frame`, for messages.
      default: layout of files without a heading.
    """

    columns: tuple[str, ...] | None = None
    first_frame: int = 0
    drop_degenerate: bool = False
    flags: tuple[str, str] = ("--track_columns", "--first_track_frame")
    default: Layout = TRACKS

    @property
    def layout(self) -> Layout:
        """What the columns hold where no heading says it."""
        return layout(self.default, self.columns, self.first_frame, self.flags)

    def parse(self, path: pathlib.Path) -> Table:
        """The numbers of a file.

        Raises:
          ValueError: names file and line: as `vadjax.formats.table.parse`, or shares of the frame.
        """
        with self._remedy():
            table = parse(path, self.layout)
            check_shares([table], remedy=PIXELS)
            return table

    def check(self, table: Table, video: SourceVideo) -> np.ndarray:
        """The tracks of a video, int64 [n, 6] (`boxes.TRACK_COLUMNS`), in whole pixels.

        Raises:
          ValueError: names file and line: as `vadjax.formats.boxes.boxes`.
        """
        size = frame_size(video)
        with self._remedy():
            rows = boxes(table, len(video.frames), self.drop_degenerate, size)
        # Halves go up: np.rint would send them to the even neighbour
        return np.floor(rows + 0.5).astype(np.int64)

    @contextlib.contextmanager
    def _remedy(self) -> Iterator[None]:
        """Adds to an error which flags to compare the file with."""
        try:
            yield
        except ValueError as error:
            raise ValueError(
                f"{error}. Compare the file with {self.flags[0]} {self.layout} and "
                f"{self.flags[1]} {self.first_frame}"
            ) from error


def frame_size(video: SourceVideo) -> tuple[int, int]:
    """(H, W) of the first frame of a video, in pixels."""
    frames = video.frames
    if isinstance(frames, FrameFolder):
        return frames.size  # does not scale pixels, so 16-bit pictures need no levels
    return next(iter(frames)).pixels.shape[:2]
