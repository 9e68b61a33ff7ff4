"""What the programs for frame datasets share: finding videos, labels, masks, boxes and tracks.

The layout that all of them read (MNAD's, with additions):

  ROOT/{train,training}/frames/VIDEO/*.jpg     any images, taken by rank; or VIDEO.avi
  ROOT/{test,testing}/frames/VIDEO/*.jpg
  ROOT/{test,testing}/masks/VIDEO/*.png        anomalous pixels, a mask a frame; or VIDEO_gt/*.png,
                                               VIDEO.npy, UBnormal's VIDEO_annotations/ (these
                                               also beside the videos, in frames/ or frames/Scene1/)
  ROOT/{test,testing}/anomalous_frames.json    video → intervals [start, stop), frames from 0
  ROOT/frame_labels_*.npy                      labels of all test frames in a row, [n] or [1, n]
  ROOT/{train,test,...}/detections/VIDEO.csv   boxes: frame,x0,y0,x1,y1,confidence
  ROOT/tracks/VIDEO.txt                        track_id,frame_id,x_min,y_min,x_max,y_max

Published tracks in a folder of their own, VIDEO.txt or VIDEO_gt.txt for each test video, are added
with --tracks FOLDER, also to the original layouts. Other orders of columns are named with
--track_columns (names as in `python -m vadjax.metrics.region --help`) or by a heading:
  published by the Street Scene authors     --track_columns frame,track,cx,cy,w,h
    (as a public reader of them has it)     --first_track_frame 1
"""

import argparse
import dataclasses
import glob
import pathlib
import warnings
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from vadjax.data.store.frame_writer import ENCODINGS, SourceVideo, write_frames
from vadjax.data.video.boxes import read_boxes, read_tracks
from vadjax.data.video.masks import is_scene, open_video
from vadjax.data.video.object_masks import ANNOTATIONS
from vadjax.data.video.pictures import Levels, add_levels_flag, not_for
from vadjax.data.video.reader import AS_IT_IS, VIDEOS, FrameFolder, Reading, open_frames
from vadjax.formats import json_files
from vadjax.formats.boxes import check_one_order, say_assumed
from vadjax.formats.files import TEXT, list_files
from vadjax.formats.folders import visible
from vadjax.formats.labels import match_labels
from vadjax.formats.regular import is_there
from vadjax.formats.tracks import TRACKS

from . import beam_frames, command, frame_rates
from .track_text import TrackText, frame_size

SPLITS = {"train": ("train", "training"), "test": ("test", "testing")}
Splits = dict[str, list[SourceVideo]]


def find_folder(root: pathlib.Path, names: Sequence[str]) -> pathlib.Path:
    """The first of `names` that is a folder in `root`.

    Raises:
      FileNotFoundError: none is.
    """
    if not root.is_dir():
        raise FileNotFoundError(f"{root}: no such folder (--data)")
    for name in names:
        if (root / name).is_dir():
            return root / name
    raise FileNotFoundError(f"{root}: has no folder {' or '.join(names)}; see --help for layouts")


def read_layout(
    root: pathlib.Path, labels: pathlib.Path | None = None, reading: Reading = AS_IT_IS
) -> Splits:
    """The videos of the common layout (module docstring).

    Args:
      root: folder of the dataset.
      labels: of the test frames, in any form of `vadjax.formats.labels`; None looks for
        `frame_labels_*.npy` in `root`.
      reading: how video files are read.

    Raises:
      FileNotFoundError: a folder is not there.
      ValueError: something that cannot be used; the message names the file.
    """
    splits = {}
    for split, names in SPLITS.items():
        # The published tracks are of test videos
        folder = find_folder(root, [f"{name}/frames" for name in names])
        splits[split] = [
            annotate(video, folder.parent, root / "tracks" if split == "test" else None)
            for video in list_videos(folder, reading)
        ]
    return {
        "train": all_normal(splits["train"]),
        "test": label_videos(splits["test"], root, find_labels(root, labels)),
    }


def list_videos(folder: pathlib.Path, reading: Reading = AS_IT_IS) -> list[SourceVideo]:
    """The videos in a folder or in its folders `Scene…`, each a folder of images or a video file.

    Args:
      folder: folder of the videos.
      reading: how video files are read.

    Raises:
      ValueError: there is none, or something else lies between them.
    """
    paths, videos = [], []
    for path in visible(folder):
        paths += visible(path) if is_scene(path) else [path]
    for path in paths:
        if path.is_dir() and path.name.endswith(ANNOTATIONS):
            continue  # masks that lie beside the videos
        if not path.is_dir() and path.suffix.lower() not in VIDEOS:
            raise ValueError(
                f"{path}: neither a folder of frames nor a video ({', '.join(VIDEOS)}); "
                "move it elsewhere"
            )
        name = path.name if path.is_dir() else path.stem
        videos.append(SourceVideo(name, open_frames(path, reading)))
    if not videos:
        raise ValueError(f"{folder}: empty; expected one folder of frames a video")
    return videos


