"""Flow, two networks side by side, and pooling."""

import json

import cv2
import numpy as np
import pytest

from data_prep import extract_features, ucf_crime
from data_prep.lib.extractor import Pooling
from tests.data_prep.extract_cases import Net, run
from vadjax.data.segments import normalize_rows, pool_clips, resize_linear
from vadjax.data.video.reader import VIDEOS
from vadjax.data.video.snippets import Snippets
from vadjax.extractors import clips as clip_features
from vadjax.extractors.clips import SnippetFeatures


class FlowNet:
    """Stands for a network for flow: the feature of a clip is its mean x and y."""

    digest, normalisation, stream, width = "89ab", "pm1", "flow", 2

    def __call__(self, clips):
        """Features [N, 1, 1, 1, 2]."""
        assert clips.shape[1:] == (16, 224, 224, 2) and clips.dtype == np.uint8
        return clips.mean((1, 2, 3)).astype(np.float32)[:, None, None, None]


@pytest.fixture
def moving(tmp_path):
    """A folder of 40 frames, 256 x 340, whose texture moves two pixels to the right a frame."""
    rough = np.random.default_rng(0).uniform(0, 255, (256, 340))
    picture = cv2.normalize(cv2.GaussianBlur(rough, (0, 0), 3), None, 0, 255, cv2.NORM_MINMAX)
    folder = tmp_path / "videos/Fire/a"
    folder.mkdir(parents=True)
    for i in range(40):
        moved = np.roll(picture, 2 * i, 1).astype(np.uint8)
        cv2.imwrite(str(folder / f"{i:02d}.png"), moved)
    return tmp_path / "videos"


MOTION = 127.5 + 2 * 127.5 / 20  # two pixels to the right


def test_two_networks_write_the_two_stream_layout(moving, tmp_path):
    out = tmp_path / "out"
    assert run(moving, out, [Net(), FlowNet()]) == {}
    rgb, flow = (np.load(out / f"all_{name}/Fire/a.mp4.npy") for name in ("rgbs", "flows"))
    assert rgb.shape == flow.shape == (2, 2)
    np.testing.assert_allclose(flow, [[MOTION, 127.5]] * 2, atol=1)
    assert run(moving, tmp_path / "rgb") == run(moving, tmp_path / "flow", FlowNet()) == {}
    np.testing.assert_array_equal(np.load(tmp_path / "rgb/Fire/a.npy"), rgb)
    np.testing.assert_array_equal(np.load(tmp_path / "flow/Fire/a.npy"), flow)
    settings = json.loads((out / "settings.json").read_text())
    assert (settings["weights"], settings["flow"]) == ("0123+89ab", "dis")
    assert json.loads((tmp_path / "rgb/settings.json").read_text())["flow"] is None
    assert ucf_crime.find_features(out).paths("Fire/a") == [
        out / f"all_{name}/Fire/a.mp4.npy" for name in ("rgbs", "flows")
    ]
    (out / "all_flows/Fire/a.mp4.npy").unlink()  # as after a stop between the two
    assert run(moving, out, [Net(), FlowNet()]) == {}
    np.testing.assert_array_equal(np.load(out / "all_flows/Fire/a.mp4.npy"), flow)


def test_motion_is_mirrored_with_the_picture(moving, tmp_path):
    assert run(moving, tmp_path / "out", FlowNet(), crops="ten") == {}
    flow = np.load(tmp_path / "out/Fire/a.npy")
    assert flow.shape == (10, 2, 2)
    np.testing.assert_allclose(flow[:5], np.broadcast_to([MOTION, 127.5], (5, 2, 2)), atol=1)
    order = [1, 0, 2, 4, 3]  # what is left becomes right
    np.testing.assert_allclose(flow[5:, :, 0], 255 - flow[order, :, 0], atol=1e-3)
    np.testing.assert_allclose(flow[5:, :, 1], flow[order, :, 1], atol=1e-3)


