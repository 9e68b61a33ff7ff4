"""Normal objects → densities, their calibration and the alarm lines (spec attributes §4 to §8)."""

from collections.abc import Mapping
from typing import NamedTuple

import ml_collections
import numpy as np

from vadjax.systems.attributes import density, folds, smoothing
from vadjax.systems.attributes.calibration import FEW, CalibrationTable, calibrate
from vadjax.systems.attributes.density import Bank, Density

Rows = Mapping[str, np.ndarray]  # attribute → rows of all objects [N, D], NaN where one lacks it


class Places(NamedTuple):
    """Where the objects of normal videos are.

    Attributes:
      video: int64 [N], number of the video of each object.
      frame: int64 [N], number of its frame among those that are taken.
      lengths: int64 [V], frames that are taken of each video.
      fps: frames a second that are taken.
    """

    video: np.ndarray
    frame: np.ndarray
    lengths: np.ndarray
    fps: float


class Learnt(NamedTuple):
    """What is learned of normal objects.

    Attributes:
      densities: of every attribute, from all objects; empty if there are almost none.
      tables: of every attribute, from held-out novelties.
      novelties: attribute → those, float64.
      frames: smoothed scores of held-out frames, float64.
      frames_live: the same as they are smoothed live.
      lengths: int64, frames of each piece of video that these are of, one after the other.
    """

    densities: dict[str, Density]
    tables: dict[str, CalibrationTable]
    novelties: dict[str, np.ndarray]
    frames: np.ndarray
    frames_live: np.ndarray
    lengths: np.ndarray


def learn(rows: Rows, places: Places, options: ml_collections.ConfigDict, seed: int) -> Learnt:
    """Learns from the objects of normal videos.

    Args:
      rows: attributes of all objects.
      places: where these are.
      options: of the config: `bank` and `fusion`.
      seed: of what is drawn.
    """
    almost_nothing = Learnt({}, {}, {}, np.zeros(0), np.zeros(0), np.zeros(0, np.int64))
    if len(places.video) < FEW:
        return almost_nothing
    # every object is judged by a model that never saw its video
    held_out = {name: np.full(len(values), np.nan) for name, values in rows.items()}
    judged = np.zeros(len(places.video), bool)
    whole = [np.zeros(length, bool) for length in places.lengths]  # frames that are judged
    for fold in folds.folds(places.video, places.frame, places.lengths, places.fps):
        if fold.fitted.sum() < FEW:
            continue
        judged |= fold.judged
        for name, values in rows.items():
            here = np.isfinite(values).all(1)
            if not (fold.fitted & here).any():
                continue
            fitted = density.fit(name, values[fold.fitted & here], options.bank, seed)
            held_out[name][fold.judged & here] = fitted.novelty(values[fold.judged & here])
        for flags, own in zip(whole, fold.frames, strict=True):
            flags |= own
    novelties = {name: values[np.isfinite(values)] for name, values in held_out.items()}
    if not all(map(len, novelties.values())):  # no fold had enough to judge another
        return almost_nothing
    tables = {name: calibrate(values) for name, values in novelties.items()}
    # their frames are scored as those of a test video
    evidence = {
        name: np.where(np.isfinite(values), tables[name].evidence(values), 0.0)
        for name, values in held_out.items()
    }
    scores = fuse(evidence, options.fusion)
    frames, live, lengths = [], [], []
    for video, flags in enumerate(whole):
        own = judged & (places.video == video)
        highest = frame_scores(scores[own], places.frame[own], places.lengths[video])
        frames.append(smoothing.gaussian(highest, places.fps)[flags])
        live.append(smoothing.live(highest, places.fps)[flags])
        lengths += _runs(flags)
    densities = {}
    for name, values in rows.items():
        have = np.flatnonzero(np.isfinite(values).all(1))
        densities[name] = fitted = density.fit(name, values[have], options.bank, seed)
        if isinstance(fitted, Bank):  # numbers among all objects
            densities[name] = fitted._replace(objects=have[fitted.objects])
    after, at_once = np.concatenate(frames), np.concatenate(live)
    return Learnt(densities, tables, novelties, after, at_once, np.array(lengths, np.int64))


def _runs(flags: np.ndarray) -> list[int]:
    """Lengths of the runs of True in flags [T]."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(int), [0]])))
    return (edges[1::2] - edges[::2]).tolist()


def fuse(evidence: Mapping[str, np.ndarray], fusion: str) -> np.ndarray:
    """Scores of objects [N]: sum or maximum of the evidence of their attributes."""
    stacked = np.stack(list(evidence.values()))
    return stacked.sum(0) if fusion == "sum" else stacked.max(0)


def frame_scores(scores: np.ndarray, frame: np.ndarray, length: int) -> np.ndarray:
    """Scores of frames [T]: of each the highest of its objects, 0 without objects."""
    highest = np.zeros(length)
    np.maximum.at(highest, frame, scores)
    return highest
