"""Detections in the JSON of COCO: results, and the list of images that they refer to.

Results are `[{"image_id": 7, "bbox": [x, y, w, h], "score": 0.9, …}, …]` in pixels. The images are
`{"images": [{"id": 7, "file_name": "01_0014/000.jpg", …}, …]}` in another file, or in the same one
beside `"annotations"` with scores. An image belongs to a video by its `video_id` and `"videos"`,
and its frame is `frame_id` (or `frame_index`) there; else both are read from `file_name`.
"""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vadjax.formats import json_files, numbering
from vadjax.formats.columns import Layout
from vadjax.formats.names import check_name
from vadjax.formats.table import Table
from vadjax.formats.text import MOST_BYTES, note

COLUMNS = ("frame", "x", "y", "w", "h", "score")
FRAME_KEYS = ("frame_id", "frame_index", "frame_idx", "frame")


def read_coco(
    path: Path,
    images: Path | None = None,
    videos: Collection[str] = (),
    first_frame: int | None = None,
    flag: str = "--first_frame",
) -> tuple[dict[str, Table], dict[str, int | None], tuple[int, int] | None]:
    """Reads detections.

    Args:
      path: path of the results, or of one JSON with images and annotations.
      images: path of the JSON that lists the images; None if `path` lists them.
      videos: known names of videos, by which they are recognized in the names of files.
      first_frame: number of the first frame of a video; None for 0 or 1, by the images.
      flag: flag of the program for `first_frame`, for messages.

    Returns:
      Video → its table of `COLUMNS`, empty where nothing was detected; video → number of its
      frames, None if the images do not tell it; and (H, W) of all images, None if they differ or
      have no size.

    Raises:
      OSError, ValueError: the JSON is missing or of another form, an image is not listed, or a box
        or score is no number. The message names file and record.
    """
    # The two lists, from one file or from two
    results = json_files.read(path, most=MOST_BYTES, nan=True)
    listed = results if images is None else json_files.read(images, most=MOST_BYTES)
    records = results.get("annotations") if isinstance(results, dict) else results
    if not isinstance(records, list):
        raise ValueError(f"{path}: {json_files.show(results)}; expected a list of detections")
    if not isinstance(listed, dict) or not isinstance(listed.get("images"), list):
        raise ValueError(
            f"{images or path}: {json_files.show(listed)}; expected the images that image_id "
            'refers to, as {"images": [{"id": 7, "file_name": "VIDEO/NUMBER.jpg"}, …]}. Name the '
            "file that has them: --images FILE.json"
        )
    # Which frame of which video every image is, and where their numbers begin
    places = _places(images or path, listed, videos)
    try:
        numbers = numbering.by_video(places.values())
        first, counts = numbering.first_frame(numbers, first_frame, flag)
    except ValueError as error:
        raise ValueError(f"{images or path}: {error}") from error
    counted_from = "" if first_frame is not None else f", which count from {first}"
    note(
        f"{path}: {len(numbers):,} videos, {len(places):,} images{counted_from}; "
        "x, y, w, h in pixels"
    )
    layout = Layout(COLUMNS, "score", first, flags=("", flag))
    return _tables(path, records, places, layout, list(numbers)), counts, _size(listed["images"])


def _places(path: Path, listed: Mapping, videos: Collection[str]) -> dict[Any, tuple[str, int]]:
    """Id of every image → its video and the number of its frame."""
    # Videos by their ids, if they are listed; a name may be a path
    names = {}
    clips = listed.get("videos")
    for clip in clips if isinstance(clips, list) else []:
        if isinstance(clip, dict) and isinstance(clip.get("name"), str):
            name = clip["name"].replace("\\", "/").rstrip("/").split("/")[-1]
            names[_key(clip.get("id"))] = check_name(name, path)
    # Images, by their id or file name
    places = {}
    for number, image in enumerate(listed["images"]):
        where = f"{path}: images[{number}]"
        if not isinstance(image, dict) or (key := _key(image.get("id"))) is None:
            raise ValueError(f"{where}: {image!r:.80}; expected an object with an id and file_name")
        if key in places:
            raise ValueError(f"{where}: the id {key!r} is there twice")
        for side in ("height", "width"):
            if isinstance(image.get(side), list | dict):
                raise ValueError(f"{where}: {side} {image[side]!r:.40}; expected pixels")
        try:
            places[key] = _place(image, names, videos)
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from error
    return places


def _place(image: Mapping, names: Mapping, videos: Collection[str]) -> tuple[str, int]:
    """Video and frame of an image, by its fields, else by its file name."""
    # By fields: the video by its id, and the frame in it.
    video = names.get(_key(image.get("video_id")))
    frame = next((image[key] for key in FRAME_KEYS if key in image), None)
    if video is not None and frame is not None:
        if type(frame) is not int or frame < 0:
            raise ValueError(f"frame {frame!r:.40}; expected a whole number from 0")
        return video, frame
    # By the file name, which then has the number of the frame, and the video if no field has it.
    if not isinstance(file := image.get("file_name"), str):
        raise ValueError(f"file_name {file!r:.40}; expected the path of the picture")
    return numbering.place(file, videos, video)


def _size(images: list[Mapping]) -> tuple[int, int] | None:
    """(H, W) of all images; None unless all have the same."""
    sizes = {(image.get("height"), image.get("width")) for image in images if image}
    size = sizes.pop() if len(sizes) == 1 else (None, None)
    return size if all(type(pixels) is int and pixels > 0 for pixels in size) else None


def _key(value: Any) -> int | str | None:
    """An id of an image or video; None for what cannot be one."""
    return value if isinstance(value, int | str) and not isinstance(value, bool) else None


def _tables(
    path: Path, records: list, places: Mapping, layout: Layout, videos: list[str]
) -> dict[str, Table]:
    """The detections of every video, with the numbers of their records."""
    # Rows of record number, frame, box and score
    rows: dict[str, list] = {video: [] for video in videos}
    for number, record in enumerate(records):
        where = f"{path}: record {number}"
        if not isinstance(record, dict):
            raise ValueError(f"{where}: {record!r:.80}; expected image_id, bbox and score")
        key, box, score = (record.get(name) for name in ("image_id", "bbox", "score"))
        if _key(key) not in places:
            raise ValueError(f"{where}: image_id {key!r:.40} is none of the images that are listed")
        if not isinstance(box, list) or len(box) != 4 or not all(map(json_files.finite, box)):
            raise ValueError(f"{where}: bbox {box!r:.80}; expected x, y, w, h")
        if not json_files.finite(score):
            raise ValueError(f"{where}: score {score!r:.40}; expected a number. Are these results?")
        video, frame = places[key]
        rows[video].append((number, frame, *box, score))
    tables = {}
    for video, video_rows in rows.items():
        values = np.array(video_rows, np.float64).reshape(-1, 7)
        tables[video] = Table(path, layout, values[:, 1:], _Rows(path, values[:, 0]))
    return tables


class _Rows:
    """Number of a row of a table → the file and the record that it comes from, for messages."""

    def __init__(self, path: Path, numbers: np.ndarray):
        self._path, self._numbers = path, numbers

    def __call__(self, row: int) -> str:
        return f"{self._path}: record {self._numbers[row]:.0f}"
