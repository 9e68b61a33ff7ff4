"""The camera of a video: one for all videos, or one for each prefix of their names."""

from vadjax.config import expect_one_of
from vadjax.data.clips import Video, Videos
from vadjax.data.store.records import Dataset
from vadjax.formats.names import check_name

ONE = "scene"  # name of the camera if there is only one
CAMERAS = ("one", "prefix")


def cameras(data: Dataset, split: str, rule: str) -> dict[str, list[Video]]:
    """The videos of a split by camera, sorted by name.

    Args:
      data: the dataset.
      split: name of the split.
      rule: `"one"` camera for all videos, or `"prefix"`: the camera is the text before the first
        underscore of a video's name (`01_0014` belongs to camera 01, as in ShanghaiTech).

    Raises:
      ValueError: no such rule or split, or a name without the underscore that the rule needs.
    """
    expect_one_of("data.cameras", rule, CAMERAS)
    by_camera: dict[str, list[Video]] = {}
    for video in sorted(Videos(data, split), key=lambda video: video.name):
        try:
            check_name(video.name, f"split {split!r}")  # files of all stages get this name
            camera = camera_of(video.name, rule)
        except ValueError as error:
            raise ValueError(f"{data.folder}: {error}") from error
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
