"""Reads a command line with `--config=FILE[:VARIANT]` and `--config.FIELD=VALUE`.

A misspelt or renamed flag, file or field ends the program in one line that names the nearest one.
`--help` beside `--config` shows the fields of that config, their meanings and their values.
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
      The name of the program, then the arguments that are no flags.

    Raises:
      SystemExit: a wrong flag, config file, variant or field, told in one line; or help was shown.
    """
    # The config file is looked up before the flags are read, so that the message can name the
    # nearest file.
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
    """`FILE[:VARIANT]` of `--config=…` or `--config …`; empty if it is not there."""
    for number, argument in enumerate(argv):
        if match := CONFIG.match(argument):
            return match[1] if match[1] is not None else "".join(argv[number + 1 : number + 2])
    return ""


def _load(argument: str) -> ml_collections.ConfigDict:
    """The config of `FILE[:VARIANT]`."""
    path, *variant = argument.split(":", 1)
    return runpy.run_path(path)["get_config"](*variant)


def _no_file(path: pathlib.Path) -> str:
    """The message for a config file that is not there."""
    if path.name in RENAMED:
        return f"{path} is now {path.with_name(RENAMED[path.name])}"
    if path.is_dir():
        return f"{path} is a folder; --config names a file, such as configs/ucf_mil.py"
    # The nearest name in the same folder and in that of the published configs.
    folders = dict.fromkeys((path.parent, pathlib.Path("configs")))
    files = {file.name: file for folder in folders for file in folder.glob("[a-z]*.py")}
    nearest = difflib.get_close_matches(path.name, files, 1)
    return f"no config file {path}" + (f"; did you mean {files[nearest[0]]}?" if nearest else "")


def _explain(argv: list[str], error: Exception) -> str:
    """The line that says what is wrong with a command line."""
    config, message = _config_argument(argv), f"{_last_line(error)} (--help lists the flags)"
    if not config or isinstance(error, flags.UnrecognizedFlagError):
        return message
    # The config itself may be at fault, or a field that it does not have.
    try:
        fields = _names(_load(config))
    except ValueError as of_config:  # such as a variant that is not there
        return _last_line(of_config)
    except Exception as of_config:
        return f"{config}: {type(of_config).__name__}: {_last_line(of_config)}"
    wrong = [field for field in _fields(argv) if field not in fields]
    return _no_field(wrong[0], fields) if wrong else message


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
    """The message for a field that is not there; it names the nearest one."""
    # Likeness (0 to 1) of the last parts of the names, `learning_rate`, and of the whole names.
    likeness = {field: (_ratio(_last(name), _last(field)), _ratio(name, field)) for field in known}
    near = [field for field in known if likeness[field][0] >= 0.7 or likeness[field][1] >= 0.85]
    nearest = max(near, key=lambda field: sum(likeness[field]), default="")
    return f"no field {name}; " + (
        f"did you mean {nearest}?" if nearest else "--config=FILE --help lists the fields"
    )


def _last(name: str) -> str:
    return name.rsplit(".", 1)[-1]


def _ratio(a: str, b: str) -> float:
    return difflib.SequenceMatcher(None, a, b).ratio()


def _show_help(config: str, full: bool) -> None:
    """Prints what the program does, its flags, and the fields of the config; ends the program.

    Args:
      config: `FILE[:VARIANT]`; empty for no fields.
      full: list the flags of all modules too.
    """
    # The flags under the name by which the program is called.
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
