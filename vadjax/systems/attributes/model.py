"""What is learned of one camera, as a model in float64 and as arrays of a state (attributes §9)."""

import dataclasses
import functools
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from vadjax.data import clips
from vadjax.scores import alarm_rate
from vadjax.systems.attributes import density
from vadjax.systems.attributes.bank import NearestInBank
from vadjax.systems.attributes.calibration import STEPS, CalibrationTable
from vadjax.systems.attributes.density import Bank, Density
from vadjax.systems.attributes.mixture import GaussianMixture

MOST_NOVELTIES = 200_000  # that are kept of an attribute
SAMPLE = "sample"  # of the speeds, among the steps
REST = "rest/"  # before the name of what float32 leaves of an array
TOP_SPEED = 0.999  # share of normal objects that are slower

State = dict[str, np.ndarray]


class Origins(NamedTuple):
    """Where the exemplars of a bank are from.

    Attributes:
      video: int32 [M], number of the training video.
      frame: int32 [M], number of the frame in it.
      boxes: float32 [M, 4], in pixels of the frame.
      classes: int32 [M], of the detector.
      scores: float32 [M], of the detector.
    """

    video: np.ndarray
    frame: np.ndarray
    boxes: np.ndarray
    classes: np.ndarray
    scores: np.ndarray


class Crops(NamedTuple):
    """Pictures of the exemplars, as JPEG files one after another.

    Attributes:
      content: uint8 [bytes].
      ends: int32 [M], where each ends.
    """

    content: np.ndarray
    ends: np.ndarray

    def __getitem__(self, number: int) -> bytes:
        """The JPEG file of an exemplar."""
        start = int(self.ends[number - 1]) if number else 0
        return np.asarray(self.content[start : int(self.ends[number])], np.uint8).tobytes()


class Speeds(NamedTuple):
    """Speeds of normal objects, for the reasons.

    Attributes:
      quantiles: float64 [1001], from the lowest to the largest.
      top: the speed that 999 of 1,000 normal objects stay below.
    """

    quantiles: np.ndarray
    top: float

    @classmethod
    def of(cls, speeds: np.ndarray) -> "Speeds":
        """Those of all training objects [N], N at least 1."""
        shares = np.arange(STEPS + 1) / STEPS
        return cls(np.quantile(speeds, shares), float(np.quantile(speeds, TOP_SPEED)))

    def joined(self, count: int, speeds: np.ndarray) -> "Speeds":
        """Those of `count` objects, as these tell of them, and of further ones [N]."""
        places = np.linspace(0, STEPS, max(1, min(count, MOST_NOVELTIES)))
        before = np.interp(places, np.arange(STEPS + 1), self.quantiles)
        # of very many objects the further ones count by their share
        share = max(1, round(count / MOST_NOVELTIES))
        kept = np.append(np.sort(speeds)[::-share], speeds.max()) if len(speeds) else speeds
        return Speeds.of(np.concatenate([before, kept]))

    @property
    def largest(self) -> float:
        """The largest of all."""
        return float(self.quantiles[-1])

    def share_below(self, speed: float) -> float:
        """Share of the training speeds below a speed, 0 to 1."""
        below = np.searchsorted(self.quantiles, speed, side="left") - 1
        if below < 0:
            return 0.0
        if below >= STEPS:
            return 1.0
        low, high = self.quantiles[below : below + 2]
        return float(below + (speed - low) / (high - low)) / STEPS