def annotate(
    video: SourceVideo, folder: pathlib.Path, tracks: pathlib.Path | None = None
) -> SourceVideo:
    """The video with its masks, boxes and tracks, where their files are there.

    Args:
      video: as listed.
      folder: of its split, with masks and detections.
      tracks: folder of the tracks; None: there are none.

    Raises:
      ValueError: two places have masks of the video, or a file cannot be used.
    """
    mask_path = find_video_masks(folder, video.name)
    box_path = folder / "detections" / f"{video.name}.csv"
    track_path = tracks / f"{video.name}.txt" if tracks else None
    return dataclasses.replace(
        video,
        masks=open_video(mask_path, video.frames) if mask_path else video.masks,
        boxes=read_boxes(box_path) if is_there(box_path) else video.boxes,
        tracks=read_tracks(track_path) if track_path and is_there(track_path) else video.tracks,
    )


def find_video_masks(folder: pathlib.Path, name: str) -> pathlib.Path | None:
    """The masks of a video in the folder of a split; None where there are none.

    Raises:
      ValueError: they are there twice.
    """
    # In masks/, or as UBnormal's annotations beside the video
    inside = [f"{name}{ending}" for ending in ("", "_gt", ANNOTATIONS, ".npy")]
    candidates = [folder / "masks" / name for name in inside]
    candidates += [folder / "frames" / f"{name}{ANNOTATIONS}"]
    paths = [path for path in candidates if is_there(path)]
    paths += sorted(folder.glob(f"frames/Scene*/{glob.escape(name)}{ANNOTATIONS}"))
    if len(paths) > 1:
        raise ValueError(f"{paths[0]} and {paths[1]}: both are masks of {name}; move one elsewhere")
    return paths[0] if paths else None


def all_normal(videos: Sequence[SourceVideo]) -> list[SourceVideo]:
    """Training videos, whose frames are normal by the definition of these datasets."""
    return [dataclasses.replace(video, labels=0) for video in videos]


def find_labels(root: pathlib.Path, labels: pathlib.Path | None) -> pathlib.Path | None:
    """The label file or folder that is named, or the only `frame_labels_*.npy` in `root`.

    Raises:
      FileNotFoundError: the named file is not there.
      ValueError: there are several.
    """
    if labels is not None:
        if not pathlib.Path(labels).exists():
            raise FileNotFoundError(f"{labels}: no such file (--labels)")
        return pathlib.Path(labels)
    paths = sorted(root.glob("frame_labels_*.npy"))
    if len(paths) > 1:
        names = ", ".join(path.name for path in paths)
        raise ValueError(f"{root}: has {names}; say which is meant with --labels")
    return paths[0] if paths else None


def label_videos(
    videos: list[SourceVideo], root: pathlib.Path, labels: pathlib.Path | None
) -> list[SourceVideo]:
    """Videos with labels of the label file, else of `anomalous_frames.json`, else of their masks.

    Args:
      videos: of the test split.
      root: folder of the dataset.
      labels: the label file; None: there is none.

    Raises:
      ValueError: as `with_labels` or `with_intervals`.
    """
    if labels is not None:
        return with_labels(videos, labels)
    for name in SPLITS["test"]:
        path = root / name / "anomalous_frames.json"
        if is_there(path):
            return with_intervals(videos, json_files.read(path, {...: [[int]]}), path)
    return videos  # the writer takes the labels from the masks


def with_labels(videos: list[SourceVideo], path: pathlib.Path) -> list[SourceVideo]:
    """Videos with the labels of a file in any form of `vadjax.formats.labels`.

    Raises:
      ValueError: a file that cannot be used, or labels of other videos or of another length.
    """
    labels = match_labels(path, {video.name: len(video.frames) for video in videos})
    return [dataclasses.replace(video, labels=labels[video.name]) for video in videos]


def with_intervals(
    videos: list[SourceVideo], intervals: Mapping[str, Sequence], path: pathlib.Path
) -> list[SourceVideo]:
    """Videos with labels from intervals `[start, stop)`, frames from 0.

    Raises:
      ValueError: a video without an entry, an entry without a video, an interval past the end.
    """
    # Every video has an entry, and every entry a video
    names, listed = {video.name for video in videos}, set(intervals)
    for problem, unmatched in (("no entry", names - listed), ("no video", listed - names)):
        if unmatched:
            raise ValueError(f"{path}: {problem} for {', '.join(sorted(unmatched))}")
    # From intervals to a label for each frame
    labelled = []
    for video in videos:
        labels = np.zeros(len(video.frames), np.uint8)
        for pair in intervals[video.name]:
            if len(pair) != 2:
                raise ValueError(
                    f"{path}: video {video.name}: {pair!r:.80}; expected [start, stop]"
                )
            start, stop = pair
            if not 0 <= start < stop <= len(labels):
                raise ValueError(
                    f"{path}: video {video.name}: interval [{start}, {stop}) is not within its "
                    f"{len(labels):,} frames"
                )
            labels[start:stop] = 1
        labelled.append(dataclasses.replace(video, labels=labels))
    return labelled


