"""Drawings of the objects of the toy images: those of the toy street, and four more.

All functions take the canvas, a point `at` (middle of the lower edge), a height in canvas pixels
and a random generator; the drawing itself is done as in `vadjax.data.toy.drawing`.
"""

import numpy as np

from vadjax.data.toy import drawing
from vadjax.data.toy.drawing import Canvas, Color, Point, shaded

COATS = [(120, 84, 52), (60, 48, 40), (196, 164, 116), (226, 218, 204), (40, 38, 38)]
WALLS = [(196, 178, 150), (222, 214, 200), (164, 92, 74), (150, 150, 146), (204, 190, 128)]
ROOFS = [(140, 66, 52), (84, 80, 82), (110, 84, 62), (70, 78, 92)]
TOWERS = [(128, 144, 158), (90, 98, 108), (176, 170, 158), (104, 122, 134), (150, 120, 104)]
GLASS = (62, 78, 94)


def pick(colors: list[Color], rng: np.random.Generator) -> Color:
    """One of the colours, each channel varied a little."""
    base = np.array(colors[rng.integers(len(colors))], float)
    return tuple(np.clip(base + rng.normal(0, 9, 3), 12, 244))


def dog(canvas: Canvas, at: Point, h: float, rng: np.random.Generator) -> None:
    """Draws a dog in side view, `h` high from paw to back."""
    x, y = at
    coat, facing, phase = pick(COATS, rng), rng.choice((-1, 1)), rng.uniform(0, 2 * np.pi)

    def put(forward: float, up: float) -> Point:
        return x + facing * forward * h, y - up * h

    # Four legs in a trot, the far ones darker; then body and tail.
    for hip, turn in ((-0.5, 0.0), (-0.42, np.pi), (0.42, 0.8), (0.5, np.pi + 0.8)):
        swing = 0.16 * np.sin(phase + turn)
        light = shaded(coat, 0.75 if turn > 2 else 0.95)
        canvas.limb(put(hip, 0.6), put(hip + swing, 0.04), 0.13 * h, light)
    canvas.limb(put(-0.45, 0.74), put(0.45, 0.78), 0.38 * h, coat)
    canvas.limb(put(-0.6, 0.8), put(-0.95, rng.uniform(0.7, 1.25)), 0.08 * h, coat)
    # Neck, head, snout with nose, and a hanging ear.
    head = put(0.78, rng.uniform(1.0, 1.16))
    canvas.limb(put(0.5, 0.85), head, 0.25 * h, coat)
    canvas.disc(head, 0.19 * h, coat)
    nose = (head[0] + facing * 0.27 * h, head[1] + 0.06 * h)
    canvas.limb(head, nose, 0.15 * h, shaded(coat, 1.1))
    canvas.disc(nose, 0.05 * h, (24, 22, 22))
    ear = (head[0] - facing * 0.1 * h, head[1] - 0.1 * h)
    canvas.limb(ear, (ear[0] - facing * 0.06 * h, ear[1] + 0.24 * h), 0.1 * h, shaded(coat, 0.6))


def house(canvas: Canvas, at: Point, h: float, rng: np.random.Generator) -> None:
    """Draws a house with a pitched roof, a door and windows."""
    # The wall, and a roof with a ridge or a point.
    x, y = at
    wall, roof, half = pick(WALLS, rng), pick(ROOFS, rng), rng.uniform(0.45, 0.75) * h
    eaves, over = y - rng.uniform(0.5, 0.62) * h, 0.08 * h
    _box(canvas, x - half, eaves, x + half, y, wall)
    ridge = rng.choice((0.0, 0.45)) * half
    canvas.polygon(
        [
            (x - half - over, eaves),
            (x - ridge, y - h),
            (x + ridge, y - h),
            (x + half + over, eaves),
        ],
        roof,
    )
    # A chimney, the door, and windows where the door leaves room.
    if rng.random() < 0.6:
        left = x + rng.uniform(-0.5, 0.3) * half
        _box(canvas, left, y - h, left + 0.09 * h, y - 0.8 * h, shaded(roof, 0.8))
    door = x + rng.uniform(-0.6, 0.4) * half
    _box(canvas, door, y - 0.33 * h, door + 0.15 * h, y, shaded(roof, 0.7))
    for column in np.linspace(-0.82, 0.62, int(rng.integers(2, 5))):
        left = x + column * half
        if abs(left - door) > 0.2 * h:
            _box(canvas, left, y - 0.38 * h, left + 0.15 * h, y - 0.2 * h, (228, 224, 214))
            _box(canvas, left + 0.02 * h, y - 0.36 * h, left + 0.13 * h, y - 0.22 * h, GLASS)


