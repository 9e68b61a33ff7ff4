"""The score file `scores/VIDEO.npz`: one format for every system, and for any other program.

`frame_scores` float [T], high = anomalous, is all that is needed; the rest is optional:
`labels` [T]; `scored` bool [T], frames that count in the figures; `alternative_NAME` [T], other
scores of the same frames, measured beside; `times` [T] in seconds; `segment_scores` [K] with
`num_frames`, spread over the frames at reading when there are no `frame_scores`; `boxes` [n, 6]
(`frame, x0, y0, x1, y1, score`); `map` [T, h, w], where in the picture the score comes from;
`picture_frames` int [k], `picture_seen` and `picture_predicted` uint8 [k, H, W, 3], RGB: k frames
and what was predicted for them.
Reasons are JSON lines beside it, in `VIDEO.reasons.jsonl`, one dict a line: `text` says why, and
`vadjax.report` shows the other keys that it knows. Examples of them are `example_reason` int [k],
numbers of lines from 0, `example_seen` and `example_normal` uint8 [k, H, W, 3], RGB: the frame that
the reason is about, and the normal frame most like it. Nothing here needs JAX.
"""

import contextlib
import dataclasses
import json
import os
import pathlib
import shutil
import zipfile
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from vadjax.data.segments import expand

# First parts of the arrays' names in the file
ALTERNATIVE, PICTURE, EXAMPLE = "alternative_", "picture_", "example_"
ARRAYS = (
    "frame_scores",
    "labels",
    "scored",
    "times",
    "segment_scores",
    "boxes",
    "map",
)  # the other names


class Pictures(NamedTuple):
    """Some frames of a video, beside what was predicted for them.

    Attributes:
      frames: int [k], their numbers in the whole video, from 0.
      seen: uint8 [k, H, W, 3], RGB.
      predicted: uint8 [k, H, W, 3], RGB.
    """

    frames: np.ndarray
    seen: np.ndarray
    predicted: np.ndarray


class Examples(NamedTuple):
    """Some reasons of a video in pictures, of the size that the reasons' `box` belongs to.

    Attributes:
      reason: int [k], which of the video's `reasons`, from 0.
      seen: uint8 [k, H, W, 3], RGB, the frame that the reason is about.
      normal: uint8 [k, H, W, 3], RGB, the frame of the normal video that is most like it.
    """

    reason: np.ndarray
    seen: np.ndarray
    normal: np.ndarray


@dataclasses.dataclass(frozen=True)
class Scores:
    """Scores of one video.

    Attributes:
      video: name of the video.
      frame_scores: float [T], finite, high = anomalous.
      labels: uint8 [T], 1 = anomalous; None if unknown.
      scored: bool [T], frames that count in the figures; None for all. Predictors cannot score the
        first frames of a video.
      alternatives: name → float [T], other scores of the same frames, measured beside: baselines,
        single terms, an on-line form.
      times: float [T], seconds from the start of the video, rising; None if unknown.
      segment_scores: float [K], where the system scores segments.
      boxes: float [n, 6] `frame, x0, y0, x1, y1, score`, in pixels of the source frame.
      map: float [T, h, w], finite, high = anomalous; its h × w cells cover the whole frame.
      pictures: frames and predictions for a report to show.
      reasons: what a person is told, one dict an event; JSON must be able to hold it.
      examples: pictures of some of the reasons for a report to show.
    """

    video: str
    frame_scores: np.ndarray
    labels: np.ndarray | None = None
    scored: np.ndarray | None = None
    alternatives: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    times: np.ndarray | None = None
    segment_scores: np.ndarray | None = None
    boxes: np.ndarray | None = None
    map: np.ndarray | None = None
    pictures: Pictures | None = None
    reasons: tuple[dict, ...] = ()
    examples: Examples | None = None

    def counted(self) -> "Scores":
        """Scores and labels of only the frames that count.

        Everything that goes by the frame numbers of the whole video (boxes, map, pictures …) is
        left out, unless all frames count.
        """
        if self.scored is None:
            return self
        keep = np.asarray(self.scored, bool)
        return Scores(
            self.video,
            self.frame_scores[keep],
            labels=None if self.labels is None else self.labels[keep],
            alternatives={name: other[keep] for name, other in self.alternatives.items()},
        )

    def expanded(self, rule: str) -> "Scores":
        """The same with frame scores spread anew from the segment scores.

        Raises:
          ValueError: there are no segment scores, or no such rule.
        """
        if self.segment_scores is None:
            raise ValueError(f"{self.video}: no segment_scores, so no expansion to choose")
        frames = expand(self.segment_scores, len(self.frame_scores), rule)
        return dataclasses.replace(self, frame_scores=frames)


