"""The data of one video for the page: arrays of bounded size, as base64 in a script."""

import base64
import json
import math
from collections.abc import Mapping, Sequence

import numpy as np

from vadjax.report import curves, heat
from vadjax.scores.files import Scores

TYPES = {"u8": "<u1", "u16": "<u2", "u32": "<u4", "f32": "<f4"}
STEPS = 65_535  # of a fraction that is packed in two bytes
BOX_BYTES, CELL_BYTES = 14, 7  # that a box takes, and a cell of the heat
CELLS = 48  # most rows and columns of the heat
LEVELS = 15  # of the heat; below `COOL` it is not shown
COOL = 8
TEXT = 2000  # letters of a text at most


def script(call: str, *values: object) -> str:
    """A script that calls a function of the page with values that JSON can hold.

    All letters are ASCII, so no value can end the script or mean anything but itself.
    """
    arguments = (json.dumps(clean(value), allow_nan=False) for value in values)
    return f"{call}({', '.join(arguments)});\n"


def clean(value: object, depth: int = 8) -> object:
    """The value without numbers that JSON lacks (None), and with texts and depth bounded."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, str):
        return value if len(value) <= TEXT else f"{value[:TEXT]}…"
    if isinstance(value, Packed):
        return dict(value)
    if depth and isinstance(value, Mapping):
        return {str(key)[:TEXT]: clean(item, depth - 1) for key, item in value.items()}
    if depth and isinstance(value, list | tuple):
        return [clean(item, depth - 1) for item in value]
    return value if isinstance(value, bool | int | float | None) else str(value)[:TEXT]


class Packed(dict):
    """An array as the page reads it: `type`, base64 `data`, and `low`, `high` of fractions."""


def pack(values: np.ndarray, kind: str) -> Packed:
    """An array as bytes of a type of `TYPES`, the lowest byte first."""
    data = np.ascontiguousarray(values, TYPES[kind]).tobytes()
    return Packed(type=kind, data=base64.b64encode(data).decode())


def pack_fractions(values: np.ndarray) -> Packed:
    """Numbers as fractions of the way from their lowest to their highest, two bytes each."""
    values = np.asarray(values, np.float64)
    low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 0.0)
    part = (values - low) / (high - low) if high > low else np.zeros(len(values))
    return Packed(pack(np.rint(STEPS * part), "u16"), low=low, high=high)


def video(
    scores: Scores, size: tuple[int, int] | None, on_scale: bool, fps: float | None, room: int
) -> dict:
    """What the page shows of a video.

    Args:
      scores: of the video.
      size: (H, W) of the frames that its boxes belong to; None shows no boxes.
      on_scale: whether scores of boxes are on the scale of the frames' scores, so that one
        threshold serves both.
      fps: frames a second; None if unknown.
      room: bytes that boxes and heat may take, each before base64.
    """
    times = scores.times
    if times is not None and fps:
        # Times that a rate gives need not be told.
        given = np.arange(len(times)) / fps
        times = None if np.allclose(times, given, rtol=0, atol=0.25 / fps) else times
    boxes = None if size is None else _boxes(scores.boxes, on_scale, room)
    return {
        "scores": pack_fractions(scores.frame_scores),
        "times": None if times is None else pack(times, "f32"),
        "labels": None if scores.labels is None else _spans(scores.labels),
        "scored": None if scores.scored is None else _spans(scores.scored),
        "size": size,
        "boxes": boxes,
        "heat": _heat(scores.map, room),
    }


def _spans(flags: np.ndarray) -> list[list[int]]:
    return [list(span) for span in curves.intervals(np.asarray(flags, bool))]


def _boxes(boxes: np.ndarray | None, on_scale: bool, room: int) -> dict | None:
    """The highest-scoring boxes [n, 6] that there is room for, in the order of their frames."""
    if boxes is None or not len(boxes):
        return None
    kept = np.sort(np.argsort(-boxes[:, 5], kind="stable")[: room // BOX_BYTES])
    every = int(np.gcd.reduce(boxes[:, 0].astype(np.int64))) or 1
    boxes = boxes[kept]
    boxes = boxes[np.argsort(boxes[:, 0], kind="stable")]
    # From which score on a box is marked: the threshold, or the upper half of their own scale.
    low, high = float(boxes[:, 5].min()), float(boxes[:, 5].max())
    return {
        "frames": pack(boxes[:, 0], "u32"),
        "corners": pack(np.clip(np.rint(boxes[:, 1:5]), 0, STEPS).ravel(), "u16"),
        "scores": pack_fractions(boxes[:, 5]),
        "every": every,
        "line": None if on_scale else (low + high) / 2,
    }


def _heat(cells: np.ndarray | None, room: int) -> dict | None:
    """The hot cells of a map [T, h, w], of every k-th frame so that there is room for them.

    Hot is what lies in the upper half between the ends of the colours of other pictures
    (`heat.limits`), in `LEVELS` steps.
    """
    if cells is None or not cells.size:
        return None
    low, high = heat.limits(cells)
    if high <= low:
        high = float(np.max(cells))  # so little is hot that it is beyond the percentile
    if high <= low:
        return None
    rows, columns = (-(-side // -(-side // CELLS)) for side in cells.shape[1:])
    frames, places, levels = [], [], []
    for t, frame in enumerate(cells):
        coarse = _highest(np.asarray(frame, np.float32), rows, columns)
        level = np.rint(LEVELS * np.clip((coarse - low) / (high - low), 0, 1)).astype(np.uint8)
        hot = np.flatnonzero(level.ravel() >= COOL)
        frames.append(np.full(len(hot), t))
        places.append(hot)
        levels.append(level.ravel()[hot])
    # Every k-th frame, if all of them would be too much.
    every = max(1, -(-sum(map(len, frames)) * CELL_BYTES // max(room, 1)))
    chosen = slice(None, None, every)
    return {
        "frames": pack(np.concatenate(frames[chosen]), "u32"),
        "cells": pack(np.concatenate(places[chosen]), "u16"),
        "levels": pack(np.concatenate(levels[chosen]), "u8"),
        "rows": rows,
        "columns": columns,
        "every": every,
    }


def _highest(cells: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """The highest of each block of cells [h, w], [rows, columns]."""
    tall, wide = -(-cells.shape[0] // rows), -(-cells.shape[1] // columns)
    if (tall, wide) == (1, 1):
        return cells
    room = [(0, rows * tall - cells.shape[0]), (0, columns * wide - cells.shape[1])]
    padded = np.pad(cells, room, mode="edge")
    return padded.reshape(rows, tall, columns, wide).max((1, 3))


def thinned(rates: np.ndarray, most: int = 400) -> Sequence[list[float]]:
    """Rows [n, 2] of thresholds and rates, at most so many of them, with both ends."""
    if len(rates) > most:
        rates = rates[np.unique(np.linspace(0, len(rates) - 1, most).round().astype(int))]
    return [[round(float(value), 6) for value in row] for row in rates]
