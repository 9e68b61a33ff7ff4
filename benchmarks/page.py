"""How fast the page of a report is with long videos: first paint, seeks, and its size.

    python -m benchmarks.page [--videos 10] [--minutes 20] [--out FOLDER]

Writes a report of made-up videos (25 frames a second, eight boxes a frame, an event every minute),
opens it from disk in the Chromium of the distribution, and measures. All videos share the pictures
of one film. A seek is from the call until the browser shows the frame that was asked for; each is
made three times, and the middle one counts.
"""

import argparse
import pathlib
import shutil
import tempfile

import cv2
import numpy as np
from rich.console import Console
from rich.table import Table

from vadjax.report import film, player
from vadjax.report.overlay import FrameSource
from vadjax.report.player import About, PageVideo
from vadjax.scores.alarm import AlarmLine
from vadjax.scores.files import Scores

FPS, SIZE, OBJECTS = 25.0, (360, 640), 8
CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
SEEKS = 30
# Goes to a frame and waits until the film shows it; milliseconds.
SEEK = """frame => new Promise(resolve => {
  const film = document.getElementById('film'), start = performance.now();
  film.requestVideoFrameCallback((now, about) => resolve(
    [performance.now() - start, Math.floor(about.mediaTime * FPS + 0.01)]));
  vadjax.player.seek(frame);
})""".replace("FPS", str(FPS))
PAINT = "performance.getEntriesByName('first-contentful-paint')[0].startTime"


def frames(count: int):
    """Frames of a street, with something that moves in it."""
    rng = np.random.default_rng(0)
    street = cv2.resize(rng.integers(60, 200, (12, 20, 3), np.uint8), SIZE[::-1])
    street = cv2.add(street, rng.integers(0, 12, street.shape, np.uint8))
    for t in range(count):
        frame, x = street.copy(), 3 * t % (SIZE[1] - 60)
        cv2.rectangle(frame, (x, 150), (x + 50, 260), (30, 40, 160), -1)
        cv2.putText(frame, str(t), (20, 340), cv2.FONT_HERSHEY_SIMPLEX, 1, (255, 255, 255), 2)
        yield frame


def scored(name: str, count: int, rng: np.random.Generator) -> Scores:
    """Scores with an event every minute, and boxes of all objects."""
    # A smooth background, and on it an event every minute with what `events.jsonl` says of it
    scores = np.convolve(rng.random(count), np.ones(25) / 25, "same") * 0.4
    reasons = []
    for minute, start in enumerate(range(500, count - 200, round(60 * FPS))):
        stop, score = start + 100, round(0.55 + 0.4 * rng.random(), 4)
        scores[start:stop] = score
        reasons.append(
            {
                **{"schema": 1, "video": name, "start": start, "stop": stop, "score": score},
                **{"start_s": start / FPS, "stop_s": stop / FPS, "frame": start + 50},
                **{"box": [200, 150, 250, 260], "lead": ("speed", "look")[minute % 2]},
                "evidence": {"speed": 4.2, "look": 3.1},
                "text": "moves 2.3x faster than anything seen (7.04 px a frame); looks unusual",
            }
        )
    # Boxes of random objects in every frame
    corners = rng.integers(0, 300, (count * OBJECTS, 2))
    boxes = np.concatenate(
        [
            np.repeat(np.arange(count), OBJECTS)[:, None],
            corners,
            corners + rng.integers(20, 60, corners.shape),
            rng.random((len(corners), 1)),
        ],
        1,
    )
    return Scores(name, scores, boxes=boxes, reasons=tuple(reasons))


def write(folder: pathlib.Path, videos: int, count: int) -> pathlib.Path:
    """Writes the report; returns its page."""
    first = film.write(FrameSource(frames(count), count), folder / "films/0.mp4", FPS, "film")
    rng, shown = np.random.default_rng(1), []
    for number in range(videos):
        path = first.with_name(f"{number}.mp4")
        if path != first:
            shutil.copyfile(first, path)
        shown.append(PageVideo(scored(f"camera {number}", count, rng), FPS, SIZE, film=path))
    rates = np.stack([np.linspace(0, 1, 500), np.geomspace(3600, 0.01, 500)], 1)
    line = AlarmLine(0.5, True, 3.0, 1.0, False, rates)
    found = [event for video in shown for event in video.scores.reasons]
    player.write(folder, shown, found, About("Ten cameras", alarm=line))
    return folder / player.INDEX


def measure(index: pathlib.Path, count: int) -> dict[str, float]:
    """Opens the page and measures; raises RuntimeError where a seek shows another frame."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        tab = browser.new_page(viewport={"width": 1400, "height": 900})
        tab.goto(index.as_uri())
        while not tab.evaluate("document.getElementById('film').readyState >= 2"):
            tab.wait_for_timeout(50)
        paint = tab.evaluate(PAINT)
        # Seeks to frames anywhere, also far from a key frame.
        rng = np.random.default_rng(2)
        wanted = rng.integers(0, count, SEEKS)
        rounds = []
        for _ in range(3):
            rounds.append([tab.evaluate(SEEK, int(frame)) for frame in wanted])
            for frame, (_, shown) in zip(wanted, rounds[-1], strict=True):
                if shown != frame:
                    raise RuntimeError(f"frame {shown} is shown where {frame} was asked for")
        times = np.median([[took for took, _ in one] for one in rounds], 0)
        events = tab.locator("#events > li").count()
        browser.close()
    pages = [path for path in index.parent.rglob("*") if path.is_file() and path.suffix != ".mp4"]
    return {
        "first paint, ms": paint,
        "seek, median, ms": float(np.median(times)),
        "seek, slowest, ms": float(times.max()),
        "page without films, MB": sum(path.stat().st_size for path in pages) / 1e6,
        "events listed": events,
    }


def main(argv: list[str] | None = None) -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--videos", type=int, default=10)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--out", type=pathlib.Path, help="where to write it (a temporary folder)")
    args = parser.parse_args(argv)
    count = round(args.minutes * 60 * FPS)
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.out or pathlib.Path(temporary)
        if (folder / player.FOLDER).exists():
            index = folder / player.INDEX
        else:
            index = write(folder, args.videos, count)
        found = measure(index, count)
    table = Table(title=f"{args.videos} videos of {args.minutes:g} minutes, {count:,} frames each")
    table.add_column("what")
    table.add_column("measured", justify="right")
    limits = {"first paint, ms": 2000, "seek, slowest, ms": 100, "page without films, MB": 5}
    table.add_column("wanted below", justify="right")
    for what, value in found.items():
        table.add_row(what, f"{value:,.1f}", str(limits.get(what, "")))
    Console().print(table)


if __name__ == "__main__":
    main()
