"""Choice of the predictions to show: those of a video's highest- and lowest-scoring frames."""

import numpy as np

from vadjax.data.clips import Video
from vadjax.scores.files import Pictures

MOST = 2000  # predictions in memory while a video is scored; of longer ones every 2nd, 4th, …
APART = 10  # fewest frames between two pictures of a kind
EACH = 2  # pictures of a kind (high, low) from one video


class Predictions:
    """Collects the predictions of a video as they come, in bounded memory.

    Args:
      first: number of the first frame that is predicted.
      most: largest number of predictions in memory.
    """

    def __init__(self, first: int, most: int = MOST):
        self.first, self.most = first, most
        self.step, self.seen = 1, 0
        self.held: list[np.ndarray] = []

    def add(self, pictures: np.ndarray) -> None:
        """Adds the next predictions, uint8 [n, H, W, 3], BGR."""
        # When the memory is full every second prediction is dropped, and from then on every second
        # of those that would have been kept.
        for picture in pictures:
            if self.seen % self.step == 0:
                self.held.append(picture.copy())
            self.seen += 1
            if len(self.held) > self.most:
                self.held = self.held[::2]
                self.step *= 2

    def choose(self, video: Video, frame_scores: np.ndarray, each: int = EACH) -> Pictures:
        """The pictures of the `each` highest- and the `each` lowest-scoring frames held.

        Args:
          video: source of the frames themselves.
          frame_scores: [T], one for each frame of the video.
          each: pictures of a kind; fewer where the video is too short for `APART`.
        """
        # From the highest score downwards, then from the lowest upwards, with gaps of `APART`.
        numbers = self.first + self.step * np.arange(len(self.held))
        order = numbers[np.argsort(frame_scores[numbers], kind="stable")]
        chosen: list[int] = []
        for ranked in (order[::-1], order):
            of_kind: list[int] = []
            for number in ranked:
                near = any(abs(number - other) < APART for other in of_kind)
                if len(of_kind) < each and not near and number not in chosen:
                    of_kind.append(int(number))
            chosen += of_kind
        chosen.sort()
        predicted = [self.held[(n - self.first) // self.step][..., ::-1] for n in chosen]
        return Pictures(
            frames=np.array(chosen, np.int32),
            seen=np.stack([video[n] for n in chosen]),
            predicted=np.stack(predicted),
        )
