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
import itertools
import json
import operator
import os
import pathlib
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping

import cv2
import numpy as np

from data_prep import command
from vadjax import progress
from vadjax.clip_features import BATCH, SnippetFeatures
from vadjax.data import loader
from vadjax.data.snippets import CROPS, FRAMES, NORMALISATIONS, Snippets
from vadjax.data.video import find_videos, frames_of
from vadjax.writers import write_json

SETTINGS = "settings.json"
AHEAD = 4  # batches that are decoded before they are needed


class Unusable(Exception):
    """A video from which no features can be made; the message says why."""


def decode(
    videos: Mapping[str, pathlib.Path], net: SnippetFeatures
) -> Iterator[tuple[str, np.ndarray | Unusable]]:
    """Clips of the videos, one video after the other.

    Yields:
      Name and clips, as `net.clips`; after the last, an `Unusable` where the video cannot be read
      to its end.
    """
    for name, path in videos.items():
        try:
            for part in net.clips(frames_of(path)):
                yield name, part
        except (ValueError, OSError, cv2.error) as error:
            told = str(error).strip()
            yield name, Unusable(told if str(path) in told else f"{path}: {told}")


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
    net: SnippetFeatures, videos: Mapping[str, pathlib.Path], out: str | pathlib.Path
) -> dict[str, str]:
    """Writes the features of every video that has none yet.

    Args:
      net: makes the features.
      videos: name, CLASS/NAME, and path of each.
      out: folder to write, CLASS/NAME.npy: float32 [snippets, D], or [10, snippets, D].

    Returns:
      Name and reason of every video that could not be used.

    Raises:
      ValueError: the folder holds features of other weights or settings.
    """
    out, failed = pathlib.Path(out), {}
    claim(out, net.settings)
    todo = {name: path for name, path in videos.items() if not (out / f"{name}.npy").is_file()}
    first = len(videos) - len(todo)
    stream = loader.ahead(decode(todo, net), AHEAD)
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
    net: SnippetFeatures, parts: Iterable[np.ndarray | Unusable], say: Callable[[int], None]
) -> np.ndarray:
    """Features of a video, float32 [snippets, D], or [crops, snippets, D] of several crops."""
    found, count = [], 0
    for part in parts:
        if isinstance(part, Unusable):
            raise part
        found.append(net.features(part))
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
      FileNotFoundError, ValueError: as `find_videos`, `SnippetFeatures.load` and `extract`.
    """
    snippets = Snippets(args.crops, args.step, args.pad_last)
    videos = find_videos(args.videos, args.list)
    net = SnippetFeatures.load(args.weights, snippets, args.normalisation, args.batch)
    return len(videos), extract(net, videos, args.out)


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
