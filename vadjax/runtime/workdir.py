"""The folder of a run (workdir). It belongs to one config and one dataset."""

import contextlib
import json
import math
import pathlib
import shutil
from collections.abc import Iterator, Mapping

import ml_collections

from vadjax.config import default
from vadjax.data.store.records import Dataset, Description
from vadjax.formats import json_files
from vadjax.formats.regular import is_there
from vadjax.runtime import layout, lock, policy, processes, provenance, space
from vadjax.runtime.metric_writers import write_json

FILE, DESCRIPTION = layout.CONFIG, layout.DATASET
CONFIG = {"system": str, "model?": dict, "data?": dict, "eval?": dict, "train?": dict}
LOCK, PASSING = layout.LOCK, layout.PASSING
OWN_FILES = (FILE, DESCRIPTION, provenance.FILE, layout.METRICS)  # no fact may have these names
DATASET = "dataset_digest"  # field in `FILE`: digest of the dataset's manifest
COUNTED = ("train.", "optim.", "eval.")  # sections whose whole numbers are counts, not sizes
LARGEST = 1 << 20  # largest size in the config of a run that is read


def open_for(workdir: str | pathlib.Path, config: ml_collections.ConfigDict) -> pathlib.Path:
    """The folder for a run of `config`, made if it is not there.

    It belongs to this config from `claim` on, once there is something to resume.

    Raises:
      ValueError: it belongs to another config (the message names the fields), or is a file.
    """
    workdir = pathlib.Path(workdir)
    if workdir.exists() and not workdir.is_dir():
        raise ValueError(f"{workdir} is a file; --workdir names a folder")
    if (workdir / FILE).is_file():
        check(workdir, config)
    elif (workdir / "checkpoints").is_dir() and any((workdir / "checkpoints").iterdir()):
        raise ValueError(f"{workdir}: has checkpoints but no {FILE}; name another --workdir")
    with space.naming(workdir):
        workdir.mkdir(parents=True, exist_ok=True)
    return workdir


@contextlib.contextmanager
def hold(workdir: pathlib.Path) -> Iterator[None]:
    """Keeps a second run out of the folder during the block.

    The first process does it for all of them. A kill sets the folder free. On a file system without
    locks a line says that nothing keeps a second run out.

    Raises:
      vadjax.runtime.lock.Held: another run is in it; says which, and since when.
      vadjax.runtime.space.NotWritten: the folder cannot be written.
    """
    with contextlib.ExitStack() as held:

        def take() -> None:
            with space.naming(workdir):
                locked = held.enter_context(lock.held(workdir / LOCK, str(workdir)))
            if not locked:
                print(f"{workdir}: no locks on this file system; start no second run there")
            shutil.rmtree(workdir / PASSING, ignore_errors=True)

        processes.once(take, lock.Held, space.NotWritten)
        yield


def claim(workdir: pathlib.Path, config: ml_collections.ConfigDict, data: Dataset) -> None:
    """Notes that the folder belongs to `config` and to this dataset, if it has no config yet."""
    if processes.is_first() and not (workdir / FILE).is_file():
        write_json(workdir / DESCRIPTION, data.to_json())
        write_json(workdir / FILE, {**json.loads(config.to_json()), DATASET: data.digest})


def keep_facts(workdir: pathlib.Path, facts: Mapping[str, Description]) -> None:
    """Keeps what `System.facts` gives in the workdir, each as NAME.json.

    Raises:
      ValueError: the run in the folder began with others, or a name is taken.
    """
    began = (workdir / FILE).is_file()
    for name, fact in facts.items():
        if f"{name}.json" in OWN_FILES:
            raise ValueError(f"a system has a fact {name!r}; the run has a file of this name")
        content = fact.to_json()
        before = read_fact(workdir, name) if began else None
        if before is not None and before.digest != fact.digest:
            raise ValueError(
                f"{content['folder']}: not the {name} that the run in {workdir} began with; "
                "name another --workdir"
            )
        if processes.is_first():
            write_json(workdir / f"{name}.json", content)