def with_tracks(
    videos: list[SourceVideo], folder: pathlib.Path, text: TrackText
) -> list[SourceVideo]:
    """Videos with the tracks `VIDEO.txt` or `VIDEO_gt.txt` of `folder`; prints their ranges.

    Args:
      videos: of the test split.
      folder: of the files of tracks.
      text: how these files are written.

    Raises:
      FileNotFoundError: no such folder, or no file for a video.
      ValueError: a file for a video that is not there, or one that cannot be used.
    """
    # Every video has one file, and every file its video
    paths = {name.removesuffix("_gt"): path for name, path in list_files(folder, TEXT).items()}
    names = [video.name for video in videos]
    if unknown := [name for name in paths if name not in names]:
        raise ValueError(
            f"{paths[unknown[0]]}: no test video {unknown[0]!r}; they are {', '.join(names[:3])}, "
            "…. Give the file the name of its video, or move it elsewhere"
        )
    if missing := [name for name in names if name not in paths]:
        raise FileNotFoundError(
            f"{folder}: no {missing[0]}.txt with the tracks of test video {missing[0]}. If it has "
            f"no anomaly, make an empty file: touch {folder / missing[0]}.txt"
        )
    # Compare the headings of all files before the boxes of any
    tables = [text.parse(paths[name]) for name in names]
    check_one_order(tables)
    tracked = [
        dataclasses.replace(video, tracks=text.check(table, video))
        for video, table in zip(videos, tables, strict=True)
    ]
    say_assumed(tables)
    print(ranges(tracked))
    # Boxes that disagree with the labels are no error, but the user is told
    differing = sum(
        int((boxed_frames(video) != video.labels).sum())
        for video in tracked
        if np.ndim(video.labels)
    )
    if differing:
        print(f"tracks: {differing:,} frames are labelled otherwise than their boxes say")
    return tracked


def ranges(videos: Sequence[SourceVideo]) -> str:
    """Ranges of the tracks, and below them those of the frames: a wrong order of columns shows.

    Args:
      videos: at least one, with their tracks.
    """
    height, width = frame_size(videos[0])
    longest = max(len(video.frames) for video in videos)
    return (
        f"tracks: {command.describe_tracks({video.name: video.tracks for video in videos})}\n"
        f"frames: 0 to {longest - 1} in the longest video, x 0 to {width - 1}, "
        f"y 0 to {height - 1}; the tracks should lie within"
    )


def boxed_frames(video: SourceVideo) -> np.ndarray:
    """Labels from the tracks of a video, uint8 [T]: 1 = the frame has a box of a track."""
    labels = np.zeros(len(video.frames), np.uint8)
    labels[video.tracks[:, 1]] = 1
    return labels


def leave_out_short(splits: Splits, min_frames: int) -> Splits:
    """Splits without the videos of fewer than `min_frames` frames, whose names are printed."""
    kept = {}
    for split, videos in splits.items():
        if min_frames > 1:
            short = [video.name for video in videos if len(video.frames) < min_frames]
            if short:
                print(f"{split}: left out, fewer than {min_frames} frames: {', '.join(short)}")
            videos = [video for video in videos if video.name not in short]
        kept[split] = videos
    return kept


def with_levels(videos: Sequence[SourceVideo], levels: Levels) -> list[SourceVideo]:
    """Videos whose 16-bit pictures are scaled by `levels`.

    Raises:
      ValueError: a video file, whose frames have 8 bits.
    """
    for video in videos:
        if not isinstance(video.frames, FrameFolder):
            raise ValueError(not_for(f"video {video.name}: a video file", levels))
    return [dataclasses.replace(video, frames=video.frames.with_levels(levels)) for video in videos]