def check(scores: Scores) -> Scores:
    """Returns `scores` if they can be measured and written.

    Raises:
      ValueError: a name that cannot be a file's, not one finite score a frame, labels of another
        length or other than 0 and 1, boxes, a map or pictures of a wrong shape or frame, or
        examples of a wrong shape or of a reason that is not there.
    """
    if (
        not scores.video
        or scores.video.startswith(".")
        or pathlib.Path(scores.video).name != (scores.video)
    ):
        raise ValueError(f"video name {scores.video!r} cannot be the name of a file")
    frames = np.asarray(scores.frame_scores)
    if frames.ndim != 1 or not frames.size or frames.dtype.kind not in "fiu":
        raise ValueError(
            f"{scores.video}: frame_scores {frames.dtype} {frames.shape}; expected float [frames]"
        )
    bad = frames.size - np.isfinite(frames).sum()
    if bad:
        raise ValueError(f"{scores.video}: {bad:,} of {frames.size:,} scores are NaN or infinite")
    others = {"scored": scores.scored, "times": scores.times, **scores.alternatives}
    for name, other in others.items():
        if other is not None and (other.shape != frames.shape or not np.isfinite(other).all()):
            raise ValueError(
                f"{scores.video}: {name} {other.shape}; expected {frames.shape}, all finite"
            )
    if scores.labels is not None:
        if len(scores.labels) != len(frames):
            raise ValueError(
                f"{scores.video}: {len(frames):,} scores for {len(scores.labels):,} labels"
            )
        if not np.isin(scores.labels, (0, 1)).all():
            raise ValueError(f"{scores.video}: labels other than 0 and 1")
    boxes = scores.boxes
    if boxes is not None and (boxes.ndim != 2 or boxes.shape[1] != 6):
        raise ValueError(f"{scores.video}: boxes {boxes.shape}; expected [n, 6]")
    if scores.map is not None:
        _check_map(scores.video, scores.map, len(frames))
    if scores.pictures is not None:
        _check_pictures(scores.video, scores.pictures, len(frames))
    if scores.examples is not None:
        _check_examples(scores.video, scores.examples, len(scores.reasons))
    return scores


def _check_map(video: str, found: np.ndarray, frames: int) -> None:
    fits = found.ndim == 3 and len(found) == frames and found.size and found.dtype.kind in "fiu"
    if not fits:
        raise ValueError(
            f"{video}: map {found.dtype} {found.shape}; expected float [{frames}, h, w]"
        )
    bad = found.size - np.isfinite(found).sum()
    if bad:
        raise ValueError(f"{video}: {bad:,} of {found.size:,} values of the map are not finite")


def _check_pictures(video: str, pictures: Pictures, frames: int) -> None:
    numbers = pictures.frames
    _check_numbers(video, f"{PICTURE}frames", numbers)
    outside = numbers[(numbers < 0) | (numbers >= frames)]
    if outside.size:
        raise ValueError(
            f"{video}: a picture of frame {outside[0]}, but its frames are 0 to {frames - 1}"
        )
    pairs = {f"{PICTURE}seen": pictures.seen, f"{PICTURE}predicted": pictures.predicted}
    _check_colours(video, pairs, len(numbers))