@dataclasses.dataclass(frozen=True)
class CameraModel:
    """What is learned of one camera.

    Attributes:
      size: (H, W) of the frames.
      fps: frames a second that are taken.
      every: every how many frames one is taken.
      seconds: of normal video.
      objects: how many normal objects there were.
      videos: names of the training videos.
      divide: whether speeds are divided by the heights of the boxes.
      deviations: float64 [4] of the geometry.
      densities: attribute → its density; empty if there were almost no objects.
      tables: attribute → its calibration.
      novelties: attribute → held-out novelties.
      sample: rows of the speeds that the mixture was fitted on [n, d].
      steps: attribute → every how many novelties one is kept; `SAMPLE` → the same of the speeds.
      speeds: of the training objects; None as `densities`.
      origins: attribute → where the exemplars of its bank are from.
      crops: pictures of the exemplars of the look.
      frames: smoothed scores of held-out frames.
      frames_live: the same as they are smoothed live.
      lengths: frames of each piece of video that these are of, one after the other; empty in runs
        of an older vadjax, which did not keep them.
      lines: scores of the alarm lines, afterwards and live.
      network: SHA-256 of the detector and its settings; "" without one.
    """

    size: tuple[int, int]
    fps: float
    every: int
    seconds: float
    objects: int
    videos: tuple[str, ...]
    divide: bool
    deviations: np.ndarray
    densities: Mapping[str, Density]
    tables: Mapping[str, CalibrationTable]
    novelties: Mapping[str, np.ndarray]
    sample: np.ndarray
    steps: Mapping[str, int]
    speeds: Speeds | None
    origins: Mapping[str, Origins]
    crops: Crops
    frames: np.ndarray
    frames_live: np.ndarray
    lengths: np.ndarray
    lines: tuple[float, float]
    network: str

    @property
    def reliable(self) -> bool:
        """Whether there was enough normal video for an alarm line.

        Frames that were picked out of a video, since an event was normal, count by their seconds
        alone: they are no video of another time.
        """
        whole = [name for name in self.videos if not clips.is_part(name)]
        return alarm_rate.enough(self.seconds, len(whole))

    @functools.cached_property
    def nearest(self) -> Mapping[str, NearestInBank]:
        """Attribute with a bank → finds the nearest of it."""
        banks = {name: own for name, own in self.densities.items() if isinstance(own, Bank)}
        return {name: NearestInBank(own.rows) for name, own in banks.items()}

    @property
    def attributes(self) -> tuple[str, ...]:
        """Names of the attributes that count."""
        return tuple(self.densities)

    def state(self) -> State:
        """The arrays of the model by name, float32 and int32; empty ones are left out."""
        arrays = {
            "numbers": np.array([self.fps, self.seconds, *self.lines]),
            "counts": np.array([*self.size, self.every, self.objects, int(self.divide)]),
            "videos": _bytes("\n".join(self.videos)),
            "network": _bytes(self.network),
            "deviations": self.deviations,
            "sample": self.sample,
            "frames": self.frames,
            "frames_live": self.frames_live,
            "lengths": self.lengths,
        }
        arrays |= {f"novelties/{name}": values for name, values in self.novelties.items()}
        arrays |= {f"steps/{name}": np.array([step]) for name, step in self.steps.items()}
        parts = {"crops": self.crops}
        parts |= {"speeds": self.speeds} if self.speeds else {}
        for kind in ("densities", "tables", "origins"):
            parts |= {f"{kind}/{name}": part for name, part in getattr(self, kind).items()}
        for name, part in parts.items():
            arrays |= {f"{name}/{field}": values for field, values in part._asdict().items()}
        arrays = {name: np.asarray(array) for name, array in arrays.items() if np.size(array)}
        # what float32 leaves of a number is kept too: a covariance or a quantile may need it
        rest = {
            f"{REST}{name}": array - _narrow(array)
            for name, array in arrays.items()
            if array.dtype == np.float64
        }
        arrays |= {name: array for name, array in rest.items() if array.any()}
        return {name: _narrow(array) for name, array in arrays.items()}

    @classmethod
    def of(cls, state: State) -> "CameraModel":
        """The model of the arrays that `state` gave."""
        arrays = {n: _widen(array) for n, array in state.items() if not n.startswith(REST)}
        for name, array in state.items():
            if name.startswith(REST):
                arrays[name.removeprefix(REST)] += _widen(array)
        # single numbers and names
        fps, seconds, *lines = arrays["numbers"].tolist()
        height, width, every, objects, divide = arrays["counts"].tolist()
        nothing = np.zeros(0)

        # parts by the name of their attribute; an array that was empty is not in the state
        def named(kind: str) -> list[str]:
            return list(dict.fromkeys(n.split("/")[1] for n in arrays if n.startswith(f"{kind}/")))

        def part(make, name: str):
            fields = (arrays.get(f"{name}/{field}", nothing) for field in make._fields)
            return make(*fields)

        return cls(
            size=(height, width),
            fps=fps,
            every=every,
            seconds=seconds,
            objects=objects,
            videos=tuple(_text(arrays["videos"]).split("\n")),
            divide=bool(divide),
            deviations=arrays["deviations"],
            densities={
                name: part(GaussianMixture if name in density.MIXED else Bank, f"densities/{name}")
                for name in named("densities")
            },
            tables={name: part(CalibrationTable, f"tables/{name}") for name in named("tables")},
            novelties={name: arrays[f"novelties/{name}"] for name in named("novelties")},
            sample=arrays.get("sample", nothing),
            steps={name: int(arrays[f"steps/{name}"][0]) for name in named("steps")},
            speeds=part(Speeds, "speeds") if "speeds/quantiles" in arrays else None,
            origins={name: part(Origins, f"origins/{name}") for name in named("origins")},
            crops=part(Crops, "crops"),
            frames=arrays.get("frames", nothing),
            frames_live=arrays.get("frames_live", nothing),
            lengths=arrays.get("lengths", np.zeros(0, np.int32)),
            lines=tuple(lines),
            network=_text(arrays.get("network", nothing)),
        )


def _bytes(text: str) -> np.ndarray:
    return np.frombuffer(text.encode(), np.uint8)


def _text(array: np.ndarray) -> str:
    return np.asarray(array, np.uint8).tobytes().decode()


def _narrow(array: np.ndarray) -> np.ndarray:
    """float64 → float32, int64 → int32: what devices keep without being asked."""
    kinds = {"f": np.float32, "i": np.int32, "u": np.uint8}
    array = np.asarray(array)
    return array.astype(kinds[array.dtype.kind])


def _widen(array: np.ndarray) -> np.ndarray:
    """float32 → float64; all else as it is."""
    array = np.asarray(array)
    return array.astype(np.float64) if array.dtype.kind == "f" else array
