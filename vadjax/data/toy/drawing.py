"""Drawing the toy street: figures, vehicles and the street itself, with OpenCV primitives.

Lengths are in pixels of a canvas that is larger than the frame. The height `h` of a figure is that
of a standing person at its depth; everything else is drawn in proportion to it.

Vehicles are given by points in units of `h`, forward and up from the ground point; their `put`
functions turn these into canvas pixels, mirrored if the vehicle faces left. Parts are drawn from
far to near.
"""

import dataclasses

import cv2
import numpy as np

SHIFT = 4  # OpenCV takes coordinates in 1/16 pixel
HORIZON = 0.02  # y as a part of the frame's height, as are the upper edges of the bands below
WALL, FAR_KERB, ROAD, NEAR_KERB = 0.27, 0.46, 0.485, 0.725
PERSON = 0.42  # height of a person whose feet are one frame height below the horizon
METRE = 1 / 1.75  # in heights of a person

Color = tuple[float, float, float]
Point = tuple[float, float]


class Canvas:
    """A colour image, and a map of which object each pixel shows.

    Every drawing method draws the same form twice: its colour, antialiased, in `image`, and the
    current id, with hard edges, in `ids`.

    Attributes:
      image: uint8 [H, W, 3], RGB.
      ids: int16 [H, W], id of the object that each pixel shows; 0 = no object.
      current: the id of the object that is being drawn.
    """

    def __init__(self, image: np.ndarray):
        self.image = image
        self.ids = np.zeros(image.shape[:2], np.int16)
        self.current = 0

    def limb(self, a: Point, b: Point, width: float, color: Color) -> None:
        """A thick line with round ends."""
        thick = max(1, round(width))
        for target, value in ((self.image, color), (self.ids, self.current)):
            kind = cv2.LINE_AA if target is self.image else cv2.LINE_8
            cv2.line(target, _fixed(a), _fixed(b), value, thick, kind, SHIFT)

    def disc(self, center: Point, radius: float, color: Color) -> None:
        """A filled circle."""
        self.ellipse(center, (radius, radius), color)

    def ring(self, center: Point, radius: float, width: float, color: Color) -> None:
        """A circle of a given line width."""
        self.ellipse(center, (radius, radius), color, max(1, round(width)))

    def ellipse(self, center: Point, axes: Point, color: Color, thickness: int = -1) -> None:
        """An ellipse along the axes; filled unless a line width is given."""
        for target, value in ((self.image, color), (self.ids, self.current)):
            kind = cv2.LINE_AA if target is self.image else cv2.LINE_8
            where = (_fixed(center), _fixed(axes), 0, 0, 360)
            cv2.ellipse(target, *where, value, thickness, kind, SHIFT)

    def polygon(self, points: list[Point], color: Color) -> None:
        """A filled polygon."""
        corners = np.array([_fixed(point) for point in points], np.int32)
        cv2.fillPoly(self.image, [corners], color, cv2.LINE_AA, SHIFT)
        cv2.fillPoly(self.ids, [corners], self.current, cv2.LINE_8, SHIFT)


def _fixed(point: Point) -> tuple[int, int]:
    """A point or a pair of lengths in OpenCV's fixed-point units of 1/16 pixel."""
    return round(point[0] * 2**SHIFT), round(point[1] * 2**SHIFT)


@dataclasses.dataclass(frozen=True)
class Look:
    """How a person looks; colours are RGB, 0 to 255.

    Attributes:
      height: relative to the standard person.
      girth: thickness of the body, relative to the standard person.
      bag: 0 nothing, 1 backpack, 2 bag in the hand.
      coat: whether the upper garment reaches the knees.
    """

    shirt: Color
    trousers: Color
    skin: Color
    hair: Color
    height: float
    girth: float
    bag: int
    coat: bool


