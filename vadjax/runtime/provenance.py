"""What a figure was made with, so that it can be made again.

`made_with` describes the program that runs: version and commit of vadjax, versions of the packages
that matter, devices, command line, dataset, config. A run folder has one such entry for every time
that the run was begun or resumed (`provenance.json`), and every `metrics.json` has that of the
program that measured, under `made_with`. Nothing here needs JAX.
"""

import datetime
import functools
import importlib.metadata
import os
import pathlib
import platform
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence

import vadjax
from vadjax.formats import json_files
from vadjax.formats.regular import is_there

FILE = "provenance.json"  # in a run folder
KEY = "made_with"  # in metrics.json and in what predict writes; no figure
PACKAGES = (
    "jax",
    "jaxlib",
    "flax",
    "optax",
    "orbax-checkpoint",
    "grain",
    "array_record",
    "numpy",
    "scipy",
    "scikit-learn",
    "opencv-python-headless",
    "opencv-python",
    "av",
    "pillow",
    "torch",
)
GIT_SECONDS = 10


def made_with(
    devices: Sequence = (), data: object | None = None, config: Mapping | None = None
) -> dict:
    """Describes the program that runs, as JSON can hold it.

    Args:
      devices: JAX devices that are used; none for a program without JAX.
      data: the dataset, with `name`, `folder` and `digest` (`records.Description`).
      config: of the run.

    Returns:
      `vadjax`, `commit` (None outside a checkout), `python`, `packages` (name → version of those
      that are installed), `devices` (None, or `platform`, `kind`, `count`), `xla_flags`, `command`
      (addresses without their passwords), `dataset` (None, or `name`, `folder`, and `sha256` of its
      manifest, which holds the sums of all its files), `config`, `date` (UTC).
    """
    dataset = data and {
        "name": data.name,
        "folder": str(data.folder.absolute()),
        "sha256": data.digest,
    }
    return {
        "vadjax": vadjax.__version__,
        "commit": commit(),
        "python": platform.python_version(),
        "packages": versions(),
        "devices": _describe(devices),
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
        "command": command_line(),
        "dataset": dataset,
        "config": config,
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


@functools.cache
def commit() -> str | None:
    """The commit of the checkout that vadjax runs from, with `+changes` if files differ from it.

    None for an installed package, and if git is missing.
    """
    # Only vadjax's own folder counts: an installed package may lie below another project's.
    root = pathlib.Path(vadjax.__file__).resolve().parents[1]
    if not (root / ".git").exists():
        return None
    options = ["describe", "--always", "--tags", "--abbrev=12", "--dirty=+changes"]
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *options],
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
            capture_output=True,
            text=True,
            timeout=GIT_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None


@functools.cache
def versions() -> dict[str, str]:
    """Name → version of the packages that matter and are installed."""
    installed = {}
    for name in PACKAGES:
        try:
            installed[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return installed


def flatten(tree: Mapping, prefix: str = "") -> dict[str, object]:
    """Nested fields by dotted name."""
    flat = {}
    for key, value in tree.items():
        inner = isinstance(value, Mapping)
        flat |= flatten(value, f"{prefix}{key}.") if inner else {f"{prefix}{key}": value}
    return flat


def command_line() -> str:
    """The command as it can be typed again; addresses without user name and password."""
    program, *options = sys.orig_argv or sys.argv
    typed = shlex.join([pathlib.Path(program).name, *options])
    return re.sub(r"(\w+://)[^/\s']+@", r"\1***@", typed)


def config_named(workdir: pathlib.Path) -> str | None:
    """`FILE[:VARIANT]` of the command that runs now, else of the newest that names one for a run.

    Args:
      workdir: of the run.

    Returns:
      None if no command names any.

    Raises:
      ValueError: the run's file is damaged.
    """
    return config_of(command_line()) or _config_of_run(workdir)


def config_of(command: str) -> str | None:
    """`FILE[:VARIANT]` that a command line names as its config; None if it names none."""
    try:
        words = [word.removeprefix("-") for word in shlex.split(command)]
    except ValueError:  # of another program
        return None
    named = [word.partition("=")[2] for word in words if word.startswith("-config=")]
    pairs = zip(words, words[1:], strict=False)
    named += [after for word, after in pairs if word == "-config"]
    return named[-1] if named else None


@functools.lru_cache(maxsize=1)
def _config_of_run(workdir: pathlib.Path) -> str | None:
    """The config of the newest command of a run that names one."""
    path = workdir / FILE
    if not is_there(path):
        return None
    entries = json_files.read(path, [{...: object}], nan=True)
    commands = [str(entry.get("command", "")) for entry in reversed(entries)]
    return next(filter(None, map(config_of, commands)), None)


def _describe(devices: Sequence) -> dict | None:
    """Platform, kinds and number of devices, and of the processes they belong to."""
    if not devices:
        return None
    kinds = sorted({device.device_kind for device in devices})
    return {
        "platform": devices[0].platform,
        "kind": ", ".join(kinds),
        "count": len(devices),
        "processes": len({device.process_index for device in devices}),
    }
