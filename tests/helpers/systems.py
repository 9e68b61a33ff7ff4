"""Which systems there are: the folders of `vadjax/systems` that have one."""

import pathlib

FOLDER = pathlib.Path(__file__).parents[2] / "vadjax" / "systems"
SYSTEMS = sorted(path.parent.name for path in FOLDER.glob("*/system.py"))
