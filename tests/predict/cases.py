"""What the tests of prediction share."""

import csv

import cv2
import numpy as np

from vadjax import train


def finish(config, data, folder):
    config.data.dir, config.train.devices = str(data), 1
    train.run(config, folder)
    return config, folder


class Net:
    """Stands for a network: the feature of a clip is its mean grey, in 32 sizes."""

    digest, normalisation, stream, width = "0123", "pm1", "rgb", 32

    def __call__(self, clips):
        """Features [N, 1, 1, 1, 32]."""
        means = clips.astype(np.float32).mean((1, 2, 3, 4))[:, None] / 255
        return (means * np.arange(1, 33, dtype=np.float32))[:, None, None, None]


def rows_of(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def write_video(path, count, size=(48, 64)):
    """A video whose frame i has the grey level 5 i."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(
        str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"MJPG"), 25, size[::-1]
    )
    for i in range(count):
        writer.write(np.full((*size, 3), 5 * i % 256, np.uint8))
    writer.release()
    return path
