"""Frames a second of a dataset: as declared, else of its video files, else as it was published."""

from collections.abc import Iterable, Mapping

from vadjax.data.store.frame_writer import SourceVideo
from vadjax.data.video.frame_times import SAME_RATE


def choose(
    splits: Mapping[str, Iterable[SourceVideo]],
    declared: float | None = None,
    published: float | None = None,
) -> float | None:
    """The one rate of all videos, which is printed with where it is from.

    Args:
      splits: split name → its videos.
      declared: by the user.
      published: of the public set that the program prepares; holds for folders of pictures, which
        do not say their rate.

    Returns:
      Frames a second; None if it is unknown, or if the video files have several.
    """
    if declared is not None:
        return declared
    # Of a set with films and folders, the films speak for the folders
    videos = [video for videos in splits.values() for video in videos]
    rates = {video.name: getattr(video.frames, "fps", None) for video in videos}
    rates = {name: rate for name, rate in rates.items() if rate}
    if rates:
        slowest, fastest = min(rates, key=rates.get), max(rates, key=rates.get)
        if rates[fastest] > SAME_RATE * rates[slowest]:
            print(
                f"frame rate: none is stored; {slowest} has {rates[slowest]:g} frames a second, "
                f"{fastest} {rates[fastest]:g}. Say --fps if one holds for all"
            )
            return None
        rate = round(sorted(rates.values())[len(rates) // 2], 6)
        print(f"frame rate: {rate:g} a second, as its video files have it")
        return rate
    if published is None:
        print("frame rate: unknown, none is stored; --fps declares it")
        return None
    print(f"frame rate: {published:g} a second, that of the published set; --fps declares another")
    return published
