"""Small datasets and configs for the tests of the exemplar system."""

import json
import pathlib

import cv2
import ml_collections
import numpy as np

from configs import ped2_exemplar
from tests.helpers.run_files import measured
from vadjax.data.store.frame_writer import SourceVideo, write_frames
from vadjax.data.video.reader import Picture
from vadjax.extractors import exemplar_networks
from vadjax.ops.flow import Motion

SIZE = (32, 48)
WINDOW, STEP = (4, 16, 16), (2, 8, 16)  # 3 × 3 regions


def texture(seed: int, size: tuple[int, int]) -> np.ndarray:
    """A soft random grey picture, uint8, on which optical flow finds its way."""
    rough = np.random.default_rng(seed).uniform(0, 255, size)
    soft = cv2.GaussianBlur(rough, (0, 0), 2)
    return cv2.normalize(soft, None, 20, 235, cv2.NORM_MINMAX).astype(np.uint8)


def frames(count: int, speed: int, seed: int = 0, size=SIZE) -> list[Picture]:
    """A texture whose lower half moves to the right by `speed` pixels a frame."""
    still, half = texture(seed, size), size[0] // 2
    found = []
    for t in range(count):
        picture = still.copy()
        picture[half:] = np.roll(still[half:], speed * t, 1)
        found.append(Picture(np.repeat(picture[..., None], 3, 2), f"{t}"))
    return found


def video(name: str, count: int, speed: int, seed: int = 0, size=SIZE, **known) -> SourceVideo:
    """A video of `frames`, without labels."""
    return SourceVideo(name, frames(count, speed, seed, size), **known)


def test_video(name: str, count: int, speed: int, seed: int = 0, size=SIZE) -> SourceVideo:
    """The same; the second half of its frames is anomalous, and has a track of the lower half."""
    first = count // 2
    labels = (np.arange(count) >= first).astype(np.uint8)
    tracks = [(0, t, 0, size[0] // 2, size[1] - 1, size[0] - 1) for t in range(first, count)]
    return video(name, count, speed, seed, size, labels=labels, tracks=np.array(tracks))


test_video.__test__ = False


def write(out, train, test, name: str = "moving textures"):
    """Writes a dataset and returns its folder."""
    write_frames(out, {"train": train, "test": test}, name=name, shards=1)
    return out


def two_and_two(out, seed: int = 0):
    """Two training and two test videos, of several lengths, in no order of names."""
    return write(
        out,
        [video("b", 8, 1, seed), video("a", 11, 1, seed + 1)],
        [test_video("y", 9, 3, seed), test_video("x", 12, 2, seed)],
    )


def config(data=None, **fields) -> ml_collections.ConfigDict:
    """The `:literal` variant on such videos; fields by dotted names with `__` for the dot."""
    made = ped2_exemplar.get_config("literal")
    made.volume.window, made.volume.step = WINDOW, STEP
    made.data.dir, made.eval.tracks = str(data or ""), ""
    made.eval.flag, made.train.devices = 0.5, 1
    made.report.videos = made.report.reasons = 1  # drawing takes most of the time
    for name, value in fields.items():
        section, field = name.split("__")
        made[section].unlock()
        made[section][field] = value
    return made


class Appearance:
    """Stands in for an appearance network: mean colour, contrast, two classes."""

    classes, width, digest = ("bright", "dark"), 2, "fake appearance"

    of_regions = exemplar_networks.Appearance.of_regions

    def __call__(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """As `vadjax.extractors.exemplar_networks.Appearance`."""
        grey = images.astype(np.float32).mean((1, 2, 3)) / 255
        contrast = images.astype(np.float32).std((1, 2, 3)) / 255
        return np.stack([grey, contrast], 1), np.stack([grey, 1 - grey], 1)


class Networks:
    """Stands in for motion networks."""

    window, digest = WINDOW, "fake motion"

    def __call__(self, volumes: np.ndarray):
        """As `vadjax.extractors.exemplar_networks.MotionNetworks`."""
        level = volumes.astype(np.float32).mean((1, 2, 3, 4)) / 255
        ang = np.full((len(volumes), 12), 1 / 12, np.float32)
        hidden = np.repeat(level[:, None], 384, 1)
        return Motion(ang, ang * level[:, None] * 24, level), hidden


def stage_files(folder: pathlib.Path) -> list[pathlib.Path]:
    """What the stages 1 to 3 have written, by relative name."""
    wanted = ("features", "clusters_", "anomaly_scores_", "scales_", "exemplars_")
    names = (path.relative_to(folder) for path in folder.rglob("*.np[yz]"))
    return sorted(name for name in names if name.parts[0].startswith(wanted))


def times(folder: pathlib.Path) -> dict[pathlib.Path, int]:
    """When each of them was written."""
    return {name: (folder / name).stat().st_mtime_ns for name in stage_files(folder)}


def arrays(path: pathlib.Path) -> dict[str, np.ndarray]:
    """The arrays of a file of a stage, and its meta as text."""
    found = np.load(path, allow_pickle=False)
    return {"": found} if path.suffix == ".npy" else dict(found)


def assert_same(one: pathlib.Path, other: pathlib.Path) -> None:
    """The folders of two runs hold the same: files of stages, scores, reasons, figures."""
    names = stage_files(one)
    assert names == stage_files(other) and len(names) >= 4
    names += [path.relative_to(one) for path in sorted((one / "scores").glob("*.npz"))]
    for name in names:
        left, right = arrays(one / name), arrays(other / name)
        assert left.keys() == right.keys(), name
        for key, array in left.items():
            np.testing.assert_array_equal(array, right[key], f"{name}: {key}")
    assert measured(one) == measured(other)
    for name in sorted(path.name for path in (one / "scores").glob("*.jsonl")):
        left, right = (run / "scores" / name for run in (one, other))
        assert left.read_bytes() == right.read_bytes(), name


def figures(workdir: pathlib.Path) -> dict:
    """What a run has measured."""
    return json.loads((workdir / "metrics.json").read_text())["metrics"]
