"""Region- and track-level figures of any program's detections (spec metrics §2, §3).

    python -m vadjax.metrics.region DETECTIONS TRACKS --num_frames N [--alpha 0.1] [--beta 0.1]

DETECTIONS is one of

table    a folder of one text file a video (`.txt`, `.csv`), a row a box:
         frame_id,x_min,y_min,x_max,y_max,score
scores   a folder of score files `VIDEO.npz` (`vadjax.scores.files`) with `boxes` or with a `map`
coco     COCO's results, a `.json` of image_id, bbox (x, y, w, h in pixels) and score; --images
         names the JSON of the images that they refer to, whose file_name is VIDEO/NUMBER.jpg, or
         which have video_id and frame_id
yolo     a text file a frame, VIDEO/NUMBER.txt or (with --detection_format yolo) VIDEO_NUMBER.txt:
         class cx cy w h confidence, in shares of the frame, whose size --frame_size gives

TRACKS is a folder of text files of the same names with the ground truth, a row a box,

    track_id,frame_id,x_min,y_min,x_max,y_max

Frames count from 0. Coordinates are pixels of the source frame; x_max and y_max are the last pixels
inside (width = x_max - x_min + 1). Where a file has a heading, its names say the order of the
columns; else --detection_columns and --track_columns do, and what was assumed is said. Known names:
frame (or frame_id), track (track_id), score (confidence); x_min, y_min with x_max, y_max
(inclusive) or w, h; x0, y0, x1, y1, where x1 and y1 are one past the last pixel, as `boxes` in
score files; cx, cy (the middle) with w, h; `-` for a column to pass over; and other spellings, as
left, top, width, height or xmin, case and blanks aside. For example, detections in the form of
MOTChallenge: --detection_columns frame,-,x,y,w,h,score,-,-,- --first_frame 1. A frame may be the
name of its picture. Fields may be parted by commas, semicolons or blanks. Coordinates that all lie
between 0 and 1 are refused, or read as shares of the frame where --frame_size gives its size; the
right edge then ends the last pixel.

A video with tracks and no detections is an error without --allow_missing; one with detections and
no tracks is a normal video. Both are named.

A box is detected by a detection of its frame with IoU >= beta, and one detection may detect
several; a track is detected when at least the share alpha of its boxes is. A detection with an IoU
below beta with every box of its frame is a false positive; FPR = false positives / frames.

rbdc              area under RBDR (share of boxes detected) for FPR from 0 to 1
tbdc              area under TBDR (share of tracks detected) for FPR from 0 to 1
rbdr, tbdr        those shares with all detections (of a map: at the lowest threshold)
fpr               false positives per frame with all detections; may exceed 1
pixel_auc         (maps, --masks) AUC with every pixel of every frame as a sample
pixel40_auc       (maps, --masks) AUC of frames by the 40 % rule: an anomalous frame is detected
                  when 40 % of its anomalous pixels are, a normal one is a false alarm at one pixel
pixel40_eer       the equal error rate of the same

With a map, the detections at a threshold are the boxes of the connected parts (8 neighbours) at or
above it; --thresholds of them lie at equally spaced quantiles of the map's values.
"""

import argparse
import json
import pathlib
from collections.abc import Mapping

import numpy as np

from vadjax.data.video.masks import Masks, open_masks
from vadjax.formats.columns import layout
from vadjax.formats.detections import DETECTIONS, FORMATS, format_of
from vadjax.formats.text import note, notes_last
from vadjax.formats.tracks import TRACKS
from vadjax.metrics import frame, pixel, region_boxes, region_maps
from vadjax.metrics.region_boxes import TIES, RegionCurve
from vadjax.metrics.region_files import MeasuredVideos, frame_counts, read_videos
from vadjax.runtime import command, replacing
from vadjax.scores.figures import Figure

UNLIKE = 4  # one side reaches so many times as far in both directions: other pictures
# Name of the stored array → field of `RegionCurve` (spec metrics §3b)
STORED = {
    "region_bbox_fpr": "fpr",
    "region_bbox_tpr": "rbdr",
    "track_bbox_fpr": "fpr",
    "track_bbox_tpr": "tbdr",
    "bbox_thresholds": "thresholds",
}


