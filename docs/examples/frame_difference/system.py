"""Mean absolute difference of frames: how much of the picture changes from frame to frame.

The simplest system that scores video. It learns how large the differences are in normal video.
`docs/new_system.md` explains every part.
"""

import dataclasses
import itertools
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vadjax import system
from vadjax.data import clips
from vadjax.data.clips import Video, Videos
from vadjax.data.store.records import Dataset, Description
from vadjax.data.video.frame_stream import Frame, numbered
from vadjax.scores.files import Scores
from vadjax.scores.streaming import PartialScores, join, repeat

SMALLEST = 1e-6  # deviation, for training video in which nothing ever changes


class State(NamedTuple):
    """What is learned: mean and standard deviation of the differences in normal video, float32."""

    mean: jax.Array
    deviation: jax.Array


class System(system.System):
    """Scores are differences in standard deviations from the mean of the training videos."""

    kind = clips.KIND
    window = 2

    def init(self, rng: jax.Array, data: Dataset) -> State:
        """Measures the training videos."""
        del rng  # nothing is random
        training = self.videos(data, "train")
        measured = np.concatenate([list(differences(video)) for video in training])
        deviation = max(measured.std(), SMALLEST)
        return State(jnp.float32(measured.mean()), jnp.float32(deviation))

    def abstract_state(self, description: Description) -> State:
        """Two numbers. `init` reads video, so its shapes are given here."""
        del description
        number = jax.ShapeDtypeStruct((), jnp.float32)
        return State(number, number)

    def videos(self, data: Dataset, split: str) -> Videos:
        """The videos of a split.

        Raises:
          ValueError: a video of a single frame.
        """
        videos = Videos(data, split)
        clips.check_lengths(data.splits[split]["videos"], self.window, split)
        return videos

    def score(self, state: State, videos: Iterable[Video]) -> Iterator[Scores]:
        """Scores of whole videos, with their labels."""
        for video in videos:
            parts = self.stream(state, video.name, numbered(video), video.data, live=False)
            yield dataclasses.replace(join(video.name, parts), labels=video.labels)

    def stream(
        self,
        state: State,
        name: str,
        frames: Iterator[Frame],
        data: Description,
        live: bool,
    ) -> Iterator[PartialScores]:
        """A score as soon as its frame is there; the first frame has that of the second."""
        del name, data, live
        mean, deviation = np.asarray(state.mean), np.asarray(state.deviation)
        for rank, (before, after) in enumerate(itertools.pairwise(frames)):
            score = (difference(before.pixels, after.pixels) - mean) / deviation
            scored = [after] if rank else [before, after]
            yield repeat(score, [frame.stamp for frame in scored])


def difference(before: np.ndarray, after: np.ndarray) -> np.float32:
    """Mean absolute difference of two frames uint8 [H, W, 3], in grey levels 0 … 255."""
    return np.abs(after.astype(np.float32) - before).mean()


def differences(frames: Iterable[np.ndarray]) -> Iterator[np.float32]:
    """The differences of every two neighbouring frames uint8 [H, W, 3]."""
    return (difference(before, after) for before, after in itertools.pairwise(frames))
