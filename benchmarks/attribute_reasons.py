r"""Does the right attribute lead the reasons of the attributes system? On toy scenes.

    python -m benchmarks.attribute_reasons [--events 64] [--workdir RUN]

The program renders scenes of a street on one side of which people walk one way, learns from normal
scenes, and judges scenes with two anomalies each. Objects are what moves (`objects.source=none`);
their look is that of the detector's features, so its weights are needed. Each kind of anomaly is
judged in the settings that can tell it: a wrong way needs directions, a wrong place needs geometry,
with the look beside it and, as where there are only tracks, without. Speed counts in all of them.

An anomaly is a track. Its reason is that of its strongest object, the one with the largest score
among the objects that overlap the track. The table has how often each attribute leads, and how many
anomalies have no object or stay below the alarm line. A reason is right if the attribute that
is true of the kind leads; an anomaly without an object counts as wrong.
"""

import argparse
import collections
import pathlib
import tempfile
from collections.abc import Iterator
from typing import NamedTuple

import jax
import ml_collections
import numpy as np
from rich.console import Console
from rich.table import Table

from configs import ped2_attributes
from vadjax.data.cameras import ONE
from vadjax.data.clips import Video
from vadjax.data.store.records import Dataset
from vadjax.data.toy.datasets import write_scenes
from vadjax.data.toy.scenes import ToyScenes
from vadjax.data.video.boxes import iou
from vadjax.runtime.cache import RunCache
from vadjax.system import load_system
from vadjax.systems.attributes import judge
from vadjax.systems.attributes.model import CameraModel

OVERLAP = 0.3  # IoU from which an object is one of a track
SPEED, LOOK, GEOMETRY = "speed", "look", "geometry"
# Setting → fields of the config, and kind of anomaly → attributes that are true of it
SETTINGS = {
    "speed and look": ({}, {
        "runner": (SPEED,),
        "slow_cyclist": (LOOK,),
        "slow_cart": (LOOK,),
        "cyclist": (SPEED, LOOK),
        "cart": (SPEED, LOOK),
    }),
    "direction bins": ({"attributes.direction": "bins"}, {"wrong_way": (SPEED,)}),
    "direction vector": ({"attributes.direction": "vector"}, {"wrong_way": (SPEED,)}),
    "geometry beside look": (
        {"attributes.geometry": True},
        {"on_road": (GEOMETRY,), "stray": (GEOMETRY,)},
    ),
    "geometry, no look": (
        {"attributes.geometry": True, "attributes.look": False},
        {"on_road": (GEOMETRY,), "stray": (GEOMETRY,)},
    ),
}  # fmt: skip
KINDS = tuple(dict.fromkeys(kind for _, kinds in SETTINGS.values() for kind in kinds))
EMPTY, LOW = "no object", "below the line"


class Reason(NamedTuple):
    """The reason of one anomaly.

    Attributes:
      kind: of the anomaly.
      lead: the attribute with the largest evidence; `EMPTY` without an object.
      evidence: of every attribute, of the strongest object.
      alarm: whether the object is at or above the alarm line.
    """

    kind: str
    lead: str
    evidence: dict[str, float]
    alarm: bool


