"""What a score file holds: the scores of one video, with pictures of frames and of reasons."""

import dataclasses
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np


class Pictures(NamedTuple):
    """Some frames of a video, and what the system predicted for them.

    Attributes:
      frames: int [k], their numbers in the whole video, from 0.
      seen: uint8 [k, H, W, 3], RGB.
      predicted: uint8 [k, H, W, 3], RGB.
    """

    frames: np.ndarray
    seen: np.ndarray
    predicted: np.ndarray


class Examples(NamedTuple):
    """Pictures of some reasons of a video.

    They have the size of the frames that the `box` of a reason belongs to.

    Attributes:
      reason: int [k], which of the video's `reasons`, from 0.
      seen: uint8 [k, H, W, 3], RGB, the frame that the reason is about.
      normal: uint8 [k, H, W, 3], RGB, the frame of the normal video that is most like it.
    """

    reason: np.ndarray
    seen: np.ndarray
    normal: np.ndarray


@dataclasses.dataclass(frozen=True)
class Scores:
    """Scores of one video.

    Attributes:
      video: name of the video.
      frame_scores: float [T], finite, high = anomalous.
      labels: uint8 [T], 1 = anomalous; None if unknown.
      scored: bool [T], frames that count in the figures; None for all. A predictor, for example,
        cannot score the first frames of a video.
      alternatives: name → float [T], other scores of the same frames, which get figures of their
        own: baselines, single terms, an on-line form.
      times: float [T], seconds from the start of the video, rising; None if unknown.
      segment_scores: float [K], where the system scores segments.
      boxes: float [n, 6] `frame, x0, y0, x1, y1, score`, in pixels of the source frame.
      map: float [T, h, w], finite, high = anomalous; its h × w cells cover the whole frame.
      pictures: frames and predictions for a report to show.
      reasons: why events were flagged, one dict for each event, for a person to read; JSON must be
        able to hold it.
      examples: pictures of some of the reasons for a report to show.
    """

    video: str
    frame_scores: np.ndarray
    labels: np.ndarray | None = None
    scored: np.ndarray | None = None
    alternatives: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    times: np.ndarray | None = None
    segment_scores: np.ndarray | None = None
    boxes: np.ndarray | None = None
    map: np.ndarray | None = None
    pictures: Pictures | None = None
    reasons: tuple[dict, ...] = ()
    examples: Examples | None = None

    def counted(self) -> "Scores":
        """Returns the scores and labels of only the frames that count.

        Everything that refers to the frame numbers of the whole video (boxes, map, pictures …) is
        left out, unless all frames count.
        """
        if self.scored is None:
            return self
        keep = np.asarray(self.scored, bool)
        return Scores(
            self.video,
            self.frame_scores[keep],
            labels=None if self.labels is None else self.labels[keep],
            alternatives={name: other[keep] for name, other in self.alternatives.items()},
        )
