"""Videos → features of an I3D network, one .npy a video, as data_prep.ucf_crime reads them.

    python -m data_prep.extract_features --videos FOLDER --weights WEIGHTS --out FEATURES

`--videos` is a folder that holds, at any depth, video files and folders of frames; or one of
these. FOLDER/CLASS/NAME.mp4 becomes FEATURES/CLASS/NAME.npy; what lies in FOLDER itself gets
FOLDER's name as its class. `--weights` is a folder of `python -m data_prep.weights`, of a network
for RGB or for optical flow; or two, RGB first, and the features of both become
FEATURES/all_rgbs/CLASS/NAME.mp4.npy and FEATURES/all_flows/CLASS/NAME.mp4.npy.

  --crops centre   short side 256, one crop: float32 [snippets, D]
  --crops ten      340 x 256, ten crops: float32 [10, snippets, D]; published features of RTFM's
                   form took it with a ResNet-50 and --normalisation pm1 (spec i3d §B4)
  --flow dis       milliseconds a frame; dis_light, two thirds; dis_half, a quarter, coarser; or
                   tvl1, the published kind, about a second a frame
  --resample_fps 25  video files at 25 frames a second: at each time k / 25 the frame nearest in
                   time, of two equally near the earlier
  --pooling mean   32 segments (--segments) instead of all snippets, means as the first MIL program
                   made them (spec mil §3); or linear, as S3R (spec s3r §2.1)

The clips of a batch are spread over the devices of the machine (with 8 of them --batch is 8, 16,
…; another number uses as many as divide it). With --beam (pip install 'vadjax[beam]') the videos
are shared out by Apache Beam over machines that see the same folders, for example
--beam="--runner=FlinkRunner --flink_master=HOST:8081"; without a value, on this machine.

The same command again goes on where it stopped; settings.json in FEATURES says with which weights
and settings. Videos that cannot be used are passed over, listed at the end, and tried again by
the next call; the exit status is then 1.
"""

import argparse
import functools
import itertools
import operator
import pathlib
import shlex
import sys
import time
from collections.abc import Callable, Mapping

from vadjax.data.segments import POOLINGS
from vadjax.data.store import loader
from vadjax.data.video.pictures import add_levels_flag
from vadjax.data.video.reader import Reading, find_videos
from vadjax.data.video.snippets import CROPS, FRAMES, NORMALISATIONS, Snippets
from vadjax.extractors.clips import AHEAD, BATCH, SnippetFeatures
from vadjax.ops.flow import METHODS
from vadjax.runtime import compiled, progress

from .lib import beam, command
from .lib.extractor import Extractor, Pooling, Unusable, decode


def extract(extractor: Extractor, videos: Mapping[str, pathlib.Path]) -> dict[str, str]:
    """Writes the features of every video that has none yet.

    Args:
      extractor: makes and writes them.
      videos: name, CLASS/NAME, and path of each.

    Returns:
      Name and reason of every video that could not be used.

    Raises:
      ValueError: the folder holds features of other weights or settings.
    """
    todo = extractor.claim(videos)
    already_done, failed = len(videos) - len(todo), {}
    # A thread decodes the clips ahead of the network, also those of the next video
    stream = loader.prefetch(decode(todo, extractor.net, extractor.reading), AHEAD)
    with progress.bar("extract", len(videos), already_done) as bar:
        # The stream has (name, clips) of one video after the other
        parts_by_video = itertools.groupby(stream, operator.itemgetter(0))
        for done, (name, parts) in enumerate(parts_by_video, already_done):
            try:
                extractor.write(name, (part for _, part in parts), _show_speed(bar, done))
            except Unusable as error:
                failed[name] = str(error)
            bar.update(done + 1, {})
    return failed


def extract_with_beam(
    extractor: Extractor, videos: Mapping[str, pathlib.Path], args: argparse.Namespace
) -> dict[str, str]:
    """As `extract`, video by video on the machines of a Beam pipeline; each loads the network.

    Args:
      extractor: notes in the folder what its features are of.
      videos: name, CLASS/NAME, and path of each.
      args: the command line, from which each machine loads its own extractor.

    Returns:
      Name and reason of every video that could not be used.

    Raises:
      ImportError: Beam is not installed.
      ValueError: as `extract`.
    """
    todo = extractor.claim(videos)
    out = pathlib.Path(args.out).absolute()  # a machine may work in another folder
    weights = [str(pathlib.Path(folder).absolute()) for folder in args.weights]
    make = functools.partial(
        worker, argparse.Namespace(**vars(args) | {"out": out, "weights": weights})
    )
    return beam.each(todo, make, out, shlex.split(args.beam))


