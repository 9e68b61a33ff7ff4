"""Boxes of a dataset of objects against those that its frames hold, and against anomaly tracks.

    python -m benchmarks.objects data/ped2_objects [data/other_objects …] [--every 1]

Of the test split, frame by frame:
  recall      stored boxes (score above 0.5; YOLOv3's for UCSD Ped2) with a box at an IoU of 0.5
  precision   boxes with a stored box at an IoU of 0.5
  anomalies   boxes of the anomaly tracks with a box at an IoU of 0.3
"""

import argparse
import collections

from rich.console import Console
from rich.table import Table

from vadjax.backbones.detection import overlaps
from vadjax.data.clips import Videos
from vadjax.data.store.records import Dataset
from vadjax.data.video.boxes import read_boxes

CERTAIN, SAME, HIT = 0.5, 0.5, 0.3


def count(data: Dataset, every: int) -> collections.Counter:
    """Counts of boxes, and of those that were hit, over all frames of the test split."""
    total = collections.Counter()
    for video in Videos(Dataset(data.manifest["frames"]["folder"], "size"), "test"):
        all_boxes = read_boxes(data.folder / "boxes" / "test" / f"{video.name}.csv")
        certain = video.boxes[video.boxes[:, 5] > CERTAIN]
        for frame in range(0, len(video), every):
            boxes, stored_boxes = (rows[rows[:, 0] == frame, 1:5] for rows in (all_boxes, certain))
            anomalous = video.tracks[video.tracks[:, 1] == frame, 2:] + (0, 0, 1, 1)
            ious = overlaps(boxes, stored_boxes)
            total.update(
                frames=1,
                boxes=len(boxes),
                right=int((ious.max(1, initial=0) >= SAME).sum()),
                stored=len(stored_boxes),
                recalled=int((ious.max(0, initial=0) >= SAME).sum()),
                tracks=len(anomalous),
                hit=int((overlaps(anomalous, boxes).max(1, initial=0) >= HIT).sum()),
            )
    return total


def main() -> None:
    """Prints a row for every dataset."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", nargs="+", help="datasets of objects")
    parser.add_argument("--every", type=int, default=1, help="take every N-th frame (default 1)")
    args = parser.parse_args()
    table = Table(title="Boxes of the test split", title_justify="left")
    for column in ("dataset", "boxes/frame", "recall", "precision", "anomalies"):
        table.add_column(column, justify="left" if column == "dataset" else "right")
    for folder in args.data:
        total = count(Dataset(folder), args.every)
        shares = [
            total[part] / max(total[whole], 1)
            for part, whole in (("recalled", "stored"), ("right", "boxes"), ("hit", "tracks"))
        ]
        per_frame = f"{total['boxes'] / max(total['frames'], 1):.1f}"
        table.add_row(folder, per_frame, *(f"{share:.3f}" for share in shares))
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
