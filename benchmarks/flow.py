"""Optical flow of a video: forms that were tried, their speed, and how far they are from `dis`.

    python -m benchmarks.flow --data data/ped2 [--frames 40] [--runs 5]

`--data` is a prepared dataset of frames; the first frames of its first training video are taken.
The first table has frames a second of each form, in turns. "One by one" leaves the threads to
OpenCV; all others make the flows of several pairs at once (`vadjax/ops/flow.py`). The second has
the difference from the flow of `dis`: the mean over all pixels, and over those that move at 0.3
pixels a frame or more. The third has the features of the volumes, whose input the flow is.
"""

import argparse
import pathlib
from collections.abc import Callable

import cv2
import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks import table
from configs import ped2_exemplar
from vadjax.data.clips import Videos
from vadjax.data.store.records import Dataset
from vadjax.data.video.frame_stream import numbered
from vadjax.ops.flow import DIS, Flow, make_flow, video_flow
from vadjax.systems.exemplar.features import AHEAD, Extractor

MOVES = 0.3  # pixels a frame
# Name → how OpenCV's medium preset was changed, beside the kinds in `vadjax/ops/flow.py`.
CHANGES = {
    "2 refinements": {"VariationalRefinementIterations": 2},
    "patches 4 apart": {"PatchStride": 4},
    "patches 4 apart, 8 steps": {"PatchStride": 4, "GradientDescentIterations": 8},
    "patches 4 apart, 12 steps, 2 refinements": {
        "PatchStride": 4,
        "GradientDescentIterations": 12,
        "VariationalRefinementIterations": 2,
    },
    "patches 5 apart, 12 steps": {"PatchStride": 5, "GradientDescentIterations": 12},
}


def changed(preset: int, **fields: int) -> Flow:
    """OpenCV's flow with other settings."""

    def flow(one: np.ndarray, two: np.ndarray) -> np.ndarray:
        made = cv2.DISOpticalFlow_create(preset)
        for name, value in fields.items():
            getattr(made, f"set{name}")(value)
        return made.calc(one, two, None)

    return flow


def forms() -> dict[str, Flow]:
    """All forms of the flow, `dis` first."""
    medium = {
        name: changed(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM, **fields)
        for name, fields in CHANGES.items()
    }
    light, half = make_flow("dis_light"), make_flow("dis_half")
    fast = changed(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    return {"dis": make_flow("dis"), **medium, "dis_light": light, "dis_half": half, "fast": fast}


def one_by_one(frames: np.ndarray, flow: Flow) -> None:
    """Flow of each pair after the other, with OpenCV's own threads."""
    before = None
    for frame in frames:
        grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
        if before is not None:
            flow(before, grey)
        before = grey


def differences(frames: np.ndarray) -> None:
    """Prints how far the flow of each form is from that of `dis`."""
    flows = {name: np.stack(list(video_flow(frames, flow))) for name, flow in forms().items()}
    moving = np.hypot(*np.moveaxis(flows["dis"], -1, 0)) >= MOVES
    printed = Table(title="difference from dis, pixels a frame", title_justify="left")
    for column in ("form", "all pixels", "moving pixels", "their mean speed"):
        printed.add_column(column, justify="left" if column == "form" else "right")
    for name, flow in flows.items():
        away = np.hypot(*np.moveaxis(flow - flows["dis"], -1, 0))
        speed = np.hypot(*np.moveaxis(flow, -1, 0))[moving].mean()
        printed.add_row(name, *(f"{v:.3f}" for v in (away.mean(), away[moving].mean(), speed)))
    Console(width=120).print(printed)


def features(frames: np.ndarray, method: str) -> Callable[[], None]:
    """Makes the features of all volumes of `configs/ped2_exemplar.py`."""
    config = ped2_exemplar.get_config()
    config.motion.flow = method
    extractor = Extractor(config)
    grid = extractor.grid(frames.shape[1:3])
    return lambda: [*extractor.stream(numbered(frames), grid, AHEAD)]


def main(argv: list[str] | None = None) -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=pathlib.Path, required=True, help="prepared frames")
    parser.add_argument("--frames", type=int, default=40)
    parser.add_argument("--runs", type=int, default=5, help="timed turns of each form (5)")
    args = parser.parse_args(argv)
    video = Videos(Dataset(args.data), "train")[0]
    frames = np.stack([video[number] for number in range(min(args.frames, len(video)))])
    one, flows = "dis, one by one", len(frames) - 1
    # Speeds of the flow alone, then of the features that are made from it
    programs = {one: lambda: one_by_one(frames, make_flow("dis"))}
    for name, flow in forms().items():
        programs[name] = lambda flow=flow: list(video_flow(frames, flow))
    title = f"flow of {video.size[0]} × {video.size[1]}, {cv2.getNumThreads()} threads"
    table.show(title, table.in_turns(programs, args.runs, warm=1), one, flows, "frames")
    differences(frames)
    programs = {method: features(frames, method) for method in DIS}
    times = table.in_turns(programs, args.runs, warm=1)
    table.show("features of all volumes", times, "dis", len(frames), "frames")


if __name__ == "__main__":
    main()
