"""Training objects: which there are, and a batch of them with what chance decides (spec §3)."""

from collections.abc import Sequence

import grain
import numpy as np

from vadjax.data.objects import OUTPUTS, Cutter, ObjectSource, ObjectVideo
from vadjax.data.store import loader
from vadjax.systems.ssmtl import tasks

MIDDLE = tasks.REACH


class Samples(Sequence):
    """The objects of a split whose seven crops lie within their video.

    Args:
      source: of the objects.
      split: name of the split.
      side: pixels of a crop.
      seed: of the draws.
      teachers: whether a sample has the outputs of the teachers.

    Raises:
      ValueError: the split has no such object.

    Attributes:
      video, frame, row, number: int64 [n]: where each object is, and its rank among those of its
        video and of its frame.
    """

    def __init__(self, source: ObjectSource, split: str, side: int, seed: int, teachers: bool):
        videos = source.videos(split)
        self._cut, self._seed = Cutter(source.data, split, side), seed
        self._videos, self._distils = videos, teachers
        self._lengths = [video.num_frames for video in videos]
        self._label = f"{source.data.folder}/{split}"
        chosen = [_trainable(video) for video in videos]
        self.video = np.repeat(np.arange(len(videos)), [len(own) for own in chosen])
        own = [video.objects for video in videos]
        self.row = np.concatenate(chosen)
        pairs = list(zip(own, chosen, strict=True))
        self.frame = np.concatenate([objects.frames[rows] for objects, rows in pairs])
        self.number = np.concatenate([objects.numbers[rows] for objects, rows in pairs])
        self._rectangles = np.concatenate([objects.rectangles[rows] for objects, rows in pairs])
        if not len(self):
            raise ValueError(
                f"{self._label}: {sum(map(len, own)):,} objects, none in a frame with "
                f"{tasks.REACH} frames before and after it. Take longer videos, or find more "
                "objects"
            )

    def __len__(self) -> int:
        return len(self.frame)

    def __getitem__(self, index: int) -> dict:
        if not 0 <= index < len(self):
            raise IndexError(f"object {index} of {len(self)}")
        return {name: value[0] for name, value in self.batch(np.zeros(1, int), [index]).items()}

    def before(self, video: int) -> int:
        """Objects of the videos before that number."""
        return int(np.searchsorted(self.video, video))

    def batch(self, epochs: np.ndarray, indices: Sequence[int]) -> dict:
        """The objects of those numbers in those epochs (`tasks.training_inputs`)."""
        pairs = zip(epochs, indices, strict=True)
        drawn = [self._one(int(epoch), int(index)) for epoch, index in pairs]
        found = {name: np.stack([own[name] for own in drawn]) for name in drawn[0]}
        if self._distils:
            found["teachers"] = self._outputs(indices, OUTPUTS)
        return found

    def plain(self, indices: Sequence[int]) -> tuple[np.ndarray, np.ndarray | None]:
        """What scoring sees: crops float32 [n, 7, side, side, 3], outputs of the detector."""
        crops = []
        for video, frame, rectangle in zip(
            self.video[indices], self.frame[indices], self._rectangles[indices], strict=True
        ):
            frames = tasks.regular_frames(int(frame), self._lengths[video])
            crops.append(self._cut(int(video), frames, rectangle))
        return np.stack(crops), self._outputs(indices, ("detector",))

    def _outputs(self, indices: Sequence[int], names: Sequence[str]) -> np.ndarray | None:
        found = [
            self._videos[self.video[i]].outputs(slice(self.row[i], self.row[i] + 1), names)
            for i in indices
        ]
        return None if found[0] is None else np.concatenate(found)

    def _one(self, epoch: int, index: int) -> dict:
        video, frame, number = (int(own[index]) for own in (self.video, self.frame, self.number))
        drawn = tasks.draw(self._seed, epoch, video, frame, number)
        length, rectangle = self._lengths[video], self._rectangles[index]
        crops = self._cut(video, tasks.regular_frames(frame, length), rectangle)
        gaps = crops
        if drawn.irregular:
            jumps = tasks.irregular_frames(frame, drawn.gaps, length)
            others = self._cut(video, np.delete(jumps, MIDDLE), rectangle)
            gaps = np.insert(others, MIDDLE, crops[MIDDLE], 0)
        return {
            "crops": crops,
            "irregular_crops": gaps,
            "backward": np.int32(drawn.backward),
            "irregular": np.int32(drawn.irregular),
        }


def _trainable(video: ObjectVideo) -> np.ndarray:
    """Rows of the objects in frames that may be the middle of a sample."""
    frames, known = video.objects.frames, tasks.trainable(video.num_frames)
    return np.flatnonzero((frames >= known.start) & (frames < known.stop))


def batches(
    samples: Samples, count: int, batch: int, seed: int, shard: loader.Shard
) -> grain.MapDataset:
    """Endless seeded batches of the first samples: in each pass a new order and new draws.

    Args:
      samples: of the training videos.
      count: so many are trained on.
      batch: objects of the global batch.
      seed: of the order.
      shard: this process's share.
    """
    endless = loader.numbers(count, seed)
    numbered = endless.map_with_index(lambda place, index: np.array([place // count, index]))
    return loader.batches(numbered, batch, shard, lambda pairs: samples.batch(*pairs.T))
