import shutil

import cv2
import numpy as np
import pytest

from data_prep import shanghaitech
from vadjax.data.clips import Videos
from vadjax.data.store.records import Dataset

LABELS = {"01_0014": [0, 0, 1, 1, 1, 0, 0], "02_0128": [0, 0, 1, 1, 1]}


@pytest.fixture
def original(tmp_path, write_images, masks_of):
    """The original layout, training videos as frames."""
    root = tmp_path / "shanghaitech"
    for name, count in (("01_001", 6), ("02_001", 5)):
        write_images(root / "training/frames" / name, count)
    for kind in ("frame", "pixel"):
        (root / f"testing/test_{kind}_mask").mkdir(parents=True)
    for name, labels in LABELS.items():
        count = len(labels)
        write_images(root / "testing/frames" / name, count)
        np.save(root / f"testing/test_frame_mask/{name}.npy", np.array(labels, np.uint8))
        np.save(root / f"testing/test_pixel_mask/{name}.npy", masks_of(count, 2, 5) > 0)
    return root


def check(out) -> None:
    videos = Videos(Dataset(out), "test")
    assert [video.name for video in videos] == list(LABELS)
    for video, labels in zip(videos, LABELS.values(), strict=True):
        np.testing.assert_array_equal(video.labels, labels)
        shown = [video.mask(frame).any() for frame in range(len(video))]
        np.testing.assert_array_equal(shown, labels)


def test_original_layout(original, tmp_path):
    shanghaitech.main(["--data", str(original), "--out", str(tmp_path / "out")])
    check(tmp_path / "out")


def test_training_videos_as_avi(original, tmp_path):
    shutil.rmtree(original / "training")
    (original / "training/videos").mkdir(parents=True)
    path = str(original / "training/videos/01_001.avi")
    writer = cv2.VideoWriter(path, cv2.VideoWriter.fourcc(*"MJPG"), 25, (36, 24))
    for _ in range(5):
        writer.write(np.full((24, 36, 3), 90, np.uint8))
    writer.release()
    shanghaitech.prepare(original, tmp_path / "out")
    (video,) = Videos(Dataset(tmp_path / "out"), "train")
    assert (video.name, len(video), video.labels.tolist()) == ("01_001", 5, [0] * 5)


@pytest.mark.parametrize("shape", [(12,), (1, 12)])
def test_label_file_of_one_or_two_dimensions(original, tmp_path, shape):
    labels = np.concatenate(list(LABELS.values())).reshape(shape)
    np.save(original / "frame_labels_shanghai.npy", labels.astype(np.uint8))
    shanghaitech.prepare(original, tmp_path / "out")
    check(tmp_path / "out")


def test_labels_of_another_length_name_the_video(original, tmp_path):
    np.save(original / "testing/test_frame_mask/02_0128.npy", np.zeros(6, np.uint8))
    with pytest.raises(ValueError, match="video 02_0128: 6 labels for 5 frames"):
        shanghaitech.prepare(original, tmp_path / "out")
    (original / "testing/test_frame_mask/02_0128.npy").unlink()
    with pytest.raises(FileNotFoundError, match=r"02_0128\.npy: no labels for test video"):
        shanghaitech.prepare(original, tmp_path / "out")


def test_masks_that_are_refused(original, tmp_path, masks_of):
    path = original / "testing/test_pixel_mask/02_0128.npy"
    np.save(path, masks_of(5, 2, 5, size=(12, 18)))
    with pytest.raises(ValueError, match=r"02_0128\.npy#0: 12 x 18 .* expected 24 x 36"):
        shanghaitech.prepare(original, tmp_path / "out")
    np.save(path, np.zeros((5, 24)))
    with pytest.raises(ValueError, match=r"\(5, 24\); expected \[frames, H, W\]"):
        shanghaitech.prepare(original, tmp_path / "out")


def test_masks_and_labels_as_matlab_orders_them(original, tmp_path, masks_of):
    for name, labels in LABELS.items():
        np.save(original / f"testing/test_frame_mask/{name}.npy", np.array([labels]).T)
        masks = np.moveaxis(masks_of(len(labels), 2, 5), 0, 2)
        np.save(original / f"testing/test_pixel_mask/{name}.npy", masks)
    shanghaitech.prepare(original, tmp_path / "out")
    check(tmp_path / "out")
    np.save(original / "testing/test_frame_mask/02_0128.npy", np.full(5, 255, np.uint8))
    with pytest.raises(ValueError, match=r"02_0128\.npy: labels other than 0 and 1"):
        shanghaitech.prepare(original, tmp_path / "none")


def test_masks_that_are_no_file_are_not_passed_over(original, tmp_path):
    """Without them the labels alone would be taken, without a word."""
    path = original / "testing/test_pixel_mask/02_0128.npy"
    path.unlink(missing_ok=True)
    path.symlink_to("/dev/zero")
    with pytest.raises(ValueError, match=r"02_0128\.npy: a device, expected a regular file"):
        shanghaitech.prepare(original, tmp_path / "out")
    path.unlink()
    path.symlink_to(path)
    with pytest.raises(ValueError, match=r"02_0128\.npy: .*symbolic links"):
        shanghaitech.prepare(original, tmp_path / "none")
