"""What `vadjax.metrics.region` reads: detections, tracks, numbers of frames; no JAX.

The name of a video is that of its file without the ending; videos are sorted by name.
"""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from vadjax.data.video.reader import list_images
from vadjax.formats import tracks as track_files
from vadjax.formats.boxes import check_shares, degenerate
from vadjax.formats.columns import Layout
from vadjax.formats.detections import SCORES, DetectionTable, format_of, read_detections
from vadjax.formats.files import TEXT, list_files
from vadjax.formats.folders import visible
from vadjax.formats.table import Table
from vadjax.formats.text import read_lines
from vadjax.scores import files as score_files
from vadjax.scores.files import Scores

PIXELS = Layout(("frame", "x0", "y0", "x1", "y1", "score"), "score")  # of boxes in score files


@dataclasses.dataclass(frozen=True)
class MeasuredVideos:
    """What is measured, video by video in the order of names.

    Attributes:
      names: of the videos.
      detections: [n, 6] of each, `score, frame, x_min, y_min, x_max, y_max`; None for maps.
      maps: [T, h, w] of each; None for detections.
      tracks: [n, 6] of each, `track, frame, x_min, y_min, x_max, y_max`.
      num_frames: frames of all videos together.
      detected: names of the videos that have a file of detections or a map, even without a box.
      tracked: names of the videos that have a file of tracks, even an empty one.
      counted: names of the videos whose number of frames was given.
    """

    names: list[str]
    detections: list[np.ndarray] | None
    maps: Sequence[np.ndarray] | None
    tracks: list[np.ndarray]
    num_frames: int
    detected: frozenset[str] = frozenset()
    tracked: frozenset[str] = frozenset()
    counted: frozenset[str] = frozenset()


class Maps(Sequence):
    """The maps of score files, read anew at each access, so that only one is in memory."""

    def __init__(self, paths: Sequence[pathlib.Path]):
        self._paths = list(paths)

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, number: int) -> np.ndarray:
        cells = score_files.read(self._paths[number]).map
        if cells is None:
            raise ValueError(f"{self._paths[number]}: has no boxes [n, 6] and no map [T, h, w]")
        return cells


def frame_counts(text: str | None) -> int | dict[str, int] | None:
    """Reads `--num_frames`: a total, or the number of frames of every video.

    Args:
      text: a number; a file of lines `VIDEO,FRAMES`; or a folder with a folder of pictures for each
        video.

    Raises:
      FileNotFoundError, ValueError: it is none of these, or a line cannot be read.
    """
    if text is None:
        return None
    if text.isascii() and text.isdigit():
        return int(text[:18])  # which int64 holds
    path = pathlib.Path(text)
    # Else it names a folder, or a file of lines.
    if path.is_dir():
        return {sub.name: len(list_images(sub)) for sub in visible(path) if sub.is_dir()}
    counts = {}
    for number, line in read_lines(path, ()):
        name, _, count = (part.strip() for part in line.rpartition(","))
        if not name or not (count.isascii() and count.isdigit()) or name in counts:
            raise ValueError(f"{path}:{number}: {line[:80]!r}; expected VIDEO,FRAMES once a video")
        counts[name] = int(count[:18])
    return counts


