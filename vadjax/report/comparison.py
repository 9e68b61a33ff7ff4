"""In what runs differ: one mean is for runs that differ in the seed, one page for one dataset."""

import json
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from vadjax.formats import json_files
from vadjax.formats.regular import is_there
from vadjax.runtime.policy import HARMLESS
from vadjax.runtime.provenance import KEY, flatten

# Prefixes of fields that may differ, since they are harmless or compared in another way
OF_ONE_RUN = (
    "seed",
    "data.dir",
    "data.objects",
    "dataset_digest",
    "eval.split",
    "eval.batch",
    "report.",
    *HARMLESS,
)
SPLIT = re.compile(r"_(\d+)$")  # at the end of the name of a set that is one of several splits
# Figures that are shares or areas of shares, so that they lie within 0 and 1.
SHARES = re.compile(
    r"(.*_)?auc(_.*)?(:.*)?|ap|eer|false_alarm_rate|[rt]bdc|mean_precision.*|accuracy_.*", re.DOTALL
)
LENGTH = 60  # letters of a value
FIGURE = (float, None)
MADE_OF = {"sha256": str}
MADE = {"config?": (dict, None), "dataset?": (MADE_OF, None), "objects?": (MADE_OF, None)}
SUMMARY = {
    "title": str,
    "metrics": {"tracks?": str, ...: FIGURE},
    "labels?": {...: str},
    "untrained?": ({...: FIGURE}, None),
    f"{KEY}?": (MADE, None),
}
# Names of figures: those with a colon are figures of alternative scores
OF_OTHERS = re.compile(r"[^:]+|(auc|auc_minmax):.*", re.DOTALL)


class Run(NamedTuple):
    """A run that was measured.

    Attributes:
      name: name of its folder, the heading of its column.
      summary: content of its `metrics.json`.
      fields: fields of its config, by dotted name; empty if the config is not known.
      digests: digests of its dataset, and of the prepared objects if it has some; empty if not
        known.
    """

    name: str
    summary: Mapping
    fields: Mapping[str, object]
    digests: tuple[str, ...]


def read_run(folder: str | pathlib.Path) -> Run:
    """Reads `metrics.json` of a run or of an evaluation, and the config behind it.

    Raises:
      FileNotFoundError: no such file.
      ValueError: not a summary of figures.
    """
    folder = pathlib.Path(folder)
    path = folder / "metrics.json"
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; has this run finished?")
    summary = _read_json(path)
    if not isinstance(summary.get("metrics"), dict) or "title" not in summary:
        raise ValueError(f"{path}: has no title and metrics, so vadjax did not write it")
    json_files.check_fields(summary, SUMMARY, path)
    if odd := [name for name in summary["metrics"] if not OF_OTHERS.fullmatch(name)]:
        raise ValueError(f"{path}: metrics has {odd[0]!r:.80}, which is no figure of vadjax")
    for name, value in {**(summary.get("untrained") or {}), **summary["metrics"]}.items():
        if SHARES.fullmatch(name) and value is not None and (value < 0 or value > 1):
            raise ValueError(f"{path}: {name} is {value:g}; expected 0 to 1")
    made = summary.get(KEY) or {}
    # Summaries hold config and digests; beside older ones, or above, lies the config alone.
    config = made.get("config")
    digests = [made[name]["sha256"] for name in ("dataset", "objects") if made.get(name)]
    for older in (folder, folder.parent):  # an evaluation lies in the folder of its run
        if config is None and is_there(older / "config.json"):
            config = _read_json(older / "config.json")
            digests = [config["dataset_digest"]] if config.get("dataset_digest") else []
    return Run(folder.absolute().name, summary, flatten(config or {}), tuple(digests))


def _read_json(path: pathlib.Path) -> dict:
    return json_files.read(path, dict, nan=True)


def differences(runs: Sequence[Run]) -> list[str]:
    """In what the runs differ, apart from the seed and from which split of one set they used.

    Returns:
      A line for every field, with the values; empty where a mean of the runs makes sense.
    """
    lines = [
        f"{name}: {', '.join(dict.fromkeys(text[:LENGTH] for text in of_runs))}"
        for name, of_runs in differing_fields(runs).items()
    ]
    # Two runs of one seed on one set are no independent runs.
    seeds = [(run.summary.get("seed"), run.summary.get("data")) for run in runs]
    if repeated := sorted({str(seed) for seed, data in seeds if seeds.count((seed, data)) > 1}):
        lines.append(f"seed: {', '.join(repeated)} more than once")
    return lines


