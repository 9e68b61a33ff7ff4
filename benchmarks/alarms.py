"""What the alarm line of a run does: frames above it, alarm intervals, and tracks that they cover.

    python -m benchmarks.alarms --workdir RUN --data DATASET

RUN is a run whose system tells alarm intervals (`attributes`), with its score files. DATASET is
the labelled dataset that it was scored on, with tracks where tracks are counted. A track is covered
if a box of an alarm interval overlaps at least a tenth of its regions at an IoU of 0.3.
"""

import argparse
import pathlib

import numpy as np
from rich.console import Console
from rich.table import Table

from vadjax.data.clips import Videos
from vadjax.data.store.records import Dataset
from vadjax.data.video.boxes import iou
from vadjax.scores import files
from vadjax.scores.files import Scores

LINE = 0.5  # reported score of the alarm line
SHARE, OVERLAP = 0.1, 0.3  # of a track's regions, and IoU of each


def covered(tracks: np.ndarray, boxes: np.ndarray) -> list[bool]:
    """Whether each track is covered.

    Args:
      tracks: int [n, 6], `track, frame, x_min, y_min, x_max, y_max`, inclusive.
      boxes: of alarm intervals [m, 6], `frame, x0, y0, x1, y1, score`, half-open.
    """
    inclusive = boxes[:, 1:5] - np.array([0, 0, 1, 1])
    found = []
    for track in np.unique(tracks[:, 0]):
        regions = tracks[tracks[:, 0] == track]
        hit = [
            (iou(region[2:].astype(float), inclusive[boxes[:, 0] == region[1]]) >= OVERLAP).any()
            for region in regions
        ]
        found.append(sum(hit) >= SHARE * len(regions))
    return found


def boxes_of(video: Scores) -> np.ndarray:
    """The boxes of all alarm intervals of a video [m, 6]."""
    rows = [box for event in video.reasons for box in event["boxes"]]
    return np.array(rows, np.float64).reshape(-1, 6)


def main(argv: list[str] | None = None) -> None:
    """Prints the counts of all videos together."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workdir", type=pathlib.Path, required=True)
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--split", default="test")
    args = parser.parse_args(argv)
    scores = files.read_folder(args.workdir / "scores")
    tracks = {video.name: video.tracks for video in Videos(Dataset(args.data), args.split)}

    # Frames above the line, by their label
    alarm = np.concatenate([video.frame_scores >= LINE for video in scores])
    label = np.concatenate([video.labels for video in scores]).astype(bool)
    table = Table("", "count", "share")

    def row(name: str, part: int, whole: int) -> None:
        table.add_row(name, f"{part:,} of {whole:,}", f"{part / max(whole, 1):.3f}")

    row("normal frames at the line or above", int((alarm & ~label).sum()), int((~label).sum()))
    row("anomalous frames at the line or above", int((alarm & label).sum()), int(label.sum()))
    # Alarm intervals, and the tracks that their boxes cover
    right = [
        bool(video.labels[event["start"] : event["stop"]].any())
        for video in scores
        for event in video.reasons
    ]
    row("alarm intervals with labelled frames", sum(right), len(right))
    if all(of_video is not None for of_video in tracks.values()):
        hits = [one for video in scores for one in covered(tracks[video.video], boxes_of(video))]
        row("tracks that they cover", sum(hits), len(hits))
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
