"""Detections (boxes with scores) of other programs: text tables, JSON of COCO, text of YOLO."""

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
      ending: ending of the files of the videos; empty if a video has no file of its own.
    """

    boxes: dict[str, np.ndarray]
    frames: dict[str, int | None]
    ending: str = ""


def format_of(path: Path) -> str:
    """Which of `FORMATS` a file or folder has.

    Tables have a file for each video, YOLO has one for each frame. If all files lie in one folder,
    they cannot be told apart and count as tables; YOLO is recognized by a folder for each video.

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
      videos: known names of videos, by which they are recognized in the names of frames.
      images: JSON of COCO's images, where the results do not have them.
      first_frame: number of the first frame; None as the input says, else 0.
      drop_degenerate: leave out boxes without a pixel inside.
      size: (H, W) of all frames, if known.

    Raises:
      OSError, ValueError: the input is missing or cannot be measured; the message names file and
        line or record.
    """
    lengths, first_flag = dict(frames or {}), layout.flags[1] or "--first_frame"
    if form == "table":
        paths = list_files(path, TEXT)
        boxes = read_files(paths, layout, lengths, drop_degenerate, size, REMEDY)
        ending = next(iter(paths.values())).suffix
        return DetectionTable(boxes, {name: lengths.get(name) for name in paths}, ending)
    # The images of COCO say how many frames a video has, and their size.
    if form == "coco":
        tables, counts, image_size = coco.read_coco(path, images, videos, first_frame, first_flag)
        if None not in (size, image_size) and size != image_size:
            raise ValueError(
                f"{images or path}: images of {image_size[0]} x {image_size[1]} pixels (H x W), "
                f"but --frame_size says {size[0]}x{size[1]}"
            )
        for name, count in counts.items():
            if None not in (count, lengths.get(name)) and count != lengths[name]:
                raise ValueError(
                    f"{images or path}: {count:,} images of video {name}, but --num_frames says "
                    f"{lengths[name]:,}"
                )
        counts = {name: lengths.get(name, count) for name, count in counts.items()}
        return DetectionTable(check(tables, counts, drop_degenerate, size or image_size), counts)
    # YOLO has shares of the frame always.
    tables = yolo.read_yolo(path, videos, first_frame or 0, first_flag)
    counts = {name: lengths.get(name) for name in tables}
    return DetectionTable(check(tables, counts, drop_degenerate, size, shares=True), counts)
