"""Objects of videos through Apache Beam, for data_prep.extract_objects.

The machines of the pipeline open the dataset of frames, the detector and the teachers, and find
the objects, a video at a time. The one that begins compares the boxes with the frames beforehand,
and writes the shards in the order of the videos, as without Beam.
"""

import functools
import pathlib
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from vadjax.backbones import detector
from vadjax.backbones.detection import DEGENERATE, OUTSIDE
from vadjax.data.clips import Video, Videos
from vadjax.data.store.object_writer import VideoObjects
from vadjax.data.store.records import Dataset

from . import beam, teachers
from .object_boxes import STORED
from .object_extractor import Extract, Extractor, open_extractor, open_frames

PATHS = ("boxes", "classifier", "detector", "labels", "weights")
DROPPED = (DEGENERATE, OUTSIDE)


def find(
    frames: Dataset,
    extract: Extractor,
    given: Mapping,
    shared: str | pathlib.Path,
    options: Sequence[str] = (),
) -> Extract:
    """Finds the objects of all videos; a function that gives those of one, once.

    Args:
      frames: dataset whose files all machines see, as those that `given` names.
      extract: is told how many boxes were dropped.
      given: flags for `open_extractor`, which each machine calls.
      shared: as for `beam.in_order`.
      options: as for `beam.in_order`.

    Raises:
      ImportError, ValueError: as `beam.in_order`.
    """
    counts = {split: len(Videos(frames, split)) for split in frames.splits}
    places = [(split, number) for split, count in counts.items() for number in range(count)]
    make = functools.partial(_maker, frames.folder.absolute(), absolute(given))
    found = dict(zip(places, beam.in_order(places, make, shared, options), strict=True))

    def take(video: Video, say=None) -> VideoObjects:
        (arrays,) = found[video.split, video.number]
        dropped = arrays.pop("dropped").tolist()
        extract.boxes.keep.dropped.update(dict(zip(DROPPED, dropped, strict=True)))
        return VideoObjects(video.name, video.num_frames, **arrays)

    return take


def _maker(folder: pathlib.Path, given: Mapping) -> beam.Maker:
    frames, extract = open_frames(folder, verify="size"), open_extractor(**given)
    videos = {split: Videos(frames, split) for split in frames.splits}
    dropped = extract.boxes.keep.dropped

    def make(place: tuple[str, int]) -> Iterator[beam.Arrays]:
        split, number = place
        dropped.clear()
        found = extract(videos[split][number])
        yield {
            "boxes": found.boxes,
            "detector": found.detector,
            "classifier": found.classifier,
            "dropped": np.array([dropped[kind] for kind in DROPPED]),
        }

    return make


def absolute(given: Mapping) -> dict:
    """The same flags with absolute paths: a machine may work in another folder."""
    names = (STORED, *detector.KINDS)
    paths = {flag: given[flag] for flag in PATHS if given.get(flag, STORED) not in names}
    paths = {flag: str(pathlib.Path(path).absolute()) for flag, path in paths.items()}
    if text := given.get("teachers_named"):
        folders = teachers.parse(text).items()
        named = [f"{name}={pathlib.Path(folder).absolute()}" for name, folder in folders]
        paths["teachers_named"] = ",".join(named)
    return {**given, **paths}
