"""A finished run, ready to score video that it has never seen."""

import itertools
import math
import pathlib
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import ml_collections

from vadjax.data import clips
from vadjax.data.store.records import Description
from vadjax.data.video.frame_stream import Frame
from vadjax.data.video.ignored import Ignored
from vadjax.data.video.pictures import Levels
from vadjax.data.video.reader import Picture, resize
from vadjax.runtime import checkpoint, mesh, space, workdir
from vadjax.runtime.cache import RunCache
from vadjax.scores.streaming import PartialScores, repeat
from vadjax.system import State, System, load_system

MOST_BYTES = 1 << 36  # of the state of a run that is read
STRETCH = 1.05  # ratio of two aspects from which a warning says that they differ
SAME_ASPECT = 1.01  # the same, for systems that refuse such video (`System.same_aspect`)


def timed(
    pictures: Iterable[Picture | None], fps: float, trust: bool = True
) -> Iterator[Frame | None]:
    """The frames of a video with their numbers and times.

    Args:
      pictures: the frames, as a reader gives them; None where a camera is gone, which stays None.
      fps: frames a second, for pictures whose time is unknown or not later than the one before.
      trust: take the times of the pictures; else all go by `fps`.

    Raises:
      ValueError: a frame of another size than those before.
    """
    seconds, first_size, number = -1 / fps, None, -1
    for picture in pictures:
        if picture is None:
            yield None
            continue
        number, size = number + 1, picture.pixels.shape[:2]
        first_size = first_size or size
        if size != first_size:
            raise ValueError(
                f"frame {number} is {size[0]} × {size[1]}, those before are {first_size[0]} × "
                f"{first_size[1]}; a video has frames of one size"
            )
        later = trust and picture.time is not None and picture.time > seconds
        seconds = picture.time if later else seconds + 1 / fps
        yield Frame(picture.pixels, number, seconds, picture.missing)


class Trained(NamedTuple):
    """A finished run.

    Attributes:
      system: the system, with the config of the run.
      state: what it has learned, after `finalize`.
      data: what is known of the dataset of the training.
    """

    system: System
    state: State
    data: Description

    @property
    def size(self) -> tuple[int, int] | None:
        """(H, W) of the frames that the system takes; None for one that takes any size."""
        return tuple(self.data.manifest["size"]) if self.data.kind == clips.KIND else None

    @property
    def filmed_size(self) -> tuple[int, int] | None:
        """(H, W) of the training's frames before they were resized, as `size` where unknown."""
        return (self.data.source_size or self.size) if self.size else None

    @property
    def levels(self) -> Levels | None:
        """Values of the 16-bit pictures of the training that became black and white, if any."""
        # A dataset of features says under `extraction` how they were made, one of frames directly.
        described = self.data.manifest.get("extraction") or self.data.manifest
        return Levels(*described["levels"]) if described.get("levels") else None

    @property
    def ignored(self) -> Ignored | None:
        """What was black in every frame of the training; ValueError if its text is damaged."""
        text = self.data.manifest.get("ignored")
        return Ignored.from_text(text, f"{self.data.folder}: ignored") if text else None

    def parts(
        self, name: str, frames: Iterable[Frame], live: bool = False
    ) -> Iterator[PartialScores]:
        """Scores of the frames of a video, in the size that the system takes."""
        return itertools.chain.from_iterable(self.runs(name, frames, live))

    def runs(
        self, name: str, frames: Iterable[Frame | None], live: bool = False
    ) -> Iterator[Iterator[PartialScores]]:
        """As `parts`, run by run: where frames are missing a run ends and the next one begins.

        A run also ends at once, with all of its scores, where a frame is None: then the camera is
        gone, and nobody knows for how long.

        Each run is scored as a video of its own, so that no window, volume or snippet holds frames
        from both sides of a gap. Frame numbers go on. Take all parts of a run before the next run.

        Live, frames that are too few to be scored have the score NaN. These are also the frames
        between two gaps that fill no window: they could be scored only together with copies of
        their last frame, in which nothing moves.

        Raises:
          ValueError: another aspect ratio than that of the training, for a system that needs it.
        """
        gaps, ignored = 0, self.ignored

        def run_of(frame: Frame | None) -> int:
            """Number of the run that a frame is in; called for one frame after the other."""
            nonlocal gaps
            gaps += frame is None or frame.missing > 0
            return gaps

        for _, run in itertools.groupby(frames, run_of):
            there = (frame for frame in run if frame is not None)
            fitting = self._as_trained(name, there, ignored)
            yield self._parts_of_run(name, fitting, live, lambda: gaps > 0)

    def _as_trained(
        self, name: str, frames: Iterator[Frame], ignored: Ignored | None
    ) -> Iterator[Frame]:
        """The frames as those of the training are: black where these were, and of their size."""
        if ignored is not None:
            frames = (frame._replace(pixels=ignored.black(frame.pixels)) for frame in frames)
        if self.size:
            if self.system.same_aspect:
                frames = _checked(name, frames, self.filmed_size)
            frames = _fitted(name, frames, self.size, warn=not self.system.same_aspect)
        return frames

    def _parts_of_run(
        self, name: str, run: Iterator[Frame], live: bool, after_or_before_gap: Callable[[], bool]
    ) -> Iterator[PartialScores]:
        """Scores of one run, as a video of its own.

        Args:
          name: of the video.
          run: its frames up to the next gap.
          live: as for `System.stream`.
          after_or_before_gap: once the frames are read, whether the video has had a gap.
        """
        # A run of few frames is read to its end here, and with it the frame behind the gap.
        first = list(itertools.islice(run, self.system.window)) if live else []
        too_few = live and len(first) < self.system.window and after_or_before_gap()
        scored = False
        if not too_few:
            frames = itertools.chain(first, run)
            for part in self.system.stream(self.state, name, frames, self.data, live):
                scored = True
                yield part
        if live and first and not scored:
            yield repeat(math.nan, [frame.stamp for frame in first])


