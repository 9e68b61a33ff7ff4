"""The folder of a run: it belongs to one config."""

import json
import pathlib

import ml_collections

from vadjax.writers import write_json

FILE = "config.json"


def open_for(workdir: str | pathlib.Path, config: ml_collections.ConfigDict) -> pathlib.Path:
    """The folder for a run of `config`, made if it is not there.

    It becomes this config's with `claim`, once the rest of the input has been checked too.

    Raises:
      ValueError: it belongs to another config; the message names the fields.
    """
    workdir = pathlib.Path(workdir)
    if (workdir / FILE).is_file():
        check(workdir, config)
    elif (workdir / "checkpoints").is_dir():
        raise ValueError(f"{workdir}: has checkpoints but no {FILE}; name another --workdir")
    workdir.mkdir(parents=True, exist_ok=True)
    return workdir


def claim(workdir: pathlib.Path, config: ml_collections.ConfigDict) -> None:
    """Notes that the folder belongs to `config`."""
    if not (workdir / FILE).is_file():
        write_json(workdir / FILE, json.loads(config.to_json()))


def check(
    workdir: pathlib.Path, config: ml_collections.ConfigDict, free: tuple[str, ...] = ()
) -> None:
    """Compares `config` with the one the folder was made for.

    Args:
      workdir: folder of the run.
      config: config of this call.
      free: first parts of the names of fields that may differ, such as `"eval."`.

    Raises:
      FileNotFoundError: the folder has no config.
      ValueError: they differ; the message names the fields with both values.
    """
    path = workdir / FILE
    if not path.is_file():
        raise FileNotFoundError(f"{workdir}: no run here (no {FILE}); train first")
    then, now = _flat(json.loads(path.read_text())), _flat(json.loads(config.to_json()))
    differ = [
        f"  {name}: {then.get(name, 'absent')!r} there, {now.get(name, 'absent')!r} here"
        for name in sorted(then.keys() | now.keys())
        if then.get(name) != now.get(name) and not name.startswith(free)
    ]
    if differ:
        raise ValueError(
            f"{workdir} belongs to a run with another config:\n" + "\n".join(differ) + "\n"
            "Name another --workdir, or give the same config to resume"
        )


def _flat(tree: dict, prefix: str = "") -> dict:
    flat = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat
