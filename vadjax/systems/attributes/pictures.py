"""Pictures of alarm intervals: the frame, and the normal object that is most like its strongest."""

from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from vadjax.data.clips import Video
from vadjax.scores.contents import Examples
from vadjax.systems.attributes.model import CameraModel

GREY = 96  # around the crop of a normal object, where its frame is not at hand


def examples(
    events: Sequence[dict],
    video: Video,
    model: CameraModel,
    training: Mapping[str, Video],
    count: int,
) -> Examples | None:
    """The highest-scoring events beside the normal object nearest to each.

    Args:
      events: of the video, as of `events.Events`.
      video: the video.
      model: of the camera.
      training: training videos by name; of those that are missing the stored crop is shown.
      count: how many at most.
    """
    order = sorted(range(len(events)), key=lambda rank: -events[rank]["score"])
    nearest = [event.get("nearest", {}).get("exemplar") for event in events]
    chosen = [rank for rank in order if nearest[rank] is not None][:count]
    if not chosen:
        return None
    return Examples(
        np.array(chosen),
        np.stack([video[events[rank]["frame"]] for rank in chosen]),
        np.stack([_normal(nearest[rank], model, training) for rank in chosen]),
    )


def _normal(number: int, model: CameraModel, training: Mapping[str, Video]) -> np.ndarray:
    """The frame of an exemplar uint8 [H, W, 3], or its crop where it was in the frame."""
    origins = model.origins["look"]
    name = model.videos[int(origins.video[number])]
    if name in training:
        return training[name][int(origins.frame[number])]
    frame = np.full((*model.size, 3), GREY, np.uint8)
    x0, y0 = np.floor(origins.boxes[number][:2]).astype(int)
    x1, y1 = np.maximum(np.ceil(origins.boxes[number][2:]).astype(int), [x0 + 1, y0 + 1])
    crop = cv2.imdecode(np.frombuffer(model.crops[number], np.uint8), cv2.IMREAD_COLOR)
    inside = frame[y0:y1, x0:x1]
    inside[:] = cv2.cvtColor(cv2.resize(crop, inside.shape[1::-1]), cv2.COLOR_BGR2RGB)
    return frame
