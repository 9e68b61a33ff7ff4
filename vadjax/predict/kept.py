"""Whether the results of a video are those that a command would make again, so that they stay.

`NAME.json` is written when all other files of a video are there. It says what the scores were made
of (`made_of`), and the size and SHA-256 of each file that was written (`files`, `events`). Results
count only if all of that is as it would be now; whatever differs, or is not known, makes them anew.
"""

import hashlib
import inspect
import json
import pathlib
from collections.abc import Mapping, Sequence

import jax

import vadjax
from vadjax.data.video.reader import Reading
from vadjax.formats import json_files
from vadjax.formats.regular import is_there
from vadjax.predict.ranking import EVENT, ScoredClip
from vadjax.predict.restore import Trained
from vadjax.report import events
from vadjax.runtime import checksums, layout, provenance

MADE_OF, CLIP = "made_of", "clip"  # keys of NAME.json
# What scores are made of, and what is said where it differs.
DIFFERS = {
    "source": "its file has changed",
    "run": "the run is not the same",
    "options": "other options were given",
    "program": "vadjax, a package or the device is not the same",
}
UNKNOWN = "it is not known with what it was scored"
DAMAGED = "its files are not as they were written"
FIELDS = {
    MADE_OF: {...: str},
    CLIP: {"score": float, "seconds": float, "alarms": int},
    "files": {...: [object]},
    "events": (str, None),
}
RESULT = {
    **FIELDS,
    "frames": int,
    "median": float,
    "highest": float,
    "intervals": list,
    ...: object,
}


class MadeOf:
    """What the scores of all videos of a command depend on.

    Args:
      trained: the run.
      folder: its workdir.
      fps: frames a second that the user declares; None if none.
      reading: how the user wants video to be read.
    """

    def __init__(self, trained: Trained, folder: pathlib.Path, fps: float | None, reading: Reading):
        options = {"fps": fps, "deinterlace": reading.deinterlace, "strict": reading.strict}
        self._shared = {
            "run": _sum(_of_run(trained, folder)),
            "options": _sum({**options, **reading.settings}),
            "program": _sum(_of_program(trained)),
        }

    def of(self, path: pathlib.Path) -> dict[str, str]:
        """What the scores of a video depend on, with the state of its file or of its frames.

        Raises:
          OSError: it is not there.
        """
        return {"source": _sum([str(path), *_states(path)]), **self._shared}


def _of_run(trained: Trained, folder: pathlib.Path) -> list:
    """The state of a run, its config for this prediction, and what it says beside."""
    sums = folder / layout.FINISHED / checksums.FILE
    finished = sums.read_text("utf-8") if sums.is_file() else _states(folder / layout.FINISHED)
    passed_over = (layout.METRICS, provenance.FILE)
    facts = [path for path in sorted(folder.glob("*.json")) if path.name not in passed_over]
    config = json.loads(trained.system.config.to_json())
    # Weights outside of the run, which its config only names.
    named = [
        place
        for field, value in provenance.flatten(config).items()
        if field.endswith(".weights") and isinstance(value, str)
        for place in filter(None, value.split(","))
    ]
    weights = [_states(pathlib.Path(place)) for place in named if pathlib.Path(place).exists()]
    return [finished, [path.read_text("utf-8") for path in facts], config, weights]


def _of_program(trained: Trained) -> list:
    """The code of vadjax and of the system, the packages, and the device."""
    sources = sorted(pathlib.Path(vadjax.__file__).parent.rglob("*.py"))
    sources.append(pathlib.Path(inspect.getfile(type(trained.system))))
    code = [hashlib.sha256(path.read_bytes()).hexdigest() for path in sources]
    made = provenance.made_with(jax.devices())
    return [code, made["packages"], made["devices"], made["xla_flags"]]


