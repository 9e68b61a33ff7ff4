"""What the columns of a text file of boxes hold: names, other spellings of them, and headings.

A row of text is one box of one frame. The names of the columns say what they hold:

frame, track, score          number of the frame, label of the track, score (high = anomalous)
                             (a frame may be the name of its picture: Test001/012.jpg is 12)
x_min, y_min, x_max, y_max   first and last pixel inside the box: "inclusive"
x0, y0, x1, y1               the same, but x1 and y1 are one past the last pixel
x, y, w, h                   x_min, y_min and the size in pixels
cx, cy, w, h                 the middle, x_min + w / 2 and y_min + h / 2, and the size
class                        text, which only `table.words` reads
-                            anything else, which is not read

`SPELLINGS` has the other spellings; case, blanks and underscores do not matter. In x1, y1, x2, y2
the first two are x_min and y_min. Fields are parted by semicolons, commas or blanks.
"""

import collections
import dataclasses
import math
import re
from collections.abc import Sequence

import numpy as np

TEXT = ("-", "class")  # columns that hold no number
# Axis → columns that can say where a box begins (or its middle), and where it ends (or its size)
FIRST = {"x": ("x_min", "cx"), "y": ("y_min", "cy")}
LAST = {"x": ("x_max", "x1", "w"), "y": ("y_max", "y1", "h")}
KINDS = {"track": "tracks", "score": "detections"}
# Sources of what the columns hold: a flag of the user, a default, the heading of the file
GIVEN, ASSUMED, HEADING = "given", "assumed", "heading"
SPELLINGS = {
    "frame": "frame frameid framenumber framenum frameno frameindex frameidx image imageid "
    "imagename filename",
    "track": "track trackid tracknumber id objectid objid personid targetid tid",
    "score": "score confidence conf probability prob anomalyscore detectionscore",
    "x_min": "xmin x x0 left minx xleft bbleft bboxleft bbx bboxx bboxxmin",
    "y_min": "ymin y y0 top miny ytop bbtop bboxtop bby bboxy bboxymin",
    "x_max": "xmax right maxx xright x2 bbright bboxright bboxxmax",
    "y_max": "ymax bottom maxy ybottom y2 bbbottom bboxbottom bboxymax",
    "x1": "x1",
    "y1": "y1",
    "w": "w width bbwidth bboxwidth bbw bboxw boxwidth",
    "h": "h height bbheight bboxheight bbh bboxh boxheight",
    "cx": "cx centerx centrex xcenter xcentre xc",
    "cy": "cy centery centrey ycenter ycentre yc",
    "class": "class classid classname cls label category categoryid categoryname kind type",
}
# Spelling → name of this module
NAMES = {spelling: name for name, text in SPELLINGS.items() for spelling in text.split()}
# The number at the end of the name of a picture
PICTURE = re.compile(r"(\d+)\.(?:jpe?g|png|bmp|tiff?)$", re.IGNORECASE)


def plain(name: str) -> str:
    """A name without case, blanks, quotes and underscores."""
    return "-" if name.strip() == "-" else re.sub(r"[^a-z0-9]", "", name.lower())


def canonical(names: Sequence[str]) -> list[str | None]:
    """The names of this module for names as written; None for an unknown name."""
    spelled = [plain(name) for name in names]
    spellings = dict(NAMES) | {"-": "-"}
    # In x1, y1, x2, y2 the first two are the beginning; else x1, y1 are one past the end
    spellings |= {f"{axis}1": f"{axis}_min" for axis in "xy" if f"{axis}2" in spelled}
    return [spellings.get(name) for name in spelled]


def number(field: str) -> float | None:
    """The number in a field; None if there is none."""
    try:
        return None if "_" in field else float(field.strip().strip("\"'"))
    except ValueError:
        return None


def frame_number(field: str) -> float | None:
    """The number of a frame in a field, which may be the name of its picture; None without one."""
    picture = PICTURE.search(field.strip().strip("\"'"))
    return float(picture[1]) if picture else number(field)


def delimiter(line: str) -> str | None:
    """The character that separates the fields of a line; None for blanks."""
    return next((mark for mark in ";," if mark in line), None)


def heading(line: str) -> list[str] | None:
    """The fields of a line, if there are several and none is a number; None for another line."""
    mark = delimiter(line) or ("\t" if "\t" in line else None)
    fields = [field.strip().strip("\"'") for field in line.split(mark)]
    if len(fields) < 2 or any(frame_number(field) is not None for field in fields):
        return None
    return fields