def test_networks_in_another_order_are_refused():
    net = SnippetFeatures([Net(), FlowNet()], Snippets(), 4)
    assert (net.width, net.widths) == (4, {"rgb": 2, "flow": 2})
    for wrong in ([FlowNet(), Net()], [Net(), Net()], []):
        with pytest.raises(ValueError, match=r"networks for .*; expected one, or one for rgb"):
            SnippetFeatures(wrong, Snippets(), 4)


@pytest.mark.parametrize(("crops", "normalize"), [("centre", False), ("ten", True)])
def test_pooled_to_segments(moving, tmp_path, crops, normalize):
    options = {"crops": crops, "step": 6}
    run(moving, tmp_path / "all", [Net(), FlowNet()], **options)
    for rule, pooled in (
        ("mean", lambda rows: pool_clips(rows, 3, False)),
        ("linear", lambda rows: resize_linear(rows, 3)),
    ):
        out = tmp_path / rule
        assert run(moving, out, [Net(), FlowNet()], Pooling(rule, 3, normalize), **options) == {}
        for stream in ("rgbs", "flows"):
            path = f"all_{stream}/Fire/a.mp4.npy"
            rows, found = np.load(tmp_path / "all" / path), np.load(out / path)
            assert rows.shape[-2:] == (5, 2) and found.shape == (*rows.shape[:-2], 3, 2)
            expected = np.stack([pooled(crop) for crop in rows.reshape(-1, 5, 2)])
            expected = normalize_rows(expected) if normalize else expected
            np.testing.assert_allclose(found.reshape(expected.shape), expected, rtol=1e-5)
    with pytest.raises(ValueError, match="  pooling: 'linear' there, 'mean' here"):
        run(moving, tmp_path / "linear", [Net(), FlowNet()], Pooling("mean", 3, normalize))


def test_poolings_that_are_none():
    with pytest.raises(ValueError, match="pooling 'max' to 32 segments; expected one of mean, li"):
        Pooling("max")
    with pytest.raises(ValueError, match="pooling 'mean' to 0 segments"):
        Pooling("mean", 0)


def test_the_command_with_two_networks(moving, tmp_path, monkeypatch, capsys):
    nets = {"r": Net(), "f": FlowNet()}
    monkeypatch.setattr(clip_features, "load_i3d", lambda folder, *args: nets[folder])
    (moving / "labels.xyz").write_text("a")
    out = str(tmp_path / "out")
    flags = ["--videos", str(moving), "--out", out, "--pooling", "mean", "--normalize"]
    extract_features.main([*flags, "--weights", "r", "f", "--segments", "4"])
    said = capsys.readouterr().out
    assert "passed over, by their endings no videos: labels.xyz\n" in said
    assert f"1 of 1 videos have features in {out}" in said
    found = np.load(tmp_path / "out/all_flows/Fire/a.mp4.npy")
    np.testing.assert_allclose(np.linalg.norm(found, axis=-1), np.ones(4), rtol=1e-6)
    with pytest.raises(SystemExit, match="error: networks for flow and rgb; expected one, or"):
        extract_features.main([*flags, "--weights", "f", "r"])
    with pytest.raises(SystemExit, match="error: pooling 'mean' to 0 segments"):
        extract_features.main([*flags, "--weights", "r", "f", "--segments", "0"])
    with pytest.raises(
        SystemExit, match="  flow: 'dis' there, 'tvl1' here\n  segments: 4 there, 5"
    ):
        extract_features.main([*flags, "--weights", "r", "f", "--segments", "5", "--flow", "tvl1"])


CODECS = {"FLV1": [".flv"], "VP80": [".webm", ".ogv"]}  # the others hold MPEG-4


@pytest.mark.parametrize("ending", VIDEOS)
def test_every_ending_is_a_kind_that_can_be_read(ending, tmp_path):
    codec = next((name for name, endings in CODECS.items() if ending in endings), "XVID")
    path, size = tmp_path / f"Fire/a{ending.upper()}", (352, 288)
    path.parent.mkdir()
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*codec), 25, size)
    for _ in range(16):
        writer.write(np.full((*size[::-1], 3), 100, np.uint8))
    writer.release()
    assert run(tmp_path, tmp_path / "out") == {}
    np.testing.assert_allclose(np.load(tmp_path / "out/Fire/a.npy"), [[100, 100]], atol=6)
