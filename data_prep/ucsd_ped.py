"""UCSD Ped1 or Ped2 → dataset of frames, from either layout that people have.

    python -m data_prep.ucsd_ped --data FOLDER --out data/ped2 [--size 256x256]

FOLDER is one of (recognised by its content):
  original     FOLDER/{Train,Test}/{Train,Test}NNN/*.tif with the masks FOLDER/Test/TestNNN_gt/
               and the intervals FOLDER/Test/UCSDped2.m; or the folder above it with only one of
               UCSDped1 and UCSDped2
  frames       FOLDER/{train,training}/frames/NN/*.jpg and FOLDER/{test,testing}/frames/NN/*.jpg,
               with test/masks/NN/*.png, test/anomalous_frames.json or frame_labels_ped2.npy,
               */detections/NN.csv and tracks/NN.txt where they are there

Frames are taken by rank: it does not matter whether their names begin at 0 or at 1.
"""

import pathlib
import re

from vadjax.data.store.frame_writer import SourceVideo
from vadjax.data.video.masks import MaskFolder
from vadjax.data.video.reader import AS_IT_IS, FrameFolder, Reading
from vadjax.formats.folders import subfolders, visible
from vadjax.formats.text import read_lines

from .lib import command, frames

FPS = 10.0  # frames a second of the published sets


def find_original(root: pathlib.Path) -> pathlib.Path | None:
    """The folder with `Train` and `Test`: `root`, or the only one in it; None if there is none.

    Raises:
      FileNotFoundError: `root` is not there.
      ValueError: both Ped1 and Ped2 are there.
    """
    if not root.is_dir():
        raise FileNotFoundError(f"{root}: no such folder (--data)")
    candidates = [root, *(path for path in visible(root) if path.is_dir())]
    originals = [path for path in candidates if is_original(path)]
    if len(originals) > 1:
        names = " or ".join(f"--data {path}" for path in originals)
        raise ValueError(f"{root}: holds {len(originals)} datasets; name one: {names}")
    return originals[0] if originals else None


def is_original(folder: pathlib.Path) -> bool:
    """Whether `folder` holds `Train/Train*`, the original layout.

    A folder `Train` alone does not tell: where the file system ignores the case of letters, it may
    be `train` of the other layout.
    """
    return (folder / "Train").is_dir() and any((folder / "Train").glob("Train*/"))


def read_original(folder: pathlib.Path) -> frames.Splits:
    """The videos of the original layout.

    Raises:
      FileNotFoundError: the folder `Test` or its `.m` file is not there.
      ValueError: something that cannot be used; the message names the file.
    """
    train = [
        SourceVideo(path.name, FrameFolder(path))
        for path in subfolders(folder / "Train", r"Train\d+")
    ]
    # The masks of TestNNN lie beside it in TestNNN_gt; Ped1 has them for some videos only
    test = frames.find_folder(folder, ["Test"])
    videos = []
    for path in subfolders(test, r"Test\d+(_gt)?"):
        if not path.name.endswith("_gt"):
            mask_folder = path.with_name(f"{path.name}_gt")
            masks = MaskFolder(mask_folder) if mask_folder.is_dir() else None
            videos.append(SourceVideo(path.name, FrameFolder(path), masks=masks))
    # The .m file has the anomalous intervals of the test videos in their order
    m_files = sorted(test.glob("*.m"))
    if len(m_files) != 1:
        raise FileNotFoundError(
            f"{test}: {len(m_files)} .m files, expected one with the anomalous frames "
            "(UCSDped1.m or UCSDped2.m)"
        )
    intervals = read_matlab_intervals(m_files[0])
    if len(intervals) != len(videos):
        raise ValueError(f"{m_files[0]}: {len(intervals)} entries for {len(videos)} test videos")
    by_name = {video.name: pairs for video, pairs in zip(videos, intervals, strict=True)}
    return {
        "train": frames.all_normal(train),
        "test": frames.with_intervals(videos, by_name, m_files[0]),
    }


def read_matlab_intervals(path: pathlib.Path) -> list[list[tuple[int, int]]]:
    """Intervals `[start, stop)`, frames from 0, of every line `...gt_frame = [61:180, ...];`.

    Raises:
      ValueError: a line that cannot be read, with its number.
    """
    intervals = []
    for number, line in read_lines(path):
        if "gt_frame" not in line:
            continue
        match = re.search(r"gt_frame\s*=\s*\[([\d:,\s]*)\]", line)
        pairs = re.findall(r"(\d+)\s*:\s*(\d+)", match[1]) if match else []
        if not pairs:
            raise ValueError(f"{path}:{number}: {line.strip()!r}; expected gt_frame = [61:180];")
        # The file counts from 1 and includes the last frame
        intervals.append([(int(first) - 1, int(last)) for first, last in pairs])
    return intervals


def read_splits(
    root: pathlib.Path,
    labels: str | pathlib.Path | None = None,
    reading: Reading = AS_IT_IS,
) -> frames.Splits:
    """The videos of either layout; video files are read as `reading` says.

    Raises:
      FileNotFoundError: a folder or file is not there.
      ValueError: a file that cannot be used; the message names it.
    """
    original = find_original(root)
    if original is None:
        return frames.read_layout(root, labels, reading)
    splits = read_original(original)
    if labels is not None:  # in place of the intervals
        label_file = frames.find_labels(root, pathlib.Path(labels))
        splits["test"] = frames.with_labels(splits["test"], label_file)
    return splits


def prepare(
    data: str | pathlib.Path,
    out: str | pathlib.Path,
    labels: str | pathlib.Path | None = None,
    *,
    deinterlace: bool = False,
    strict: bool = False,
    name: str = "ucsd_ped",
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
    frames.main(argv, "ucsd_ped", __doc__, "ucsd_ped", prepare)


if __name__ == "__main__":
    command.run(main)
