"""Panels of a reason: the terms of its score, and the attributes of two places side by side."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes

from vadjax.report.reasons import BINS, DISTANCE, Attributes, Reason
from vadjax.report.sheet import FAINT, INK, Sheet, height, wrap
from vadjax.runtime.terminal import visible

# Orange and blue that colour-blind eyes tell apart (Okabe and Ito)
HERE, NORMAL = "#d55e00", "#0072b2"
# Bars of the dominant term, of those nearly as large, and of the others
WHY, ALSO, OTHER = "#1d2530", "#7c8794", "#cfd5db"
PLAIN = {"angle": "angle (direction)", "background": "background (still)"}
NEVER = (
    "All that is normal here stands still, so angle, speed and background say one thing: "
    "something moves where nothing ever did."
)
CLASSES = 4  # most classes that are shown
WIDE, LABELS, ROSE = 3.15, 1.42, 1.1  # inches, widths of: a panel, names beside bars, the rose
TITLE, BAR, GAP = 0.24, 0.2, 0.2  # inches, heights of: a title, one bar, the gap between panels
NUMBER = 0.42  # inches for the number behind a bar


class Panel(NamedTuple):
    """A panel that is still to be drawn.

    Attributes:
      height: inches.
      draw: draws it on a sheet, with its left and top edge in inches.
    """

    height: float
    draw: Callable[[Sheet, float, float], None]


def panels(reason: Reason) -> list[Panel]:
    """The panels for which the reason has values."""
    here, normal = reason.here, reason.normal
    places = (here, normal)
    chosen = []
    if reason.terms:
        chosen.append(_terms(reason))
    if any(value is not None for place in places for value in (place.moving, place.speed)):
        chosen.append(_motion(here, normal))
    if any(place.directions or place.direction or place.still for place in places):
        chosen.append(_rose(here, normal))
    if here.probability or normal.probability:
        chosen.append(_classes(here.probability, normal.probability))
    return chosen


def _terms(reason: Reason) -> Panel:
    """The terms of the score as bars, the dominant one darkest."""
    notes = wrap(NEVER, WIDE, 7) if reason.never_moved else []
    bars = BAR * len(reason.terms)

    def draw(sheet: Sheet, left: float, top: float) -> None:
        # The score of an alarm interval is no sum of its evidence
        summed = reason.score is not None and reason.measure == DISTANCE
        score = f": {reason.score:.2f}" if summed else ""
        sheet.text(left, top, f"{reason.measure}{score}", weight="bold")
        axes = sheet.axes(left + LABELS, top + TITLE, WIDE - LABELS - NUMBER, bars)
        colours = [_strength(reason, name) for name in reason.terms]
        _bars(axes, list(reason.terms.values()), colours, "{:.2f}", 1)
        names = [PLAIN.get(name, name) for name in reason.terms]
        _names(axes, range(len(names)), names, FAINT)
        # The name of the dominant term is bold.
        for name, label in zip(reason.terms, axes.get_yticklabels(), strict=True):
            if name == reason.dominant:
                label.set(weight="bold", color=WHY)
        sheet.text(left, top + TITLE + bars + 0.05, "\n".join(notes), 7, color=FAINT)

    return Panel(TITLE + bars + (0.05 + height(notes, 7) if notes else 0), draw)


def _strength(reason: Reason, name: str) -> str:
    """Colour of the bar of a term."""
    return WHY if name == reason.dominant else ALSO if name in reason.also else OTHER


def _motion(here: Attributes, normal: Attributes) -> Panel:
    """Share of moving pixels and speed of both places, side by side."""
    measures = {
        "Pixels that move, %": ((here.moving, normal.moving), "{:.0f}", 10),
        "Speed, pixels a frame": ((here.speed, normal.speed), "{:.1f}", 1),
    }

    def draw(sheet: Sheet, left: float, top: float) -> None:
        for place, (title, (values, form, least)) in enumerate(measures.items()):
            at = left + place * (WIDE + 0.1) / 2
            sheet.text(at, top, title, weight="bold")
            axes = sheet.axes(at, top + TITLE, (WIDE - 0.1) / 2 - NUMBER, 2 * BAR)
            _bars(axes, values, (HERE, NORMAL), form, least)

    return Panel(TITLE + 2 * BAR, draw)


def _classes(here: Mapping[str, float], normal: Mapping[str, float]) -> Panel:
    """Probabilities of classes in both places, those that are likeliest here first."""
    names = sorted({**here, **normal}, key=lambda name: (-here.get(name, 0), -normal.get(name, 0)))
    names = names[:CLASSES]
    tall = 2 * BAR * 0.85 * len(names)

    def draw(sheet: Sheet, left: float, top: float) -> None:
        sheet.text(left, top, "Class, probability", weight="bold")
        axes = sheet.axes(left + LABELS, top + TITLE, WIDE - LABELS - NUMBER, tall)
        values = [classes.get(name) for name in names for classes in (here, normal)]
        _bars(axes, values, (HERE, NORMAL) * len(names), "{:.2f}", 1)
        _names(axes, np.arange(len(names)) * 2 + 0.5, names, "black")

    return Panel(TITLE + tall, draw)


def _bars(
    axes: Axes,
    values: Sequence[float | None],
    colours: Sequence[str],
    form: str,
    least: float,
) -> None:
    """Draws horizontal bars from the top down, each with its number, or a dash where it has none.

    The scale ends at the greatest value, but not below `least`, so that little never looks like
    much.
    """
    lengths = [value or 0 for value in values]
    axes.barh(range(len(values)), lengths, 0.78, color=colours)
    axes.set(xlim=(0, max([least, *lengths])), ylim=(len(values) - 0.5, -0.5), xticks=[])
    axes.set_yticks([])
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    axes.spines["left"].set_color(OTHER)
    # The number stands behind the end of its bar.
    for place, value in enumerate(values):
        axes.annotate(
            "–" if value is None else form.format(value),
            (value or 0, place),
            (3, 0),
            textcoords="offset points",
            va="center_baseline",
            fontsize=8,
            color=INK,
        )


def _names(axes: Axes, places: Sequence[float], names: Sequence[str], colour: str) -> None:
    """Writes names from a score file beside bars; a dollar sign begins no formula."""
    axes.set_yticks(places, [visible(name) for name in names], parse_math=False)
    axes.tick_params(left=False, labelsize=8, labelcolor=colour)


def _rose(here: Attributes, normal: Attributes) -> Panel:
    """Directions of motion in both places, as words, and as a rose if shares are known."""
    sides = {"Here": (here, HERE), "Closest normal": (normal, NORMAL)}
    roses = [(side.directions, colour) for side, colour in sides.values() if not side.still]
    roses = [(shares, colour) for shares, colour in roses if shares and any(shares)]
    # The words stand beside the rose, below each other; without a rose side by side.
    beside, tall = (ROSE + 0.75, ROSE + 0.32) if roses else (0, 0.34)

    def draw(sheet: Sheet, left: float, top: float) -> None:
        sheet.text(left, top, "Directions of the moving pixels", weight="bold")
        if roses:
            place = left + 0.2, top + TITLE + 0.16, ROSE, ROSE
            _compass(sheet.axes(*place, projection="polar", theta_direction=-1), roses)
        for place, (name, (side, colour)) in enumerate(sides.items()):
            across, down = (0, 0.4 + 0.42 * place) if roses else (place * (WIDE + 0.1) / 2, 0)
            at = left + beside + across, top + TITLE + down
            sheet.text(*at, name, color=colour, weight="bold")
            sheet.text(at[0], at[1] + 0.15, _way(side))

    return Panel(TITLE + tall, draw)


def _compass(axes: Axes, roses: Sequence[tuple[Sequence[float], str]]) -> None:
    """Draws bars of shares [BINS] by direction, those of all roses side by side.

    Arrows name four directions, and no axis has numbers.
    """
    axes.set_axisbelow(True)
    bar_width = 2 * np.pi / BINS / len(roses)
    # The bars of two roses share the width of each direction.
    for place, (shares, colour) in enumerate(roses):
        middles = 2 * np.pi / BINS * np.arange(BINS) + (place + 0.5) * bar_width
        axes.bar(middles, shares, bar_width, color=colour)
    # One scale for all roses, and arrows instead of angles.
    top = max(max(shares) for shares, _ in roses)
    axes.set_ylim(0, top)
    axes.set_yticks([top / 2, top], [])
    axes.set_xticks(np.deg2rad([0, 90, 180, 270]), ["→", "↓", "←", "↑"])
    axes.tick_params(labelsize=9, pad=-3, labelcolor=FAINT)
    axes.grid(color=OTHER, linewidth=0.6)
    axes.spines["polar"].set_color(OTHER)


def _way(attributes: Attributes) -> str:
    """The main direction in words."""
    if attributes.still:
        return "not moving"
    return f"mostly {attributes.direction}" if attributes.direction else "unknown"
