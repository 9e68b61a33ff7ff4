"""NanoDet-g on any number of frames, with weights that are drawn; golden ones: tests/backbones."""

import jax
import numpy as np
import pytest

from vadjax.backbones import nanodet
from vadjax.extractors import nanodet as extractor
from vadjax.ops import conv


@pytest.fixture(scope="module")
def variables():
    image = np.zeros((1, 32, 32, 3), np.float32)
    return jax.jit(nanodet.NanoDet().init)(jax.random.key(0), image)


@pytest.fixture
def one_device(monkeypatch):
    monkeypatch.setattr(jax, "local_devices", lambda: jax.devices()[:1])


def frames(count: int, height: int, width: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return list(rng.integers(0, 256, (count, height, width, 3), np.uint8))


def outputs(seen: extractor.Seen) -> dict[str, np.ndarray]:
    found = {"boxes": seen.candidates.boxes, "scores": seen.candidates.scores}
    return found | seen.maps


@pytest.mark.parametrize("of_our_own", [True, False])
def test_a_frame_has_the_same_bits_alone_and_among_others(
    variables, one_device, monkeypatch, of_our_own
):
    if of_our_own and not conv.in_machine_code():
        pytest.skip("no machine code for this computer")
    monkeypatch.setattr(extractor, "in_machine_code", lambda: of_our_own)
    network = extractor.NanoDetNetwork(variables, maps=extractor.MAPS)
    many = frames(11, 120, 160)  # eight and three
    together = network(many)
    for frame, seen in zip(many, together, strict=True):
        (alone,) = network([frame])
        for name, wanted in outputs(alone).items():
            np.testing.assert_array_equal(outputs(seen)[name], wanted, name)


def test_frames_of_several_sizes(variables, one_device):
    network = extractor.NanoDetNetwork(variables)
    wide, high = frames(1, 60, 160), frames(1, 160, 60)
    first = outputs(network(wide)[0])
    assert network(high)[0].fit.size[0] > network(wide)[0].fit.size[0]
    assert len(network([])) == 0
    for name, wanted in first.items():
        np.testing.assert_array_equal(outputs(network(wide)[0])[name], wanted, name)
