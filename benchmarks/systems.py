"""What `benchmarks.all` times of every system, each piece of work in a process of its own.

Sizes are those of the published runs but for the batches of S3R (8 + 8 bags), LGN-Net and MNAD (one
window) and SSMTL (64 objects, shallow and narrow trunk). Modules are imported by the program that
needs them, so that the memory of another library does not count.
"""

import functools
import importlib
import pathlib
import tempfile
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from benchmarks import lgn_step, workers
from configs import ped2_attributes

SEED = 0


class Work(NamedTuple):
    """What is timed.

    Attributes:
      what: `"training"`, `"scoring"` or another word for the table.
      amount: units done in one call.
      unit: their name.
      data: makes what both programs are given; that is not timed.
      ours: data → the function to call.
      baseline: data → the function of the baseline; None if there is none.
      name: of the baseline.
      needs: package that only the baseline needs.
    """

    what: str
    amount: float
    unit: str
    data: Callable[[], tuple]
    ours: Callable[..., Callable]
    baseline: Callable[..., Callable] | None = None
    name: str = ""
    needs: str = ""


def of_module(name: str, function: str, *arguments: Any) -> Callable:
    """A function of a module of the benchmarks, imported when it is called."""
    return functools.partial(_call, name, function, *arguments)


def _call(name: str, function: str, *arguments: Any) -> Any:
    return getattr(importlib.import_module(f"benchmarks.{name}"), function)(*arguments)


def torch(name: str, function: str) -> tuple[Callable[..., Callable], str, str]:
    """The last three attributes of a work whose baseline is in torch."""
    return of_module(name, function), "torch", "torch"


def normal(*shape: int) -> np.ndarray:
    """Normal numbers float32 of that shape."""
    return np.random.default_rng(SEED).standard_normal(shape, np.float32)


def mil(tiny: bool) -> list[Work]:
    """30 + 30 bags × 32 × 2048; a test split of 290 videos."""
    pairs, width, videos = (2, 64, 4) if tiny else (30, 2048, 290)

    def batch() -> tuple:
        both = normal(2, pairs, 32, width)
        return ({"anomalous": both[0], "normal": both[1]},)

    def stored() -> tuple:
        folder = pathlib.Path(kept_folder())
        of_module("mil_step", "write")(folder / "bags", pairs, width)
        return folder / "bags", pairs

    return [
        Work("training", 2 * pairs, "bags", batch, of_module("mil_step", "our_step"),
             *torch("mil_torch", "training")),
        Work("scoring", videos, "videos", lambda: (normal(videos, 32, width),),
             of_module("mil_step", "our_scoring"), of_module("mil_torch", "scoring"),
             "torch, video by video", "torch"),
        Work("input", 2 * pairs, "bags", stored, of_module("mil_step", "reading")),
    ]  # fmt: skip


def s3r(tiny: bool) -> list[Work]:
    """8 + 8 bags × 10 crops × 32 × 2048; a video of 200 snippets."""
    pairs, crops, width, atoms, snippets = (1, 2, 64, 5, 8) if tiny else (8, 10, 2048, 158, 200)

    def batch() -> tuple:
        both, dictionary = abs(normal(2, pairs, crops, 32, width)), abs(normal(atoms, width))
        return {"normal": both[0], "anomalous": both[1]}, dictionary

    def video() -> tuple:
        return abs(normal(crops, snippets, width)), abs(normal(atoms, width))

    return [
        Work("training", 2 * pairs, "bags", batch, of_module("s3r_step", "our_step"),
             *torch("s3r_torch", "training")),
        Work("scoring", snippets, "snippets", video, of_module("s3r_step", "our_scoring"),
             *torch("s3r_torch", "scoring")),
    ]  # fmt: skip


def predictor(model: str) -> Callable[[bool], list[Work]]:
    """One window of 256 × 256; four windows scored."""

    def works(tiny: bool) -> list[Work]:
        size, config = 32 if tiny else 256, lgn_step.CONFIGS[model].get_config()

        def in_torch(function: str) -> Callable[..., Callable]:
            return lambda inputs: of_module("lgn_torch", function)(inputs, config)

        def inputs() -> tuple:
            return (lgn_step.make_inputs(model, size, 1),)

        return [
            Work("training", 1, "windows", inputs,
                 lambda inputs: lgn_step.our_step(inputs, fresh=True),
                 in_torch("training"), "torch", "torch"),
            Work("scoring", config.eval.batch, "windows", inputs, lgn_step.our_scoring,
                 in_torch("scoring"), "torch", "torch"),
            Work("input", 4, "windows", lambda: (scenes(size, size),), windows),
        ]  # fmt: skip

    return works


def windows(folder: pathlib.Path) -> Callable:
    """Reads four windows of five frames."""
    from vadjax.data.clips import window_batches
    from vadjax.data.store import loader
    from vadjax.data.store.records import Dataset

    batches = loader.iterate(
        window_batches(Dataset(folder), "train", 5, 4, SEED, loader.Shard()), 0
    )
    return lambda: next(batches)