@dataclasses.dataclass(frozen=True)
class Layout:
    """What the columns of a text file hold (module docstring).

    Attributes:
      columns: a name for every column.
      kind: `"track"` or `"score"`: what a row has besides frame and box.
      first_frame: number that the file gives to the first frame of the video.
      source: `GIVEN`, `ASSUMED` or `HEADING`. A heading replaces columns that are only assumed.
      flags: flags of the program for the columns and for the first frame, for messages.

    Raises:
      ValueError: a name is unknown or given twice, or a needed column is missing.
    """

    columns: tuple[str, ...]
    kind: str
    first_frame: int = 0
    source: str = GIVEN
    flags: tuple[str, str] = ("", "")

    def __post_init__(self):
        names = canonical(self.columns)
        needed = [(self.kind,), ("frame",), *FIRST.values(), *LAST.values()]
        text = f"columns {self}"
        # All names are known, and each stands once.
        for column, name in zip(self.columns, names, strict=True):
            if name is None:
                raise ValueError(f"{text}: {column!r} is not known here; known are {known()}")
        for name, count in collections.Counter(names).items():
            if count > 1 and name not in TEXT:
                raise ValueError(f"{text}: {name} is given {count} times")
        # Each thing is said in exactly one way, and a middle needs a size.
        for ways in needed:
            if len(present := [name for name in ways if name in names]) != 1:
                raise ValueError(
                    f"{text}: expected one of {', '.join(ways)}; "
                    f"got {' and '.join(present) or 'none'}"
                )
        for (_, middle), (*_, size) in zip(FIRST.values(), LAST.values(), strict=True):
            if middle in names and size not in names:
                raise ValueError(f"{text}: {middle} is the middle, so {size} is needed too")

    def __str__(self) -> str:
        return ",".join(self.columns)

    @property
    def names(self) -> list[str]:
        """The columns by the names of this module."""
        return canonical(self.columns)

    @property
    def numbers(self) -> list[int]:
        """Indices of the columns that hold numbers that are used."""
        used = {self.kind, "frame", *sum((*FIRST.values(), *LAST.values()), ())}
        return [i for i, name in enumerate(self.names) if name in used]

    @property
    def coordinates(self) -> list[int]:
        """Indices of the columns that say where the box is."""
        return [i for i in self.numbers if self.names[i] not in (self.kind, "frame")]

    def follow(self, names: Sequence[str]) -> "Layout":
        """The layout of a file that has these names in its heading.

        Raises:
          ValueError: a name is unknown, or the user named the columns otherwise.
        """
        flag, spelled = self.flags[0], ",".join(names)
        # An assumption gives way to the heading
        if self.source == ASSUMED:
            try:
                return dataclasses.replace(self, columns=tuple(names), source=HEADING)
            except ValueError as error:
                remedy = f". Name them in their order with {flag}, - for one to pass over"
                raise ValueError(f"its heading has the {error}{remedy if flag else ''}") from error
        # Columns that the user named stay, if the heading does not contradict them
        agree = len(names) == len(self.columns) and all(
            heading_name is None or compatible(column, heading_name, name)
            for column, heading_name, name in zip(self.names, canonical(names), names, strict=True)
        )
        if not agree:
            raise ValueError(
                f"its heading begins with {spelled!r}, but the columns are named {self}; leave "
                f"{flag or 'them'} out to follow the heading, or correct one of both"
            )
        return self

    def arrange(self, rows: np.ndarray, size: tuple[int, int] | None = None) -> np.ndarray:
        """Rows as in the file → `kind, frame, x_min, y_min, x_max, y_max`, frames from 0.

        Args:
          rows: float64 [n, columns].
          size: (H, W) of the frame if coordinates are shares of it, None if they are pixels. Shares
            are positions of edges, so that a box from 0 to 1 is the whole frame.

        Returns:
          float64 [n, 6].
        """
        values = {name: rows[:, i] for i, name in enumerate(self.names)}
        # Shares become pixels; a last edge is then one past the last pixel.
        for axis, pixels in zip("yx", size or (), strict=False):
            for name in (*FIRST[axis], *LAST[axis]):
                if name in values:
                    values[name] = values[name] * pixels
            if (last := LAST[axis][0]) in values:
                values[LAST[axis][1]] = values.pop(last)
        # Middles and sizes become first and last pixels.
        for axis, (inclusive, past, extent) in LAST.items():
            if f"c{axis}" in values:
                values[f"{axis}_min"] = values[f"c{axis}"] - values[extent] / 2
            if past in values:
                values[inclusive] = values[past] - 1
            elif extent in values:
                values[inclusive] = values[f"{axis}_min"] + values[extent] - 1
        frames = values["frame"] - self.first_frame
        return np.stack(
            [values[self.kind], frames, *(values[n] for n in ("x_min", "y_min", "x_max", "y_max"))],
            1,
        )


def layout(
    default: Layout, columns: Sequence[str] | None, first_frame: int, flags: tuple[str, str]
) -> Layout:
    """The layout that a program's flags ask for.

    Args:
      default: layout that is assumed if the user names no columns.
      columns: columns that the user names, None for none.
      first_frame: number of the first frame.
      flags: names of the flags for both, for messages.

    Raises:
      ValueError: as `Layout`; the message names the flag.
    """
    assumed = dataclasses.replace(default, first_frame=first_frame, flags=flags)
    if columns is None:
        return assumed
    try:
        return dataclasses.replace(assumed, columns=tuple(columns), source=GIVEN)
    except ValueError as error:
        raise ValueError(f"{flags[0]}: {error}") from error


def known() -> str:
    """The known names, for messages."""
    return f"{', '.join(sorted({*SPELLINGS, '-'}))}, and other spellings of them"


def compatible(given: str, found: str, spelled: str) -> bool:
    """Whether a column that the user named may have this name in the heading.

    For the end of a box the user may name the last pixel or the one after it, and for a plain `x`
    the first pixel or the middle.

    Args:
      given: name of the column by the user.
      found: name in the heading, in the spelling of this module.
      spelled: name in the heading, as it is written.
    """
    # Sets of names that may stand for each other.
    alike = [{last, past} for last, past, _ in LAST.values()]
    if plain(spelled) in FIRST:
        alike += [set(ways) for ways in FIRST.values()]
    return given in (found, *TEXT) or found == "class" or {given, found} in alike


def whole(values: np.ndarray) -> np.ndarray:
    """Which values are whole numbers that int64 and float64 hold exactly."""
    return (values == np.floor(values)) & (np.abs(values) <= math.ldexp(1, 53))
