"""Fixtures: the golden folder, the real data, toy datasets; and how JAX runs in the tests."""

import gc
import os
import pathlib
import signal

gc.set_threshold(200_000, 50, 100)  # tracing makes many objects and little garbage
# A shell that starts the tests in the background has Ctrl-C ignored, by all programs below it too.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = pathlib.Path(__file__).parents[1]
# Before JAX is imported: eight CPU devices for the sharding tests, and compiled code kept on disk.
# The compiler itself has no flag or option that users do not have.
os.environ["XLA_FLAGS"] = (
    f"--xla_force_host_platform_device_count=8 {os.environ.get('XLA_FLAGS', '')}"
)
# `python -m benchmarks.gpu` runs golden tests elsewhere: an empty value lets JAX choose.
os.environ["JAX_PLATFORMS"] = os.environ.get("VADJAX_TEST_PLATFORMS", "cpu")
os.environ["JAX_INCLUDE_FULL_TRACEBACKS_IN_LOCATIONS"] = "0"  # of every operation: slow to write
os.environ["JAX_TRACEBACK_IN_LOCATIONS_LIMIT"] = "0"
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(ROOT / ".cache" / "jax"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_ENABLE_XLA_CACHES", "none")

import pytest  # noqa: E402

from tests.helpers.places import published, real_data  # noqa: E402
from vadjax.runtime import compiled  # noqa: E402

# JAX's own files, which programs that tests start still write, can be read half written.
KEPT = ROOT / ".cache" / "xla" / "tests"
KEPT.mkdir(mode=0o700, parents=True, exist_ok=True)
compiled.keep(KEPT)


def pytest_addoption(parser):
    parser.addoption(
        "--golden", default=str(ROOT / "tests" / "golden"), help="folder of golden numbers"
    )
    parser.addoption(
        "--whole",
        action="store_true",
        help="every system in every test, and all real videos (minutes more)",
    )


def pytest_collection_modifyitems(config, items):
    """Leaves out what is marked `whole`, without that option."""
    if not config.getoption("--whole"):
        left_out = [item for item in items if item.get_closest_marker("whole")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


@pytest.fixture(scope="session")
def golden(request) -> pathlib.Path:
    """The folder given by `--golden`."""
    return pathlib.Path(request.config.getoption("--golden")).resolve()


GOLDEN_METRICS = {  # fixture → the golden files or folders that it stands for, one after the other
    "frame_level_case": "frame_level/*.npz",
    "region_case": "rbdc_tbdc/*",
    "score_map_case": "score_maps/*.npz",
}


def pytest_generate_tests(metafunc):
    """A test that asks for one of `GOLDEN_METRICS` runs once for each case of the golden folder."""
    for name, pattern in GOLDEN_METRICS.items():
        if name in metafunc.fixturenames:
            folder = pathlib.Path(metafunc.config.getoption("--golden")) / "metrics"
            cases = sorted(folder.resolve().glob(pattern))
            metafunc.parametrize(name, cases, ids=[case.stem for case in cases])


@pytest.fixture(scope="session")
def ucf_mini() -> pathlib.Path:
    """Real features of 40 UCF-Crime videos; skips where they are absent."""
    return real_data("ucf_crime_mini")


@pytest.fixture(scope="session")
def ped2() -> pathlib.Path:
    """Real UCSD Ped2: frames, masks, intervals, boxes, tracks; skips where it is absent."""
    return real_data("ucsd_ped2")


@pytest.fixture(scope="session")
def shanghaitech_tracks() -> pathlib.Path:
    """Published tracks of ShanghaiTech and labels of its frames; skips where they are absent."""
    return real_data("shanghaitech_tracks")


@pytest.fixture(scope="session")
def kinetics_i3d() -> pathlib.Path:
    """The published weights of I3D."""
    return published("i3d_rgb_kinetics400")


@pytest.fixture(scope="session")
def small_bags():
    """Recipe of a toy set that is read in no time."""
    from vadjax.data.toy.datasets import ToyBags

    return ToyBags(train=(12, 10), test=(5, 4), width=16)


@pytest.fixture(scope="session")
def toy_bags(tmp_path_factory, small_bags) -> pathlib.Path:
    """That set on disk, in two shards; tests that change it copy it."""
    from vadjax.data.toy.datasets import write_bags

    out = tmp_path_factory.mktemp("data") / "toy"
    write_bags(out, small_bags, shards=2)
    return out


@pytest.fixture(scope="session")
def small_scenes():
    """Recipe of street scenes that are rendered in no time."""
    from vadjax.data.toy.scenes import ToyScenes

    return ToyScenes(train=2, test=2, frames=20, height=48, width=64)


@pytest.fixture(scope="session")
def toy_scenes(tmp_path_factory, small_scenes) -> pathlib.Path:
    """That set on disk, in two shards; tests that change it copy it."""
    from vadjax.data.toy.datasets import write_scenes

    out = tmp_path_factory.mktemp("data") / "scenes"
    write_scenes(out, small_scenes, shards=2)
    return out


@pytest.fixture(scope="module")
def without_reports():
    """Runs of the module draw no report, which takes longest; the function that would draw it."""
    from vadjax.report import page

    build = page.build
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(page, "build", lambda out, *_: out)
        yield build


@pytest.fixture
def mil_config(toy_bags):
    """The `:smoke` variant of the MIL config on that set."""
    from configs import ucf_mil

    config = ucf_mil.get_config("smoke")
    config.data.dir = str(toy_bags)
    return config


@pytest.fixture(scope="session")
def write_images():
    """Function that writes random images (or given ones) to a folder, named by a pattern."""

    def write(
        folder: pathlib.Path,
        count: int,
        name: str = "{:03d}.jpg",
        first: int = 0,
        size: tuple[int, int] = (24, 36),
        images: list | None = None,
    ) -> None:
        import cv2
        import numpy as np

        folder.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(len(folder.name) + count)
        for i in range(count):
            grey = rng.integers(0, 256, size, np.uint8) if images is None else images[i]
            cv2.imwrite(str(folder / name.format(first + i)), grey)

    return write


@pytest.fixture(scope="session")
def masks_of():
    """Function that makes masks which are white somewhere in the frames `[start, stop)`."""

    def make(count: int, start: int, stop: int, size: tuple[int, int] = (24, 36)):
        import numpy as np

        masks = np.zeros((count, *size), np.uint8)
        masks[start:stop, 4:9, 10:20] = 255
        return masks

    return make


@pytest.fixture
def frame_tree(tmp_path, write_images):
    """The layout of frame folders: two training and two test videos, no labels yet."""
    root = tmp_path / "source"
    for name, count in (("01", 6), ("02", 8)):
        write_images(root / "training/frames" / name, count)
    for name, count in (("01", 7), ("02", 5)):
        write_images(root / "testing/frames" / name, count)
    return root
