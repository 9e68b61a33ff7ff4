r"""A folder of images with labels.csv → dataset of images, to train the appearance network on.

    python -m data_prep.labelled_images --data FOLDER --out data/crops [--size 64x64]

FOLDER/labels.csv (or --labels) has one row an image, `file,class[;class...]`, the file relative to
FOLDER; nothing after the comma: the image shows none of the classes. A first row `file,class` is a
heading. Every image is resized to --size. The split "test" is a share of the images that depends
on nothing but their names, so that it stays the same when images are added.
"""

import argparse
import csv
import dataclasses
import hashlib
import pathlib
from collections.abc import Iterator, Sequence

import cv2
import numpy as np

from vadjax.backbones.appearance import CLASSES, SIZE
from vadjax.data.images import write_images
from vadjax.data.video.pictures import Levels, add_levels_flag
from vadjax.data.video.reader import read_picture
from vadjax.formats.names import check_name
from vadjax.formats.text import read_text, split

from .lib import command
from .lib.command import parse_size

HEADING = ["file", "class"]


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of the list.

    Attributes:
      path: path of the image.
      name: name of the image as the list has it, relative to the folder.
      shown: names of the classes that it shows; empty if it shows none.
    """

    path: pathlib.Path
    name: str
    shown: tuple[str, ...]


def _fields(labels: pathlib.Path) -> list[list[str]]:
    """The fields of every line of a list."""
    try:
        return [*csv.reader(split(read_text(labels)))]
    except csv.Error as error:
        raise ValueError(f"{labels}: cannot be read as CSV ({error})") from error


def read_rows(folder: pathlib.Path, labels: pathlib.Path, classes: Sequence[str]) -> list[Row]:
    """The list, each line checked.

    Raises:
      FileNotFoundError: the list or an image is not there.
      ValueError: a line that cannot be used; the message gives its number.
    """
    if not labels.exists():
        raise FileNotFoundError(f"{labels}: no such list; write one line an image: FILE,CLASS")
    rows: dict[str, Row] = {}
    for number, fields in enumerate(_fields(labels), 1):
        if not fields or number == 1 and fields == HEADING:
            continue  # an empty line, or the heading
        row = _row(folder, f"{labels}, line {number}", fields, classes)
        if row.name in rows:
            raise ValueError(f"{labels}, line {number}: {row.name} has a line already")
        rows[row.name] = row
    if not rows:
        raise ValueError(f"{labels}: names no image")
    return list(rows.values())


def _row(folder: pathlib.Path, where: str, fields: list[str], classes: Sequence[str]) -> Row:
    """The row that the fields of a line make; `where`: list and line, for messages."""
    if len(fields) != 2:
        raise ValueError(f"{where}: {len(fields)} fields; expected file,class[;class...]")
    name, shown = fields[0].strip(), tuple(c.strip() for c in fields[1].split(";") if c.strip())
    if unknown := [c for c in shown if c not in classes]:
        raise ValueError(
            f"{where}: class {unknown[0]!r}; the classes are {', '.join(classes)} (--classes)"
        )
    check_name(name, where, "image", nested=True)
    path = folder / name
    if not path.exists():
        raise FileNotFoundError(f"{where}: {path} is not there")
    return Row(path, name, shown)


def is_test(name: str, share: float) -> bool:
    """Whether an image belongs to the test split, by its name alone."""
    # The first 32 bits of a hash are spread evenly, whatever the names are
    return int(hashlib.sha256(name.encode()).hexdigest()[:8], 16) < share * 2**32


def prepare(
    data: str,
    out: str,
    labels: str | None = None,
    classes: Sequence[str] = CLASSES,
    size: tuple[int, int] = (SIZE, SIZE),
    test_share: float = 0.1,
    name: str = "labelled images",
    file_format: str = "array_record",
    shards: int | None = None,
    levels: Levels | None = None,
) -> dict:
    """Writes the dataset and returns its manifest; arguments as the command's flags.

    Raises:
      FileExistsError, FileNotFoundError, ValueError: `out` exists, or input that cannot be used.
    """
    if not 0 < test_share < 1:
        raise ValueError(f"--test_share {test_share}; expected a part between 0 and 1")
    if len(set(classes)) != len(classes):
        raise ValueError(f"--classes {' '.join(classes)}: a class stands there twice")
    folder = pathlib.Path(data)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder (--data)")
    # Split the list by the images' names
    labels = pathlib.Path(labels or folder / "labels.csv")
    rows = read_rows(folder, labels, classes)
    splits = {
        split: [row for row in rows if is_test(row.name, test_share) == (split == "test")]
        for split in ("train", "test")
    }
    # A class that no training image shows could not be learned
    for cls in classes:
        if not any(cls in row.shown for row in splits["train"]):
            raise ValueError(
                f"{labels}: no training image shows {cls!r}; add some, or name the classes that "
                "there are with --classes"
            )
    # Images are read one by one while they are written
    return write_images(
        out,
        {
            split: _examples(split_rows, classes, size, levels)
            for split, split_rows in splits.items()
        },
        name=name,
        classes=classes,
        size=size,
        file_format=file_format,
        shards=shards,
        levels=levels,
        count=len(rows),
    )


def _examples(
    rows: list[Row], classes: Sequence[str], size: tuple[int, int], levels: Levels | None
) -> Iterator[dict]:
    """The image of each row, resized to `size`, and its labels: int64 [K], 1 = shows the class."""
    for row in rows:
        labels = np.array([cls in row.shown for cls in classes], np.int64)
        yield {"image": fit(read_picture(row.path, levels).pixels, size), "labels": labels}


def fit(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The image resized to (H, W), averaged where it shrinks; its aspect ratio is not kept.

    Args:
      pixels: image [H, W, 3].
      size: (H, W) to make.
    """
    shrinks = pixels.shape[0] * pixels.shape[1] > size[0] * size[1]
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cv2.resize(pixels, size[::-1], interpolation=interpolation)


def main(argv: list[str] | None = None) -> None:
    """Parses the command line and writes the set."""
    parser = argparse.ArgumentParser(
        prog="python -m data_prep.labelled_images",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--data", required=True, help="folder of the images")
    command.add_output_flags(parser)
    add("--labels", help="the list (default: labels.csv in the folder)")
    add("--classes", nargs="+", default=CLASSES, help=f"(default: {' '.join(CLASSES)})")
    add("--size", type=parse_size, default=(SIZE, SIZE), metavar="HxW", help="(default 64x64)")
    add("--test_share", type=float, default=0.1, help="part of the images to test on (default 0.1)")
    add("--name", default="labelled images", help="shown in reports")
    add_levels_flag(parser)
    # The other flags have the names of prepare's arguments
    args = vars(parser.parse_args(argv))
    args["file_format"] = args.pop("format")
    manifest = command.report_errors(prepare, **args)
    command.print_summary(args["out"], manifest)


if __name__ == "__main__":
    command.run(main)
