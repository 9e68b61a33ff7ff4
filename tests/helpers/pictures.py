"""Folders of pictures."""

import pathlib

import cv2

from vadjax.data.clips import Video


def write_pictures(video: Video, folder: pathlib.Path) -> pathlib.Path:
    """Writes the frames of a video as PNGs to `folder/NAME`, and returns that."""
    out = folder / video.name
    out.mkdir(parents=True)
    for number, frame in enumerate(video):
        cv2.imwrite(str(out / f"{number:03}.png"), cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    return out
