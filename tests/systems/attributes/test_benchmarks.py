"""The programs that measure the attributes system, on scenes of seconds."""

import numpy as np

from benchmarks import attribute_reasons, panned
from vadjax.data.clips import Videos
from vadjax.data.store.records import Dataset
from vadjax.data.toy.datasets import write_scenes
from vadjax.data.toy.scenes import ToyScenes


def test_the_right_attribute_leads_where_no_weights_are_needed(tmp_path):
    """Who strays is told by the place; the program's own scenes, fewer of them."""
    recipe = ToyScenes(
        train=4, test=2, kinds=("stray",), lanes=(-1,), seed=3, height=120, width=180, frames=50
    )
    write_scenes(tmp_path / "scenes", recipe)
    fields, kinds = attribute_reasons.SETTINGS["geometry, no look"]
    found = list(attribute_reasons.reasons(tmp_path, Dataset(tmp_path / "scenes"), fields))
    assert found and {one.kind for one in found} == {"stray"} <= set(kinds)
    assert all(set(one.evidence) == {"speed", "geometry"} for one in found)
    assert all(attribute_reasons.right("geometry, no look", one) for one in found)


def test_a_panned_window(tmp_path):
    """It stays inside the frame, moves as fast as its periods say, and shows those pixels."""
    for periods, fastest in ((panned.PERIODS, (2.7, 2.52)), ((56, 80), (1.35, 1.26))):
        starts = panned.offsets(2000, 3, periods)
        assert starts.min() >= 0 and (starts.max(0) <= 2 * np.array(panned.LEFT_OUT)).all()
        steps = np.abs(starts[10:] - starts[:-10]).max(0) / 10  # whole pixels, over ten frames
        assert (steps <= np.array(fastest) + 0.1).all() and (steps > np.array(fastest) / 2).all()
    recipe = ToyScenes(train=1, test=1, frames=12, height=80, width=100, crowd=2.0)
    write_scenes(tmp_path / "scenes", recipe)
    source = Dataset(tmp_path / "scenes")
    panned.write_panned(tmp_path / "moved", source, moves=True, periods=(14, 20))
    (fixed,), (moved,) = Videos(source, "test"), Videos(Dataset(tmp_path / "moved"), "test")
    starts = panned.offsets(12, 0, (14, 20))
    assert len(np.unique(starts, axis=0)) > 5
    for number, (row, column) in enumerate(starts):
        seen = fixed[number][row : row + 48, column : column + 68]
        np.testing.assert_array_equal(moved[number], seen)
    np.testing.assert_array_equal(moved.labels, fixed.labels)
