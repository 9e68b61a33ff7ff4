"""Where the objects of frames come from: a detector, stored boxes, or motion alone (attributes §2).

Objects of the videos of a dataset are kept in the cache of the run, a file a video.
"""

import copy
import functools
import json
import pathlib
from collections.abc import Callable, Sequence

import ml_collections
import numpy as np

from vadjax.backbones.detection import Detections, Filter, unnamed
from vadjax.backbones.nanodet import MODES
from vadjax.config import expect_one_of
from vadjax.data.clips import Video
from vadjax.data.store.cache import Cache
from vadjax.data.store.records import Description
from vadjax.extractors import nanodet
from vadjax.extractors.nanodet import LEAST_SIDE, MAPS, MOST, NanoDetNetwork
from vadjax.formats import json_files
from vadjax.ops.flow import make_flow
from vadjax.scores.files import read_arrays
from vadjax.systems.attributes import objects
from vadjax.systems.attributes.motion import Motions
from vadjax.systems.attributes.objects import UNKNOWN, Detected, ObjectFinder, ObjectTable
from vadjax.systems.attributes.tracks import TRACKS, TrackObjectSource

DETECTOR, STORED, NONE = "nanodet", "stored", "none"
SOURCES = (DETECTOR, STORED, NONE, TRACKS)
CAMERAS = ("fixed", "moving")
STORED_THRESHOLD = 0.5  # confidence that a stored box must exceed (spec attributes §2)
FORMAT = 1  # of the files in the cache
COLUMNS = ("frame", "boxes", "scores", "classes", "speed", "bins", "vector", "look")


class FrameObjectSource:
    """Makes the objects of frames as a config asks for them.

    Args:
      config: of the run; section `objects`, and `attributes.look`.
      cache: of the run.

    Raises:
      ValueError: a field that cannot be used.
    """

    def __init__(self, config: ml_collections.ConfigDict, cache: Cache):
        options = config.objects
        expect_one_of("objects.camera", options.camera, CAMERAS)
        expect_one_of("objects.map", options.map, MAPS)
        expect_one_of("objects.input_mode", options.input_mode, MODES)
        self._options, self._cache, self._look = options, cache, bool(config.attributes.look)
        self._keep = Filter(options.threshold, options.overlap, LEAST_SIDE, MOST)

    @property
    def stored(self) -> bool:
        """Whether the objects are boxes that the dataset holds."""
        return self._options.source == STORED

    def check_new_video(self, name: str) -> None:
        """Raises ValueError if the objects of a new video cannot be found."""
        if self.stored:
            raise ValueError(
                f"{name}: the run was trained on stored boxes, and new video has none; train "
                "another run with --config.objects.source=nanodet"
            )

    @functools.cached_property
    def network(self) -> NanoDetNetwork | None:
        """The detector, which is also the network of the look; None where neither is wanted.

        Raises:
          FileNotFoundError, ValueError: as `nanodet.load`.
        """
        if self._options.source != DETECTOR and not self._look:
            return None
        maps = (self._options.map,) if self._look else ()
        return nanodet.load(self._options.weights, mode=self._options.input_mode, maps=maps)

    def finder(self, boxes: np.ndarray | None = None) -> ObjectFinder:
        """Finds the objects of the frames of one video.

        Args:
          boxes: stored boxes [n, 6] of the video (`boxes.BOX_COLUMNS`), where these are the source.
        """
        return ObjectFinder(
            functools.partial(self._detect, boxes),
            make_flow("dis"),
            moving=bool(self._options.moving),
            camera_moves=self._options.camera == "moving",
        )

    def without_files(self) -> "FrameObjectSource":
        """The same with the same network, for videos that are not the run's own."""
        other = copy.copy(self)
        other._cache = Cache()
        return other

    def of_video(self, video: Video, every: int, data: Description) -> ObjectTable:
        """The objects of a video of a dataset, of its file in the cache or found now.

        Raises:
          ValueError: there are no stored boxes, or the file was made with something else.
        """
        stored = video.boxes if self.stored else None
        if self.stored and stored is None:
            raise ValueError(
                f"{data.folder}: video {video.name} has no stored boxes; prepare the dataset with "
                "boxes, or take another objects.source"
            )
        if stored is not None:  # they belong to the source, which may be of another size
            stored = stored.astype(np.float64)
            scale = np.array(video.size[::-1]) / np.array(video.source_size[::-1])
            stored[:, 1:5] *= np.tile(scale, 2)
        path = self._cache.folder / "objects" / video.split / f"{video.name}.npz"
        settings = self.settings(video, every, data)
        if path.is_file():
            return _read(path, settings)
        numbered = ((number, video[number]) for number in range(0, video.num_frames, every))
        parts = list(self.finder(stored)(numbered))
        table = objects.join(parts)
        columns = (*table[:4], *table.motions, table.look)
        meta = np.array(json.dumps(settings, sort_keys=True))
        self._cache.write_arrays(path, dict(zip(COLUMNS, columns, strict=True)) | {"meta": meta})
        return table

    def settings(self, video: Video, every: int, data: Description) -> dict:
        """With what the objects of a video are made."""
        options = self._options
        return {
            "format": FORMAT,
            "video": video.name,
            "frames": video.num_frames,
            "size": list(video.size),
            "data": data.digest,
            "every": every,
            "source": options.source,
            "network": self.network.digest if self.network else "",
            "look": options.map if self._look else "",
            "threshold": options.threshold,
            "overlap": options.overlap,
            "moving": bool(options.moving),
            "camera": options.camera,
        }

    def _detect(
        self, boxes: np.ndarray | None, numbers: Sequence[int], frames: Sequence[np.ndarray]
    ) -> list[Detected]:
        """What is detected in frames."""
        seen = self.network(frames) if self.network else [None] * len(frames)
        found = []
        for number, frame, one in zip(numbers, frames, seen, strict=True):
            size = frame.shape[:2]
            if self._options.source == DETECTOR:
                detections = self._keep(one.candidates, size)
            elif self._options.source == STORED:
                detections = stored_detections(boxes, number, size)
            else:
                detections = unnamed(np.zeros((0, 4)), np.zeros(0))
            found.append(Detected(detections, self._features(one)))
        return found

    def _features(self, seen) -> Callable[[np.ndarray], np.ndarray]:
        if not self._look:
            return lambda boxes: np.zeros((len(boxes), 0), np.float32)
        return functools.partial(seen.features, name=self._options.map)