def read_videos(
    detections: pathlib.Path,
    tracks: pathlib.Path,
    layouts: tuple[Layout, Layout],
    counts: int | Mapping[str, int] | None = None,
    source: str | None = None,
    drop_degenerate: bool = False,
    *,
    form: str | None = None,
    images: pathlib.Path | None = None,
    first_frame: int | None = None,
    frame_size: tuple[int, int] | None = None,
) -> MeasuredVideos:
    """Reads and checks both sides of a comparison.

    Args:
      detections: folder of text or of score files, or COCO's results.
      tracks: folder of text.
      layouts: columns of the detections and of the tracks.
      counts: numbers of frames as from `frame_counts`; score files have their own.
      source: which of score files to measure, `"boxes"` or `"map"`; None for boxes, if the first
        file has them.
      drop_degenerate: leave out boxes without a pixel inside.
      form: format of the detections, one of `vadjax.formats.detections.FORMATS`; None finds out.
      images: JSON of COCO's images, where the results do not have them.
      first_frame: number of the first frame in detections of COCO and YOLO; None as they say.
      frame_size: (H, W) of all frames, if known: coordinates may be shares of it.

    Raises:
      FileNotFoundError, ValueError: a file that is missing or cannot be measured; names it, and
        the line.
    """
    form = form or format_of(detections)
    _check_form(detections, form, source, images)
    # Detections first: score files and COCO's images say how many frames there are
    counted = counts if isinstance(counts, Mapping) else {}
    paths, maps = list_files(tracks, TEXT), None
    if form == "scores":
        table, maps = _read_scores(detections, counts, source, drop_degenerate)
    else:
        table = read_detections(
            *(detections, form, layouts[0], counted, frozenset((*paths, *counted))),
            images=images,
            first_frame=first_frame,
            drop_degenerate=drop_degenerate,
            size=frame_size,
        )
    # Tracks, whose frames must lie within
    lengths = _lengths(detections, paths, table, counted)
    truth = track_files.read_tracks(paths, layouts[1], lengths, drop_degenerate, frame_size)
    if maps is not None and (missing := sorted(set(truth) - set(maps))):
        raise ValueError(f"{paths[missing[0]]}: no score file {missing[0]}.npz in {detections}")
    # All frames together, which false positives are divided by
    total = _total(counts, lengths, detections, frozenset(table.frames))
    if maps is not None:
        _check_map_total(detections, sum(lengths.values()), total)
    # By the names of files with their endings, as the goldens are (spec metrics §3a)
    names = sorted(lengths, key=lambda name: name + table.ending)
    return _put_together(names, table, maps, truth, total, frozenset(counted))


def _put_together(
    names: list[str],
    table: DetectionTable,
    maps: Mapping[str, pathlib.Path] | None,
    truth: Mapping[str, np.ndarray],
    total: int,
    counted: frozenset[str],
) -> MeasuredVideos:
    """Both sides in the order of `names`; a side that lacks a video has no boxes of it."""
    none = np.zeros((0, 6))
    return MeasuredVideos(
        names,
        None if maps is not None else [table.boxes.get(name, none) for name in names],
        None if maps is None else Maps([maps[name] for name in names]),
        [truth.get(name, none) for name in names],
        total,
        detected=frozenset(table.frames),
        tracked=frozenset(truth),
        counted=counted,
    )


def _check_form(
    detections: pathlib.Path, form: str, source: str | None, images: pathlib.Path | None
) -> None:
    """Raises ValueError for flags that are of no use for this format of detections."""
    if source == "map" and form != "scores":
        raise ValueError(f"{detections}: text has no maps; --source map is for score files")
    if images is not None and form != "coco":
        raise ValueError(f"--images: for COCO's results, and {detections} is read as {form}")


def _lengths(
    detections: pathlib.Path,
    paths: Mapping[str, pathlib.Path],
    table: DetectionTable,
    counted: Mapping[str, int],
) -> dict[str, int | None]:
    """Number of frames of every video, None where unknown.

    Raises:
      ValueError: numbers were given, and not that of a video.
    """
    lengths = {name: counted.get(name) for name in paths} | table.frames
    if counted and (uncounted := sorted(set(lengths) - set(counted))):
        path = paths.get(uncounted[0], detections)
        raise ValueError(f"{path}: --num_frames has no video {uncounted[0]!r}")
    return lengths


def _check_map_total(folder: pathlib.Path, frames: int, total: int) -> None:
    """Raises ValueError if the maps do not have all frames that were given."""
    if total != frames:
        raise ValueError(
            f"{folder}: maps of {frames:,} frames, but --num_frames says "
            f"{total:,}; every test video needs its map"
        )


