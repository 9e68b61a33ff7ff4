"""What the columns of a text file of boxes hold: names, their other spellings, and headings.

A row of text is one box of one frame. The names of the columns say what they hold:

frame, track, score          number of the frame, label of the track, score (high = anomalous)
                             (a frame may be the name of its picture: Test001/012.jpg is 12)
x_min, y_min, x_max, y_max   first and last pixel inside the box: "inclusive"
x0, y0, x1, y1               the same, but x1 and y1 are one past the last pixel
x, y, w, h                   x_min, y_min and the size in pixels
cx, cy, w, h                 the middle, x_min + w / 2 and y_min + h / 2, and the size
class                        text, read by `table.words` alone
-                            anything else; not read

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
FIRST = {"x": ("x_min", "cx"), "y": ("y_min", "cy")}  # ways to say where a box is
LAST = {"x": ("x_max", "x1", "w"), "y": ("y_max", "y1", "h")}  # ways to say where a box ends
KINDS = {"track": "tracks", "score": "detections"}
GIVEN, ASSUMED, HEADING = "given", "assumed", "heading"  # who says what the columns hold
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
NAMES = {spelling: name for name, text in SPELLINGS.items() for spelling in text.split()}
PICTURE = re.compile(r"(\d+)\.(?:jpe?g|png|bmp|tiff?)$", re.IGNORECASE)


def plain(name: str) -> str:
    """A name without case, blanks, quotes and underscores."""
    return "-" if name.strip() == "-" else re.sub(r"[^a-z0-9]", "", name.lower())


def canonical(names: Sequence[str]) -> list[str | None]:
    """The names of this module for names as written; None for one that is not known."""
    spelled = [plain(name) for name in names]
    known = dict(NAMES) | {"-": "-"}
    known |= {f"{axis}1": f"{axis}_min" for axis in "xy" if f"{axis}2" in spelled}
    return [known.get(name) for name in spelled]


def number(field: str) -> float | None:
    """The number in a field; None if there is none."""
    try:
        return None if "_" in field else float(field.strip().strip("\"'"))
    except ValueError:
        return None


def frame_number(field: str) -> float | None:
    """Number of a frame, also from the name of its picture."""
    picture = PICTURE.search(field.strip().strip("\"'"))
    return float(picture[1]) if picture else number(field)


def delimiter(line: str) -> str | None:
    """What parts the fields of a line; None for blanks."""
    return next((mark for mark in ";," if mark in line), None)


def heading(line: str) -> list[str] | None:
    """The names in a line of several fields of which none is a number; None for another line."""
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
      source: who says so. What is only `ASSUMED` gives way to a heading.
      flags: those of the program that name the columns and the first frame, for messages.

    Raises:
      ValueError: an unknown name, a name given twice, or something that no column says.
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
        for column, name in zip(self.columns, names, strict=True):
            if name is None:
                raise ValueError(f"{text}: {column!r} is not known here; known are {known()}")
        for name, count in collections.Counter(names).items():
            if count > 1 and name not in TEXT:
                raise ValueError(f"{text}: {name} is given {count} times")
        for ways in needed:
            if len(found := [name for name in ways if name in names]) != 1:
                raise ValueError(
                    f"{text}: expected one of {', '.join(ways)}; "
                    f"got {' and '.join(found) or 'none'}"
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
        """Which columns hold numbers that are used."""
        used = {self.kind, "frame", *sum((*FIRST.values(), *LAST.values()), ())}
        return [i for i, name in enumerate(self.names) if name in used]

    @property
    def coordinates(self) -> list[int]:
        """Which columns say where the box is."""
        return [i for i in self.numbers if self.names[i] not in (self.kind, "frame")]

    def follow(self, names: Sequence[str]) -> "Layout":
        """The layout of a file that has these names in its heading.

        Raises:
          ValueError: a name that is not known, or columns that were named otherwise.
        """
        flag, said = self.flags[0], ",".join(names)
        if self.source == ASSUMED:
            try:
                return dataclasses.replace(self, columns=tuple(names), source=HEADING)
            except ValueError as error:
                remedy = f". Name them in their order with {flag}, - for one to pass over"
                raise ValueError(f"its heading has the {error}{remedy if flag else ''}") from error
        agree = len(names) == len(self.columns) and all(
            found is None or compatible(column, found, name)
            for column, found, name in zip(self.names, canonical(names), names, strict=True)
        )
        if not agree:
            raise ValueError(
                f"its heading begins with {said!r}, but the columns are named {self}; leave "
                f"{flag or 'them'} out to follow the heading, or correct one of both"
            )
        return self

    def arrange(self, rows: np.ndarray, size: tuple[int, int] | None = None) -> np.ndarray:
        """Rows as in the file → `kind, frame, x_min, y_min, x_max, y_max`, frames from 0.

        Args:
          rows: float64 [n, columns].
          size: (H, W) of the frame where coordinates are shares of it; those are edges, so that a
            box from 0 to 1 is the whole frame. None for pixels.
        """
        found = {name: rows[:, i] for i, name in enumerate(self.names)}
        for axis, pixels in zip("yx", size or (), strict=False):
            for name in (*FIRST[axis], *LAST[axis]):
                if name in found:
                    found[name] = found[name] * pixels
            if (last := LAST[axis][0]) in found:
                found[LAST[axis][1]] = found.pop(last)
        for axis, (inclusive, past, extent) in LAST.items():
            if f"c{axis}" in found:
                found[f"{axis}_min"] = found[f"c{axis}"] - found[extent] / 2
            if past in found:
                found[inclusive] = found[past] - 1
            elif extent in found:
                found[inclusive] = found[f"{axis}_min"] + found[extent] - 1
        frames = found["frame"] - self.first_frame
        return np.stack(
            [found[self.kind], frames, *(found[n] for n in ("x_min", "y_min", "x_max", "y_max"))], 1
        )


def layout(
    default: Layout, columns: Sequence[str] | None, first_frame: int, flags: tuple[str, str]
) -> Layout:
    """The layout that a program's flags ask for.

    Args:
      default: what is assumed where nobody names columns.
      columns: as named; None if they are not.
      first_frame: number of the first frame.
      flags: names of the flags that gave both, for messages.

    Raises:
      ValueError: as `Layout`; names the flag.
    """
    made = dataclasses.replace(default, first_frame=first_frame, flags=flags)
    if columns is None:
        return made
    try:
        return dataclasses.replace(made, columns=tuple(columns), source=GIVEN)
    except ValueError as error:
        raise ValueError(f"{flags[0]}: {error}") from error


def known() -> str:
    """The known names, for messages."""
    return f"{', '.join(sorted({*SPELLINGS, '-'}))}, and other spellings of them"


def compatible(given: str, found: str, spelled: str) -> bool:
    """Whether a column that was named may have this name in the heading.

    The end of a box may be named as its last pixel or as the next, and a plain x as the middle.
    """
    alike = [{last, past} for last, past, _ in LAST.values()]
    if plain(spelled) in FIRST:
        alike += [set(ways) for ways in FIRST.values()]
    return given in (found, *TEXT) or found == "class" or {given, found} in alike


def whole(values: np.ndarray) -> np.ndarray:
    """Which values are whole numbers that int64 and float64 hold exactly."""
    return (values == np.floor(values)) & (np.abs(values) <= math.ldexp(1, 53))