def differing_fields(runs: Sequence[Run]) -> dict[str, list[str]]:
    """What the runs do not have in common, apart from the seed and the split of one set.

    Returns:
      Field → its value in each run, as text.
    """
    # The values of all runs by field: what was measured, and the configs if all are known.
    values = {name: [run.summary.get(name) for run in runs] for name in ("system", "split")}
    values["selected_on_test"] = [bool(run.summary.get("selected_on_test")) for run in runs]
    values["step"] = ["selected" if _selected(run) else run.summary.get("step") for run in runs]
    values["dataset"] = _datasets(runs)
    if all(run.fields for run in runs):  # an older run may have no config
        names = {name for run in runs for name in run.fields if not name.startswith(OF_ONE_RUN)}
        for name in sorted(names):
            values[name] = [run.fields.get(name, "absent") for run in runs]
    texts = {name: [_text(value) for value in of_runs] for name, of_runs in values.items()}
    return {name: of_runs for name, of_runs in texts.items() if len(set(of_runs)) > 1}


def check_same_videos(runs: Sequence[Run]) -> None:
    """Whether all runs were measured on the same split of the same dataset.

    Raises:
      ValueError: two were not; the message says which, and what to do.
    """
    first = runs[0]
    for run in runs[1:]:
        known = run.digests and first.digests  # an older run may have none
        same_data = run.summary.get("data") == first.summary.get("data") and (
            not known or run.digests[0] == first.digests[0]
        )
        if same_data and run.summary.get("split") == first.summary.get("split"):
            continue
        of_both = (f"{one.name} was measured on {_measured_on(one)}" for one in (first, run))
        raise ValueError(
            f"{', '.join(of_both)}: the videos are not the same. Score one of the runs on the "
            "dataset of the other with --mode=evaluate --config.data.dir=FOLDER, and name the "
            "folder evaluate_STEP that it writes in place of the run; for figures alone take "
            "python -m vadjax.report.table"
        )


def _measured_on(run: Run) -> str:
    """Dataset and split of a run, for a message."""
    digest = f" ({run.digests[0][:12]})" if run.digests else ""
    return f"{run.summary.get('data')}{digest}, split {run.summary.get('split')}"


def _selected(run: Run) -> bool:
    """Whether the step was selected by held-out or test data, so that it may differ."""
    return "best step" in str(run.summary["title"])


def _datasets(runs: Sequence[Run]) -> list[str]:
    """Name of the dataset of each run, with digests unless the runs used splits of one set."""
    names = [str(run.summary.get("data")) for run in runs]
    if splits(runs):
        return [SPLIT.sub("", name) for name in names]
    return [
        f"{name} ({', '.join(digest[:12] for digest in run.digests)})" if run.digests else name
        for name, run in zip(names, runs, strict=True)
    ]


def splits(runs: Sequence[Run]) -> list[str]:
    """Numbers of the splits of one set that the runs used; empty if they used no such splits.

    Splits have names that differ in the number at the end, and lie in one folder.
    """
    ends = [SPLIT.search(str(run.summary.get("data"))) for run in runs]
    folders = {str(pathlib.PurePath(str(run.fields.get("data.dir", ""))).parent) for run in runs}
    if not all(ends) or len(folders) > 1:
        return []
    return sorted({end[1] for end in ends}, key=int)


def versions(runs: Sequence[Run]) -> list[str]:
    """In what the programs that made the runs differ, one line for each field of their record."""
    made = [run.summary.get(KEY) for run in runs]
    if not all(made):
        return []
    # Config and data are compared by `differences`; command and date say nothing.
    records = [flatten({**record, "config": {}, "dataset": {}, "objects": {}}) for record in made]
    names = [
        name
        for name in dict.fromkeys(name for record in records for name in record)
        if name not in ("command", "date")
    ]
    values = {name: [record.get(name, "absent") for record in records] for name in names}
    return [
        f"{name.removeprefix('packages.')}: "
        f"{', '.join(text[:LENGTH] for text in _distinct(of_runs))}"
        for name, of_runs in values.items()
        if len(_distinct(of_runs)) > 1
    ]


def _distinct(values: Sequence) -> list[str]:
    """The different values as text, in their order."""
    return list(dict.fromkeys(map(_text, values)))


def _text(value: object) -> str:
    return (value if isinstance(value, str) else json.dumps(value)) or '""'
