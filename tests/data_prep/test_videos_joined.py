"""A recorder's segments: what adjoins becomes one video, what is missing ends one."""

import datetime

import numpy as np
import pytest

from tests.data_prep.own_films import by_name, prepare, street, write_at
from tests.helpers.video_files import cut, write

START = datetime.datetime(2026, 1, 31, 23, 59, 40)
SECONDS, RATE = 4, 10
COUNT = SECONDS * RATE


def name_of(number: int, pattern: str = "gate_%Y%m%d_%H%M%S") -> str:
    """Name of segment `number`, each of four seconds, across midnight."""
    return (START + datetime.timedelta(seconds=SECONDS * number)).strftime(pattern)


@pytest.fixture
def recorder(tmp_path):
    """Function that writes segments of a film that goes on; and a film of new footage."""
    write(tmp_path / "new/gate.mp4", street(30), rate=RATE)

    def write_segments(numbers, pattern="normal/gate_%Y%m%d_%H%M%S.mp4", **options):
        for number in numbers:
            frames = street(COUNT, COUNT * number)
            write(tmp_path / name_of(number, pattern), frames, rate=RATE, **options)
        return tmp_path

    return write_segments


def lengths(data) -> dict[str, int]:
    return {name: len(video) for name, video in by_name(data).items()}


def test_segments_that_adjoin_are_one_video(recorder, capsys):
    """Across midnight, in order of time, and with the frames of all of them."""
    root = recorder(range(8))
    data = prepare(root, "--lossless")
    (video,) = by_name(data).values()
    assert video.name == name_of(0) and video.start == START.isoformat()
    assert len(video) == 8 * COUNT
    # The box goes on from segment to segment.
    expected = street(1, 5 * COUNT + 3)[0].astype(int)
    assert np.abs(video[5 * COUNT + 3] - expected).mean() < 4
    said = capsys.readouterr().out
    assert "--normal: 8 recordings in 1 videos, 32.0 s" in said
    assert "8 recordings adjoin by their names: 1 videos of them" in said and "gap" not in said


def test_a_missing_an_empty_and_a_broken_segment_are_gaps(recorder, capsys):
    root = recorder([0, 1, 3, 4, 5, 6, 7, 8, 9])
    (root / f"normal/{name_of(5)}.mp4").write_bytes(b"")
    cut(root / f"normal/{name_of(7)}.mp4")
    data = prepare(root)
    assert lengths(data) == {
        name_of(0): 2 * COUNT,
        name_of(3): 2 * COUNT,
        name_of(6): COUNT,
        name_of(8): 2 * COUNT,
    }
    said = capsys.readouterr().out
    assert "3 gaps, 12.0 s in all; behind a gap a new video begins" in said
    assert f"4.0 s between {name_of(0)} and {name_of(3)}" in said
    assert "Left out: 2 recordings" in said


def test_join_never(recorder, capsys):
    assert lengths(prepare(recorder(range(3)), "--join=never")) == {
        name_of(number): COUNT for number in range(3)
    }
    assert "gap" not in capsys.readouterr().out


def test_names_without_times_are_not_joined(recorder):
    root = recorder(range(3), "normal/%S.mp4")
    assert len(lengths(prepare(root))) == 3


@pytest.mark.parametrize("pattern", ["cam_{:04}_%Y%m%d_%H%M%S", "%Y-%m-%d_%H-%M-%S-{:04}"])
def test_numbers_of_segments_do_not_part_them(recorder, capsys, pattern):
    """A number behind the time is no zone, which would be another one for every segment."""
    for number in range(3):
        root = recorder([number], f"normal/{pattern.format(9 + number)}.mp4")
    (video,) = by_name(prepare(root)).values()
    assert len(video) == 3 * COUNT and video.start == START.isoformat()
    assert "gap" not in capsys.readouterr().out


def test_segments_of_two_cameras_in_one_tree(recorder):
    """Frigate's layout: the camera is a folder between the hour and the minute."""
    recorder(range(3), "normal/%Y-%m-%d/%H/front/%M.%S.mp4")
    root = recorder(range(3, 6), "normal/%Y-%m-%d/%H/back/%M.%S.mp4")
    found = lengths(prepare(root))
    assert sorted(found.values()) == [3 * COUNT, 3 * COUNT]
    assert {name.split("_")[2] for name in found} == {"front", "back"}


@pytest.mark.parametrize(("off", "videos"), [(1.9, 1), (-1.9, 1), (2.2, 2), (-2.2, 2)])
def test_two_seconds_may_lie_between(recorder, tmp_path, off, videos):
    root = recorder([0])
    at = START + datetime.timedelta(seconds=SECONDS + off)
    name = f"gate_{at:%Y%m%d_%H%M%S}{at.microsecond // 1000:03d}.mp4"
    (root / f"normal/{name_of(0)}.mp4").rename(root / f"normal/{name_of(0)}000.mp4")
    write(root / "normal" / name, street(COUNT), rate=RATE)
    assert len(lengths(prepare(root))) == videos


def test_segments_of_other_rate_or_size_are_not_joined(recorder):
    root = recorder([0, 2])
    write(root / f"normal/{name_of(1)}.mp4", street(COUNT, size=(96, 128)), rate=RATE)
    assert len(lengths(prepare(root, "--size=48x64"))) == 3


def test_resampling_goes_across_segments(recorder):
    assert list(lengths(prepare(recorder(range(4)), "--resample_fps=5")).values()) == [2 * COUNT]


def test_a_hole_in_a_segment_and_the_next_one(recorder, capsys):
    """The part behind the hole goes on into the next segment."""
    root = recorder([2])
    inside = [n / RATE for n in range(2 * COUNT) if not 10 <= n < 35]
    write_at(root / f"normal/{name_of(0)}.mp4", inside)
    assert lengths(prepare(root)) == {
        name_of(0): 10,
        f"{name_of(0)}_from_0h00m03.5s": 2 * COUNT - 35 + COUNT,
    }
    starts = {video.name: video.start for video in by_name_of(root).values()}
    late = START + datetime.timedelta(seconds=3.5)
    assert starts[f"{name_of(0)}_from_0h00m03.5s"] == late.isoformat()


def by_name_of(root):
    from vadjax.data.store.records import Dataset

    return by_name(Dataset(root / "out"))


def test_the_start_by_the_container_where_the_name_has_none(tmp_path):
    import av

    for split in ("normal", "new"):
        path = write(tmp_path / split / "plain.mp4", street(30), rate=RATE)
        with av.open(str(path)) as source, av.open(str(tmp_path / f"{split}.mp4"), "w") as target:
            target.metadata["creation_time"] = "2026-01-31T15:30:00.000000Z"
            stream = target.add_stream_from_template(source.streams.video[0])
            for packet in source.demux(video=0):
                if packet.dts is not None:
                    packet.stream = stream
                    target.mux(packet)
        (tmp_path / f"{split}.mp4").replace(path)
    assert by_name(prepare(tmp_path))["plain"].start == "2026-01-31T15:30:00+00:00"


def test_a_start_that_is_no_time_is_refused(recorder):
    from vadjax.data.store.records import Dataset

    root = recorder(range(1))
    prepare(root)
    manifest = root / "out/manifest.json"
    manifest.write_text(manifest.read_text().replace(START.isoformat(), "yesterday"))
    with pytest.raises(ValueError, match="start of video .* is 'yesterday'; expected as 2026-01"):
        Dataset(root / "out")
