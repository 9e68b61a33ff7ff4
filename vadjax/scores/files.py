"""The score file `scores/VIDEO.npz`: one format for every system, and for any other program.

It needs only `frame_scores` float [T], high = anomalous. The other arrays are optional:

labels              [T], 1 = anomalous
scored              bool [T], the frames that count in the figures
alternative_NAME    float [T], other scores of the same frames, which get figures of their own
times               float [T], seconds from the start
segment_scores      float [K], with `num_frames`; a file without `frame_scores` gets them from
                    these when it is read, by the rule that both numbers fit
                    (`segments.choose_expansions`)
boxes               float [n, 6], `frame, x0, y0, x1, y1, score`
map                 float [T, h, w], where in the picture the score comes from
picture_frames      int [k], frames of which there are pictures
picture_seen        uint8 [k, H, W, 3], RGB, these frames
picture_predicted   uint8 [k, H, W, 3], RGB, what was predicted for them

Reasons are in a file beside it, `VIDEO.reasons.jsonl`, one dict of JSON a line: `text` says why an
event was flagged, and `vadjax.report` shows the other keys that it knows. Pictures of reasons:

example_reason      int [k], numbers of the lines, from 0
example_seen        uint8 [k, H, W, 3], RGB, the frame that the reason is about
example_normal      uint8 [k, H, W, 3], RGB, the normal frame most like it

Nothing here needs JAX.
"""

import contextlib
import json
import pathlib
import warnings
from collections.abc import Iterator, Mapping, Sequence

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
from vadjax.scores.contents import Examples, Pictures, Scores

ARRAYS = (
    "frame_scores",
    "labels",
    "scored",
    "times",
    "segment_scores",
    "boxes",
    "map",
)  # names without a prefix
OTHER_RULE = "--expansion RULE of vadjax.metrics.frame and vadjax.report"
MAX_FRAMES = 20_000_000  # of one video; nine days at 25 frames a second
FRAME_BYTES = 60  # memory that a frame takes while figures are computed
LITTLE = 3 << 28  # bytes of memory that are never refused: those of 13 million frames
USUAL_RATIO = 200  # above that, at most so many times the bytes of the files


def write(folder: str | pathlib.Path, scores: Scores) -> pathlib.Path:
    """Writes the reasons and then `folder/VIDEO.npz`, and replaces each file in one move.

    Returns:
      Path of the `.npz`.

    Raises:
      ValueError: as `checks.check`.
      vadjax.runtime.space.NotWritten: the disk is full, or cannot be written.
    """
    folder = pathlib.Path(folder)
    # The arrays by their names in the file.
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
    # The reasons come first, since examples refer to their lines.
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
      expansion: rule by which segment scores become frame scores, even where the file has frame
        scores. None keeps frame scores; a file with only `segment_scores` and `num_frames` gets
        them by the rule that both numbers fit, with a warning where it is only assumed.

    Raises:
      FileNotFoundError: no such file.
      ValueError: not a score file, or scores that cannot be measured; the message says which.
    """
    return _read_all([pathlib.Path(path)], expansion)[0]


def read_folder(folder: str | pathlib.Path, expansion: str | None = None) -> list[Scores]:
    """Reads all score files of a folder, sorted by name.

    Segment scores of all videos become frame scores by one rule, if one fits them all.

    Args:
      folder: holds one `VIDEO.npz` for each video; names that begin with a dot are passed over.
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
    """Reads files together, since the rule for segment scores depends on all of them."""
    files = _arrays_of(paths)
    # The files whose frame scores are made from segment scores.
    spread = {
        path: _segments(path, arrays)
        for path, arrays in files.items()
        if expansion is not None or "frame_scores" not in arrays
    }
    counts = [(len(scores), frames) for scores, frames in spread.values()]
    # A rule for each of them: the one that its numbers fit, or the one that was asked for.
    if expansion is None:
        rules, assumed = choose_expansions(counts)
        if assumed:
            _warn(f"{paths[0].parent}: {assumed} (another: {OTHER_RULE})")
    else:
        check_expansion(expansion)
        rules = [expansion] * len(counts)
        _warn_of_rule(list(spread.values()), expansion)
    # What is lost is said once for all videos.
    _warn_of_lost(counts, rules)
    for (path, (scores, frames)), rule in zip(spread.items(), rules, strict=True):
        with naming(path):
            files[path]["frame_scores"] = expand(scores, frames, rule)
    return [_to_scores(path, arrays) for path, arrays in files.items()]


def _arrays_of(paths: Sequence[pathlib.Path]) -> dict[pathlib.Path, dict[str, np.ndarray]]:
    """The arrays of files by path, refused where they need far more memory than the files have.

    Raises:
      FileNotFoundError, ValueError: as `read_arrays`; or the arrays, and the frames that a file
        claims, need too many bytes.
    """
    files, needed, packed = {}, 0, 0
    for path in paths:
        files[path] = arrays = read_arrays(path)
        packed += path.stat().st_size
        needed += sum(array.nbytes for array in arrays.values()) + FRAME_BYTES * _frames(arrays)
        # A few bytes can claim any number of frames, so the sum is checked file by file.
        if needed > LITTLE and needed > USUAL_RATIO * packed:
            raise ValueError(
                f"{path}: its {_frames(arrays):,} frames and arrays, with the files before, need "
                f"{space.size(needed)} of memory, but the files have {space.size(packed)}; "
                f"expected {USUAL_RATIO} times as much at most. If the video is so long, save "
                "frame_scores in it without compression (np.savez)"
            )
    return files


