"""The golden cases of the I3D networks: weights, clips and probes by their README's recipes."""

import json
import pathlib

import cv2
import numpy as np
import pytest

from tests.helpers.places import real_data

TOLERANCE = 1e-4  # of each array's largest value, as the README says
QUICK = 300_000  # pixels of a clip, over which a case is slow


def parametrize(metafunc, argument: str, belongs) -> None:
    """One run of a test that asks for `argument` for each case that `belongs` (name, case)."""
    if argument not in metafunc.fixturenames:
        return
    folder = pathlib.Path(metafunc.config.getoption("--golden")).resolve() / "i3d"
    cases = json.loads((folder / "cases.json").read_text())["cases"]
    chosen = []
    for name, case in cases.items():
        if belongs(name, case):
            quick = "clip_shape" in case and np.prod(case["clip_shape"][:3]) < QUICK
            marks = [] if quick else [pytest.mark.slow]
            chosen.append(pytest.param(Case(folder, name, case), id=name, marks=marks))
    assert chosen, f"no case for {argument} in {folder}"
    metafunc.parametrize(argument, chosen)


class Case:
    """A case of `cases.json` with what is stored for it."""

    def __init__(self, folder: pathlib.Path, name: str, case: dict):
        self.folder, self.name, self.network, self._case = folder, name, case["network"], case

    def stored(self) -> dict[str, np.ndarray]:
        """Arrays of the case, without its name: "features", "Mixed_3b/mean", …."""
        with np.load(self.folder / self._case["file"]) as file:
            start = f"{self.name}/"
            return {n.removeprefix(start): file[n] for n in file.files if n.startswith(start)}

    def clips(self) -> np.ndarray:
        """uint8 [B, T, H, W, C]; skips where the data are absent."""
        if "ped2_test" in self._case:
            return self._ped2_clip()[None]
        return np.stack([clip(s, *self._case["clip_shape"]) for s in self._case["clip_seeds"]])

    def inputs(self) -> np.ndarray:
        """The clips, normalised, float32."""
        clips = self.clips()
        kinds = {"pm1": lambda x: x / 255 * 2 - 1, "kin": lambda x: (x - 114.75) / 57.375}
        return kinds[self._case["norm"]](clips).astype(np.float32)

    def weights(self) -> dict[str, np.ndarray]:
        """Random weights of the case's network, by their torch names."""
        with (self.folder / "params.json").open() as file:
            return random_weights(json.load(file)[self.network])

    def _ped2_clip(self) -> np.ndarray:
        folder = real_data("ucsd_ped2/testing/frames/" + self._case["ped2_test"])
        first, frames = self._case["first_frame"], []
        for index in range(first, first + self._case["frames"]):
            image = cv2.cvtColor(cv2.imread(str(folder / f"{index:03d}.jpg")), cv2.COLOR_BGR2RGB)
            image = cv2.resize(image, (384, 256), interpolation=cv2.INTER_LINEAR)
            frames.append(image[16:240, 80:304])
        return np.stack(frames)


def clip(seed: int, frames: int, height: int, width: int, channels: int) -> np.ndarray:
    """Blocks of one colour with noise, uint8 [T, H, W, C]."""
    rng = np.random.default_rng(seed)
    blocks = (-(-frames // 4), -(-height // 8), -(-width // 8), channels)
    coarse = rng.integers(0, 256, blocks).repeat(4, 0).repeat(8, 1).repeat(8, 2)
    fine = rng.integers(-20, 21, (frames, height, width, channels))
    return np.clip(coarse[:frames, :height, :width] + fine, 0, 255).astype(np.uint8)


def random_weights(params: dict) -> dict[str, np.ndarray]:
    """Weights of an entry of `params.json`; its sums are checked."""
    rng = np.random.default_rng(params["seed"])
    found = {
        name: _draw(rng, name, shape).astype(np.float32)
        for name, shape in zip(params["names"], params["shapes"], strict=True)
    }
    total = sum(array.sum(dtype=np.float64) for array in found.values())
    assert total == pytest.approx(params["sum_of_all"], rel=1e-9)
    for name, value in params["first_value"].items():
        assert found[name].flat[0] == pytest.approx(value, rel=1e-6)
    return found


def _draw(rng, name: str, shape: list[int]) -> np.ndarray:
    if name.endswith("running_var"):
        return rng.uniform(0.7, 1.3, shape)
    if len(shape) == 5 or name == "fc.weight":
        gain = 0.05 if ".nl.theta." in name or ".nl.phi." in name else 2
        gain = 1 if name == "fc.weight" else gain
        return rng.standard_normal(shape) * np.sqrt(gain / np.prod(shape[1:]))
    if name.endswith(("bn3.weight", ".nl.bn.weight")):
        return rng.uniform(0.2, 0.4, shape)
    if name.endswith(".weight"):
        return rng.uniform(0.8, 1.2, shape)
    return rng.standard_normal(shape) * 0.1


def channels_first(array) -> np.ndarray:
    """[1, ..., C] → [C, ...]."""
    return np.moveaxis(np.asarray(array)[0], -1, 0)


def probes(stored: dict) -> list[str]:
    """Names of the maps of which there are probes."""
    return [name.removesuffix("/shape") for name in stored if name.endswith("/shape")]


def check_probe(stored: dict, name: str, array) -> None:
    """Compares a map [1, ..., C] with its probe."""
    found = channels_first(array)
    expected = {key: stored[f"{name}/{key}"] for key in ("mean", "std", "min", "max", "samples")}
    assert found.shape == tuple(stored[f"{name}/shape"]), name
    flat = found.reshape(-1)
    samples = flat[np.linspace(0, flat.size - 1, len(expected["samples"])).astype(np.int64)]
    wide = flat.astype(np.float64)
    got = {"mean": wide.mean(), "std": wide.std(), "min": flat.min(), "max": flat.max()}
    largest = max(abs(expected["min"]), abs(expected["max"]))
    for key, value in {**got, "samples": samples}.items():
        np.testing.assert_allclose(
            value, expected[key], rtol=0, atol=TOLERANCE * largest, err_msg=f"{name}/{key}"
        )


def check_array(expected: np.ndarray, array, name: str) -> None:
    """Compares a whole output [1, ..., C] with [C, ...]."""
    found = channels_first(array).reshape(expected.shape)
    atol = TOLERANCE * np.abs(expected).max()
    np.testing.assert_allclose(found, expected, rtol=0, atol=atol, err_msg=name)
