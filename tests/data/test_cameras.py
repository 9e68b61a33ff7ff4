"""Which camera a video is of."""

import pytest

from vadjax.data.cameras import ONE, camera_of, cameras
from vadjax.data.clips import Videos
from vadjax.data.store.records import Dataset


def test_the_text_before_the_first_underscore():
    assert camera_of("01_0014", "prefix") == "01"
    assert camera_of("a_b_c", "prefix") == "a"
    assert camera_of("0014", "one") == ONE
    for name in ("0014", "_14"):
        with pytest.raises(ValueError, match="no camera before an underscore"):
            camera_of(name, "prefix")


def test_videos_of_a_split_by_camera(toy_scenes):
    test = Videos(Dataset(toy_scenes), "test")
    (videos,) = cameras(test, "one", toy_scenes).values()
    assert [video.name for video in videos] == sorted(video.name for video in videos)
    assert set(cameras(test, "prefix", toy_scenes)) == {"test"}  # test_00 and so on
    with pytest.raises(ValueError, match="data.cameras is 'each'; expected one of one, prefix"):
        cameras(test, "each", toy_scenes)
