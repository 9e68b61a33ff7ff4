"""Frames of videos through Apache Beam, for the programs that write datasets of frames.

The machines of the pipeline read, resize and encode the frames and masks, a video at a time. The
one that begins finds the videos, compares their lengths (which counts the frames of video files)
and writes the shards in the order of the videos, as without Beam.
"""

import functools
import pathlib
import shlex
from collections.abc import Iterable, Mapping, Sequence

from vadjax.data.store.frame_writer import (
    FrameEncoding,
    SourceVideo,
    StoredFrame,
    StoredVideos,
    write_frames,
)

from . import beam


def write(
    splits: Mapping[str, Iterable[SourceVideo]],
    out: str | pathlib.Path,
    beam_options: str,
    **options,
) -> dict:
    """Writes the dataset `out`, the same as `write_frames`, and returns its manifest.

    Args:
      splits: as for `write_frames`.
      out: as for `write_frames`; all machines see the folder that it lies in.
      beam_options: as on a command line.
      **options: as for `write_frames`.

    Raises:
      FileExistsError, ImportError, ValueError: as `write_frames` and `store`.
    """
    with beam.folder_beside(out) as shared:
        store_by_beam = functools.partial(store, shared=shared, options=shlex.split(beam_options))
        return write_frames(out, splits, store=store_by_beam, **options)


def store(
    encoder: FrameEncoding,
    splits: Mapping[str, Iterable[SourceVideo]],
    *,
    shared: str | pathlib.Path,
    options: Sequence[str] = (),
) -> dict[str, StoredVideos]:
    """The videos of each split with their frames, as `one_by_one`, but all made beforehand.

    Args:
      encoder: how frames are stored.
      splits: split name → its videos, whose files all machines see.
      shared: as for `beam.in_order`.
      options: as for `beam.in_order`.

    Returns:
      Split → its videos, each with its stored frames, which can be gone through once.

    Raises:
      ImportError, ValueError: as `beam.in_order`.
    """
    # One pipeline for the videos of all splits, whose results come back in the same order
    listed = {split: [*videos] for split, videos in splits.items()}
    all_videos = [video for videos in listed.values() for video in videos]
    results = iter(beam.in_order(all_videos, functools.partial(_maker, encoder), shared, options))
    return {
        split: [(video, (StoredFrame(**arrays) for arrays in next(results))) for video in videos]
        for split, videos in listed.items()
    }


def _maker(encoder: FrameEncoding) -> beam.Maker:
    """Returns the function of a video that yields the arrays of its stored frames, by name."""
    return lambda video: (frame._asdict() for frame in encoder.frames(video))
