"""The score file `scores/VIDEO.npz`: one format for every system, and for any other program.

`frame_scores` float [T], high = anomalous, is all that is needed; the rest is optional:
`labels` [T]; `scored` bool [T], frames that count in the figures; `alternative_NAME` [T], other
scores of the same frames, measured beside; `times` [T] in seconds; `segment_scores` [K] with
`num_frames`, spread over the frames at reading when there are no `frame_scores`, by the rule that
their numbers speak for (`segments.choose_expansions`); `boxes` [n, 6]
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
import pathlib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from vadjax.data.segments import (
    OF_SEGMENTS,
    check_expansion,
    choose_expansions,
    expand,
    fitting_expansions,
    lost_scores,
    uncovered_frames,
)
from vadjax.formats import json_files
from vadjax.formats.names import shorten, wrong_with
from vadjax.formats.npy import read_npz
from vadjax.formats.regular import is_there
from vadjax.runtime import replacing as places
from vadjax.runtime import space
from vadjax.scores.checks import ALTERNATIVE, EXAMPLE, PICTURE, check, check_segments

ARRAYS = (
    "frame_scores",
    "labels",
    "scored",
    "times",
    "segment_scores",
    "boxes",
    "map",
)  # the other names
OTHER_RULE = "--expansion RULE of vadjax.metrics.frame and vadjax.report"
MAX_FRAMES = 20_000_000  # of one video: nine days at 25 frames a second
FRAME_BYTES = 60  # of memory that a frame takes while figures are computed
LITTLE = 3 << 28  # bytes that files may need whatever they have themselves: of 13 million frames
USUAL_RATIO = 200  # times their own bytes that they may need beyond


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


def write(folder: str | pathlib.Path, scores: Scores) -> pathlib.Path:
    """Writes `folder/VIDEO.npz`, and before it the reasons, replacing each in one move."""
    folder = pathlib.Path(folder)
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
    size = sum(np.asarray(array).nbytes for array in arrays.values())
    with places.file(path, size) as new, new.open("wb") as out:
        np.savez(out, **arrays)
    return path


def _write_reasons(folder: pathlib.Path, scores: Scores) -> None:
    """Writes the file of the reasons; without reasons it removes that of an earlier video."""
    path = folder / f"{scores.video}.reasons.jsonl"
    if not scores.reasons:
        path.unlink(missing_ok=True)
        return
    places.write(path, "".join(json.dumps(reason) + "\n" for reason in scores.reasons))


def read(path: str | pathlib.Path, expansion: str | None = None) -> Scores:
    """Reads and checks one score file; nothing in it is ever unpickled.

    Args:
      path: the `.npz` file.
      expansion: rule by which a file with only `segment_scores` and `num_frames` is spread over
        frames; None for the one that their numbers speak for, with a warning where it is assumed.

    Raises:
      FileNotFoundError: no such file.
      ValueError: not a score file, or scores that cannot be measured; the message says which.
    """
    return _read_all([pathlib.Path(path)], expansion)[0]


def read_folder(folder: str | pathlib.Path, expansion: str | None = None) -> list[Scores]:
    """Reads all score files of a folder, sorted by name; segment scores of all by one rule.

    Args:
      folder: has one `VIDEO.npz` a video.
      expansion: as for `read`.

    Raises:
      FileNotFoundError: no such folder, or no `.npz` in it.
      ValueError: as `read`.
    """
    folder = pathlib.Path(folder)
    paths = sorted(path for path in folder.glob("*.npz") if not path.name.startswith("."))
    if not paths:
        raise FileNotFoundError(f"{folder}: no score files (*.npz) here")
    return _read_all(paths, expansion)


def _read_all(paths: Sequence[pathlib.Path], expansion: str | None) -> list[Scores]:
    files = _arrays_of(paths)
    spread = {  # the files whose frame scores are made from segment scores
        path: _segments(path, arrays)
        for path, arrays in files.items()
        if expansion is not None or "frame_scores" not in arrays
    }
    counts = [(len(scores), frames) for scores, frames in spread.values()]
    if expansion is None:
        rules, assumed = choose_expansions(counts)
        if assumed:
            _warn(f"{paths[0].parent}: {assumed} (another: {OTHER_RULE})")
    else:
        check_expansion(expansion)
        rules = [expansion] * len(counts)
        _warn_of_rule(list(spread.values()), expansion)
    _warn_of_lost(counts, rules)
    for (path, (scores, frames)), rule in zip(spread.items(), rules, strict=True):
        with naming(path):
            files[path]["frame_scores"] = expand(scores, frames, rule)
    return [_to_scores(path, arrays) for path, arrays in files.items()]


def _arrays_of(paths: Sequence[pathlib.Path]) -> dict[pathlib.Path, dict[str, np.ndarray]]:
    """The arrays of files, which may not need much more memory than their bytes speak for.

    Raises:
      FileNotFoundError, ValueError: as `read_arrays`; or arrays and frames of too many bytes.
    """
    found, needed, packed = {}, 0, 0
    for path in paths:
        found[path] = arrays = read_arrays(path)
        packed += path.stat().st_size
        needed += sum(array.nbytes for array in arrays.values()) + FRAME_BYTES * _frames(arrays)
        if needed > LITTLE and needed > USUAL_RATIO * packed:
            raise ValueError(
                f"{path}: its {_frames(arrays):,} frames and arrays, with the files before, need "
                f"{space.size(needed)} of memory, but the files have {space.size(packed)}; "
                f"expected {USUAL_RATIO} times as much at most. If the video is so long, save "
                "frame_scores in it without compression (np.savez)"
            )
    return found


def _frames(arrays: Mapping[str, np.ndarray]) -> int:
    """How many frames a file claims; 0 where it is for `_num_frames` to say that it is none."""
    if "frame_scores" in arrays:
        return arrays["frame_scores"].size
    number = arrays.get("num_frames", np.zeros(1))
    whole = number.size == 1 and number.dtype.kind in "iuf" and 0 <= number.item() <= MAX_FRAMES
    return int(number.item()) if whole else 0


def _warn_of_lost(counts: Sequence[tuple[int, int]], rules: Sequence[str]) -> None:
    """Warns of videos that are too short for all their segments, from (scores, frames) of each."""
    segments = [(*count, rule) for count, rule in zip(counts, rules, strict=True)]
    lost = [lost_scores(*one) for one in segments if one[2] in OF_SEGMENTS]
    if any(lost):
        short = sum(number > 0 for number in lost)
        _warn(
            f"{short:,} of {len(counts):,} videos are shorter than one clip for each of their "
            f"segments: {sum(lost):,} scores are given to no frame; the rule 'even' loses none"
        )


def _warn_of_rule(segments: Sequence[tuple[np.ndarray, int]], rule: str) -> None:
    """Warns of a rule that the numbers speak against, or that gives frames 0 among negative scores.

    Args:
      segments: (segment scores [K], number of frames) of every video.
      rule: how they are spread.
    """
    counts = [(len(scores), frames) for scores, frames in segments]
    against = [count for count in counts if fitting_expansions(*count) == ("snippets",)]
    if against and rule in OF_SEGMENTS:
        _warn(
            f"{len(against):,} of {len(counts):,} videos have one score every 16 frames (the first "
            f"{against[0][0]:,} for {against[0][1]:,}), but are spread as segments by {rule!r}, as "
            "asked"
        )
    negative = [scores for scores, _ in segments if np.min(scores) < 0]
    zeros = sum(
        uncovered_frames(len(scores), frames, rule)
        for scores, frames in (segments if negative and rule in OF_SEGMENTS else ())
        if np.min(scores) < 0
    )
    if zeros:
        _warn(
            f"scores are negative, down to {min(map(np.min, negative)):g}, and the rule {rule!r} "
            f"gives 0, which is high among them, to {zeros:,} frames that no segment covers; the "
            "rule 'segments' gives them the last score"
        )


def _warn(text: str) -> None:
    warnings.warn(text, stacklevel=4)


@contextlib.contextmanager
def naming(path: object) -> Iterator[None]:
    """Adds the file to the message of a ValueError."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{error} ({path})") from error


