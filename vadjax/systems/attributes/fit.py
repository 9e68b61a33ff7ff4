"""The objects of normal videos → the model of their camera (spec attributes §3 to §9)."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import cv2
import ml_collections
import numpy as np

from vadjax.systems.attributes import judge, learn, mixture, smoothing, values
from vadjax.systems.attributes.density import Bank
from vadjax.systems.attributes.learn import Places
from vadjax.systems.attributes.mixture import MOST_ROWS
from vadjax.systems.attributes.model import (
    MOST_NOVELTIES,
    SAMPLE,
    CameraModel,
    Crops,
    Origins,
    Speeds,
)
from vadjax.systems.attributes.objects import ObjectTable, join

CROP_SIDE, QUALITY = 96, 90  # most pixels of a crop, and quality of its JPEG


class NormalVideo(NamedTuple):
    """The objects of a normal video.

    Attributes:
      name: of the video.
      frames: how many it has.
      objects: of the frames that are taken.
      read: number of a frame → uint8 [H, W, 3], RGB.
    """

    name: str
    frames: int
    objects: ObjectTable
    read: Callable[[int], np.ndarray]


def fit(
    videos: Sequence[NormalVideo],
    config: ml_collections.ConfigDict,
    size: tuple[int, int],
    fps: float,
    every: int,
    network: str = "",
) -> CameraModel:
    """The model of a camera.

    Args:
      videos: normal ones, in the order of their names.
      config: of the run; sections `attributes`, `bank` and `alarm`, `fusion` and `seed`.
      size: (H, W) of the frames.
      fps: frames a second of the videos.
      every: every how many frames one is taken.
      network: SHA-256 of the detector and its settings; "" without one.
    """
    objects = join([video.objects for video in videos])
    counts = [video.objects.count for video in videos]
    number = np.repeat(np.arange(len(videos)), counts)
    # what is decided once, for all folds
    heights = objects.boxes[:, 3] - objects.boxes[:, 1]
    known = np.isfinite(objects.motions.speed)  # not in a video of one frame
    speeds = objects.motions.speed[known]
    divide, _ = values.divides(config.attributes.divide_by_height, speeds, heights[known])
    deviations = values.deviations(values.geometry(objects.boxes, size))
    rows = judge.rows(objects, config.attributes, size, divide, deviations)
    # densities and alarm lines
    lengths = np.array([-(-video.frames // every) for video in videos])
    places = Places(number, objects.frame // every, lengths, fps / every)
    learnt = learn.learn(rows, places, config, config.seed)
    origins = {
        name: origins_of(one.objects, objects, number)
        for name, one in learnt.densities.items()
        if isinstance(one, Bank)
    }
    # what is kept for normal video that comes later
    steps = {
        name: mixture.thinning(len(own), MOST_NOVELTIES) for name, own in learnt.novelties.items()
    }
    sample = rows["speed"][known] if "speed" in rows else np.zeros((0, 1))
    steps[SAMPLE] = mixture.thinning(len(sample), MOST_ROWS)
    speeds = speeds / heights[known] if divide else speeds
    return CameraModel(
        size=size,
        fps=fps / every,
        every=every,
        seconds=sum(video.frames for video in videos) / fps,
        objects=objects.count,
        videos=tuple(video.name for video in videos),
        divide=divide,
        deviations=deviations,
        densities=learnt.densities,
        tables=learnt.tables,
        novelties={name: own[:: steps[name]] for name, own in learnt.novelties.items()},
        sample=sample[:: steps[SAMPLE]],
        steps=steps,
        speeds=Speeds.of(speeds) if learnt.densities and "speed" in rows else None,
        origins=origins,
        crops=_crops(origins.get("look"), videos),
        frames=learnt.frames,
        frames_live=learnt.frames_live,
        lengths=learnt.lengths,
        lines=smoothing.alarm_lines(
            learnt.frames, learnt.frames_live, learnt.lengths, fps / every, config.alarm.per_hour
        ),
        network=network,
    )


def origins_of(chosen: np.ndarray, objects: ObjectTable, number: np.ndarray) -> Origins:
    """Where some of the objects are from.

    Args:
      chosen: their numbers among the objects [M].
      objects: of all videos.
      number: number of the video of each object.
    """
    return Origins(
        number[chosen],
        objects.frame[chosen],
        objects.boxes[chosen],
        objects.classes[chosen],
        objects.scores[chosen],
    )


def _crops(origins: Origins | None, videos: Sequence[NormalVideo]) -> Crops:
    """Pictures of the exemplars of the look, so that a report needs no training video."""
    return pack(crop_files(origins, videos) if origins else [])


def crop_files(origins: Origins, videos: Sequence[NormalVideo]) -> list[bytes]:
    """JPEG files of objects of these videos."""
    crops: dict[int, bytes] = {}
    # frame by frame, each is read once
    order = np.lexsort((origins.frame, origins.video))
    before, frame = None, None
    for number in order:
        place = int(origins.video[number]), int(origins.frame[number])
        if place != before:
            before, frame = place, videos[place[0]].read(place[1])
        crops[int(number)] = crop(frame, origins.boxes[number])
    return [crops[number] for number in range(len(crops))]


def pack(files: Sequence[bytes]) -> Crops:
    """JPEG files one after another."""
    if not files:
        return Crops(np.zeros(0, np.uint8), np.zeros(0, np.int64))
    return Crops(np.frombuffer(b"".join(files), np.uint8), np.cumsum([len(own) for own in files]))


def crop(frame: np.ndarray, box: np.ndarray) -> bytes:
    """JPEG file of a box of a frame uint8 [H, W, 3], RGB, of 96 pixels at most."""
    height, width = frame.shape[:2]
    x0, y0 = np.clip(np.floor(box[:2]).astype(int), 0, [width - 1, height - 1])
    x1, y1 = np.clip(np.ceil(box[2:]).astype(int), [x0 + 1, y0 + 1], [width, height])
    picture = frame[y0:y1, x0:x1]
    if (shrink := CROP_SIDE / max(picture.shape[:2])) < 1:
        size = tuple(max(1, round(side * shrink)) for side in picture.shape[1::-1])
        picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    return cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes()