def ssmtl(tiny: bool) -> list[Work]:
    """64 objects, four tasks, shallow and narrow trunk."""
    count, trunk = 2 if tiny else 64, "shallow_narrow"

    def batch() -> tuple:
        return (workers.apart(of_module("ssmtl", "batch_of"), count),)

    def in_torch(which: int) -> Callable[..., Callable]:
        def make(batch: dict) -> Callable:
            arrays = workers.apart(of_module("ssmtl", "torch_arrays"), trunk, batch)
            return of_module("ssmtl_torch", "programs")(*arrays)[which]

        return make

    return [
        Work("training", count, "objects", batch, of_module("ssmtl", "our_step", trunk),
             in_torch(0), "torch", "torch"),
        Work("scoring", count, "objects", batch, of_module("ssmtl", "our_scoring", trunk),
             in_torch(2), "torch", "torch"),
        Work("input", 64, "objects", lambda: (scenes(240, 360),), crops),
    ]  # fmt: skip


def crops(folder: pathlib.Path) -> Callable:
    """Cuts 64 objects from frames, for training."""
    from vadjax.data.objects import ObjectSource
    from vadjax.data.store.records import Dataset
    from vadjax.systems.ssmtl.samples import Samples

    samples = Samples(ObjectSource(Dataset(folder), ""), "train", 64, SEED, False)
    places = np.random.default_rng(SEED).integers(0, len(samples), 64)
    return lambda: samples.batch(np.zeros(64, int), places)


def exemplar(tiny: bool) -> list[Work]:
    """187 regions × 507 volumes × 153 features, about 13 exemplars a region; flow of 240 × 360."""
    from vadjax.ops.flow import DIS

    regions, volumes, test = (2, 40, 30) if tiny else (187, 507, 390)
    pictures = 3 if tiny else 121  # a video: with few, beginning and end of the threads count most

    def learnt() -> tuple:
        return workers.apart(of_module("exemplars", "learnt"), regions, volumes, test)

    def frames() -> tuple:
        size = pictures, 240, 360, 3
        return (np.random.default_rng(SEED).integers(0, 256, size, np.uint8),)

    return [
        Work("selection", regions * volumes, "volumes", learnt,
             of_module("exemplars", "our_selection"),
             of_module("exemplars", "selection_by_loop"), "numpy, one at a time"),
        Work("scoring", regions * test, "volumes", learnt, of_module("exemplars", "our_scoring"),
             of_module("exemplars", "scoring_by_calls"), "scipy, a call a region"),
        *(Work(f"input (optical flow, {method})", pictures - 1, "frames", frames,
               functools.partial(flow, method=method)) for method in DIS),
    ]  # fmt: skip


def flow(frames: np.ndarray, method: str) -> Callable:
    """Optical flow between each two frames, as exemplars and attributes need it."""
    from vadjax.ops.flow import make_flow, video_flow

    return lambda: list(video_flow(frames, make_flow(method)))


def attributes(tiny: bool) -> list[Work]:
    """A stream of frames of 240 × 360, judged by the speed of what moves: no weights needed."""
    count = 8 if tiny else 64
    return [Work("stream, no detector", count, "frames", lambda: learnt_speeds(count), stream)]


def learnt_speeds(count: int) -> tuple:
    """A folder of toy scenes, what was learned of them, and frames of one of their videos."""
    import jax

    from vadjax.data.clips import Videos
    from vadjax.data.store.records import Dataset

    folder = scenes(240, 360)
    data = Dataset(folder)
    state = attributes_system(folder).init(jax.random.key(SEED), data)
    return folder, state, [Videos(data, "test")[0][number] for number in range(count)]


def attributes_system(folder: pathlib.Path):
    """The system whose objects are what moves."""
    from vadjax.runtime.cache import RunCache
    from vadjax.system import load_system

    return load_system(ped2_attributes.get_config("nodetector"), RunCache(folder.parent))


def stream(folder: pathlib.Path, state, frames: list[np.ndarray]) -> Callable:
    """Scores the frames of a video as they come."""
    from vadjax.data.store.records import Dataset
    from vadjax.data.video.frame_stream import Frame

    system, data = attributes_system(folder), Dataset(folder)

    def numbered() -> Iterator[Frame]:
        return (Frame(pixels, number) for number, pixels in enumerate(frames))

    return lambda: list(system.stream(state, "video", numbered(), data, False))


def i3d(tiny: bool) -> list[Work]:
    """Four clips of 16 × 224 × 224."""
    count = 1 if tiny else 4

    def clips() -> tuple:
        return (of_module("i3d", "make_clips")(count),)

    return [
        Work("features", count, "clips", clips, of_module("i3d", "make", "ours"),
             of_module("i3d", "make", "torch"), "torch", "torch"),
    ]  # fmt: skip


_folders: list[tempfile.TemporaryDirectory] = []


def kept_folder() -> str:
    """A new folder that is removed with the end of the process."""
    _folders.append(tempfile.TemporaryDirectory())
    return _folders[-1].name


def scenes(height: int, width: int) -> pathlib.Path:
    """A folder of toy scenes."""
    from vadjax.data.toy.datasets import write_scenes
    from vadjax.data.toy.scenes import ToyScenes

    folder = pathlib.Path(kept_folder()) / "scenes"
    write_scenes(folder, ToyScenes(train=2, test=1, frames=80, height=height, width=width))
    return folder


SYSTEMS: dict[str, Callable[[bool], list[Work]]] = {
    "mil": mil,
    "s3r": s3r,
    "lgn": predictor("lgn"),
    "mnad": predictor("mnad"),
    "ssmtl": ssmtl,
    "exemplar": exemplar,
    "attributes": attributes,
    "i3d": i3d,
}