def _segments(path: pathlib.Path, arrays: Mapping[str, np.ndarray]) -> tuple[np.ndarray, int]:
    """Segment scores [K] of a file, checked, and its number of frames."""
    if "frame_scores" in arrays:
        if "segment_scores" not in arrays:
            raise ValueError(f"{path}: no segment_scores, so no expansion to choose")
        frames = arrays["frame_scores"].size
    elif {"segment_scores", "num_frames"} <= set(arrays):
        frames = _num_frames(path, arrays["num_frames"])
    else:
        raise ValueError(
            f"{path}: holds {sorted(arrays)}; expected frame_scores, "
            "or segment_scores and num_frames"
        )
    with naming(path):
        check_segments(path.stem, arrays["segment_scores"])
    return arrays["segment_scores"], frames


def _num_frames(path: pathlib.Path, found: np.ndarray) -> int:
    """The number of frames that a file says, as a number or as an array of one."""
    whole = found.size == 1 and found.dtype.kind in "iuf" and found.item() % 1 == 0
    if not whole or not 1 <= found.item() <= MAX_FRAMES:
        shown = f" {found.item()!r}"[:40] if found.size == 1 else ""
        raise ValueError(
            f"{path}: num_frames {found.dtype} {found.shape}{shown}; expected one whole number "
            f"from 1 to {MAX_FRAMES:,}"
        )
    return int(found.item())


def _to_scores(path: pathlib.Path, arrays: Mapping[str, np.ndarray]) -> Scores:
    """Checked scores from the arrays of a file, and the reasons beside it."""
    found = Scores(
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
    with naming(path):
        return check(found)


def _reasons(path: pathlib.Path) -> tuple[dict, ...]:
    """The dicts of a file of reasons; none if there is no such file."""
    return tuple(json_files.read_lines(path, dict, nan=True)) if is_there(path) else ()


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
    arrays = read_npz(path)
    for name in arrays:
        if wrong := wrong_with(name):
            raise ValueError(f"{path}: an array named {shorten(name)}: {wrong}")
    return arrays


def unfinished(folder: pathlib.Path) -> pathlib.Path:
    """The folder that `replacing` writes to."""
    return places.hidden(folder, "tmp")


@contextlib.contextmanager
def replacing(folder: str | pathlib.Path, kind: str) -> Iterator[pathlib.Path]:
    """A folder beside `folder` to write to, which takes its place when the block ends well.

    So `folder` never mixes the files of two evaluations, and after a kill it is the old one, the
    new one, or put back by the next call (`vadjax.runtime.replacing`).

    Args:
      folder: what to make or replace.
      kind: `"scores"`, `"report"` or `"marked"`; a marker of this name tells our folders from
        others.

    Raises:
      FileExistsError: `folder` holds files and is not one of ours of this kind.
      vadjax.runtime.lock.Held: another program writes it.
      vadjax.runtime.space.NotWritten: the disk is full, or cannot be written.
    """
    folder = pathlib.Path(folder)
    places.clear(folder)
    marker = f".vadjax-{kind}"
    if folder.exists() and not (folder / marker).is_file():
        if not folder.is_dir() or any(folder.iterdir()):
            raise FileExistsError(
                f"{folder}: not a {kind} folder that vadjax wrote, so it is left as it is; "
                "name another folder"
            )
    with places.folder(folder) as work:
        yield work
        (work / marker).touch()
