"""A door that is filmed: somebody walks by slowly, and now and then runs."""

import json

import cv2
import numpy as np

from vadjax.data.video.reader import Picture

HEIGHT, WIDTH, FPS = 96, 128, 10
STEP, RUN = 2, 8  # pixels a frame
_RANDOM = np.random.default_rng(7)
BACKGROUND = cv2.resize(
    _RANDOM.integers(60, 120, (HEIGHT // 4, WIDTH // 4, 3), np.uint8),
    (WIDTH, HEIGHT),
    interpolation=cv2.INTER_CUBIC,
)
FIGURE = cv2.resize(
    _RANDOM.integers(130, 250, (7, 4, 3), np.uint8), (16, 28), interpolation=cv2.INTER_NEAREST
)


def door(number: int, running: tuple[range, ...] = (), seed: int = 0) -> np.ndarray:
    """Frame of that number, uint8 [H, W, 3], with somebody who runs in some of the frames."""
    frame, figure = BACKGROUND.copy(), FIGURE
    # whoever runs has come further by the frames run so far
    run = sum(min(max(number - span.start, 0), len(span)) for span in running)
    x = (11 * seed + STEP * number + (RUN - STEP) * run) % (WIDTH - 16)
    y = 50 + seed % 5
    frame[y : y + 28, x : x + 16] = figure
    return frame


def film(path, count, running=(), fps=FPS, seed=0):
    """That as a file, lossless."""
    code = cv2.VideoWriter.fourcc(*"FFV1")
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, code, fps, (WIDTH, HEIGHT))
    for number in range(count):
        writer.write(door(number, running, seed)[..., ::-1])
    writer.release()
    return path


def pictures(count, running=(), fps=FPS):
    """That as pictures with times."""
    return [
        Picture(door(number, running), f"#{number}", time=number / fps) for number in range(count)
    ]


def lines_of(path) -> list[dict]:
    """The records of a file with one on each line."""
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]
