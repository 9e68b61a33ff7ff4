"""A report: the page `index.html` that people work with, and beside it `figures.html`.

`figures.html` has the figures and curves of labelled videos in one file, without scripts.
"""

import functools
import json
import math
import pathlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from vadjax.metrics import frame
from vadjax.report import (
    curves,
    events,
    explain,
    footage,
    markup,
    pictures,
    player,
    table,
)
from vadjax.report.events import NO_RULE, EventRule
from vadjax.report.footage import NO_FOOTAGE, Footage
from vadjax.report.markup import Html, html, join
from vadjax.runtime import provenance
from vadjax.scores.files import Scores, replacing

FIGURES = "figures.html"  # beside the page
COUNTS = ("videos", "anomalous_videos", "frames", "anomalous_frames")
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
    rule: EventRule = NO_RULE,
    seen: Footage = NO_FOOTAGE,
) -> pathlib.Path:
    """Writes a report to the folder `out`, which can be mailed as a whole.

    It has the page (`player.write`), the films that it plays, and of labelled videos `figures.html`
    and its plots as PNG files. Alarm intervals are also written, to `events.jsonl`, one a line.

    Args:
      out: folder to write; what an earlier report left in it is replaced.
      videos: scores, all with labels or all without.
      summary: what was measured, as in `metrics.json`.
      shown: number of the best and of the worst videos whose curves are drawn.
      windows: number of the highest- and of the lowest-scoring pictures to show, if the score files
        have any; 0 for none. Each adds 0.2 to 0.4 MB to the figures.
      reasons: number of the highest-scoring events to explain, if the score files have reasons; 0
        for none. Each adds 0.1 to 0.4 MB.
      rule: how scores become alarm intervals.
      seen: the frames behind the scores, as far as they are at hand.

    Returns:
      Path of the page.
    """
    out = pathlib.Path(out)
    labelled = all(video.labels is not None for video in videos)
    with replacing(out, "report") as work:
        if labelled:
            text = _page(work, videos, summary, shown, windows, reasons)
            (work / FIGURES).write_text(text, "utf-8")
        found = events.of_videos(videos, rule)
        about = player.About(
            summary["title"],
            notices(summary) if labelled else _of_data(summary),
            rule.line,
            labelled,
            seen.normal_command,
            summary.get(provenance.KEY),
        )
        player.write(work, footage.prepare(work, videos, rule, seen), found, about)
        if any(video.boxes is not None or video.map is not None for video in videos):
            (work / events.FILE).write_text(events.write_lines(found), "utf-8")
    return out / player.INDEX


