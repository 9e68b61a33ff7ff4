"""Compares runs on one page: curves over each other, figures, and where two runs differ most.

    python -m vadjax.report.compare runs/one_0 runs/one_1 runs/two_0 [--out compared.html]

Runs that differ in the seed alone are one row, with mean ± deviation; in what rows differ is named.
All runs must be measured on the same split of one dataset. The page is one file, which opens from
disk; its curves need scripts, which it holds, and it fetches nothing.
"""

import argparse
import importlib.resources
import itertools
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from vadjax.metrics import frame
from vadjax.report import comparison, curves, markup, side_by_side, table
from vadjax.report.comparison import Run
from vadjax.report.markup import Html, html, join
from vadjax.report.side_by_side import Difference, RunRow, SharedVideo
from vadjax.runtime import command, replacing
from vadjax.runtime.terminal import visible
from vadjax.scores.contents import Scores

OUT = "compared.html"
TITLE = "Runs compared"
MARK = f"<title>{TITLE}</title>"  # tells pages of this program from other files
MOST_RUNS = 32  # whose pairs a page can hold
MOST_ROWS = 8  # so many colours can be told apart
POINTS = 400_000  # of all curves together
MOST_POINTS, LEAST_POINTS = 1500, 60  # of one curve
STEPS = 1000  # of a rank
TEXT = 200  # letters of a value of a field
LISTED = 5  # videos that are named in the terminal, and in a warning
STYLES = ("page.css", "uplot.css", "compare.css")
SCRIPTS = ("uplot.js", "compare.js")


def run(folders: Sequence[str], out: pathlib.Path) -> list[str]:
    """Reads and compares the runs and writes the page; returns what to print."""
    _check_out(out)
    if len(folders) < 2:
        raise ValueError(f"{folders[0]}: one run; name two or more to compare")
    if len(folders) > MOST_RUNS:
        raise ValueError(f"{len(folders):,} runs; a page has {MOST_RUNS} at most, so name fewer")
    places = [pathlib.Path(folder).resolve() for folder in folders]
    if twice := [str(place) for place in places if places.count(place) > 1]:
        raise ValueError(f"{twice[0]} is named twice; name each run once")
    runs = [comparison.read_run(folder) for folder in folders]
    comparison.check_same_videos(runs)
    names = table.column_names(runs)
    rows = side_by_side.rows(runs, names)
    if len(rows) > MOST_ROWS:
        raise ValueError(
            f"the {len(runs):,} runs differ in more than the seed and are {len(rows):,} rows; a "
            f"page has {MOST_ROWS} at most, so name fewer"
        )
    # The scores side by side, and how much each two rows differ; seeds of one row as rows.
    of_runs = dict(
        zip(names, (side_by_side.read_scores(folder) for folder in folders), strict=True)
    )
    videos = side_by_side.align(of_runs)
    sides = rows if len(rows) > 1 else [RunRow(name, (n,)) for n, name in enumerate(names)]
    pairs = {
        (a, b): side_by_side.differences(videos, sides[a].runs, sides[b].runs)
        for a, b in itertools.combinations(range(len(sides)), 2)
    }
    notes = _notes(runs, of_runs, videos)
    body = _body(runs, names, rows, notes, videos)
    data = _data(rows, sides, names, pairs, videos)
    text = markup.page(TITLE, _assets(STYLES), body, _each(SCRIPTS), data)
    replacing.write(out, text)
    return [*(f"note: {note}" for note in notes), *_said(sides, pairs, videos), f"Page: {out}"]


def _check_out(out: pathlib.Path) -> None:
    """Raises where the page cannot be, or another file is."""
    if out.is_dir():
        raise IsADirectoryError(f"{out}: a folder; --out names the file of the page, {out / OUT}")
    if out.exists():
        with out.open("rb") as file:
            begins = file.read(4000).decode("utf-8", "replace")
        if MARK not in begins:
            raise FileExistsError(f"{out}: no page of this program, so it is left; name another")


def _assets(names: Sequence[str]) -> str:
    return "\n".join(_each(names))


def _each(names: Sequence[str]) -> list[str]:
    """The files of the page that are the same for all comparisons."""
    folder = importlib.resources.files("vadjax.report") / "browser"
    return [(folder / name).read_text("utf-8") for name in names]


def _notes(
    runs: Sequence[Run],
    of_runs: Mapping[str, Mapping[str, Scores]],
    videos: Sequence[SharedVideo],
) -> list[str]:
    """What limits the comparison, one sentence or two each."""
    notes = []
    for name, lacks in side_by_side.missing(of_runs).items():
        shown = ", ".join(lacks[:LISTED]) + (" …" if len(lacks) > LISTED else "")
        notes.append(
            f"{name} lacks scores of videos that another run has ({len(lacks):,}): {shown}. Curves "
            f"and differences are of the videos of all runs ({len(videos):,}); the figures are "
            "each of the videos that the run has"
        )
    if len({len(run.digests) > 0 for run in runs}) > 1 or not runs[0].digests:
        notes.append(
            "some runs do not say of which dataset they are, as runs of an older vadjax; their "
            "videos have the same names, frames and labels"
        )
    if any(str(run.summary.get("data")).startswith("toy") for run in runs):
        notes.append("built-in toy set: these figures say nothing about real video")
    if versions := comparison.versions(runs):
        notes.append(f"made with different programs or devices: {'; '.join(versions)}")
    return notes


