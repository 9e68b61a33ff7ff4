import dataclasses

import numpy as np
import pytest

from vadjax.data.clips import Videos, Windows
from vadjax.data.store.records import Dataset
from vadjax.data.toy.scenes import KINDS, ToyScenes, extent


@pytest.fixture(scope="module")
def videos():
    """Every kind of anomaly once, two a video."""
    recipe = ToyScenes(train=1, test=3, frames=60, height=64, width=96)
    return {split: list(recipe.videos(split)) for split in ("train", "test")}


def pixels(video) -> np.ndarray:
    return np.stack([picture.pixels for picture in video.frames])


def test_same_seed_same_video(small_scenes):
    first, again = (next(small_scenes.videos("test")) for _ in range(2))
    other = next(dataclasses.replace(small_scenes, seed=1).videos("test"))
    np.testing.assert_array_equal(pixels(first), pixels(again))
    np.testing.assert_array_equal(first.boxes, again.boxes)
    assert (pixels(first) != pixels(other)).mean() > 0.5


def test_training_videos_are_normal(videos):
    (video,) = videos["train"]
    assert video.masks is None and video.tracks is None and video.labels == 0
    assert len(video.boxes) > 60


def test_something_moves_and_the_street_stays(videos):
    frames = pixels(videos["train"][0]).astype(float)
    change = np.abs(np.diff(frames, axis=0)).mean(-1)
    assert 0.01 < (change > 20).mean() < 0.2
    wall = frames[:, :8]
    assert np.abs(np.diff(wall, axis=0)).mean() < 5


def test_every_kind_appears_in_test(videos):
    kinds = [kind for video in videos["test"] for kind in video.kinds.values()]
    assert set(kinds) == set(KINDS)


def test_tracks_are_the_extent_of_the_masks(videos):
    for video in videos["test"]:
        masks = np.stack([mask.pixels for mask in video.masks])
        for frame, mask in enumerate(masks):
            rows = video.tracks[video.tracks[:, 1] == frame]
            assert mask.any() == bool(len(rows))
            if len(rows) == 1:
                assert tuple(rows[0, 2:]) == extent(mask)
            inside = np.zeros_like(mask)
            for x0, y0, x1, y1 in rows[:, 2:]:
                inside[y0 : y1 + 1, x0 : x1 + 1] = True
            assert not (mask & ~inside).any()


def test_every_track_is_among_the_boxes(videos):
    for video in videos["test"]:
        boxes = {tuple(row) for row in video.boxes[:, :5].astype(int)}
        for _, frame, x0, y0, x1, y1 in video.tracks:
            assert (frame, x0, y0, x1 + 1, y1 + 1) in boxes


def speeds(video, track: int) -> np.ndarray:
    """Pixels a frame of the middle of a track's box, away from the edges of the picture."""
    rows = video.tracks[video.tracks[:, 0] == track]
    rows = rows[(rows[:, 2] > 0) & (rows[:, 4] < 95)]
    return np.diff(rows[:, [2, 4]].mean(1)) / np.diff(rows[:, 1])


def test_anomalies_are_what_their_kind_says(videos):
    walkers = 1.5 / 1.75 * 0.42 / 10  # heights below the horizon a frame, the fastest walker
    for video in videos["test"]:
        for track, kind in video.kinds.items():
            bottom = video.tracks[video.tracks[:, 0] == track][:, 5].max()
            pace, fastest = speeds(video, track), walkers * bottom
            direction = np.sign(np.median(pace))
            if kind in ("runner", "cyclist", "cart"):
                assert np.abs(np.median(pace)) > 1.3 * fastest
            far = bottom < 0.5 * 64
            if kind == "on_road":
                assert 0.55 * 64 < bottom < 0.72 * 64
            else:
                assert direction == (1 if far else -1) * (-1 if kind == "wrong_way" else 1)


def test_recipe_refuses():
    with pytest.raises(ValueError, match=r"kinds \['dog'\]; expected some of cyclist"):
        ToyScenes(kinds=("dog",))
    with pytest.raises(ValueError, match="150 frames of 16 x 128 pixels; expected at least"):
        ToyScenes(height=16)


def test_written_set(toy_scenes, small_scenes):
    data = Dataset(toy_scenes)
    assert data.manifest["recipe"]["seed"] == 0
    assert len(Windows(data, "train", 5)) == 2 * 16
    for video, source in zip(Videos(data, "test"), small_scenes.videos("test"), strict=True):
        np.testing.assert_array_equal(np.stack(list(video)), pixels(source))
        np.testing.assert_array_equal(video.tracks, source.tracks)
        assert video.kinds == source.kinds
        masks = [video.mask(frame) for frame in range(len(video))]
        np.testing.assert_array_equal(video.labels, [mask.any() for mask in masks])
