"""What `vadjax.metrics.region` reads: detections, tracks, numbers of frames; no JAX.

Videos go by the names of the files without their endings, and are taken in the order of names.
"""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from vadjax import scores as score_files
from vadjax.data.boxes import Layout, degenerate, read
from vadjax.data.video import list_images, visible
from vadjax.scores import Scores

TEXT = (".txt", ".csv")


@dataclasses.dataclass(frozen=True)
class Videos:
    """What is measured, video by video in the order of names.

    Attributes:
      names: of the videos.
      detections: [n, 6] of each, `score, frame, x_min, y_min, x_max, y_max`; None for maps.
      maps: [T, h, w] of each; None for detections.
      tracks: [n, 6] of each, `track, frame, x_min, y_min, x_max, y_max`.
      num_frames: frames of all videos together.
    """

    names: list[str]
    detections: list[np.ndarray] | None
    maps: Sequence[np.ndarray] | None
    tracks: list[np.ndarray]
    num_frames: int


class Maps(Sequence):
    """The maps of score files, read anew at each access, so that only one is in memory."""

    def __init__(self, paths: Sequence[pathlib.Path]):
        self._paths = list(paths)

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, number: int) -> np.ndarray:
        found = score_files.read(self._paths[number]).map
        if found is None:
            raise ValueError(f"{self._paths[number]}: has no boxes [n, 6] and no map [T, h, w]")
        return found


def list_files(folder: pathlib.Path, endings: Sequence[str]) -> dict[str, pathlib.Path]:
    """Files with one of the endings, name of the video → path.

    Raises:
      FileNotFoundError: no such folder, or none in it.
      ValueError: two files of the same video, or of different kinds.
    """
    paths = [path for path in visible(folder) if path.suffix.lower() in endings]
    if not paths:
        raise FileNotFoundError(f"{folder}: no files {' or '.join(f'*{end}' for end in endings)}")
    if len(kinds := sorted({path.suffix for path in paths})) > 1:
        raise ValueError(f"{folder}: holds {' and '.join(kinds)} files; expected one kind")
    return {path.stem: path for path in paths}


def frame_counts(text: str | None) -> int | dict[str, int] | None:
    """`--num_frames`: a total, or the number of frames of every video.

    Args:
      text: a number; a file of lines `VIDEO,FRAMES`; a folder of one folder of pictures a video.

    Raises:
      FileNotFoundError, ValueError: none of these, or a line that cannot be read.
    """
    if text is None:
        return None
    if text.isdigit():
        return int(text)
    path = pathlib.Path(text)
    if path.is_dir():
        return {sub.name: len(list_images(sub)) for sub in visible(path) if sub.is_dir()}
    counts = {}
    for number, line in enumerate(path.read_text("utf-8-sig").splitlines(), 1):
        name, _, count = (part.strip() for part in line.rpartition(","))
        if not line.strip():
            continue
        if not name or not count.isdigit() or name in counts:
            raise ValueError(f"{path}:{number}: {line[:80]!r}; expected VIDEO,FRAMES once a video")
        counts[name] = int(count)
    return counts


def read_videos(
    detections: pathlib.Path,
    tracks: pathlib.Path,
    layouts: tuple[Layout, Layout],
    counts: int | Mapping[str, int] | None = None,
    source: str | None = None,
    drop_degenerate: bool = False,
) -> Videos:
    """Reads and checks everything.

    Args:
      detections: folder of text or of score files.
      tracks: folder of text.
      layouts: columns of the detections and of the tracks.
      counts: as from `frame_counts`; score files say it themselves.
      source: `"boxes"` or `"map"` of score files; None takes boxes, if the first file has them.
      drop_degenerate: leave out boxes without a pixel inside.

    Raises:
      FileNotFoundError, ValueError: a file that is missing or cannot be measured; names it, and
        the line.
    """
    found = list_files(detections, (*TEXT, ".npz"))
    truth = list_files(tracks, TEXT)
    ending = next(iter(found.values())).suffix
    names = sorted({*found, *truth}, key=lambda name: name + ending)
    scored = ending == ".npz"
    if source == "map" and not scored:
        raise ValueError(f"{detections}: text has no maps; --source map is for score files")
    if scored and source is None:
        source = "boxes" if score_files.read(next(iter(found.values()))).boxes is not None else None
    boxes, lengths = {}, {}
    for name, path in found.items():
        if not scored:
            lengths[name] = _frames_of(name, path, counts)
            boxes[name] = read(path, layouts[0], lengths[name], drop_degenerate)
            continue
        video = score_files.read(path)
        lengths[name] = len(video.frame_scores)
        _agree(path, lengths[name], _frames_of(name, path, counts))
        if source == "boxes":
            boxes[name] = score_file_boxes(path, video, drop_degenerate)
    for name in set(truth) - set(found):
        if source != "boxes" and scored:
            raise ValueError(f"{truth[name]}: no score file {name}.npz in {detections}")
        lengths[name] = _frames_of(name, truth[name], counts)
    rows = {
        name: read(path, layouts[1], lengths[name], drop_degenerate) for name, path in truth.items()
    }
    none = np.zeros((0, 6))
    as_boxes = source == "boxes" or not scored
    total = _total(counts, lengths, detections)
    if not as_boxes and total != sum(lengths.values()):
        raise ValueError(
            f"{detections}: maps of {sum(lengths.values()):,} frames, but --num_frames says "
            f"{total:,}; every test video needs its map"
        )
    return Videos(
        names,
        [boxes.get(name, none) for name in names] if as_boxes else None,
        None if as_boxes else Maps([found[name] for name in names]),
        [rows.get(name, none) for name in names],
        total,
    )


def _frames_of(name: str, path: pathlib.Path, counts) -> int | None:
    """Frames of a video as far as `counts` says."""
    if not isinstance(counts, Mapping):
        return None
    if name not in counts:
        raise ValueError(f"{path}: --num_frames has no video {name!r}")
    return counts[name]


def _agree(path: pathlib.Path, own: int, given: int | None) -> None:
    if given is not None and own != given:
        raise ValueError(f"{path}: {own:,} frame scores, but --num_frames says {given:,}")


def _total(counts, lengths: Mapping[str, int | None], folder: pathlib.Path) -> int:
    """Frames of all videos: as given, else the sum of those of the score files."""
    if isinstance(counts, Mapping):
        return sum(counts.values())
    if counts is not None:
        return counts
    unknown = sorted(name for name, frames in lengths.items() if frames is None)
    if unknown:
        raise ValueError(
            f"{folder}: the number of frames of {', '.join(unknown[:5])} is not known; give "
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
    frame, x0, y0, x1, y1, score = video.boxes.astype(np.float64).T
    rows = np.stack([score, frame, x0, y0, x1 - 1, y1 - 1], 1)
    frames = len(video.frame_scores)
    finite = np.isfinite(rows[:, 1:]).all(1) & ~np.isnan(score)
    outside = ~((frame >= 0) & (frame < frames) & (frame == np.floor(frame)))
    empty = degenerate(rows[:, 2:])
    for wrong, what in (
        (~finite, "a value is NaN or infinite"),
        (outside, f"no such frame; its frames are 0 to {frames - 1}"),
        (empty & (not drop_degenerate), "x1 <= x0 or y1 <= y0; --drop_degenerate leaves it out"),
    ):
        if wrong.any():
            at = int(np.argmax(wrong))
            raise ValueError(f"{path}: boxes[{at}] {video.boxes[at].tolist()}: {what}")
    return rows[~empty]