def _read_scores(
    folder: pathlib.Path, counts, source: str | None, drop_degenerate: bool
) -> tuple[DetectionTable, dict[str, pathlib.Path] | None]:
    """Boxes and numbers of frames of score files, and paths of the files if maps are measured."""
    paths = list_files(folder, (SCORES, *TEXT))
    if text := [path for path in paths.values() if path.suffix.lower() in TEXT]:
        raise ValueError(
            f"{text[0]}: expected score files *{SCORES}; text is --detection_format table"
        )
    # Boxes or maps, as asked for, or as the first file has them.
    if source is None:
        source = "boxes" if score_files.read(next(iter(paths.values()))).boxes is not None else None
    # Maps are only counted here; `Maps` reads them one at a time.
    boxes, lengths, tables = {}, {}, []
    for name, path in paths.items():
        video = score_files.read(path)
        lengths[name] = len(video.frame_scores)
        if isinstance(counts, Mapping):
            _check_count(path, lengths[name], counts.get(name))
        if source == "boxes":
            boxes[name] = score_file_boxes(path, video, drop_degenerate)
            tables.append(Table(path, PIXELS, video.boxes.astype(np.float64)))
    check_shares(tables, remedy="multiply x by the width and y by the height of the frames")
    return DetectionTable(boxes, lengths, SCORES), None if source == "boxes" else paths


def _check_count(path: pathlib.Path, frames: int, expected: int | None) -> None:
    """Raises ValueError if a score file has another number of frames than was given."""
    if expected is not None and frames != expected:
        raise ValueError(f"{path}: {frames:,} frame scores, but --num_frames says {expected:,}")


def _total(
    counts, lengths: Mapping[str, int | None], folder: pathlib.Path, detected: frozenset[str]
) -> int:
    """Number of frames of all videos: as given, else the sum over score files or images."""
    if isinstance(counts, Mapping):
        return sum(counts.values())
    if counts is not None:
        return counts
    # Text of boxes does not say how long a video is.
    unknown = sorted(name for name, frames in lengths.items() if frames is None)
    if unknown:
        alone = f", and {folder} has no detections of them" * detected.isdisjoint(unknown)
        raise ValueError(
            f"{folder}: the number of frames of {', '.join(unknown[:5])} is not known{alone}; give "
            "--num_frames: the total of all test videos, a file of VIDEO,FRAMES, or the folder of "
            "their frames"
        )
    return sum(lengths.values())


def score_file_boxes(path: pathlib.Path, video: Scores, drop_degenerate: bool) -> np.ndarray:
    """Boxes of a score file, `[n, 6] score, frame, x_min, y_min, x_max, y_max`, inclusive.

    Raises:
      ValueError: there are none, or one that cannot be measured; names file and box.
    """
    if video.boxes is None:
        raise ValueError(
            f"{path}: has no boxes; expected [n, 6], with n = 0 where nothing was detected"
        )
    # Score files have x1 and y1 one past the last pixel; here they are inclusive.
    frame, x0, y0, x1, y1, score = video.boxes.astype(np.float64).T
    rows = np.stack([score, frame, x0, y0, x1 - 1, y1 - 1], 1)
    frames = len(video.frame_scores)
    finite = np.isfinite(rows[:, 1:]).all(1) & ~np.isnan(score)
    outside = ~((frame >= 0) & (frame < frames) & (frame == np.floor(frame)))
    empty = degenerate(rows[:, 2:])
    # The first row that cannot be measured is named.
    for wrong, what in (
        (~finite, "a value is NaN or infinite"),
        (outside, f"no such frame; its frames are 0 to {frames - 1}"),
        (empty & (not drop_degenerate), "x1 <= x0 or y1 <= y0; --drop_degenerate leaves it out"),
    ):
        if wrong.any():
            at = int(np.argmax(wrong))
            raise ValueError(f"{path}: boxes[{at}] {video.boxes[at].tolist()}: {what}")
    return rows[~empty]
