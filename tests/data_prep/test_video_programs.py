"""The programs for datasets of frames refuse or mend video files that are not what they seem."""

import re

import numpy as np
import pytest

from data_prep import avenue, shanghaitech, ucsd_ped
from tests.helpers.video_files import cut, moving, write, write_interlaced
from vadjax.data.clips import Videos
from vadjax.data.store.records import Dataset

LAYOUTS = {  # program → its folders of training and of test videos
    ucsd_ped: ("train/frames", "test/frames"),
    avenue: ("training_videos", "testing_videos"),
    shanghaitech: ("training/videos", "testing/frames"),
}


@pytest.fixture(params=LAYOUTS, ids=lambda program: program.__name__.split(".")[-1])
def program(request, tmp_path):
    """Function of more flags that runs a program, and its folder of training videos."""
    train, test = (tmp_path / "data" / name for name in LAYOUTS[request.param])
    write(test / "01.mp4", moving(20))
    np.save(tmp_path / "data/frame_labels_x.npy", np.arange(20) % 2)

    def run(*flags):
        request.param.main(
            ["--data", str(tmp_path / "data"), "--out", str(tmp_path / "out"), *flags]
        )

    return run, train


def test_interlaced_video_is_refused_or_deinterlaced(program, tmp_path):
    run, train = program
    expected = write_interlaced(train / "01.mp4")
    with pytest.raises(SystemExit, match=r"01\.mp4: frame 0 is interlaced .*Say --deinterlace"):
        run()
    assert not (tmp_path / "out").exists()
    run("--deinterlace")
    (video,) = Videos(Dataset(tmp_path / "out"), "train")
    frames = list(video)
    assert len(frames) == 12
    for frame, true in zip(frames[1:], expected[1:], strict=True):
        assert np.abs(frame.astype(int) - true).mean() < 1


def test_video_cut_short_is_warned_of_and_refused_with_strict(program, tmp_path, capsys):
    run, train = program
    cut(write(train / "01.mp4", moving(100), container={"movflags": "faststart"}))
    cut(write(train / "02.avi", moving(100), "mpeg4"))
    run()
    said = re.findall(r"warning: .*/(\S+): (\d+) of (\d+) frames", capsys.readouterr().err)
    assert [(name, promised) for name, _, promised in said] == [
        ("01.mp4", "100"),
        ("02.avi", "100"),
    ]
    videos = Videos(Dataset(tmp_path / "out"), "train")
    assert [len(video) for video in videos] == [int(count) for _, count, _ in said]
    (tmp_path / "out").rename(tmp_path / "first")
    with pytest.raises(SystemExit, match=r"01\.mp4: \d+ of 100 frames .* leave out --strict"):
        run("--strict")
    assert not (tmp_path / "out").exists()


def test_a_count_that_labels_do_not_fit_is_said_with_what_is_missing(tmp_path, capsys):
    write(tmp_path / "data/train/frames/01.mp4", moving(5))
    cut(
        write(tmp_path / "data/test/frames/01.mp4", moving(50), container={"movflags": "faststart"})
    )
    np.save(tmp_path / "data/frame_labels_x.npy", np.arange(50) % 2)
    with pytest.raises(SystemExit, match="50 labels, but the 1 videos have"):
        ucsd_ped.main(["--data", str(tmp_path / "data"), "--out", str(tmp_path / "out")])
    assert "of 50 frames can be decoded" in capsys.readouterr().err
