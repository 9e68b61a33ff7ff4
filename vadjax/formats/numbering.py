"""Which video and which frame of it a picture is, by its name; which number the first frame has."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence

import numpy as np

from vadjax.formats.names import wrong_with

LAST_NUMBER = re.compile(r"^(.*?)[ _.-]*(?:frame|img)?[ _.-]*(\d{1,18})$", re.IGNORECASE)
EXPECTED = "expected VIDEO/NUMBER or VIDEO_NUMBER"


def place(name: str, videos: Collection[str] = (), video: str | None = None) -> tuple[str, int]:
    """Video and number of the frame in the name of a picture or of its file of boxes.

    The video is the folder, `01_0014/012.jpg`, or what stands before the number, `01_0014_012.jpg`:
    the first of them that is known, else the nearest folder.

    Args:
      name: path; parted by slashes of either kind.
      videos: names of videos that are known.
      video: the one that it belongs to, where that is known.

    Raises:
      ValueError: no number, or no name of a video.
    """
    *folders, base = [part for part in re.split(r"[/\\]", name) if part not in ("", ".")] or [""]
    match = LAST_NUMBER.match(base.rsplit(".", 1)[0])
    if not match:
        raise ValueError(f"{name!r} has no number of a frame; {EXPECTED}")
    if video is not None:
        return video, int(match[2])
    ways = [*folders[::-1], *([match[1]] if match[1] else [])]
    if not ways:
        raise ValueError(f"{name!r} names no video; {EXPECTED}")
    found = next((way for way in ways if way in videos), ways[0])
    if wrong := wrong_with(found):
        raise ValueError(f"{name!r:.80} names no video ({wrong}); {EXPECTED}")
    return found, int(match[2])


def first_frame(
    numbers: Mapping[str, Sequence[int]], given: int | None, flag: str
) -> tuple[int, dict[str, int | None]]:
    """The number of the first frame, where all frames of all videos are listed.

    Args:
      numbers: video → the numbers of its frames, each once.
      given: number of the first frame, as the user says; None if nobody says it.
      flag: that says it, for messages.

    Returns:
      The number: as given; else 0 or 1, where every video begins with it and has no gaps; else 0.
      And video → how many frames it has, None where the list does not say.

    Raises:
      ValueError: the videos have no gaps and begin with other numbers, and nobody says what holds.
    """
    ends = {
        video: (min(rows), max(rows), len(rows)) for video, rows in numbers.items() if len(rows)
    }
    whole = {video: last - first + 1 == count for video, (first, last, count) in ends.items()}
    starts = sorted({first for first, _, _ in ends.values()})
    if given is None and ends and all(whole.values()):
        if starts not in ([0], [1]):
            raise ValueError(
                f"the frames of the videos begin with the numbers {', '.join(map(str, starts[:5]))}"
                f"; expected 0 in every one, or 1. Say with {flag} what the first frame's number is"
            )
        given = starts[0]
    first = given or 0
    counts = {
        video: ends[video][2] if whole.get(video) and ends[video][0] == first else None
        for video in numbers
    }
    return first, counts


def by_video(places: Iterable[tuple[str, int]]) -> dict[str, list[int]]:
    """Video → the numbers of its frames.

    Args:
      places: video and number of every picture.

    Raises:
      ValueError: two pictures are the same frame.
    """
    numbers: dict[str, list[int]] = {}
    for video, frame in places:
        numbers.setdefault(video, []).append(frame)
    for video, frames in numbers.items():
        values, counts = np.unique(frames, return_counts=True)
        if (counts > 1).any():
            raise ValueError(
                f"two images are frame {values[counts > 1][0]} of video {video!r}; expected one. "
                "Do the names of the files tell the videos apart?"
            )
    return numbers
