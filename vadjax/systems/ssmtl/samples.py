"""Training objects: which there are, and batches of them with their draws (spec ssmtl §3)."""

from collections.abc import Sequence

import grain
import numpy as np

from vadjax.data.objects import OUTPUTS, Cutter, ObjectSource, ObjectVideo
from vadjax.data.store import loader
from vadjax.systems.ssmtl import tasks

MIDDLE = tasks.REACH  # place of the middle crop among the seven


class Samples(Sequence):
    """The objects of a split whose seven crops lie within their video.

    As a sequence it has one object a number, with its draw of the first epoch.

    Args:
      source: where the objects come from.
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
        # The objects that can be trained on, those of all videos in a row.
        trainable = [_trainable(video) for video in videos]
        self.video = np.repeat(np.arange(len(videos)), [len(rows) for rows in trainable])
        self.row = np.concatenate(trainable)
        objects_of_videos = [video.objects for video in videos]
        pairs = list(zip(objects_of_videos, trainable, strict=True))
        self.frame = np.concatenate([objects.frames[rows] for objects, rows in pairs])
        self.number = np.concatenate([objects.numbers[rows] for objects, rows in pairs])
        self._rectangles = np.concatenate([objects.rectangles[rows] for objects, rows in pairs])
        if not len(self):
            count = sum(map(len, objects_of_videos))
            raise ValueError(
                f"{self._label}: {count:,} objects, none in a frame with "
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
        """How many objects there are in the videos before that number."""
        return int(np.searchsorted(self.video, video))

    def batch(self, epochs: np.ndarray, indices: Sequence[int]) -> dict:
        """A batch of objects with their draws, as `tasks.training_inputs` takes it.

        Args:
          epochs: int [n], epoch of each.
          indices: number of each.
        """
        pairs = zip(epochs, indices, strict=True)
        rows = [self._sample(int(epoch), int(index)) for epoch, index in pairs]
        batch = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
        if self._distils:
            batch["teachers"] = self._outputs(indices, OUTPUTS)
        return batch

    def plain(self, indices: Sequence[int]) -> tuple[np.ndarray, np.ndarray | None]:
        """Objects as scoring sees them, with nothing drawn.

        Returns:
          Crops float32 [n, 7, side, side, 3] in [0, 1], and class outputs of the detector float32
          [n, K]; None if it has none.
        """
        crops = []
        for video, frame, rectangle in zip(
            self.video[indices], self.frame[indices], self._rectangles[indices], strict=True
        ):
            frames = tasks.regular_frames(int(frame), self._lengths[video])
            crops.append(self._cut(int(video), frames, rectangle))
        return np.stack(crops), self._outputs(indices, ("detector",))

    def _outputs(self, indices: Sequence[int], names: Sequence[str]) -> np.ndarray | None:
        """Outputs of the teachers `names` for the objects, float32 [n, K]; None if there are none.

        What the dataset holds is looked up by the row of each object in its video.
        """
        outputs = [
            self._videos[self.video[i]].outputs(slice(self.row[i], self.row[i] + 1), names)
            for i in indices
        ]
        return None if outputs[0] is None else np.concatenate(outputs)

    def _sample(self, epoch: int, index: int) -> dict:
        """One object with its draw of an epoch."""
        places = (self.video, self.frame, self.number)
        video, frame, number = (int(place[index]) for place in places)
        drawn = tasks.draw(self._seed, epoch, video, frame, number)
        length, rectangle = self._lengths[video], self._rectangles[index]
        crops = self._cut(video, tasks.regular_frames(frame, length), rectangle)
        # Both sequences have the same middle crop, which is cut once.
        irregular_crops = crops
        if drawn.irregular:
            jumps = tasks.irregular_frames(frame, drawn.gaps, length)
            others = self._cut(video, np.delete(jumps, MIDDLE), rectangle)
            irregular_crops = np.insert(others, MIDDLE, crops[MIDDLE], 0)
        return {
            "crops": crops,
            "irregular_crops": irregular_crops,
            "backward": np.int32(drawn.backward),
            "irregular": np.int32(drawn.irregular),
        }


def _trainable(video: ObjectVideo) -> np.ndarray:
    """Rows of the objects in frames that may be the middle of a sample, int64 [n]."""
    frames, middles = video.objects.frames, tasks.trainable(video.num_frames)
    return np.flatnonzero((frames >= middles.start) & (frames < middles.stop))


def batches(
    samples: Samples, count: int, batch: int, seed: int, shard: loader.Shard
) -> grain.MapDataset:
    """Endless seeded batches of the first samples: in each pass a new order and new draws.

    Args:
      samples: of the training videos.
      count: number of the first ones that are trained on.
      batch: objects of the global batch.
      seed: of the order.
      shard: this process's share.
    """
    # An endless row of numbers, each pass over them in a new order.
    numbers = loader.numbers(count, seed)
    # The pass that a number stands in is its epoch, on which the draws depend.
    pairs = numbers.map_with_index(lambda place, index: np.array([place // count, index]))
    return loader.batches(pairs, batch, shard, lambda rows: samples.batch(*rows.T))
