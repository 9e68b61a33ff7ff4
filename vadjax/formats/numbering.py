"""Which frame of which video a picture is, by its name, and which number the first frame has."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence

import numpy as np

from vadjax.formats.names import wrong_with

LAST_NUMBER = re.compile(r"^(.*?)[ _.-]*(?:frame|img)?[ _.-]*(\d{1,18})$", re.IGNORECASE)
EXPECTED = "expected VIDEO/NUMBER or VIDEO_NUMBER"


def place(name: str, videos: Collection[str] = (), video: str | None = None) -> tuple[str, int]:
    """Video and number of the frame, from the name of a picture or of its file of boxes.

    The video is a folder, `01_0014/012.jpg`, or the text before the number, `01_0014_012.jpg`: the
    first of them that is among `videos`, from the nearest folder outwards; else the nearest folder,
    or the text if there is no folder.

    Args:
      name: path, with slashes of either kind.
      videos: known names of videos.
      video: the video, if it is known.

    Raises:
      ValueError: the name has no number, or no name of a video.
    """
    # The number at the end of the file name
    *folders, base = [part for part in re.split(r"[/\\]", name) if part not in ("", ".")] or [""]
    match = LAST_NUMBER.match(base.rsplit(".", 1)[0])
    if not match:
        raise ValueError(f"{name!r} has no number of a frame; {EXPECTED}")
    if video is not None:
        return video, int(match[2])
    # Names that may be that of the video, in the order in which they are tried.
    candidates = [*folders[::-1], *([match[1]] if match[1] else [])]
    if not candidates:
        raise ValueError(f"{name!r} names no video; {EXPECTED}")
    chosen = next((text for text in candidates if text in videos), candidates[0])
    if wrong := wrong_with(chosen):
        raise ValueError(f"{name!r:.80} names no video ({wrong}); {EXPECTED}")
    return chosen, int(match[2])


def first_frame(
    numbers: Mapping[str, Sequence[int]], given: int | None, flag: str
) -> tuple[int, dict[str, int | None]]:
    """The number of the first frame, from a list of all frames of all videos.

    Args:
      numbers: video → the numbers of its frames, each once.
      given: number of the first frame by the user; None if the user names none.
      flag: flag of the program for that number, for messages.

    Returns:
      The number: `given`; else 0 or 1, if every video begins with it and has no gaps; else 0. And
      video → number of its frames, None if the list does not tell it.

    Raises:
      ValueError: the videos have no gaps and begin with other numbers than 0 or 1, or with both,
        and the user names none.
    """
    ends = {
        video: (min(rows), max(rows), len(rows)) for video, rows in numbers.items() if len(rows)
    }
    # A list with gaps holds perhaps only frames with boxes, so it tells nothing.
    has_no_gaps = {video: last - first + 1 == count for video, (first, last, count) in ends.items()}
    starts = sorted({first for first, _, _ in ends.values()})
    if given is None and ends and all(has_no_gaps.values()):
        if starts not in ([0], [1]):
            raise ValueError(
                f"the frames of the videos begin with the numbers {', '.join(map(str, starts[:5]))}"
                f"; expected 0 in every one, or 1. Say with {flag} what the first frame's number is"
            )
        given = starts[0]
    # A video without gaps that begins with the first frame is complete.
    first = given or 0
    counts = {
        video: ends[video][2] if has_no_gaps.get(video) and ends[video][0] == first else None
        for video in numbers
    }
    return first, counts


def by_video(places: Iterable[tuple[str, int]]) -> dict[str, list[int]]:
    """Groups frames by video: video → the numbers of its frames.

    Args:
      places: video and frame of every picture.

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
