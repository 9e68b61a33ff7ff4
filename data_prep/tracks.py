"""Boxes and tracks: ground truth as `vadjax.metrics.region` reads it, and datasets of tracks.

    python -m data_prep.tracks masks FOLDER --out TRACKS [--num_frames FRAMES] [--min_area 10]
    python -m data_prep.tracks text FOLDER --out TRACKS [--columns NAMES] [--first_frame 1]
        [--frame_size HxW]
    python -m data_prep.tracks dataset --train FOLDER --test FOLDER --labels FILE --size HxW
        --fps FPS --out DATASET

The first two write `TRACKS/VIDEO.txt`, a row a box: track_id,frame_id,x_min,y_min,x_max,y_max.
Frames count from 0; coordinates are pixels of the frame, and x_max, y_max are the last ones inside.

masks   FOLDER/VIDEO/*.png or FOLDER/VIDEO_gt/*.bmp, a mask a frame, above 0 = anomalous (UCSD Ped1
        and Ped2, ShanghaiTech), read as `vadjax.data.video.mask_pictures` says. The connected
        parts of each mask (8 neighbours) are boxes; boxes of consecutive frames are linked by
        falling IoU, one to one, without gaps; each chain is a track. Not the annotators' tracks:
        touching objects are one. Say so beside figures that are measured with them.
        FOLDER/VIDEO.npy is [T, H, W] or, as MATLAB has it, [H, W, T]: the number of frames
        (--num_frames) decides, or --mask_order.
        FOLDER/VIDEO_annotations/*_gt.png or FOLDER/Scene*/VIDEO_annotations (UBnormal): values are
        numbers of objects, and VIDEO_tracks.txt there says which are anomalous; each is a track,
        its box that of its largest connected part. With --objects the values of any masks are
        numbers of objects, all of them anomalous.
text    FOLDER/VIDEO.txt or .csv in the order of columns that their heading or NAMES gives; see
        `python -m vadjax.metrics.region --help` for the names. Coordinates between 0 and 1 are
        shares of the frame, whose size --frame_size says. For example
          ShanghaiTech, Subway (published tracks)   track,frame,x_min,y_min,x_max,y_max
          rows with a size and a class              frame,track,x,y,w,h,-
        The order in Street Scene's own files could not be confirmed (`data_prep.street_scene`):
        look at one, name its columns, and compare the ranges that are printed with the frames.
dataset tracks of everything that moves, for people who have tracks and no frames: the attributes
        system learns from them how fast and where things move (`configs/*_attributes.py:tracks`).
        FOLDER/VIDEO.txt as MOTChallenge has it, frame,id,left,top,width,height and up to four more
        columns, frames from 1; --columns and --first_frame say it if that is not so. Labels in any
        form of `vadjax.formats.labels` that says how many frames a video has, as
        {"VIDEO": {"frames": 265, "intervals": [[154, 230]]}}; a training video that is not among
        them ends with its last box.
"""

import argparse
import pathlib
from collections.abc import Collection, Mapping

import numpy as np

from vadjax.data.video.boxes import component_boxes, link, one_thread
from vadjax.data.video.masks import ORDERS, MaskFile, Masks, open_masks
from vadjax.data.video.object_masks import ObjectMasks, object_tracks
from vadjax.formats.columns import layout
from vadjax.formats.files import TEXT, list_files
from vadjax.formats.names import check_name
from vadjax.formats.tracks import TRACKS, read_tracks
from vadjax.metrics.region_files import frame_counts
from vadjax.runtime import replacing

from .lib import command, track_datasets

FLAGS = ("--columns", "--first_frame")
REMEDY = (
    "Say how many frames there are with --num_frames, or the order with --mask_order thw "
    "([frames, H, W]) or hwt"
)


def from_masks(
    folder: pathlib.Path,
    min_area: int = 10,
    min_iou: float = 0.3,
    counts: int | Mapping[str, int] | None = None,
    order: str | None = None,
    objects: bool = False,
) -> dict[str, np.ndarray]:
    """Tracks of every video from its masks.

    Args:
      folder: as in the module docstring.
      min_area: parts of fewer pixels are left out; at least 1.
      min_iou: smallest IoU of linked boxes, above 0 and at most 1.
      counts: number of frames of every video, or of all together; None if unknown.
      order: of arrays, a name of `vadjax.data.video.masks.ORDERS`; None decides by `counts`.
      objects: values are numbers of objects; each is a track.

    Returns:
      Name → int64 [n, 6], `track, frame, x_min, y_min, x_max, y_max`, inclusive.

    Raises:
      FileNotFoundError, ValueError: no masks there, or an argument out of its range.
    """
    if min_area < 1 or not 0 < min_iou <= 1:
        raise ValueError(f"min_area {min_area}, min_iou {min_iou:g}; expected >= 1, and 0 < … <= 1")
    # Masks are opened with the number of frames of each video, where that is known
    by_video = counts if isinstance(counts, Mapping) else None
    masks_of = open_masks(folder, by_video, order, REMEDY)
    if by_video is not None and (unnamed := [name for name in masks_of if name not in by_video]):
        raise ValueError(f"{folder}: masks of {', '.join(unnamed[:5])}, not named by --num_frames")
    if isinstance(counts, int):
        _order_by_total(masks_of.values(), counts)
    with one_thread():
        return {
            name: _tracks(masks, min_area, min_iou, objects) for name, masks in masks_of.items()
        }


