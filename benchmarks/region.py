"""RBDC and TBDC of many detections, against plain nested loops in the same run.

    python -m benchmarks.region [--detections 100000] [--runs 5] [--largest 4000000]

The scene is of the size of the ShanghaiTech test set: 107 videos, 40,791 frames, 158 tracks of 120
boxes each. Detections lie near the boxes or anywhere. All programs take the same arrays and give
the same two areas, which is checked. Reading the files is not timed. The plain form walks through
the detections in the order of their scores and keeps dictionaries. It has two variants: one counts
the detected tracks anew over all tracks at each detection, as the common program does, the other
counts on. A second table shows the cost up to --largest detections.
"""

import argparse

import numpy as np

from benchmarks import table
from benchmarks.workers import Turn
from vadjax.metrics import region_boxes

VIDEOS, FRAMES, TRACKS, LENGTH = 107, 381, 158, 120
WIDTH, HEIGHT = 856, 480
SHARE = 0.1  # alpha and beta


def make_tracks(rng: np.random.Generator) -> list[np.ndarray]:
    """Tracks of every video, `track, frame, x_min, y_min, x_max, y_max`."""
    rows = [[np.zeros((0, 6))] for _ in range(VIDEOS)]
    for track in range(TRACKS):
        frames = rng.integers(0, FRAMES - LENGTH) + np.arange(LENGTH)
        x = rng.integers(0, WIDTH - 80) + np.arange(LENGTH) // 2
        y = np.full(LENGTH, rng.integers(0, HEIGHT - 90))
        ids = np.full(LENGTH, track)
        rows[track % VIDEOS].append(np.stack([ids, frames, x, y, x + 39, y + 79], 1))
    return [np.concatenate(rows_of_video).astype(float) for rows_of_video in rows]


def make_detections(rng: np.random.Generator, tracks: list, count: int) -> list[np.ndarray]:
    """About a quarter near the boxes, `score, frame, x_min, y_min, x_max, y_max`."""
    rows = []
    for truth, number in zip(tracks, rng.multinomial(count, [1 / VIDEOS] * VIDEOS), strict=True):
        near = number // 4 if len(truth) else 0
        boxes = truth[rng.integers(0, max(len(truth), 1), near), 1:]
        boxes[:, 1:] += np.tile(rng.integers(-30, 31, (near, 2)), 2)
        corner = rng.integers(0, (WIDTH - 60, HEIGHT - 90), (number - near, 2))
        frame = rng.integers(0, FRAMES, (number - near, 1))
        far = np.concatenate([frame, corner, corner + (49, 79)], 1)
        boxes = np.concatenate([boxes, far])
        scores = rng.standard_normal((number, 1)) + (np.arange(number) < near)[:, None]
        rows.append(np.concatenate([scores, boxes], 1))
    return rows


def iou(a, b) -> float:
    """Overlap of two boxes."""
    width = max(0, min(a[2], b[2]) - max(a[0], b[0]) + 1)
    height = max(0, min(a[3], b[3]) - max(a[1], b[1]) + 1)
    areas = [(c[2] - c[0] + 1) * (c[3] - c[1] + 1) for c in (a, b)]
    return width * height / (sum(areas) - width * height)


def plain(detections: list, tracks: list, frames: int, anew: bool) -> tuple[float, float]:
    """RBDC and TBDC by loops over detections, the boxes of their frame and the tracks.

    Args:
      detections: as from `make_detections`.
      tracks: as from `make_tracks`.
      frames: frames of all videos.
      anew: whether the detected tracks are counted anew over all tracks at each detection.
    """
    truth, sizes = {}, {}
    for video, rows_of_video in enumerate(tracks):
        for track, frame, *box in rows_of_video.tolist():
            truth.setdefault((video, frame), []).append(((video, track), box))
            sizes[video, track] = sizes.get((video, track), 0) + 1
    rows = [
        (v, row) for v, rows_of_video in enumerate(detections) for row in rows_of_video.tolist()
    ]
    rows.sort(key=lambda row: -row[1][0])
    # Down the scores: a detection hits every box of the truth that it overlaps, or is false
    hit, counts, false, tracked = set(), dict.fromkeys(sizes, 0), 0, 0
    curve = [(0.0, 0.0, 0.0)]
    for video, (_, frame, *box) in rows:
        is_hit = False
        for track, other in truth.get((video, frame), ()):
            if iou(box, other) >= SHARE:
                is_hit = True
                if (track, frame) not in hit:
                    hit.add((track, frame))
                    before = counts[track] / sizes[track] >= SHARE
                    counts[track] += 1
                    tracked += counts[track] / sizes[track] >= SHARE and not before
        false += not is_hit
        if anew:
            tracked = sum(counts[track] / size >= SHARE for track, size in sizes.items())
        curve.append((false / frames, len(hit) / sum_of(sizes), tracked / len(sizes)))
    # The area up to one false detection a frame, the curve drawn on flat to there
    kept = [point for point in curve if point[0] <= 1]
    if kept[-1][0] < 1:
        kept.append((1.0, *kept[-1][1:]))
    fpr, *rates = np.array(kept).T
    return tuple(float(np.trapezoid(rate, fpr)) for rate in rates)


def sum_of(sizes: dict) -> int:
    """Boxes of all tracks: here all have the same length."""
    return len(sizes) * LENGTH


def ours(detections: list, tracks: list, frames: int) -> tuple[float, float]:
    """The same by `vadjax.metrics`."""
    points = region_boxes.curve(detections, tracks, frames, SHARE, SHARE)
    return points.rbdc, points.tbdc


def main() -> None:
    """Parses the command line, measures, prints two tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--detections", type=int, default=100_000, help="compared (100,000)")
    parser.add_argument("--runs", type=int, default=5, help="runs of each program (5)")
    parser.add_argument("--largest", type=int, default=4_000_000, help="detections (4,000,000)")
    args = parser.parse_args()
    # All give the same areas; then they take turns
    rng, frames = np.random.default_rng(0), VIDEOS * FRAMES + 24
    tracks = make_tracks(rng)
    detections = make_detections(rng, tracks, args.detections)
    programs = {
        "plain loops": lambda: plain(detections, tracks, frames, anew=True),
        "plain loops, tracks counted on": lambda: plain(detections, tracks, frames, anew=False),
        "vadjax": lambda: ours(detections, tracks, frames),
    }
    areas = np.array([program() for program in programs.values()])
    np.testing.assert_allclose(areas, areas[:1].repeat(len(areas), 0), atol=1e-12, rtol=0)
    print(f"RBDC {areas[0, 0]:.6f}, TBDC {areas[0, 1]:.6f} in all of them")
    turns = table.in_turns(programs, args.runs, warm=1)
    title = f"RBDC and TBDC of {args.detections:,} detections, {TRACKS} tracks"
    table.show(title, turns, "plain loops", args.detections, "detections")
    # Ours alone for more and more detections
    counts = [args.largest // 4**i for i in range(4)][::-1]
    sets = {f"{count:,}": make_detections(rng, tracks, count) for count in counts}
    programs = {name: lambda rows=rows: ours(rows, tracks, frames) for name, rows in sets.items()}
    show_growth(counts, table.in_turns(programs, args.runs, warm=1))


def show_growth(counts: list[int], turns: dict[str, list[Turn]]) -> None:
    """Prints the cost a detection at every size."""
    print("detections   median ms   µs a detection")
    for count, of_program in zip(counts, turns.values(), strict=True):
        middle = table.median(of_program)
        print(f"{count:>10,} {1e3 * middle:>11.1f} {1e6 * middle / count:>16.3f}")


if __name__ == "__main__":
    main()
