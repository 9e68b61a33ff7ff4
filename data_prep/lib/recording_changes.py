"""Says where footage does not look like the rest of a camera's normal footage.

A model of what is normal takes all normal footage as one place in one light. So samples of every
recording, one in ten seconds or less, are compared with the rest of the normal footage of the same
camera, and stretches that differ are named. Nothing is left out.

  dark, bright   The mean grey level is less than half, or more than twice, the median of the
                 footage: a stop of light, which people see at once.
  no colour      The footage has colour and the sample has none (or the reverse), as where a camera
                 goes over to infra-red at night. Colour is the mean difference between red, green
                 and blue: less than 2 grey levels is none, 8 and more is some.
  moved          Registered with the median picture of the footage (phase correlation of edges),
                 the sample lies more than a fiftieth of the picture's width beside it, fits there,
                 and better than where it is; and the samples of the stretch agree in this shift
                 to half of that. Edges fit if their correlation is at least half of what samples
                 of the footage usually have where they are.
  another view   The edges fit nowhere.

One sample may be somebody before the camera: a stretch is two samples in a row or all samples of a
video. The numbers are set by these reasons; none was fitted to any footage.
"""

import collections
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import cv2
import numpy as np

from .recording_join import Recorded
from .recording_scan import Sample

STOP = 2.0  # ratio of grey levels
NONE, SOME = 2.0, 8.0  # grey levels between red, green and blue
MOVED = 1 / 50  # of the width of the picture
FITS = 0.5  # of the usual correlation
FEWEST = 4  # samples of normal footage, from which on others are compared with it
MOST = 256  # samples whose median picture is taken
WORDS = {
    "dark": "much darker than the rest",
    "bright": "much brighter than the rest",
    "no colour": "without colour, unlike the rest",
    "colour": "with colour, unlike the rest",
    "moved": "the camera seems to have moved or turned",
    "another view": "another view than the rest, or something large before the camera",
}


class Reference(NamedTuple):
    """The normal footage of a camera.

    Attributes:
      light: median grey level.
      colour: median colour.
      edges: float32 [h, w], edges of the median picture.
      usual: median correlation of the edges of samples with these.
    """

    light: float
    colour: float
    edges: np.ndarray
    usual: float


def describe(normal: Sequence[Recorded], new: Sequence[Recorded]) -> list[str]:
    """A line for every stretch that does not look like its camera's normal footage.

    Args:
      normal: videos of normal footage.
      new: other videos.
    """
    cameras: dict[str, list[Sample]] = collections.defaultdict(list)
    for video in normal:
        cameras[video.camera] += video.samples
    references = {
        camera: _reference(samples) for camera, samples in cameras.items() if len(samples) >= FEWEST
    }
    return [line for video in (*normal, *new) for line in _lines(video, references)]


class Difference(NamedTuple):
    """How a sample differs from the footage.

    Attributes:
      kind: a key of `WORDS`; empty if it does not differ.
      right, down: how far it is shifted, as a share of the picture's width.
    """

    kind: str = ""
    right: float = 0.0
    down: float = 0.0

    def like(self, other: "Difference") -> bool:
        """Whether two samples differ in the same way."""
        apart = np.hypot(self.right - other.right, self.down - other.down)
        return self.kind == other.kind and bool(apart <= MOVED / 2)


def _lines(video: Recorded, references: Mapping[str, Reference]) -> Iterator[str]:
    """The lines of a video."""
    samples = [s for s in video.samples if video.camera in references]
    found = [_differs(sample, references[video.camera]) for sample in samples]
    at = 0
    while at < len(found):
        stop = at + 1
        while stop < len(found) and found[stop].like(found[stop - 1]):
            stop += 1
        whole = stop - at == len(found)
        if found[at].kind and (whole or stop - at > 1):
            until = samples[stop].seconds if stop < len(samples) else video.seconds
            place = "" if whole else f" from {_clock(samples[at].seconds)} to {_clock(until)}"
            yield f"{video.name}{place}: {WORDS[found[at].kind]}"
        at = stop


def _reference(samples: Sequence[Sample]) -> Reference:
    """What most of these samples show; the pictures may be of several sizes."""
    sizes = collections.Counter(sample.grey.shape for sample in samples)
    size = sizes.most_common(1)[0][0]
    step = -(-len(samples) // MOST)
    pictures = [sample.grey for sample in samples if sample.grey.shape == size][::step]
    edges = _edges(np.median(pictures, axis=0).astype(np.uint8))
    return Reference(
        float(np.median([sample.light for sample in samples])),
        float(np.median([sample.colour for sample in samples])),
        edges,
        float(np.median([_correlation(_edges(picture), edges) for picture in pictures])),
    )


def _differs(sample: Sample, reference: Reference) -> Difference:
    """How a sample differs from the footage; the first way that holds."""
    light, usual = sample.light + 1, reference.light + 1  # a black picture has a level too
    if light * STOP < usual:
        return Difference("dark")
    if light > usual * STOP:
        return Difference("bright")
    if sample.colour < NONE and reference.colour >= SOME:
        return Difference("no colour")
    if sample.colour >= SOME and reference.colour < NONE:
        return Difference("colour")
    return _moved(_edges(sample.grey), reference)


def _moved(edges: np.ndarray, reference: Reference) -> Difference:
    """Whether edges lie beside those of the footage, or fit them nowhere."""
    if edges.shape != reference.edges.shape:  # of another aspect ratio
        return Difference("another view")
    if not edges.any() or not reference.edges.any():
        return Difference()
    right, down, there, here = register(edges, reference.edges)
    fits, width = FITS * reference.usual, edges.shape[1]
    if max(here, there) < fits:
        return Difference("another view")
    if there >= fits and there > here and np.hypot(right, down) > MOVED * width:
        return Difference("moved", right / width, down / width)
    return Difference()


def register(edges: np.ndarray, usual: np.ndarray) -> tuple[float, float, float, float]:
    """Where edges lie beside usual ones: right, down, correlation there and unshifted.

    Args:
      edges: of a sample, float32 [h, w].
      usual: those of the footage, of the same shape.
    """
    height, width = usual.shape
    window = cv2.createHanningWindow((width, height), cv2.CV_32F)
    # OpenCV multiplies its arguments by the window in their place.
    (right, down), _ = cv2.phaseCorrelate(usual.copy(), edges.copy(), window)
    # Only what both show is compared.
    back = np.float32([[1, 0, -right], [0, 1, -down]])
    shifted = cv2.warpAffine(edges, back, (width, height))
    left, top = int(max(0, -right)) + 1, int(max(0, -down)) + 1
    stop_x, stop_y = width - int(max(0, right)) - 1, height - int(max(0, down)) - 1
    both = slice(top, stop_y), slice(left, stop_x)
    there = _correlation(shifted[both], usual[both]) if stop_x > left and stop_y > top else 0.0
    return right, down, there, _correlation(edges, usual)


def _edges(grey: np.ndarray) -> np.ndarray:
    """Strength of the edges of a picture, which change less with the light than grey levels."""
    smooth = cv2.GaussianBlur(grey, (5, 5), 0).astype(np.float32)
    across, down = cv2.Sobel(smooth, cv2.CV_32F, 1, 0), cv2.Sobel(smooth, cv2.CV_32F, 0, 1)
    return np.sqrt(np.hypot(across, down))


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Correlation of two pictures, -1 to 1; 0 where one is the same everywhere."""
    one, other = one - one.mean(), other - other.mean()
    size = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float((one * other).sum()) / size if size else 0.0


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"