SHIRTS = [
    (178, 52, 48),
    (58, 88, 150),
    (222, 214, 200),
    (52, 58, 64),
    (86, 122, 78),
    (208, 168, 74),
    (128, 76, 118),
    (96, 146, 168),
    (150, 142, 136),
]
TROUSERS = [(44, 52, 82), (40, 40, 44), (98, 88, 74), (74, 82, 92), (130, 116, 92)]
SKINS = [(232, 190, 160), (206, 160, 122), (150, 104, 74), (98, 66, 48)]
HAIRS = [(38, 30, 26), (84, 58, 36), (156, 122, 72), (120, 118, 116)]


def draw_look(rng: np.random.Generator) -> Look:
    """The look of a random person: colours of the lists, each varied a little, and a build."""

    def pick(colors: list[Color]) -> Color:
        base = np.array(colors[rng.integers(len(colors))], float)
        return tuple(np.clip(base + rng.normal(0, 7, 3), 15, 240))

    return Look(
        shirt=pick(SHIRTS),
        trousers=pick(TROUSERS),
        skin=pick(SKINS),
        hair=pick(HAIRS),
        height=float(rng.uniform(0.9, 1.07)),
        girth=float(rng.uniform(0.9, 1.15)),
        bag=int(rng.choice(3, p=[0.6, 0.2, 0.2])),
        coat=bool(rng.random() < 0.25),
    )


def shaded(color: Color, light: float) -> Color:
    """A colour made darker (`light` < 1) or brighter."""
    return tuple(min(255.0, c * light) for c in color)


def person(
    canvas: Canvas, at: Point, h: float, facing: int, phase: float, look: Look, running: bool
) -> None:
    """Draws a person in side view whose lower foot stands on `at`.

    Args:
      canvas: canvas to draw on.
      at: ground point.
      h: height of the standard person there.
      facing: 1 to the right, -1 to the left.
      phase: phase of the gait, radians; 2π is two steps.
      look: clothes and size.
      running: whether the person runs: longer strides, bent elbows, leaning forward.
    """
    # Angles of the gait in radians: swing of the thigh, flexion of the knee, bend of the elbow; and
    # how far the neck is ahead of the hip, in heights.
    h = h * look.height
    swing, flexion, elbow, lean = (0.85, 1.5, 1.6, 0.10) if running else (0.42, 0.7, 0.35, 0.015)
    # The two legs are half a period apart; the hip is as high as the lower foot needs it to be.
    legs = [_leg(phase + half, swing, flexion, h) for half in (0, np.pi)]
    lift = max(foot[1] for _, foot in legs)
    hip = (at[0], at[1] - lift - 0.02 * h)
    neck = (hip[0] + facing * lean * h, hip[1] - 0.33 * h)
    girth = 0.13 * h * look.girth

    def place(origin: Point, offset: Point) -> Point:
        # x of the offset points forward, y down.
        return origin[0] + facing * offset[0], origin[1] + offset[1]

    def draw_leg(knee: Point, foot: Point, light: float) -> None:
        color = shaded(look.trousers, light)
        canvas.limb(hip, place(hip, knee), 0.085 * h, color)
        canvas.limb(place(hip, knee), place(hip, foot), 0.065 * h, color)
        toe = (foot[0] + 0.06 * h, foot[1] + 0.01 * h)
        canvas.limb(place(hip, foot), place(hip, toe), 0.045 * h, (34, 30, 30))

    def draw_arm(half: float, light: float) -> None:
        # Arms swing against the legs: angles of the upper arm, then of the forearm.
        upper = -0.75 * swing * np.sin(phase + half)
        joint = (0.155 * h * np.sin(upper), 0.155 * h * np.cos(upper))
        lower = upper + elbow
        hand = (joint[0] + 0.14 * h * np.sin(lower), joint[1] + 0.14 * h * np.cos(lower))
        # Sleeve, forearm and hand hang from the shoulder.
        top = (neck[0], neck[1] + 0.05 * h)
        canvas.limb(top, place(top, joint), 0.05 * h, shaded(look.shirt, light))
        canvas.limb(place(top, joint), place(top, hand), 0.04 * h, shaded(look.shirt, light))
        canvas.disc(place(top, hand), 0.025 * h, shaded(look.skin, light))
        # A bag in the far hand.
        if look.bag == 2 and half:
            corner = place(top, hand)
            canvas.polygon(
                [
                    (corner[0] + dx * h, corner[1] + dy * h)
                    for dx, dy in ((-0.05, 0), (0.05, 0), (0.06, 0.13), (-0.06, 0.13))
                ],
                (112, 72, 44),
            )

    # The far arm and leg are darker; the near leg follows.
    draw_arm(np.pi, 0.7)
    draw_leg(*legs[1], 0.72)
    draw_leg(*legs[0], 1.0)
    # A backpack behind the back, then the body, which a coat makes longer, with a shaded rear side.
    if look.bag == 1:
        middle = place(neck, (-0.085 * h, 0.14 * h))
        canvas.ellipse(middle, (0.06 * h, 0.11 * h), (70, 74, 60))
    low = (hip[0], hip[1] + (0.16 if look.coat else 0.0) * h)
    canvas.limb((neck[0], neck[1] + 0.05 * h), low, girth, look.shirt)
    rear = [place(p, (-0.35 * girth, 0)) for p in ((neck[0], neck[1] + 0.05 * h), low)]
    canvas.limb(*rear, 0.3 * girth, shaded(look.shirt, 0.82))
    # The head and the near arm lie before everything else.
    _head(canvas, neck, h, facing, look)
    draw_arm(0.0, 1.06)


