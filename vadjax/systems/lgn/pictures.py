"""Which predictions of a video are shown: those of its highest- and lowest-scoring frames."""

import numpy as np

from vadjax.data.clips import Video
from vadjax.scores.files import Pictures

MOST = 2000  # predictions held while a video is scored; of longer ones every second, fourth …
APART = 10  # frames between two pictures of a kind, at least
EACH = 2  # pictures of a kind from one video


class Predictions:
    """Predictions of the frames of one video, as they come; memory is bounded.

    Args:
      first: number of the first frame that is predicted.
      most: so many are held at most.
    """

    def __init__(self, first: int, most: int = MOST):
        self.first, self.most = first, most
        self.step, self.seen = 1, 0
        self.held: list[np.ndarray] = []

    def add(self, pictures: np.ndarray) -> None:
        """Takes the next predictions, uint8 [n, H, W, 3], BGR."""
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
          video: where the frames themselves are read.
          frame_scores: [T], one for each frame of the video.
          each: how many of a kind; fewer where the video is too short for `APART`.
        """
        numbers = self.first + self.step * np.arange(len(self.held))
        order = numbers[np.argsort(frame_scores[numbers], kind="stable")]
        chosen: list[int] = []
        for ranked in (order[::-1], order):
            taken: list[int] = []
            for number in ranked:
                near = any(abs(number - other) < APART for other in taken)
                if len(taken) < each and not near and number not in chosen:
                    taken.append(int(number))
            chosen += taken
        chosen.sort()
        predicted = [self.held[(n - self.first) // self.step][..., ::-1] for n in chosen]
        return Pictures(
            frames=np.array(chosen, np.int32),
            seen=np.stack([video[n] for n in chosen]),
            predicted=np.stack(predicted),
        )