def measure(
    videos: MeasuredVideos,
    alpha: float = 0.1,
    beta: float = 0.1,
    *,
    ties: str = "order",
    thresholds: int = 200,
    min_area: int = 1,
    frame_size: tuple[int, int] | None = None,
) -> RegionCurve:
    """Computes the curves of detections or, where there are none, of maps.

    Args:
      videos: the videos, with detections or maps.
      alpha: share of its boxes that makes a track detected.
      beta: IoU that makes a box detected.
      ties: `"order"` or `"group"`, of detections (`region_boxes.curve`).
      thresholds: number of quantiles, of maps (`region_maps.default_thresholds`).
      min_area: pixels of the smallest region, of maps.
      frame_size: (H, W) of the frames that the maps cover; None if cells are pixels.

    Raises:
      ValueError: as `region_boxes.curve` and `region_maps.curve`.
    """
    if videos.maps is None:
        return region_boxes.curve(
            videos.detections, videos.tracks, videos.num_frames, alpha, beta, ties
        )
    levels = region_maps.default_thresholds(videos.maps, thresholds)
    return region_maps.curve(videos.maps, videos.tracks, levels, alpha, beta, min_area, frame_size)


def areas(points: RegionCurve, tracks: str = "") -> dict[str, Figure]:
    """RBDC and TBDC of curves.

    Args:
      points: the curves.
      tracks: where the ground-truth tracks come from, for the labels; empty to leave it out.
    """
    where = f" ({tracks})" if tracks else ""
    label = "RBDC: area under the share of regions found, up to 1 false positive a frame"
    return {
        "rbdc": Figure(points.rbdc, f"{label}{where}"),
        "tbdc": Figure(points.tbdc, f"TBDC: the same of tracks{where}"),
    }


def figures(videos: MeasuredVideos, points: RegionCurve) -> dict[str, float]:
    """Areas, last rates and counts; the module docstring explains the names."""
    truth = region_boxes.gather(videos.tracks)
    # The last rates are those at the lowest threshold, that is with all detections.
    last = {"rbdr": points.rbdr, "tbdr": points.tbdr, "fpr": points.fpr}
    counts = {"videos": len(videos.names), "frames": videos.num_frames}
    if videos.maps is None:
        counts["detections"] = sum(map(len, videos.detections))
    return {
        **areas(points),
        **{name: float(rate[-1]) if len(rate) else 0.0 for name, rate in last.items()},
        **counts,
        "curve_points": len(points.fpr),
        "boxes": len(truth.boxes),
        "tracks": len(truth.sizes),
    }


def pixel_figures(videos: MeasuredVideos, masks: Mapping[str, Masks]) -> dict[str, float]:
    """Pixel-level figures of maps.

    Raises:
      ValueError: a video has no masks, masks have no video, there are more or fewer masks than
        frames, or all frames or all pixels have one class.
    """
    if missing := [name for name in videos.names if name not in masks]:
        raise ValueError(f"--masks: no masks of video {', '.join(missing[:5])}")
    if extra := [name for name in masks if name not in videos.names]:
        raise ValueError(
            f"--masks: masks of {len(masks)} videos, but maps of {len(videos.names)}; no map of "
            f"video {', '.join(extra[:5])}. Score these too, or move their masks elsewhere"
        )
    # The 40 % rule is an AUC of frames, each with the score that decides about it.
    ordered = [masks[name] for name in videos.names]
    rows = [
        (mask.any(), pixel.frame_score(values, mask))
        for values, mask in pixel.pairs(videos.maps, ordered)
    ]
    points = frame.curve(*np.array(rows, np.float64).T)
    return {
        "pixel_auc": pixel.pixel_auc(pixel.pairs(videos.maps, ordered)),
        "pixel40_auc": frame.area(points),
        "pixel40_eer": frame.equal_error_rate(points),
    }


def write_curves(folder: pathlib.Path, points: RegionCurve) -> None:
    """Writes the curves as `NAME.npy`, float64 [n] (spec metrics §3b); `STORED` has the names."""
    for name, field in STORED.items():
        with replacing.file(folder / f"{name}.npy") as new, new.open("wb") as out:
            np.save(out, getattr(points, field).astype(np.float64))