def _check_examples(video: str, examples: Examples, reasons: int) -> None:
    numbers = examples.reason
    _check_numbers(video, f"{EXAMPLE}reason", numbers)
    outside = numbers[(numbers < 0) | (numbers >= reasons)]
    if outside.size:
        raise ValueError(
            f"{video}: an example of reason {outside[0]}, but {video}.reasons.jsonl "
            f"has {reasons} (numbered from 0)"
        )
    pairs = {f"{EXAMPLE}seen": examples.seen, f"{EXAMPLE}normal": examples.normal}
    _check_colours(video, pairs, len(numbers))


def _check_numbers(video: str, name: str, numbers: np.ndarray) -> None:
    if numbers.ndim != 1 or numbers.dtype.kind not in "iu":
        raise ValueError(f"{video}: {name} {numbers.dtype} {numbers.shape}; expected int [k]")


def _check_colours(video: str, pairs: Mapping[str, np.ndarray], count: int) -> None:
    """Raises ValueError unless all are uint8 [count, H, W, 3] of one shape."""
    first = next(iter(pairs))
    for name, found in pairs.items():
        colour = found.ndim == 4 and found.shape[3] == 3 and found.dtype == np.uint8
        if not colour or len(found) != count or 0 in found.shape[1:]:
            raise ValueError(
                f"{video}: {name} {found.dtype} {found.shape}; expected uint8 [{count}, H, W, 3]"
            )
        if found.shape != pairs[first].shape:
            raise ValueError(f"{video}: {name} {found.shape}, but {first} {pairs[first].shape}")


