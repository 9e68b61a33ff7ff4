"""Toy images with known classes: objects drawn on textured grounds, each image from its number.

An image shows no object, one or two. They may be cut off by the border or hide one another, and
have any scale. The images have the blur, the coarse pixels and the noise of a surveillance camera.
A cart and a lamp post are drawn too and belong to no class: they are unknown objects.
"""

import dataclasses
from collections.abc import Sequence

import cv2
import numpy as np

from vadjax.data.toy import objects
from vadjax.data.toy.drawing import Canvas
from vadjax.data.toy.street import noise

DRAWN = "drawn"  # the manifest's `format` of a dataset without records
CLASSES = {  # class → least and greatest height of the object, in heights of the picture
    "person": (0.45, 1.5),
    "car": (0.25, 0.9),
    "cyclist": (0.5, 1.3),
    "dog": (0.25, 0.8),
    "tree": (0.5, 1.5),
    "house": (0.5, 1.4),
    "skyscraper": (0.7, 1.7),
    "bridge": (0.3, 0.9),
}
UNKNOWN = {"cart": (0.45, 1.2), "lamp_post": (0.6, 1.6)}
UNKNOWN_SHARE = 0.12  # share of unknown objects among the objects
COUNTS = (0.2, 0.5, 0.3)  # probability of no object, one and two
LEAST_SEEN = 0.025  # part of the picture that an object must fill to get its label
SCALE = 2  # sides of the canvas over those of the image


@dataclasses.dataclass(frozen=True)
class ToyImages:
    """Recipe of a toy set of labelled images.

    Attributes:
      train: images to train on.
      test: images to test on.
      size: height and width, pixels.
      classes: some of `CLASSES`, in the order of the labels.
      seed: seed of all random numbers.
    """

    train: int = 1_000_000
    test: int = 4000
    size: int = 64
    classes: Sequence[str] = tuple(CLASSES)
    seed: int = 0

    def __post_init__(self):
        if unknown := [name for name in self.classes if name not in CLASSES]:
            raise ValueError(
                f"no drawing of {', '.join(unknown)}; the toy images have {', '.join(CLASSES)}. "
                "Prepare images of your own: python -m data_prep.labelled_images --help"
            )
        if self.size < 16 or min(self.train, self.test) < 1 or not self.classes:
            raise ValueError(
                f"{self.train} + {self.test} images of {self.size} pixels and "
                f"{len(self.classes)} classes; expected at least 1 of each, of 16 pixels or more"
            )

    def images(self, split: str) -> "Drawings":
        """The images of `"train"` or `"test"`."""
        return Drawings(self, split)


class Drawings(Sequence):
    """Random access: image i is drawn from the recipe's seed, the split and i.

    Element i is `{"image": uint8 [size, size, 3], "labels": float32 [classes]}`, RGB.
    """

    def __init__(self, recipe: ToyImages, split: str):
        self._recipe, self._split = recipe, split
        self._length = getattr(recipe, split)

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> dict:
        if not 0 <= index < len(self):
            raise IndexError(f"image {index} of {len(self)}")
        # The same image at every access, in any order: its generator has the number in its seed.
        recipe = self._recipe
        rng = np.random.default_rng([recipe.seed, self._split == "test", int(index)])
        canvas = Canvas(ground(recipe.size * SCALE, rng))
        names = _choose(recipe.classes, rng)
        for number, name in enumerate(names, 1):
            canvas.current = number
            _place(canvas, name, rng)
        # An object that is hidden or cut off but for a few pixels does not count.
        labels = np.zeros(len(recipe.classes), np.float32)
        for number, name in enumerate(names, 1):
            if name in recipe.classes and (canvas.ids == number).mean() >= LEAST_SEEN:
                labels[list(recipe.classes).index(name)] = 1
        return {"image": expose(canvas.image, recipe.size, rng), "labels": labels}