def check_sides(videos: MeasuredVideos, allow_missing: bool = False) -> None:
    """Names on the standard error the videos that lack detections, tracks or both.

    Raises:
      ValueError: there are tracks of a video and no detections, and that is not allowed.
    """
    undetected = sorted(videos.tracked - videos.detected)
    untracked = sorted(videos.detected - videos.tracked)
    agree = "" if videos.tracked & videos.detected else "; do the names of the files agree?"
    # Tracks without detections would count as missed: an error, unless that is meant.
    if undetected:
        text = (
            f"{len(undetected):,} of {len(videos.tracked):,} videos with tracks have no "
            f"detections: {_list(undetected)}{agree}"
        )
        if not allow_missing:
            raise ValueError(
                f"{text} (if nothing was detected in them, make empty files, or count them so with "
                "--allow_missing)"
            )
        note(f"{text}; nothing is detected in them (--allow_missing)")
    # Detections without tracks are a normal video.
    if untracked:
        note(
            f"{len(untracked):,} of {len(videos.detected):,} videos with detections have no "
            f"tracks, so they are normal: {_list(untracked)}{agree}"
        )
    # Videos that are only counted.
    if neither := sorted(videos.counted - videos.detected - videos.tracked):
        note(
            f"{len(neither):,} videos of --num_frames have neither detections nor tracks, so they "
            f"are normal, without a detection: {_list(neither)}"
        )


def _list(names: list[str]) -> str:
    """The first names, and "…" if there are more."""
    return ", ".join(names[:5]) + (", …" if len(names) > 5 else "")


def warn_of_frames(videos: MeasuredVideos) -> None:
    """Warns on the standard error if boxes lie in more frames than were given in all."""
    if videos.detections is None:
        return
    # The last frame with a box of either side, of every video.
    sides = zip(videos.detections, videos.tracks, strict=True)
    last = [max(rows[:, 1].max(initial=-1) for rows in video) for video in sides]
    if videos.num_frames < (needed := int(sum(last)) + len(last)):
        longest = int(np.argmax(last))
        note(
            f"{videos.num_frames:,} frames in all, but the videos have {needed:,} up to their last "
            f"boxes ({videos.names[longest]} {last[longest] + 1:,.0f}): is --num_frames that of "
            "all test videos? False positives are counted per frame"
        )


def warn_of_scale(videos: MeasuredVideos) -> None:
    """Warns on the standard error if detections and tracks reach over pictures of other sizes."""
    if not videos.detections:
        return
    sides = [
        np.concatenate([np.zeros((0, 6)), *side]) for side in (videos.detections, videos.tracks)
    ]
    if not all(map(len, sides)):
        return
    # How far the boxes of both sides reach to the right and down.
    (width, height), (true_width, true_height) = (side[:, 4:].max(0) + 1 for side in sides)
    ratios = np.array([width / true_width, height / true_height])
    if (ratios > UNLIKE).all() or (ratios < 1 / UNLIKE).all():
        note(
            f"detections reach to x {width - 1:g}, y {height - 1:g}, tracks to x "
            f"{true_width - 1:g}, y {true_height - 1:g}: are they of pictures of the same size?"
        )


def run(args: argparse.Namespace) -> dict[str, float | int | str]:
    """Reads and measures the files, and returns the figures that the command prints."""
    # How the files are to be read.
    flags = ("--detection_columns", "--first_frame"), ("--track_columns", "--first_track_frame")
    layouts = (
        layout(DETECTIONS, args.detection_columns, args.first_frame or 0, flags[0]),
        layout(TRACKS, args.track_columns, args.first_track_frame, flags[1]),
    )
    form = args.detection_format or format_of(args.detections)
    if args.detection_columns and form != "table":
        raise ValueError(
            f"--detection_columns: for tables, and {args.detections} is read as {form}"
        )
    # Both sides of the comparison, and whether they fit together.
    videos = read_videos(
        args.detections,
        args.tracks,
        layouts,
        frame_counts(args.num_frames),
        args.source,
        args.drop_degenerate,
        form=form,
        images=args.images,
        first_frame=args.first_frame,
        frame_size=args.frame_size,
    )
    check_sides(videos, args.allow_missing)
    warn_of_scale(videos)
    warn_of_frames(videos)
    if args.masks and videos.maps is None:
        raise ValueError("--masks: pixel-level figures need maps, and these are boxes")
    # The curves, the figures, and the settings on which they depend.
    points = measure(
        videos,
        args.alpha,
        args.beta,
        ties=args.ties,
        thresholds=args.thresholds,
        min_area=args.min_area,
        frame_size=args.frame_size,
    )
    results = figures(videos, points)
    if args.masks:
        lengths = map(len, videos.maps)
        counts = dict(zip(videos.names, lengths, strict=True))
        results |= pixel_figures(videos, open_masks(args.masks, counts))
    if args.curves:
        write_curves(args.curves, points)
    settings = {"alpha": args.alpha, "beta": args.beta}
    settings |= {"ties": args.ties} if videos.maps is None else {"min_area": args.min_area}
    return results | settings


