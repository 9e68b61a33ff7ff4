r"""Do the reasons of the exemplar system name what is really unusual? On toy scenes, where we know.

    python -m vadjax.main --config=configs/exemplar_appearance_network.py:cpu \
        --workdir=runs/appearance
    python -m benchmarks.explanations --weights runs/appearance [--videos 30]
    python -m benchmarks.explanations             # without a network: no unusual objects

The program renders scenes of a street on one side of which people walk one way. It learns exemplars
from normal scenes, and scores scenes with two events each. An event is a track; its reason is that
of the highest-scoring volume that the track touches. It counts as detected if that score is above
all scores of normal scenes that were not trained on. The table has the kinds of event and the
components that the reasons name. Below it stand the share of right reasons, and the share if the
largest term alone decided, without the rule for regions where nothing ever moved.
"""

import argparse
import collections
import pathlib
import tempfile

import jax
import numpy as np
from rich.console import Console
from rich.table import Table

from vadjax.data.cameras import ONE
from vadjax.data.clips import Video, Videos
from vadjax.data.store.records import Dataset
from vadjax.data.toy.datasets import write_scenes
from vadjax.data.toy.scenes import ToyScenes
from vadjax.runtime.cache import RunCache
from vadjax.systems.exemplar import presets
from vadjax.systems.exemplar.model import Model
from vadjax.systems.exemplar.reasons import COMPONENTS, Explainer
from vadjax.systems.exemplar.stages import Stages
from vadjax.systems.exemplar.system import System

APPEARANCE, ANGLE, SPEED, BACKGROUND = COMPONENTS
TRUE = {
    "runner": SPEED,
    "wrong_way": ANGLE,
    "stray": BACKGROUND,
    "slow_cyclist": APPEARANCE,
    "slow_cart": APPEARANCE,
}
OBJECTS = ("slow_cyclist", "slow_cart")


def scenes(kinds: tuple[str, ...], videos: int, seed: int) -> tuple[ToyScenes, ToyScenes]:
    """Scenes with events, and normal ones of the same street to compare with."""
    recipe = ToyScenes(train=24, test=videos, kinds=kinds, lanes=(-1,), seed=seed)
    return recipe, ToyScenes(train=1, test=12, events=0, kinds=kinds, lanes=(-1,), seed=seed)


def make_config(weights: str):
    """Motion as the specification has it, and appearance if there are weights."""
    config = presets.exemplar((10, 40, 40), (5, 20, 20), tau=0.3)
    config.model.threshold = 0.4
    if weights:
        config.appearance = {"source": "small", "weights": weights}
        config.model.version = "appearance_motion"
    return config


def scored(stages: Stages, model: Model, data: Dataset, video: Video):
    """Grid, features and scores of a video."""
    places = stages.extractor.grid(video.size)
    return places, stages.features(video, data), stages.scores(video, data, model)


def touched(rows: np.ndarray, places, starts: np.ndarray) -> np.ndarray:
    """Which volumes a track [n, 6] touches, bool [n_t, R]."""
    _, frame, x0, y0, x1, y1 = rows.T
    hits = np.zeros((len(starts), places.regions), bool)
    for time, start in enumerate(starts):
        in_time = (frame >= start) & (frame < start + places.window[0])
        for region in range(places.regions):
            left, top, right, bottom = places.box(region)
            inside = (x0 < right) & (x1 >= left) & (y0 < bottom) & (y1 >= top)
            hits[time, region] = (in_time & inside).any()
    return hits


def measure(folder: pathlib.Path, weights: str, videos: int, seed: int = 3) -> tuple[dict, int]:
    """What the reasons name.

    Args:
      folder: to work in.
      weights: workdir of a run of configs/exemplar_appearance_network.py, or "".
      videos: how many, with two events each.
      seed: of the scenes.

    Returns:
      Kind of event → how often each component was named, and `"missed"`; and how often the largest
      term alone is right.
    """
    kinds = tuple(TRUE) if weights else tuple(kind for kind in TRUE if kind not in OBJECTS)
    odd_recipe, normal_recipe = scenes(kinds, videos, seed)
    for name, recipe in (("odd", odd_recipe), ("normal", normal_recipe)):
        if not (folder / name).exists():
            write_scenes(folder / name, recipe)
    # Exemplars of the normal training scenes; the limit is the highest score of other normal ones
    data, others = Dataset(folder / "odd"), Dataset(folder / "normal")
    config = make_config(weights)
    system = System(config, RunCache(folder / "run"))
    model = Model.of(system.init(jax.random.key(0), data)[ONE])
    stages, apart = system.stages(ONE), Stages(config)
    limit = max(scored(apart, model, others, v)[2].score.max() for v in Videos(others, "test"))
    largest_right: collections.Counter = collections.Counter()
    named: dict[str, collections.Counter] = {kind: collections.Counter() for kind in kinds}
    for video in Videos(data, "test"):
        places, features, scores = scored(stages, model, data, video)
        explainer = Explainer(model, places, config.motion.still_threshold)
        # The reason of an event is that of the highest score among the volumes that it touches
        for track, kind in video.kinds.items():
            rows = video.tracks[video.tracks[:, 0] == track]
            masked = np.where(touched(rows, places, features.t_start), scores.score, -1)
            at = np.unravel_index(masked.argmax(), masked.shape)
            reason = explainer.reason(features, scores, *map(int, at))
            largest = max(reason["terms"], key=reason["terms"].get)
            named[kind]["missed" if masked[at] <= limit else reason["dominant"]] += 1
            largest_right[kind] += masked[at] > limit and largest == TRUE[kind]
    return named, largest_right.total()


def right(found: dict) -> tuple[int, int]:
    """How many events are named right, and how many are detected.

    Args:
      found: as from `measure`: kind of event → how often each component was named.
    """
    good = sum(counts[TRUE[kind]] for kind, counts in found.items())
    return good, sum(counts.total() - counts["missed"] for counts in found.values())


def main(argv: list[str] | None = None) -> None:
    """Measures and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--weights", default="", help="workdir of configs/exemplar_appearance_network.py"
    )
    parser.add_argument("--videos", type=int, default=30, help="scenes with events")
    parser.add_argument("--seed", type=int, default=3, help="of the scenes")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        named, largest_right = measure(pathlib.Path(folder), args.weights, args.videos, args.seed)
    # A row for each kind of event, with the true component in bold type
    table = Table(title="what the reasons of events name")
    for name in ("event", *COMPONENTS, "missed"):
        table.add_column(name, justify="left" if name == "event" else "right")
    for kind, counts in named.items():
        cells = [
            f"[b]{counts[name]}[/b]" if TRUE[kind] == name else str(counts[name])
            for name in (*COMPONENTS, "missed")
        ]
        table.add_row(kind, *cells)
    Console(width=100).print(table)
    good, detected = right(named)
    print(
        f"{good} of {detected} detected events are named right ({good / max(detected, 1):.0%}); "
        f"by the largest term alone {largest_right} ({largest_right / max(detected, 1):.0%})"
    )


if __name__ == "__main__":
    main()
