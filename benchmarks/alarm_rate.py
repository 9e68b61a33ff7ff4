"""Does an alarm line keep its rate? Alarms an hour of toy scenes in which nothing happens.

    python -m benchmarks.alarm_rate [--per_hour 12] [--minutes 60] [--fresh 60] [--workdir FOLDER]

Street scenes of 48 x 64 pixels with walkers alone are rendered. The system of
configs/camera.py:nodetector learns from the first of them and sets its alarm line to the rate. The
table has the alarms at that line on the held-out footage, all folds together, and on fresh footage
that it never saw. Of a Poisson count of 12, nine in ten lie between 7 and 18.
"""

import argparse
import contextlib
import pathlib
import tempfile

import jax
from rich.console import Console
from rich.table import Table

from configs import camera
from vadjax.data.store.records import Dataset
from vadjax.data.toy.datasets import write_scenes
from vadjax.data.toy.scenes import FPS, ToyScenes
from vadjax.runtime.cache import RunCache
from vadjax.scores import alarm_rate
from vadjax.system import load_system
from vadjax.systems.attributes import alarm
from vadjax.systems.attributes.model import CameraModel

MINUTES = 5  # of a video
SIZE = (48, 64)


def recipe(minutes: int, fresh: int) -> ToyScenes:
    """Scenes without anomalies: `minutes` to learn from, `fresh` minutes that are never seen."""
    return ToyScenes(
        train=max(1, minutes // MINUTES),
        test=max(1, fresh // MINUTES),
        frames=60 * MINUTES * FPS,
        height=SIZE[0],
        width=SIZE[1],
        events=0,
    )


def measure(folder: pathlib.Path, per_hour: float) -> list[tuple[str, float, int]]:
    """Rows of what footage it is, its hours and its alarms at the line of that rate.

    Args:
      folder: to work in; the scenes are in `scenes` there.
      per_hour: alarms an hour that are asked for.
    """
    config = camera.get_config("nodetector")
    config.data.dir, config.alarm.per_hour = str(folder / "scenes"), per_hour
    data, system = Dataset(config.data.dir), load_system(config, RunCache(folder))
    state = system.init(jax.random.key(0), data)
    rows = []
    for own in state.values():
        model = CameraModel.of(own)
        held_out = alarm.held_out(model)
        count = int(alarm_rate.counts(held_out, [model.lines[0]])[0])
        rows.append(("held out, all folds", held_out.hours, count))
    videos = system.videos(data, "test")
    alarms = sum(len(scores.reasons) for scores in system.score(state, videos))
    rows.append(("fresh", sum(map(len, videos)) / FPS / 3600, alarms))
    return rows


def main(argv: list[str] | None = None) -> None:
    """Renders the scenes where they are not there, learns, and prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--per_hour", type=float, default=12)
    parser.add_argument("--minutes", type=int, default=60, help="to learn from (60)")
    parser.add_argument("--fresh", type=int, default=60, help="never seen (60)")
    parser.add_argument("--workdir", type=pathlib.Path, help="keeps scenes and objects")
    args = parser.parse_args(argv)
    with contextlib.ExitStack() as stack:
        folder = args.workdir or pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        scenes = recipe(args.minutes, args.fresh)
        if not (folder / "scenes").exists():
            write_scenes(folder / "scenes", scenes)
        rows = measure(folder, args.per_hour)
    table = Table("footage", "hours", "alarms", "an hour")
    for name, hours, alarms in rows:
        table.add_row(name, f"{hours:.2f}", f"{alarms:,}", f"{alarms / hours:.1f}")
    print(f"{args.per_hour:g} alarms an hour asked for")
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