def write(
    splits: Splits,
    out: str | pathlib.Path,
    *,
    min_frames: int = 1,
    tracks: str | pathlib.Path | None = None,
    track_columns: Sequence[str] | None = None,
    first_track_frame: int = 0,
    drop_degenerate: bool = False,
    levels: Levels | None = None,
    beam: str | None = None,
    fps: float | None = None,
    published_fps: float | None = None,
    **options,
) -> dict:
    """Writes the dataset; every length is compared before the first frame is written.

    Args:
      splits: split name → its videos.
      out: folder to make; must not exist.
      min_frames: videos of fewer frames are left out.
      tracks: folder of the tracks of the test videos, in place of those that the layout has.
      track_columns: what the columns of these files hold; None: what the heading of a file says,
        and without a heading `TRACKS`.
      first_track_frame: number that they give to the first frame.
      drop_degenerate: leave out boxes in them without a pixel inside.
      levels: values of 16-bit pictures that become black and white; the manifest keeps them.
      beam: options of Apache Beam (`data_prep.lib.beam_frames`); None does without.
      fps: frames a second that the user declares (`frame_rates.choose`).
      published_fps: those of the public set.
      **options: as `vadjax.data.store.frame_writer.write_frames`.

    Returns:
      The manifest.

    Raises:
      FileNotFoundError: a track file is not there.
      ImportError: Beam is not installed.
      ValueError: something that cannot be used; the message names it.
    """
    # Change what the programs have read: tracks from elsewhere, short videos, 16-bit levels
    if tracks is not None:
        text = TrackText(track_columns, first_track_frame, drop_degenerate)
        splits = {**splits, "test": with_tracks(splits["test"], pathlib.Path(tracks), text)}
    splits = leave_out_short(splits, min_frames)
    if levels is not None:
        splits = {split: with_levels(videos, levels) for split, videos in splits.items()}
        options["extra"] = {**options.get("extra", {}), "levels": list(levels)}
    options["fps"] = frame_rates.choose(splits, fps, published_fps)
    # Compare all lengths, then write
    for videos in splits.values():
        for video in videos:
            video.check_ahead()
    if beam is None:
        return write_frames(out, splits, **options)
    return beam_frames.write(splits, out, beam, **options)


def add_flags(parser: argparse.ArgumentParser, name: str) -> None:
    """Adds the flags of all programs that write frames; `name`: the default of `--name`."""
    command.add_output_flags(parser)
    add = parser.add_argument
    add("--name", default=name, help=f"shown in reports (default {name})")
    add(
        "--size",
        type=command.parse_size,
        metavar="HxW",
        help="resize frames (default: as they are)",
    )
    add_levels_flag(parser)
    add(
        "--encoding",
        choices=ENCODINGS,
        default="raw",
        help="raw for speed, jpeg for space, png without loss",
    )
    add("--quality", type=int, default=95, help="of JPEGs made here (default 95)")
    add("--fps", type=float, help="frames a second (default: of video files, else as published)")
    add("--min_frames", type=int, default=1, metavar="N", help="leave out shorter videos")
    command.add_beam_flag(parser)


def add_truth_flags(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of ground truth that lies apart from the frames, and of video files."""
    command.add_reading_flags(parser)
    add = parser.add_argument
    add(
        "--labels",
        help="of the test frames: .npy (one row for all), .mat, .npz, .json, text, or a folder "
        "with a file a video; the forms: python -m pydoc vadjax.formats.labels",
    )
    add("--tracks", metavar="FOLDER", help="of the test videos: VIDEO.txt or VIDEO_gt.txt each")
    add(
        "--track_columns",
        type=command.parse_columns,
        metavar="NAMES",
        help=f"of these files (by their heading, else {TRACKS}); those of the Street Scene "
        "authors seem to be frame,track,cx,cy,w,h",
    )
    add("--first_track_frame", type=int, default=0, help="number of the first frame in them (0)")
    add("--drop_degenerate", action="store_true", help="leave out empty boxes in them")


def main(
    argv: list[str] | None,
    program: str,
    description: str,
    name: str,
    prepare: Callable,
    add_own_flags: Callable = add_truth_flags,
    **flags,
) -> None:
    """Command line of a program: parses it, writes the dataset by `prepare`, and prints a summary.

    Args:
      argv: the command line; None: that of the process.
      program: name of the program in `data_prep`.
      description: shown by `--help`.
      name: the default of `--name`.
      prepare: takes the flags by their names and returns the manifest.
      add_own_flags: adds the flags that only some programs have.
      **flags: more flags that take a text: name → help.
    """
    # --data, the program's own flags, and those of all programs
    parser = argparse.ArgumentParser(
        prog=f"python -m data_prep.{program}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", required=True, help="folder of the dataset")
    add_own_flags(parser)
    for flag, text in flags.items():
        parser.add_argument(f"--{flag}", help=text)
    add_flags(parser, name)
    args = vars(parser.parse_args(argv))
    args["file_format"] = args.pop("format")
    if args["beam"] is not None:  # a machine may work in another folder
        paths = {flag: args[flag] for flag in ("data", "masks") if args.get(flag)}
        args |= {flag: pathlib.Path(path).absolute() for flag, path in paths.items()}
    # Warnings are for the user: one line each, without the place in the code
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *rest: print(f"warning: {message}")
        manifest = command.report_errors(prepare, **args)
    command.print_summary(args["out"], manifest)
