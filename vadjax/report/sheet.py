"""Figures that are laid out in inches from their top left corner, so that nothing overlaps."""

import functools
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties

from vadjax.report.curves import DPI
from vadjax.runtime.terminal import visible

INK, FAINT = "#1d2530", "#5a6675"


class Sheet:
    """A figure of `width` by `height` inches."""

    def __init__(self, width: float, height: float):
        self.width, self.height = width, height
        self.figure = Figure(figsize=(width, height))

    def axes(self, left: float, top: float, width: float, height: float, **options) -> Axes:
        """Adds axes at that place, in inches."""
        bottom = self.height - top - height
        place = (left / self.width, bottom / self.height, width / self.width, height / self.height)
        return self.figure.add_axes(place, **options)

    def text(self, left: float, top: float, text: str, size: float = 8, **options) -> None:
        """Adds text with its upper left corner at that place; a dollar sign begins no formula."""
        style = {"va": "top", "color": INK, "parse_math": False, "linespacing": 1.3} | options
        self.figure.text(
            left / self.width, 1 - top / self.height, visible(text), fontsize=size, **style
        )


def wrap(text: str, width: float, size: float, most: int = 0) -> list[str]:
    """Breaks text into lines that are no wider than `width`.

    Args:
      text: any text; words that are wider than a line are cut.
      width: width of a line in inches.
      size: size of the letters in points.
      most: number of lines at most, of which the last then ends in "…"; 0 for any number.
    """
    lines = [""]
    # Each word goes to the last line, else to a new one; one that fits into no line is cut.
    for word in visible(text).split():
        while word:
            joined = f"{lines[-1]} {word}".strip()
            if _wide(joined, size) <= width:
                lines[-1], word = joined, ""
            elif lines[-1]:
                lines.append("")
            else:
                fits = _fitting(word, width, size)
                lines[-1], word = word[:fits], word[fits:]
    # Room for the dots is made letter by letter.
    if most and len(lines) > most:
        lines = lines[:most]
        while _wide(f"{lines[-1]} …", size) > width:
            lines[-1] = lines[-1][:-1]
        lines[-1] += " …"
    return lines if lines[-1] else lines[:-1]


def _fitting(word: str, width: float, size: float) -> int:
    """Number of letters of a word that fit into a line; at least one."""
    return max([1, *(n for n in range(1, len(word) + 1) if _wide(word[:n], size) <= width)])


def _wide(text: str, size: float) -> float:
    """Width in inches of a line of text as it is drawn, with letters at whole pixels."""
    style = FontProperties(size=size)
    return _renderer().get_text_width_height_descent(text, style, ismath=False)[0] / DPI


@functools.cache
def _renderer() -> RendererAgg:
    return RendererAgg(1, 1, DPI)


def height(lines: Sequence[str], size: float) -> float:
    """Height in inches of lines of text of that size in points."""
    return len(lines) * size * 1.35 / 72
