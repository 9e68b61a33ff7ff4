"""Rendered street scenes: people walking by, and anomalies in the test videos.

All people keep to the pavements: on the far one they walk to the right, on the near one to the
left. The anomalies are known to the pixel. They are `cyclist` and `cart` (unusual objects, faster),
`runner` (too fast), `wrong_way` (a walker against the stream) and `on_road` (a walker where nothing
moves). Three more come only on request: `slow_cyclist` and `slow_cart` (unusual objects at walking
pace), and `stray` (a walker on a pavement that nobody else uses).
"""

import dataclasses
from collections.abc import Callable, Iterator

import cv2
import numpy as np

from vadjax.data.store.frame_writer import SourceVideo
from vadjax.data.toy import drawing
from vadjax.data.toy.street import Street, cast, darken
from vadjax.data.video.reader import Picture

FPS = 10
PROP = -1  # id of what stands in the street; actor i has id i + 1, the empty street 0
KINDS = ("cyclist", "cart", "runner", "wrong_way", "on_road")
ON_REQUEST = ("slow_cyclist", "slow_cart", "stray")
# Kind → least and greatest speed, metres a second; kinds that are not listed walk.
SPEEDS = {"walker": (1.05, 1.5), "cyclist": (3.6, 4.6), "cart": (2.6, 3.4), "runner": (3.0, 3.8)}
FIGURES = {"cyclist": drawing.cyclist, "cart": drawing.cart}  # all others are persons
FIGURES |= {f"slow_{kind}": figure for kind, figure in FIGURES.items()}
LANES = {1: (0.345, 0.445), -1: (0.80, 0.97)}  # walking direction → ground y, parts of the height
ROAD = (0.60, 0.68)  # ground y of actors on the road, parts of the height


@dataclasses.dataclass(frozen=True)
class ToyScenes:
    """Recipe of a toy set of street scenes.

    Attributes:
      train: normal videos to train on.
      test: videos to test on.
      frames: frames of each video, at 10 a second.
      height: height of a frame, pixels.
      width: width of a frame, pixels.
      crowd: walkers in the picture, on average.
      events: anomalies in each test video.
      kinds: kinds of anomaly, taken in turn.
      lanes: walking directions that there are: 1 on the far pavement, -1 on the near one.
      noise: standard deviation of the sensor's noise, in grey levels.
      seed: seed of all random numbers.
    """

    train: int = 6
    test: int = 5
    frames: int = 150
    height: int = 96
    width: int = 128
    crowd: float = 3.0
    events: int = 2
    kinds: tuple[str, ...] = KINDS
    lanes: tuple[int, ...] = (1, -1)
    noise: float = 2.0
    seed: int = 0

    def __post_init__(self):
        if unknown := set(self.kinds) - {*KINDS, *ON_REQUEST}:
            kinds = ", ".join((*KINDS, *ON_REQUEST))
            raise ValueError(f"kinds {sorted(unknown)}; expected some of {kinds}")
        if not self.lanes or set(self.lanes) - set(LANES):
            raise ValueError(f"lanes {self.lanes}; expected some of {', '.join(map(str, LANES))}")
        if "stray" in self.kinds and len(self.lanes) > 1:
            raise ValueError("a stray needs a pavement that nobody uses: lanes of one direction")
        if min(self.height, self.width) < 32 or self.frames < 1:
            raise ValueError(
                f"{self.frames} frames of {self.height} x {self.width} pixels; expected at least "
                "one frame of at least 32 x 32"
            )

    def videos(self, split: str) -> Iterator[SourceVideo]:
        """The videos of `"train"` (all normal) or `"test"`, rendered one after the other."""
        # The street is drawn at about 288 rows, at least twice the frame, and averaged down. It is
        # the same in both splits.
        scale = max(2, round(288 / self.height))
        street = Street(
            self.height * scale, self.width * scale, np.random.default_rng([self.seed, 0])
        )
        for i in range(getattr(self, split)):
            rng = np.random.default_rng([self.seed, 1 + (split == "test"), i])
            actors = _stream(self, street, rng)
            if split == "test":
                actors += _events(self, street, rng, first=i * self.events)
            yield _render(self, street, scale, f"{split}_{i:02d}", actors, rng)