def read_fact(workdir: pathlib.Path, name: str) -> Description | None:
    """A fact that `keep_facts` has kept; None if there is none of this name.

    Raises:
      OSError, ValueError: the file cannot be read.
    """
    path = workdir / f"{name}.json"
    return Description.from_file(path) if path.is_file() else None


def add_provenance(workdir: pathlib.Path, entry: dict) -> None:
    """Adds an entry to `provenance.json` of the run, one for each time that it is begun or resumed.

    If stages begin at the same moment on several machines, an entry may be lost, but not the file.

    Args:
      workdir: folder of the run.
      entry: `provenance.made_with` and more, such as the step that the run goes on from.

    Raises:
      ValueError: there is such a file that cannot be read.
    """
    if not processes.is_first():
        return
    path = workdir / provenance.FILE
    try:
        entries = json_files.read(path) if is_there(path) else []
    except ValueError as error:
        raise ValueError(f"{error}; move it away") from error
    if not isinstance(entries, list):
        raise ValueError(f"{path}: a {type(entries).__name__}, not a list of entries; move it away")
    write_json(path, [*entries, entry])


def check(
    workdir: pathlib.Path,
    config: ml_collections.ConfigDict,
    data: Dataset | None = None,
    use: policy.Use = "resume",
) -> None:
    """Compares `config`, and the dataset if given, with those the folder belongs to.

    Args:
      workdir: folder of the run.
      config: config of this call.
      data: the dataset that was opened for it.
      use: what the run is opened for, which says what may differ (`policy.RULES`).

    Raises:
      FileNotFoundError: the folder has no config.
      ValueError: they differ; the message names the fields with both values.
    """
    different = differences(workdir, config, data)
    lines = [
        f"  {name}: {there!r} there, {here!r} here"
        for name, (there, here) in different.items()
        if not policy.may_differ(name, use)
    ]
    if lines:
        raise ValueError(
            f"{workdir} belongs to a run with another config or dataset:\n"
            + "\n".join(lines)
            + "\n"
            "Name another --workdir, or give the same config to resume"
        )


def config_of(workdir: pathlib.Path) -> ml_collections.ConfigDict:
    """The config of the run in a folder, of a system of vadjax.

    Its file may be a stranger's: each field must be one that the configs of the system have, with a
    value of the same type.

    Raises:
      FileNotFoundError: no run there.
      ValueError: a run of a system of the user's own, or of an older vadjax, whose configs have
        other fields.
    """
    try:
        of_run = saved(workdir)
        config = default(of_run["system"], provenance.flatten(of_run))
        return adopt(config, workdir, all_fields=True)[0]
    except ValueError as error:
        raise ValueError(f"{error}. Give the --config with which the run was trained") from error


def adopt(
    config: ml_collections.ConfigDict, workdir: pathlib.Path, all_fields: bool = False
) -> tuple[ml_collections.ConfigDict, list[str]]:
    """A copy of `config` as the run in the folder has it, and the fields that had to change.

    Those that may differ for prediction (`policy.RULES`) stay as `config` has them.

    Args:
      config: of the same system.
      workdir: folder of the run.
      all_fields: whether those are taken from the run too.

    Raises:
      FileNotFoundError: no run there.
      ValueError: a run of another system, or of an older vadjax, whose configs have other fields.
    """
    of_run, config = saved(workdir), config.copy_and_resolve_references()
    if of_run["system"] != config.system:
        raise ValueError(
            f"{workdir}: a run of system {of_run['system']!r}, the config is of {config.system!r}"
        )
    # Each field that must be the run's, whose file may be a stranger's: a value of the same type
    # as the config's own, and of a size that ends in no overflow.
    changed = []
    for name, (there, here) in differences(workdir, config).items():
        if all_fields or not policy.may_differ(name, "predict"):
            if "absent" in (there, here):
                raise ValueError(f"{workdir}: {name} is {there!r} there, {here!r} here")
            *sections, field = name.split(".")
            part = config
            for section in sections:
                part = part[section]
            if too_large := _too_large(name, there):
                raise ValueError(
                    f"{workdir / FILE}: {name} is {too_large}; expected whole numbers up to "
                    f"{LARGEST:,}, together {LARGEST**2:.0e}"
                )
            kind = tuple if isinstance(part[field], tuple) else lambda value: value
            if not _alike(there, here):
                raise ValueError(
                    f"{workdir / FILE}: {name} is {there!r:.80}, the config here has {here!r:.80}; "
                    "expected a value of the same type"
                )
            with part.ignore_type(), part.unlocked():
                part[field] = kind(there)
            if name != "data.dir":
                changed.append(name)
    return config, changed


