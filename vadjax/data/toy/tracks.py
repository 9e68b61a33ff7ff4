"""A toy set of tracks: people who walk along a street, and in the test videos some who run."""

import dataclasses
from collections.abc import Iterator

import numpy as np

from vadjax.data.store.track_writer import VideoTracks

WALK, RUN = (0.5, 0.9), (1.8, 2.4)  # heights of the person a second
HEIGHTS = (30.0, 80.0)  # pixels, far and near
WIDE = 0.4  # of a box, in heights
NOISE = 0.3  # pixels, of a tracked edge


@dataclasses.dataclass(frozen=True)
class ToyTracks:
    """Recipe of a toy set of tracks.

    Attributes:
      train: normal videos.
      test: videos; in every second one somebody runs.
      frames: of a video.
      walkers: people who walk, of a video.
      size: (H, W) of the frames.
      fps: frames a second.
      seed: of all random numbers.
    """

    train: int = 6
    test: int = 4
    frames: int = 240
    walkers: int = 8
    size: tuple[int, int] = (240, 400)
    fps: float = 24.0
    seed: int = 0

    def videos(self, split: str) -> Iterator[VideoTracks]:
        """The videos of `"train"` or `"test"`."""
        for number in range(getattr(self, split)):
            rng = np.random.default_rng([self.seed, split == "test", number])
            people = [self._person(rng, track, WALK) for track in range(self.walkers)]
            labels = np.zeros(self.frames, np.uint8)
            if split == "test" and number % 2:
                runner = self._person(rng, self.walkers, RUN)
                labels[runner[:, 0].astype(int)] = 1
                people.append(runner)
            rows = np.concatenate(people)
            rows = rows[np.lexsort((rows[:, 1], rows[:, 0]))]
            yield VideoTracks(f"{split}_{number:02}", self.frames, rows, labels)

    def _person(self, rng: np.random.Generator, track: int, pace: tuple) -> np.ndarray:
        """The rows of one who crosses the street at some depth, while inside the frame."""
        height, width = self.size
        near = rng.random()
        tall = HEIGHTS[0] + near * (HEIGHTS[1] - HEIGHTS[0])
        way = rng.choice((-1, 1))
        step = way * rng.uniform(*pace) * tall / self.fps
        # somewhere inside at some frame of the video
        frames = np.arange(self.frames)
        middle = rng.uniform(0.2, 0.8) * width + step * (frames - rng.integers(self.frames))
        foot = height * (0.4 + 0.55 * near)
        x0 = middle - WIDE * tall / 2
        inside = (x0 >= 0) & (x0 + WIDE * tall <= width)
        edges = np.stack([x0, np.full(len(x0), foot - tall)], 1)
        edges = np.concatenate([edges, edges + [WIDE * tall, tall]], 1)
        edges += rng.normal(0, NOISE, edges.shape)
        numbers = np.stack([frames, np.full(len(frames), track)], 1)
        return np.concatenate([numbers, edges], 1)[inside]
