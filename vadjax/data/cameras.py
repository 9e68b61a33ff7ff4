"""The camera of a video: one for all videos, or one for each prefix of their names."""

import pathlib
from collections.abc import Iterable
from typing import TypeVar

from vadjax.config import expect_one_of
from vadjax.data.scored_video import ScoredVideo
from vadjax.formats.names import check_name

ONE = "scene"  # name of the camera if there is only one
CAMERAS = ("one", "prefix")

AnyVideo = TypeVar("AnyVideo", bound=ScoredVideo)


def cameras(
    videos: Iterable[AnyVideo], rule: str, where: str | pathlib.Path
) -> dict[str, list[AnyVideo]]:
    """The videos of a split by camera, sorted by name.

    Args:
      videos: of the split.
      rule: `"one"` camera for all videos, or `"prefix"`: the camera is the text before the first
        underscore of a video's name (`01_0014` belongs to camera 01, as in ShanghaiTech).
      where: dataset and split, for messages.

    Raises:
      ValueError: no such rule, or a name without the underscore that the rule needs.
    """
    expect_one_of("data.cameras", rule, CAMERAS)
    by_camera: dict[str, list[AnyVideo]] = {}
    for video in sorted(videos, key=lambda video: video.name):
        try:
            check_name(video.name, "videos")  # files of all stages get this name
            camera = camera_of(video.name, rule)
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from error
        by_camera.setdefault(camera, []).append(video)
    return by_camera


def camera_of(video: str, rule: str) -> str:
    """Name of a video's camera by a rule of `cameras`.

    Raises:
      ValueError: the rule is `"prefix"`, and the name has no text before an underscore.
    """
    camera, underscore, _ = video.partition("_")
    if rule == "prefix" and not (camera and underscore):
        raise ValueError(
            f"video {video}: no camera before an underscore in its name; expected for example "
            "01_0014, or data.cameras = 'one'"
        )
    return camera if rule == "prefix" else ONE
