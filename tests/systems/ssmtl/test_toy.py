"""Each task of SSMTL finds the kind of anomaly that it is meant for, on toy scenes."""

import jax
import numpy as np
import pytest

from configs import ped2_ssmtl
from vadjax.data.clips import Videos
from vadjax.data.store.loader import Shard, iterate
from vadjax.data.store.object_writer import VideoObjects, write_objects
from vadjax.data.store.records import Dataset
from vadjax.data.toy.datasets import write_scenes
from vadjax.data.toy.scenes import ToyScenes
from vadjax.data.video.boxes import iou
from vadjax.data.video.crops import cut, rectangles
from vadjax.metrics.frame import auc
from vadjax.runtime import mesh
from vadjax.system import load_system
from vadjax.train import Loop

STEPS, OUTPUTS = 80, 24
MEANT_FOR = {
    "arrow": ("wrong_way",),
    "irregularity": ("runner", "cyclist", "cart"),
    "middle": ("cyclist", "cart", "runner"),
    "distillation": ("slow_cart", "slow_cyclist"),
}
LEARNT = ("irregularity", "middle")  # in test_ssmtl_overfit.py too
TASKS = [pytest.param(own, marks=[pytest.mark.whole] * (own in LEARNT)) for own in MEANT_FOR]


def teach(data: Dataset, out) -> None:
    """Objects with a teacher: random projections of what they look like."""
    project = np.random.default_rng(0).normal(0, 1, (8 * 8 * 3, OUTPUTS))

    def found(split):
        for video in Videos(data, split):
            rows = video.boxes[np.lexsort((-video.boxes[:, 5], video.boxes[:, 0]))]
            crops = [
                cut([video[int(frame)]], own, 8)[0].reshape(-1)
                for frame, own in zip(rows[:, 0], rectangles(rows[:, 1:5], video.size), strict=True)
            ]
            logits = (np.array(crops).reshape(-1, len(project)) - 0.5) @ project
            yield VideoObjects(video.name, video.num_frames, rows, logits, np.zeros((len(rows), 0)))

    write_objects(
        out,
        {split: found(split) for split in ("train", "test")},
        name="toy",
        frames=data,
        detector={"name": "boxes"},
        outputs={"detector": OUTPUTS, "classifier": 0},
        teachers={"detector": {"name": "none"}, "classifier": None},
    )


@pytest.fixture(scope="module")
def street(tmp_path_factory):
    """Datasets of frames and of their objects, with every kind of `MEANT_FOR`."""
    folder = tmp_path_factory.mktemp("toy")
    kinds = tuple(sorted({kind for own in MEANT_FOR.values() for kind in own}))
    recipe = ToyScenes(
        train=4,
        test=6,
        frames=100,
        height=96,
        width=128,
        lanes=(1,),
        crowd=4.0,
        events=2,
        kinds=kinds,
    )
    write_scenes(folder / "frames", recipe)
    teach(Dataset(folder / "frames"), folder / "objects")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_a_task_alone_is_better_than_chance(task, street):
    """A network that learns this task and no other, on the objects that the task is meant for."""
    config = ped2_ssmtl.get_config("demo")
    config.data.dir, config.data.objects = str(street / "frames"), str(street / "objects")
    config.model.tasks, config.train.steps = (task,), STEPS
    config.model.size = 16  # pixels
    data, system = Dataset(config.data.dir), load_system(config)
    state = trained(config, system, data)
    videos = system.videos(data, "test")
    scores = np.concatenate([scored(system, state, video) for video in videos])
    kinds = np.array([kind for video in videos for kind in kinds_of(video)])
    chosen = np.isin(kinds, ("", *MEANT_FOR[task]))
    anomalous = kinds[chosen] != ""
    assert anomalous.sum() > 50 < (~anomalous).sum()
    found = auc(anomalous, scores[chosen])
    print(f"{task} of {', '.join(MEANT_FOR[task])}: AUC {found:.3f}")
    assert found > 0.6


def trained(config, system, data):
    """The state after `config.train.steps`."""
    grid = mesh.make(config.train.batch, 1)
    state = mesh.put_state(grid, system.init(jax.random.key(0), data))
    batches, update = iterate(system.batches(data, Shard())), None
    loop = Loop(config, system, data, grid)
    for step in range(config.train.steps):
        batch, rng = mesh.put_batch(grid, next(batches)), jax.random.key(step)
        update = update or loop.compile(state, batch, rng)
        state, _ = update(state, batch, rng)
    return state


def scored(system, state, video) -> np.ndarray:
    """Score of every object of a video."""
    return next(system.score(state, [video])).boxes[:, 5]


def kinds_of(video) -> list[str]:
    """Kind of the anomaly whose track an object is on; "" where there is none."""
    tracks, found = video.tracks, []
    for frame, box in zip(video.objects.frames, video.objects.boxes, strict=True):
        here = tracks[:, 1] == frame
        overlap = iou(tracks[here, 2:], box - [0, 0, 1, 1])
        near = overlap.max(initial=0) > 0.5
        found.append(video.kinds[int(tracks[here][overlap.argmax(), 0])] if near else "")
    return found