def _leg(phase: float, swing: float, flexion: float, h: float) -> tuple[Point, Point]:
    """Knee and foot of a walking leg relative to the hip; x forward, y down, in pixels."""
    # Angles from the vertical. The thigh swings as a sine; the knee bends while it swings forward.
    thigh = swing * np.sin(phase) + 0.06
    shin = thigh - flexion * max(0.0, np.cos(phase)) - 0.06
    knee = (0.25 * h * np.sin(thigh), 0.25 * h * np.cos(thigh))
    return knee, (knee[0] + 0.24 * h * np.sin(shin), knee[1] + 0.24 * h * np.cos(shin))


def _head(canvas: Canvas, neck: Point, h: float, facing: int, look: Look) -> None:
    """Neck, face, and hair on the back of the head."""
    canvas.limb(neck, (neck[0] + facing * 0.01 * h, neck[1] - 0.05 * h), 0.05 * h, look.skin)
    x, y = neck[0] + facing * 0.015 * h, neck[1] - 0.075 * h
    canvas.ellipse((x, y), (0.055 * h, 0.068 * h), look.skin)
    canvas.ellipse((x - facing * 0.018 * h, y - 0.025 * h), (0.052 * h, 0.05 * h), look.hair)


# Points of a bicycle, forward and up in heights of a person, and the tubes between them.
REAR, CRANK, SEAT, HEAD, BAR = (-0.31, 0.19), (0, 0.19), (-0.13, 0.5), (0.24, 0.46), (0.24, 0.56)
FRAME_TUBES = (
    (REAR, CRANK),
    (CRANK, SEAT),
    (REAR, SEAT),
    (CRANK, HEAD),
    (SEAT, HEAD),
    ((0.31, 0.19), BAR),
    (BAR, (0.3, 0.56)),
)