def _frames(arrays: Mapping[str, np.ndarray]) -> int:
    """How many frames a file claims; 0 for no number, which `_num_frames` refuses later."""
    if "frame_scores" in arrays:
        return arrays["frame_scores"].size
    number = arrays.get("num_frames", np.zeros(1))
    is_count = number.size == 1 and number.dtype.kind in "iuf" and 0 <= number.item() <= MAX_FRAMES
    return int(number.item()) if is_count else 0


def _warn_of_lost(counts: Sequence[tuple[int, int]], rules: Sequence[str]) -> None:
    """Warns of videos that are too short for all their segments, from their (scores, frames)."""
    segment_counts = [(*count, rule) for count, rule in zip(counts, rules, strict=True)]
    lost = [
        lost_scores(*segment_count)
        for segment_count in segment_counts
        if segment_count[2] in OF_SEGMENTS
    ]
    if any(lost):
        short = sum(number > 0 for number in lost)
        _warn(
            f"{short:,} of {len(counts):,} videos are shorter than one clip for each of their "
            f"segments: {sum(lost):,} scores are given to no frame; the rule 'even' loses none"
        )


def _warn_of_rule(segments: Sequence[tuple[np.ndarray, int]], rule: str) -> None:
    """Warns of a rule that the numbers do not fit, or that gives frames 0 among negative scores.

    Args:
      segments: (segment scores [K], number of frames) of every video.
      rule: how they are spread.
    """
    # Numbers that fit one score every 16 frames alone speak against a rule of segments.
    counts = [(len(scores), frames) for scores, frames in segments]
    against = [count for count in counts if fitting_expansions(*count) == ("snippets",)]
    if against and rule in OF_SEGMENTS:
        _warn(
            f"{len(against):,} of {len(counts):,} videos have one score every 16 frames (the first "
            f"{against[0][0]:,} for {against[0][1]:,}), but are spread as segments by {rule!r}, as "
            "asked"
        )
    # Some rules leave frames at 0, which is no low score where others are negative.
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
    """Appends the file to the message of a ValueError."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{error} ({path})") from error


def _segments(path: pathlib.Path, arrays: Mapping[str, np.ndarray]) -> tuple[np.ndarray, int]:
    """Segment scores [K] of a file, checked, and its number of frames."""
    if "frame_scores" in arrays:
        if "segment_scores" not in arrays:
            raise ValueError(f"{path}: no segment_scores, so no expansion to choose")
        # Frame scores say how many frames there are; without them `num_frames` does.
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


def _num_frames(path: pathlib.Path, number: np.ndarray) -> int:
    """The number of frames that a file gives, as a scalar or as an array of one value."""
    is_whole = number.size == 1 and number.dtype.kind in "iuf" and number.item() % 1 == 0
    if not is_whole or not 1 <= number.item() <= MAX_FRAMES:
        shown = f" {number.item()!r}"[:40] if number.size == 1 else ""
        raise ValueError(
            f"{path}: num_frames {number.dtype} {number.shape}{shown}; expected one whole number "
            f"from 1 to {MAX_FRAMES:,}"
        )
    return int(number.item())


def _to_scores(path: pathlib.Path, arrays: Mapping[str, np.ndarray]) -> Scores:
    """Checked scores from the arrays of a file, and the reasons beside it."""
    # Arrays of other names are left out.
    scores = Scores(
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
        return check(scores)


def _reasons(path: pathlib.Path) -> tuple[dict, ...]:
    """The dicts of a file of reasons; none if there is no such file."""
    return tuple(json_files.read_lines(path, dict, nan=True)) if is_there(path) else ()


def _part(path: pathlib.Path, arrays: Mapping[str, np.ndarray], prefix: str, kind: type):
    """The arrays whose names begin with `prefix`, as the named tuple `kind`; None without any."""
    names = [f"{prefix}{field}" for field in kind._fields]
    present = [name for name in names if name in arrays]
    # All of its arrays are there, or none.
    if present and present != names:
        raise ValueError(f"{path}: has {', '.join(present)}; expected {', '.join(names)}")
    return kind(*(arrays[name] for name in names)) if present else None


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
    """The folder that `replacing` writes to before it moves it to `folder`."""
    return places.hidden(folder, "tmp")


@contextlib.contextmanager
def replacing(folder: str | pathlib.Path, kind: str) -> Iterator[pathlib.Path]:
    """A folder beside `folder` to write to, which takes its place when the block ends well.

    So `folder` never mixes the files of two evaluations. After a kill it is the old folder or the
    new one, or the next call puts the old one back (`vadjax.runtime.replacing`).

    Args:
      folder: the folder to make or replace.
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
    # A folder is replaced only if it is empty or has the marker of this kind.
    if folder.exists() and not (folder / marker).is_file():
        if not folder.is_dir() or any(folder.iterdir()):
            raise FileExistsError(
                f"{folder}: not a {kind} folder that vadjax wrote, so it is left as it is; "
                "name another folder"
            )
    with places.folder(folder) as work:
        yield work
        (work / marker).touch()