def _said(
    sides: Sequence[RunRow],
    pairs: Mapping[tuple[int, int], Sequence[Difference]],
    videos: Sequence[SharedVideo],
) -> list[str]:
    """Lines for the terminal: where the first two rows differ most."""
    (a, b), found = next(iter(pairs.items()))
    both, found = f"{sides[a].name} and {sides[b].name}", [one for one in found if one.mean > 0]
    if not found:
        return [f"{both} order all frames in the same way"]
    return [f"{both} differ most on"] + [
        f"  {videos[one.video].name}: {one.mean:.3f} of the ranks, most at frame {one.frame:,}"
        for one in found[:LISTED]
    ]


def _body(
    runs: Sequence[Run],
    names: Sequence[str],
    rows: Sequence[RunRow],
    notes: Sequence[str],
    videos: Sequence[SharedVideo],
) -> list[Html]:
    """The page from top to bottom, without the curves, which scripts draw."""
    frames = sum(len(video.compared) for video in videos)
    return [
        html('<meta name="viewport" content="width=device-width, initial-scale=1">'),
        html(
            '<header><h1>Runs compared</h1><button id="theme" type="button">Theme: auto</button>'
            "</header>"
        ),
        join(html('<p class="warn">{}</p>', note) for note in notes),
        html(
            '<p class="note">{}, split {}: {:,} videos, {:,} frames, {:,} runs.</p>',
            runs[0].summary.get("data"),
            runs[0].summary.get("split"),
            len(videos),
            frames,
            len(runs),
        ),
        html("<h2>Figures</h2>"),
        _figures(runs, rows),
        html("<h2>In what they differ</h2>"),
        _differing(runs, names, rows),
        html("<h2>Curves, where two differ most first</h2>"),
        _controls(),
    ]


def _controls() -> Html:
    """What the scripts fill."""
    return html(
        '<p id="pick"><label>Between <select id="one"></select></label> '
        '<label>and <select id="other"></select></label> '
        '<label>Curves of <select id="kind"><option value="ranks">ranks</option>'
        '<option value="scores">scores as they are</option></select></label></p>'
        '<p id="rows"></p><p class="note">The rank of a frame is the share of all frames that the '
        "run scores lower, so that runs of other scales can be compared. Two runs differ by the "
        "mean distance of their ranks, most at the red line. A strip on top marks labelled frames. "
        '<span id="points"></span></p>'
        '<noscript><p class="warn">The curves need scripts, which are in this file; nothing is '
        'fetched.</p></noscript><main id="curves"></main>'
    )


def _figures(runs: Sequence[Run], rows: Sequence[RunRow]) -> Html:
    """The table of figures: mean ± deviation of the seeds of a row; of two rows the difference."""
    # All figures that any run has
    meanings = {}
    for one in runs:
        meanings |= {
            name: label or meanings.get(name, "")
            for name, label in table.figure_labels(one.summary).items()
        }
    if not meanings:
        return html("<p>No figures: the videos have no labels.</p>")
    heads = [*(row.name for row in rows), *(["second − first"] if len(rows) == 2 else [])]
    # A line for each that any row has a value of
    lines = []
    for name, meaning in meanings.items():
        values = [
            [runs[number].summary["metrics"].get(name) for number in row.runs] for row in rows
        ]
        cells = [table.spread(of) if len(of) > 1 else table.number(of[0]) for of in values]
        if all(cell == table.NONE for cell in cells):
            continue
        cells += [_apart(*values)] if len(rows) == 2 else []
        unbroken = _cells([cell.replace(" ", "\u00a0") for cell in cells])
        lines.append(
            html("<tr><td>{}</td><td><code>{}</code></td>{}</tr>", meaning, name, unbroken)
        )
    return html('<div class="figures">{}</div>', _table(["figure", "name"], heads, lines))


def _apart(one: Sequence[float | None], other: Sequence[float | None]) -> str:
    """The difference of the means of two rows; a dash where one has none."""
    means = []
    for values in (one, other):
        present = [value for value in values if value is not None and not np.isnan(value)]
        means.append(np.mean(present) if present else np.nan)
    apart = means[1] - means[0]
    return table.NONE if np.isnan(apart) else f"{apart:+.4f}"