def cyclist(
    canvas: Canvas, at: Point, h: float, facing: int, phase: float, look: Look, running: bool
) -> None:
    """Draws a person on a bicycle; arguments as for `person`, but `phase` turns the cranks."""
    del running
    x, y = at
    radius, steel = 0.19 * h, shaded(look.trousers, 1.5)

    def put(forward: float, up: float) -> Point:
        return x + facing * forward * h, y - up * h

    # Wheels with three spokes across, which turn faster than the cranks.
    for wheel in (-0.31, 0.31):
        hub = put(wheel, 0.19)
        canvas.ring(hub, radius, 0.028 * h, (30, 30, 32))
        for spoke in range(3):
            angle = phase * 1.7 + spoke * np.pi / 3
            reach = (radius * np.cos(angle), radius * np.sin(angle))
            ends = [(hub[0] + s * reach[0], hub[1] + s * reach[1]) for s in (-1, 1)]
            canvas.limb(*ends, 0.008 * h, (150, 150, 152))
    # Both feet are on the pedals, half a turn apart.
    hip, crank, bar = put(-0.13, 0.56), put(0.0, 0.19), put(0.26, 0.56)
    pedals = [(0.075 * h * np.cos(phase + s), 0.075 * h * np.sin(phase + s)) for s in (0, np.pi)]
    feet = [(crank[0] + facing * dx, crank[1] + dy) for dx, dy in pedals]
    # From far to near: far leg, frame, near leg, body, arm, head.
    _bent_leg(canvas, hip, feet[1], h, facing, shaded(look.trousers, 0.7))
    for a, b in FRAME_TUBES:
        canvas.limb(put(*a), put(*b), 0.026 * h, steel)
    _bent_leg(canvas, hip, feet[0], h, facing, look.trousers)
    neck = put(0.07, 0.86)
    canvas.limb((neck[0], neck[1] + 0.05 * h), hip, 0.125 * h * look.girth, look.shirt)
    elbow = put(0.14, 0.66)
    canvas.limb((neck[0], neck[1] + 0.06 * h), elbow, 0.05 * h, shaded(look.shirt, 1.06))
    canvas.limb(elbow, bar, 0.04 * h, look.skin)
    _head(canvas, neck, h, facing, look)


def _bent_leg(canvas: Canvas, hip: Point, foot: Point, h: float, facing: int, color: Color) -> None:
    """A leg from hip to foot whose knee lies forward."""
    # Thigh and shin are 0.25 h long each, so the knee is `out` away from the middle between hip and
    # foot, at a right angle to the line through both (0 if the foot is too far away).
    across, down = foot[0] - hip[0], foot[1] - hip[1]
    distance = np.hypot(across, down)
    out = np.sqrt(max(0.0, (0.25 * h) ** 2 - distance**2 / 4))
    knee = (
        hip[0] + across / 2 + facing * out * abs(down) / distance,
        hip[1] + down / 2 - facing * out * across / distance,
    )
    canvas.limb(hip, knee, 0.085 * h, color)
    canvas.limb(knee, foot, 0.065 * h, color)
    canvas.limb(foot, (foot[0] + facing * 0.06 * h, foot[1]), 0.045 * h, (34, 30, 30))


def cart(
    canvas: Canvas, at: Point, h: float, facing: int, phase: float, look: Look, running: bool
) -> None:
    """Draws a small electric cart and its driver; as `person`, but `phase` turns the wheels."""
    del running
    x, y = at

    def put(forward: float, up: float) -> Point:
        return x + facing * forward * h, y - up * h

    # The driver: body, arm and head.
    body = shaded(look.shirt, 1.0)
    seat = put(-0.1, 0.5)
    canvas.limb(seat, put(-0.06, 0.82), 0.14 * h, shaded(look.trousers, 1.2))
    canvas.limb(put(-0.06, 0.78), put(0.16, 0.62), 0.05 * h, shaded(look.trousers, 1.0))
    _head(canvas, put(-0.05, 0.88), h, facing, look)
    # The posts of the roof.
    for forward in (-0.56, 0.34):
        canvas.limb(put(forward, 0.45), put(forward * 0.94, 1.1), 0.035 * h, (60, 62, 66))
    # The body with its low entrance, the sill, the roof, and the lamp in front.
    canvas.polygon(
        [
            put(*p)
            for p in (
                (-0.72, 0.16),
                (-0.72, 0.56),
                (-0.3, 0.58),
                (-0.24, 0.34),
                (0.28, 0.34),
                (0.36, 0.62),
                (0.62, 0.5),
                (0.72, 0.34),
                (0.72, 0.16),
            )
        ],
        body,
    )
    canvas.polygon(
        [put(*p) for p in ((-0.72, 0.16), (-0.72, 0.24), (0.72, 0.24), (0.72, 0.16))],
        shaded(body, 0.6),
    )
    canvas.polygon(
        [put(*p) for p in ((-0.68, 1.08), (-0.64, 1.16), (0.42, 1.16), (0.46, 1.08))],
        (226, 224, 216),
    )
    canvas.disc(put(0.68, 0.4), 0.035 * h, (250, 240, 190))
    # The wheels, each with a mark that shows how it turns.
    for wheel in (-0.45, 0.47):
        hub = put(wheel, 0.15)
        canvas.disc(hub, 0.15 * h, (30, 30, 32))
        canvas.disc(hub, 0.07 * h, (165, 165, 168))
        mark = (hub[0] + 0.06 * h * np.cos(phase), hub[1] + 0.06 * h * np.sin(phase))
        canvas.limb(hub, mark, 0.025 * h, (60, 60, 64))


