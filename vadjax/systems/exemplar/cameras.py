"""Which camera a video is of: one model for all, or one for each camera that names say."""

from vadjax.config import expect_one_of
from vadjax.data.clips import Video, Videos
from vadjax.data.store.records import Dataset
from vadjax.formats.names import check_name

ONE = "scene"  # name of the camera where there is only one
CAMERAS = ("one", "prefix")


def cameras(data: Dataset, split: str, rule: str) -> dict[str, list[Video]]:
    """The videos of a split by camera, sorted by name.

    Args:
      data: the dataset.
      split: name of the split.
      rule: `"one"` for all, or `"prefix"`: the text before the first underscore of a video's name
        (`01_0014` is of camera 01, as in ShanghaiTech).

    Raises:
      ValueError: no such rule or split, or a name without an underscore.
    """
    expect_one_of("data.cameras", rule, CAMERAS)
    found: dict[str, list[Video]] = {}
    for video in sorted(Videos(data, split), key=lambda video: video.name):
        try:
            check_name(video.name, f"split {split!r}")  # it becomes that of files of all stages
            camera = camera_of(video.name, rule)
        except ValueError as error:
            raise ValueError(f"{data.folder}: {error}") from error
        found.setdefault(camera, []).append(video)
    return found


def camera_of(video: str, rule: str) -> str:
    """Name of a video's camera by a rule of `cameras`.

    Raises:
      ValueError: a name without an underscore.
    """
    camera, underscore, _ = video.partition("_")
    if rule == "prefix" and not (camera and underscore):
        raise ValueError(
            f"video {video}: no camera before an underscore in its name; expected for example "
            "01_0014, or data.cameras = 'one'"
        )
    return camera if rule == "prefix" else ONE
