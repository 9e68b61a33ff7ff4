"""The reasons of a video with the highest scores, and the frames that they are about."""

from collections.abc import Mapping, Sequence

import numpy as np

from vadjax.data.clips import Video
from vadjax.scores.files import Examples

NEAR = 3  # rows and columns of the grid within which two regions count as one place


def strongest(reasons: Sequence[dict], count: int) -> list[int]:
    """Ranks of the highest-scoring reasons, no two of which are about the same place and time.

    Two are about the same place and time if less than the length of a volume lies between their
    frames and their regions are at most `NEAR` rows and columns apart.

    Args:
      reasons: as `Explainer.reason` makes them.
      count: largest number of reasons.
    """
    chosen: list[int] = []
    # From the highest score downwards, without the neighbours of those that are chosen.
    for rank in sorted(range(len(reasons)), key=lambda rank: -reasons[rank]["score"]):
        if len(chosen) == count:
            break
        if not any(_same(reasons[rank], reasons[other]) for other in chosen):
            chosen.append(rank)
    return chosen


def _same(reason: dict, other: dict) -> bool:
    """Whether two reasons are about the same place and time."""
    (a, b), (c, d) = reason["frames"], other["frames"]
    apart = np.abs(np.subtract(reason["region"], other["region"])).max()
    return a < d + (d - c) and c < b + (b - a) and apart <= NEAR


def examples(
    reasons: Sequence[dict], video: Video, training: Mapping[str, Video], count: int
) -> Examples | None:
    """Frames of the strongest reasons beside those of their nearest exemplars.

    Args:
      reasons: of the video.
      video: the scored video.
      training: training videos by name; reasons whose exemplar is from another video are left out.
      count: largest number of reasons.

    Returns:
      The frames; None if no reason has an exemplar from these training videos.
    """
    # The strongest reasons whose exemplars can be shown.
    chosen = [
        rank
        for rank in strongest(reasons, count)
        if reasons[rank]["normal"]["sequence"] in training
    ]
    if not chosen:
        return None
    # The frame of each reason, and the middle frame of its exemplar.
    normal = [reasons[rank]["normal"] for rank in chosen]
    return Examples(
        np.array(chosen),
        np.stack([_frame(video, reasons[rank]["frame"]) for rank in chosen]),
        np.stack(
            [
                _frame(training[nearest["sequence"]], sum(nearest["frames"]) // 2)
                for nearest in normal
            ]
        ),
    )


def _frame(video: Video, number: int) -> np.ndarray:
    """A frame of a video; the last one if the number is in the padding of a volume."""
    return video[min(number, video.num_frames - 1)]
