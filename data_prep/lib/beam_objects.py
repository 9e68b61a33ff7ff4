"""Objects of videos through Apache Beam, for data_prep.extract_objects.

The machines of the pipeline open the dataset of frames, the detector and the teachers, and find
the objects, a video at a time. The one that begins compares the boxes with the frames beforehand,
and writes the shards in the order of the videos, as without Beam.
"""

import functools
import pathlib
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from vadjax.backbones.detection import DEGENERATE, OUTSIDE
from vadjax.data.clips import Video, Videos
from vadjax.data.store.object_writer import VideoObjects
from vadjax.data.store.records import Dataset
from vadjax.extractors import detector

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
    """Finds the objects of all videos.

    Args:
      frames: dataset of frames; all machines see its files, and those that `given` names.
      extract: extractor of this machine, whose counts of dropped boxes are kept up to date.
      given: flags for `open_extractor`, which each machine calls.
      shared: as for `beam.in_order`.
      options: as for `beam.in_order`.

    Returns:
      Function that gives the objects of a video, once for each.

    Raises:
      ImportError, ValueError: as `beam.in_order`.
    """
    # An item of the pipeline is the place of a video: its split and its number there
    counts = {split: len(Videos(frames, split)) for split in frames.splits}
    places = [(split, number) for split, count in counts.items() for number in range(count)]
    make = functools.partial(_maker, frames.folder.absolute(), absolute(given))
    results = dict(zip(places, beam.in_order(places, make, shared, options), strict=True))

    def take(video: Video, say=None) -> VideoObjects:
        (arrays,) = results[video.split, video.number]
        dropped = arrays.pop("dropped").tolist()
        extract.boxes.keep.dropped.update(dict(zip(DROPPED, dropped, strict=True)))
        return VideoObjects(video.name, video.num_frames, **arrays)

    return take


def _maker(folder: pathlib.Path, given: Mapping) -> beam.Maker:
    """Opens frames and extractor; returns the function of a place that yields the arrays of it."""
    # The machine that began has compared the checksums
    frames, extract = open_frames(folder, verify="size"), open_extractor(**given)
    videos = {split: Videos(frames, split) for split in frames.splits}
    dropped = extract.boxes.keep.dropped

    def make(place: tuple[str, int]) -> Iterator[beam.Arrays]:
        split, number = place
        dropped.clear()  # the counts go back video by video
        video_objects = extract(videos[split][number])
        yield {
            "boxes": video_objects.boxes,
            "detector": video_objects.detector,
            "classifier": video_objects.classifier,
            "dropped": np.array([dropped[kind] for kind in DROPPED]),
        }

    return make


def absolute(given: Mapping) -> dict:
    """The same flags with absolute paths: a machine may work in another folder."""
    # --boxes and --detector take names as well as paths
    names = (STORED, *detector.KINDS)
    paths = {flag: given[flag] for flag in PATHS if given.get(flag, STORED) not in names}
    paths = {flag: str(pathlib.Path(path).absolute()) for flag, path in paths.items()}
    # The paths within NAME=WEIGHTS,…
    if text := given.get("teachers_named"):
        folders = teachers.parse(text).items()
        named = [f"{name}={pathlib.Path(folder).absolute()}" for name, folder in folders]
        paths["teachers_named"] = ",".join(named)
    return {**given, **paths}
