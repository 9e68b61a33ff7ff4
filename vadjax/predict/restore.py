"""A finished run, ready to score video that it has never seen."""

import collections
import itertools
import math
import pathlib
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import ml_collections
import numpy as np

from vadjax.data import clips
from vadjax.data.store.records import Description
from vadjax.data.video.pictures import Levels
from vadjax.data.video.reader import Picture, resize
from vadjax.runtime import checkpoint, mesh, space, workdir
from vadjax.runtime.cache import Cache
from vadjax.scores.streaming import Counted, PartialScores
from vadjax.system import State, System, load_system

MOST_BYTES = 1 << 36  # of a state
STRETCH = 1.05  # from which another aspect is warned of


class Clock:
    """The frames of a video with their times.

    Args:
      pictures: the frames.
      fps: frames a second, for pictures whose time is unknown or not later than the one before.
      see: called with the number of every frame, from 1.
      trust: take the times of the pictures; else all go by `fps`.

    Attributes:
      size: (H, W) of the frames, once there is one.
      gaps: how often frames were missing before one, so far.
    """

    def __init__(
        self,
        pictures: Iterable[Picture],
        fps: float,
        see: Callable[[int], None] = lambda number: None,
        trust: bool = True,
    ):
        self._pictures, self._fps, self._see, self._trust = pictures, fps, see, trust
        self._waiting: collections.deque[tuple[float, int]] = collections.deque()
        self.size: tuple[int, int] | None = None
        self.gaps = 0

    def frames(self) -> Iterator[np.ndarray]:
        """The frames, uint8 [H, W, 3], RGB.

        Raises:
          ValueError: a frame of another size than those before.
        """
        last = -1 / self._fps
        for rank, picture in enumerate(self._pictures):
            size = picture.pixels.shape[:2]
            self.size = self.size or size
            if size != self.size:
                raise ValueError(
                    f"frame {rank} is {size[0]} × {size[1]}, those before are {self.size[0]} × "
                    f"{self.size[1]}; a video has frames of one size"
                )
            later = self._trust and picture.time is not None and picture.time > last
            last = picture.time if later else last + 1 / self._fps
            self._waiting.append((last, picture.missing))
            self.gaps += picture.missing > 0
            self._see(rank + 1)
            yield picture.pixels

    def times(self, count: int) -> list[tuple[float, int]]:
        """Seconds of the next `count` frames, and how many are missing before each, given once."""
        return [self._waiting.popleft() for _ in range(count)]


class Trained(NamedTuple):
    """A finished run: its system and state, and what is known of the dataset of the training."""

    system: System
    state: State
    data: Description

    @property
    def size(self) -> tuple[int, int] | None:
        """(H, W) of the frames that the system takes; None where any size will do."""
        return tuple(self.data.manifest["size"]) if self.data.kind == clips.KIND else None

    @property
    def levels(self) -> Levels | None:
        """Values of the 16-bit pictures of the training that became black and white, if any."""
        made = self.data.manifest.get("extraction") or self.data.manifest  # of features or frames
        return Levels(*made["levels"]) if made.get("levels") else None

    def parts(self, name: str, clock: Clock, live: bool = False) -> Iterator[PartialScores]:
        """Scores of the frames of a clock, in the size that the system takes."""
        return itertools.chain.from_iterable(self.runs(name, clock, live))

    def runs(
        self, name: str, clock: Clock, live: bool = False
    ) -> Iterator[Iterator[PartialScores]]:
        """The same, run by run: where frames are missing one ends and the next begins.

        Each run is scored as a video of its own, so that no window, volume or snippet holds frames
        of both sides of a gap; frame numbers go on. Take all parts of a run before the next one.
        Live, frames that are too few to be scored have the score NaN: so are those between gaps
        that fill no window, which would have to be filled up with frames that never were.
        """
        frames = clock.frames()
        if self.size:
            frames = _fitted(name, frames, self.size)
        first = 0
        for _, run in itertools.groupby(frames, lambda _: clock.gaps):
            counted = Counted(run)
            yield self._parts_of_run(name, clock, counted, live, first)
            first += counted.count

    def _parts_of_run(
        self, name: str, clock: Clock, run: Counted, live: bool, first: int
    ) -> Iterator[PartialScores]:
        first_frames = list(itertools.islice(run, self.system.window)) if live else []
        too_few = len(first_frames) < self.system.window and clock.gaps > 0  # known at its end
        scored = 0
        if not (live and too_few):
            frames = itertools.chain(first_frames, run)
            for part in self.system.stream(self.state, name, frames, self.data, live, first):
                scored += len(part.frame_scores)
                yield part
        if live and run.count > scored:
            yield PartialScores(np.full(run.count - scored, np.nan, np.float32))


def _fitted(name: str, frames: Iterator[np.ndarray], size: tuple[int, int]) -> Iterator[np.ndarray]:
    """The frames in (H, W) `size`; another aspect is warned of."""
    for rank, frame in enumerate(frames):
        height, width = frame.shape[:2]
        stretch = math.exp(abs(math.log(height * size[1] / (width * size[0]))))
        if rank == 0 and stretch > STRETCH:
            warnings.warn(
                f"{name}: frames of {height} × {width} are stretched to {size[0]} × {size[1]}, the "
                "size of the training; is this the camera that was trained on?",
                stacklevel=2,
            )
        yield resize(frame, size)


def restore(config: ml_collections.ConfigDict, folder: pathlib.Path) -> Trained:
    """The finished run in a folder.

    Args:
      config: of the run's kind. What it may not decide is taken from the run, and said.
      folder: workdir of the run.

    Raises:
      FileNotFoundError: no finished run there.
      ValueError: a run of another system, of one that scores no videos, or of one whose state no
        memory holds.
    """
    config, changed = workdir.adopt(config, folder)
    if changed:
        print(f"As in the run: {', '.join(changed)}")
    data = workdir.trained_on(folder)
    system = load_system(config, Cache(folder), any_module=True)
    if not system.scores_videos:
        raise ValueError(f"{folder}: {config.system!r} scores no videos")
    first = system.abstract_state(data)
    if (needed := checkpoint.size_of(first)) > MOST_BYTES:
        raise ValueError(
            f"{folder / workdir.FILE}: with its {workdir.DESCRIPTION}, of a state of "
            f"{space.size(needed)}; expected {space.size(MOST_BYTES)} at most"
        )
    target = mesh.abstract(mesh.make(1), first)
    return Trained(system, checkpoint.read_finished(folder, target), data)
