"""A finished run of a camera that films a door."""

import numpy as np
import pytest

from configs import camera
from tests.live.cases import FPS, door
from tests.predict.cases import finish
from vadjax.data.store.frame_writer import SourceVideo, write_frames
from vadjax.data.video.reader import Picture
from vadjax.report import page


@pytest.fixture(scope="session")
def door_run(tmp_path_factory):
    """Config and folder of the run; do not change them."""
    folder = tmp_path_factory.mktemp("door")

    def video(name, seed, running=()):
        frames = [Picture(door(number, running, seed), "") for number in range(60)]
        labels = np.isin(np.arange(60), np.concatenate([[], *running])).astype(np.uint8)
        return SourceVideo(f"{name}{seed}", frames, labels=labels)

    splits = {
        "train": [video("train", seed) for seed in range(4)],
        "test": [video("test", 4, (range(30, 45),))],
    }
    write_frames(folder / "data", splits, name="door", encoding="raw", fps=FPS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(page, "build", lambda out, *_: out)
        return finish(camera.get_config("smoke"), folder / "data", folder / "run")
