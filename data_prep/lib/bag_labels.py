"""Labels of the frames of bags of snippets, in the forms that are published (spec s3r §1.3).

  JSON   {video: {"num_frames": n, "labels": [0, 1, …]}}
  .npy   the labels of all test videos, one after the other in the order of the list
  .mat   a folder with one file per anomalous video, frames start … end of each event, inclusive
  .txt   UCF-Crime's Temporal_Anomaly_Annotation.txt (vadjax/formats/annotations.py)

A video of tau snippets has 16 tau labels: those of its frames, of which the last is repeated for
the frames that the last snippet lacks.
"""

import pathlib
import warnings
from collections.abc import Sequence

import numpy as np

from vadjax.convert import arrays
from vadjax.data.segments import CLIP_FRAMES
from vadjax.formats import json_files, text
from vadjax.formats.annotations import find_annotation, read_annotation
from vadjax.formats.entries import some
from vadjax.formats.mat import EMPTY, read_mat
from vadjax.scores.files import MAX_FRAMES


def find_truth(folder: pathlib.Path) -> pathlib.Path:
    """The labels in a folder: one JSON, one `gt*.npy`, or the folder itself if it has `.mat` files.

    Raises:
      FileNotFoundError: there are none.
      ValueError: several.
    """
    # One file for all videos: S3R's JSON, or the array of RTFM and others
    for pattern in ("*ground_truth*.json", "gt*.npy"):
        paths = sorted(folder.glob(pattern))
        if len(paths) > 1:
            names = ", ".join(path.name for path in paths)
            raise ValueError(f"{folder}: {names}; say which one to take with --truth")
        if paths:
            return paths[0]
    # A .mat file for each anomalous video, or UCF-Crime's own annotations
    if next(folder.glob("*.mat"), None):
        return folder
    if path := find_annotation(folder):
        return path
    raise FileNotFoundError(
        f"{folder}: no labels of the test frames (*ground_truth*.json, gt*.npy, *.mat or "
        "*Temporal_Anomaly_Annotation*.txt); name them with --truth"
    )


