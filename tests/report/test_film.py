"""Films that browsers play."""

import av
import numpy as np
import pytest

from vadjax.report import film, thumbnails
from vadjax.report.overlay import FrameSource


def source(count, size=(37, 51), start=0):
    """Frames whose grey is four times their number."""
    return FrameSource([np.full((*size, 3), 4 * t, np.uint8) for t in range(start, count)], count)


def test_a_film_has_every_frame_and_a_key_frame_a_second(tmp_path):
    path = film.write(source(35), tmp_path / "a" / "v.mp4", 10, "v")
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert stream.average_rate == 10
        pictures = list(container.decode(stream))
    assert len(pictures) == 35 and (pictures[0].height, pictures[0].width) == (36, 52)
    assert [p.time for p in pictures] == pytest.approx([t / 10 for t in range(35)])
    assert [t for t, p in enumerate(pictures) if p.key_frame] == [0, 10, 20, 30]
    greys = [p.to_ndarray(format="rgb24").mean() for p in pictures]
    np.testing.assert_allclose(greys, 4 * np.arange(35), atol=3)
    # The page's first byte tells where everything is, so that it plays while it is read.
    head = path.read_bytes()[:200_000]
    assert head.index(b"moov") < head.index(b"mdat")
    assert [p.name for p in path.parent.iterdir()] == ["v.mp4"]


@pytest.mark.parametrize("fps", [0.01, 0.2, 12.5, 29.97])
def test_any_rate_can_be_filmed_and_found_again(tmp_path, fps):
    path = film.write(source(40), tmp_path / "v.mp4", fps, "v")
    found = thumbnails.of_film(path, [39, 7, 7, 22])
    assert sorted(found) == [7, 22, 39]
    for number, picture in found.items():
        assert picture.mean() == pytest.approx(4 * number, abs=3)


def test_large_frames_are_reduced(tmp_path):
    assert film.film_size(1080, 1920) == (480, 854)
    assert film.film_size(240, 360) == (240, 360)
    assert film.film_size(1, 1) == (2, 2)


@pytest.mark.parametrize(
    ("frames", "fps", "message"),
    [
        (FrameSource([], 3), 10, "v: 0 frames, expected 3"),
        (source(10)._replace(count=11), 10, "v: 10 frames, expected 11"),
        (source(10), 0, "0 frames a second; expected more than 0"),
        (
            FrameSource([np.zeros((8, 8, 3), np.uint8), np.zeros((8, 9, 3), np.uint8)], 2),
            10,
            "frame 1 is 8 × 9, frame 0 8 × 8",
        ),
    ],
)
def test_what_is_no_film_is_said_and_leaves_nothing(tmp_path, frames, fps, message):
    with pytest.raises(ValueError, match=message):
        film.write(frames, tmp_path / "v.mp4", fps, "v")
    assert not list(tmp_path.iterdir())


def test_without_the_encoder_it_is_said_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(film.av, "codecs_available", {"mpeg4"})
    with pytest.raises(ValueError, match="no encoder libx264.*install PyAV from its wheel"):
        film.write(source(3), tmp_path / "v.mp4", 10, "v")
