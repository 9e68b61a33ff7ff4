"""What can be said of scores without labels: how high they are, and how often there is an alarm."""

from collections.abc import Sequence

import numpy as np

from vadjax.report import events, table
from vadjax.report.events import EventRule
from vadjax.scores import alarm, alarm_rate
from vadjax.scores.files import Scores

ROWS = 9  # thresholds that are printed


def counts(videos: Sequence[Scores]) -> dict[str, int]:
    """How many videos and frames there are: all that `metrics.json` of such a run has."""
    return {
        "videos": len(videos),
        "frames": sum(len(video.counted().frame_scores) for video in videos),
    }


def thresholds(rule: EventRule) -> list[tuple[float, float]]:
    """Rows of thresholds around the alarm line and the alarms an hour at them; the line is one."""
    line = rule.line
    levels = line.rates[:, 0]
    inside = levels[(line.rates[:, 1] > 0) & (levels > 0)]
    places = np.linspace(0, len(inside) - 1, ROWS - 1).astype(int) if len(inside) else []
    rows = sorted({*(float(inside[at]) for at in places), line.line})
    return [(level, line.rate_at(level)) for level in rows]


def print_summary(title: str, videos: Sequence[Scores], rule: EventRule) -> None:
    """Prints what can be said of the scores of videos without labels.

    Args:
      title: of the run.
      videos: their scores.
      rule: how they become alarm intervals.
    """
    print(f"{title}\nNo labels: nothing can be said of how well the anomalies are told apart.")
    if rule.line is None:
        scores = np.concatenate([video.counted().frame_scores for video in videos])
        print(f"Scores of these videos: {_shares(alarm_rate.quantiles(scores))}.\n{told(rule)}")
        return
    line = rule.line
    # How often there is an alarm, on held-out normal video and here.
    rows = []

    def at_level(level: float) -> EventRule:
        return rule._replace(line=line._replace(line=level))

    for level, rate in thresholds(rule):
        found = sum(len(events.spans(video, at_level(level))) for video in videos)
        mark = " (the alarm line)" if level == line.line else ""
        shown = "–" if rate is None else f"{rate:.3g}{' *' if rate * line.hours < 1 else ''}"
        rows.append((f"{level:.3g}{mark}", shown, f"{found:,}"))
    columns = "score", "alarms an hour of held-out normal video", "alarms in these videos"
    table.print_rows(columns, rows, columns[1:])
    print("*: less than one alarm in all held-out video, estimated by its tail.")
    if len(line.quantiles):
        print(f"Scores of held-out normal frames: {_shares(line.quantiles)}.")
    print(told(rule))


def told(rule: EventRule) -> str:
    """What makes an alarm interval, in sentences."""
    if rule.line is None:
        return f"This system has no alarm line: an interval is where a score is {events.HALF_WAY}."
    return alarm.told(rule.line)


def _shares(rows: np.ndarray) -> str:
    """Quantiles in words."""
    return ", ".join(f"{100 * share:g} % below {score:.3g}" for share, score in rows)
