import pickle

import cv2
import numpy as np
import pytest
import scipy.io

from data_prep import avenue
from vadjax.data.clips import Videos
from vadjax.data.store.records import Dataset


def write_video(path, count: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, (36, 24))
    for i in range(count):
        writer.write(np.full((24, 36, 3), 20 * i, np.uint8))
    writer.release()


def write_masks(path, masks: np.ndarray) -> None:
    """As published: a cell array [1, T] of masks."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cells = np.empty((1, len(masks)), object)
    for i, mask in enumerate(masks):
        cells[0, i] = mask // 255
    scipy.io.savemat(path, {"volLabel": cells})


@pytest.fixture
def original(tmp_path, masks_of):
    """The original layout: AVI files and .mat masks."""
    root = tmp_path / "Avenue Dataset"
    write_video(root / "training_videos/01.avi", 6)
    for number, count in ((1, 7), (2, 5)):
        write_video(root / f"testing_videos/{number:02d}.avi", count)
        masks = masks_of(count, 1, 3)
        write_masks(root / f"ground_truth_demo/testing_label_mask/{number}_label.mat", masks)
    return root


def test_original_layout(original, tmp_path, masks_of):
    avenue.prepare(original, tmp_path / "out")
    first, second = Videos(Dataset(tmp_path / "out"), "test")
    np.testing.assert_array_equal(first.labels, [0, 1, 1, 0, 0, 0, 0])
    np.testing.assert_array_equal(second.labels, [0, 1, 1, 0, 0])
    for frame, mask in enumerate(masks_of(7, 1, 3)):
        np.testing.assert_array_equal(first.mask(frame), mask > 0)
        np.testing.assert_allclose(first[frame].astype(int), 20 * frame, atol=4)


def test_label_file_of_the_original_layout(original, tmp_path):
    labels = np.array([[0, 1, 1, 0, 0, 0, 0, 0, 1, 1, 0, 0]], np.int8)
    np.save(original / "frame_labels_avenue.npy", labels)
    avenue.prepare(original, tmp_path / "out")
    found = [video.labels for video in Videos(Dataset(tmp_path / "out"), "test")]
    np.testing.assert_array_equal(np.concatenate(found), labels[0])


def test_frame_folders_with_mat_masks(frame_tree, tmp_path, masks_of):
    for number, count in ((1, 7), (2, 5)):
        write_masks(tmp_path / f"masks/{number}_label.mat", masks_of(count, 0, 2))
    np.save(frame_tree / "frame_labels_avenue.npy", np.array([[1, 1] + [0] * 5 + [1, 1, 0, 0, 0]]))
    out = tmp_path / "out"
    avenue.main(["--data", str(frame_tree), "--out", str(out), "--masks", str(tmp_path / "masks")])
    video = Videos(Dataset(out), "test")[1]
    np.testing.assert_array_equal(video.labels, [1, 1, 0, 0, 0])
    assert video.mask(0).sum() == 50


def test_labels_in_mat_files(original, tmp_path):
    """A row a video by name; and cells of first and last frames, as one program publishes them."""
    rows = {"01": [0, 1, 1, 0, 0, 0, 0], "02": [0, 1, 1, 0, 0]}
    scipy.io.savemat(tmp_path / "rows.mat", {name: np.array([row]) for name, row in rows.items()})
    cells = np.empty((1, 2), object)
    cells[0, 0] = cells[0, 1] = np.array([[2], [3]])
    scipy.io.savemat(tmp_path / "cells.mat", {"gt": cells})
    for name in ("rows", "cells"):
        out = tmp_path / name
        labels = str(tmp_path / f"{name}.mat")
        avenue.main(["--data", str(original), "--labels", labels, "--out", str(out)])
        for video in Videos(Dataset(out), "test"):
            np.testing.assert_array_equal(video.labels, rows[video.name])


def test_a_pickle_of_labels_is_refused(original, tmp_path):
    path = tmp_path / "gt_label.json"
    path.write_bytes(pickle.dumps([np.zeros(7), np.zeros(5)]))
    flags = ["--data", str(original), "--labels", str(path), "--out", str(tmp_path / "out")]
    with pytest.raises(SystemExit, match="error: .*gt_label.json: a Python pickle"):
        avenue.main(flags)


@pytest.mark.parametrize("axis", [0, 2])
def test_masks_as_one_array_of_numbers(original, tmp_path, masks_of, axis):
    folder = original / "ground_truth_demo/testing_label_mask"
    for number, count in ((1, 7), (2, 5)):
        masks = np.moveaxis(masks_of(count, 1, 3), 0, axis)
        scipy.io.savemat(folder / f"{number}_label.mat", {"volLabel": masks})
    avenue.prepare(original, tmp_path / "out")
    first, second = Videos(Dataset(tmp_path / "out"), "test")
    np.testing.assert_array_equal(first.labels, [0, 1, 1, 0, 0, 0, 0])
    np.testing.assert_array_equal(second.mask(1), masks_of(5, 1, 3)[1] > 0)
    scipy.io.savemat(folder / "2_label.mat", {"volLabel": np.zeros((24, 36, 4))})
    with pytest.raises(ValueError, match=r"2_label\.mat: .*\(24, 36, 4\), number of frames 5"):
        avenue.prepare(original, tmp_path / "none")


def published(tmp_path, **files):
    (tmp_path / "tracks").mkdir(exist_ok=True)
    for name, rows in files.items():
        (tmp_path / "tracks" / f"{name[1:]}.txt").write_text(rows)
    return tmp_path / "tracks"


def test_published_tracks(original, tmp_path, capsys):
    np.save(original / "frame_labels_avenue.npy", [0, 1, 1, 0, 0, 0, 0] + [0, 1, 1, 0, 0])
    folder = published(tmp_path, _01="0,1,10,4,19,8\n0,2,10,4,19,8\n0,3,9,4,19,8\n", _02_gt="")
    out = tmp_path / "out"
    avenue.main(["--data", str(original), "--out", str(out), "--tracks", str(folder)])
    first, second = Videos(Dataset(out), "test")
    np.testing.assert_array_equal(first.tracks[:, 1:3], [[1, 10], [2, 10], [3, 9]])
    assert second.tracks.shape == (0, 6)
    text = capsys.readouterr().out
    assert "tracks: 2 videos, 1 tracks, 3 boxes; frames 1 to 3, x 9 to 19, y 4 to 8" in text
    assert "frames: 0 to 6 in the longest video, x 0 to 35, y 0 to 23" in text
    assert "tracks: 3 frames are labelled otherwise than their boxes say" in text


def test_published_tracks_in_other_columns(original, tmp_path):
    folder = published(tmp_path, _01="2.jpg 0 15 6.5 10 5\n", _02="")
    avenue.main(
        [
            "--data",
            str(original),
            "--out",
            str(tmp_path / "out"),
            "--tracks",
            str(folder),
            "--track_columns=frame,track,cx,cy,w,h",
            "--first_track_frame=1",
        ]
    )
    np.testing.assert_array_equal(
        Videos(Dataset(tmp_path / "out"), "test")[0].tracks, [[0, 1, 10, 4, 19, 8]]
    )


def test_published_tracks_with_a_heading(original, tmp_path, capsys):
    rows = "frame,track,left,top,width,height\n1,0,10,4,10,5\n"
    folder = published(
        tmp_path, _01=rows, _02="", _readme="track_id, frame_id, x_min, …\nin words\n"
    )
    out = tmp_path / "out"
    avenue.main(["--data", str(original), "--out", str(out), "--tracks", str(folder)])
    np.testing.assert_array_equal(Videos(Dataset(out), "test")[0].tracks, [[0, 1, 10, 4, 19, 8]])
    said = capsys.readouterr().err
    assert "readme.txt: holds no row" in said and "columns by the heading, frame,track,left" in said
    published(tmp_path, _01="0,1,0.25,0.5,0.75,1\n")
    with pytest.raises(ValueError, match="01.txt: all coordinates .* data_prep.tracks text"):
        avenue.prepare(original, tmp_path / "none", tracks=folder)


def test_published_tracks_that_do_not_fit(original, tmp_path):
    def refused(message, error=ValueError):
        with pytest.raises(error, match=message):
            avenue.prepare(original, tmp_path / "out", tracks=tmp_path / "tracks")

    refused("tracks: no such folder", FileNotFoundError)
    published(tmp_path, _01="")
    refused(r"tracks: no 02\.txt .* touch .*02\.txt", FileNotFoundError)
    published(tmp_path, _02="", _22="")
    refused(r"22\.txt: no test video '22'; they are 01, 02")
    (tmp_path / "tracks/22.txt").unlink()
    published(tmp_path, _02="0,4,10,4,19,8\n0,5,10,4,19,8\n")
    refused(r"02\.txt:2: no such frame; .* 0 to 4: .* --first_track_frame 0$")
    published(tmp_path, _02="0,4,10,4,19,80\n")
    refused(r"02\.txt:1: a box far outside its frame of 24 x 36 .* --track_columns track_id,")
    assert not (tmp_path / "out").exists()


def test_refuses(original, tmp_path, masks_of):
    folder = original / "ground_truth_demo/testing_label_mask"
    write_masks(folder / "2_label.mat", masks_of(4, 0, 2))
    with pytest.raises(ValueError, match="video 02: 4 masks for 5 frames"):
        avenue.prepare(original, tmp_path / "out")
    write_masks(folder / "2_label.mat", masks_of(6, 0, 2))
    with pytest.raises(ValueError, match="video 02: 6 masks for 5 frames"):
        avenue.prepare(original, tmp_path / "out")
    write_masks(folder / "2_label.mat", masks_of(5, 0, 2, size=(48, 72)))
    with pytest.raises(ValueError, match=r"2_label\.mat#0: 48 x 72 .* expected 24 x 36"):
        avenue.prepare(original, tmp_path / "out")
    scipy.io.savemat(folder / "2_label.mat", {"other": np.zeros(3)})
    with pytest.raises(ValueError, match="has no volLabel; is it a mask file of Avenue"):
        avenue.prepare(original, tmp_path / "out")
    (folder / "2_label.mat").write_bytes(b"no MATLAB file")
    with pytest.raises(ValueError, match=r"2_label\.mat: not a readable \.mat file"):
        avenue.prepare(original, tmp_path / "out")
    (folder / "2_label.mat").unlink()
    with pytest.raises(FileNotFoundError, match=r"no 2_label\.mat"):
        avenue.prepare(original, tmp_path / "out")
    with pytest.raises(FileNotFoundError, match="no such folder .--masks"):
        avenue.prepare(original, tmp_path / "out", masks=tmp_path / "nowhere")
