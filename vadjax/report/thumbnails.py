"""Small pictures of events: what was seen with its box, and the normal picture most like it."""

import pathlib
from collections.abc import Iterable, Mapping

import av
import cv2
import numpy as np

from vadjax.report import explain

SIZE = (150, 200)  # (H, W), at most
QUALITY = 72  # of JPEG
SHARE = 0.4  # of the picture's height that a thumbnail shows at least
SEEN, NORMAL = (255, 138, 61), (70, 160, 230)  # RGB of the boxes


def draw(
    picture: np.ndarray,
    box: tuple | None,
    size: tuple[int, int] | None,
    colour: tuple[int, int, int],
) -> bytes:
    """A JPEG file of the part of a picture around a box, with the box; of all of it without one.

    Args:
      picture: uint8 [H, W, 3], RGB.
      box: `x0, y0, x1, y1`, or None.
      size: (H, W) of the frames that the box belongs to; None for those of the picture.
      colour: RGB of the box.
    """
    height, width = picture.shape[:2]
    left, top, right, bottom = 0.0, 0.0, float(width), float(height)
    if box is not None:
        scale = np.tile(np.array([width, height]) / np.array((size or (height, width))[::-1]), 2)
        box = np.clip(np.array(box) * scale, 0, np.tile([width, height], 2))
        # A box in its surroundings: a part of at least `SHARE` of the picture.
        least = SHARE * height, SHARE * height * SIZE[1] / SIZE[0]
        grown = [*_grown(box[0], box[2], least[1]), *_grown(box[1], box[3], least[0])]
        (left, right), (top, bottom) = explain.window(
            (grown[0], grown[2], grown[1], grown[3]), (height, width), SIZE[1] / SIZE[0]
        )
    x0, y0 = int(left), int(top)
    part = picture[y0 : max(y0 + 1, round(bottom)), x0 : max(x0 + 1, round(right))]
    factor = min(SIZE[0] / part.shape[0], SIZE[1] / part.shape[1])
    shape = [max(1, round(side * factor)) for side in part.shape[1::-1]]
    small = cv2.resize(part, shape, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC)
    if box is not None:
        corners = np.rint((box - [x0, y0, x0, y0]) * factor).astype(int).tolist()
        for line, width_of_line in (((20, 16, 12), 4), (colour, 2)):
            cv2.rectangle(small, corners[:2], corners[2:], line, width_of_line)
    done, data = cv2.imencode(".jpg", small[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    if not done:
        raise ValueError(f"OpenCV writes no JPEG of a picture {small.shape}")
    return data.tobytes()


def _grown(start: float, stop: float, least: float) -> tuple[float, float]:
    """An interval around the same middle that `explain.window` makes at least `least` long."""
    half = max(stop - start, least / (1 + 2 * explain.MARGIN)) / 2
    return (start + stop) / 2 - half, (start + stop) / 2 + half


def of_film(path: pathlib.Path, frames: Iterable[int]) -> Mapping[int, np.ndarray]:
    """Frames of a film of `film.write` by number, uint8 [H, W, 3], RGB.

    Each seek decodes a second at most. A frame that the film lacks is missing in the answer.

    Raises:
      OSError: no such film, or none that can be decoded.
    """
    found: dict[int, np.ndarray] = {}
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        rate = stream.average_rate
        for wanted in sorted(set(frames)):
            container.seek(int(wanted / rate / stream.time_base), stream=stream)
            for picture in container.decode(stream):
                number = round(picture.pts * stream.time_base * rate)
                if number >= wanted:
                    if number == wanted:
                        found[wanted] = picture.to_ndarray(format="rgb24")
                    break
    return found