def parked_car(canvas: Canvas, at: Point, h: float, color: Color) -> None:
    """Draws a parked car in side view; `h` is the height of a person there."""
    x, y = at

    def put(forward: float, up: float) -> Point:
        return x + forward * h, y - up * h

    # The body, from the rear bumper over the roof to the front.
    canvas.polygon(
        [
            put(*p)
            for p in (
                (-1.22, 0.16),
                (-1.24, 0.44),
                (-1.0, 0.54),
                (-0.72, 0.82),
                (0.28, 0.84),
                (0.66, 0.54),
                (1.16, 0.46),
                (1.24, 0.3),
                (1.22, 0.16),
            )
        ],
        color,
    )
    # The windows, the sill, the edge of the door, the front and the rear lamp, the wheels.
    glass = (58, 70, 84)
    canvas.polygon(
        [put(*p) for p in ((-0.9, 0.55), (-0.66, 0.77), (-0.25, 0.78), (-0.25, 0.55))], glass
    )
    canvas.polygon(
        [put(*p) for p in ((-0.19, 0.55), (-0.19, 0.78), (0.25, 0.78), (0.55, 0.55))], glass
    )
    canvas.polygon(
        [put(*p) for p in ((-1.22, 0.14), (-1.22, 0.24), (1.22, 0.24), (1.22, 0.14))],
        shaded(color, 0.55),
    )
    canvas.limb(put(-0.22, 0.52), put(-0.22, 0.26), 0.015 * h, shaded(color, 0.6))
    canvas.disc(put(1.17, 0.4), 0.05 * h, (245, 238, 205))
    canvas.disc(put(-1.2, 0.42), 0.045 * h, (170, 40, 36))
    for wheel in (-0.76, 0.76):
        canvas.disc(put(wheel, 0.18), 0.19 * h, (28, 28, 30))
        canvas.disc(put(wheel, 0.18), 0.1 * h, (150, 152, 156))


def lamp_post(canvas: Canvas, at: Point, h: float) -> None:
    """Draws a street lamp: post, foot, arm and head."""
    x, y = at
    canvas.limb((x, y), (x, y - 1.75 * h), 0.06 * h, (62, 66, 64))
    canvas.limb((x, y), (x, y - 0.3 * h), 0.11 * h, (52, 56, 54))
    canvas.limb((x, y - 1.75 * h), (x + 0.3 * h, y - 1.85 * h), 0.045 * h, (62, 66, 64))
    canvas.ellipse((x + 0.36 * h, y - 1.84 * h), (0.12 * h, 0.05 * h), (228, 226, 206))


def tree(canvas: Canvas, at: Point, h: float, rng: np.random.Generator) -> None:
    """Draws a young tree; the same state of `rng` gives the same tree."""
    x, y = at
    canvas.limb((x, y), (x, y - 0.95 * h), 0.1 * h, (86, 68, 52))
    # The crown: discs of leaves, spread evenly over an ellipse (hence the root), darker below.
    for _ in range(70):
        angle, reach = rng.uniform(0, 2 * np.pi), 0.46 * h * np.sqrt(rng.uniform())
        spot = (x + 1.1 * reach * np.cos(angle), y - 1.35 * h + reach * np.sin(angle))
        light = 1.0 - 0.35 * np.sin(angle) * reach / (0.46 * h) + rng.normal(0, 0.08)
        canvas.disc(spot, rng.uniform(0.05, 0.11) * h, shaded((64, 98, 52), max(0.5, light)))
