r"""Dataset of frames → dataset of the objects in them, for the SSMTL system (spec ssmtl §2).

    python -m data_prep.extract_objects --data data/ped2 --out data/ped2_objects --boxes stored
    python -m data_prep.extract_objects --data data/ped2 --out data/ped2_objects \
        --detector ssd_mobilenet_v2 --weights weights/ssd_mobilenet_v2 \
        --teachers efficientnet_lite0=weights/efficientnet_lite0

The boxes come from one of
  --detector nanodet            NanoDet-g, 80 classes of COCO (python -m data_prep.weights nanodet)
  --detector ssd_mobilenet_v2   a small published detector (python -m data_prep.weights)
  --detector FILE.onnx          any other in an ONNX or TFLite file, run by OpenCV (below)
  --detector motion             what moves before a fixed camera; needs no weights
  --boxes stored                those that the dataset of frames holds
  --boxes FOLDER                text, FOLDER/SPLIT/VIDEO.csv, a row a box: its heading or
                                --box_columns says what the columns hold
                                (python -m vadjax.metrics.region --help)

The teachers say what an object is, and the network learns to foresee it: class outputs before the
last activation, taken once here and stored. Those of the detector that found the boxes are kept
where it has any; a detector among --teachers is asked for boxes from elsewhere, and answers with
its own candidate box that overlaps the object most. A classifier looks at the object's own pixels,
in the training split only: efficientnet_lite0 among --teachers, or --classifier FILE.onnx.

Outputs of a detector in a file, for C classes; --layout says which where shapes leave a doubt:
  yolo5   [1, N, 5 + C], one or more: cx, cy, w, h, objectness, classes (v3, v5, v7)
  yolo8   [1, 4 + C, N]: cx, cy, w, h, classes (v8 and later)
  ssd     boxes [1, N, 4]: x0, y0, x1, y1, and classes [1, N, C]; ssd_yx: y0, x0, y1, x1
  rows7   [1, 1, N, 7]: image, class, score, x0, y0, x1, y1; no class outputs
  rows6   [1, N, 6]: x0, y0, x1, y1, score, class; no class outputs
OpenCV (4.10 to 5.0) mixes up the joint boxes of TFLite SSDs: compare the boxes of one picture with
those of another program before you trust them. Frames are scaled to --input_size, the aspect is
not kept.

With --beam (pip install 'vadjax[beam]') the videos are shared out by Apache Beam over machines that
see the same folders, as in data_prep.extract_features; the dataset is the same.
"""

import argparse
import functools
import pathlib
import shlex
import sys
import time
from collections.abc import Callable, Iterator

from vadjax.backbones import dnn_detector
from vadjax.backbones.nanodet import MODES
from vadjax.data.clips import Videos
from vadjax.data.store import builder
from vadjax.data.store.object_writer import VideoObjects, write_objects
from vadjax.data.store.records import Dataset
from vadjax.data.video.boxes import BOX_COLUMNS
from vadjax.extractors import detector
from vadjax.runtime import progress

from .lib import beam_objects, command, teachers
from .lib.beam import folder_beside
from .lib.command import parse_columns, parse_size
from .lib.object_boxes import STORED, UNITS
from .lib.object_extractor import Extract, open_extractor, open_frames


def objects(data: Dataset, extract: Extract) -> dict[str, Iterator[VideoObjects]]:
    """Finds the objects of every split lazily, with a progress bar of its frames.

    Args:
      data: dataset of frames.
      extract: finds the objects of one video.

    Returns:
      Split → the objects of its videos, found as they are asked for.

    Raises:
      ValueError: at the end of a split in which there is no object.
    """
    screen = sys.stdout  # the writer redirects it while the bar is drawn

    def objects_of(split: str) -> Iterator[VideoObjects]:
        videos, frames_done, count = Videos(data, split), 0, 0
        total = sum(len(video) for video in videos)
        with progress.bar(split, total, file=screen) as bar:
            for video in videos:
                show = functools.partial(_show_speed, bar, frames_done, time.monotonic())
                video_objects = extract(video, show)
                frames_done += len(video)
                count += len(video_objects.boxes)
                bar.update(frames_done, {})
                yield video_objects
        # Raised while the dataset is written, so that nothing of it stays
        if not count:
            raise ValueError(
                f"split {split!r} would be empty: no object in its {total:,} frames; nothing was "
                "written. Lower --threshold or --min_size, or take other --boxes or --detector"
            )

    return {split: objects_of(split) for split in data.splits}


