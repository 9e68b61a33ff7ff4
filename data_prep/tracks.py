"""Ground-truth boxes and tracks → the text files that `vadjax.metrics.region` reads.

    python -m data_prep.tracks masks FOLDER --out TRACKS [--min_area 10] [--min_iou 0.3]
    python -m data_prep.tracks text FOLDER --out TRACKS [--columns NAMES] [--first_frame 1]
        [--frame_size HxW]

writes `TRACKS/VIDEO.txt`, a row a box: track_id,frame_id,x_min,y_min,x_max,y_max. Frames count
from 0; coordinates are pixels of the frame, and x_max, y_max are the last ones inside.

masks   FOLDER/VIDEO/*.png (or FOLDER/VIDEO.npy, [T, H, W]), a mask a frame, above 0 = anomalous
        (UCSD Ped1 and Ped2, ShanghaiTech). The connected parts of each mask (8 neighbours) are
        boxes; boxes of consecutive frames are linked by falling IoU, one to one, without gaps;
        each chain is a track. Not the annotators' tracks: touching objects are one. Say so beside
        figures that are measured with them.
text    FOLDER/VIDEO.txt or .csv in the order of columns that their heading or NAMES gives; see
        `python -m vadjax.metrics.region --help` for the names. Coordinates between 0 and 1 are
        shares of the frame, whose size --frame_size says. For example
          ShanghaiTech, Subway (published tracks)   track,frame,x_min,y_min,x_max,y_max
          rows with a size and a class              frame,track,x,y,w,h,-
        The order in Street Scene's own files could not be confirmed (`data_prep.street_scene`):
        look at one, name its columns, and compare the ranges that are printed with the frames.
"""

import argparse
import pathlib
import shutil

import numpy as np

from data_prep import command
from vadjax.data.boxes import component_boxes, link, one_thread
from vadjax.data.masks import open_masks
from vadjax.formats.columns import layout
from vadjax.formats.files import TEXT, list_files
from vadjax.formats.tracks import TRACKS, read_tracks

FLAGS = ("--columns", "--first_frame")


def from_masks(
    folder: pathlib.Path, min_area: int = 10, min_iou: float = 0.3
) -> dict[str, np.ndarray]:
    """Tracks of every video from its masks.

    Args:
      folder: as in the module docstring.
      min_area: parts of fewer pixels are left out.
      min_iou: smallest overlap of linked boxes.

    Returns:
      Name → int64 [n, 6], `track, frame, x_min, y_min, x_max, y_max`, inclusive.

    Raises:
      FileNotFoundError, ValueError: no masks there, or an argument out of its range.
    """
    if min_area < 1 or not 0 < min_iou <= 1:
        raise ValueError(f"min_area {min_area}, min_iou {min_iou:g}; expected >= 1, and 0 < … <= 1")
    with one_thread():
        return {
            name: link([component_boxes(mask, min_area) for mask in masks], min_iou)
            for name, masks in open_masks(folder).items()
        }


def from_text(
    folder: pathlib.Path,
    columns: tuple[str, ...] | None = None,
    first_frame: int = 0,
    drop_degenerate: bool = False,
    frame_size: tuple[int, int] | None = None,
) -> dict[str, np.ndarray]:
    """Tracks of every video from text.

    Args:
      folder: of one file a video.
      columns: what they hold, in order (`vadjax.formats.columns`); None as their heading says,
        else as `TRACKS`.
      first_frame: number of the first frame in the files.
      drop_degenerate: leave out boxes without a pixel inside.
      frame_size: (H, W) of the frames, of which coordinates between 0 and 1 are shares.

    Returns:
      Name → float64 [n, 6], as `from_masks`, rows in the order of the file.

    Raises:
      FileNotFoundError, ValueError: no such files, or a line that cannot be used.
    """
    order = layout(TRACKS, columns, first_frame, FLAGS)
    paths = list_files(folder, TEXT)
    return read_tracks(paths, order, drop_degenerate=drop_degenerate, size=frame_size)


def write(tracks: dict[str, np.ndarray], out: pathlib.Path) -> None:
    """Writes the tracks to the folder `out`, which must not exist.

    Raises:
      FileExistsError: `out` exists.
    """
    if out.exists():
        raise FileExistsError(f"{out}: exists and is left as it is; name another folder (--out)")
    work = out.with_name(f".{out.name}.tmp")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    for name, rows in tracks.items():
        np.savetxt(work / f"{name}.txt", rows, "%.15g", delimiter=",")
    work.replace(out)


def describe(tracks: dict[str, np.ndarray]) -> str:
    """Counts and ranges, by which a wrong order of columns shows."""
    rows = np.concatenate([np.zeros((0, 6)), *tracks.values()])
    count = sum(len(np.unique(found[:, 0])) for found in tracks.values())
    text = f"{len(tracks)} videos, {count} tracks, {len(rows):,} boxes"
    if not len(rows):
        return text
    low, high = rows.min(0), rows.max(0)
    twice = len(rows) - sum(len(np.unique(found[:, :2], axis=0)) for found in tracks.values())
    again = f"; {twice:,} rows repeat a track and frame: is the order of columns right?"
    return (
        f"{text}; frames {low[1]:g} to {high[1]:g}, x {low[2]:g} to {high[4]:g}, "
        f"y {low[3]:g} to {high[5]:g}{again if twice else ''}"
    )


def prepare(args: argparse.Namespace) -> None:
    """Reads, writes and says what was found."""
    if args.kind == "masks":
        tracks = from_masks(args.folder, args.min_area, args.min_iou)
    else:
        given = (args.columns, args.first_frame, args.drop_degenerate, args.frame_size)
        tracks = from_text(args.folder, *given)
    write(tracks, args.out)
    print(f"Wrote {args.out}: {describe(tracks)}.")


def main(argv: list[str] | None = None) -> None:
    """Parses the command line and writes the tracks."""
    parser = argparse.ArgumentParser(
        prog="python -m data_prep.tracks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    kinds = parser.add_subparsers(dest="kind", required=True)
    masks, text = kinds.add_parser("masks"), kinds.add_parser("text")
    for part in (masks, text):
        part.add_argument("folder", type=pathlib.Path)
        part.add_argument("--out", type=pathlib.Path, required=True, help="must not exist yet")
    masks.add_argument("--min_area", type=int, default=10, help="pixels of the smallest part (10)")
    masks.add_argument("--min_iou", type=float, default=0.3, help="smallest IoU of a link (0.3)")
    text.add_argument("--columns", type=command.parse_columns, metavar="NAMES",
        help=f"in their order (by the heading, else {TRACKS})")  # fmt: skip
    text.add_argument("--frame_size", type=command.parse_size, metavar="HxW",
        help="of the frames, where coordinates are shares of it")  # fmt: skip
    text.add_argument("--first_frame", type=int, default=0, help="number of the first frame (0)")
    text.add_argument("--drop_degenerate", action="store_true", help="leave out empty boxes")
    command.report_errors(prepare, parser.parse_args(argv))


if __name__ == "__main__":
    main()
