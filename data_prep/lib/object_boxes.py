"""Where the boxes of objects come from: a detector, files, or the dataset of frames itself."""

import abc
import contextlib
import pathlib
from collections.abc import Callable, Iterator

import numpy as np

from vadjax.backbones.detection import DEGENERATE, Detections, Detector, Filter, unnamed
from vadjax.data.clips import Video, Videos
from vadjax.data.store.records import Dataset
from vadjax.data.video.boxes import BOX_COLUMNS
from vadjax.extractors.detector import FILES
from vadjax.formats.boxes import boxes, check_dropped, check_one_order, check_shares, say_assumed
from vadjax.formats.columns import ASSUMED, Layout, layout
from vadjax.formats.files import TEXT, list_files
from vadjax.formats.regular import is_there
from vadjax.formats.table import Table, parse

STORED = "stored"
FLAGS = ("--box_columns", "--first_box_frame")
UNITS = ("pixels", "shares")
# Frame and its pixels (None where `Boxes.frames` is false) → objects, in pixels of the source
Find = Callable[[int, np.ndarray | None], Detections]


class Boxes(abc.ABC):
    """A source of the boxes of all objects.

    Attributes:
      settings: how the boxes were found, in values that JSON can hold.
      keep: filter that says which boxes stay.
      frames: whether the pixels of the frames are needed.
      consecutive: whether all frames of a video have to be looked at, in their order.
    """

    settings: dict
    keep: Filter
    frames = consecutive = False

    @abc.abstractmethod
    def start(self, video: Video) -> Find:
        """Begins a video; returns the function that gives the objects of its frames."""

    def check(self, data: Dataset) -> None:  # noqa: B027 - most have nothing to compare
        """Compares the boxes with the dataset of frames before the work, as far as that can be.

        Raises:
          FileNotFoundError, ValueError: boxes are missing, or are of something else.
        """


class Detected(Boxes):
    """Boxes of a detector."""

    frames = True

    def __init__(self, detector: Detector):
        self.detector, self.keep, self.settings = detector, detector.keep, detector.settings
        self.consecutive = detector.consecutive

    def start(self, video: Video) -> Find:
        """As `Boxes.start`; forgets the video before."""
        self.detector.restart()
        scale = scale_of(video)

        def find(frame: int, pixels: np.ndarray) -> Detections:
            # The detector sees stored frames, which may be smaller or larger than the source's
            detections = self.detector(pixels)
            return detections._replace(boxes=(detections.boxes / scale).astype(np.float32))

        return find


class Stored(Boxes):
    """Boxes that the dataset of frames holds."""

    def __init__(self, keep: Filter):
        self.keep = keep
        self.settings = {"name": FILES, "boxes": STORED} | _settings(keep)

    def check(self, data: Dataset) -> None:
        """As `Boxes.check`."""
        for split in data.splits:
            for video in Videos(data, split):
                if video.boxes is None:
                    raise ValueError(
                        f"{data.folder}: video {video.name} ({split}) has no stored boxes; name a "
                        "folder of them (--boxes FOLDER) or a detector (--detector)"
                    )

    def start(self, video: Video) -> Find:
        """As `Boxes.start`."""
        return _by_frame(video, video.boxes, self.keep)


