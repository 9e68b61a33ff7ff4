"""The page `report/index.html`: everything in one file that opens anywhere."""

import base64
import functools
import html
import json
import math
import pathlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from vadjax import provenance
from vadjax.metrics import frame
from vadjax.report import curves, explain, pictures, table
from vadjax.scores import Scores, replacing

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1d2530; max-width: 62rem; margin: 2rem auto;
       padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: .2rem } h2 { font-size: 1.15rem; margin-top: 2.2rem }
h3 { font-size: 1rem; margin: 1rem 0 .3rem }
table { border-collapse: collapse; width: 100%; font-size: .92rem }
th, td { text-align: left; padding: .3rem .7rem; border-bottom: 1px solid #e4e7eb }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums }
figure { margin: 0 } img { max-width: 100%; height: auto }
.two { display: grid; grid-template-columns: repeat(auto-fit, minmax(22rem, 1fr)); gap: 1rem }
details { color: #5a6675; margin: .1rem 0 1.6rem } details p, details pre { margin: .4rem 0 }
pre { white-space: pre-wrap; overflow-wrap: anywhere; font-size: .85rem }
.note { color: #5a6675 } .warn { background: #fff4dc; padding: .5rem .8rem; border-radius: 4px }
.key { display: inline-block; width: .9em; height: .9em; background: #e8a33d59; margin-right: .3em }
"""


def build(
    out: str | pathlib.Path,
    videos: Sequence[Scores],
    summary: Mapping,
    shown: int = 12,
    windows: int = 4,
    reasons: int = 6,
) -> pathlib.Path:
    """Writes `index.html` and the figures as PNG files to the folder `out`.

    Args:
      out: folder to write; what an earlier report left in it is replaced.
      videos: labelled scores.
      summary: what was measured, as in `metrics.json`.
      shown: draw the curves of so many of the best and of the worst videos.
      windows: show so many of the highest- and of the lowest-scoring pictures, where the score
        files have any; 0 for none. Each adds 0.2 to 0.4 MB to the page.
      reasons: show why so many of the highest-scoring events were flagged, where the score files
        say so; 0 for none. Each adds 0.1 to 0.4 MB.

    Returns:
      Path of the page.
    """
    out = pathlib.Path(out)
    with replacing(out, "report") as work:
        text = _page(work, videos, summary, shown, windows, reasons)
        (work / "index.html").write_text(text, "utf-8")
    return out / "index.html"


def _page(
    work: pathlib.Path,
    videos: Sequence[Scores],
    summary: Mapping,
    shown: int,
    windows: int,
    reasons: int,
) -> str:
    """The text of the page; the figures are also written to the folder `work`."""
    title = _text(summary["title"])
    ranked = rank(videos)
    top = max(1.0, max(float(np.max(video.frame_scores)) for video, _, _ in ranked))
    bottom = min(0.0, min(float(np.min(video.frame_scores)) for video, _, _ in ranked))

    image = functools.partial(_image, work)

    def drawn(group: Sequence[tuple[Scores, float, str]]) -> str:
        return '<div class="two">{}</div>'.format(
            "".join(
                image(
                    f"video_{video.video}",
                    curves.draw_video(video, f"{video.video} · {said}", top, bottom),
                    said,
                )
                for video, _, said in group
            )
        )

    shown = min(shown, -(-len(ranked) // 2))
    best = ranked[:shown]
    worst = ranked[shown:][::-1][:shown]
    parts = [
        f"<h1>{title}</h1>",
        _notice(summary),
        "<h2>Figures</h2>",
        _figures(summary),
        "<h2>Curves</h2>",
        '<div class="two">',
        image("roc", curves.draw_roc(videos), "ROC curve"),
        image("precision_recall", curves.draw_precision_recall(videos), "Precision-recall curve"),
        "</div>",
        f"<h2>Best videos ({len(best)} of {len(ranked)})</h2>",
        '<p class="note"><span class="key"></span>true anomaly. Videos with both kinds of frames '
        "are ranked by their own AUC; normal videos by their highest score, anomalous throughout "
        "by their lowest: 1 − maximum, or minimum.</p>",
        drawn(best),
    ]
    if worst:
        parts += [f"<h2>Worst videos ({len(worst)} of {len(ranked)})</h2>", drawn(worst)]
    parts += _why(explain.choose(videos, reasons), image)
    parts += _windows(*pictures.choose(videos, windows), image)
    parts += ["<h2>All videos, best first</h2>", _list(ranked), _made_with(summary)]
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>'
        f"{title}</title><style>{STYLE}</style><body>"
        f"{''.join(parts)}</body></html>\n"
    )


def _image(work: pathlib.Path, name: str, figure: Figure, text: str) -> str:
    """The figure for the page, with `text` for who cannot see it; also written to `work`."""
    png = curves.to_png(figure)
    (work / f"{name}.png").write_bytes(png)
    data = base64.b64encode(png).decode()
    return f'<figure><img alt="{_text(text)}" src="data:image/png;base64,{data}"></figure>'


def _why(events: Sequence[explain.Event], image: Callable[..., str]) -> list[str]:
    """The section of the reasons; nothing without any."""
    if not events:
        return []
    parts = ["<h2>Why: the highest-scoring events</h2>"]
    if events[0].seen is not None:
        parts.append(f'<p class="note">{explain.NOTE}</p>')
    for rank, event in enumerate(events, 1):
        parts.append(f"<h3>{rank}. {_text(event.caption)}</h3>")
        if event.seen is None:
            parts.append(f"<p>{_text(event.reason.text)}</p>")
            continue
        stored = json.dumps(event.stored, indent=1, ensure_ascii=False)
        parts += [
            image(f"why_{rank}", explain.draw(event), event.caption),
            f"<details><summary>as text</summary><p>{_text(event.reason.text)}</p>"
            f"<pre>{_text(stored)}</pre></details>",
        ]
    return parts


def _windows(high: Sequence[pictures.Window], low: Sequence[pictures.Window], image) -> list[str]:
    """The section of the highest- and lowest-scoring pictures; nothing where there are none."""
    if not high:
        return []
    scales = pictures.scales([*high, *low])

    def rows(kind: str, chosen: Sequence[pictures.Window]) -> str:
        heading = f"<h3>{kind.capitalize()} scores</h3>" if chosen else ""
        return heading + "".join(
            image(f"{kind}_{rank}", pictures.draw(window, scales), window.caption)
            for rank, window in enumerate(chosen, 1)
        )

    return [
        "<h2>Highest- and lowest-scoring windows</h2>",
        f'<p class="note">Of the pictures in the score files. {pictures.explain(scales)}</p>',
        rows("highest", high),
        rows("lowest", low),
    ]


def rank(videos: Sequence[Scores]) -> list[tuple[Scores, float, str]]:
    """Videos from best to worst: (scores, merit, what the merit is)."""
    aucs, found = frame.video_aucs(videos), []
    for video in videos:
        own = aucs[video.video]
        if not math.isnan(own):
            found.append((video, own, f"AUC {own:.3f}"))
        elif video.labels.any():
            low = float(np.min(video.frame_scores))
            found.append((video, low, f"anomalous throughout, lowest score {low:.3f}"))
        else:
            high = float(np.max(video.frame_scores))
            found.append((video, 1 - high, f"normal, highest score {high:.3f}"))
    return sorted(found, key=lambda row: (-row[1], row[0].video))


def _notice(summary: Mapping) -> str:
    parts = []
    if summary["data"].startswith("toy"):
        parts.append("Built-in toy set: these figures say nothing about real video.")
    if summary["selected_on_test"]:
        parts.append(
            "The checkpoint was selected on the test split (eval.select_on_test), as the original "
            "program does; the figures are optimistic."
        )
    if left_out := summary.get("left_out"):
        parts.append(
            f"{len(left_out):,} videos are left out, which lack scores or labels: "
            f"{', '.join(left_out)}. The figures cannot be compared with those of the whole set."
        )
    return "".join(f'<p class="warn">{_text(part)}</p>' for part in parts)


def _figures(summary: Mapping) -> str:
    beside = bool(summary.get("untrained"))
    cells = "".join(
        f"<tr><td>{_text(meaning)}</td><td><code>{name}</code></td>"
        f'<td class="n">{value}</td>'
        + (f'<td class="n">{untrained}</td></tr>' if beside else "</tr>")
        for name, meaning, value, untrained in table.rows(summary)
    )
    counts = summary["metrics"]
    heading = '<th class="n">untrained</th>' if beside else ""
    return (
        f'<table><tr><th>figure</th><th>name</th><th class="n">value</th>{heading}</tr>{cells}'
        f'</table><p class="note">{counts["videos"]:,} videos ({counts["anomalous_videos"]:,} '
        f"anomalous), {counts['frames']:,} frames ({counts['anomalous_frames']:,} anomalous).</p>"
    )


def _made_with(summary: Mapping) -> str:
    """With what the figures were made, folded; nothing for a summary that does not say."""
    if not (made := summary.get(provenance.KEY)):
        return ""
    stored = json.dumps(made, indent=1, ensure_ascii=False)
    commit = f" ({made['commit']})" if made.get("commit") else ""
    return (
        f"<details><summary>Made with vadjax {_text(made['vadjax'])}{_text(commit)}, "
        f"{_text(made['date'])}</summary><pre>{_text(stored)}</pre></details>"
    )


def _list(ranked: Sequence[tuple[Scores, float, str]]) -> str:
    cells = "".join(
        f'<tr><td>{_text(video.video)}</td><td class="n">{len(video.frame_scores):,}</td>'
        f'<td class="n">{int(video.labels.sum()):,}</td><td>{_text(said)}</td></tr>'
        for video, _, said in ranked
    )
    return (
        '<table><tr><th>video</th><th class="n">frames</th><th class="n">anomalous</th>'
        f"<th>ranked by</th></tr>{cells}</table>"
    )


def _text(value: object) -> str:
    return html.escape(str(value))


def summarize(folder: pathlib.Path, videos: Sequence[Scores], left_out: Sequence[str] = ()) -> dict:
    """What `build` and the table need, for score files of any program, measured here.

    Args:
      folder: where the score files are.
      videos: labelled scores.
      left_out: names of videos that lack scores or labels.
    """
    return {
        "title": f"score files of {folder}",
        "data": str(folder),
        "selected_on_test": False,
        "metrics": frame.evaluate(videos),
        "untrained": {},
        "left_out": list(left_out),
        provenance.KEY: provenance.made_with(),
    }
