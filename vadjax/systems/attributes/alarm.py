"""The alarm line of a camera: by the specification, or of a wanted rate of alarms (attributes §8).

Without a rate it is the spec's T, the score that 999 of 1,000 held-out normal frames stay below.
With one it is the threshold at which held-out normal video has so many alarm intervals an hour.
"""

from collections.abc import Sequence

import numpy as np

from vadjax.scores import alarm_rate
from vadjax.scores.alarm import AlarmLine
from vadjax.scores.alarm_rate import HeldOut
from vadjax.systems.attributes import smoothing
from vadjax.systems.attributes.model import CameraModel

REPORTED = np.arange(5, 100) / 100  # reported scores of the table of rates, 0.5 among them


def held_out(model: CameraModel) -> HeldOut:
    """The held-out scores of a camera, smoothed afterwards."""
    # A run of an older vadjax did not keep where a piece ends; all its frames are one.
    lengths = model.lengths if len(model.lengths) else np.array([len(model.frames)])
    return HeldOut(model.frames, lengths, model.fps)


def alarm_line(models: Sequence[CameraModel], per_hour: float) -> AlarmLine:
    """The line of a run on the scale of reported scores, all its cameras together.

    Args:
      models: of all cameras.
      per_hour: alarms an hour that were asked for; 0 for none.
    """
    videos = [(model, held_out(model)) for model in models if len(model.frames)]
    hours = sum(video.hours for _, video in videos)
    alarms, scores = np.zeros(len(REPORTED)), []
    for model, video in videos:
        thresholds = model.lines[0] * REPORTED / (1 - REPORTED)
        alarms += alarm_rate.rates(video, thresholds) * video.hours
        scores.append(smoothing.reported(model.frames, model.lines[0]))
    return AlarmLine(
        line=smoothing.LINE,
        reliable=all(model.reliable for model in models),
        hours=hours,
        per_hour=per_hour or None,
        extrapolated=bool(per_hour) and any(per_hour * video.hours < 1 for _, video in videos),
        rates=np.stack([REPORTED, alarms / hours], 1) if videos else np.zeros((0, 2)),
        quantiles=alarm_rate.quantiles(np.concatenate(scores)) if videos else np.zeros((0, 2)),
    )


def sentences(camera: str, model: CameraModel, heights: np.ndarray, per_hour: float) -> list[str]:
    """What was fitted to the footage of a camera, for a person to read.

    Args:
      camera: its name.
      model: of the camera.
      heights: of the boxes of its normal objects [N], pixels.
      per_hour: alarms an hour that were asked for; 0 for none.
    """
    count = len(model.videos)
    told = [
        f"{camera}: learned from {duration(model.seconds)} of normal video ({count:,} "
        f"video{'s' if count > 1 else ''}) with {model.objects:,} objects.",
        *_sizes(heights),
        *_speeds(model),
        *_line(model, per_hour),
    ]
    if model.reliable:
        told.append("There was enough normal video to rely on this line.")
    else:
        told.append(
            f"note: {smoothing.UNRELIABLE}. Give more normal video, in at least "
            f"{alarm_rate.RELIABLE_VIDEOS} files of other times."
        )
    return told


def duration(seconds: float) -> str:
    """So long, in the unit that a person would take."""
    for size, unit in ((3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} seconds"


def _sizes(heights: np.ndarray) -> list[str]:
    """A sentence on the boxes of normal objects; none without objects."""
    if not len(heights):
        return []
    least, low, middle, high, most = np.quantile(heights, (0, 0.05, 0.5, 0.95, 1))
    return [
        f"Their boxes are {least:.0f} to {most:.0f} pixels high, nine in ten of them {low:.0f} to "
        f"{high:.0f}, half of them below {middle:.0f}."
    ]


def _speeds(model: CameraModel) -> list[str]:
    """A sentence on their speeds; none where speed does not count."""
    if not model.speeds:
        return []
    factor, unit = (model.fps, "heights a second") if model.divide else (1, "pixels a frame")
    largest, top = factor * model.speeds.largest, factor * model.speeds.top
    why = " (far objects look slower, so speeds are in heights of boxes)" if model.divide else ""
    return [
        f"The fastest moved {largest:.2f} {unit}{why}; 999 of 1,000 stay below {top:.2f}.",
    ]


def _line(model: CameraModel, per_hour: float) -> list[str]:
    """Sentences on the alarm line."""
    line = model.lines[0]
    if not len(model.frames):
        return [f"Almost nothing was ever seen: the alarm line is the score {line:g}."]
    video = held_out(model)
    alarms = int(alarm_rate.counts(video, [line])[0])
    counted = (
        f"on the held-out normal video ({duration(3600 * video.hours)}) it gives {alarms:,} "
        f"alarm{'' if alarms == 1 else 's'}, {alarms / video.hours:.3g} an hour"
    )
    if not per_hour:
        return [
            f"The alarm line is the score {line:.3f}, below which 999 of 1,000 held-out normal "
            f"frames stay; {counted}."
        ]
    told = [f"The alarm line for {per_hour:g} alarms an hour is the score {line:.3f}; {counted}."]
    if per_hour * video.hours < 1:
        told.append(
            f"extrapolated: {duration(3600 * video.hours)} are too short to count {per_hour:g} "
            "alarms an hour, so an exponential tail was fitted to the highest scores."
        )
    return told