def _stretch(size: tuple[int, int], other: tuple[int, int]) -> float:
    """Ratio of the aspects of two sizes (H, W), at least 1."""
    return math.exp(abs(math.log(size[0] * other[1] / (size[1] * other[0]))))


def _checked(name: str, frames: Iterable[Frame], size: tuple[int, int]) -> Iterator[Frame]:
    """The same frames; raises ValueError if they have not the aspect ratio of `size` (H, W)."""
    for frame in frames:
        height, width = frame.pixels.shape[:2]
        if frame.number == 0 and _stretch((height, width), size) > SAME_ASPECT:
            raise ValueError(
                f"{name}: frames of {height} × {width}, {width / height:.3f} times as wide as "
                f"high; the training had {size[0]} × {size[1]}, {size[1] / size[0]:.3f} times, and "
                "at most 1 % of difference is taken. Give footage of the same camera and crop"
            )
        if frame.number == 0 and (height, width) != tuple(size):
            print(f"{name}: frames of {height} × {width}, {size[0]} × {size[1]} in the training")
        yield frame


def _fitted(
    name: str, frames: Iterable[Frame], size: tuple[int, int], warn: bool
) -> Iterator[Frame]:
    """The frames resized to (H, W) `size`; if `warn`, it is said that the aspect ratio differs."""
    for frame in frames:
        height, width = frame.pixels.shape[:2]
        if warn and frame.number == 0 and _stretch((height, width), size) > STRETCH:
            warnings.warn(
                f"{name}: frames of {height} × {width} are stretched to {size[0]} × {size[1]}, the "
                "size of the training; is this the camera that was trained on?",
                stacklevel=2,
            )
        yield frame._replace(pixels=resize(frame.pixels, size))


def restore(config: ml_collections.ConfigDict | None, folder: str | pathlib.Path) -> Trained:
    """The finished run in a folder.

    Args:
      config: of the same system. Fields that may not differ (`vadjax.runtime.policy`) are taken
        from the run, and a line names those that did. None takes all of the run's.
      folder: workdir of the run.

    Raises:
      FileNotFoundError: no finished run there.
      ValueError: a run of another system, of one that scores no videos, or of one whose state no
        memory holds.
    """
    # The run's config, its dataset, and its system.
    folder, given = pathlib.Path(folder), config
    config, changed = (
        workdir.adopt(given, folder) if given is not None else (workdir.config_of(folder), [])
    )
    if changed:
        print(f"As in the run: {', '.join(changed)}")
    data = workdir.trained_on(folder)
    system = load_system(config, RunCache(folder), any_module=True)
    if not system.scores_videos:
        raise ValueError(f"{folder}: {config.system!r} scores no videos")
    # Its state. The config of a run may come from a stranger, so the size is checked before.
    try:
        shapes = system.abstract_state(data)
    except ValueError as error:
        raise ValueError(
            f"{folder / workdir.FILE}: does not fit the run's files: {error}"
        ) from error
    if (needed := checkpoint.size_of(shapes)) > MOST_BYTES:
        raise ValueError(
            f"{folder / workdir.FILE}: with its {workdir.DESCRIPTION}, of a state of "
            f"{space.size(needed)}; expected {space.size(MOST_BYTES)} at most"
        )
    target = mesh.abstract(mesh.make(1), shapes)
    return Trained(system, checkpoint.read_finished(folder, target), data)
