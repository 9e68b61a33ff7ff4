"""What the dataset ignores is black in all video that a run of it scores."""

import numpy as np

from vadjax.data.store.records import Description
from vadjax.data.video.ignored import Ignored
from vadjax.data.video.reader import Picture
from vadjax.predict.restore import Trained, timed


class Seen:
    """A system that keeps the frames that it gets."""

    same_aspect, window = False, 1

    def __init__(self):
        self.frames = []

    def stream(self, state, name, frames, data, live):
        """No scores."""
        self.frames += [frame.pixels for frame in frames]
        yield from ()


def test_ignored_pixels_are_black_when_new_video_is_scored():
    mask = np.zeros((8, 8), bool)
    mask[:, :4] = True
    manifest = {"kind": "frames", "size": [8, 8], "splits": {}, "ignored": Ignored(mask).to_text()}
    pictures = [Picture(np.full((16, 16, 3), 90, np.uint8), "camera") for _ in range(3)]
    for ignored in (True, False):
        system = Seen()
        shown = manifest if ignored else {**manifest, "ignored": None}
        trained = Trained(system, None, Description("data", shown, ""))
        assert not list(trained.parts("gate", timed(pictures, 10)))
        assert len(system.frames) == 3
        for frame in system.frames:
            assert (frame[:, 4:] == 90).all() and (frame[:, :4] == (0 if ignored else 90)).all()
    assert (pictures[0].pixels == 90).all()