def object_source(
    config: ml_collections.ConfigDict, cache: Cache
) -> FrameObjectSource | TrackObjectSource:
    """Where the objects of a run come from. Arguments and errors as of `FrameObjectSource`."""
    expect_one_of("objects.source", config.objects.source, SOURCES)
    if config.objects.source == TRACKS:
        return TrackObjectSource(config)
    return FrameObjectSource(config, cache)


def stored_detections(boxes: np.ndarray, number: int, size: tuple[int, int]) -> Detections:
    """The stored boxes of a frame that count as objects, the highest confidence first.

    Args:
      boxes: of the video [n, 6], `frame, x0, y0, x1, y1, score`.
      number: of the frame.
      size: (H, W) of the frame.
    """
    own = boxes[(boxes[:, 0] == number) & (boxes[:, 5] > STORED_THRESHOLD)]
    own = own[np.argsort(-own[:, 5], kind="stable")]
    clipped = np.clip(own[:, 1:5], 0, [size[1], size[0], size[1], size[0]])
    large = (clipped[:, 2:] - clipped[:, :2] >= LEAST_SIDE).all(1)
    found = unnamed(clipped[large], own[large, 5])
    return found._replace(classes=np.full(len(found.boxes), UNKNOWN))


def _read(path: pathlib.Path, settings: dict) -> ObjectTable:
    """The objects of a file.

    Raises:
      ValueError: damaged, or made with something else.
    """
    arrays = read_arrays(path)
    try:
        meta = json_files.parse(str(arrays.pop("meta")), path)
        frame, boxes, scores, classes, speed, bins, vector, look = (arrays[c] for c in COLUMNS)
    except KeyError as error:
        raise ValueError(f"{path}: has no {error.args[0]}. Remove it to make it anew") from error
    differ = [name for name, value in settings.items() if meta.get(name) != value]
    if differ:
        raise ValueError(
            f"{path}: made with {', '.join(f'{name} {meta.get(name)!r:.40}' for name in differ)} "
            "there, not as this config says. Remove the folder to make the files anew, or give the "
            "same settings"
        )
    count = len(frame)
    if any(len(array) != count for array in arrays.values()):
        raise ValueError(f"{path}: arrays of several lengths. Remove it to make it anew")
    return ObjectTable(frame, boxes, scores, classes, Motions(speed, bins, vector), look)