def _too_large(name: str, value: object) -> str:
    """The value of a field, as text, if it is too large for any network, picture or window.

    Empty if it is not. XLA ends the whole program if a shape overflows, without an error that could
    be handled.
    """
    if name.startswith(COUNTED) or name.endswith("seed"):
        return ""
    numbers = value if isinstance(value, list | tuple) else [value]
    whole = [abs(n) for n in numbers if type(n) is int]
    if math.prod(whole) > LARGEST**2 and max(whole) <= LARGEST:
        return f"{value!r:.40}, which would be {math.prod(whole):.0e} together"
    return next((f"{n!r:.40}" for n in numbers if type(n) is int and abs(n) > LARGEST), "")


def _alike(there: object, here: object) -> bool:
    """Whether two values of JSON can be of the same field: one is None, or they are of one type."""
    kinds = {
        float if type(value) in (int, float) else type(value)
        for value in (there, here)
        if value is not None
    }
    return len(kinds) < 2


def scored_otherwise(workdir: pathlib.Path, config: ml_collections.ConfigDict) -> list[str]:
    """Fields that differ and change scores of frames: the alarm line of the run is not theirs."""
    return [name for name in differences(workdir, config) if name in policy.OF_SCORES]


def differences(
    workdir: pathlib.Path, config: ml_collections.ConfigDict, data: Dataset | None = None
) -> dict[str, tuple]:
    """Fields of the folder's config that differ from `config`: name → (there, here).

    Fields that change no number (`policy.HARMLESS`) are left out.
    """
    there, here = _flat(saved(workdir)), _flat(json.loads(config.to_json()))
    here[DATASET] = data.digest if data else there.get(DATASET)
    there = {name: value for name, value in policy.ADDED.items() if name in here} | there
    return {
        name: (there.get(name, "absent"), here.get(name, "absent"))
        for name in sorted(there.keys() | here.keys())
        if name not in policy.HARMLESS and there.get(name) != here.get(name)
    }


def saved(workdir: pathlib.Path) -> dict:
    """The config that the folder belongs to.

    Raises:
      FileNotFoundError: it belongs to none.
      ValueError: a file that cannot be read, or is no config.
    """
    path = workdir / FILE
    if not path.is_file():
        raise FileNotFoundError(f"{workdir}: no run here (no {FILE}); train first")
    return json_files.read(path, CONFIG)


def trained_on(workdir: pathlib.Path) -> Description:
    """What is known of the dataset that the run in the folder was trained on.

    Raises:
      FileNotFoundError: there is no run, or one of an older vadjax.
    """
    path = workdir / DESCRIPTION
    if not path.is_file():
        saved(workdir)
        raise FileNotFoundError(
            f"{workdir}: no {DESCRIPTION}; this vadjax is newer than the run, "
            "train it again in another folder"
        )
    return Description.from_file(path)


def _flat(tree: dict) -> dict:
    """Nested fields by dotted name; the dataset's folder as an absolute path."""
    flat = provenance.flatten(tree)
    if flat.get("data.dir"):
        flat["data.dir"] = str(pathlib.Path(flat["data.dir"]).absolute())
    return flat
