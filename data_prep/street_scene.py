"""Street Scene → dataset of frames with the tracks of its anomalies.

    python -m data_prep.street_scene --data FOLDER --out data/street_scene --encoding jpeg

  FOLDER/Train/TrainNNN/*.jpg           46 sequences of 720 x 1280 frames, all normal
  FOLDER/Test/TestNNN/*.jpg             35 sequences
  FOLDER/Test/TestNNN/TestNNN_gt.txt    their ground truth, a row a box, parted by blanks, commas or
                                        semicolons; may lie in FOLDER/Test instead

A frame is anomalous if it has a box. The order of columns in these files is NOT confirmed: none was
at hand. A public program reads from them the name of a picture and the number of a track, in this
order; another reads, from the files that the same authors made for UCSD Ped2 and Avenue, these and
then the middle and the size of the box. So the default is

  --columns frame,track,cx,cy,w,h

Look at one file, and compare the ranges that are printed with those of the frames. Names as in
`python -m vadjax.metrics.region --help`, and `class`: the kind of the anomaly, kept for each track;
for example frame,track,x,y,w,h,class. Tracks stay in pixels of the source frames, whatever --size
is. There are over 200,000 frames: take --encoding jpeg or --size unless there is much space.
"""

import argparse
import collections
import dataclasses
import pathlib
import re
from collections.abc import Sequence

from vadjax.data.store.frame_writer import SourceVideo
from vadjax.data.video.reader import FrameFolder
from vadjax.formats.boxes import say_assumed
from vadjax.formats.columns import Layout
from vadjax.formats.folders import subfolders
from vadjax.formats.table import parse, words
from vadjax.formats.tracks import TRACKS

from .lib import command, frames
from .lib.track_text import TrackText

FPS = 15.0  # frames a second of the published set
COLUMNS = ("frame", "track", "cx", "cy", "w", "h")
ASSUMED = dataclasses.replace(TRACKS, columns=COLUMNS)
TRUTH = "*_gt.txt"


def list_sequences(folder: pathlib.Path) -> list[SourceVideo]:
    """The sequences in `Train` or `Test`; ground truth may lie among their frames.

    Raises:
      ValueError: there is none, or one is empty or holds something else than frames.
    """
    videos = [
        SourceVideo(path.name, FrameFolder(path, besides=TRUTH))
        for path in subfolders(folder, rf"{folder.name}\d+")
    ]
    if not videos:
        raise ValueError(f"{folder}: no sequences; expected a folder {folder.name}001 of frames, …")
    return videos


def read_train(folder: pathlib.Path) -> list[SourceVideo]:
    """The training sequences.

    Raises:
      ValueError: one has ground truth, or as `list_sequences`.
    """
    if truth := sorted(folder.rglob(TRUTH)):
        raise ValueError(
            f"{truth[0]}: ground truth of a training sequence; these are normal and have none. "
            "Is it a test sequence? Move it to Test"
        )
    return frames.all_normal(list_sequences(folder))


def find_truth(folder: pathlib.Path, name: str) -> pathlib.Path:
    """The ground truth of a test sequence, among its frames or beside its folder.

    Raises:
      FileNotFoundError: there is none.
      ValueError: there are several.
    """
    paths = sorted({*(folder / name).glob(TRUTH), *folder.glob(f"{name}_gt.txt")})
    if not paths:
        raise FileNotFoundError(
            f"{folder / name}/{name}_gt.txt: not there, nor {folder}/{name}_gt.txt; each test "
            "sequence needs its ground truth. Copy it there"
        )
    if len(paths) > 1:
        raise ValueError(f"{paths[0]} and {paths[1]}: both for {name}; move one elsewhere")
    return paths[0]


def first_number(found: FrameFolder) -> int:
    """Number in the name of the first picture, by which ground truth names the frames.

    Args:
      found: the pictures of a sequence.

    Raises:
      ValueError: the names do not have consecutive numbers.
    """
    # The last digits of each name, before its ending
    numbers = [re.search(r"(\d+)\D*$", path.name) for path in found.paths]
    first, last = (int(match[1]) if match else -1 for match in (numbers[0], numbers[-1]))
    if first < 0 or last - first + 1 != len(numbers):
        raise ValueError(
            f"{found.folder}: {len(numbers):,} frames from {found.paths[0].name} to "
            f"{found.paths[-1].name}, expected consecutive numbers. Copy the missing ones, or say "
            "with --first_frame what number the ground truth gives to the first frame"
        )
    return first


