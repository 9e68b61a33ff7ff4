"""Features of videos: a file a video, resumed, and what becomes of videos that are none."""

import itertools
import json
import re
import wave

import cv2
import numpy as np
import pytest

from benchmarks.extract import peak_of
from data_prep import extract_features, ucf_crime, weights
from data_prep.extract_features import extract
from data_prep.lib.extractor import Extractor
from tests.data_prep.extract_cases import Net, grey_levels, run, write_video
from tests.helpers.video_files import cut, write, write_interlaced
from vadjax.data.store.loader import prefetch
from vadjax.data.video.pictures import Levels
from vadjax.data.video.reader import Reading, find_videos
from vadjax.data.video.snippets import Snippets
from vadjax.extractors import clips as clip_features
from vadjax.extractors.clips import SnippetFeatures


@pytest.fixture
def source(tmp_path):
    """Two videos of two classes and a folder of frames."""
    write_video(tmp_path / "videos/Fire/a.mp4", 35)
    write_video(tmp_path / "videos/Normal/deep/b.avi", 48)
    frames = tmp_path / "videos/Normal/c"
    frames.mkdir()
    for i in range(16):
        cv2.imwrite(str(frames / f"{i}.png"), np.full((33, 47), 5 * i, np.uint8))
    return tmp_path / "videos"


def test_a_file_of_features_for_every_video(source, tmp_path, capsys):
    out = tmp_path / "out"
    assert run(source, out) == {}
    found = {str(path.relative_to(out)): np.load(path) for path in out.rglob("*.npy")}
    assert found.keys() == {"Fire/a.npy", "Normal/deep/b.npy", "Normal/c.npy"}
    assert all(a.dtype == np.float32 and a.shape[1:] == (2,) for a in found.values())
    assert grey_levels(found["Fire/a.npy"]) == [[0, 15], [16, 31]]
    assert grey_levels(found["Normal/deep/b.npy"]) == [[0, 15], [16, 31], [32, 47]]
    assert grey_levels(found["Normal/c.npy"]) == [[0, 15]]
    assert "extract 3/3" in capsys.readouterr().out
    reader = ucf_crime.Reader(ucf_crime.find_features(out), 32, pool=True, normalize=False)
    assert reader.read(ucf_crime.Entry("Fire/a.mp4", 1)).shape == (1, 32, 2)


def test_ten_crops_step_and_last_snippet(source, tmp_path):
    assert run(source, tmp_path / "out", crops="ten", step=10, pad_last=True) == {}
    found = np.load(tmp_path / "out/Fire/a.npy")
    assert found.shape == (10, 3, 2) and found.flags.c_contiguous
    for crop in found:
        assert grey_levels(crop) == [[0, 15], [10, 25], [20, 34]]


def test_the_same_call_again_goes_on(source, tmp_path):
    out = tmp_path / "out"
    run(source, out)
    before = (out / "Fire/a.npy").read_bytes()
    (out / "Fire/a.npy").unlink()
    kept = (out / "Normal/c.npy").stat().st_mtime_ns
    (out / "Fire/.a.npy.tmp").write_bytes(b"half")
    net = Net()
    assert run(source, out, net) == {}
    assert net.clips == 2 and (out / "Fire/a.npy").read_bytes() == before
    assert (out / "Normal/c.npy").stat().st_mtime_ns == kept
    assert not list(out.rglob("*.tmp"))
    assert run(source, out, net) == {} and net.clips == 2


def test_a_stop_leaves_whole_files_only(source, tmp_path):
    class Stops(Net):
        def __call__(self, clips):
            if self.clips:
                raise KeyboardInterrupt
            return super().__call__(clips)

    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        run(source, out, Stops())
    left = {path.name for path in out.rglob("*") if path.is_file()}
    assert left == {"a.npy", "settings.json", "sources.json"}
    assert run(source, out) == {} and len(list(out.rglob("*.npy"))) == 3


def test_other_settings_are_refused(source, tmp_path):
    out = tmp_path / "out"
    run(source, out)
    assert json.loads((out / "settings.json").read_text())["weights"] == "0123"
    other = Net()
    other.digest = "4567"
    with pytest.raises(ValueError, match="other settings:\n  weights: '0123' there, '4567' here\n"):
        run(source, out, other)
    with pytest.raises(
        ValueError, match="  crops: 'centre' there, 'ten' here\n  step: 16 there, 8"
    ):
        run(source, out, crops="ten", step=8)
    (out / "settings.json").unlink()
    with pytest.raises(ValueError, match="holds features but no settings.json; name another"):
        run(source, out)