def skyscraper(canvas: Canvas, at: Point, h: float, rng: np.random.Generator) -> None:
    """Draws a tower with rows of windows, sometimes stepped or with a mast."""
    x, y = at
    wall, half, top = pick(TOWERS, rng), rng.uniform(0.12, 0.24) * h, y - h
    steps = int(rng.integers(1, 3))
    glass = shaded(wall, rng.choice((0.55, 1.4)))
    # One or two blocks, the upper one narrower; the right part lies in the shade.
    for step in range(steps):
        half_width, head = half * (1 - 0.35 * step), y - h * (0.78 + 0.22 * (step + 1) / steps)
        _box(canvas, x - half_width, head, x + half_width, y, wall)
        _box(canvas, x + 0.55 * half_width, head, x + half_width, y, shaded(wall, 0.8))
    # Windows in rows and columns, then perhaps a mast.
    rows, columns = int(rng.integers(10, 22)), int(rng.integers(3, 7))
    row_height, column_width = 0.76 * h / rows, 1.7 * half / columns
    for row in range(rows):
        for column in range(columns):
            left, low = x - 0.85 * half + column * column_width, y - 0.02 * h - row * row_height
            _box(canvas, left, low - 0.62 * row_height, left + 0.62 * column_width, low, glass)
    if rng.random() < 0.4:
        canvas.limb((x, top), (x, top - 0.12 * h), 0.02 * h, shaded(wall, 0.6))


def bridge(canvas: Canvas, at: Point, h: float, rng: np.random.Generator) -> None:
    """Draws a bridge across the picture: stone arches, or a deck that hangs from two towers."""
    x, y = at
    color, half = pick(TOWERS + WALLS, rng), rng.uniform(1.1, 1.9) * h
    # Stone: the deck, piers, between each two of them an arch of eight pieces, and a railing.
    if rng.random() < 0.5:
        _box(canvas, x - half, y - 0.72 * h, x + half, y - 0.5 * h, color)
        piers = int(rng.integers(3, 6))
        span = 2 * half / (piers - 1)
        for pier in range(piers):
            middle = x - half + pier * span
            _box(canvas, middle - 0.1 * h, y - 0.55 * h, middle + 0.1 * h, y, shaded(color, 0.85))
            for turn in np.linspace(0, np.pi, 9)[:-1] if pier + 1 < piers else ():
                ends = [
                    (middle + span / 2 - span / 2 * np.cos(a), y - 0.5 * h * np.sin(a))
                    for a in (turn, turn + np.pi / 8)
                ]
                canvas.limb(*ends, 0.07 * h, shaded(color, 0.7))
        canvas.limb(
            (x - half, y - 0.78 * h), (x + half, y - 0.78 * h), 0.05 * h, shaded(color, 1.2)
        )
        return
    # Suspended: the deck, and two towers with five cables to each side.
    deck = y - 0.32 * h
    _box(canvas, x - half, deck - 0.06 * h, x + half, deck, color)
    for tower in (-0.5, 0.5):
        middle = x + tower * half
        _box(canvas, middle - 0.045 * h, y - h, middle + 0.045 * h, y, shaded(color, 0.8))
        for reach in np.linspace(0.12, 0.5, 5) * half:
            for side in (-1, 1):
                canvas.limb(
                    (middle, y - 0.97 * h),
                    (middle + side * reach, deck),
                    0.015 * h,
                    shaded(color, 0.6),
                )


def _box(canvas: Canvas, x0: float, y0: float, x1: float, y1: float, color: Color) -> None:
    """A filled rectangle."""
    canvas.polygon([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], color)


def person(canvas: Canvas, at: Point, h: float, rng: np.random.Generator) -> None:
    """Draws a person who walks or runs."""
    _figure(drawing.person, canvas, at, h, rng)


def cyclist(canvas: Canvas, at: Point, h: float, rng: np.random.Generator) -> None:
    """Draws a person on a bicycle."""
    _figure(drawing.cyclist, canvas, at, h, rng)


def cart(canvas: Canvas, at: Point, h: float, rng: np.random.Generator) -> None:
    """Draws a small cart with its driver."""
    _figure(drawing.cart, canvas, at, h / 1.16, rng)


def car(canvas: Canvas, at: Point, h: float, rng: np.random.Generator) -> None:
    """Draws a car in side view."""
    drawing.parked_car(canvas, at, h / 0.84, pick(drawing.SHIRTS, rng))


def tree(canvas: Canvas, at: Point, h: float, rng: np.random.Generator) -> None:
    """Draws a young tree."""
    drawing.tree(canvas, at, h / 1.8, rng)


def lamp_post(canvas: Canvas, at: Point, h: float, rng: np.random.Generator) -> None:
    """Draws a street lamp."""
    del rng
    drawing.lamp_post(canvas, at, h / 1.9)


def _figure(draw, canvas: Canvas, at: Point, h: float, rng: np.random.Generator) -> None:
    """Draws a figure of the street with a random look, direction and phase; one in four runs."""
    look, facing = drawing.draw_look(rng), int(rng.choice((-1, 1)))
    draw(canvas, at, h, facing, rng.uniform(0, 2 * np.pi), look, bool(rng.random() < 0.25))