@dataclasses.dataclass(frozen=True)
class Actor:
    """Somebody who crosses the picture.

    Attributes:
      kind: `"walker"` or one of `KINDS`.
      enters: frame at which the picture's edge is reached.
      y: ground, in canvas pixels.
      direction: 1 to the right, -1 to the left.
      speed: canvas pixels a frame.
      h: height of a standard person at `y`, in canvas pixels.
      phase: phase of the gait in frame 0, radians.
      look: clothes and size.
    """

    kind: str
    enters: float
    y: float
    direction: int
    speed: float
    h: float
    phase: float
    look: drawing.Look

    def position(self, t: float, width: float) -> tuple[float, float]:
        """Ground point in frame `t`, in canvas pixels, with a slight sway to the side."""
        x = self.speed * (t - self.enters) - 0.75 * self.h
        sway = 0.02 * self.h * np.sin(0.07 * t + self.phase)
        return (x if self.direction > 0 else width - x), self.y + sway

    def visible(self, t: float, width: float) -> bool:
        """Whether any part of the actor may be in the picture."""
        return -self.h < self.position(t, width)[0] < width + self.h

    def draw(self, canvas: drawing.Canvas, t: float) -> None:
        """Draws the figure as it is in frame `t`."""
        # The phase advances by 2π whenever the actor has moved by `stride`.
        figure = FIGURES.get(self.kind, drawing.person)
        kind = self.kind.removeprefix("slow_")
        stride = {"runner": 1.5, "cyclist": 2.2, "cart": 0.94}.get(kind, 0.8) * self.h
        phase = self.phase + 2 * np.pi * self.speed * t / stride
        at = self.position(t, canvas.image.shape[1])
        running = self.kind == "runner"
        figure(canvas, at, self.h, self.direction, phase, self.look, running)


def _actor(
    street: Street, rng: np.random.Generator, kind: str, enters: float, lane: int, y: float
) -> Actor:
    """An actor of a kind on a lane; speeds in metres are scaled by the height at its depth."""
    h = street.person_height(y)
    metres = rng.uniform(*SPEEDS.get(kind, SPEEDS["walker"]))
    return Actor(
        kind=kind,
        enters=enters,
        y=y,
        direction=-lane if kind == "wrong_way" else lane,
        speed=metres * drawing.METRE * h / FPS,
        h=h,
        phase=float(rng.uniform(0, 2 * np.pi)),
        look=drawing.draw_look(rng),
    )


def _stream(recipe: ToyScenes, street: Street, rng: np.random.Generator) -> list[Actor]:
    """Walkers on the pavements, some in pairs; the street is populated from the first frame."""
    actors = []
    for lane in recipe.lanes:
        # Frames that a walker of usual speed takes to cross the picture, and the mean gap between
        # two arrivals that gives the wanted crowd (a quarter of them are pairs, hence 1.25).
        band = LANES[lane]
        middle = np.mean(band) * street.height
        speed = 1.28 * drawing.METRE * street.person_height(middle) / FPS
        crossing = street.width / speed
        gap = 1.25 * crossing / max(recipe.crowd / 2, 1e-6)
        # Arrivals are a Poisson process, which begins long enough before the first frame.
        enters = -1.3 * crossing + rng.exponential(gap)
        while enters < recipe.frames:
            y = rng.uniform(*band) * street.height
            actor = _actor(street, rng, "walker", enters, lane, y)
            actors.append(actor)
            if rng.random() < 0.25:
                # A companion at the same speed, a little nearer or farther.
                y_beside = y + rng.choice((-1, 1)) * 0.03 * street.height
                friend = _actor(street, rng, "walker", enters, lane, y_beside)
                actors.append(dataclasses.replace(friend, speed=actor.speed))
            enters += rng.exponential(gap)
    return actors


def _events(recipe: ToyScenes, street: Street, rng: np.random.Generator, first: int) -> list[Actor]:
    """The anomalies of a video, each beginning in its own equal part of it."""
    part_frames, actors = recipe.frames / max(recipe.events, 1), []
    for k in range(recipe.events):
        kind = recipe.kinds[(first + k) % len(recipe.kinds)]
        # The lane: more often the near one, but always one that the recipe has.
        lane = int(rng.choice(list(LANES), p=(0.35, 0.65)))
        lane = lane if lane in recipe.lanes else recipe.lanes[0]
        # Where it walks or rides: on the road, on the pavement that nobody uses, or on its lane's.
        band = ROAD if kind == "on_road" else LANES[-lane if kind == "stray" else lane]
        enters = part_frames * (k + rng.uniform(0.15, 0.4))
        actors.append(_actor(street, rng, kind, enters, lane, rng.uniform(*band) * street.height))
    return actors