def _states(path: pathlib.Path) -> list:
    """Name, size and time of a file, or of every file of a folder."""
    files = [path] if path.is_file() else sorted(one for one in path.rglob("*") if one.is_file())
    states = [(str(file.relative_to(path)), file.stat()) for file in files]
    return [[name, state.st_size, state.st_mtime_ns] for name, state in states]


def _sum(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def written(
    out: pathlib.Path, name: str, film: bool, told: Sequence[Mapping] | None
) -> dict[str, object]:
    """The fields of `NAME.json` on the files of a video that have been written.

    Args:
      out: folder of the prediction.
      name: of the video.
      film: whether a film was written.
      told: its lines in `events.jsonl`; None if it has none there.
    """
    reasons = is_there(out / _reasons(name))
    return {
        "files": {file: _state(out / file) for file in _needed(name, film, reasons)},
        "events": None if told is None else _sum_of_events(told),
    }


def film_of(summary: Mapping, path: pathlib.Path) -> pathlib.Path | None:
    """The film that belongs to the scores of `path`, a `NAME.json`; None if there is none.

    Of an older vadjax, whose file does not say it, it is the film that is there.
    """
    film = path.with_suffix(".mp4")
    of_scores = film.name in summary.get("files", {film.name: None})
    return film if of_scores and film.is_file() else None


class Results:
    """Results that are in a folder already.

    Args:
      out: folder of the prediction.
      film: whether a film is wanted, and can be written.
    """

    def __init__(self, out: pathlib.Path, film: bool):
        self._out, self._film = out, film
        of_videos: dict[str, list[dict]] = {}
        try:
            lines = json_files.read_lines(out / events.FILE, EVENT)
        except (OSError, ValueError):
            lines = []  # then no video with events is kept
        for event in lines:
            of_videos.setdefault(event["video"], []).append(event)
        self._events = {name: _sum_of_events(told) for name, told in of_videos.items()}

    def read(self, name: str, made_of: Mapping[str, str]) -> tuple[dict | None, str]:
        """What `NAME.json` says of a video whose results stay, or why they are made anew.

        Args:
          name: of the video.
          made_of: what its scores would be made of now.

        Returns:
          The content of the file, and ""; or None and the reason, "" if there are no results.
        """
        path = self._out / f"{name}.json"
        if not is_there(path):
            return None, ""
        try:
            summary = json_files.read(path, RESULT, nan=True)
        except (OSError, ValueError):
            return None, UNKNOWN
        differs = [
            told for key, told in DIFFERS.items() if summary[MADE_OF].get(key) != made_of[key]
        ]
        if differs:
            return None, " and ".join(differs)
        return (summary, "") if self._are_whole(name, summary) else (None, DAMAGED)

    def _are_whole(self, name: str, summary: Mapping) -> bool:
        """Whether all files of a video are as they were written."""
        needed = _needed(name, self._film, is_there(self._out / _reasons(name)))
        found = summary["files"]
        if not set(needed) <= set(found):
            return False
        if summary["events"] not in (None, self._events.get(name, _sum_of_events([]))):
            return False
        own = set(_needed(name, True, True))
        return all(
            file in own and is_there(self._out / file) and _state(self._out / file) == state
            for file, state in found.items()
        )


def clip_of(name: str, summary: Mapping) -> ScoredClip:
    """The clip that a `NAME.json` is of."""
    return ScoredClip(name, **summary[CLIP])


def _needed(name: str, film: bool, reasons: bool) -> list[str]:
    """Files of a video beside `NAME.json`, from the folder of the prediction on."""
    files = [f"scores/{name}.npz", f"{name}.png"]
    return files + [_reasons(name)] * reasons + [f"{name}.mp4"] * film


def _reasons(name: str) -> str:
    return f"scores/{name}.reasons.jsonl"


def _state(path: pathlib.Path) -> list:
    """Size and SHA-256 of a file."""
    with path.open("rb") as file:
        return [path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest()]


def _sum_of_events(told: Sequence[Mapping]) -> str:
    return hashlib.sha256(events.write_lines(told).encode()).hexdigest()
