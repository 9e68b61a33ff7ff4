"""What a person is told of an object: which attribute is unusual, and how much (attributes §9)."""

import numpy as np

from vadjax.backbones.nanodet import CLASSES
from vadjax.scores import words
from vadjax.systems.attributes.calibration import DECADES
from vadjax.systems.attributes.judge import Judged
from vadjax.systems.attributes.model import CameraModel
from vadjax.systems.attributes.motion import BINS
from vadjax.systems.attributes.objects import MOVING, UNKNOWN, ObjectTable

WORDS = {"speed": "speed", "look": "look", "geometry": "place or size"}
DIRECTIONS = (  # of 45 degrees, clockwise, the first around the right
    "right",
    "lower right",
    "bottom",
    "lower left",
    "left",
    "upper left",
    "top",
    "upper right",
)
FORMS = (
    "where no such object was seen",
    "where no such object was seen",
    ("larger than any such object", "smaller than any such object"),
    ("wider than any such object", "narrower than any such object"),
)
UNNAMED = {MOVING: "moving object", UNKNOWN: "object"}  # that no class of the detector names
NAMES = (*CLASSES, *UNNAMED.values())
LITTLE = 1.1  # times the largest speed, below which a speed is a little larger
ALMOST_NOTHING = "something where almost nothing was ever seen"


def fields(
    model: CameraModel,
    objects: ObjectTable,
    judged: Judged,
    geometry: np.ndarray | None,
    number: int,
    direction: str,
    line: float,
) -> dict:
    """What an event tells of its strongest object, as JSON can hold it.

    Args:
      model: of the camera.
      objects: of a frame.
      judged: these objects.
      geometry: rows of their geometry, if that is an attribute.
      number: of the object in the table.
      direction: how the config looks at directions.
      line: score of the alarm line.
    """
    evidence = {name: float(own[number]) for name, own in judged.evidence.items()}
    lead = max(evidence, key=evidence.get)
    told = {
        "frame": int(objects.frame[number]),
        "box": [round(float(side), 1) for side in objects.boxes[number]],
        "box_score": round(_reported(judged.scores[number], line), 4),
        "lead": lead,
        "evidence": {name: round(value, 3) for name, value in evidence.items()},
        "class": class_name(objects.classes[number]),
        "class_score": round(float(objects.scores[number]), 3),
        "place": words.place(objects.boxes[number], model.size),
        "reliable": model.reliable,
    }
    if not model.densities:
        return told | {"text": f"{ALMOST_NOTHING}, {told['place']}"}
    # the numbers of every attribute that counts
    named = [lead, *(name for name in evidence if evidence[name] >= DECADES and name != lead)]
    texts = {}
    if "speed" in evidence and np.isfinite(objects.motions.speed[number]):
        speed = _speed(model, objects, number)
        told |= {"speed": round(speed, 3), "speed_max": round(model.speeds.largest, 3)}
        texts["speed"] = _speed_text(model, speed) + _towards(objects, number, direction)
    if "geometry" in evidence:
        nearest = int(judged.nearest["geometry"][number])
        told["nearest"] = _origin(model, "geometry", nearest)
        away = geometry[number] - model.densities["geometry"].rows[nearest]
        texts["geometry"] = _geometry_text(away)
    if "look" in evidence:
        distance, largest = float(judged.novelty["look"][number]), model.tables["look"].largest
        told |= {"distance": round(distance, 4), "distance_max": round(float(largest), 4)}
        exemplar = int(judged.nearest["look"][number])
        told["nearest"] = {**_origin(model, "look", exemplar), "exemplar": exemplar}
        texts["look"] = _look_text(distance, float(largest), evidence["look"])
    # a sentence of those that are unusual, the first of them with the place
    parts = [texts[name] for name in named if name in texts]
    text = "; ".join([", ".join([*parts[:1], told["place"]]), *parts[1:]])
    if told.get("nearest") and set(named) & {"look", "geometry"}:
        text += f"; most like a normal {_origin_text(told['nearest'])}"
    return told | {"text": text}


def at(told: dict, seconds: float) -> str:
    """The sentence of what `fields` gives, with the time before the place."""
    return words.at(told["text"], told["place"], seconds)


def class_name(number: int) -> str:
    """Name of a class of the detector."""
    return UNNAMED.get(int(number)) or CLASSES[int(number)]


def _reported(score: float, line: float) -> float:
    return float(score / (score + line)) if score > 0 else 0.0


def _speed(model: CameraModel, objects: ObjectTable, number: int) -> float:
    """Pixels a frame, or heights a frame."""
    speed = float(objects.motions.speed[number])
    box = objects.boxes[number]
    return speed / float(box[3] - box[1]) if model.divide else speed


def _speed_text(model: CameraModel, speed: float) -> str:
    speeds = model.speeds
    if speed > speeds.largest > 0:
        if speed < LITTLE * speeds.largest:
            return "a little faster than anything seen here"
        return f"about {words.times(speed / speeds.largest)} faster than anything seen here"
    if speed > speeds.top > 0:
        factor = words.times(speed / speeds.top)
        return f"about {factor} the speed that 999 of 1,000 normal objects here stay below"
    percent = 100 * speeds.share_below(speed)
    if percent >= 50:
        return f"faster than {percent:.1f} % of normal objects here"
    return f"slower than {100 - percent:.1f} % of normal objects here"


def _towards(objects: ObjectTable, number: int, direction: str) -> str:
    """The direction in words, where directions count."""
    if direction == "off":
        return ""
    u, v = objects.motions.vector[number]
    turn = np.mod(np.degrees(np.arctan2(v, u)) + 180 / BINS, 360)
    return f", towards the {DIRECTIONS[int(turn // (360 / BINS)) % BINS]}"


def _look_text(distance: float, largest: float, evidence: float) -> str:
    if distance > largest:
        return "looks like nothing seen here"
    return f"looks unusual (1 in {one_in(evidence):,})"


def one_in(evidence: float) -> int:
    """10 to the evidence, to one significant digit."""
    return int(float(f"{10**evidence:.0e}"))


def _geometry_text(away: np.ndarray) -> str:
    """What the largest difference to the nearest normal object says."""
    which = int(np.square(away).argmax())
    form = FORMS[which]
    return form if isinstance(form, str) else form[0 if away[which] > 0 else 1]


def _origin(model: CameraModel, name: str, number: int) -> dict:
    """Where the nearest normal object is from."""
    origins = model.origins[name]
    return {
        "video": model.videos[int(origins.video[number])],
        "frame": int(origins.frame[number]),
        "box": [round(float(side), 1) for side in origins.boxes[number]],
        "class": class_name(origins.classes[number]),
        "class_score": round(float(origins.scores[number]), 3),
    }


def _origin_text(nearest: dict) -> str:
    return f"{nearest['class']} (video {nearest['video']}, frame {nearest['frame']:,})"