def _render(
    recipe: ToyScenes,
    street: Street,
    scale: int,
    name: str,
    actors: list[Actor],
    rng: np.random.Generator,
) -> SourceVideo:
    """All frames of a video with their masks, boxes and tracks."""
    # Tracks are numbered by the rank of the actor among the anomalous ones.
    anomalous = [i for i, actor in enumerate(actors) if actor.kind != "walker"]
    frames, masks, boxes, tracks = [], [], [], []
    for t in range(recipe.frames):
        canvas = _draw(street, actors, t)
        frames.append(Picture(_expose(canvas.image, scale, recipe, t, rng), f"{name}#{t}"))
        # A box for every actor that is seen; mask and track for the anomalous ones. In boxes x1 and
        # y1 are one past the last pixel, in tracks they are the last.
        mask = np.zeros((recipe.height, recipe.width), bool)
        for i, area in _areas(canvas, scale):
            x0, y0, x1, y1 = extent(area)
            boxes.append((t, x0, y0, x1 + 1, y1 + 1, 1.0))
            if i in anomalous:
                mask |= area
                tracks.append((anomalous.index(i), t, x0, y0, x1, y1))
        masks.append(Picture(mask, f"{name}#{t}"))
    # A video without anomalous actors is labelled normal as a whole.
    return SourceVideo(
        name=name,
        frames=frames,
        masks=masks if anomalous else None,
        labels=None if anomalous else 0,
        boxes=np.array(boxes, np.float32).reshape(-1, 6),
        tracks=np.array(sorted(tracks), np.int64).reshape(-1, 6) if anomalous else None,
        kinds={
            track: actors[anomalous[track]].kind for track in sorted({row[0] for row in tracks})
        },
    )


def _areas(canvas: drawing.Canvas, scale: int) -> Iterator[tuple[int, np.ndarray]]:
    """Number of each actor that is seen, and the frame's pixels that show it, bool [H, W].

    A pixel shows an actor if at least half of its area on the canvas does.
    """
    for i in np.unique(canvas.ids[canvas.ids > 0]) - 1:
        area = _shrink((canvas.ids == i + 1).astype(np.float32), scale) >= 0.5
        if area.any():
            yield int(i), area


def _draw(street: Street, actors: list[Actor], t: int) -> drawing.Canvas:
    """One frame on the large canvas: figures and props from far to near, then their shadows."""
    # Props and the actors in the picture, with their ids, by the y of their ground.
    canvas = drawing.Canvas(street.image.copy())
    items: list[tuple[float, int, Callable]] = [(prop.y, PROP, prop.draw) for prop in street.props]
    shown = [i for i, actor in enumerate(actors) if actor.visible(t, street.width)]
    items += [(actors[i].y, i + 1, lambda c, a=actors[i]: a.draw(c, t)) for i in shown]
    for _, number, draw in sorted(items, key=lambda item: item[:2]):
        canvas.current = number
        draw(canvas)
    # Shadows of the actors; those of the props are in the image of the street.
    shade = np.zeros((street.height, street.width), np.uint8)
    for i in shown:
        cast(shade, canvas.ids == i + 1, actors[i].y)
    shade[canvas.ids != 0] = 0  # shadows fall on the ground only
    canvas.image = darken(canvas.image, shade)
    return canvas


def _expose(
    image: np.ndarray, scale: int, recipe: ToyScenes, t: int, rng: np.random.Generator
) -> np.ndarray:
    """Canvas → frame, uint8 [H, W, 3]: averaged down, with slowly varying light and noise."""
    light = 1 + 0.008 * np.sin(0.11 * t)
    small = _shrink(image, scale) * light
    small += rng.normal(0, recipe.noise, small.shape)
    return np.clip(small.round(), 0, 255).astype(np.uint8)


def _shrink(image: np.ndarray, scale: int) -> np.ndarray:
    """Image with both sides divided by `scale`, averaged over areas."""
    size = (image.shape[1] // scale, image.shape[0] // scale)
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def extent(area: np.ndarray) -> tuple[int, int, int, int]:
    """Bounding box of the true pixels of `area`, bool [H, W]: x0, y0, x1, y1, inclusive."""
    rows, columns = np.flatnonzero(area.any(1)), np.flatnonzero(area.any(0))
    return int(columns[0]), int(rows[0]), int(columns[-1]), int(rows[-1])
