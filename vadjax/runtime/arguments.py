"""Reads a command line with `--config=FILE[:VARIANT]` and `--config.FIELD=VALUE`.

What is misspelt or has another name by now ends the program in one line that says what was meant.
`--help` beside `--config` shows the fields of that config, what each means and what it is.
"""

import difflib
import pathlib
import re
import runpy
import sys
from collections.abc import Collection, Iterator

import ml_collections
from absl import flags

from vadjax.config import descriptions
from vadjax.runtime.provenance import flatten

RENAMED = {  # config files → what they are called now
    "eval_appearance.py": "exemplar_appearance_network.py",
    "eval_motion.py": "exemplar_motion_network.py",
}
HELP = ("--help", "-help", "-?", "--helpfull", "-helpfull")
CONFIG = re.compile(r"--?config(?:=(.*))?$")
FIELD = re.compile(r"--?(?:no)?config\.([^=]+)")


def parse_flags(argv: list[str]) -> list[str]:
    """Reads the flags, as `absl.app.run` asks for.

    Args:
      argv: name of the program, and its command line.

    Returns:
      What is no flag, behind the name of the program.

    Raises:
      SystemExit: a wrong flag, config file, variant or field, said in one line; or help was shown.
    """
    try:
        arguments = flags.FLAGS.read_flags_from_files(argv, force_gnu=False)  # --flagfile=FILE
        config = _config_argument(arguments)
        if config and not (path := pathlib.Path(config.split(":", 1)[0])).is_file():
            sys.exit(f"error: {_no_file(path)}")
        if asked := next((argument for argument in arguments if argument in HELP), ""):
            _show_help(config, asked.endswith("full"))
        return flags.FLAGS(argv)
    except Exception as error:  # a config file is a program, and may fail in any way
        sys.exit(f"error: {_explain(argv, error)}")


def _config_argument(argv: list[str]) -> str:
    """`FILE[:VARIANT]` of `--config`; empty if it is not there."""
    for number, argument in enumerate(argv):
        if match := CONFIG.match(argument):
            return match[1] if match[1] is not None else "".join(argv[number + 1 : number + 2])
    return ""


def _load(argument: str) -> ml_collections.ConfigDict:
    """The config of `FILE[:VARIANT]`."""
    path, *variant = argument.split(":", 1)
    return runpy.run_path(path)["get_config"](*variant)


def _no_file(path: pathlib.Path) -> str:
    """What to say of a config file that is not there."""
    if path.name in RENAMED:
        return f"{path} is now {path.with_name(RENAMED[path.name])}"
    if path.is_dir():
        return f"{path} is a folder; --config names a file, such as configs/ucf_mil.py"
    folders = dict.fromkeys((path.parent, pathlib.Path("configs")))
    known = {one.name: one for folder in folders for one in folder.glob("[a-z]*.py")}
    nearest = difflib.get_close_matches(path.name, known, 1)
    return f"no config file {path}" + (f"; did you mean {known[nearest[0]]}?" if nearest else "")


def _explain(argv: list[str], error: Exception) -> str:
    """The line that says what is wrong with a command line."""
    config, said = _config_argument(argv), f"{_last_line(error)} (--help lists the flags)"
    if not config or isinstance(error, flags.UnrecognizedFlagError):
        return said
    try:
        known = _names(_load(config))
    except ValueError as own:  # such as a variant that is not there
        return _last_line(own)
    except Exception as own:
        return f"{config}: {type(own).__name__}: {_last_line(own)}"
    wrong = [field for field in _fields(argv) if field not in known]
    return _no_field(wrong[0], known) if wrong else said


def _last_line(error: Exception) -> str:
    return str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__


def _fields(argv: list[str]) -> Iterator[str]:
    """Names of the fields that a command line sets, without an index."""
    for argument in argv:
        if match := FIELD.match(argument):
            yield match[1].split("[", 1)[0]


def _names(config: ml_collections.ConfigDict) -> list[str]:
    """Dotted names of all fields, and of the sections that they are in."""
    fields = list(flatten(config.to_dict()))
    sections = {name[: dot.start()] for name in fields for dot in re.finditer(r"\.", name)}
    return sorted(sections) + fields


def _no_field(name: str, known: Collection[str]) -> str:
    """What to say of a field that is not there, with the nearest one by its last name."""
    likeness = {one: (_ratio(_last(name), _last(one)), _ratio(name, one)) for one in known}
    near = [one for one in known if likeness[one][0] >= 0.7 or likeness[one][1] >= 0.85]
    nearest = max(near, key=lambda one: sum(likeness[one]), default="")
    return f"no field {name}; " + (
        f"did you mean {nearest}?" if nearest else "--config=FILE --help lists the fields"
    )


def _last(name: str) -> str:
    return name.rsplit(".", 1)[-1]


def _ratio(a: str, b: str) -> float:
    return difflib.SequenceMatcher(None, a, b).ratio()


def _show_help(config: str, full: bool) -> None:
    """Prints what the program does, its flags (or all that there are), and the config's fields."""
    main = sys.modules["__main__"]
    spec = getattr(main, "__spec__", None)
    program = f"python -m {spec.name.removesuffix('.__main__')}" if spec else sys.argv[0]
    listed = flags.FLAGS.get_help() if full else flags.FLAGS.main_module_help()
    listed = f"\n{listed}".replace(f"\n{sys.argv[0]}:", f"\n{program}:").strip()
    print(f"{main.__doc__}\nflags:\n\n{listed}\n")
    if config:
        loaded = _load(config)
        described = descriptions(loaded.system)
        print(f"\nfields of {config}:\n")
        for name, value in flatten(loaded.to_dict()).items():
            print(f"  --config.{name}: {described.get(name, '')}\n    (here: {value!r})")
    else:
        print("--helpfull lists all flags. With --config=FILE the fields of that config follow.")
    sys.exit(0)
