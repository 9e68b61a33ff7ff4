"""ShanghaiTech Campus → dataset of frames, from either layout that people have.

    python -m data_prep.shanghaitech --data FOLDER --out data/shanghaitech [--size 256x256]

FOLDER is one of (recognised by its content; the parts may be mixed):
  original     FOLDER/training/videos/SS_NNN.avi, FOLDER/testing/frames/SS_NNNN/*.jpg, labels
               FOLDER/testing/test_frame_mask/SS_NNNN.npy, masks
               FOLDER/testing/test_pixel_mask/SS_NNNN.npy
  frames       FOLDER/{train,training}/frames/SS_NNN/*.jpg and FOLDER/{test,testing}/frames/...
               with frame_labels_shanghai.npy (of one or two dimensions) in FOLDER or --labels

SS is the camera. There are over 300,000 frames: take `--size` or `--encoding jpeg` unless there is
much space. Features of the weakly-supervised split: data_prep.shanghaitech_features.
"""

import dataclasses
import pathlib

from vadjax.data.store.frame_writer import SourceVideo
from vadjax.data.video.masks import MaskFile
from vadjax.data.video.reader import Reading
from vadjax.formats.labels import read_row
from vadjax.formats.regular import is_there

from .lib import command, frames

FPS = 24.0  # frames a second of the published set
TRAIN = ("training/frames", "train/frames", "training/videos", "train/videos")
TEST = ("testing/frames", "test/frames")


def read_splits(
    root: pathlib.Path, labels: str | pathlib.Path | None, reading: Reading
) -> frames.Splits:
    """The videos of either layout; video files are read as `reading` says.

    Raises:
      FileNotFoundError: a folder or file is not there.
      ValueError: something that cannot be used; the message names the file.
    """
    # Masks, boxes and tracks of the test videos, as either layout has them
    train, test = frames.find_folder(root, TRAIN), frames.find_folder(root, TEST)
    videos = [
        frames.annotate(add_masks(video, test.parent), test.parent, root / "tracks")
        for video in frames.list_videos(test, reading)
    ]
    # The original has a file of labels for each video; one file for all videos goes before it
    label_file = frames.find_labels(root, labels)
    if label_file is None and is_there(test.parent / "test_frame_mask"):
        videos = [add_labels(video, test.parent / "test_frame_mask") for video in videos]
    else:
        videos = frames.label_videos(videos, root, label_file)
    normal = [frames.annotate(video, train.parent) for video in frames.list_videos(train, reading)]
    return {"train": frames.all_normal(normal), "test": videos}


def add_labels(video: SourceVideo, folder: pathlib.Path) -> SourceVideo:
    """The video with the labels of `folder/NAME.npy`, [T] or [1, T].

    Raises:
      FileNotFoundError: the file is not there.
      ValueError: another number of labels than frames; names the video.
    """
    path = folder / f"{video.name}.npy"
    if not is_there(path):
        raise FileNotFoundError(f"{path}: no labels for test video {video.name}")
    labelled = dataclasses.replace(video, labels=read_row(path))
    labelled.check(len(video.frames))
    return labelled


def add_masks(video: SourceVideo, folder: pathlib.Path) -> SourceVideo:
    """The video with the masks of `folder/test_pixel_mask/NAME.npy`, if it exists."""
    path = folder / "test_pixel_mask" / f"{video.name}.npy"
    if not is_there(path):
        return video
    return dataclasses.replace(video, masks=MaskFile(path, video.frames))


def prepare(
    data: str | pathlib.Path,
    out: str | pathlib.Path,
    labels: str | pathlib.Path | None = None,
    *,
    deinterlace: bool = False,
    strict: bool = False,
    name: str = "shanghaitech",
    **options,
) -> dict:
    """Writes the dataset `out` and returns its manifest; arguments as the command's flags.

    Raises:
      FileNotFoundError: a folder or file is not there.
      ValueError: a file that cannot be used; the message names it.
    """
    splits = read_splits(pathlib.Path(data), labels, Reading(deinterlace, strict))
    return frames.write(splits, out, name=name, published_fps=FPS, **options)


def main(argv: list[str] | None = None) -> None:
    """Parses the command line and writes the dataset."""
    frames.main(argv, "shanghaitech", __doc__, "shanghaitech", prepare)


if __name__ == "__main__":
    command.run(main)