def _choose(classes: Sequence[str], rng: np.random.Generator) -> list[str]:
    """Names of the objects of an image, from far to near."""
    # Classes that the recipe leaves out are unknown objects too.
    unknown = [*UNKNOWN, *(name for name in CLASSES if name not in classes)]
    names = []
    for _ in range(rng.choice(len(COUNTS), p=COUNTS)):
        candidates = unknown if rng.random() < UNKNOWN_SHARE else list(classes)
        names.append(candidates[rng.integers(len(candidates))])
    # Buildings stand behind everything else.
    return sorted(names, key=lambda name: name not in ("skyscraper", "house", "bridge"))


def _place(canvas: Canvas, name: str, rng: np.random.Generator) -> None:
    """Draws an object at a random scale and place; its middle lies in the picture."""
    side = len(canvas.image)
    low, high = (CLASSES | UNKNOWN)[name]
    h = side * np.exp(rng.uniform(np.log(low), np.log(high)))
    x, middle = rng.uniform(0.1, 0.9) * side, rng.uniform(0.2, 0.8) * side
    getattr(objects, name)(canvas, (x, middle + h / 2), h, rng)


def ground(side: int, rng: np.random.Generator) -> np.ndarray:
    """A textured background, uint8 [side, side, 3]: one material or two, and some lines."""
    # The materials are drawn at the scale of the image and enlarged: the upper part may be another.
    image = _material(side // SCALE, rng)
    if rng.random() < 0.5:
        edge = int(rng.uniform(0.15, 0.85) * len(image))
        image[:edge] = _material(side // SCALE, rng)[:edge]
    image = cv2.resize(image, (side, side), interpolation=cv2.INTER_LINEAR)
    # Lines in the colour of the ground, darker or brighter: kerbs, cables, edges of buildings.
    for _ in range(rng.integers(0, 7) if rng.random() < 0.6 else 0):
        ends = rng.uniform(-0.2, 1.2, 4) * side
        color = np.clip(image.mean((0, 1)) * rng.uniform(0.5, 1.4), 0, 255)
        a, b = (tuple(int(v) for v in end) for end in (ends[:2], ends[2:]))
        cv2.line(image, a, b, color.tolist(), int(rng.integers(1, 6)), cv2.LINE_AA)
    return image


def _material(side: int, rng: np.random.Generator) -> np.ndarray:
    """A surface such as grass, asphalt, sky or wall, uint8 [side, side, 3]: a varied colour."""
    color = rng.uniform(40, 220) * (1 + rng.normal(0, 0.15, 3))
    # Smooth patches, fine grain, and a brightness that rises or falls from top to bottom.
    smooth = noise((side, side), rng, int(rng.integers(2, 9))) * rng.uniform(0, 14)
    fine = rng.standard_normal((side, side)).astype(np.float32) * rng.uniform(0, 12)
    slope = np.linspace(-1, 1, side)[:, None] * rng.normal(0, 12)
    texture = smooth + fine + slope
    if rng.random() < 0.3:  # slabs or bricks
        period = int(rng.integers(side // 10, side // 2))
        texture[::period, :] -= 25
        texture[:, :: int(rng.integers(period, 2 * period + 1))] -= 25
    return np.clip(texture[..., None] + color, 0, 255).astype(np.uint8)


def expose(image: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """Canvas → image as a camera sees it: coarse pixels, blur, light, noise."""
    # A camera's own resolution may be lower than that of the image.
    coarse = size if rng.random() < 0.3 else int(rng.uniform(0.4, 1) * size)
    small = cv2.resize(image, (coarse, coarse), interpolation=cv2.INTER_AREA).astype(np.float32)
    if rng.random() < 0.4:
        small = cv2.GaussianBlur(small, (0, 0), rng.uniform(0.3, 1.0))
    # Contrast around middle grey, brightness, and noise of each pixel.
    contrast, light = rng.uniform(0.5, 1.2), rng.uniform(-30, 30)
    small = (small - 128) * contrast + 128 + light
    small += rng.standard_normal(small.shape, np.float32) * rng.uniform(0, 7)
    if coarse != size:
        small = cv2.resize(small, (size, size), interpolation=cv2.INTER_LINEAR)
    return np.clip(small.round(), 0, 255).astype(np.uint8)
