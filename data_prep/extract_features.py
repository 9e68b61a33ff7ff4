"""Videos → features of an I3D network, one .npy a video, as data_prep.ucf_crime reads them.

    python -m data_prep.extract_features --videos FOLDER --weights WEIGHTS --out FEATURES

`--videos` is a folder that holds, at any depth, video files and folders of frames; or one of
these. FOLDER/CLASS/NAME.mp4 becomes FEATURES/CLASS/NAME.npy; what lies in FOLDER itself gets
FOLDER's name as its class. `--weights` is a folder of `python -m data_prep.weights`.

  --crops centre   short side 256, one crop: float32 [snippets, D]
  --crops ten      340 x 256, ten crops: float32 [10, snippets, D]; published features of RTFM's
                   form took it with a ResNet-50 and --normalisation pm1 (spec i3d §B4)

The same command again goes on where it stopped; settings.json in FEATURES says with which weights
and settings. Videos that cannot be used are passed over, listed at the end, and tried again by
the next call; the exit status is then 1.
"""

import argparse
import collections
import dataclasses
import itertools
import json
import operator
import os
import pathlib
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np

from data_prep import command
from vadjax import progress
from vadjax.clip_features import BATCH, ClipFeatures, load_i3d
from vadjax.data.snippets import CROPS, FRAMES, NORMALISATIONS, Snippets
from vadjax.data.video import IMAGES, VIDEOS, VideoFile, open_frames, visible
from vadjax.writers import write_json

SETTINGS = "settings.json"
AHEAD = 4  # batches that are decoded before they are needed


class Unusable(Exception):
    """A video from which no features can be made; the message says why."""


def find_videos(
    where: str | pathlib.Path, listed: str | pathlib.Path | None = None
) -> dict[str, pathlib.Path]:
    """Name, CLASS/NAME, and path of every video.

    Args:
      where: a video file, a folder of frames, or a folder of such at any depth.
      listed: text file of paths below `where`, one a line: only these.

    Raises:
      FileNotFoundError: one of them is not there.
      ValueError: no video, two of one name, or a listed path outside `where`.
    """
    where = pathlib.Path(where).absolute()
    if not where.exists():
        raise FileNotFoundError(f"{where}: no such file or folder (--videos)")
    paths = _listed(where, pathlib.Path(listed)) if listed else list(_walk(where))
    if not paths:
        raise ValueError(f"{where}: no video here ({', '.join(VIDEOS)}) and no folder of frames")
    root, found = where.parent.parent if paths == [where] else where, {}
    for path in paths:
        name = path.relative_to(root)
        if name.suffix.lower() in VIDEOS:
            name = name.with_suffix("")
        key = (name if len(name.parts) > 1 else root.name / name).as_posix()
        if key in found:
            raise ValueError(f"{found[key]} and {path} are both {key}.npy; rename one of them")
        found[key] = path
    return found