def _columns(text: str) -> tuple[str, ...]:
    """Names of columns, parted by commas."""
    return tuple(name.strip() for name in text.split(","))


def _size(text: str) -> tuple[int, int]:
    """(H, W) from `HEIGHTxWIDTH`."""
    parts = text.split("x")
    if len(parts) != 2 or not all(part.isdigit() and int(part) for part in parts):
        raise argparse.ArgumentTypeError(f"{text!r}; expected HEIGHTxWIDTH, for example 240x360")
    return int(parts[0]), int(parts[1])


def parser() -> argparse.ArgumentParser:
    """The parser of the command line."""
    command_line = argparse.ArgumentParser(
        prog="python -m vadjax.metrics.region",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = command_line.add_argument
    # Both sides, and what is counted as detected.
    add("detections", type=pathlib.Path, help="folder of text or score files, one a video")
    add("tracks", type=pathlib.Path, help="folder of text files with the ground truth")
    add(
        "--num_frames",
        metavar="N|FILE|FOLDER",
        help="frames of all test videos, normal ones "
        "included: their total; or a file of lines VIDEO,FRAMES; or the folder of their frames. "
        "The last two let frame numbers be checked. Score files need none",
    )
    add("--alpha", type=float, default=0.1, help="share of its boxes that detects a track (0.1)")
    add("--beta", type=float, default=0.1, help="IoU that detects a box (0.1)")
    add(
        "--ties",
        choices=TIES,
        default="order",
        help="equal scores: one point of the curve each, "
        "in the order of file names and rows, as the common program has it (order); or one point "
        "for all of them (group)",
    )
    add("--allow_missing", action="store_true", help="videos with tracks may have no detections")
    _add_file_flags(command_line)
    _add_map_flags(command_line)
    add(
        "--curves",
        type=pathlib.Path,
        metavar="FOLDER",
        help="write the curves as .npy there; "
        "python -m vadjax.metrics.compute_auc gives the area of two of them",
    )
    add("--json", action="store_true", help="print JSON")
    return command_line


def _add_file_flags(command_line: argparse.ArgumentParser) -> None:
    """Adds the flags that say how detections and tracks are read."""
    add = command_line.add_argument
    # The format, what columns hold, where frames begin, and which boxes are read.
    add("--detection_format", choices=FORMATS, help="see above (as the files look)")
    add("--images", type=pathlib.Path, metavar="FILE.json", help="images of COCO's results")
    add(
        "--detection_columns",
        type=_columns,
        metavar="NAMES",
        help=f"of text files (by their heading, else {DETECTIONS})",
    )
    add(
        "--track_columns", type=_columns, metavar="NAMES", help=f"(by their heading, else {TRACKS})"
    )
    add(
        "--first_frame",
        type=int,
        help="number of the first frame in detections (0; of COCO as its images say)",
    )
    add("--first_track_frame", type=int, default=0, help="number of the first frame in tracks (0)")
    add(
        "--drop_degenerate",
        action="store_true",
        help="leave out boxes of width or height 0 or less, which are an error otherwise",
    )
    add(
        "--source",
        choices=("boxes", "map"),
        help="which of both in score files (boxes, if the first file has them)",
    )


def _add_map_flags(command_line: argparse.ArgumentParser) -> None:
    """Adds the flags for maps; `--frame_size` is also that of boxes."""
    add = command_line.add_argument
    # How maps become regions, and the masks that pixels are compared with.
    add("--thresholds", type=int, default=200, help="of a map: number of quantiles (200)")
    add("--min_area", type=int, default=1, help="of a map: leave out regions of fewer pixels (1)")
    add(
        "--frame_size",
        type=_size,
        metavar="HxW",
        help="of the source frames, where the map is "
        "smaller: its cells cover them evenly; or where coordinates are shares of them; boxes far "
        "outside of them are refused",
    )
    add(
        "--masks",
        type=pathlib.Path,
        help="folder of VIDEO/*.png, VIDEO_gt/*.bmp or VIDEO.npy: pixel-level figures",
    )


def main(argv: list[str] | None = None) -> None:
    """Prints the figures of a folder of detections or maps, as a table or as JSON."""
    args = parser().parse_args(argv)
    with notes_last():
        results = command.report_errors(run, args)
        if args.json:
            print(json.dumps(results, indent=1))
            return
        for name, value in results.items():
            shown = f"{value:.6f}" if isinstance(value, float) else value
            print(f"{name:20} {f'{shown:,}' if isinstance(shown, int) else shown}")


if __name__ == "__main__":
    command.run(main)