def test_another_video_of_the_same_name_is_refused(source, tmp_path):
    for split in ("training", "testing"):
        write_video(tmp_path / split / "frames/01.avi", 20)
    out = tmp_path / "out"
    assert run(tmp_path / "training/frames", out) == {}
    with pytest.raises(ValueError, match="01.npy: was made from .*training/frames/01.avi; .*testi"):
        run(tmp_path / "testing/frames", out)
    (tmp_path / "moved").mkdir()
    (tmp_path / "training").rename(tmp_path / "moved/training")
    assert run(tmp_path / "moved/training/frames", out) == {}


def cut_short(path):
    """A file without its end, where the list of frames is."""
    content = write_video(path, 40).read_bytes()
    path.write_bytes(content[: len(content) // 2])


def sound_only(path):
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(bytes(16000))


def no_picture_in_it(path):
    """A film whose only track says that it is sound."""
    content = write_video(path, 40).read_bytes()
    assert content.count(b"vide") == 1
    path.write_bytes(content.replace(b"vide", b"soun"))


BAD = {
    "zero length": (lambda path: path.write_bytes(b""), "no video can be read from it"),
    "no video": (lambda path: path.write_text("<html>"), "no video can be read from it"),
    "cut short": (cut_short, "no video can be read from it"),
    "sound only": (sound_only, "holds no video stream, but audio"),
    "a track of sound": (no_picture_in_it, "holds no video stream, but audio"),
    "too short": (lambda path: write_video(path, 9), "9 frames, a snippet has 16; .*--pad_last"),
}


@pytest.mark.parametrize("case", BAD)
def test_videos_that_cannot_be_used_are_passed_over(case, source, tmp_path):
    make, message = BAD[case]
    make(source / "Fire/0.mp4")  # the first to be read
    failed = run(source, tmp_path / "out")
    assert list(failed) == ["Fire/0"] and str(source / "Fire/0.mp4") in failed["Fire/0"]
    assert re.search(message, failed["Fire/0"])
    assert len(list((tmp_path / "out").rglob("*.npy"))) == 3
    write_video(source / "Fire/0.mp4", 16)
    assert run(source, tmp_path / "out") == {}
    assert len(list((tmp_path / "out").rglob("*.npy"))) == 4


def test_a_video_cut_short_is_warned_of_and_refused_with_strict(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(clip_features, "load_i3d", lambda *args: Net())
    greys = [np.full((48, 64, 3), 2 * i, np.uint8) for i in range(100)]
    faststart = {"movflags": "faststart"}
    path = cut(
        write(
            tmp_path / "videos/Fire/a.mp4", greys, "mjpeg", pixels="yuvj420p", container=faststart
        )
    )
    flags = ["--videos", str(tmp_path / "videos"), "--weights", "w", "--out"]
    extract_features.main([*flags, str(tmp_path / "out")])
    said = capsys.readouterr().err
    count = int(re.search(rf"warning: {path}: (\d+) of 100 frames can be decoded; ", said)[1])
    assert 50 < count < 65
    assert len(np.load(tmp_path / "out/Fire/a.npy")) == count // 16
    with pytest.raises(SystemExit, match=rf"Fire/a: {path}: {count} of 100 frames .*--strict"):
        extract_features.main([*flags, str(tmp_path / "strict"), "--strict"])
    assert not list((tmp_path / "strict").rglob("*.npy"))


def test_interlaced_video_is_refused_or_deinterlaced(tmp_path):
    (tmp_path / "videos/Fire/b").mkdir(parents=True)
    for rank, picture in enumerate(write_interlaced(tmp_path / "videos/Fire/a.mp4", 20)):
        cv2.imwrite(str(tmp_path / f"videos/Fire/b/{rank:02}.png"), picture)
    failed = run(tmp_path / "videos", tmp_path / "out")
    assert list(failed) == ["Fire/a"]
    assert re.search(r"a\.mp4: frame 0 is interlaced .*--deinterlace", failed["Fire/a"])
    assert run(tmp_path / "videos", tmp_path / "out", reading=Reading(deinterlace=True)) == {}
    found, expected = (np.load(tmp_path / f"out/Fire/{name}.npy") for name in "ab")
    np.testing.assert_allclose(found, expected, atol=1)


def test_video_is_resampled_on_request(source, tmp_path):
    half = Reading(rate=12.5)
    failed = run(source, tmp_path / "out", reading=half)
    assert (
        list(failed) == ["Normal/c"] and "cannot be resampled to 12.5 frames" in failed["Normal/c"]
    )
    assert grey_levels(np.load(tmp_path / "out/Fire/a.npy")) == [[0, 30]]
    assert grey_levels(np.load(tmp_path / "out/Normal/deep/b.npy")) == [[0, 30]]
    assert json.loads((tmp_path / "out/settings.json").read_text())["resample_fps"] == 12.5
    with pytest.raises(ValueError, match="  resample_fps: 12.5 there, None here"):
        run(source, tmp_path / "out")
    assert (
        extract_features.parse(
            ["--videos", "v", "--weights", "w", "--out", "o", "--resample_fps", "25"]
        ).resample_fps
        == 25
    )


def test_a_damaged_frame_is_named(source, tmp_path):
    (source / "Normal/c/7.png").write_bytes(b"x")
    failed = run(source, tmp_path / "out")
    assert list(failed) == ["Normal/c"] and "7.png: not a readable image" in failed["Normal/c"]


def test_a_video_shorter_than_a_snippet_is_filled_up(tmp_path):
    write_video(tmp_path / "Fire/short.mp4", 9)
    assert run(tmp_path, tmp_path / "out", pad_last=True) == {}
    assert grey_levels(np.load(tmp_path / "out/Fire/short.npy")) == [[0, 8]]


@pytest.mark.parametrize("size", [(34, 62), (20, 300), (300, 20), (480, 480), (97, 131)])
@pytest.mark.parametrize("crops", ["centre", "ten"])
def test_odd_sizes_and_grey(size, crops, tmp_path):
    folder = tmp_path / "Fire/a"
    folder.mkdir(parents=True)
    for i in range(16):
        cv2.imwrite(str(folder / f"{i}.png"), np.full(size, 5 * i, np.uint8))
    assert run(tmp_path, tmp_path / "out", crops=crops) == {}
    assert grey_levels(np.load(tmp_path / "out/Fire/a.npy").reshape(-1, 2)) == [[0, 15]] * (
        10 if crops == "ten" else 1
    )


def test_a_grey_video(tmp_path):
    write_video(tmp_path / "Fire/a.avi", 16, (36, 48), grey=True)
    assert run(tmp_path, tmp_path / "out") == {}
    assert grey_levels(np.load(tmp_path / "out/Fire/a.npy")) == [[0, 15]]


def test_one_video_a_flat_folder_and_a_list(source, tmp_path):
    assert list(find_videos(source / "Fire/a.mp4")) == ["Fire/a"]
    assert list(find_videos(source / "Normal/c")) == ["Normal/c"]
    assert list(find_videos(source / "Fire")) == ["Fire/a"]
    chosen = tmp_path / "list.txt"
    chosen.write_text("Normal/c\n\nFire/a.mp4\n")
    assert list(find_videos(source, chosen)) == ["Normal/c", "Fire/a"]
    chosen.write_text("Fire/a.mp4\nFire/b.mp4\n")
    with pytest.raises(FileNotFoundError, match=r"1 of its 2 videos are not in .*\n  Fire/b.mp4"):
        find_videos(source, chosen)
    chosen.write_text("../a.mp4\n")
    with pytest.raises(ValueError, match=r"'\.\./a\.mp4' is not a path below"):
        find_videos(source, chosen)
    write_video(source / "Fire/a.avi", 16)
    with pytest.raises(ValueError, match=r"a\.avi and .*a\.mp4 are both Fire/a; rename"):
        find_videos(source)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"empty: no video here"):
        find_videos(tmp_path / "empty")
    with pytest.raises(FileNotFoundError, match="nowhere: no such file or folder"):
        find_videos(tmp_path / "nowhere")


def test_what_is_made_ahead_keeps_order_and_errors():
    def items():
        yield from range(9)
        raise RuntimeError("a defect")

    found = []
    with pytest.raises(RuntimeError, match="a defect"):
        for item in prefetch(items(), 4):
            found.append(item)
    assert found == list(range(9))
    assert list(prefetch(iter(range(3)), 8)) == [0, 1, 2] and list(prefetch(iter(()), 4)) == []


def test_the_command(source, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(clip_features, "load_i3d", lambda *args: Net())
    out = tmp_path / "out"
    flags = ["--videos", str(source), "--weights", "w", "--out", str(out)]
    extract_features.main(flags)
    assert f"3 of 3 videos have features in {out}" in capsys.readouterr().out
    (source / "Fire/0.mp4").write_bytes(b"")
    with pytest.raises(SystemExit, match="1 of 4 videos could not be used:\n  Fire/0: ") as stop:
        extract_features.main(flags)
    assert isinstance(stop.value.code, str)  # printed, with exit status 1
    with pytest.raises(SystemExit, match="other settings:\n  step: 16 there, 8 here"):
        extract_features.main([*flags, "--step", "8"])


@pytest.fixture
def real_net(kinetics_i3d, tmp_path):
    """The network of the published weights, for one snippet at a time."""
    weights.prepare("i3d_rgb_kinetics400", tmp_path / "i3d", str(kinetics_i3d))
    return SnippetFeatures.load(tmp_path / "i3d", Snippets("centre"), batch=1)


@pytest.mark.slow
def test_features_equal_those_of_the_real_set(ucf_mini, real_net, tmp_path, request, monkeypatch):
    """Of the shortest video every tenth snippet, up to the last; with --whole all of all."""
    whole, numbers = request.config.option.whole, itertools.count()
    paths = sorted((ucf_mini / "videos").glob("*.mp4"), key=lambda path: path.stat().st_size)
    videos = {path.stem: path for path in paths[: None if whole else 1]}
    features, step = real_net.features, 1 if whole else 10

    def some(clips):
        chosen = next(numbers) % step == 0
        return features(clips) if chosen else np.zeros((1, 1, real_net.width), np.float32)

    monkeypatch.setattr(real_net, "features", some)
    assert extract(Extractor(real_net, tmp_path / "out"), videos) == {}
    cosines = []
    for name in videos:
        expected = np.load(ucf_mini / "i3d_rgb_16f" / f"{name}.npy")
        found = np.load(tmp_path / f"out/{name}.npy")
        assert found.shape == expected.shape and found.dtype == np.float32
        found, expected = found[::step], expected[::step]
        norms = np.linalg.norm(found, axis=1) * np.linalg.norm(expected, axis=1)
        cosines += [(found * expected).sum(1) / norms]
        print(f"{name}: {len(found)} snippets, smallest cosine {cosines[-1].min():.6f}")
    assert np.concatenate(cosines).min() >= 0.999


@pytest.mark.slow
def test_memory_does_not_grow_with_the_video():
    short, long = (peak_of(minutes, toy=True) for minutes in (0.3, 3))
    print(f"peak {short:.0f} MB for 0.3 minutes, {long:.0f} MB for 3 minutes")
    assert long < short + 100  # 3 minutes of frames are 1,040 MB, of clips 170 MB


def test_frames_of_16_bits_need_levels_which_the_settings_keep(tmp_path):
    frames = tmp_path / "videos/Normal/c"
    frames.mkdir(parents=True)
    for i in range(16):
        cv2.imwrite(str(frames / f"{i}.png"), np.full((33, 47), 7000 + 20 * i, np.uint16))
    failed = run(tmp_path / "videos", tmp_path / "out")
    assert "uint16 with values from 7000 to 7000" in failed["Normal/c"]
    features = SnippetFeatures(Net(), Snippets("centre"), 8)
    for levels in (Levels(7000, 8020), None):
        extractor = Extractor(features, tmp_path / "levels", reading=Reading(levels=levels))
        if levels is None:
            with pytest.raises(ValueError, match=r"levels: \[7000, 8020\] there, None here"):
                extract(extractor, find_videos(tmp_path / "videos"))
        else:
            assert extract(extractor, find_videos(tmp_path / "videos")) == {}
    assert grey_levels(np.load(tmp_path / "levels/Normal/c.npy")) == [[0, 15]]
    settings = json.loads((tmp_path / "levels/settings.json").read_text())
    assert settings["levels"] == [7000, 8020]
    assert "levels" not in json.loads((tmp_path / "out/settings.json").read_text())
