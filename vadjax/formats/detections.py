"""Detections of other programs: text tables, COCO's JSON, YOLO's text; boxes with scores."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vadjax.formats import coco, yolo
from vadjax.formats.boxes import SHARES, check, read_files
from vadjax.formats.columns import ASSUMED, Layout
from vadjax.formats.files import ABOUT, TEXT, list_files
from vadjax.formats.folders import visible

COLUMNS = ("frame_id", "x_min", "y_min", "x_max", "y_max", "score")
DETECTIONS = Layout(COLUMNS, "score", source=ASSUMED)
SCORES = ".npz"
REMEDY = f"{SHARES}, and --detection_format yolo if they are YOLO's files of one frame each"
FORMATS = ("table", "scores", "coco", "yolo")


class DetectionTable(NamedTuple):
    """Detections of all videos.

    Attributes:
      boxes: video → float64 [n, 6], `score, frame, x_min, y_min, x_max, y_max`; frames count from
        0, coordinates are inclusive pixels.
      frames: video → number of its frames; None where unknown.
      ending: of the files of the videos; empty where there are none.
    """

    boxes: dict[str, np.ndarray]
    frames: dict[str, int | None]
    ending: str = ""


def format_of(path: Path) -> str:
    """Which of `FORMATS` a file or folder has.

    Files of boxes, one a video, and files of YOLO, one a frame, cannot be told apart in one folder;
    those are tables. Files of YOLO in a folder a video can.

    Raises:
      FileNotFoundError: no such file or folder.
      ValueError: a file that is not JSON.
    """
    if path.is_file():
        if path.suffix.lower() == ".json":
            return "coco"
        raise ValueError(
            f"{path}: a file; expected a folder of one file a video, or COCO's results as .json"
        )
    files = [entry for entry in visible(path) if not ABOUT.search(entry.stem)]
    endings = {entry.suffix.lower() for entry in files}
    if SCORES in endings:
        return "scores"
    return "table" if endings.intersection(TEXT) or not yolo.has_frames(path) else "yolo"


def read_detections(
    path: Path,
    form: str,
    layout: Layout = DETECTIONS,
    frames: Mapping[str, int | None] | None = None,
    videos: frozenset[str] = frozenset(),
    *,
    images: Path | None = None,
    first_frame: int | None = None,
    drop_degenerate: bool = False,
    size: tuple[int, int] | None = None,
) -> DetectionTable:
    """Reads the detections of all videos.

    Args:
      path: folder, or file of COCO's results.
      form: one of `FORMATS` but `"scores"`.
      layout: what the columns of tables hold where no heading says it.
      frames: video → number of its frames, if known.
      videos: names that are known, by which videos are found in the names of frames.
      images: JSON of COCO's images, where the results do not have them.
      first_frame: number of the first frame; None as the input says, else 0.
      drop_degenerate: leave out boxes without a pixel inside.
      size: (H, W) of all frames, if known.

    Raises:
      OSError, ValueError: names file and line or record.
    """
    known, first_flag = dict(frames or {}), layout.flags[1] or "--first_frame"
    if form == "table":
        paths = list_files(path, TEXT)
        boxes = read_files(paths, layout, known, drop_degenerate, size, REMEDY)
        ending = next(iter(paths.values())).suffix
        return DetectionTable(boxes, {name: known.get(name) for name in paths}, ending)
    if form == "coco":
        tables, counts, own = coco.read_coco(path, images, videos, first_frame, first_flag)
        if None not in (size, own) and size != own:
            raise ValueError(
                f"{images or path}: images of {own[0]} x {own[1]} pixels (H x W), but --frame_size "
                f"says {size[0]}x{size[1]}"
            )
        for name, count in counts.items():
            if None not in (count, known.get(name)) and count != known[name]:
                raise ValueError(
                    f"{images or path}: {count:,} images of video {name}, but --num_frames says "
                    f"{known[name]:,}"
                )
        counts = {name: known.get(name, count) for name, count in counts.items()}
        return DetectionTable(check(tables, counts, drop_degenerate, size or own), counts)
    tables = yolo.read_yolo(path, videos, first_frame or 0, first_flag)
    counts = {name: known.get(name) for name in tables}
    return DetectionTable(check(tables, counts, drop_degenerate, size, shares=True), counts)
