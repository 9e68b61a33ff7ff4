"""What the tests of extraction share: a network that is none, and videos."""

import cv2
import numpy as np

from data_prep.extract_features import extract
from data_prep.lib.extractor import Extractor
from vadjax.data.video.reader import AS_IT_IS, find_videos
from vadjax.data.video.snippets import Snippets
from vadjax.extractors.clips import BATCH, SnippetFeatures


class Net:
    """Stands for a network: the feature of a clip is its first and last frames' mean grey."""

    digest, normalisation, stream, width = "0123", "pm1", "rgb", 2

    def __init__(self):
        self.clips = 0

    def __call__(self, clips):
        """Features [N, 1, 1, 1, 2]."""
        assert clips.shape[1:] == (16, 224, 224, 3) and clips.dtype == np.uint8
        self.clips += len(clips)
        means = clips.mean((2, 3, 4))
        return means[:, [0, -1]].astype(np.float32)[:, None, None, None]


def write_video(path, frames, size=(48, 64), grey=False):
    """A video whose frame i has the grey level 5 i."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fourcc = cv2.VideoWriter.fourcc(*"MJPG")
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, fourcc, 25, size[::-1], isColor=not grey)
    assert writer.isOpened()
    for i in range(frames):
        writer.write(np.full(size if grey else (*size, 3), 5 * i % 256, np.uint8))
    writer.release()
    return path


def grey_levels(features):
    """Rank of the first and last frame of every snippet."""
    return np.rint(features / 5).astype(int).tolist()


def run(source, out, net=None, pooling=None, reading=AS_IT_IS, **options):
    features = SnippetFeatures(net or Net(), Snippets(**options), BATCH)
    return extract(Extractor(features, out, pooling, reading), find_videos(source))