def _page(
    work: pathlib.Path,
    videos: Sequence[Scores],
    summary: Mapping,
    shown: int,
    windows: int,
    reasons: int,
) -> Html:
    """The text of the page; its plots are also written to the folder `work`."""
    # All curves have the same scale.
    ranked = rank(videos)
    top = max(1.0, max(float(np.max(video.frame_scores)) for video, _, _ in ranked))
    bottom = min(0.0, min(float(np.min(video.frame_scores)) for video, _, _ in ranked))

    image = functools.partial(_image, work)

    def drawn(group: Sequence[tuple[Scores, float, str]]) -> Html:
        figures = (
            image(
                f"video_{video.video}",
                curves.draw_video(video, f"{video.video} · {basis}", top, bottom),
                basis,
            )
            for video, _, basis in group
        )
        return html('<div class="two">{}</div>', join(figures))

    # The best and the worst, none of them twice.
    shown = min(shown, -(-len(ranked) // 2))
    best = ranked[:shown]
    worst = ranked[shown:][::-1][:shown]
    ranking = html(
        '<p class="note"><span class="key"></span>true anomaly. Videos with both kinds of frames '
        "are ranked by their own AUC; normal videos by their highest score, anomalous throughout "
        "by their lowest: 1 − maximum, or minimum.</p>"
    )
    # The page from top to bottom.
    parts = [
        html("<h1>{}</h1>", summary["title"]),
        join(html('<p class="warn">{}</p>', part) for part in notices(summary)),
        html("<h2>Figures</h2>"),
        _figures(summary),
        html('<h2>Curves</h2><div class="two">'),
        image("roc", curves.draw_roc(videos), "ROC curve"),
        image("precision_recall", curves.draw_precision_recall(videos), "Precision-recall curve"),
        html("</div><h2>Best videos ({} of {})</h2>", len(best), len(ranked)),
        ranking,
        drawn(best),
    ]
    if worst:
        parts += [html("<h2>Worst videos ({} of {})</h2>", len(worst), len(ranked)), drawn(worst)]
    parts += _why(explain.choose(videos, reasons), image)
    parts += _windows(*pictures.choose(videos, windows), image)
    parts += [html("<h2>All videos, best first</h2>"), _list(ranked), _made_with(summary)]
    return markup.page(summary["title"], STYLE, parts)


def _image(work: pathlib.Path, name: str, figure: Figure, text: str) -> Html:
    """The plot for the page, with `text` for readers who cannot see it; also a file in `work`."""
    png = curves.to_png(figure)
    (work / f"{name}.png").write_bytes(png)
    return markup.picture(png, text)


def _why(events: Sequence[explain.ExplainedEvent], image: Callable[..., Html]) -> list[Html]:
    """The section of the reasons; empty without any."""
    if not events:
        return []
    parts = [html("<h2>Why: the highest-scoring events</h2>")]
    if events[0].seen is not None:
        parts.append(html('<p class="note">{}</p>', explain.NOTE))
    for rank, event in enumerate(events, 1):
        # Without pictures the sentence is all that is shown; with them the dict can be unfolded.
        parts.append(html("<h3>{}. {}</h3>", rank, event.caption))
        if event.seen is None:
            parts.append(html("<p>{}</p>", event.reason.text))
            continue
        folded = html(
            "<details><summary>as text</summary><p>{}</p><pre>{}</pre></details>",
            event.reason.text,
            json.dumps(event.stored, indent=1, ensure_ascii=False),
        )
        parts += [image(f"why_{rank}", explain.draw(event), event.caption), folded]
    return parts


def _windows(
    high: Sequence[pictures.Window], low: Sequence[pictures.Window], image: Callable[..., Html]
) -> list[Html]:
    """The section of the highest- and lowest-scoring pictures; empty where there are none."""
    if not high:
        return []
    # One scale of colours for all pictures, so that they can be compared.
    scales = pictures.scales([*high, *low])

    def rows(kind: str, chosen: Sequence[pictures.Window]) -> Html:
        heading = html("<h3>{} scores</h3>", kind.capitalize()) if chosen else html("")
        images = (
            image(f"{kind}_{rank}", pictures.draw(window, scales), window.caption)
            for rank, window in enumerate(chosen, 1)
        )
        return join([heading, *images])

    return [
        html("<h2>Highest- and lowest-scoring windows</h2>"),
        html(
            '<p class="note">Of the pictures in the score files. {}</p>', pictures.explain(scales)
        ),
        rows("highest", high),
        rows("lowest", low),
    ]


def rank(videos: Sequence[Scores]) -> list[tuple[Scores, float, str]]:
    """Videos from best to worst: (scores, merit, what the merit is)."""
    aucs, ranked = frame.video_aucs(videos), []
    for video in videos:
        auc = aucs[video.video]
        # A video of one class has no AUC: one that is anomalous throughout should score high in
        # every frame, a normal one low.
        if not math.isnan(auc):
            ranked.append((video, auc, f"AUC {auc:.3f}"))
        elif video.labels.any():
            low = float(np.min(video.frame_scores))
            ranked.append((video, low, f"anomalous throughout, lowest score {low:.3f}"))
        else:
            high = float(np.max(video.frame_scores))
            ranked.append((video, 1 - high, f"normal, highest score {high:.3f}"))
    return sorted(ranked, key=lambda row: (-row[1], row[0].video))


def notices(summary: Mapping) -> list[str]:
    """What limits the use of the figures: a toy set, selection on test data, missing videos."""
    parts = _of_data(summary)
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
    return parts


def _of_data(summary: Mapping) -> list[str]:
    """What limits the use of scores, labelled or not: a toy set."""
    if summary["data"].startswith("toy"):
        return ["Built-in toy set: these figures say nothing about real video."]
    return []


def _figures(summary: Mapping) -> Html:
    """The table of figures, with a column of those of the untrained network if there are any."""
    has_untrained = bool(summary.get("untrained"))

    def row(name: str, meaning: str, value: str, untrained: str) -> Html:
        more = html('<td class="n">{}</td>', untrained) if has_untrained else html("")
        return html(
            '<tr><td>{}</td><td><code>{}</code></td><td class="n">{}</td>{}</tr>',
            meaning,
            name,
            value,
            more,
        )

    return html(
        '<table><tr><th>figure</th><th>name</th><th class="n">value</th>{heading}</tr>{rows}'
        '</table><p class="note">{videos:,} videos ({anomalous_videos:,} anomalous), {frames:,} '
        "frames ({anomalous_frames:,} anomalous).</p>",
        heading=html('<th class="n">untrained</th>') if has_untrained else html(""),
        rows=join(row(*cells) for cells in table.rows(summary)),
        **{name: summary["metrics"][name] for name in COUNTS},
    )


def _made_with(summary: Mapping) -> Html:
    """The program, packages and device of the figures, folded; empty if the summary has none."""
    if not (made := summary.get(provenance.KEY)):
        return html("")
    return html(
        "<details><summary>Made with vadjax {}{}, {}</summary><pre>{}</pre></details>",
        made["vadjax"],
        f" ({made['commit']})" if made.get("commit") else "",
        made["date"],
        json.dumps(made, indent=1, ensure_ascii=False),
    )


def _list(ranked: Sequence[tuple[Scores, float, str]]) -> Html:
    """The table of all videos, and by what they are ranked."""
    rows = (
        html(
            '<tr><td>{}</td><td class="n">{:,}</td><td class="n">{:,}</td><td>{}</td></tr>',
            video.video,
            len(video.frame_scores),
            int(video.labels.sum()),
            basis,
        )
        for video, _, basis in ranked
    )
    return html(
        '<table><tr><th>video</th><th class="n">frames</th><th class="n">anomalous</th>'
        "<th>ranked by</th></tr>{}</table>",
        join(rows),
    )


def summarize(folder: pathlib.Path, videos: Sequence[Scores], left_out: Sequence[str] = ()) -> dict:
    """Measures score files of any program; returns what `build` and the table need.

    Args:
      folder: folder of the score files.
      videos: labelled scores.
      left_out: names of videos that lack scores or labels.

    Raises:
      ValueError: as `frame.evaluate`.
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