def _tracks(masks: Masks, min_area: int, min_iou: float, objects: bool) -> np.ndarray:
    """Tracks of a video, as `from_masks`."""
    source = masks.source
    # Masks of zeros and ones: their connected parts, linked from frame to frame
    if not objects and not isinstance(source, ObjectMasks):
        return link([component_boxes(mask, min_area) for mask in masks], min_iou)
    # Masks of numbers of objects: every object is a track
    rows, hidden = object_tracks(source.values(), getattr(source, "tracks", None), min_area)
    if hidden:
        print(f"{masks.name}: no part of its object is seen in {hidden:,} frames of tracks")
    return rows


def _order_by_total(all_masks: Collection[Masks], total: int) -> None:
    """Gives arrays the one order in which all masks together have `total` frames.

    If both orders have so many, the order of an array stays as it is.

    Raises:
      ValueError: neither has so many.
    """
    # Frames of pictures are counted; those of arrays are the first axis or the last
    arrays = [masks.source for masks in all_masks if isinstance(masks.source, MaskFile)]
    others = sum(len(masks) for masks in all_masks if masks.source not in arrays)
    sums = {
        order: others + sum(masks.shape[axis] for masks in arrays) for order, axis in ORDERS.items()
    }
    fits = [order for order in ORDERS if sums[order] == total]
    if not fits:
        counts = " or ".join(f"{count:,}" for count in sorted({*sums.values()}))
        raise ValueError(
            f"--num_frames {total:,}: but the masks of all {len(all_masks)} videos have {counts} "
            "frames"
        )
    for array in arrays:
        array.order = array.order or (fits[0] if len(fits) == 1 else None)


def from_text(
    folder: pathlib.Path,
    columns: tuple[str, ...] | None = None,
    first_frame: int = 0,
    drop_degenerate: bool = False,
    frame_size: tuple[int, int] | None = None,
) -> dict[str, np.ndarray]:
    """Tracks of every video from text.

    Args:
      folder: folder of one file a video.
      columns: what the columns hold, in order (`vadjax.formats.columns`); None: what the heading of
        a file says, and without a heading `TRACKS`.
      first_frame: number that the files give to the first frame.
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
    replacing.clear(out)
    if out.exists():
        raise FileExistsError(f"{out}: exists and is left as it is; name another folder (--out)")
    with replacing.folder(out) as work:
        for name, rows in tracks.items():
            check_name(name, "tracks")
            np.savetxt(work / f"{name}.txt", rows, "%.15g", delimiter=",")


def prepare(args: argparse.Namespace) -> None:
    """Reads the tracks that the command line asks for, writes them, and prints their ranges."""
    if args.kind == "dataset":
        track_datasets.prepare(args)
        return
    if args.kind == "masks":
        counts = frame_counts(args.num_frames)
        tracks = from_masks(
            args.folder, args.min_area, args.min_iou, counts, args.mask_order, args.objects
        )
    else:
        options = (args.columns, args.first_frame, args.drop_degenerate, args.frame_size)
        tracks = from_text(args.folder, *options)
    write(tracks, args.out)
    print(f"Wrote {args.out}: {command.describe_tracks(tracks)}.")


def main(argv: list[str] | None = None) -> None:
    """Parses the command line and writes the tracks."""
    parser = argparse.ArgumentParser(
        prog="python -m data_prep.tracks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    # Each kind has its own flags; ground truth takes a folder and --out
    kinds = parser.add_subparsers(dest="kind", required=True)
    masks, text = kinds.add_parser("masks"), kinds.add_parser("text")
    track_datasets.add_flags(kinds.add_parser("dataset"))
    for subparser in (masks, text):
        subparser.add_argument("folder", type=pathlib.Path)
        subparser.add_argument("--out", type=pathlib.Path, required=True, help="must not exist yet")
    # How boxes are made of masks, and how the masks are written
    masks.add_argument("--min_area", type=int, default=10, help="pixels of the smallest part (10)")
    masks.add_argument("--min_iou", type=float, default=0.3, help="smallest IoU of a link (0.3)")
    masks.add_argument(
        "--num_frames",
        metavar="N|FILE|FOLDER",
        help="frames of all videos: their total, a file of lines VIDEO,FRAMES, or the folder of "
        "their frames; needed for .npy, compared for pictures",
    )
    masks.add_argument("--mask_order", choices=ORDERS, help="of the axes of .npy")
    masks.add_argument(
        "--objects", action="store_true", help="values are numbers of objects; each is a track"
    )
    # How the text files are written
    text.add_argument(
        "--columns",
        type=command.parse_columns,
        metavar="NAMES",
        help=f"in their order (by the heading, else {TRACKS})",
    )
    text.add_argument(
        "--frame_size",
        type=command.parse_size,
        metavar="HxW",
        help="of the frames, where coordinates are shares of it",
    )
    text.add_argument("--first_frame", type=int, default=0, help="number of the first frame (0)")
    text.add_argument("--drop_degenerate", action="store_true", help="leave out empty boxes")
    command.report_errors(prepare, parser.parse_args(argv))


if __name__ == "__main__":
    command.run(main)
