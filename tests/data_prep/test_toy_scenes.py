import pytest

from data_prep import toy
from vadjax.data.store.records import Dataset

SMALL = ["--size", "48x64", "--frames", "12", "--train", "1", "--test", "1"]


def test_scenes_from_the_command_line(tmp_path, capsys):
    out = tmp_path / "scenes"
    toy.main(["--kind", "scenes", "--out", str(out), *SMALL, "--encoding", "jpeg"])
    data = Dataset(out)
    assert (data.kind, data.manifest["encoding"], data.manifest["size"]) == (
        "frames",
        "jpeg",
        [48, 64],
    )
    printed = capsys.readouterr().out
    assert "train: 1 videos, 12 frames (0 anomalous, 12 normal)" in printed
    assert f"--config.data.dir={out}" in printed


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--kind", "scenes", "--width", "64"], "--width: not for --kind scenes"),
        (["--kind", "bags", "--size", "48x64"], "--size: not for --kind bags"),
        (["--kind", "bags", "--train", "3"], "--train 3: --kind bags takes 2 numbers"),
        (["--kind", "scenes", "--test", "3", "4"], "--test 3 4: --kind scenes takes 1 number"),
    ],
)
def test_flags_of_the_other_kind(tmp_path, flags, message):
    with pytest.raises(SystemExit, match=message):
        toy.main(["--out", str(tmp_path / "out"), *flags])
    assert not list(tmp_path.iterdir())


def test_size_that_is_none(tmp_path, capsys):
    with pytest.raises(SystemExit):
        toy.main(["--kind", "scenes", "--out", str(tmp_path / "out"), "--size", "48"])
    assert "expected HEIGHTxWIDTH, for example 256x256" in capsys.readouterr().err