def _differing(runs: Sequence[Run], names: Sequence[str], rows: Sequence[RunRow]) -> Html:
    """The fields in which rows differ, and the runs of each row."""
    # A line for each field that differs, for the seeds, and for the runs themselves
    fields = comparison.differing_fields([runs[row.runs[0]] for row in rows])
    lines = [
        html(
            "<tr><td><code>{}</code></td>{}</tr>", name, _cells([value[:TEXT] for value in values])
        )
        for name, values in fields.items()
    ]
    of_rows = [", ".join(names[number] for number in row.runs) for row in rows]
    seeds = [
        ", ".join(str(runs[number].summary.get("seed")) for number in row.runs) for row in rows
    ]
    lines += [
        html("<tr><td>seed</td>{}</tr>", _cells(seeds)),
        html("<tr><td>runs</td>{}</tr>", _cells(of_rows)),
    ]
    # In words where no field differs, or fields are not known
    what = "in the fields of this table" if fields else "in the seed alone"
    if not fields and len(rows) > 1:
        what = "in no field that is known; runs of one seed are not averaged"
    unknown = [run.name for run in runs if not run.fields]
    note = f"They differ {what}."
    if unknown:
        note += f" The config of {', '.join(unknown)} is not known."
    return html(
        '<p class="note">{}</p>{}', note, _table(["field"], [row.name for row in rows], lines)
    )


def _cells(values: Sequence[str]) -> Html:
    return join(html('<td class="n">{}</td>', value) for value in values)


def _table(first: Sequence[str], heads: Sequence[str], lines: Sequence[Html]) -> Html:
    """A table that can be scrolled sideways on a narrow screen."""
    return html(
        '<div class="wide"><table><tr>{}{}</tr>{}</table></div>',
        join(html("<th>{}</th>", name) for name in first),
        join(html('<th class="n">{}</th>', name) for name in heads),
        join(lines),
    )


def _data(
    rows: Sequence[RunRow],
    sides: Sequence[RunRow],
    names: Sequence[str],
    pairs: Mapping[tuple[int, int], Sequence[Difference]],
    videos: Sequence[SharedVideo],
) -> dict:
    """What the scripts draw; names are made visible, numbers have a few digits."""
    most = min(MOST_POINTS, max(LEAST_POINTS, POINTS // (2 * len(names) * len(videos))))
    row_of = {number: at for at, row in enumerate(sides) for number in row.runs}
    return {
        "rows": [visible(row.name) for row in sides],
        "runs": [{"name": visible(name), "row": row_of[n]} for n, name in enumerate(names)],
        "one_scale": len(rows) == 1,
        "pairs": [
            {
                "one": a,
                "other": b,
                "videos": [[one.video, round(one.mean, 4), one.frame] for one in found],
            }
            for (a, b), found in pairs.items()
        ],
        "videos": [_curves(video, most) | {"auc": _aucs(video, sides)} for video in videos],
    }


def _aucs(video: SharedVideo, sides: Sequence[RunRow]) -> list[str] | None:
    """AUC of the video of each row, of the frames that count; None without both classes."""
    labels = None if video.labels is None else video.labels[video.compared]
    if labels is None or labels.all() or not labels.any():
        return None
    aucs = [frame.auc(labels, scores[video.compared]) for scores in video.scores]
    of_rows = [[aucs[number] for number in side.runs] for side in sides]
    return [table.spread(of) if len(of) > 1 else table.number(of[0]) for of in of_rows]


def _curves(video: SharedVideo, most: int) -> dict:
    """The curves of a video, of at most so many points: the highest of every few frames."""
    count = len(video.compared)
    step = -(-count // most)
    starts = np.arange(0, count, step)
    spans = [] if video.labels is None else curves.intervals(video.labels)

    def thinned(values: np.ndarray) -> np.ndarray:
        filled = np.where(video.compared, values, -np.inf)
        return np.maximum.reduceat(filled, starts, axis=1)

    ranks, scores = thinned(np.nan_to_num(video.ranks)), thinned(video.scores)
    return {
        "name": visible(video.name),
        "frames": count,
        "step": step,
        "labels": [[int(start), int(stop)] for start, stop in spans],
        "ranks": [
            [int(round(STEPS * x)) if np.isfinite(x) else None for x in run]
            for run in ranks.tolist()
        ],
        "scores": [
            [float(f"{x:.4g}") if np.isfinite(x) else None for x in run] for run in scores.tolist()
        ],
    }


def main(argv: list[str] | None = None) -> None:
    """Compares the runs named on the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m vadjax.report.compare",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("runs", nargs="+", metavar="RUN", help="workdirs of finished runs")
    parser.add_argument(
        "--out", type=pathlib.Path, default=pathlib.Path(OUT), help=f"page to write ({OUT})"
    )
    args = parser.parse_args(argv)
    for line in command.report_errors(run, args.runs, args.out):
        print(line)


if __name__ == "__main__":
    command.run(main)
