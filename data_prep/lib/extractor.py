"""Makes the files of features of a video from its clips, for data_prep.extract_features."""

import dataclasses
import pathlib
from collections.abc import Callable, Iterable, Iterator, Mapping

import cv2
import numpy as np

from vadjax.data.segments import check_pooling, pool
from vadjax.data.video.reader import AS_IT_IS, Reading, frames_of
from vadjax.extractors.clips import SnippetFeatures
from vadjax.formats import json_files
from vadjax.formats.regular import is_there
from vadjax.runtime import replacing
from vadjax.runtime.metric_writers import write_json

from .feature_files import SETTINGS, TWO_STREAM

SOURCES = "sources.json"  # name and path of every video


class Unusable(ValueError):
    """A video from which no features can be made; the message says why."""


@dataclasses.dataclass(frozen=True)
class Pooling:
    """What is done with the snippets of a video.

    Attributes:
      rule: a name of `POOLINGS`; None keeps all snippets.
      segments: rows that are left of a video.
      normalize: divide every row of a network by its L2 norm.

    Raises:
      ValueError: no such rule, or no segment.
    """

    rule: str | None = None
    segments: int = 32
    normalize: bool = False

    def __post_init__(self):
        check_pooling(self.rule, self.segments)

    @property
    def settings(self) -> dict:
        """What the features depend on; JSON can hold it."""
        segments = self.segments if self.rule else None
        return {"pooling": self.rule, "segments": segments, "normalize": self.normalize}


class Extractor:
    """Makes the files of features.

    Args:
      net: makes the features.
      out: folder to write.
      pooling: what is done with the snippets of a video.
      reading: how video is read.
    """

    def __init__(
        self,
        net: SnippetFeatures,
        out: str | pathlib.Path,
        pooling: Pooling | None = None,
        reading: Reading = AS_IT_IS,
    ):
        self.net, self.out, self._pooling = net, pathlib.Path(out), pooling or Pooling()
        self.reading = reading

    @property
    def settings(self) -> dict:
        """What the features depend on; JSON can hold it."""
        return {**self.net.settings, **self._pooling.settings, **self.reading.settings}

    def claim(self, videos: Mapping[str, pathlib.Path]) -> dict[str, pathlib.Path]:
        """Notes in the folder of what weights, settings and videos its features are.

        Args:
          videos: name, CLASS/NAME, and path of each.

        Returns:
          The videos that have no features yet.

        Raises:
          ValueError: the folder has features of other settings or videos, which the message names,
            or of settings that are not known.
        """
        claim(self.out, self.settings)
        path = self.out / SOURCES
        sources = json_files.read(path, {...: str}) if is_there(path) else {}
        # Features that are there must be of the same video; the rest is to be made
        todo = {}
        for name, video in videos.items():
            tail = video.parts[-3:]  # a folder of videos may be moved
            if not self.done(name):
                todo[name] = video
            elif pathlib.Path(source := sources.get(name, video)).parts[-3:] != tail:
                raise ValueError(
                    f"{self.files(name)[0]}: was made from {source}; {video} has the same name, "
                    "so name another --out"
                )
        write_json(path, sources | {name: str(video) for name, video in todo.items()})
        return todo

    def files(self, name: str) -> list[pathlib.Path]:
        """The files of a video, one a network."""
        patterns = TWO_STREAM.values() if len(self.net.widths) == 2 else ["{}.npy"]
        return [self.out / pattern.format(name) for pattern in patterns]

    def done(self, name: str) -> bool:
        """Whether all files of a video are there."""
        return all(path.is_file() for path in self.files(name))

    def write(
        self,
        name: str,
        parts: Iterable[np.ndarray | Unusable],
        say: Callable[[int], None] = lambda count: None,
    ) -> None:
        """Writes the files of a video: float32 [rows, D], or [crops, rows, D] of several crops.

        Args:
          name: of the video, CLASS/NAME.
          parts: clips as `decode` yields them.
          say: called with the number of snippets that are done.

        Raises:
          Unusable: the video cannot be read to its end.
        """
        features = self._features(parts, say)
        # The columns of the networks are side by side; each network has its own file
        ends = np.cumsum(list(self.net.widths.values()))[:-1]
        for path, stream in zip(self.files(name), np.split(features, ends, -1), strict=True):
            rows = pool(stream, **self._pooling.settings)
            _write(path, rows[0] if len(rows) == 1 else rows)

    def _features(self, parts: Iterable, say: Callable[[int], None]) -> np.ndarray:
        """Features of a video, float32 [crops, snippets, D]."""
        features, count = [], 0
        for part in parts:
            if isinstance(part, Unusable):
                raise part
            features.append(self.net.features(part))
            count += len(part)
            say(count)
        # From [snippets, crops, D]
        return np.concatenate(features).swapaxes(0, 1)


def decode(
    videos: Mapping[str, pathlib.Path], net: SnippetFeatures, reading: Reading = AS_IT_IS
) -> Iterator[tuple[str, np.ndarray | Unusable]]:
    """Clips of the videos, one video after the other.

    Args:
      videos: name and path of each.
      net: cuts the clips.
      reading: how video is read.

    Yields:
      Name and clips, as `net.clips`; after the last, an `Unusable` where the video cannot be read
      to its end.
    """
    for name, path in videos.items():
        try:
            for part in net.clips(frames_of(path, reading)):
                yield name, part
        except (ValueError, OSError, cv2.error) as error:
            # Yielded instead of raised: the videos after it can still be used
            reason = str(error).strip()
            yield name, Unusable(reason if str(path) in reason else f"{path}: {reason}")


def claim(out: pathlib.Path, settings: Mapping) -> None:
    """Notes in a folder with what settings its features are made.

    Args:
      out: folder of the features; may not exist yet.
      settings: what the features depend on.

    Raises:
      ValueError: the folder has features of other settings, or of settings that are not known.
    """
    path = out / SETTINGS
    if out.is_dir() and not path.is_file() and any(out.rglob("*.npy")):
        raise ValueError(f"{out}: holds features but no {SETTINGS}; name another --out")
    stored = json_files.read(path, dict) if is_there(path) else settings
    # A setting that is missing on one side counts as None
    differences = [
        f"  {name}: {stored.get(name)!r} there, {settings.get(name)!r} here"
        for name in sorted({*stored, *settings})
        if stored.get(name) != settings.get(name)
    ]
    if differences:
        raise ValueError(
            f"{out}: holds features of other settings:\n"
            + "\n".join(differences)
            + "\nName another --out, or give the same settings to go on"
        )
    write_json(path, settings)


def _write(path: pathlib.Path, array: np.ndarray) -> None:
    """Writes an array beside its place and renames it, so that a file that is there is whole."""
    with replacing.file(path, 4 * array.size) as new, new.open("wb") as file:
        np.save(file, np.ascontiguousarray(array, np.float32))