def _walk(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Videos at or below a path; a folder of images without videos or folders is one."""
    if path.is_file():
        yield path
        return
    entries = visible(path)
    inner = [entry for entry in entries if entry.is_dir() or entry.suffix.lower() in VIDEOS]
    if not inner and any(entry.suffix.lower() in IMAGES for entry in entries):
        yield path
    for entry in inner:
        yield from _walk(entry)


def _listed(where: pathlib.Path, file: pathlib.Path) -> list[pathlib.Path]:
    lines = [line.strip() for line in file.read_text().splitlines() if line.strip()]
    for line in lines:
        if pathlib.PurePath(line).is_absolute() or ".." in pathlib.PurePath(line).parts:
            raise ValueError(f"{file}: {line!r} is not a path below {where}")
    missing = [line for line in lines if not (where / line).exists()]
    if missing:
        shown = "\n  ".join(missing[:5])
        raise FileNotFoundError(
            f"{file}: {len(missing):,} of its {len(lines):,} videos are not in {where}:\n  {shown}"
        )
    return [where / line for line in lines]


def frames_of(path: pathlib.Path) -> Iterator[np.ndarray]:
    """The frames of a video, uint8 [H, W, 3], RGB.

    Raises:
      ValueError: it cannot be decoded, or not to its end.
    """
    video, count = open_frames(path), 0
    for picture in video:
        count += 1
        yield picture.pixels
    if isinstance(video, VideoFile):
        video.check_whole(count)


def decode(
    videos: Mapping[str, pathlib.Path], snippets: Snippets, batch: int
) -> Iterator[tuple[str, np.ndarray | Unusable]]:
    """Snippets of the videos, one video after the other, about `batch` clips at once.

    Yields:
      Name and uint8 [n, crops, 16, 224, 224, 3]; after the last, an `Unusable` where the video
      cannot be read to its end.
    """
    at_once = max(batch // snippets.count, 1)
    for name, path in videos.items():
        try:
            found = snippets.cut(frames_of(path))
            while part := list(itertools.islice(found, at_once)):
                yield name, np.stack(part)
        except (ValueError, OSError, cv2.error) as error:
            told = str(error).strip()
            yield name, Unusable(told if str(path) in told else f"{path}: {told}")


def ahead(items: Iterator, depth: int = AHEAD) -> Iterator:
    """The same items, made by a thread up to `depth` of them early."""
    end = object()
    with ThreadPoolExecutor(1) as pool:
        waiting = collections.deque(pool.submit(next, items, end) for _ in range(depth))
        while (item := waiting.popleft().result()) is not end:
            waiting.append(pool.submit(next, items, end))
            yield item


def claim(out: pathlib.Path, settings: Mapping) -> None:
    """Notes that the folder's features are of these settings.

    Raises:
      ValueError: they are of others, which the message names, or of none that are known.
    """
    path = out / SETTINGS
    if out.is_dir() and not path.is_file() and any(out.rglob("*.npy")):
        raise ValueError(f"{out}: holds features but no {SETTINGS}; name another --out")
    there = json.loads(path.read_text()) if path.is_file() else settings
    differ = [
        f"  {name}: {there.get(name)!r} there, {settings.get(name)!r} here"
        for name in sorted({*there, *settings})
        if there.get(name) != settings.get(name)
    ]
    if differ:
        raise ValueError(
            f"{out}: holds features of other settings:\n"
            + "\n".join(differ)
            + "\nName another --out, or give the same settings to go on"
        )
    write_json(path, settings)


def extract(
    net: ClipFeatures,
    videos: Mapping[str, pathlib.Path],
    out: str | pathlib.Path,
    snippets: Snippets,
    batch: int = BATCH,
) -> dict[str, str]:
    """Writes the features of every video that has none yet.

    Args:
      net: uint8 [N, 16, 224, 224, 3] → float32 [N, ..., D]; has `digest`, `normalisation`.
      videos: name, CLASS/NAME, and path of each.
      out: folder to write, CLASS/NAME.npy: float32 [snippets, D], or [10, snippets, D].
      snippets: how videos are cut.
      batch: clips that are decoded at once.

    Returns:
      Name and reason of every video that could not be used.

    Raises:
      ValueError: the folder holds features of other weights or settings.
    """
    out, failed = pathlib.Path(out), {}
    settings = {"weights": net.digest, "normalisation": net.normalisation}
    claim(out, {**settings, **dataclasses.asdict(snippets)})
    todo = {name: path for name, path in videos.items() if not (out / f"{name}.npy").is_file()}
    first = len(videos) - len(todo)
    stream = ahead(decode(todo, snippets, batch))
    with progress.bar("extract", len(videos), first) as bar:
        parts_of = itertools.groupby(stream, operator.itemgetter(0))
        for done, (name, parts) in enumerate(parts_of, first):
            say = _speed(bar, done)
            try:
                features = _features(net, (part for _, part in parts), say)
                _write(out / f"{name}.npy", features)
            except Unusable as error:
                failed[name] = str(error)
            bar.update(done + 1, {})
    return failed


def _speed(bar: progress.Bar, done: int) -> Callable[[int], None]:
    """Function of the snippets of a video so far that tells the bar how fast it goes."""
    start = time.monotonic()

    def say(count: int) -> None:
        bar.update(done, {"snippets/s": count / max(time.monotonic() - start, 1e-9)})

    return say


def _features(
    net: ClipFeatures, parts: Iterable[np.ndarray | Unusable], say: Callable[[int], None]
) -> np.ndarray:
    """Features of a video, float32 [snippets, D], or [crops, snippets, D] of several crops."""
    found, count = [], 0
    for part in parts:
        if isinstance(part, Unusable):
            raise part
        clips = part.reshape(-1, *part.shape[2:])
        found.append(net(clips).reshape(*part.shape[:2], -1))
        count += len(part)
        say(count)
    features = np.concatenate(found).astype(np.float32).swapaxes(0, 1)
    return np.ascontiguousarray(features[0] if len(features) == 1 else features)


def _write(path: pathlib.Path, array: np.ndarray) -> None:
    """Writes beside and renames, so that a file that is there is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("wb") as file:
        np.save(file, array)
    os.replace(temporary, path)


def run(args: argparse.Namespace) -> tuple[int, dict[str, str]]:
    """What the command line asks for: number of videos, and those that could not be used.

    Raises:
      FileNotFoundError, ValueError: as `find_videos`, `load_i3d` and `extract`.
    """
    snippets = Snippets(args.crops, args.step, args.pad_last)
    videos = find_videos(args.videos, args.list)
    batch = args.batch or max(BATCH, snippets.count)
    net = load_i3d(args.weights, args.normalisation, batch)
    if net.stream != "rgb":
        raise ValueError(f"{args.weights}: a network for {net.stream}; this program reads RGB only")
    return len(videos), extract(net, videos, args.out, snippets, batch)


def main(argv: list[str] | None = None) -> None:
    """Parses the command line and writes the features."""
    parser = argparse.ArgumentParser(
        prog="python -m data_prep.extract_features",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--videos", required=True, help="folder of videos, or one video")
    parser.add_argument("--list", help="text file of paths below --videos: only these")
    parser.add_argument("--weights", required=True, help="folder of the network")
    parser.add_argument("--out", required=True, help="folder of features; may exist already")
    parser.add_argument("--crops", choices=CROPS, default="centre", help="default: centre")
    parser.add_argument(
        "--step", type=int, default=FRAMES, help=f"frames between snippets (default {FRAMES})"
    )
    parser.add_argument(
        "--pad_last", action="store_true", help="fill up the last snippet with its last frame"
    )
    parser.add_argument(
        "--normalisation", choices=NORMALISATIONS, help="of pixels; default: of its training"
    )
    parser.add_argument("--batch", type=int, help=f"clips at once (default {BATCH}, or the crops)")
    args = parser.parse_args(argv)
    count, failed = command.report_errors(run, args)
    print(f"{count - len(failed):,} of {count:,} videos have features in {args.out}")
    if failed:
        lines = "\n".join(f"  {name}: {reason}" for name, reason in failed.items())
        sys.exit(f"{len(failed):,} of {count:,} videos could not be used:\n{lines}")


if __name__ == "__main__":
    main()