def _show_speed(
    bar: progress.Bar, frames_before: int, start: float, frames: int, count: int
) -> None:
    """Updates the bar within a video.

    Args:
      bar: progress bar of the frames of a split.
      frames_before: frames of the videos that are finished.
      start: time at which this video began, in seconds of `time.monotonic`.
      frames: frames of this video that are done.
      count: objects in them.
    """
    bar.update(frames_before + frames, {"objects/s": count / max(time.monotonic() - start, 1e-9)})


def prepare(
    data: str | pathlib.Path,
    out: str | pathlib.Path,
    *,
    name: str | None = None,
    beam: str | None = None,
    file_format: str = "array_record",
    shards: int | None = None,
    **flags,
) -> dict:
    """Writes the dataset `out` and returns its manifest; arguments as the command's flags.

    Args:
      data: dataset of frames.
      out: folder to make; must not exist.
      name: shown in reports; None: the name of the frames, with `_objects`.
      beam: options of Apache Beam; None: without it.
      file_format: as for `write_objects`.
      shards: per split; None: by size.
      **flags: as for `open_extractor`.

    Raises:
      FileExistsError: `out` exists.
      FileNotFoundError: a folder or file is not there.
      ImportError: Beam is wanted, and not installed.
      ValueError: something that cannot be used; the message names it.
    """
    # Refuse what can be refused before the long work
    builder.check_target(out, file_format, shards)
    extract, frames = open_extractor(**flags), open_frames(data)
    extract.boxes.check(frames)
    write = functools.partial(
        write_objects,
        out,
        name=name or f"{frames.name}_objects",
        frames=frames,
        detector=extract.boxes.settings,
        outputs=extract.outputs,
        teachers=extract.teachers,
        every=extract.every,
        file_format=file_format,
        shards=shards,
    )
    # Find and write the objects: video by video here, or with Beam all of them before the first
    # is written
    if beam is None:
        manifest = write(objects(frames, extract))
    else:
        with folder_beside(out) as shared:
            look_up = beam_objects.find(frames, extract, flags, shared, shlex.split(beam))
            manifest = write(objects(frames, look_up))
    for reason, count in extract.boxes.keep.dropped.items():
        if count:
            print(f"left out: {count:,} boxes {reason}")
    return manifest


def parse(argv: list[str] | None) -> dict:
    """Parses the command line; flags that are not given are not in the result."""
    parser = argparse.ArgumentParser(
        prog="python -m data_prep.extract_objects",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS,
    )
    parser.add_argument("--data", required=True, help="dataset of frames")
    command.add_output_flags(parser)
    command.add_beam_flag(parser)
    # In the order in which --help shows them
    name_help = "shown in reports (default: of the frames, with _objects)"
    parser.add_argument("--name", help=name_help)
    _add_box_flags(parser.add_argument)
    _add_filter_flags(parser.add_argument)
    _add_file_flags(parser.add_argument_group("detectors in a file").add_argument)
    _add_motion_flags(parser.add_argument_group("--detector motion").add_argument)
    _add_training_flags(parser.add_argument_group("training").add_argument)
    args = vars(parser.parse_args(argv))
    args["file_format"] = args.pop("format")
    return args


