"""Normal video that comes later → a model that knows it too (spec attributes §8b).

What was seen before is not needed again: the model keeps a sample of it. The present model judges
the new video as held out, because it never saw it.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import ml_collections
import numpy as np

from vadjax.systems.attributes import density, fit, judge, learn, mixture, smoothing
from vadjax.systems.attributes.calibration import calibrate
from vadjax.systems.attributes.density import Bank
from vadjax.systems.attributes.fit import NormalVideo
from vadjax.systems.attributes.mixture import MOST_ROWS
from vadjax.systems.attributes.model import MOST_NOVELTIES, SAMPLE, CameraModel, Crops, Origins
from vadjax.systems.attributes.objects import ObjectTable, join


def extend(
    model: CameraModel,
    videos: Sequence[NormalVideo],
    config: ml_collections.ConfigDict,
    fps: float,
    every: int,
) -> CameraModel:
    """The model with further normal video of its camera.

    The decision on heights and the deviations of the geometry stay.

    Args:
      model: of the camera.
      videos: further normal ones, with names of their own; speeds in pixels a frame of the
        model's rate.
      config: of the run.
      fps: frames a second of the videos.
      every: every how many frames one is taken.

    Raises:
      ValueError: the model has seen too few objects to judge others.
    """
    if not model.densities:
        raise ValueError(
            f"the run has seen {model.objects} objects, too few to judge others; train another "
            "run on all videos together"
        )
    objects = join([video.objects for video in videos])
    number = np.repeat(np.arange(len(videos)), [video.objects.count for video in videos])
    chosen = config.attributes
    rows = judge.rows(objects, chosen, model.size, model.divide, model.deviations)
    # The model as it is judges what it never saw.
    judged = judge.judge(model, rows, config.fusion)
    rates = fps / every, model.fps
    frames, live, lengths = _smoothed(judged.scores, objects, number, videos, every, rates)
    before = model.lengths if len(model.lengths) else [len(model.frames)]
    frames = np.concatenate([model.frames, frames])
    live = np.concatenate([model.frames_live, live])
    lengths = np.concatenate([before, lengths]).astype(np.int64)
    model = dataclasses.replace(
        _calibrated(model, judged.novelty),
        frames=frames,
        frames_live=live,
        lengths=lengths,
        lines=smoothing.alarm_lines(frames, live, lengths, model.fps, config.alarm.per_hour),
    )
    # Then it learns it: a mixture of the sample of both, banks of the exemplars and the new ones.
    if "speed" in rows:
        model = _with_speeds(model, rows["speed"], objects)
    for name, bank in model.densities.items():
        if isinstance(bank, Bank):
            model = _with_exemplars(model, name, rows[name], objects, number, videos, config)
    return dataclasses.replace(
        model,
        seconds=model.seconds + sum(video.frames for video in videos) / fps,
        objects=model.objects + objects.count,
        videos=(*model.videos, *(video.name for video in videos)),
    )


def _calibrated(model: CameraModel, novelty: Mapping[str, np.ndarray]) -> CameraModel:
    """The model with the novelties [N] of further held-out objects in its tables."""
    tables, novelties, steps = {}, {}, dict(model.steps)
    for name, table in model.tables.items():
        seen = novelty[name][np.isfinite(novelty[name])]
        novelties[name], steps[name] = _joined(
            model.novelties[name], model.steps[name], seen, MOST_NOVELTIES
        )
        joined = calibrate(novelties[name], table.count + len(seen))
        largest = max(table.largest, seen.max(initial=-np.inf))  # thinning may have left it out
        tables[name] = joined._replace(largest=np.float64(largest))
    return dataclasses.replace(model, tables=tables, novelties=novelties, steps=steps)


def _with_speeds(model: CameraModel, rows: np.ndarray, objects: ObjectTable) -> CameraModel:
    """The model that has also learned the speeds [N, d] of further objects."""
    known = np.isfinite(rows).all(1)
    sample, step = _joined(model.sample, model.steps[SAMPLE], rows[known], MOST_ROWS)
    speeds = objects.motions.speed[known]
    if model.divide:
        speeds = speeds / (objects.boxes[:, 3] - objects.boxes[:, 1])[known]
    before = model.objects if model.speeds else 0
    return dataclasses.replace(
        model,
        sample=sample,
        steps={**model.steps, SAMPLE: step},
        densities={**model.densities, "speed": mixture.fit(sample).mixture},
        speeds=model.speeds.joined(before, speeds),
    )


def _with_exemplars(
    model: CameraModel,
    name: str,
    rows: np.ndarray,
    objects: ObjectTable,
    number: np.ndarray,
    videos: Sequence[NormalVideo],
    config: ml_collections.ConfigDict,
) -> CameraModel:
    """The model whose bank of an attribute is chosen of its exemplars and further rows [N, D]."""
    bank = model.densities[name]
    have = np.flatnonzero(np.isfinite(rows).all(1))
    both = np.concatenate([bank.rows, rows[have]])
    kept = density.choose(both, config.bank, config.seed)
    numbers = np.concatenate([bank.objects, model.objects + have])
    # Where they are from; the further videos come after the present ones.
    new = fit.origins_of(have, objects, number)
    later = new._replace(video=new.video + len(model.videos))
    pairs = zip(model.origins[name], later, strict=True)
    origins = Origins(*(np.concatenate(pair)[kept] for pair in pairs))
    crops = _crops(model.crops, new, kept, videos) if name == "look" else model.crops
    return dataclasses.replace(
        model,
        densities={**model.densities, name: Bank(both[kept], numbers[kept])},
        origins={**model.origins, name: origins},
        crops=crops,
    )


def _smoothed(
    scores: np.ndarray,
    objects: ObjectTable,
    number: np.ndarray,
    videos: Sequence[NormalVideo],
    every: int,
    rates: tuple[float, float],
) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """Smoothed scores of the further videos, afterwards and live, and how many of each.

    A second of them counts as much as a second of the training: they are of the model's rate.

    Args:
      scores: of the objects [N].
      objects: of all videos.
      number: number of the video of each object.
      videos: the videos.
      every: every how many of their frames one is taken.
      rates: frames a second that are taken of them, and that the model has.
    """
    taken, own_rate = rates
    after, live, lengths = [], [], []
    for video, normal in enumerate(videos):
        own = number == video
        length = -(-normal.frames // every)
        highest = learn.frame_scores(scores[own], objects.frame[own] // every, length)
        # of each frame of the model's rate the last one that was taken
        count = length if np.isclose(taken, own_rate) else max(1, round(length * own_rate / taken))
        at = np.minimum(np.arange(count) * length // count, length - 1)
        after.append(smoothing.gaussian(highest, taken)[at])
        live.append(smoothing.live(highest, taken)[at])
        lengths.append(count)
    return np.concatenate(after), np.concatenate(live), lengths


def _joined(before: np.ndarray, step: int, new: np.ndarray, most: int) -> tuple[np.ndarray, int]:
    """What is kept of old and new rows, and every how many one is: old and new count alike."""
    rows = np.concatenate([before, new[::step]])
    further = mixture.thinning(len(rows), most)
    return rows[::further], step * further


def _crops(before: Crops, new: Origins, kept: np.ndarray, videos: Sequence[NormalVideo]) -> Crops:
    """Pictures of the exemplars that are kept, of those there were and of new objects."""
    old = len(before.ends)
    added = kept[kept >= old] - old
    files = iter(fit.crop_files(Origins(*(field[added] for field in new)), videos))
    return fit.pack([next(files) if at >= old else before[int(at)] for at in kept])