class Files(Boxes):
    """Boxes of text files, FOLDER/SPLIT/VIDEO.csv.

    Args:
      folder: folder of the files.
      keep: filter that says which boxes stay.
      columns: what the columns hold (`vadjax.formats.columns`); None: what the heading of a file
        says, and without a heading `BOX_COLUMNS`.
      first_frame: number that the files give to the first frame.
      units: one of `UNITS`; shares are of the width and height of the frame.

    Raises:
      ValueError: an unknown column, or one that is missing.
    """

    def __init__(
        self,
        folder: str | pathlib.Path,
        keep: Filter,
        columns: tuple[str, ...] | None = None,
        first_frame: int = 0,
        units: str = UNITS[0],
    ):
        assumed = Layout(BOX_COLUMNS, "score", source=ASSUMED)
        self._layout, self._shares = layout(assumed, columns, first_frame, FLAGS), units == "shares"
        self._folder, self.keep = pathlib.Path(folder), keep
        self.settings = {
            "name": FILES,
            "boxes": str(self._folder.absolute()),
            "box_columns": list(self._layout.columns),
            "first_box_frame": first_frame,
        } | _settings(keep)
        if self._shares:
            self.settings["box_units"] = units

    def check(self, data: Dataset) -> None:
        """As `Boxes.check`; reads every file, and prints what it assumes of them."""
        tables, dropped = [], 0
        for split in data.splits:
            # Every file has its video, and every video its file
            paths, videos = list_files(self._folder / split, TEXT), Videos(data, split)
            names = [video.name for video in videos]
            if unknown := [name for name in paths if name not in names]:
                raise ValueError(
                    f"{paths[unknown[0]]}: no {split} video {unknown[0]!r}; they are "
                    f"{', '.join(names[:3])}, …. Give the file the name of its video, or move it "
                    "elsewhere"
                )
            for video in videos:
                tables.append(self._table(video))
                dropped += self._rows(video, tables[-1])[1]
        # An empty file says nothing of columns and units; the others must agree
        tables = [table for table in tables if len(table.rows)]
        check_one_order(tables)
        if not self._shares:
            check_shares(tables, remedy="say so with --box_units shares")
        check_dropped(tables, dropped)
        say_assumed(tables, self._shares)
        if tables:
            self.settings["box_columns"] = list(tables[0].layout.columns)

    def start(self, video: Video) -> Find:
        """As `Boxes.start`; counts the boxes without a pixel inside."""
        rows, dropped = self._rows(video, self._table(video))
        self.keep.dropped[DEGENERATE] += dropped
        return _by_frame(video, rows, self.keep)

    def _table(self, video: Video) -> Table:
        """The file of a video.

        Raises:
          FileNotFoundError: there is none.
          ValueError: names file and line: as `vadjax.formats.table.parse`.
        """
        with self._remedy():
            return parse(self._path(video), self._layout)

    def _rows(self, video: Video, table: Table) -> tuple[np.ndarray, int]:
        """Boxes float32 [n, 6] (`BOX_COLUMNS`) of a video, and how many more had no pixel inside.

        Raises:
          ValueError: names file and line: as `vadjax.formats.boxes.boxes`.
        """
        size = video.source_size if self._shares else None
        with self._remedy():
            rows = boxes(table, video.num_frames, True, size, self._shares)
        # From the last pixels inside to the edges behind them
        score, frame, x0, y0, x1, y1 = rows.T
        box_rows = np.stack([frame, x0, y0, x1 + 1, y1 + 1, score], 1).astype(np.float32)
        return box_rows, len(table.rows) - len(rows)

    @contextlib.contextmanager
    def _remedy(self) -> Iterator[None]:
        """Adds to an error which flags to compare the file with."""
        try:
            yield
        except ValueError as error:
            raise ValueError(
                f"{error}. Compare the file with --box_columns {self._layout} and "
                f"--first_box_frame {self._layout.first_frame}"
            ) from error

    def _path(self, video: Video) -> pathlib.Path:
        """The file of a video, with any ending of text files; refuses a missing one."""
        folder = self._folder / video.split
        for ending in TEXT:
            if is_there(path := folder / f"{video.name}{ending}"):
                return path
        path = folder / f"{video.name}.csv"
        raise FileNotFoundError(
            f"{path}: no such file with the boxes of {video.split} video {video.name}. If it "
            f"has no object, make an empty file: touch {path}"
        )


def scale_of(video: Video) -> np.ndarray:
    """Stored pixels for each source pixel, float64 [4], for `x0, y0, x1, y1`."""
    (height, width), (source_height, source_width) = video.size, video.source_size
    return np.array([width / source_width, height / source_height] * 2)


def _settings(keep: Filter) -> dict:
    """Entries of `Boxes.settings` for a filter."""
    return {name: getattr(keep, name) for name in ("threshold", "overlap", "min_size")}


def _by_frame(video: Video, rows: np.ndarray, keep: Filter) -> Find:
    """Function of a frame that gives its boxes out of all rows (`BOX_COLUMNS`) of a video."""
    # Boxes of one frame stay in the order of the file
    rows = rows[np.argsort(rows[:, 0], kind="stable")]
    if len(rows) and not 0 <= rows[0, 0] <= rows[-1, 0] < video.num_frames:
        raise ValueError(
            f"video {video.name}: boxes of frames {rows[0, 0]:g} to {rows[-1, 0]:g}, but it has "
            f"{video.num_frames:,} frames"
        )
    # The rows of frame t are ends[t] : ends[t + 1]
    ends = np.searchsorted(rows[:, 0], np.arange(video.num_frames + 1))

    def find(frame: int, pixels: np.ndarray | None) -> Detections:
        frame_rows = rows[ends[frame] : ends[frame + 1]]
        try:
            return keep(unnamed(frame_rows[:, 1:5], frame_rows[:, 5]), video.source_size)
        except ValueError as error:
            raise ValueError(f"video {video.name}, frame {frame}: {error}") from error

    return find