def read_truth(
    path: pathlib.Path, names: Sequence[str], anomalous: Sequence[int], snippets: Sequence[int]
) -> list[np.ndarray]:
    """The labels of test videos, uint8 [16 tau] each.

    Args:
      path: JSON, `.npy`, folder of `.mat` files, or annotations.
      names: names of the videos, in the order of the list.
      anomalous: 1 for each video that is listed as anomalous, else 0.
      snippets: number of snippets, tau, of each video.

    Raises:
      FileNotFoundError: no labels of a video.
      ValueError: labels of another length or value; or a video has anomalous frames although it is
        listed as normal, or has none although it is listed as anomalous.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file or folder of labels (--truth)")
    # A folder has files of anomalous videos only; the form of one file is told by its ending
    if path.is_dir():
        labels = [
            _read_events(path / f"{name}.mat", tau)
            if is_anomalous
            else np.zeros(CLIP_FRAMES * tau, np.uint8)
            for name, is_anomalous, tau in zip(names, anomalous, snippets, strict=True)
        ]
    elif path.suffix == ".npy":
        labels = _split(path, arrays.read_npy(path).reshape(-1), snippets)
    elif path.suffix.lower() == ".txt":
        labels = _read_annotation(path, names, snippets)
    else:
        labels = _read_json(path, names, snippets)
    for name, is_anomalous, video_labels in zip(names, anomalous, labels, strict=True):
        _check_values(path, name, is_anomalous, video_labels)
    return labels


def intervals(labels: np.ndarray) -> np.ndarray:
    """The runs of ones in labels [T], as `[start, stop)`: int32 [n, 2]."""
    # Where a run begins the difference is 1, behind its end -1: they alternate
    edges = np.diff(np.concatenate([[0], labels, [0]]).astype(np.int8))
    return np.flatnonzero(edges).reshape(-1, 2).astype(np.int32)


def fit_length(name: str, labels: np.ndarray, snippets: int) -> np.ndarray:
    """Labels of a video, of which the last is repeated to the end of its last snippet.

    Args:
      name: of the video, for messages.
      labels: labels of its frames [T].
      snippets: its number of snippets.

    Returns:
      Labels [16 · snippets].

    Raises:
      ValueError: the labels are of fewer or more snippets.
    """
    # Spec s3r §1.3: 3, 7 or 15 frames are missing in ShanghaiTech
    frames, short = CLIP_FRAMES * snippets, CLIP_FRAMES * snippets - len(labels)
    if 0 <= short < CLIP_FRAMES and len(labels):
        return np.concatenate([labels, np.repeat(labels[-1:], short)])
    # Labels and features that leave out or fill up the last snippet differ by one snippet at most
    if short == CLIP_FRAMES:
        reason = "the labels lack those of the last snippet, which may be incomplete in the video"
    elif -CLIP_FRAMES <= short < 0:
        reason = (
            "the features lack the last snippet, incomplete as it may be; extract them with "
            "its frames filled up (data_prep.extract_features --pad_last)"
        )
    else:
        reason = "are these the labels of these features?"
    raise ValueError(
        f"{name}: {len(labels):,} labels, but {snippets:,} snippets of {CLIP_FRAMES} frames, which "
        f"are {frames:,}: {reason}"
    )


def _read_json(
    path: pathlib.Path, names: Sequence[str], snippets: Sequence[int]
) -> list[np.ndarray]:
    """Labels from S3R's JSON."""
    try:
        content = json_files.read(path, {...: {"num_frames": int, "labels": object}})
    except ValueError as error:
        reason = str(error).removeprefix(f"{path}: ")
        raise ValueError(
            f"{path}: cannot be read ({reason}); expected JSON "
            '{video: {"num_frames": n, "labels": [0, 1, …]}}'
        ) from error
    # It must have every video of the list, and may have others
    content = {name: (entry["num_frames"], entry["labels"]) for name, entry in content.items()}
    if missing := [name for name in names if name not in content]:
        raise FileNotFoundError(f"{path}: no labels of {len(missing)} videos: {missing[:4]}")
    if others := sorted(content.keys() - {*names}):
        text.note(f"{path}: labels of {len(others)} videos that the list lacks: {some(others)}")
    # Labels up to the last frame are made as long as the snippets, which is told once for all
    fitted, padded = [], 0
    for name, tau in zip(names, snippets, strict=True):
        frames, labels = content[name]
        if not isinstance(labels, list) or not all(isinstance(n, int | float) for n in labels):
            raise ValueError(
                f"{path}: labels of {name}: {str(labels)[:40]}; expected a list of 0, 1"
            )
        if len(labels) != frames:
            raise ValueError(f"{path}: {name} has {frames} frames but {len(labels)} labels")
        fitted.append(fit_length(f"{path}: {name}", np.asarray(labels), tau))
        padded += len(fitted[-1]) > len(labels)
    if padded:
        warnings.warn(
            f"{path}: {padded} of {len(names)} videos have labels up to their last frame, inside a "
            f"snippet of {CLIP_FRAMES}; the last label was repeated to its end",
            stacklevel=2,
        )
    return fitted