def write(folder: str | pathlib.Path, scores: Scores) -> pathlib.Path:
    """Writes `folder/VIDEO.npz`, and before it the reasons, replacing each in one move."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {
        field: getattr(check(scores), field)
        for field in ARRAYS
        if getattr(scores, field) is not None
    }
    arrays |= {f"{ALTERNATIVE}{name}": other for name, other in scores.alternatives.items()}
    if scores.pictures is not None:
        arrays |= {f"{PICTURE}{name}": part for name, part in scores.pictures._asdict().items()}
    if scores.examples is not None:
        arrays |= {f"{EXAMPLE}{name}": part for name, part in scores.examples._asdict().items()}
    _write_reasons(folder, scores)
    path = folder / f"{scores.video}.npz"
    temporary = folder / f".{scores.video}.tmp.npz"
    np.savez(temporary, **arrays)
    os.replace(temporary, path)
    return path


def _write_reasons(folder: pathlib.Path, scores: Scores) -> None:
    """Writes the file of the reasons; without reasons it removes that of an earlier video."""
    path = folder / f"{scores.video}.reasons.jsonl"
    if not scores.reasons:
        path.unlink(missing_ok=True)
        return
    temporary = folder / f".{scores.video}.tmp.reasons.jsonl"
    temporary.write_text("".join(json.dumps(reason) + "\n" for reason in scores.reasons))
    os.replace(temporary, path)


def read(path: str | pathlib.Path, expansion: str = "seed") -> Scores:
    """Reads and checks one score file; nothing in it is ever unpickled.

    Args:
      path: the `.npz` file.
      expansion: how a file with only `segment_scores` and `num_frames` is spread over frames.

    Raises:
      ValueError: not a score file, or scores that cannot be measured; the message says which.
    """
    path = pathlib.Path(path)
    arrays = read_arrays(path)
    if "frame_scores" not in arrays:
        if not {"segment_scores", "num_frames"} <= set(arrays):
            raise ValueError(
                f"{path}: holds {sorted(arrays)}; expected frame_scores, "
                "or segment_scores and num_frames"
            )
        frames = int(arrays.pop("num_frames"))
        arrays["frame_scores"] = expand(arrays["segment_scores"], frames, expansion)
    return check(
        Scores(
            video=path.stem,
            reasons=_reasons(path.with_name(f"{path.stem}.reasons.jsonl")),
            alternatives={
                name.removeprefix(ALTERNATIVE): array
                for name, array in arrays.items()
                if name.startswith(ALTERNATIVE)
            },
            pictures=_part(path, arrays, PICTURE, Pictures),
            examples=_part(path, arrays, EXAMPLE, Examples),
            **{name: array for name, array in arrays.items() if name in ARRAYS},
        )
    )


def _reasons(path: pathlib.Path) -> tuple[dict, ...]:
    """The dicts of a file of reasons; none if there is no such file."""
    found = []
    for number, line in enumerate(path.read_text("utf-8").split("\n") if path.is_file() else (), 1):
        if not line.strip():
            continue
        try:
            found.append(json.loads(line))
        except ValueError as error:
            raise ValueError(f"{path}:{number}: not JSON ({error}): {line[:80]!r}") from error
        if not isinstance(found[-1], dict):
            raise ValueError(f"{path}:{number}: expected a dict {{…}}: {line[:80]!r}")
    return tuple(found)


def _part(path: pathlib.Path, arrays: Mapping[str, np.ndarray], prefix: str, kind: type):
    """The arrays whose names begin with `prefix`, as the named tuple `kind`; None without any."""
    names = [f"{prefix}{field}" for field in kind._fields]
    found = [name for name in names if name in arrays]
    if found and found != names:
        raise ValueError(f"{path}: has {', '.join(found)}; expected {', '.join(names)}")
    return kind(*(arrays[name] for name in names)) if found else None


def read_arrays(path: str | pathlib.Path) -> dict[str, np.ndarray]:
    """The arrays of an `.npz` file by name; nothing is ever unpickled.

    Raises:
      FileNotFoundError: no such file.
      ValueError: not an `.npz`, damaged, or with a pickle in it.
    """
    try:
        with open(path, "rb") as raw, np.load(raw, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except FileNotFoundError:
        raise
    except (ValueError, TypeError, AttributeError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path}: not a readable .npz of arrays ({error})") from error


def read_folder(folder: str | pathlib.Path, expansion: str = "seed") -> list[Scores]:
    """Reads all score files of a folder, sorted by name.

    Raises:
      FileNotFoundError: no such folder, or no `.npz` in it.
      ValueError: as `read`.
    """
    folder = pathlib.Path(folder)
    paths = sorted(path for path in folder.glob("*.npz") if not path.name.startswith("."))
    if not paths:
        raise FileNotFoundError(f"{folder}: no score files (*.npz) here")
    return [read(path, expansion) for path in paths]


def unfinished(folder: pathlib.Path) -> pathlib.Path:
    """The folder that `replacing` writes to."""
    return folder.with_name(f".{folder.name}.tmp")


@contextlib.contextmanager
def replacing(folder: str | pathlib.Path, kind: str) -> Iterator[pathlib.Path]:
    """A folder beside `folder` to write to, which takes its place when the block ends well.

    So `folder` never mixes the files of two evaluations.

    Args:
      folder: what to make or replace.
      kind: `"scores"`, `"report"` or `"marked"`; a marker of this name tells our folders from
        others.

    Raises:
      FileExistsError: `folder` holds files and is not one of ours of this kind.
    """
    folder = pathlib.Path(folder)
    marker = f".vadjax-{kind}"
    if folder.exists() and not (folder / marker).is_file():
        if not folder.is_dir() or any(folder.iterdir()):
            raise FileExistsError(
                f"{folder}: not a {kind} folder that vadjax wrote, so it is left as it is; "
                "name another folder"
            )
    work = unfinished(folder)
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    try:
        yield work
        (work / marker).touch()
        shutil.rmtree(folder, ignore_errors=True)
        work.replace(folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)