def scenes(events: int, train: int = 16, seed: int = 3) -> ToyScenes:
    """Scenes of a street with one lane, two anomalies a video."""
    return ToyScenes(
        train=train, test=-(-events // 2), kinds=KINDS, lanes=(-1,), seed=seed, height=240,
        width=360, frames=120,
    )  # fmt: skip


def make_config(fields: dict) -> ml_collections.ConfigDict:
    """What moves, by speed and look, with other fields."""
    config = ped2_attributes.get_config("motion")
    config.update_from_flattened_dict(fields)
    return config


def reasons(folder: pathlib.Path, data: Dataset, fields: dict) -> Iterator[Reason]:
    """The reasons of all anomalies of the test videos, by a model with these fields."""
    config = make_config(fields)
    system = load_system(config, RunCache(folder))
    model = CameraModel.of(system.init(jax.random.key(0), data)[ONE])
    for video in system.videos(data, "test"):
        table = system.source.of_video(video, 1, data)
        rows = judge.rows(table, config.attributes, model.size, model.divide, model.deviations)
        judged = judge.judge(model, rows, config.fusion)
        for track, kind in video.kinds.items():
            own = objects_of(video, track, table)
            if not len(own):
                yield Reason(kind, EMPTY, {}, False)
                continue
            strongest = own[judged.scores[own].argmax()]
            evidence = {name: float(each[strongest]) for name, each in judged.evidence.items()}
            alarm = judged.scores[strongest] >= model.lines[0]
            yield Reason(kind, max(evidence, key=evidence.get), evidence, bool(alarm))


def objects_of(video: Video, track: int, table) -> np.ndarray:
    """Numbers of the objects of a table that overlap a track of the video."""
    own = []
    for _, frame, x0, y0, x1, y1 in video.tracks[video.tracks[:, 0] == track]:
        first, last = np.searchsorted(table.frame, (frame, frame + 1))
        # a track's box has its last pixels, an object's ends behind them
        boxes = table.boxes[first:last] - [0, 0, 1, 1]
        overlaps = iou(boxes, np.array([x0, y0, x1, y1], np.float64)) >= OVERLAP
        own.extend(first + np.flatnonzero(overlaps))
    return np.array(own, np.int64)


def measure(folder: pathlib.Path, recipe: ToyScenes) -> dict[str, list[Reason]]:
    """Setting → the reasons of its kinds. Scenes and objects are kept in the folder."""
    if not (folder / "scenes" / "manifest.json").exists():
        write_scenes(folder / "scenes", recipe)
    data = Dataset(folder / "scenes")
    measured = {}
    for name, (fields, kinds) in SETTINGS.items():
        # objects without a look are other files
        run = folder / ("run" if fields.get("attributes.look", True) else "run_without_look")
        measured[name] = [one for one in reasons(run, data, fields) if one.kind in kinds]
    return measured


def right(setting: str, reason: Reason) -> bool:
    """Whether the leading attribute is true of the kind of anomaly."""
    return reason.lead in SETTINGS[setting][1][reason.kind]


def show(measured: dict[str, list[Reason]]) -> None:
    """Prints the table, and the share of right reasons."""
    columns = (SPEED, LOOK, GEOMETRY, EMPTY, LOW)
    table = Table(title="which attribute leads")
    for name in ("setting", "anomaly", "events", *columns, "right"):
        table.add_column(name, justify="left" if name in ("setting", "anomaly") else "right")
    for setting, found in measured.items():
        for kind, true in SETTINGS[setting][1].items():
            own = [one for one in found if one.kind == kind]
            counts = collections.Counter(one.lead for one in own)
            counts[LOW] = sum(one.lead != EMPTY and not one.alarm for one in own)
            cells = [f"[b]{counts[c]}[/b]" if c in true else str(counts[c]) for c in columns]
            good = sum(right(setting, one) for one in own)
            table.add_row(setting, kind, str(len(own)), *cells, str(good))
    Console(width=120).print(table)
    all_of = [(setting, one) for setting, found in measured.items() for one in found]
    good = sum(right(*each) for each in all_of)
    print(f"{good} of {len(all_of)} reasons are led by the right attribute", end=" ")
    print(f"({good / max(len(all_of), 1):.1%})")


def main(argv: list[str] | None = None) -> None:
    """Measures and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=64, help="anomalies (default 64)")
    parser.add_argument("--train", type=int, default=16, help="normal videos (default 16)")
    parser.add_argument("--seed", type=int, default=3, help="of the scenes (default 3)")
    parser.add_argument("--workdir", help="keeps scenes and objects there")
    args = parser.parse_args(argv)
    recipe = scenes(args.events, args.train, args.seed)
    if args.workdir:
        show(measure(pathlib.Path(args.workdir), recipe))
        return
    with tempfile.TemporaryDirectory() as folder:
        show(measure(pathlib.Path(folder), recipe))


if __name__ == "__main__":
    main()