def _read_annotation(
    path: pathlib.Path, names: Sequence[str], snippets: Sequence[int]
) -> list[np.ndarray]:
    """Labels from UCF-Crime's own annotations, which `read_annotation` makes `[start, stop)`."""
    events = {entry.name: entry.intervals for entry in read_annotation(path)}
    if missing := [name for name in names if name not in events]:
        raise FileNotFoundError(f"{path}: no line for {len(missing)} videos: {some(missing)}")
    if others := sorted(events.keys() - {*names}):
        text.note(f"{path}: annotates {len(others)} videos that the list lacks: {some(others)}")
    labels = []
    for name, tau in zip(names, snippets, strict=True):
        labels.append(np.zeros(CLIP_FRAMES * tau, np.uint8))
        for start, stop in events[name]:
            # The frames after the last whole snippet may be missing from the features
            if start >= len(labels[-1]) or stop > len(labels[-1]) + CLIP_FRAMES:
                raise ValueError(
                    f"{path}: {name} has an event of frames {start + 1:,} to {stop:,}, but {tau:,} "
                    f"snippets of {CLIP_FRAMES} frames, which are {len(labels[-1]):,}"
                )
            labels[-1][start:stop] = 1
    return labels


def _split(path: pathlib.Path, labels: np.ndarray, snippets: Sequence[int]) -> list[np.ndarray]:
    """The labels of each video from those of all, one after the other in the order of the list."""
    frames = CLIP_FRAMES * np.array(snippets)
    if len(labels) != frames.sum():
        surplus = len(labels) - frames.sum()
        hint = ""
        if 0 < abs(surplus) <= CLIP_FRAMES:
            hint = ": as many as the last snippet of one video has or lacks"
        raise ValueError(
            f"{path}: {len(labels):,} labels, but the {len(frames)} test videos have "
            f"{sum(snippets):,} snippets of {CLIP_FRAMES} frames, which are {frames.sum():,}, "
            f"{abs(surplus):,} {'fewer' if surplus > 0 else 'more'}{hint}. Are the list and the "
            "labels of the same set?"
        )
    return np.split(labels, np.cumsum(frames)[:-1])


def _read_events(path: pathlib.Path, snippets: int) -> np.ndarray:
    """Labels from `Annotation_file.Anno`, [events, 2]; a row that begins below 0 is no event."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no annotation of this anomalous test video")
    try:
        struct = read_mat(path, "Annotation_file").get("Annotation_file", EMPTY)
    except ValueError as error:
        reason = str(error).removeprefix(f"{path}: ")
        raise ValueError(
            f"{path}: cannot be read ({reason}); expected Annotation_file.Anno, [events, 2]"
        ) from error
    # A struct of MATLAB is an array of one record with the field Anno
    record = struct.flat[0] if struct.dtype == object and struct.size == 1 else None
    events = record.get("Anno") if isinstance(record, dict) else None
    if events is None or events.dtype.kind not in "iuf" or events.size % 2:
        raise ValueError(f"{path}: expected Annotation_file.Anno, [events, 2]")
    if not np.isfinite(events).all() or (np.abs(events) > MAX_FRAMES).any():
        raise ValueError(f"{path}: an event whose frames are not between 0 and {MAX_FRAMES:,}")
    # Frames start … end are 1, inclusive; a frame past the last is cut off (spec s3r §1.3)
    events = events.astype(np.int64).reshape(-1, 2)
    frames = CLIP_FRAMES * snippets
    labels = np.zeros(frames, np.uint8)
    for start, end in events[events[:, 0] >= 0]:
        if not start <= end <= frames:
            raise ValueError(
                f"{path}: an event of frames {start:,} to {end:,}, but {snippets:,} snippets of "
                f"{CLIP_FRAMES} frames, which are {frames:,}"
            )
        labels[start : end + 1] = 1
    return labels


def _check_values(path: pathlib.Path, name: str, anomalous: int, labels: np.ndarray) -> None:
    """Refuses labels other than 0 and 1, and labels that contradict the list."""
    if not np.isin(labels, (0, 1)).all():
        raise ValueError(f"{path}: {name} has labels other than 0 and 1")
    # A list in another order than the labels shows here
    if bool(anomalous) != bool(labels.any()):
        listed, has = ("anomalous", "no") if anomalous else ("normal", f"{int(labels.sum()):,}")
        raise ValueError(
            f"{path}: {name} is listed as {listed} but has {has} anomalous frames; are the list "
            "and the labels of the same set, in the same order?"
        )
