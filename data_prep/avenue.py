"""CUHK Avenue → dataset of frames, from either layout that people have.

    python -m data_prep.avenue --data FOLDER --out data/avenue [--size 256x256]

FOLDER is one of (recognised by its content):
  original     FOLDER/training_videos/NN.avi and FOLDER/testing_videos/NN.avi; the masks
               N_label.mat (`volLabel`) in --masks, by default looked for as
               testing_label_mask/ in FOLDER, its ground_truth_demo/, and beside FOLDER
  frames       FOLDER/{train,training}/frames/NN/*.jpg and FOLDER/{test,testing}/frames/NN/*.jpg
               with frame_labels_avenue.npy (of one or two dimensions) in FOLDER or in --labels;
               masks as test/masks/NN/*.png, or as N_label.mat in --masks
"""

import dataclasses
import pathlib
import re

from vadjax.data.store.frame_writer import SourceVideo
from vadjax.data.video.reader import Reading
from vadjax.formats.regular import is_there

from .lib import command, frames
from .lib.avenue_masks import LazyMasks

FPS = 25.0  # frames a second of the published set
MASKS = "testing_label_mask"


def add_masks(videos: list[SourceVideo], folder: pathlib.Path) -> list[SourceVideo]:
    """Videos with the masks `N_label.mat` of `folder`; names are compared as numbers.

    Raises:
      FileNotFoundError: the masks of a video are not there.
    """
    # Videos are named 01, 02, …, their masks 1_label, 2_label, …
    paths = {}
    for path in folder.glob("*_label.mat"):
        if match := re.fullmatch(r"(\d+)_label", path.stem):
            paths[int(match[1])] = path
    masked = []
    for video in videos:
        number = int(video.name) if video.name.isdigit() else None
        if number not in paths:
            raise FileNotFoundError(f"{folder}: no {number or video.name}_label.mat")
        masked.append(dataclasses.replace(video, masks=LazyMasks(paths[number], video.frames)))
    return masked


def find_masks(root: pathlib.Path, masks: str | pathlib.Path | None) -> pathlib.Path | None:
    """The folder of `.mat` masks that is named, or the one in its usual places, or None.

    Args:
      root: folder of the dataset.
      masks: folder that the user names; None looks for `testing_label_mask`.

    Raises:
      FileNotFoundError: the named folder is not there.
    """
    if masks is not None:
        if not pathlib.Path(masks).is_dir():
            raise FileNotFoundError(f"{masks}: no such folder (--masks)")
        return pathlib.Path(masks)
    # In the dataset or beside it, each time by itself or in a folder ground_truth_demo
    for parent in (
        root,
        root / "ground_truth_demo",
        root.parent,
        root.parent / "ground_truth_demo",
    ):
        if is_there(parent / MASKS):
            return parent / MASKS
    return None


def read_original(
    root: pathlib.Path, labels: str | pathlib.Path | None, reading: Reading
) -> frames.Splits:
    """The videos of the original layout without masks, which `add_masks` adds.

    Args:
      root: folder of the dataset.
      labels: file of the labels of the test frames; None looks for `frame_labels_*.npy` in `root`.
      reading: how the video files are read.

    Raises:
      FileNotFoundError: a folder or file is not there.
      ValueError: something that cannot be used; the message names the file.
    """
    test = frames.list_videos(frames.find_folder(root, ["testing_videos"]), reading)
    label_file = frames.find_labels(root, labels)
    return {
        "train": frames.all_normal(frames.list_videos(root / "training_videos", reading)),
        "test": frames.with_labels(test, label_file) if label_file else test,
    }


def prepare(
    data: str | pathlib.Path,
    out: str | pathlib.Path,
    labels: str | pathlib.Path | None = None,
    masks: str | pathlib.Path | None = None,
    *,
    deinterlace: bool = False,
    strict: bool = False,
    name: str = "avenue",
    **options,
) -> dict:
    """Writes the dataset `out` and returns its manifest; arguments as the command's flags.

    Raises:
      FileNotFoundError: a folder or file is not there.
      ValueError: a file that cannot be used; the message names it.
    """
    # The layout is told by one folder that only the original has
    root, reading = pathlib.Path(data), Reading(deinterlace, strict)
    original = (root / "training_videos").is_dir()
    read = read_original if original else frames.read_layout
    splits = read(root, labels, reading)
    # Either layout may have the masks of the original
    if folder := find_masks(root, masks):
        splits["test"] = add_masks(splits["test"], folder)
    return frames.write(splits, out, name=name, published_fps=FPS, **options)


def main(argv: list[str] | None = None) -> None:
    """Parses the command line and writes the dataset."""
    masks = "folder of the N_label.mat masks"
    frames.main(argv, "avenue", __doc__, "avenue", prepare, masks=masks)


if __name__ == "__main__":
    command.run(main)