def worker(args: argparse.Namespace) -> Callable[[str, pathlib.Path], None]:
    """Loads the network; returns a function of name and path that writes a video's features."""
    extractor = load(args)

    def work(name: str, path: pathlib.Path) -> None:
        parts = loader.prefetch(decode({name: path}, extractor.net, extractor.reading), AHEAD)
        extractor.write(name, (part for _, part in parts))

    return work


def _show_speed(bar: progress.Bar, done: int) -> Callable[[int], None]:
    """Begins a video; returns a function of its snippets so far that shows the speed in the bar."""
    start = time.monotonic()

    def show(count: int) -> None:
        bar.update(done, {"snippets/s": count / max(time.monotonic() - start, 1e-9)})

    return show


def passed_over(where: pathlib.Path, videos: Mapping[str, pathlib.Path]) -> list[str]:
    """Files below a folder that are neither videos nor frames of one, relative to the folder."""
    video_paths = {*videos.values()}
    return sorted(
        str(path.relative_to(where))
        for path in where.rglob("*")
        # A video is a file, or the folder of its frames
        if path.is_file()
        and not path.name.startswith(".")
        and not {path, path.parent} & video_paths
    )


def load(args: argparse.Namespace) -> Extractor:
    """The extractor that the command line asks for.

    Raises:
      FileNotFoundError, ValueError: as `SnippetFeatures.load`, `Snippets` and `Pooling`.
    """
    compiled.use()
    snippets = Snippets(args.crops, args.step, args.pad_last, args.flow)
    net = SnippetFeatures.load(args.weights, snippets, args.normalisation, args.batch)
    reading = Reading(args.deinterlace, args.strict, args.resample_fps, args.levels)
    return Extractor(net, args.out, Pooling(args.pooling, args.segments, args.normalize), reading)


def run(args: argparse.Namespace) -> tuple[int, dict[str, str]]:
    """What the command line asks for: number of videos, and those that could not be used.

    Raises:
      FileNotFoundError, ValueError: as `find_videos`, `load` and `extract`.
    """
    videos = find_videos(args.videos, args.list)
    if not args.list and (others := passed_over(pathlib.Path(args.videos).absolute(), videos)):
        more = f" and {len(others) - 5:,} more" if len(others) > 5 else ""
        print(f"passed over, by their endings no videos: {', '.join(others[:5])}{more}")
    extractor = load(args)
    if args.beam is None:
        return len(videos), extract(extractor, videos)
    return len(videos), extract_with_beam(extractor, videos, args)


def parse(argv: list[str] | None) -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m data_prep.extract_features",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    # What is read and written
    add("--videos", required=True, help="folder of videos, or one video")
    add("--list", help="text file of paths below --videos: only these")
    add("--weights", required=True, nargs="+", help="folder of the network, or of RGB's and flow's")
    add("--out", required=True, help="folder of features; may exist already")
    # How clips are cut and fed to the network (spec i3d §B4)
    add("--crops", choices=CROPS, default="centre", help="default: centre")
    add("--step", type=int, default=FRAMES, help=f"frames between snippets (default {FRAMES})")
    add("--pad_last", action="store_true", help="fill up the last snippet with its last frame")
    add("--flow", choices=METHODS, help="optical flow, for a network for flow (default dis)")
    add("--normalisation", choices=NORMALISATIONS, help="of RGB; default: of its training")
    # What is done with the features of the snippets
    add("--pooling", choices=POOLINGS, help="of snippets to segments; default: all snippets")
    add("--segments", type=int, default=32, help="rows a video with --pooling (default 32)")
    add("--normalize", action="store_true", help="L2-normalise rows of each network")
    # How the videos are decoded, and by how many machines
    add("--resample_fps", type=float, metavar="RATE", help="frames a second (default: as they are)")
    add("--batch", type=int, help=f"clips at once (default: {BATCH} or the crops, and all devices)")
    command.add_reading_flags(parser)
    add_levels_flag(parser)
    command.add_beam_flag(parser)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Parses the command line and writes the features."""
    args = parse(argv)
    count, failed = command.report_errors(run, args)
    print(f"{count - len(failed):,} of {count:,} videos have features in {args.out}")
    if failed:
        lines = "\n".join(f"  {name}: {reason}" for name, reason in failed.items())
        sys.exit(f"{len(failed):,} of {count:,} videos could not be used:\n{lines}")


if __name__ == "__main__":
    command.run(main)
