import argparse

import pytest

from data_prep.lib import command
from tests.helpers.places import ROOT


def summary_of(capsys, **manifest) -> list[str]:
    """Lines that are printed of a dataset."""
    shards = {"shards": [{"bytes": 1_500_000}, {"bytes": 500_000}]}
    splits = {name: split | shards for name, split in manifest.pop("splits").items()}
    manifest = {"name": "toy", "format": "array_record", "splits": splits, **manifest}
    command.print_summary("data/x", manifest)
    return capsys.readouterr().out.splitlines()


def test_sizes():
    assert command.parse_size("240x360") == (240, 360)
    for text in ("240", "240x", "240X360", "0x5", "-1x5", "240x360 ", "²x5", ""):
        with pytest.raises(argparse.ArgumentTypeError, match="; expected HEIGHTxWIDTH, for exam"):
            command.parse_size(text)


def test_columns():
    assert command.parse_columns("frame, x0 ,y0") == ("frame", "x0", "y0")


def test_a_summary_counts_what_was_written_and_names_the_next_command(capsys):
    splits = {"train": {"records": 6, "anomalous": 4, "normal": 2}}
    assert summary_of(capsys, kind="features", splits=splits) == [
        "train: 6 videos (4 anomalous, 2 normal), 2 shards, 2.0 MB",
        "Wrote toy to data/x (array_record).",
        "Train on it: python -m vadjax.main --config=configs/ucf_mil.py "
        "--config.data.dir=data/x --workdir=runs/NAME",
    ]


def test_objects_are_trained_on_beside_their_frames(capsys):
    videos = [{"frames": 1200, "objects": 7}, {"frames": 34, "objects": 0}]
    counts = {"records": 1234, "videos": videos}
    lines = summary_of(capsys, kind="objects", splits={"test": counts}, frames={"folder": "data/f"})
    assert lines[0] == "test: 2 videos, 1,234 frames, 1,234 objects, 2 shards, 2.0 MB"
    assert "--config.data.dir=data/f --config.data.objects=data/x " in lines[-1]


def test_videos_without_label_are_told(capsys):
    counts = {"records": 50, "videos": [{}, {}], "anomalous": 0, "normal": 1, "unlabelled": 1}
    lines = summary_of(capsys, kind="frames", splits={"test": counts})
    assert lines[0] == (
        "test: 2 videos, 50 frames (0 anomalous, 1 normal, 1 without label), 2 shards, 2.0 MB"
    )


@pytest.mark.parametrize(
    ("manifest", "config"),
    [
        ({"kind": "features", "name": "ucf_crime"}, "ucf_mil"),
        ({"kind": "features", "name": "ucf", "sampling": {"rule": "linear"}}, "ucf_s3r"),
        ({"kind": "features", "name": "ucf", "sampling": {"rule": "mean"}}, "ucf_rtfm"),
        (
            {"kind": "features", "name": "shanghaitech_i3d", "sampling": {"rule": "linear"}},
            "shanghaitech_s3r",
        ),
        (
            {"kind": "features", "name": "shanghaitech_i3d", "sampling": {"rule": "mean"}},
            "shanghaitech_rtfm",
        ),
        ({"kind": "frames", "name": "x"}, "ped2_lgn"),
        ({"kind": "objects", "name": "x"}, "ped2_ssmtl"),
    ],
)
def test_the_config_that_is_named_is_there(manifest, config):
    assert command._config(manifest) == f"configs/{config}.py"
    assert (ROOT / "configs" / f"{config}.py").is_file()