def read_kinds(path: pathlib.Path, layout: Layout) -> dict[int, str]:
    """Kind of the anomaly of every track, from the column `class` if there is one.

    Raises:
      ValueError: names file and line: a track of two kinds.
    """
    kinds: dict[int, str] = {}
    layout = parse(path, layout).layout  # that of its heading, if it has one
    if "class" not in layout.names:
        return kinds
    for number, (track, kind) in words(path, layout, ("track", "class")):
        first_kind = kinds.setdefault(int(float(track)), kind)
        if first_kind != kind:
            raise ValueError(
                f"{path}:{number}: track {track} is of class {kind!r}, before {first_kind!r}; "
                f"expected one a track. Compare the file with --columns {layout}"
            )
    return kinds


def read_test(
    folder: pathlib.Path,
    columns: Sequence[str] | None = None,
    first_frame: int | None = None,
    drop_degenerate: bool = False,
) -> list[SourceVideo]:
    """The test sequences with tracks, kinds, and labels from the tracks.

    Args:
      folder: the folder `Test`.
      columns: what the columns of the ground truth hold; None: what the heading of a file says, and
        without a heading `COLUMNS`.
      first_frame: number that the ground truth gives to the first frame; None: the number in the
        name of the first picture.
      drop_degenerate: leave out boxes without a pixel inside.

    Raises:
      FileNotFoundError: no ground truth for a sequence.
      ValueError: something that cannot be used; names the file and, where there is one, the line.
    """
    # Every sequence has one file of ground truth, and every file its sequence
    videos = list_sequences(folder)
    paths = [find_truth(folder, video.name) for video in videos]
    if stray := sorted(set(folder.glob(TRUTH)) - set(paths)):
        raise ValueError(
            f"{stray[0]}: ground truth of a sequence that is not there; expected the folder "
            f"{stray[0].with_name(stray[0].name.removesuffix('_gt.txt'))}. Copy it there, or move "
            "the file elsewhere"
        )
    annotated, tables = [], []
    for video, path in zip(videos, paths, strict=True):
        first = first_number(video.frames) if first_frame is None else first_frame
        flags = ("--columns", "--first_frame")
        text = TrackText(columns, first, drop_degenerate, flags, ASSUMED)
        tables.append(text.parse(path))
        # A frame is anomalous if a track has a box in it
        video = dataclasses.replace(video, tracks=text.check(tables[-1], video))
        kinds = read_kinds(path, text.layout)
        annotated.append(dataclasses.replace(video, labels=frames.boxed_frames(video), kinds=kinds))
    say_assumed(tables)
    return annotated


def prepare(
    data: str | pathlib.Path,
    out: str | pathlib.Path,
    *,
    columns: Sequence[str] | None = None,
    first_frame: int | None = None,
    drop_degenerate: bool = False,
    name: str = "street_scene",
    **options,
) -> dict:
    """Writes the dataset `out` and returns its manifest; arguments as the command's flags.

    Raises:
      FileNotFoundError: a folder or file is not there.
      ValueError: a file that cannot be used; the message names it.
    """
    root = pathlib.Path(data)
    train = read_train(frames.find_folder(root, ["Train"]))
    test = read_test(frames.find_folder(root, ["Test"]), columns, first_frame, drop_degenerate)
    # What was read is printed: a wrong order of columns shows in the ranges
    print(frames.ranges(test))
    kinds = collections.Counter(kind for video in test for kind in video.kinds.values())
    if kinds:
        print("classes: " + ", ".join(f"{kind} {count}" for kind, count in kinds.most_common()))
    return frames.write(
        {"train": train, "test": test}, out, name=name, published_fps=FPS, **options
    )


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Adds the flags that say how the ground truth is written."""
    add = parser.add_argument
    add(
        "--columns",
        type=command.parse_columns,
        metavar="NAMES",
        help=f"of the ground truth (by its heading, else {ASSUMED}, not confirmed)",
    )
    add(
        "--first_frame",
        type=int,
        metavar="N",
        help="number of the first frame in the ground "
        "truth (default: that in the name of the first picture)",
    )
    add("--drop_degenerate", action="store_true", help="leave out boxes of no width or height")


def main(argv: list[str] | None = None) -> None:
    """Parses the command line and writes the dataset."""
    frames.main(argv, "street_scene", __doc__, "street_scene", prepare, add_flags)


if __name__ == "__main__":
    command.run(main)