def _add_box_flags(add: Callable) -> None:
    """Adds the flags that say where the boxes come from, and how files of them are written."""
    add("--boxes", metavar="FOLDER", help=f"files of boxes, or '{STORED}'")
    add(
        "--box_columns",
        type=parse_columns,
        metavar="NAMES",
        help=f"of these files (by their heading, else {','.join(BOX_COLUMNS)})",
    )
    add(
        "--box_units",
        choices=UNITS,
        help="of the coordinates in them (pixels; shares: of the width and height of the frame)",
    )
    add("--first_box_frame", type=int, help="number of the first frame in them (default 0)")
    add("--detector", help=detector.KNOWN)
    add("--weights", help="folder of those of ssd_mobilenet_v2, or of nanodet (default: the cache)")
    add("--input_mode", choices=MODES, help="of nanodet: how frames become inputs (default area)")


def _add_filter_flags(add: Callable) -> None:
    """Adds the flags that say which boxes are objects."""
    add(
        "--threshold",
        type=float,
        help="objects score more (default 0.25; --boxes 0.5; motion: "
        "the share of a box that moves, 0)",
    )
    add("--overlap", type=float, help="largest IoU of two objects (default 0.5; --boxes, motion 1)")
    add(
        "--min_size",
        type=float,
        help="pixels of the smallest width and height (default 1; nanodet 4, motion 8)",
    )
    add("--keep", nargs="+", metavar="CLASS", help="only these classes are objects")
    add("--leave_out", nargs="+", metavar="CLASS", help="these classes are no objects")


def _add_motion_flags(add: Callable) -> None:
    """Adds the flags of the detector of what moves."""
    add("--history", type=int, help="frames that the background is made of (default 50)")
    add("--distance", type=float, help="from it, in variances, of what moves (default 49)")
    add("--closing", type=parse_size, metavar="HxW", help="pixels of the gaps that are closed")


def _add_training_flags(add: Callable) -> None:
    """Adds the flags of the training split: its frames, and the teachers of its objects."""
    add("--every", type=int, help="take every N-th frame of the training split (default 1)")
    add("--teachers", dest="teachers_named", metavar="NAME=WEIGHTS,…", help="see above")
    add("--teacher_size", type=int, help=f"pixels of the classifier's crops ({teachers.SIDE})")
    add("--classifier", metavar="FILE.onnx", help="its output is [1, M], before the softmax")
    add("--classifier_mean", type=parse_numbers, metavar="R,G,B", help="(default: of ImageNet)")
    add("--classifier_std", type=parse_numbers, metavar="R,G,B", help="(default: of ImageNet)")


def _add_file_flags(add: Callable) -> None:
    """Adds the flags of `DnnDetector`."""
    add("--labels", metavar="FILE", help="names of its classes, one a line")
    add("--layout", choices=dnn_detector.LAYOUTS, help="of its outputs (default: by their shapes)")
    add("--input_size", type=parse_size, metavar="HxW", help="pixels (default 640x640)")
    add("--scale", type=float, help="factor of the colours, after the mean (default 1/255)")
    add("--mean", type=parse_numbers, metavar="A,B,C", help="taken from the colours (default 0)")
    add("--colours", choices=dnn_detector.COLOURS, help="order of the channels (default rgb)")
    add(
        "--units",
        choices=dnn_detector.UNITS,
        help="of coordinates (default: pixels of the input for yolo and rows6, else shares)",
    )
    add("--outputs", choices=dnn_detector.OUTPUTS, help="what scores are (default probabilities)")


def parse_numbers(text: str) -> tuple[float, ...]:
    """Three numbers, separated by commas.

    Raises:
      ArgumentTypeError: something else.
    """
    try:
        numbers = tuple(float(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) != 3:
        raise argparse.ArgumentTypeError(f"{text!r}; expected three numbers, for example 0,0,0")
    return numbers


def main(argv: list[str] | None = None) -> None:
    """Parses the command line and writes the dataset."""
    args = parse(argv)
    manifest = command.report_errors(prepare, **args)
    command.print_summary(args["out"], manifest)


if __name__ == "__main__":
    command.run(main)
