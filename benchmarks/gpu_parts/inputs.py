"""The input pipeline by itself: what the steps wait for if it is slower than they are."""

import functools
import os
import pathlib
import tempfile
from collections.abc import Iterator

import grain
import ml_collections

from benchmarks.gpu_parts.settings import Settings
from benchmarks.gpu_parts.steps import timed
from tests.helpers.accelerator_cases import batch_of
from tests.helpers.systems import config_of
from vadjax.data.store import loader
from vadjax.data.store.records import Dataset
from vadjax.data.toy.datasets import ToyBags, write_bags, write_scenes
from vadjax.data.toy.scenes import ToyScenes
from vadjax.runtime import mesh
from vadjax.system import load_system

EXAMPLES = 300  # in the toy set; frames, or bags of a label


def run(name: str, settings: Settings) -> Iterator[dict]:
    """Batches a second of the loader, and as the loop hands them to the device."""
    config = config_of(name, settings.size.variant)
    config.train.batch = batch_of(name, config, settings.size)
    if name == "ssmtl":  # as the step that it is compared with
        config.model.tasks = tuple(task for task in config.model.tasks if task != "distillation")
    grid = mesh.make(config.train.batch, 1)
    with tempfile.TemporaryDirectory() as folder:
        batches = dataset_batches(config, pathlib.Path(folder) / "data", settings)
        for threads in sorted({config.data.threads, os.cpu_count()}):
            stream = loader.iterate(batches, threads, config.data.prefetch)
            read, _ = timed(functools.partial(next, stream))
            handed, _ = timed(lambda stream=stream: mesh.put_batch(grid, next(stream)))
            row = {"system": name, "threads": threads, "batch": config.train.batch}
            yield row | {"batches_per_s": 1 / read, "on_device_per_s": 1 / handed}


def dataset_batches(
    config: ml_collections.ConfigDict, out: pathlib.Path, settings: Settings
) -> grain.MapDataset:
    """Batches of a toy set of the published sizes.

    Grain shuffles few examples slowly (2.7 ms for one of 8), because it
    draws among 65,536 numbers until one fits. So there are hundreds, as in real datasets.
    """
    system = load_system(config)
    height, width = settings.size.frame
    if system.kind == "features":
        write_bags(out, ToyBags((EXAMPLES, EXAMPLES), (1, 1), width=settings.size.width // 2))
    else:
        frames = EXAMPLES // 2
        write_scenes(out, ToyScenes(train=2, test=1, frames=frames, height=height, width=width))
    return system.batches(Dataset(out), loader.Shard())
