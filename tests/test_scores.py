import numpy as np
import pytest

from vadjax import scores
from vadjax.scores import Scores


def test_everything_comes_back(tmp_path):
    written = Scores(
        "v", np.arange(5.0), np.array([0, 1, 1, 0, 0], np.uint8),
        scored=np.array([False, True, True, True, True]),
        alternatives={"baseline": np.arange(5.0)},
        segment_scores=np.arange(3.0), boxes=np.zeros((2, 6)), map=np.ones((5, 2, 3)),
        reasons=({"frame": 1, "text": "too fast"},),
    )  # fmt: skip
    read = scores.read(scores.write(tmp_path, written))
    assert read.video == "v" and read.reasons == written.reasons
    np.testing.assert_array_equal(read.alternatives["baseline"], np.arange(5.0))
    for field in ("frame_scores", "labels", "scored", "segment_scores", "boxes", "map"):
        np.testing.assert_array_equal(getattr(read, field), getattr(written, field))
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["v.npz", "v.reasons.jsonl"]


def test_segment_scores_of_another_program_are_spread(tmp_path):
    np.savez(tmp_path / "v.npz", segment_scores=np.arange(32.0), num_frames=1024)
    frames = scores.read(tmp_path / "v.npz").frame_scores
    np.testing.assert_array_equal(frames, np.repeat(np.arange(32.0), 32))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"other": np.zeros(3)}, r"holds \['other'\]; expected frame_scores"),
        ({"frame_scores": np.zeros((3, 2))}, r"float64 \(3, 2\); expected float \[frames\]"),
        ({"frame_scores": np.array([1.0, np.nan])}, "1 of 2 scores are NaN"),
        ({"frame_scores": np.zeros(3), "labels": np.zeros(4)}, "3 scores for 4 labels"),
        ({"frame_scores": np.zeros(2), "labels": np.array([0, 2])}, "other than 0 and 1"),
    ],
)
def test_unusable_arrays_are_refused(tmp_path, arrays, message):
    np.savez(tmp_path / "v.npz", **arrays)
    with pytest.raises(ValueError, match=message):
        scores.read(tmp_path / "v.npz")


@pytest.mark.parametrize("name", ["", "a/b", ".hidden", ".."])
def test_names_that_cannot_be_files_are_refused(tmp_path, name):
    with pytest.raises(ValueError, match="cannot be the name of a file"):
        scores.write(tmp_path, Scores(name, np.zeros(3)))


def test_a_folder_is_replaced_whole_or_not_at_all(tmp_path):
    with scores.replacing(tmp_path / "s", "scores") as folder:
        scores.write(folder, Scores("old", np.zeros(3)))
    with pytest.raises(RuntimeError), scores.replacing(tmp_path / "s", "scores") as folder:
        scores.write(folder, Scores("half", np.zeros(3)))
        raise RuntimeError
    assert [v.video for v in scores.read_folder(tmp_path / "s")] == ["old"]
    with scores.replacing(tmp_path / "s", "scores") as folder:
        scores.write(folder, Scores("new", np.zeros(3)))
    assert [v.video for v in scores.read_folder(tmp_path / "s")] == ["new"]


def test_an_array_under_the_name_of_an_archive_is_refused(tmp_path):
    np.save(tmp_path / "v.npy", np.zeros(3))
    (tmp_path / "v.npy").rename(tmp_path / "v.npz")
    with pytest.raises(ValueError, match="not a readable .npz"):
        scores.read(tmp_path / "v.npz")


def test_a_pickle_is_refused_and_never_loaded(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    np.savez(tmp_path / "v.npz", frame_scores=np.array([Bomb()], object))
    with pytest.raises(ValueError, match="not a readable .npz"):
        scores.read(tmp_path / "v.npz")
    assert not (tmp_path / "ran").exists()


def test_a_truncated_file_is_refused(tmp_path):
    path = scores.write(tmp_path, Scores("v", np.zeros(1000)))
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(ValueError, match="not a readable .npz"):
        scores.read(path)
    with pytest.raises(FileNotFoundError, match="no score files"):
        scores.read_folder(tmp_path / "none")
