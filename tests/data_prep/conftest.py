"""Small frame datasets in the layouts that people have."""

import pathlib

import cv2
import numpy as np
import pytest

SIZE = (24, 36)


@pytest.fixture(scope="session")
def write_images():
    """Function that writes random images (or given ones) to a folder, named by a pattern."""

    def write(folder: pathlib.Path, count: int, name: str = "{:03d}.jpg", first: int = 0,
              size: tuple[int, int] = SIZE, images: list | None = None) -> None:  # fmt: skip
        folder.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(len(folder.name) + count)
        for i in range(count):
            grey = rng.integers(0, 256, size, np.uint8) if images is None else images[i]
            cv2.imwrite(str(folder / name.format(first + i)), grey)

    return write


@pytest.fixture(scope="session")
def masks_of():
    """Function that makes masks which are white somewhere in the frames `[start, stop)`."""

    def make(count: int, start: int, stop: int, size: tuple[int, int] = SIZE) -> np.ndarray:
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
