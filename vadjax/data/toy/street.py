"""The empty toy street, what stands on it, and the shadows.

A point of the ground at a depth has a `y` on the canvas; heights and widths at that depth are in
proportion to its distance from the horizon (central perspective).
"""

import dataclasses
from collections.abc import Callable

import cv2
import numpy as np

from vadjax.data.toy import drawing
from vadjax.data.toy.drawing import Canvas

SUN = 0.42  # sideways reach of shadows, in heights of what throws them


class Street:
    """A street seen by a fixed camera: wall, far pavement, road, near pavement.

    Args:
      height: height of the canvas, pixels.
      width: width of the canvas, pixels.
      rng: generator of textures and colours.

    Attributes:
      image: the street without people, uint8 [height, width, 3], RGB, with the shadows of the props
        but without the props.
      props: what stands in the street; actors pass behind them and in front of them.
    """

    def __init__(self, height: int, width: int, rng: np.random.Generator):
        self.height, self.width = height, width
        canvas = Canvas(np.zeros((height, width, 3), np.uint8))
        self._ground(canvas, rng)
        self._wall(canvas, rng)
        self.image = np.clip(canvas.image * self._light(rng), 0, 255).astype(np.uint8)
        self.props = self._props(rng)

    def person_height(self, y: float) -> float:
        """Height in pixels of a standard person whose feet are at `y` pixels."""
        return drawing.PERSON * (y - drawing.HORIZON * self.height)

    def _y(self, part: float) -> float:
        """Pixels of a part of the canvas's height."""
        return part * self.height

    def _band(self, canvas: Canvas, top: float, bottom: float, color, grain: float, rng) -> None:
        """Fills the rows between two parts of the height with a colour and a texture."""
        first, stop = round(self._y(top)), round(self._y(bottom))
        texture = noise((stop - first, self.width), rng) * grain
        speckle = rng.normal(0, grain / 2.5, (stop - first, self.width))
        band = np.array(color) + (texture + speckle)[..., None]
        canvas.image[first:stop] = np.clip(band, 0, 255)

    def _ground(self, canvas: Canvas, rng: np.random.Generator) -> None:
        """Far pavement, its kerb, road and near pavement, from the wall to the lower edge."""
        bands = drawing.WALL, drawing.FAR_KERB, drawing.ROAD, drawing.NEAR_KERB
        paving, asphalt = (164, 156, 144), (92, 93, 96)
        self._band(canvas, bands[0], bands[1], paving, 5, rng)
        self._band(canvas, bands[1], bands[2], (186, 182, 174), 3, rng)
        self._band(canvas, bands[2], bands[3], asphalt, 5, rng)
        self._band(canvas, bands[3], 1, paving, 6, rng)
        # The near pavement has a brighter kerb, both pavements have slabs, the road has gutters.
        a, b = round(self._y(bands[3])), round(self._y(bands[3] + 0.022))
        canvas.image[a:b] = np.clip(canvas.image[a:b] + 26.0, 0, 255)
        self._slabs(canvas, bands[0], bands[1])
        self._slabs(canvas, bands[3] + 0.022, 1)
        for part in (bands[2] + 0.004, bands[3] - 0.006):
            ends = (0, self._y(part)), (self.width, self._y(part))
            canvas.limb(*ends, 0.008 * self.height, (70, 70, 72))
        # The broken centre line: every 3 metres a stroke of 1.6 metres.
        y = self._y(0.595)
        metre = self.person_height(y) * drawing.METRE
        for x in np.arange(-0.5, self.width / metre + 2, 3.0):
            corners = [(x * metre, y), ((x + 1.6) * metre, y)]
            canvas.limb(*corners, 0.011 * self.height, (206, 204, 194))

    def _slabs(self, canvas: Canvas, top: float, bottom: float) -> None:
        """Joints of paving slabs, one metre wide, towards the vanishing point."""
        # Joints along the street's depth all run to the vanishing point on the horizon.
        horizon, joint = self._y(drawing.HORIZON), (142, 135, 125)
        a, b = self._y(top), self._y(bottom)
        metre = drawing.PERSON * drawing.METRE  # of width, for each pixel below the horizon
        middle, reach = self.width / 2, int(self.width / (metre * (a - horizon))) + 2
        for k in range(-reach, reach + 1):
            ends = [(middle + k * metre * (y - horizon), y) for y in (a, b)]
            canvas.limb(*ends, 0.004 * self.height, joint)
        # Joints across: in perspective, equal distances are equal steps of 1 / (y - horizon).
        nearest, depth = 1 / (b - horizon), 1 / (a - horizon)
        for inverse in np.arange(nearest, depth, 0.22 / self.height):
            y = horizon + 1 / inverse
            canvas.limb((0, y), (self.width, y), 0.004 * self.height, joint)

    def _wall(self, canvas: Canvas, rng: np.random.Generator) -> None:
        """The wall with its courses of bricks, doors and windows, and a plinth."""
        brick = np.array((150, 104, 86)) + rng.normal(0, 8, 3)
        self._band(canvas, 0, drawing.WALL, brick, 6, rng)
        base, row = self._y(drawing.WALL), self.height / 48
        for y in np.arange(base, 0, -row):
            canvas.limb((0, y), (self.width, y), 0.15 * row, tuple(brick * 0.86))
        step, x = self._y(0.3), self._y(rng.uniform(0.02, 0.12))
        while x < self.width:
            self._opening(canvas, x, base, door=rng.random() < 0.3, rng=rng)
            x += step * rng.uniform(0.85, 1.2)
        canvas.limb((0, base), (self.width, base), 0.022 * self.height, (112, 106, 100))

    def _opening(self, canvas: Canvas, x: float, base: float, door: bool, rng) -> None:
        """A window or a door in the wall, on whose foot `base` a door stands."""
        h = self.height
        bottom = base if door else base - 0.075 * h
        top, width = base - 0.225 * h, (0.075 if door else 0.14) * h
        frame, pad = (214, 208, 196), 0.01 * h
        # The frame, then the leaf or the glass; a window has a reflection and a bar.
        outer = [
            (x - pad, bottom + pad),
            (x - pad, top - pad),
            (x + width + pad, top - pad),
            (x + width + pad, bottom + pad),
        ]
        canvas.polygon(outer, frame)
        fill = tuple(np.array((88, 60, 46) if door else (66, 80, 94)) + rng.normal(0, 8, 3))
        canvas.polygon([(x, bottom), (x, top), (x + width, top), (x + width, bottom)], fill)
        if not door:
            canvas.polygon(
                [(x, top), (x + 0.5 * width, top), (x, top + 0.8 * (bottom - top))],
                drawing.shaded(fill, 1.35),
            )
            canvas.limb((x + width / 2, bottom), (x + width / 2, top), 0.008 * h, frame)

    def _light(self, rng: np.random.Generator) -> np.ndarray:
        """Uneven light, a factor near 1: soft patches, darker corners; float [height, width, 1]."""
        y, x = np.mgrid[-1 : 1 : self.height * 1j, -1 : 1 : self.width * 1j]
        patches = noise((self.height, self.width), rng, coarse=4)
        return (1.04 + 0.03 * patches - 0.07 * (x**2 + y**2) / 2)[..., None]

    def _props(self, rng: np.random.Generator) -> list["Prop"]:
        """A tree on the far pavement, a car on the road and a lamp post on the near pavement."""
        leaves = np.random.default_rng(int(rng.integers(2**31)))
        paint = [(152, 44, 42), (68, 92, 122), (188, 188, 184), (58, 74, 62)][rng.integers(4)]
        car, spot = self._y(0.555), self.width * rng.uniform(0.2, 0.3)
        trunk, lamp = self._y(0.455), self._y(0.75)
        h = self.person_height
        return [
            self._prop(drawing.tree, (0.62 * self.width, trunk), h(trunk), leaves),
            self._prop(drawing.parked_car, (spot, car), h(car), paint),
            self._prop(drawing.lamp_post, (0.86 * self.width, lamp), h(lamp)),
        ]

    def _prop(self, draw: Callable, at: drawing.Point, *looks) -> "Prop":
        """Draws a prop once, casts its shadow on the street, and cuts it out for drawing again."""
        canvas = Canvas(self.image.copy())
        canvas.current = 1
        draw(canvas, at, *looks)
        shade = np.zeros((self.height, self.width), np.uint8)
        cast(shade, canvas.ids > 0, at[1])
        self.image = darken(self.image, shade)
        rows, columns = np.nonzero(canvas.ids)
        part = np.s_[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        return Prop(at[1], part, canvas.image[part], canvas.ids[part] > 0)


@dataclasses.dataclass(frozen=True)
class Prop:
    """Something that stands in the street, drawn once.

    Attributes:
      y: ground, in canvas pixels.
      part: rows and columns of the canvas that it takes.
      pixels: uint8 [h, w, 3], RGB.
      shape: bool [h, w], where it is opaque.
    """

    y: float
    part: tuple[slice, slice]
    pixels: np.ndarray
    shape: np.ndarray

    def draw(self, canvas: Canvas) -> None:
        """Draws the prop over what the canvas shows there."""
        np.copyto(canvas.image[self.part], self.pixels, where=self.shape[..., None])
        canvas.ids[self.part][self.shape] = canvas.current


def cast(shade: np.ndarray, silhouette: np.ndarray, ground: float) -> None:
    """Adds a shadow to `shade` in place; the light comes from the left.

    Args:
      shade: uint8 [H, W], 255 in full shadow.
      silhouette: bool [H, W], what throws the shadow.
      ground: y of the ground that it stands on.
    """
    # An affine map lays the silhouette on the ground: points above it move to the right, and their
    # height shrinks to 0.22 of it.
    to_ground = np.array([[1, -SUN, SUN * ground], [0, 0.22, 0.78 * ground]], np.float32)
    size = (shade.shape[1], shade.shape[0])
    np.maximum(shade, cv2.warpAffine(silhouette.astype(np.uint8) * 255, to_ground, size), out=shade)


def darken(image: np.ndarray, shade: np.ndarray, strength: float = 0.4) -> np.ndarray:
    """The image, uint8 [H, W, 3], darker where `shade` (uint8 [H, W]) is, with soft edges."""
    soft = cv2.blur(shade, (5, 5)).astype(np.float32)[..., None] * (strength / 255)
    return (image * (1 - soft)).astype(np.uint8)


def noise(size: tuple[int, int], rng: np.random.Generator, coarse: int = 12) -> np.ndarray:
    """Smooth noise of unit scale in three octaves, float [H, W]; `coarse` cells in the first."""
    total, octave = np.zeros(size), max(2, coarse)
    for weight in (1.0, 0.6, 0.35):
        cells = rng.standard_normal((octave, octave * 2))
        total += weight * cv2.resize(cells, size[::-1], interpolation=cv2.INTER_CUBIC)
        octave *= 3
    return total
