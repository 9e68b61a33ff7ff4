"""Toy scenes as a person's own videos: frames alone, no labels, masks, boxes or tracks."""

import pathlib

from vadjax.data.store.frame_writer import SourceVideo, write_frames
from vadjax.data.toy.scenes import FPS, ToyScenes


def write_unlabelled(out: pathlib.Path, recipe: ToyScenes) -> pathlib.Path:
    """Writes the frames of toy scenes as a dataset without labels; returns its folder."""
    splits = {
        split: [SourceVideo(video.name, list(video.frames)) for video in recipe.videos(split)]
        for split in ("train", "test")
    }
    write_frames(out, splits, name="own videos", encoding="raw", shards=1, fps=FPS)
    return out
